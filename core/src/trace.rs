//! `trace`: the ids of a request, W3C Trace Context in and out.
//!
//! A caller's `traceparent` is read strictly (Trace Context level 2, section 3.2); B3's single
//! header is read where there is none. What is malformed is replaced, never refused: tracing must
//! not fail a request.

use std::sync::Arc;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::value::as_bytes;

/// The flag of a trace that is recorded.
const SAMPLED: u8 = 0b01;
/// The flag of a trace whose id is random, which level 2 lets samplers rely on.
const RANDOM: u8 = 0b10;
/// Members of a `tracestate` (section 3.3.1.1); with more it is discarded.
const STATE_MEMBERS_MAX: usize = 32;
/// Bytes of `tracestate` that are passed on (section 3.3.1.5).
const STATE_BYTES_MAX: usize = 512;
/// Bytes of a member that is kept when the state is too long: longer ones are dropped first.
const STATE_SHORT_MEMBER_BYTES: usize = 128;
/// Bytes of `tracestate` that are looked at; what exceeds them is discarded whole.
const STATE_READ_BYTES_MAX: usize = 16 << 10;
/// Bytes of a key and of a value.
const STATE_KEY_BYTES_MAX: usize = 256;
const STATE_VALUE_BYTES_MAX: usize = 256;
/// Characters of a caller's request id.
const REQUEST_ID_CHARACTERS: usize = 128;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
static B3: HeaderName = HeaderName::from_static("b3");
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The ids of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// 32 lower-case hex digits, from the caller's `traceparent` or new.
    #[serde(with = "as_bytes")]
    pub trace_id: [u8; 32],
    /// 16 lower-case hex digits, new: the gateway's own span.
    #[serde(with = "as_bytes")]
    pub span_id: [u8; 16],
    /// The caller's span, where the request names one.
    pub parent_id: Option<[u8; 16]>,
    /// The trace flags; bit 0 is `sampled`.
    pub flags: u8,
    /// The caller's `x-request-id` where it is well formed, otherwise new.
    pub request_id: Arc<str>,
    /// The caller's `tracestate`, passed on as it came where it is well formed.
    pub state: Option<Box<str>>,
}

/// What a caller says of the trace.
struct Parent {
    trace_id: [u8; 32],
    span_id: [u8; 16],
    flags: u8,
}

// === impl Trace ===

impl Trace {
    /// Reads the ids from a request's headers, and makes those that are missing or malformed.
    pub fn read(headers: &HeaderMap) -> Self {
        if let Some(given) = headers.get(&TRACEPARENT) {
            let only = headers.get_all(&TRACEPARENT).iter().count() == 1;
            let parent = if only { read_traceparent(given.as_bytes()) } else { None };
            // A `tracestate` belongs to its `traceparent`: without a valid one it says nothing.
            let state = parent.as_ref().and_then(|_| read_state(headers));
            return Self::continue_from(parent, SAMPLED, state, headers);
        }
        match headers.get(&B3).map(|value| read_b3(value.as_bytes())) {
            None => Self::continue_from(None, SAMPLED, None, headers),
            Some(B3Context::Parent(parent)) => {
                Self::continue_from(Some(parent), SAMPLED, None, headers)
            }
            Some(B3Context::Flags(flags)) => Self::continue_from(None, flags, None, headers),
        }
    }

    /// Ids of a message on a socket, within the trace that it names, if that is well formed.
    pub fn of_message(traceparent: Option<&str>) -> Self {
        let parent = traceparent.and_then(|text| read_traceparent(text.as_bytes()));
        Self::continue_from(parent, SAMPLED, None, &HeaderMap::new())
    }

    /// Whether the trace's id is random, as its caller says or as it was made here.
    pub fn is_random(&self) -> bool {
        self.flags & RANDOM != 0
    }

    /// Writes the header that names the gateway's span as the parent.
    pub fn traceparent(&self) -> HeaderValue {
        let mut text = *b"00-................................-................-00";
        text[3..35].copy_from_slice(&self.trace_id);
        text[36..52].copy_from_slice(&self.span_id);
        text[53] = DIGITS[usize::from(self.flags >> 4)];
        text[54] = DIGITS[usize::from(self.flags & 0xf)];
        // The ids are hex digits, so the fallback is never taken; it spares a panic.
        HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    fn continue_from(
        parent: Option<Parent>,
        flags: u8,
        state: Option<Box<str>>,
        headers: &HeaderMap,
    ) -> Self {
        let (trace_id, parent_id, flags) = match parent {
            Some(parent) => (parent.trace_id, Some(parent.span_id), parent.flags),
            None => (new_trace_id(), None, flags | RANDOM),
        };
        let request_id = read_request_id(headers);
        Self { trace_id, span_id: new_span_id(), parent_id, flags, request_id, state }
    }
}

fn new_trace_id() -> [u8; 32] {
    // All zeros is the one id that is invalid.
    hex(fastrand::u128(..).max(1).to_be_bytes())
}

fn new_span_id() -> [u8; 16] {
    hex(fastrand::u64(..).max(1).to_be_bytes())
}

fn hex<const BYTES: usize, const HEX: usize>(bytes: [u8; BYTES]) -> [u8; HEX] {
    let mut text = [b'0'; HEX];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 0xf)];
    }
    text
}

/// Version 00 has exactly 55 characters; a later one may have more after a hyphen; `ff` is no
/// version.
fn read_traceparent(text: &[u8]) -> Option<Parent> {
    let (head, rest) = text.split_at_checked(55)?;
    let [v1, v2, b'-', ids @ .., b'-', f1, f2] = head else { return None };
    let version = byte(*v1, *v2)?;
    match (version, rest) {
        (0xff, _) => return None,
        (_, []) | (1.., [b'-', ..]) => {}
        _ => return None,
    }
    let (trace_id, rest) = ids.split_first_chunk::<32>()?;
    let [b'-', span_id @ ..] = rest else { return None };
    // Flags that this version does not define are not passed on.
    let flags = byte(*f1, *f2)? & (SAMPLED | RANDOM);
    Some(Parent { trace_id: id(trace_id)?, span_id: id(span_id)?, flags })
}

/// The members of all `tracestate` lines as one list, or `None` where it is empty or not valid: a list
/// that breaks one rule is discarded whole (section 3.3.1), which leaves `traceparent` as it is.
fn read_state(headers: &HeaderMap) -> Option<Box<str>> {
    let mut members: Vec<&str> = Vec::new();
    let (mut seen, mut count, mut total) = (0, 0, 0);
    for line in headers.get_all(&TRACESTATE) {
        let line = line.to_str().ok()?;
        seen += line.len();
        if seen > STATE_READ_BYTES_MAX {
            return None;
        }
        for member in line.split(',').map(|member| member.trim_matches([' ', '\t'])) {
            if member.is_empty() {
                continue; // allowed, and not passed on
            }
            let (key, value) = member.split_once('=')?;
            count += 1;
            if count > STATE_MEMBERS_MAX || !is_state_key(key) || !is_state_value(value) {
                return None;
            }
            // Of a key that is there twice the first member counts, which is the newest.
            let repeated = members
                .iter()
                .any(|known| known.strip_prefix(key).is_some_and(|rest| rest.starts_with('=')));
            if repeated {
                continue;
            }
            members.push(member);
            total += member.len() + 1;
        }
    }
    shorten(&mut members, total.saturating_sub(1));
    (!members.is_empty()).then(|| members.join(",").into())
}

/// Drops members until the list has at most [`STATE_BYTES_MAX`] bytes: long ones first, then from the
/// end, where the oldest are (section 3.3.1.5).
fn shorten(members: &mut Vec<&str>, mut total: usize) {
    while total > STATE_BYTES_MAX {
        let long = members.iter().rposition(|member| member.len() > STATE_SHORT_MEMBER_BYTES);
        let Some(last) = long.or(members.len().checked_sub(1)) else { return };
        total = total.saturating_sub(members.remove(last).len() + 1);
    }
}

/// A key of level 2 (section 3.3.1.3.1), where `@` is a character like others.
fn is_state_key(key: &str) -> bool {
    key.len() <= STATE_KEY_BYTES_MAX
        && key.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && key.bytes().all(
            |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/' | b'@'),
        )
}

/// Printable ASCII but `,` and `=`; the space at its end was cut off with the member's.
fn is_state_value(value: &str) -> bool {
    (1..=STATE_VALUE_BYTES_MAX).contains(&value.len())
        && value.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'='))
}

/// What the single header of B3 says.
enum B3Context {
    Parent(Parent),
    /// Only whether to sample, or nothing that is well formed.
    Flags(u8),
}

/// `{trace}-{span}`, `{trace}-{span}-{sampling}`, the same with `-{parent}`, or `{sampling}` alone.
fn read_b3(text: &[u8]) -> B3Context {
    match text {
        b"0" => B3Context::Flags(0),
        _ => read_b3_parent(text).map_or(B3Context::Flags(SAMPLED), B3Context::Parent),
    }
}

fn read_b3_parent(text: &[u8]) -> Option<Parent> {
    let mut parts = text.split(|byte| *byte == b'-');
    let (trace, span) = (parts.next()?, parts.next()?);
    let flags = match parts.next() {
        Some(b"0") => 0,
        None | Some(b"1" | b"d") => SAMPLED,
        Some(_) => return None,
    };
    if parts.next().is_some_and(|parent| id::<16>(parent).is_none()) || parts.next().is_some() {
        return None;
    }
    let mut trace_id = [b'0'; 32];
    match trace.len() {
        32 => trace_id.copy_from_slice(trace),
        16 => trace_id[16..].copy_from_slice(trace),
        _ => return None,
    }
    Some(Parent { trace_id: id(&trace_id)?, span_id: id(span)?, flags })
}

/// An id of the caller's: lower-case hex that is not all zeros.
fn id<const HEX: usize>(text: &[u8]) -> Option<[u8; HEX]> {
    let id: [u8; HEX] = text.try_into().ok()?;
    let zeros = id.iter().all(|digit| *digit == b'0');
    let digits = id.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    (digits && !zeros).then_some(id)
}

fn byte(high: u8, low: u8) -> Option<u8> {
    let digit = |text| match text {
        b'0'..=b'9' => Some(text - b'0'),
        b'a'..=b'f' => Some(text - b'a' + 10),
        _ => None,
    };
    Some(digit(high)? << 4 | digit(low)?)
}

fn read_request_id(headers: &HeaderMap) -> Arc<str> {
    let given = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    match given.filter(|text| is_request_id(text)) {
        Some(text) => text.into(),
        None => String::from_utf8_lossy(&new_trace_id()).into(),
    }
}

fn is_request_id(text: &str) -> bool {
    (1..=REQUEST_ID_CHARACTERS).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn read(given: &[(&'static str, &str)]) -> Trace {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, HeaderValue::from_str(value).expect("a header's value"));
        }
        Trace::read(&headers)
    }

    fn continues(traceparent: &str) -> bool {
        let trace = read(&[("traceparent", traceparent)]);
        assert_eq!(trace.trace_id == TRACE.as_bytes(), trace.parent_id.is_some(), "{traceparent}");
        trace.parent_id.is_some()
    }

    #[test]
    fn a_traceparent_is_continued_with_a_span_of_our_own() {
        let trace = read(&[("traceparent", &format!("00-{TRACE}-{SPAN}-01"))]);

        assert_eq!(trace.trace_id, TRACE.as_bytes());
        assert_eq!(trace.parent_id.as_ref().map(<[u8; 16]>::as_slice), Some(SPAN.as_bytes()));
        assert_ne!(trace.span_id, SPAN.as_bytes());
        assert_eq!(trace.flags, 1);
        let span = String::from_utf8_lossy(&trace.span_id).into_owned();
        assert_eq!(trace.traceparent(), format!("00-{TRACE}-{span}-01"));
    }

    #[test]
    fn a_malformed_traceparent_starts_a_new_trace() {
        for wrong in [
            String::new(),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-01-"),
            format!("00-{TRACE}-{SPAN}-01-extra"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0g-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-0x"),
            format!("00_{TRACE}-{SPAN}-01"),
            format!("01-{TRACE}-{SPAN}-01."),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{}-{SPAN}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
        ] {
            assert!(!continues(&wrong), "{wrong}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        assert!(continues(&format!("01-{TRACE}-{SPAN}-01")));
        assert!(continues(&format!("cc-{TRACE}-{SPAN}-01-what-the-future-brings")));
    }

    #[test]
    fn two_traceparents_start_a_new_trace() {
        let given = format!("00-{TRACE}-{SPAN}-01");

        let trace = read(&[("traceparent", &given), ("traceparent", &given)]);

        assert!(trace.parent_id.is_none());
    }

    #[test]
    fn flags_that_are_not_defined_are_not_passed_on() {
        assert_eq!(read(&[("traceparent", &format!("00-{TRACE}-{SPAN}-ff"))]).flags, 0b11);
        assert_eq!(read(&[("traceparent", &format!("00-{TRACE}-{SPAN}-00"))]).flags, 0);
    }

    #[test]
    fn the_ids_of_a_new_trace_are_random_and_say_so() {
        let (one, other) = (read(&[]), read(&[]));

        assert_ne!(one.trace_id, other.trace_id);
        assert_ne!(one.span_id, other.span_id);
        assert_ne!(one.request_id, other.request_id);
        assert_eq!(one.flags, SAMPLED | RANDOM);
    }

    fn state(lines: &[&str]) -> Option<String> {
        let parent = format!("00-{TRACE}-{SPAN}-01");
        let mut headers = vec![("traceparent", parent.as_str())];
        headers.extend(lines.iter().map(|line| ("tracestate", *line)));
        read(&headers).state.map(Into::into)
    }

    fn list(members: usize) -> String {
        (0..members).map(|number| format!("m{number:02}={number}")).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn a_tracestate_is_passed_on_with_a_valid_traceparent_only() {
        assert_eq!(state(&["a=1", "b=2"]).as_deref(), Some("a=1,b=2"));
        assert_eq!(read(&[("tracestate", "a=1")]).state, None);
        assert_eq!(read(&[("traceparent", "00"), ("tracestate", "a=1")]).state, None);
    }

    #[test]
    fn a_tracestate_is_one_list_of_at_most_32_members_without_its_empty_ones() {
        assert_eq!(
            state(&["a=1 \t , \t b=2,,", "", " ,\t", "c=3"]).as_deref(),
            Some("a=1,b=2,c=3")
        );
        assert_eq!(state(&[&list(32)]), Some(list(32)));
        assert_eq!(state(&[&list(31), "z=1"]).map(|text| text.matches('=').count()), Some(32));
        for empty in [&[""][..], &[",", "\t"], &[&list(33)], &[&list(32), "z=1"]] {
            assert_eq!(state(empty), None, "{empty:?}");
        }
    }

    #[test]
    fn a_member_of_a_tracestate_has_a_key_and_a_value_of_the_specification() {
        let long = "z".repeat(256);
        let value = "v".repeat(256);
        for good in [
            "a=1".to_owned(),
            "0a=1".into(),
            "a_-*/0=!~#$%&'()*+-./:;<>?@[]^_`{|}".into(),
            "a=1 2".into(),
            "t@v=1".into(),
            "0_-*/@v0_-*/=1".into(),
            format!("{long}=1"),
            "foo@=1".into(),
            "foo@@bar=1".into(),
            "foo@bar@baz=1".into(),
            format!("{}@v=1", "t".repeat(242)),
            format!("t@{}=1", "v".repeat(254)),
            format!("a={value}"),
        ] {
            assert_eq!(state(&[&good]), Some(good));
        }
        for wrong in [
            "a".to_owned(),
            "=1".into(),
            "a=".into(),
            "a=b=c".into(),
            "a =1".into(),
            "A=1".into(),
            "a.b=1".into(),
            "_a=1".into(),
            "@a=1".into(),
            "a=\t1,b=2".into(),
            format!("{long}z=1"),
            format!("t@{}=1", "v".repeat(255)),
            format!("a={value}v"),
        ] {
            assert_eq!(state(&[&format!("good=1,{wrong}")]), None, "{wrong}");
            assert_eq!(state(&["good=1", &wrong]), None, "{wrong}");
        }
        for (twice, first) in [("a=1,a=1", "a=1"), ("a=2,b=1,a=1", "a=2,b=1")] {
            assert_eq!(state(&[twice]).as_deref(), Some(first));
        }
        // A key that begins like another is not the same.
        assert_eq!(state(&["ab=1,a=2"]).as_deref(), Some("ab=1,a=2"));
    }

    #[test]
    fn a_tracestate_that_is_too_long_loses_long_members_first_and_then_the_last() {
        let (long, short) = (format!("long={}", "v".repeat(150)), "s".repeat(100));
        let all: Vec<String> =
            (0..6).map(|number| format!("k{number}={short}")).chain([long]).collect();

        assert_eq!(state(&[&all.join(",")]), Some(all[..4].join(",")));
    }

    #[test]
    fn a_b3_header_is_read_where_there_is_no_traceparent() {
        let long = read(&[("b3", &format!("{TRACE}-{SPAN}-0-05e3ac9a4f6e3b90"))]);
        let short = read(&[("b3", &format!("{SPAN}-{SPAN}"))]);
        let both = read(&[("b3", &format!("{SPAN}-{SPAN}")), ("traceparent", "00")]);

        assert_eq!((long.trace_id.as_slice(), long.flags), (TRACE.as_bytes(), 0));
        assert_eq!(short.trace_id, format!("{}{SPAN}", "0".repeat(16)).as_bytes());
        assert_eq!(short.flags, SAMPLED);
        assert!(both.parent_id.is_none());
    }

    #[test]
    fn a_b3_header_that_only_says_not_to_sample_is_heard() {
        assert_eq!(read(&[("b3", "0")]).flags & SAMPLED, 0);
        assert_eq!(read(&[("b3", "1")]).flags & SAMPLED, SAMPLED);
        for wrong in [format!("{TRACE}-{SPAN}-x"), format!("{TRACE}-{SPAN}-1-zz"), "a-b".into()] {
            assert!(read(&[("b3", &wrong)]).parent_id.is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_request_id_is_kept_where_it_is_well_formed() {
        assert_eq!(&*read(&[("x-request-id", "Job.7_a:b-c")]).request_id, "Job.7_a:b-c");
        for wrong in ["", "a b", "a\"b", "ä", &"a".repeat(129)] {
            let id = read(&[("x-request-id", wrong)]).request_id;
            assert_eq!(id.len(), 32, "{wrong}");
            assert!(id.bytes().all(|digit| digit.is_ascii_hexdigit()));
        }
    }

    proptest! {
        #[test]
        fn whatever_is_sent_what_is_written_is_read_back(
            parent in "\\PC{0,60}", b3 in "[0-9a-f-]{0,60}", state in "[ -~]{0,40}",
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in [("traceparent", parent), ("b3", b3), ("tracestate", state)] {
                if let Ok(value) = HeaderValue::from_str(&value) {
                    headers.insert(name, value);
                }
            }
            let trace = Trace::read(&headers);
            let text = trace.traceparent();
            let again = read(&[("traceparent", text.to_str().unwrap())]);
            prop_assert_eq!(again.trace_id, trace.trace_id);
            prop_assert_eq!(again.parent_id, Some(trace.span_id));
            prop_assert_eq!(again.flags, trace.flags);
        }
    }
}
