//! `events`: a channel over server-sent events, for who cannot or need not have a socket. The id of an event is its
//! place, so that a browser that comes back says by itself what it has seen.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use tokio::sync::mpsc::{self, Sender};

use super::Hub;
use super::broker::{History, Position, Publication};
use super::channel::{Channel, Entered, Key, Subscribing};
use super::consumers::is_whole;
use super::feed::Given;
use super::policy::{Namespace, Refused, Want};
use super::registry::Place;
use super::seat::{Inbox, Note, Seat};
use super::socket::{Asking, reject};
use super::subscriptions::MOST;
use super::wire::{Format, ServerFrame, Wire};
use crate::answer::{Answer, Chunks, Content, StreamAborted};
use crate::percent::pairs;
use crate::reject::{NOT_FOUND, Rejection};

const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const LAST: HeaderName = HeaderName::from_static("last-event-id");
const WIRE: Wire = Wire::plain(Format::Events);
/// Chunks that may wait for a client; what it does not take stays with the channel, under its policy.
const WINDOW: usize = 4;
/// Bytes of a chunk, about.
const BUDGET: usize = 64 << 10;
/// Seconds of silence before a comment is sent, that tells what is between that the stream lives.
const SILENCE: Duration = Duration::from_secs(15);

/// A stream that is open: dropped, it has left its channel.
struct Stream {
    hub: Arc<Hub>,
    seat: Arc<Seat>,
    channel: Arc<Channel>,
    key: Key,
    _place: Place,
}

/// Begins a stream, or refuses it.
pub async fn open(asking: Asking<'_>) -> Result<Answer, Box<Rejection>> {
    let Asking { hub, parts, peer, claims, .. } = asking;
    let missing = || reject(Refused::new(&NOT_FOUND, "there is no such channel"));
    let name = asking.channel.ok_or_else(missing)?;
    let namespace = hub.policy.find(name).map_err(reject)?;
    hub.policy.check(namespace, name, Want::Subscribe, claims.as_deref()).map_err(reject)?;
    let since = last_seen(&parts.headers, parts.uri.query());
    let place = hub.seats.reserve(claims.as_deref(), peer).map_err(reject)?;
    let seat = Seat::new(peer, claims);
    hub.seats.add(&seat);
    hub.close_if_revoked(&seat);
    let (stream, first) =
        Stream::begin(hub, namespace, name, (seat, place), since).await.map_err(reject)?;
    let (sender, receiver) = mpsc::channel(WINDOW);
    let _ = sender.try_send(Ok(first));
    tokio::spawn(stream.run(sender));
    Ok(Answer {
        status: StatusCode::OK,
        content_type: Some(EVENTS),
        headers: vec![(CACHE_CONTROL, HeaderValue::from_static("no-store"))],
        content: Content::stream(Chunks::new(receiver, ())),
    })
}

/// The place that the client has seen last. A wrong one is one that nobody knows: what follows it is lost.
fn last_seen(headers: &HeaderMap, query: Option<&str>) -> Option<Position> {
    let given = match headers.get(LAST) {
        Some(value) => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        None => query
            .into_iter()
            .flat_map(pairs)
            .find(|(name, _)| name == "last_event_id")
            .map(|(_, value)| value.into_owned())?,
    };
    if given.is_empty() {
        return None;
    }
    let (epoch, offset) = given.rsplit_once(':').unwrap_or(("", ""));
    Some(Position { epoch: epoch.into(), offset: offset.parse().unwrap_or(u64::MAX) })
}

// === impl Stream ===

impl Stream {
    /// Subscribes, and writes what comes first: how it stands with what was missed, and that.
    async fn begin(
        hub: &Arc<Hub>,
        namespace: &Arc<Namespace>,
        name: &str,
        (seat, place): (Arc<Seat>, Place),
        since: Option<Position>,
    ) -> Result<(Self, Bytes), Refused> {
        let held = hub.broker(namespace).is_some();
        let who = Subscribing { seat: &seat, slot: 0, wire: WIRE, presence: false, held };
        let (channel, Entered { key, newest, missed }) =
            hub.enter(namespace, name, &who, since.as_ref())?;
        hub.figures.streams.fetch_add(1, Ordering::Relaxed);
        let stream = Self { hub: Arc::clone(hub), seat, channel, key, _place: place };
        let mut first = BytesMut::from(&b"retry: 2000\n\n"[..]);
        if held {
            let limit = if since.is_some() { MOST } else { 0 };
            let told = match hub.broker(namespace) {
                Some(broker) => {
                    broker.history(&stream.channel.name, since.clone(), limit).await.ok()
                }
                None => None,
            };
            let history = told.unwrap_or_else(|| History {
                newest: stream.channel.figures().0,
                items: Vec::new(),
                complete: false,
            });
            // What the answer is cut off before would be neither here nor after it.
            let whole = is_whole(&history);
            let History { newest, items, .. } = history;
            stream.recover(&mut first, since.as_ref(), whole.then_some(items), &newest);
            stream.channel.release(key, newest);
        } else {
            stream.recover(&mut first, since.as_ref(), missed, &newest);
        }
        Ok((stream, first.freeze()))
    }

    fn recover(
        &self,
        out: &mut BytesMut,
        since: Option<&Position>,
        missed: Option<Vec<Publication>>,
        newest: &Position,
    ) {
        if since.is_none() {
            // The place from which messages follow, for a client that is cut before the first.
            out.extend_from_slice(format!("id: {}:{}\n\n", newest.epoch, newest.offset).as_bytes());
            return;
        }
        let Some(missed) = missed else {
            let (epoch, offset) = (&newest.epoch, newest.offset);
            let event = format!(
                "id: {epoch}:{offset}\nevent: recovered\ndata: {{\"recovered\":false}}\n\n"
            );
            return out.extend_from_slice(event.as_bytes());
        };
        for one in &missed {
            WIRE.put_message(out, &self.channel.name, one);
        }
        let delivered = &self.channel.namespace.counters.delivered;
        delivered.fetch_add(missed.len() as u64, Ordering::Relaxed);
    }

    /// Writes until the client goes, its token ends, or it is told to go.
    async fn run(self, sender: Sender<Result<Bytes, StreamAborted>>) {
        let expires = self.seat.claims().map_or(u64::MAX, |claims| self.hub.end_of(&claims));
        let mut inbox = Inbox::default();
        let mut more = false;
        loop {
            let mut chunk = BytesMut::new();
            if more {
                more = self.take(&mut chunk);
            } else {
                let left = expires.saturating_sub(crate::clock::now_millis());
                let patience = SILENCE.min(Duration::from_millis(left));
                let something = poll_fn(|context| {
                    self.seat.open(context, &mut inbox);
                    let any = !inbox.ready.is_empty() || !inbox.notes.is_empty();
                    if any || inbox.order.is_some() { Poll::Ready(()) } else { Poll::Pending }
                });
                tokio::select! {
                    waited = tokio::time::timeout(patience, something) => {
                        if waited.is_err() {
                            chunk.extend_from_slice(b": \n\n");
                        }
                    }
                    () = sender.closed() => return,
                }
                if inbox.order.is_some() || left == 0 {
                    return;
                }
                for note in inbox.notes.drain(..) {
                    if let Note::Frames(frames) = note {
                        chunk.extend_from_slice(&frames);
                    }
                }
                if !inbox.ready.is_empty() {
                    inbox.ready.clear();
                    more = self.take(&mut chunk);
                }
            }
            if !chunk.is_empty() && sender.send(Ok(chunk.freeze())).await.is_err() {
                return;
            }
        }
    }

    fn take(&self, chunk: &mut BytesMut) -> bool {
        let mut given = Vec::new();
        let more = self.channel.take(self.key, BUDGET, &mut given);
        for given in given {
            match given {
                Given::Frames(frames, _) => chunk.extend_from_slice(&frames),
                Given::Dropped(count, place) => WIRE.put_frame(
                    chunk,
                    ServerFrame {
                        kind: "dropped",
                        channel: Some(&self.channel.name),
                        count: Some(count),
                        epoch: Some(&place.epoch),
                        offset: Some(place.offset),
                        ..ServerFrame::default()
                    },
                ),
            }
        }
        more
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.hub.exit(&self.channel, self.key);
        self.hub.seats.remove(&self.seat.name);
        self.hub.figures.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_read_of_the_header_and_else_of_the_query() {
        let place = |epoch: &str, offset| Some(Position { epoch: epoch.into(), offset });
        let headers = HeaderMap::from_iter([(LAST, HeaderValue::from_static("e:7"))]);

        assert_eq!(last_seen(&headers, Some("last_event_id=f:9")), place("e", 7));
        assert_eq!(last_seen(&HeaderMap::new(), Some("a=b&last_event_id=f%3A9")), place("f", 9));
        assert_eq!(last_seen(&HeaderMap::new(), None), None);
        assert_eq!(last_seen(&HeaderMap::new(), Some("last_event_id=x")), place("", u64::MAX));
    }
}
