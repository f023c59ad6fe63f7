//! What a client sends, read piece by piece as it comes: frames become messages, and whatever RFC 6455 forbids is told as
//! early as it shows. Nothing is kept between messages but a few bytes of a head.

use bytes::Bytes;

use super::deflate::Inflater;
use super::message::{CONTROL_BYTES, Message, Opcode};

/// Bytes of a compressed frame that are unmasked at a time.
const CHUNK: usize = 4 << 10;
/// Bytes; a fragment of less is mostly head.
const FRAGMENT_BYTES_MIN: u64 = 16;
/// Bytes; the longest head: two, a length of eight, a mask of four.
const HEAD: usize = 14;

/// What a client did wrong: the code that its socket is closed with, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// RFC 6455, section 7.4.1.
    pub code: u16,
    /// A sentence.
    pub reason: &'static str,
}

impl Fault {
    /// A fault with its code.
    pub const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason }
    }

    /// Frames that cost more than they carry.
    pub(crate) const fn flood() -> Self {
        Self::new(1008, "too many frames that carry nothing")
    }

    /// A message beyond the limit.
    pub const fn too_big() -> Self {
        Self::new(1009, "the message is too big")
    }

    const fn protocol(reason: &'static str) -> Self {
        Self::new(1002, reason)
    }

    const fn text() -> Self {
        Self::new(1007, "the text is not UTF-8")
    }
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A message, or a ping or pong.
    Message(Message),
    /// The close frame; 1005 where it has no code.
    Close(u16, Box<str>),
}

/// Reads the frames of one client.
pub struct Parser {
    max_bytes: usize,
    /// Whether messages may be deflated.
    deflate: bool,
    head: [u8; HEAD],
    head_length: u8,
    frame: Option<Frame>,
    /// The payload of a control frame, which may come between the fragments of a message.
    control: Vec<u8>,
    message: Option<Assembly>,
    read: Read,
}

/// What was read since it was last asked.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Read {
    /// All frames.
    pub(crate) frames: u32,
    /// Control frames, and fragments of next to nothing.
    pub(crate) idle_frames: u32,
}

/// A frame whose head was read.
struct Frame {
    opcode: Opcode,
    fin: bool,
    /// Turned so that its first byte is the next one's.
    mask: [u8; 4],
    left: u64,
}

/// A message whose last frame has not come.
struct Assembly {
    text: bool,
    bytes: Vec<u8>,
    /// How many of them are known to be UTF-8.
    checked: usize,
    inflater: Option<Inflater>,
}

// === impl Parser ===

impl Parser {
    /// A parser for messages of at most `max_bytes`, inflated.
    pub fn new(max_bytes: usize, deflate: bool) -> Self {
        Self {
            max_bytes,
            deflate,
            head: [0; HEAD],
            head_length: 0,
            frame: None,
            control: Vec::new(),
            message: None,
            read: Read::default(),
        }
    }

    /// What was read since the last call.
    pub(crate) fn take_read(&mut self) -> Read {
        std::mem::take(&mut self.read)
    }

    /// Reads on to the end of a message; `None` when all of `input` was taken without one. Not called again after a
    /// fault.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Received>, Fault> {
        loop {
            let Some(mut frame) = self.frame.take() else {
                match self.read_head(input)? {
                    Some(frame) => self.frame = Some(frame),
                    None => return Ok(None),
                }
                continue;
            };
            let taken = input.len().min(usize::try_from(frame.left).unwrap_or(usize::MAX));
            let (payload, rest) = input.split_at(taken);
            *input = rest;
            frame.left -= taken as u64;
            self.read_payload(&mut frame, payload)?;
            if frame.left > 0 {
                self.frame = Some(frame);
                return Ok(None);
            }
            if let Some(received) = self.end_frame(&frame)? {
                return Ok(Some(received));
            }
        }
    }

    /// Collects a head; checks what can be told of it as soon as it can be.
    fn read_head(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, Fault> {
        if !self.fill_head(input, 2) {
            return Ok(None);
        }
        let [first, second, ..] = self.head;
        let opcode = self.check_head(first, second)?;
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if !self.fill_head(input, 2 + extended + 4) {
            return Ok(None);
        }
        self.head_length = 0;
        let head = &self.head;
        let length = match extended {
            0 => u64::from(second & 0x7f),
            2 => u64::from(u16::from_be_bytes([head[2], head[3]])),
            _ => u64::from_be_bytes([
                head[2], head[3], head[4], head[5], head[6], head[7], head[8], head[9],
            ]),
        };
        // The shortest form is required (RFC 6455, section 5.2).
        if extended == 2 && length < 126 || extended == 8 && length <= 0xffff || length >> 63 != 0 {
            return Err(Fault::protocol("the length is not written as it must be"));
        }
        let at = 2 + extended;
        let mask = [head[at], head[at + 1], head[at + 2], head[at + 3]];
        let fin = first & 0x80 != 0;
        let is_fragment = !fin || opcode == Opcode::Continuation;
        let is_idle = opcode.is_control() || is_fragment && length < FRAGMENT_BYTES_MIN;
        self.read.frames += 1;
        self.read.idle_frames += u32::from(is_idle);
        self.begin(opcode, first & 0x40 != 0, length)?;
        Ok(Some(Frame { opcode, fin, mask, left: length }))
    }

    /// Whether `wanted` bytes of the head are there now.
    fn fill_head(&mut self, input: &mut &[u8], wanted: usize) -> bool {
        let have = self.head_length as usize;
        let taken = wanted.saturating_sub(have).min(input.len());
        let (now, rest) = input.split_at(taken);
        self.head[have..have + taken].copy_from_slice(now);
        self.head_length += taken as u8;
        *input = rest;
        self.head_length as usize >= wanted
    }

    /// The first two bytes (RFC 6455, sections 5.2, 5.4, 5.5).
    fn check_head(&self, first: u8, second: u8) -> Result<Opcode, Fault> {
        let Some(opcode) = Opcode::read(first & 0x0f) else {
            return Err(Fault::protocol("the opcode is reserved"));
        };
        let starts = matches!(opcode, Opcode::Text | Opcode::Binary);
        if first & 0x30 != 0 || first & 0x40 != 0 && !(self.deflate && starts) {
            return Err(Fault::protocol("a reserved bit is set"));
        }
        if second & 0x80 == 0 {
            return Err(Fault::protocol("the frame is not masked"));
        }
        if opcode.is_control() {
            if first & 0x80 == 0 {
                return Err(Fault::protocol("a control frame is fragmented"));
            }
            if usize::from(second & 0x7f) > CONTROL_BYTES {
                return Err(Fault::protocol("a control frame is too long"));
            }
        } else if starts && self.message.is_some() {
            return Err(Fault::protocol("a message begins within another"));
        } else if opcode == Opcode::Continuation && self.message.is_none() {
            return Err(Fault::protocol("a continuation of no message"));
        }
        Ok(opcode)
    }

    /// Makes room for a frame's payload.
    fn begin(&mut self, opcode: Opcode, deflated: bool, length: u64) -> Result<(), Fault> {
        if opcode.is_control() {
            self.control.clear();
            return Ok(());
        }
        let message = self.message.get_or_insert_with(|| Assembly {
            text: opcode == Opcode::Text,
            bytes: Vec::new(),
            checked: 0,
            inflater: deflated.then(Inflater::start),
        });
        let all = length.saturating_add(message.bytes.len() as u64);
        if message.inflater.is_none() && all > self.max_bytes as u64 {
            return Err(Fault::too_big());
        }
        Ok(())
    }

    fn read_payload(&mut self, frame: &mut Frame, payload: &[u8]) -> Result<(), Fault> {
        if frame.opcode.is_control() {
            append(&mut self.control, payload, &mut frame.mask);
            return Ok(());
        }
        let Some(message) = &mut self.message else { return Ok(()) };
        if let Some(inflater) = &mut message.inflater {
            let mut chunk = [0; CHUNK];
            for part in payload.chunks(CHUNK) {
                let chunk = &mut chunk[..part.len()];
                chunk.copy_from_slice(part);
                unmask(chunk, &mut frame.mask);
                inflater.push(chunk, &mut message.bytes, self.max_bytes)?;
            }
        } else {
            if message.bytes.is_empty() && frame.fin && frame.left == 0 {
                message.bytes.reserve_exact(payload.len()); // the usual: all of it at once
            }
            append(&mut message.bytes, payload, &mut frame.mask);
        }
        message.check_text()
    }

    fn end_frame(&mut self, frame: &Frame) -> Result<Option<Received>, Fault> {
        let control = |bytes: &mut Vec<u8>| Bytes::from(std::mem::take(bytes));
        match frame.opcode {
            Opcode::Ping => Ok(Some(Received::Message(Message::Ping(control(&mut self.control))))),
            Opcode::Pong => Ok(Some(Received::Message(Message::Pong(control(&mut self.control))))),
            Opcode::Close => read_close(&std::mem::take(&mut self.control)).map(Some),
            _ if !frame.fin => Ok(None),
            _ => {
                let message = self.message.take();
                message.map(|message| message.end(self.max_bytes)).transpose()
            }
        }
    }
}

// === impl Assembly ===

impl Assembly {
    /// Checks what came since the last time; a character that is cut off may still be completed.
    fn check_text(&mut self) -> Result<(), Fault> {
        if !self.text {
            return Ok(());
        }
        match std::str::from_utf8(self.bytes.get(self.checked..).unwrap_or_default()) {
            Ok(_) => self.checked = self.bytes.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(Fault::text()),
        }
        Ok(())
    }

    fn end(mut self, max_bytes: usize) -> Result<Received, Fault> {
        if let Some(inflater) = &mut self.inflater {
            inflater.finish(&mut self.bytes, max_bytes)?;
            self.bytes.shrink_to_fit();
            self.check_text()?;
        }
        if self.text && self.checked < self.bytes.len() {
            return Err(Fault::text());
        }
        let bytes = Bytes::from(self.bytes);
        Ok(Received::Message(if self.text { Message::Text(bytes) } else { Message::Binary(bytes) }))
    }
}

/// RFC 6455, sections 5.5.1 and 7.4.
fn read_close(payload: &[u8]) -> Result<Received, Fault> {
    let (code, reason) = match payload {
        [] => return Ok(Received::Close(1005, "".into())),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        [_] => return Err(Fault::protocol("a close code has two bytes")),
    };
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Fault::protocol("the close code is reserved"));
    }
    let reason = std::str::from_utf8(reason).map_err(|_| Fault::text())?;
    Ok(Received::Close(code, reason.into()))
}

fn append(bytes: &mut Vec<u8>, payload: &[u8], mask: &mut [u8; 4]) {
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    unmask(&mut bytes[start..], mask);
}

/// Takes the mask off (RFC 6455, section 5.3), eight bytes at a time, which the compiler widens further; `mask` is then
/// turned to where the next part of the payload begins.
fn unmask(bytes: &mut [u8], mask: &mut [u8; 4]) {
    let [a, b, c, d] = *mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut words = bytes.chunks_exact_mut(8);
    for word in &mut words {
        if let Ok(eight) = <[u8; 8]>::try_from(&*word) {
            word.copy_from_slice(&(u64::from_ne_bytes(eight) ^ wide).to_ne_bytes());
        }
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
    mask.rotate_left(bytes.len() % 4);
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
