//! HTTP/2 (RFC 9113) as it passes: the heads of the frames are read in both directions beside hyper,
//! for what hyper leaves open. Frames that serve no request use up a budget, and a response whose
//! flow-control window stays empty is found, so that its connection is closed.

use ahash::AHashMap;

use crate::budget::Budget;

const PREFACE_BYTES: usize = 24;
const HEAD_BYTES: usize = 9;
/// The window of a connection, and of a stream before SETTINGS, in bytes (RFC 9113, section 6.9.2).
const INITIAL_WINDOW: i64 = 65_535;
/// Bytes that a response must get on within the write timeout while its window is empty.
const PROGRESS_BYTES_MIN: u64 = 4 << 10;
/// Streams that may be open beside those that hyper accepts: it resets them.
const STREAMS_MAX: usize = 1_024;
/// Bytes; a smaller increment of a window asks for a frame that is mostly head.
const INCREMENT_BYTES_MIN: u32 = 64;
/// Bytes; DATA that carries less serves little.
const DATA_BYTES_MIN: u32 = 16;
/// Bytes; DATA of ours that fills an emptied window counts as useful from this size on.
const SENT_BYTES_MIN: u32 = 1 << 10;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const PADDED: u8 = 0x8;
const SETTINGS_INITIAL_WINDOW_SIZE: u16 = 4;

/// A PING (RFC 9113, section 6.7), which a client that still reads may leave unanswered.
pub(crate) const PING: [u8; HEAD_BYTES + 8] = *b"\0\0\x08\x06\0\0\0\0\0half-end";

/// The GOAWAY with `ENHANCE_YOUR_CALM` (RFC 9113, section 7) that ends a connection whose budget is
/// used up.
pub(crate) fn goaway(last_stream: u32) -> [u8; HEAD_BYTES + 8] {
    let [a, b, c, d] = last_stream.to_be_bytes();
    [0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, a, b, c, d, 0, 0, 0, 0xb]
}

/// What is known of a connection.
pub(crate) struct Frames {
    inbound: Reader,
    outbound: Reader,
    budget: Budget,
    streams: AHashMap<u32, Stream>,
    last_stream: u32,
    /// How many streams have a response that has begun and not ended.
    responding: usize,
    window: i64,
    initial_window: i64,
    /// Whether the client was asked if it still reads.
    probed: bool,
}

/// A request that is not answered whole.
struct Stream {
    window: i64,
    responding: bool,
    /// Since when its window, or the connection's, was found empty; 0 is never.
    blocked_since: u64,
    /// Bytes sent since.
    sent: u64,
}

/// What holds responses up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// One of them, for too long; others get on.
    Some,
    /// All of them, one for too long; or one for twice as long.
    All,
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, Default)]
struct Head {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
}

/// What a reader has found.
enum Part {
    Head(Head),
    /// The first bytes of a payload that are of interest: an increment, an entry of SETTINGS, the
    /// length of padding.
    Field(Head, [u8; 6]),
}

/// Reads one direction of a connection.
struct Reader {
    /// Bytes before the next thing of interest.
    skipped: usize,
    bytes: [u8; HEAD_BYTES],
    have: usize,
    frame: Option<Head>,
    /// Bytes left of the frame's payload.
    left: usize,
}

// === impl Frames ===

impl Frames {
    pub(crate) fn new(now: u64) -> Self {
        Self {
            inbound: Reader::new(PREFACE_BYTES),
            outbound: Reader::new(0),
            budget: Budget::new(now),
            streams: AHashMap::new(),
            last_stream: 0,
            responding: 0,
            window: INITIAL_WINDOW,
            initial_window: INITIAL_WINDOW,
            probed: false,
        }
    }

    /// Reads what came from the client; false when its budget is used up.
    #[must_use]
    pub(crate) fn received(&mut self, mut bytes: &[u8], now: u64) -> bool {
        while let Some(part) = self.inbound.next(&mut bytes) {
            let cost = match part {
                Part::Head(head) => self.head_received(head),
                Part::Field(head, field) => self.field_received(head, field),
            };
            if cost > 0 && !self.budget.take(cost, now) || self.streams.len() > STREAMS_MAX {
                return false;
            }
        }
        true
    }

    /// Reads what was sent to the client.
    pub(crate) fn sent(&mut self, mut bytes: &[u8], now: u64) {
        while let Some(part) = self.outbound.next(&mut bytes) {
            if let Part::Head(head) = part {
                self.head_sent(head, now);
            }
        }
    }

    /// The [`goaway`] to end with, where nothing of a frame is on its way.
    pub(crate) fn goaway(&self) -> Option<[u8; HEAD_BYTES + 8]> {
        self.outbound.is_between_frames().then(|| goaway(self.last_stream))
    }

    /// Whether no frame of the client's has come in part.
    pub(crate) fn is_between_inbound(&self) -> bool {
        self.inbound.is_between_frames()
    }

    /// Whether a client that has closed its side can be asked whether it still reads; it is asked once.
    pub(crate) fn is_probe_due(&mut self) -> bool {
        let due = !self.probed && self.outbound.is_between_frames();
        self.probed |= due;
        due
    }

    /// Requests that are not answered whole.
    pub(crate) fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// Whether a response has begun that has not ended.
    pub(crate) fn is_responding(&self) -> bool {
        self.responding > 0
    }

    /// Whether responses were held up by the client's windows for longer than `allowed` ms.
    pub(crate) fn blocked(&mut self, now: u64, allowed: u64) -> Option<Blocked> {
        if self.responding == 0 {
            return None;
        }
        let (mut blocked_ms, mut all) = (0, true);
        for stream in self.streams.values_mut().filter(|stream| stream.responding) {
            if stream.window > 0 && self.window > 0 {
                stream.blocked_since = 0;
                all = false;
            } else {
                if stream.blocked_since == 0 || stream.sent >= PROGRESS_BYTES_MIN {
                    stream.blocked_since = now;
                    stream.sent = 0;
                }
                let since = now.saturating_sub(stream.blocked_since);
                // A fast response empties its window all the time: it is not blocked for that.
                all &= since > allowed;
                blocked_ms = blocked_ms.max(since);
            }
        }
        match blocked_ms {
            _ if blocked_ms <= allowed => None,
            _ if all || blocked_ms > 2 * allowed => Some(Blocked::All),
            _ => Some(Blocked::Some),
        }
    }

    /// Notes a frame of the client; what it costs.
    fn head_received(&mut self, head: Head) -> u32 {
        match head.kind {
            DATA if head.flags & PADDED != 0 => 0, // see `field_received`
            DATA => cost_of_data(head, head.length),
            HEADERS if head.stream > self.last_stream => {
                self.last_stream = head.stream;
                let window = self.initial_window;
                let stream = Stream { window, responding: false, blocked_since: 0, sent: 0 };
                self.streams.insert(head.stream, stream);
                1
            }
            // Of a response that had ended it is a client's good manners.
            RST_STREAM => 1 + 4 * u32::from(self.end(head.stream)),
            SETTINGS if head.flags & ACK == 0 => 4,
            CONTINUATION => 2,
            WINDOW_UPDATE => 0, // see `field_received`
            // PING, PRIORITY, and what is unknown: it is read and thrown away.
            _ => 1 + head.length / 1_024,
        }
    }

    fn field_received(&mut self, head: Head, field: [u8; 6]) -> u32 {
        match head.kind {
            DATA => cost_of_data(head, head.length.saturating_sub(1 + u32::from(field[0]))),
            WINDOW_UPDATE => {
                let increment = u32::from_be_bytes([field[0], field[1], field[2], field[3]]);
                let increment = increment & 0x7fff_ffff;
                if head.stream == 0 {
                    self.window += i64::from(increment);
                } else if let Some(stream) = self.streams.get_mut(&head.stream) {
                    stream.window += i64::from(increment);
                }
                if increment < INCREMENT_BYTES_MIN { 4 } else { 1 }
            }
            _ => {
                let [a, b, value @ ..] = field;
                if u16::from_be_bytes([a, b]) == SETTINGS_INITIAL_WINDOW_SIZE {
                    let window = i64::from(u32::from_be_bytes(value));
                    let change = window - self.initial_window;
                    self.initial_window = window;
                    self.streams.values_mut().for_each(|stream| stream.window += change);
                }
                1
            }
        }
    }

    fn head_sent(&mut self, head: Head, now: u64) {
        match head.kind {
            HEADERS => {
                if let Some(stream) = self.streams.get_mut(&head.stream)
                    && !stream.responding
                {
                    stream.responding = true;
                    self.responding += 1;
                }
            }
            DATA => {
                let length = i64::from(head.length);
                self.window -= length;
                if let Some(stream) = self.streams.get_mut(&head.stream) {
                    stream.window -= length;
                    stream.sent += u64::from(head.length);
                    // A window of a few bytes, filled over and over, serves nobody.
                    let emptied = stream.window <= 0 || self.window <= 0;
                    if !emptied || head.length >= SENT_BYTES_MIN {
                        self.budget.refund(3 + head.length / 512);
                    }
                }
            }
            RST_STREAM => {
                self.end(head.stream);
                // Whatever made us refuse a stream; beyond its budget it is refused as a whole.
                let _ = self.budget.take(3, now);
                return;
            }
            _ => return,
        }
        if head.flags & END_STREAM != 0 {
            self.end(head.stream);
            self.budget.refund(8);
        }
    }

    /// Forgets a stream; whether it was known.
    fn end(&mut self, stream: u32) -> bool {
        let ended = self.streams.remove(&stream);
        self.responding -= usize::from(ended.as_ref().is_some_and(|stream| stream.responding));
        if self.streams.is_empty() && self.streams.capacity() > 64 {
            self.streams = AHashMap::new();
        }
        ended.is_some()
    }
}

fn cost_of_data(head: Head, carried: u32) -> u32 {
    match carried {
        0 if head.flags & END_STREAM == 0 => 2,
        1..DATA_BYTES_MIN => 1,
        _ => 0,
    }
}

// === impl Head ===

impl Head {
    /// RFC 9113, section 4.1.
    fn read(bytes: [u8; HEAD_BYTES]) -> Self {
        let [long, middle, short, kind, flags, stream @ ..] = bytes;
        Self {
            length: u32::from_be_bytes([0, long, middle, short]),
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & 0x7fff_ffff,
        }
    }
}

// === impl Reader ===

impl Reader {
    fn new(skipped: usize) -> Self {
        Self { skipped, bytes: [0; HEAD_BYTES], have: 0, frame: None, left: 0 }
    }

    fn is_between_frames(&self) -> bool {
        self.frame.is_none() && self.have == 0 && self.left == 0 && self.skipped == 0
    }

    /// The next thing in `bytes`, which is moved on; `None` when all of it was taken.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Part> {
        let skipped = self.skipped.min(bytes.len());
        self.skipped -= skipped;
        *bytes = &bytes[skipped..];
        if bytes.is_empty() {
            return None;
        }
        let wanted = self.frame.map_or(HEAD_BYTES, field_bytes);
        let taken = (wanted - self.have).min(bytes.len());
        let (now, rest) = bytes.split_at(taken);
        self.bytes[self.have..self.have + taken].copy_from_slice(now);
        self.have += taken;
        *bytes = rest;
        if self.have < wanted {
            return None;
        }
        self.have = 0;
        if let Some(head) = self.frame {
            let mut field = [0; 6];
            field.copy_from_slice(&self.bytes[..6]);
            self.left -= wanted;
            self.advance(head);
            return Some(Part::Field(head, field));
        }
        let head = Head::read(self.bytes);
        self.left = head.length as usize;
        self.advance(head);
        Some(Part::Head(head))
    }

    /// Goes on to the next field of the frame, or to the next frame.
    fn advance(&mut self, head: Head) {
        let wanted = field_bytes(head);
        let again = self.frame.is_none() || head.kind == SETTINGS;
        if wanted > 0 && again && self.left >= wanted {
            self.frame = Some(head);
        } else {
            self.frame = None;
            self.skipped = std::mem::take(&mut self.left);
        }
    }
}

/// Bytes of a field that is of interest; 0 where none is.
fn field_bytes(head: Head) -> usize {
    match head.kind {
        DATA if head.flags & PADDED != 0 => 1,
        SETTINGS if head.flags & ACK == 0 => 6,
        WINDOW_UPDATE => 4,
        _ => 0,
    }
}

#[cfg(test)]
#[path = "http2_tests.rs"]
mod tests;
