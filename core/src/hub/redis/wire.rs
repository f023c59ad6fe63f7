//! How a publication is written in Redis: a header of JSON, a line feed, the data as it came; and before both, where it
//! is told to replicas, `p epoch offset milliseconds`. What is read is checked: anything may write to a Redis.

use std::sync::Arc;

use bytes::Bytes;
use redis::{FromRedisValue, Value};
use serde::{Deserialize, Serialize};

use crate::hub::broker::{Consumed, Disconnect, Draft, History, Member, Position, Publication};
use crate::identity::Revocation;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    publisher: Option<Arc<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<Arc<str>>,
}

/// What is told in a channel.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    Publication(Publication),
    /// A replica has delivered messages alone: nothing comes up to this place that has not come.
    Skipped(Position),
    Join(Member),
    Leave(Member),
}

/// What is told to every replica.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Control {
    Revoked(Revocation),
    Disconnect(Disconnect),
}

/// A name for a numbering that nobody has used.
pub(super) fn new_epoch() -> String {
    format!("{:016x}", fastrand::u64(..))
}

/// Header and data.
pub(super) fn body(draft: &Draft) -> Vec<u8> {
    let header = Header {
        key: draft.key.clone(),
        publisher: draft.publisher.clone(),
        traceparent: draft.traceparent.clone(),
    };
    let mut written = json(&header);
    written.push(b'\n');
    written.extend_from_slice(&draft.data);
    written
}

pub(super) fn member(member: &Member) -> Vec<u8> {
    json(member)
}

/// As JSON. These types have nothing that JSON cannot say.
pub(super) fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// What a message of a channel says; `None` where it was not written by a gateway.
pub(super) fn read(payload: &Bytes) -> Option<Told> {
    match payload.first_chunk::<2>()? {
        b"p " => read_publication(payload).map(Told::Publication),
        b"s " => {
            let (epoch, offset) = str::from_utf8(&payload[2..]).ok()?.split_once(' ')?;
            position(epoch, offset).map(Told::Skipped)
        }
        b"j " => serde_json::from_slice(&payload[2..]).ok().map(Told::Join),
        b"l " => serde_json::from_slice(&payload[2..]).ok().map(Told::Leave),
        _ => None,
    }
}

fn read_publication(payload: &Bytes) -> Option<Publication> {
    let end = memchr::memchr(b'\n', payload)?;
    let mut words = str::from_utf8(&payload[2..end]).ok()?.split(' ');
    let position = position(words.next()?, words.next()?)?;
    let timestamp_ms = words.next()?.parse().ok()?;
    publication(position, timestamp_ms, &payload.slice(end + 1..))
}

fn position(epoch: &str, offset: &str) -> Option<Position> {
    let is_epoch = (1..=64).contains(&epoch.len())
        && epoch.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'-');
    is_epoch.then_some(Position { epoch: epoch.into(), offset: offset.parse().ok()? })
}

fn publication(position: Position, timestamp_ms: u64, body: &Bytes) -> Option<Publication> {
    let end = memchr::memchr(b'\n', body)?;
    let header: Header = serde_json::from_slice(&body[..end]).ok()?;
    let data = body.slice(end + 1..);
    // It is written into frames as it stands.
    crate::json::check(&data).ok()?;
    let Header { key, publisher, traceparent } = header;
    let draft = Draft { data, key, publisher, traceparent };
    Some(Publication { position, timestamp_ms, draft })
}

/// What `publish` answers.
pub(super) fn read_position(answer: Value) -> Option<Position> {
    let (epoch, offset) = <(String, String)>::from_redis_value(answer).ok()?;
    position(&epoch, &offset)
}

/// What `history` answers, after a position: an entry that cannot be read is a hole, and so is one that is not there.
pub(super) fn read_history(answer: Value, after: Option<&Position>, limit: u32) -> Option<History> {
    type Entry = (u64, u64, Vec<u8>);
    let (epoch, offset, entries) = <(String, String, Vec<Entry>)>::from_redis_value(answer).ok()?;
    let newest = position(&epoch, &offset)?;
    let full = limit > 0 && entries.len() >= limit as usize;
    let mut items = Vec::with_capacity(entries.len());
    for (offset, timestamp_ms, body) in entries {
        let position = Position { epoch: Arc::clone(&newest.epoch), offset };
        items.extend(publication(position, timestamp_ms, &body.into()));
    }
    let complete = is_complete(&newest, &items, after, full || limit == 0);
    Some(History { newest, items, complete })
}

fn is_complete(
    newest: &Position,
    items: &[Publication],
    after: Option<&Position>,
    cut: bool,
) -> bool {
    let Some(after) = after else { return true };
    if after.epoch != newest.epoch || after.offset > newest.offset {
        return false;
    }
    let mut reached = after.offset;
    for item in items {
        if item.position.offset != reached + 1 {
            return false;
        }
        reached += 1;
    }
    cut || reached == newest.offset
}

/// Writes how far a consumer is: epoch, acknowledged, and sent, which is left out where it is not known.
pub(super) fn consumed(far: &Consumed) -> String {
    let sent = far.sent.map(|sent| sent.to_string()).unwrap_or_default();
    format!("{}:{}:{sent}", far.acked.epoch, far.acked.offset)
}

/// Reads it.
pub(super) fn read_consumed(written: &str) -> Option<Consumed> {
    let (rest, sent) = written.rsplit_once(':')?;
    let (epoch, offset) = rest.rsplit_once(':')?;
    let acked = Position { epoch: epoch.into(), offset: offset.parse().ok()? };
    Some(Consumed { acked, sent: sent.parse().ok() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_consumer_is_is_read_back() {
        let acked = Position { epoch: "1a:2b".into(), offset: 7 };
        for sent in [Some(9), None] {
            let far = Consumed { acked: acked.clone(), sent };
            assert_eq!(read_consumed(&consumed(&far)), Some(far));
        }
        assert_eq!(read_consumed("nonsense"), None);
    }
}
