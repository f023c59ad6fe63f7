//! The frames of clients as they are read: in today's spelling, or in that of the first generation.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::broker::Position;
use super::policy::Refused;
use crate::json;
use crate::reject::{MALFORMED_BODY, VALIDATION_ERROR};

/// Characters of an id, as it is written.
pub(super) const ID: usize = 128;

/// A frame of a client; each kind has some of the fields.
#[derive(Deserialize)]
pub(super) struct ClientFrame<'f> {
    #[serde(rename = "type", borrow, default)]
    pub(super) kind: Cow<'f, str>,
    #[serde(borrow, default)]
    pub(super) channel: Cow<'f, str>,
    /// `null` is data too.
    #[serde(borrow, default, alias = "message", deserialize_with = "given")]
    pub(super) data: Option<&'f RawValue>,
    #[serde(borrow, default)]
    pub(super) id: Option<&'f RawValue>,
    #[serde(default)]
    pub(super) epoch: Option<Arc<str>>,
    #[serde(default)]
    pub(super) offset: Option<u64>,
    #[serde(default)]
    pub(super) limit: Option<u32>,
    #[serde(default)]
    pub(super) presence: bool,
    #[serde(default)]
    pub(super) key: Option<Arc<str>>,
    #[serde(default)]
    pub(super) traceparent: Option<Arc<str>>,
    #[serde(default)]
    pub(super) token: Option<String>,
    #[serde(borrow, default)]
    pub(super) consumer: Option<Cow<'f, str>>,
}

/// The same as the first generation spelled it.
#[derive(Deserialize)]
enum Seed<'f> {
    #[serde(borrow)]
    Subscribe(ClientFrame<'f>),
    #[serde(borrow)]
    Unsubscribe(ClientFrame<'f>),
    #[serde(borrow)]
    Publish(ClientFrame<'f>),
    #[serde(borrow)]
    History(ClientFrame<'f>),
    #[serde(borrow)]
    Presence(ClientFrame<'f>),
    #[serde(borrow)]
    Ack(ClientFrame<'f>),
    #[serde(borrow)]
    Auth(ClientFrame<'f>),
    #[serde(borrow)]
    Ping(ClientFrame<'f>),
    #[serde(borrow)]
    Pong(ClientFrame<'f>),
}

/// What can still be read of a frame that is wrong.
#[derive(Deserialize)]
pub(super) struct Nameless<'f> {
    #[serde(borrow, default)]
    pub(super) id: Option<&'f RawValue>,
}

fn given<'de: 'f, 'f, D: Deserializer<'de>>(from: D) -> Result<Option<&'f RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

// === impl Seed ===

impl<'f> Seed<'f> {
    fn frame(self) -> ClientFrame<'f> {
        let (kind, frame) = match self {
            Self::Subscribe(frame) => ("subscribe", frame),
            Self::Unsubscribe(frame) => ("unsubscribe", frame),
            Self::Publish(frame) => ("publish", frame),
            Self::History(frame) => ("history", frame),
            Self::Presence(frame) => ("presence", frame),
            Self::Ack(frame) => ("ack", frame),
            Self::Auth(frame) => ("auth", frame),
            Self::Ping(frame) => ("ping", frame),
            Self::Pong(frame) => ("pong", frame),
        };
        ClientFrame { kind: kind.into(), ..frame }
    }
}

// === impl ClientFrame ===

impl ClientFrame<'_> {
    pub(super) fn position(&self) -> Result<Option<Position>, Refused> {
        match (&self.epoch, self.offset) {
            (Some(epoch), Some(offset)) => Ok(Some(Position { epoch: Arc::clone(epoch), offset })),
            (None, None) => Ok(None),
            _ => {
                let sentence = "a position has both an epoch and an offset";
                Err(Refused::new(&VALIDATION_ERROR, sentence))
            }
        }
    }
}

/// Reads a frame, and whether it is spelled as the first generation did.
pub(super) fn read(json: &[u8]) -> Result<(ClientFrame<'_>, bool), Refused> {
    match json.trim_ascii() {
        b"\"Ping\"" => return Ok((ClientFrame::bare("ping"), true)),
        b"\"Pong\"" => return Ok((ClientFrame::bare("pong"), true)),
        [b'{', ..] => {}
        _ => return Err(Refused::new(&MALFORMED_BODY, "a frame is a JSON object")),
    }
    let frame: ClientFrame<'_> = serde_json::from_slice(json).map_err(|error| malformed(&error))?;
    if !frame.kind.is_empty() {
        return Ok((frame, false));
    }
    match serde_json::from_slice::<Seed<'_>>(json) {
        Ok(seed) => Ok((seed.frame(), true)),
        Err(_) => Err(missing("type")),
    }
}

impl ClientFrame<'_> {
    fn bare(kind: &'static str) -> Self {
        Self {
            kind: kind.into(),
            channel: "".into(),
            data: None,
            id: None,
            epoch: None,
            offset: None,
            limit: None,
            presence: false,
            key: None,
            traceparent: None,
            token: None,
            consumer: None,
        }
    }
}

pub(super) fn is_id(id: &RawValue) -> bool {
    let text = id.get();
    let is_text = || text.starts_with('"') && json::check(text.as_bytes()).is_ok();
    let is_integer = || text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok();
    text.len() <= ID && (is_integer() || is_text())
}

pub(super) fn missing(field: &str) -> Refused {
    Refused::new(&VALIDATION_ERROR, format!("the frame has no `{field}`"))
}

pub(super) fn malformed(error: &serde_json::Error) -> Refused {
    if error.is_data() {
        return Refused::new(
            &VALIDATION_ERROR,
            format!("the frame is not what it must be: {error}"),
        );
    }
    Refused::new(&MALFORMED_BODY, format!("the frame is not JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(json: &str) -> (ClientFrame<'_>, bool) {
        read(json.as_bytes()).ok().unwrap()
    }

    fn code(json: &str) -> &'static str {
        read(json.as_bytes()).err().unwrap().kind.code
    }

    #[test]
    fn both_spellings_say_the_same() {
        let (now, seed) = frame(r#"{"type":"publish","channel":"c","data":null,"id":1}"#);
        let (then, old) = frame(r#"{"Publish":{"channel":"c","message":null,"id":1}}"#);
        let (ping, bare) = frame(" \"Ping\" ");

        assert_eq!((seed, old, bare), (false, true, true));
        assert_eq!((&*now.kind, &*now.channel), (&*then.kind, &*then.channel));
        assert_eq!(now.data.unwrap().get(), "null");
        assert_eq!(then.data.unwrap().get(), "null");
        assert_eq!(ping.kind, "ping");
    }

    #[test]
    fn what_is_no_frame_is_told_apart_from_what_is_no_json() {
        assert_eq!(code("{"), "malformed_body");
        assert_eq!(code("7"), "malformed_body");
        assert_eq!(code("{}"), "validation_error");
        assert_eq!(code(r#"{"type":7}"#), "validation_error");
        assert_eq!(code(r#"{"Teleport":{}}"#), "validation_error");
        assert_eq!(code(r#"{"type":"ping","type":"pong"}"#), "validation_error");
    }

    #[test]
    fn an_id_is_a_short_string_or_an_integer() {
        let is = |json: &str| is_id(serde_json::from_str(json).unwrap());

        assert!(is("\"a\"") && is("0") && is("-5") && is("18446744073709551615"));
        assert!(!is(r#""\ud800""#) && !is("18446744073709551616") && !is("-9223372036854775809"));
        assert!(!is("1.5") && !is("null") && !is("[1]") && !is("true") && !is("{}"));
        assert!(!is(&format!("\"{}\"", "x".repeat(ID))));
    }

    #[test]
    fn a_position_needs_both_of_its_parts() {
        let place = |json| frame(json).0.position().map_err(|why| why.kind.code);

        assert_eq!(place(r#"{"type":"subscribe"}"#), Ok(None));
        assert!(place(r#"{"type":"subscribe","epoch":"e","offset":1}"#).unwrap().is_some());
        assert_eq!(place(r#"{"type":"subscribe","offset":1}"#), Err("validation_error"));
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_makes_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            text in r#"\{?"?(type|Publish|id|data)?"?:?[\[\{"0-9a-z:,\}\]]{0,60}"#,
        ) {
            let _ = read(&bytes);
            let _ = read(text.as_bytes());
        }
    }
}
