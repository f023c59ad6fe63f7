//! Messages: what a client sent, how its socket ended, and a message of ours encoded once for everybody.

use std::sync::OnceLock;

use bytes::{BufMut, Bytes, BytesMut};

use super::deflate::{self, Deflate};

/// Bytes; shorter messages gain nothing by compression.
const WORTH_DEFLATING: usize = 128;
/// Bytes; the longest payload of a control frame (RFC 6455, section 5.5).
pub const CONTROL_BYTES: usize = 125;

/// What a client sent. A close is not among them: [`super::Socket::receive`] answers it and ends with [`Closed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Valid UTF-8.
    Text(Bytes),
    /// Any bytes.
    Binary(Bytes),
    /// Answered already.
    Ping(Bytes),
    /// To a ping, or unasked.
    Pong(Bytes),
}

/// How a socket ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Of the close frame, theirs or ours, whichever was first; 1005 where it had none, 1006 where none came.
    pub code: u16,
    /// Of the same frame.
    pub reason: Box<str>,
    /// Whether both sides said so.
    pub clean: bool,
}

impl Closed {
    /// The connection was cut without a close frame.
    pub fn lost() -> Self {
        Self { code: 1006, reason: "".into(), clean: false }
    }
}

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "closed with {}", self.code)?;
        if self.reason.is_empty() { Ok(()) } else { write!(f, ": {}", self.reason) }
    }
}

impl std::error::Error for Closed {}

/// What a frame holds (RFC 6455, section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// More of a fragmented message.
    Continuation,
    /// UTF-8.
    Text,
    /// Bytes.
    Binary,
    /// The end.
    Close,
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
}

impl Opcode {
    /// As on the wire; `None` for those that are reserved.
    pub fn read(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    /// Whether it is a control frame.
    pub fn is_control(self) -> bool {
        self.bits() >= 8
    }
}

/// A message of the server, encoded once for all sockets that it goes to; clones share what was made.
#[derive(Debug)]
pub struct Encoded {
    opcode: Opcode,
    plain: Bytes,
    /// By window: made when the first socket needs it, the plain frame where deflating does not shorten it.
    full: OnceLock<Bytes>,
    small: OnceLock<Bytes>,
}

impl Encoded {
    /// A text message; `payload` must be UTF-8, for the frame says so to the client.
    pub fn text(payload: &[u8]) -> Self {
        debug_assert!(std::str::from_utf8(payload).is_ok(), "a text message is UTF-8");
        Self::new(Opcode::Text, payload)
    }

    /// A binary message.
    pub fn binary(payload: &[u8]) -> Self {
        Self::new(Opcode::Binary, payload)
    }

    fn new(opcode: Opcode, payload: &[u8]) -> Self {
        let plain = frame(opcode, false, payload);
        Self { opcode, plain, full: OnceLock::new(), small: OnceLock::new() }
    }

    /// The frame for a socket that negotiated `deflate` ([`super::Socket::deflate`]).
    pub fn frame(&self, deflate: Deflate) -> Bytes {
        let made = match deflate {
            Deflate::Off => return self.plain.clone(),
            Deflate::Full => &self.full,
            Deflate::Small => &self.small,
        };
        made.get_or_init(|| self.deflated(deflate)).clone()
    }

    fn payload(&self) -> &[u8] {
        // The header is as long as the frame's length makes it, see `frame`.
        let header = match self.plain.len() {
            0..=127 => 2,
            128..=65_539 => 4,
            _ => 10,
        };
        self.plain.get(header..).unwrap_or_default()
    }

    fn deflated(&self, deflate: Deflate) -> Bytes {
        let payload = self.payload();
        if payload.len() < WORTH_DEFLATING {
            return self.plain.clone();
        }
        match deflate::compress(payload, deflate) {
            Some(short) if short.len() < payload.len() => frame(self.opcode, true, &short),
            _ => self.plain.clone(),
        }
    }
}

/// A whole frame of the server: final and not masked (RFC 6455, section 5.1).
pub fn frame(opcode: Opcode, deflated: bool, payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(payload.len() + 10);
    put_frame(&mut bytes, opcode, deflated, payload);
    bytes.freeze()
}

/// Writes a whole frame behind others.
pub fn put_frame(bytes: &mut BytesMut, opcode: Opcode, deflated: bool, payload: &[u8]) {
    bytes.put_u8(0x80 | u8::from(deflated) << 6 | opcode.bits());
    match payload.len() {
        short @ 0..=125 => bytes.put_u8(short as u8),
        medium @ 126..=0xffff => {
            bytes.put_u8(126);
            bytes.put_u16(medium as u16);
        }
        long => {
            bytes.put_u8(127);
            bytes.put_u64(long as u64);
        }
    }
    bytes.put_slice(payload);
}

/// Writes a whole frame behind others, deflated where that shortens it.
pub fn put_deflated(bytes: &mut BytesMut, opcode: Opcode, deflate: Deflate, payload: &[u8]) {
    if payload.len() >= WORTH_DEFLATING
        && let Some(short) = deflate::compress(payload, deflate)
        && short.len() < payload.len()
    {
        return put_frame(bytes, opcode, true, &short);
    }
    put_frame(bytes, opcode, false, payload);
}

/// A frame for one socket alone, deflated wherever that was agreed to, also where it does not shorten the message.
pub fn deflated_frame(opcode: Opcode, payload: &[u8], deflate: Deflate) -> Bytes {
    match deflate::compress(payload, deflate) {
        Some(deflated) => frame(opcode, true, &deflated),
        None => frame(opcode, false, payload),
    }
}

/// A close frame; 1005 is written as a frame without a code. The reason is cut at what fits.
pub fn close_frame(code: u16, reason: &str) -> Bytes {
    if code == 1005 {
        return frame(Opcode::Close, false, &[]);
    }
    let mut end = reason.len().min(CONTROL_BYTES - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(&reason.as_bytes()[..end]);
    frame(Opcode::Close, false, &payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_found_behind_each_length_of_header() {
        for length in [0, 1, 125, 126, 127, 128, 65_535, 65_536, 70_000] {
            let payload = vec![b'a'; length];

            let encoded = Encoded::binary(&payload);

            assert_eq!(encoded.payload(), payload, "{length}");
            assert_eq!(encoded.frame(Deflate::Off)[0], 0x82);
        }
    }

    #[test]
    fn a_message_is_deflated_once_and_only_where_that_shortens_it() {
        let long = Encoded::text(&[b'a'; 1000]);
        let short = Encoded::text(b"a");
        let noise: Vec<u8> = (0..1000).map(|_| fastrand::u8(..)).collect();
        let noise = Encoded::binary(&noise);

        let (first, again) = (long.frame(Deflate::Full), long.frame(Deflate::Full));

        assert_eq!(first[0], 0xc1);
        assert!(first.len() < 100, "{}", first.len());
        assert_eq!(first.as_ptr(), again.as_ptr());
        assert_eq!(short.frame(Deflate::Full), short.frame(Deflate::Off));
        assert_eq!(noise.frame(Deflate::Small), noise.frame(Deflate::Off));
    }

    #[test]
    fn a_message_that_is_too_long_to_deflate_is_sent_plain() {
        let longest = vec![b'a'; deflate::DEFLATED_BYTES_MAX];
        let longer = vec![b'a'; deflate::DEFLATED_BYTES_MAX + 1];

        let mut written = BytesMut::new();
        put_deflated(&mut written, Opcode::Text, Deflate::Full, &longer);

        assert_eq!(Encoded::text(&longest).frame(Deflate::Full)[0], 0xc1);
        assert_eq!(Encoded::text(&longer).frame(Deflate::Full)[0], 0x81);
        assert_eq!(deflated_frame(Opcode::Text, &longer, Deflate::Small)[0], 0x81);
        assert_eq!((written[0], written.len()), (0x81, longer.len() + 10));
    }

    #[test]
    fn a_frame_for_one_socket_is_deflated_wherever_that_was_agreed_to() {
        let plain = deflated_frame(Opcode::Text, b"a", Deflate::Off);
        let deflated = deflated_frame(Opcode::Text, b"a", Deflate::Full);

        assert_eq!(&plain[..], [0x81, 1, b'a']);
        assert_eq!(deflated[0], 0xc1);
    }

    #[test]
    fn a_close_frame_holds_as_much_of_the_reason_as_fits() {
        let reason = "é".repeat(100);

        let cut = close_frame(1001, &reason);

        assert_eq!(cut.len(), 2 + 2 + 122);
        assert_eq!(close_frame(1005, "x"), Bytes::from_static(&[0x88, 0]));
        assert_eq!(Closed::lost().to_string(), "closed with 1006");
        let closed = Closed { code: 1001, reason: "away".into(), clean: true };
        assert_eq!(closed.to_string(), "closed with 1001: away");
    }
}
