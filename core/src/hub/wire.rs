//! How things are written for a subscriber: JSON, `MessagePack`, the spelling of the first generation, or events; with
//! or without deflate. What is written is whole frames, so that any number of them leave in one write.

use std::cell::RefCell;

use bytes::{BufMut, BytesMut};
use serde::Serialize;
use serde_json::value::RawValue;

use super::broker::{Member, Publication};
use crate::clock;
use crate::json;
use crate::reject::VALIDATION_ERROR;
use crate::websocket::Deflate;
use crate::websocket::message::{Opcode, put_deflated, put_frame};

/// How frames are spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Text frames of JSON.
    Json,
    /// Binary frames of `MessagePack`.
    Msgpack,
    /// Text frames of JSON as the first generation spelled them: `{"Message": {...}}`.
    Seed,
    /// Server-sent events; no frames of a WebSocket.
    Events,
}

/// How a subscriber is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wire {
    pub(crate) format: Format,
    pub(crate) deflate: Deflate,
}

/// What the server says, but for messages: each kind has some of the fields.
#[derive(Default, Serialize)]
pub(crate) struct ServerFrame<'f> {
    /// Empty where the spelling puts it elsewhere.
    #[serde(rename = "type", skip_serializing_if = "str::is_empty")]
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<&'f RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channel: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connection: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) epoch: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recovered: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) missed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subscribed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) member: Option<&'f Member>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) members: Option<&'f [Member]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) items: Option<Vec<Item<'f>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ping_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delay_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'f str>,
}

/// A message of a history.
#[derive(Serialize)]
pub(crate) struct Item<'f> {
    offset: u64,
    data: &'f RawValue,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<&'f str>,
}

impl<'f> Item<'f> {
    /// `None` where the data is no JSON, which a broker would have to have changed.
    pub(crate) fn read(publication: &'f Publication) -> Option<Self> {
        Some(Self {
            offset: publication.position.offset,
            data: serde_json::from_slice(&publication.draft.data).ok()?,
            timestamp: clock::timestamp_of(publication.timestamp_ms),
            key: publication.draft.key.as_deref(),
            publisher: publication.draft.publisher.as_deref(),
        })
    }
}

/// A message as all subscribers of a format get it.
#[derive(Serialize)]
struct MessageFrame<'f> {
    #[serde(rename = "type", skip_serializing_if = "str::is_empty")]
    kind: &'static str,
    channel: &'f str,
    data: &'f RawValue,
    epoch: &'f str,
    offset: u64,
    timestamp: &'f str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'f str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher: Option<&'f str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    redelivered: bool,
}

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that the scratch keeps between messages.
const KEPT: usize = 64 << 10;

// === impl Wire ===

impl Wire {
    /// Every way that there is.
    pub(crate) const fn plain(format: Format) -> Self {
        Self { format, deflate: Deflate::Off }
    }

    /// Writes a message behind others.
    pub(crate) fn put_message(self, out: &mut BytesMut, channel: &str, publication: &Publication) {
        self.put_publication(out, channel, publication, false);
    }

    /// Writes one that this consumer was sent before, or may have been.
    pub(crate) fn put_again(self, out: &mut BytesMut, channel: &str, publication: &Publication) {
        self.put_publication(out, channel, publication, true);
    }

    fn put_publication(
        self,
        out: &mut BytesMut,
        channel: &str,
        publication: &Publication,
        redelivered: bool,
    ) {
        let position = &publication.position;
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.clear();
            if self.write_message(scratch, channel, publication, redelivered).is_none() {
                // Data that no way to publish accepts: reported as not delivered.
                let lost = ServerFrame {
                    kind: "dropped",
                    channel: Some(channel),
                    count: Some(1),
                    epoch: Some(&position.epoch),
                    offset: Some(position.offset),
                    code: Some(VALIDATION_ERROR.code),
                    ..ServerFrame::default()
                };
                self.write(scratch, lost);
            }
            let id = (self.format == Format::Events).then_some((&*position.epoch, position.offset));
            self.put(out, scratch, id);
            if scratch.capacity() > KEPT {
                *scratch = Vec::new();
            }
        });
    }

    /// Writes something else behind others.
    pub(crate) fn put_frame(self, out: &mut BytesMut, frame: ServerFrame<'_>) {
        let mut payload = Vec::with_capacity(160);
        self.write(&mut payload, frame);
        self.put(out, &payload, None);
    }

    fn put(self, out: &mut BytesMut, payload: &[u8], id: Option<(&str, u64)>) {
        let opcode = match self.format {
            Format::Json | Format::Seed => Opcode::Text,
            Format::Msgpack => Opcode::Binary,
            Format::Events => {
                if let Some((epoch, offset)) = id {
                    out.put_slice(format!("id: {epoch}:{offset}\n").as_bytes());
                }
                // JSON of ours has no line breaks outside its strings, but that of a publisher may.
                for line in payload.split(|byte| matches!(byte, b'\n' | b'\r')) {
                    out.put_slice(b"data: ");
                    out.put_slice(line);
                    out.put_u8(b'\n');
                }
                return out.put_u8(b'\n');
            }
        };
        match self.deflate {
            Deflate::Off => put_frame(out, opcode, false, payload),
            deflate => put_deflated(out, opcode, deflate, payload),
        }
    }

    fn write_message(
        self,
        out: &mut Vec<u8>,
        channel: &str,
        publication: &Publication,
        redelivered: bool,
    ) -> Option<()> {
        let (position, draft) = (&publication.position, &publication.draft);
        let timestamp = clock::timestamp_of(publication.timestamp_ms);
        let kind = if channel == METRICS { "metrics_update" } else { "message" };
        let frame = MessageFrame {
            kind: if self.format == Format::Seed { "" } else { kind },
            channel,
            data: serde_json::from_slice(&draft.data).ok()?,
            epoch: &position.epoch,
            offset: position.offset,
            timestamp: &timestamp,
            key: draft.key.as_deref(),
            publisher: draft.publisher.as_deref(),
            redelivered,
        };
        self.finish(out, if kind == "message" { "Message" } else { "MetricsUpdate" }, &frame)
    }

    fn write(self, out: &mut Vec<u8>, mut frame: ServerFrame<'_>) {
        let kind = frame.kind;
        if self.format == Format::Seed {
            if kind == "pong" && frame.id.is_none() {
                return out.extend_from_slice(b"\"Pong\"");
            }
            frame.kind = "";
        }
        let mut name = kind.to_owned();
        if let Some(first) = name.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let _ = self.finish(out, &name, &frame);
    }

    /// Writes a frame in the format; `None` where it has no form there.
    fn finish(self, out: &mut Vec<u8>, name: &str, frame: &impl Serialize) -> Option<()> {
        match self.format {
            Format::Json | Format::Events => serde_json::to_writer(out, frame).ok(),
            Format::Seed => {
                out.extend_from_slice(b"{\"");
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"\":");
                serde_json::to_writer(&mut *out, frame).ok()?;
                out.push(b'}');
                Some(())
            }
            Format::Msgpack => {
                let json = serde_json::to_vec(frame).ok()?;
                json::to_messagepack(&json, out).ok()
            }
        }
    }
}

/// The channel of the gateway's own counters.
pub(crate) const METRICS: &str = "metrics";
/// The channel of its log: each message has the new lines, and how many were left out.
pub(crate) const LOG: &str = "log";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::hub::broker::{Draft, Position};

    fn publication(data: &'static str) -> Publication {
        Publication {
            position: Position { epoch: Arc::from("e"), offset: 7 },
            timestamp_ms: 0,
            draft: Draft { data: Bytes::from_static(data.as_bytes()), ..Draft::default() },
        }
    }

    fn written(format: Format, channel: &str, data: &'static str) -> BytesMut {
        let mut out = BytesMut::new();
        Wire::plain(format).put_message(&mut out, channel, &publication(data));
        out
    }

    #[test]
    fn a_message_is_one_frame_in_each_spelling() {
        let fields = r#""channel":"c","data":[1, 2],"epoch":"e","offset":7,"timestamp":"1970-01-01T00:00:00.000Z"}"#;

        let json = written(Format::Json, "c", "[1, 2]");
        let seed = written(Format::Seed, "c", "[1, 2]");
        let events = written(Format::Events, "c", "[1,\n2]");

        assert_eq!(&json[2..], format!(r#"{{"type":"message",{fields}"#).as_bytes());
        assert_eq!(&seed[2..], format!(r#"{{"Message":{{{fields}}}"#).as_bytes());
        let events = String::from_utf8(events.to_vec()).unwrap();
        assert!(events.starts_with("id: e:7\ndata: {\"type\":\"message\""), "{events}");
        assert!(events.contains("[1,\ndata: 2]") && events.ends_with("}\n\n"), "{events}");
        assert!(
            written(Format::Json, METRICS, "1").windows(16).any(|w| w == b"\"metrics_update\"")
        );
    }

    #[test]
    fn messagepack_has_the_same_fields_and_reports_what_it_cannot_hold() {
        let read = |bytes: &BytesMut| -> serde_json::Value {
            let mut json = Vec::new();
            json::from_messagepack(&bytes[2..], &mut json).unwrap();
            serde_json::from_slice(&json).unwrap()
        };

        let whole = read(&written(Format::Msgpack, "c", "{\"a\":1.5}"));
        let lost = read(&written(Format::Msgpack, "c", "1e999"));

        assert_eq!((&whole["data"]["a"], &whole["offset"]), (&1.5.into(), &7.into()));
        assert_eq!((&lost["type"], &lost["offset"]), (&"dropped".into(), &7.into()));
    }

    #[test]
    fn an_answer_has_the_fields_of_its_kind_alone() {
        let mut out = BytesMut::new();
        let frame = || ServerFrame { kind: "ack", offset: Some(1), ..ServerFrame::default() };

        Wire::plain(Format::Json).put_frame(&mut out, frame());
        Wire::plain(Format::Seed).put_frame(&mut out, frame());
        let pong = ServerFrame { kind: "pong", ..ServerFrame::default() };
        Wire::plain(Format::Seed).put_frame(&mut out, pong);

        let text = String::from_utf8_lossy(&out);
        assert!(text.contains(r#"{"type":"ack","offset":1}"#), "{text}");
        assert!(text.contains(r#"{"Ack":{"offset":1}}"#) && text.ends_with("\"Pong\""), "{text}");
    }
}
