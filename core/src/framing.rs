//! The framing of HTTP/1.1 requests, followed byte by byte beside hyper, which is lenient where two readers of one
//! connection could disagree: line ends, `Content-Length` beside `Transfer-Encoding`, chunk-size lines and trailers
//! (RFC 9112, sections 2.2, 5, 6 and 7).

use memchr::memchr;

use crate::reject::{self, Kind};

/// Bytes of a chunk-size line or of a trailer field.
const BODY_LINE_BYTES_MAX: usize = 4096;
/// Bytes of a body, as far as a length is understood.
const BODY_BYTES_MAX: u64 = i64::MAX as u64;

/// Fields that frame or route a message, and so cannot come behind its body (RFC 9110, section 6.5.1).
const TRAILERS_REFUSED: [&[u8]; 8] = [
    b"authorization",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-type",
    b"host",
    b"trailer",
    b"transfer-encoding",
];

/// Where and why a message is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    /// How it is refused.
    pub(crate) kind: &'static Kind,
    /// What is wrong, for the client.
    pub(crate) sentence: &'static str,
    /// The message's number on its connection, from 1, where its body is malformed; 0 for a head.
    pub(crate) message: u64,
    /// Bytes of the last input that come before what is malformed.
    pub(crate) valid: usize,
}

/// What comes next on the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    RequestLine,
    Field,
    Content(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkCr,
    ChunkLf,
    Trailer,
    /// The request asks for an upgrade: what follows it is not understood before it is answered.
    Upgrade,
    /// The connection speaks another protocol.
    Tunnel,
}

/// What the head that is being read says of its body.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // what was seen of a head, one by one
struct Head {
    is_http10: bool,
    length: Option<u64>,
    transfer_encoding: bool,
    chunked: bool,
    unsupported: bool,
    upgrade: bool,
}

/// Follows the requests of a connection.
#[derive(Debug)]
pub(crate) struct Framing {
    step: Step,
    head: Head,
    /// The part of a line that earlier input ended with.
    line: Vec<u8>,
    /// Messages whose head is complete.
    messages: u64,
}

type Sentence = &'static str;
/// A step forward, or how and why it is refused.
type Outcome<T> = Result<T, (&'static Kind, Sentence)>;

// === impl Framing ===

impl Framing {
    pub(crate) fn new() -> Self {
        Self { step: Step::RequestLine, head: Head::default(), line: Vec::new(), messages: 0 }
    }

    /// Whether no part of a further request has come.
    pub(crate) fn is_between_messages(&self) -> bool {
        matches!(self.step, Step::RequestLine | Step::Upgrade) && self.line.is_empty()
    }

    /// Whether input is to be held back until the request that asks for an upgrade is answered.
    pub(crate) fn is_waiting(&self) -> bool {
        self.step == Step::Upgrade
    }

    /// Whether the last request was of HTTP/1.0.
    pub(crate) fn is_http10(&self) -> bool {
        self.head.is_http10
    }

    /// Notes how a request for an upgrade is answered.
    pub(crate) fn answered(&mut self, upgraded: bool) {
        if self.step == Step::Upgrade {
            self.step = if upgraded { Step::Tunnel } else { Step::RequestLine };
        }
    }

    /// Follows further input; how much of it was followed, which is all unless an upgrade is waited for.
    ///
    /// # Errors
    /// The first fault; nothing may be read after it.
    pub(crate) fn follow(&mut self, input: &[u8]) -> Result<usize, Fault> {
        let mut at = 0;
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            let taken = match self.step {
                Step::RequestLine | Step::Field | Step::ChunkSize | Step::Trailer => {
                    self.line(rest)
                }
                Step::Content(left) => Ok(self.data(left, rest, Step::Content, Step::RequestLine)),
                Step::ChunkData(left) => Ok(self.data(left, rest, Step::ChunkData, Step::ChunkCr)),
                Step::ChunkCr => self.expect(rest, b'\r', Step::ChunkLf),
                Step::ChunkLf => self.expect(rest, b'\n', Step::ChunkSize),
                Step::Upgrade => break,
                Step::Tunnel => return Ok(input.len()),
            };
            at += taken.map_err(|(kind, sentence)| {
                let in_head = matches!(self.step, Step::RequestLine | Step::Field);
                let message = if in_head { 0 } else { self.messages };
                Fault { kind, sentence, message, valid: at }
            })?;
        }
        Ok(at)
    }

    fn data(&mut self, left: u64, rest: &[u8], more: fn(u64) -> Step, end: Step) -> usize {
        let taken = left.min(rest.len() as u64);
        self.step = if taken == left { end } else { more(left - taken) };
        taken as usize
    }

    fn expect(&mut self, rest: &[u8], byte: u8, next: Step) -> Outcome<usize> {
        if rest.first() != Some(&byte) {
            return Err(malformed("a chunk is longer than its size, or its line end is not CRLF"));
        }
        self.step = next;
        Ok(1)
    }

    /// Takes a line, or the part of it that is there.
    fn line(&mut self, rest: &[u8]) -> Outcome<usize> {
        let end = memchr(b'\n', rest);
        let taken = end.map_or(rest.len(), |end| end + 1);
        let in_body = matches!(self.step, Step::ChunkSize | Step::Trailer);
        if in_body && self.line.len() + taken > BODY_LINE_BYTES_MAX {
            return Err(malformed("a chunk-size line or trailer field is too long"));
        }
        if end.is_none() {
            // Hyper's bound of a head holds for this too.
            self.line.extend_from_slice(rest);
        } else if self.line.is_empty() {
            self.whole_line(&rest[..taken])?;
        } else {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(&rest[..taken]);
            self.whole_line(&line)?;
        }
        Ok(taken)
    }

    fn whole_line(&mut self, line: &[u8]) -> Outcome<()> {
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Err(malformed("a line ends with LF alone, expected CRLF"));
        };
        if memchr(b'\r', line).is_some() {
            return Err(malformed("a line contains CR"));
        }
        match self.step {
            Step::RequestLine if line.is_empty() => {} // before a request, RFC 9112, section 2.2
            Step::RequestLine => {
                if memchr(b'#', line).is_some() {
                    return Err(malformed("the request target has a fragment"));
                }
                self.head = Head { is_http10: line.ends_with(b" HTTP/1.0"), ..Head::default() };
                self.step = Step::Field;
            }
            Step::Field if line.is_empty() => self.end_head()?,
            Step::Field => self.head.field(line)?,
            Step::ChunkSize => {
                let size = chunk_size(line).ok_or(malformed(
                    "a chunk-size line is not a size with extensions (RFC 9112, section 7.1)",
                ))?;
                self.step = if size == 0 { Step::Trailer } else { Step::ChunkData(size) };
            }
            Step::Trailer if line.is_empty() => self.step = Step::RequestLine,
            _ => trailer(line)?,
        }
        Ok(())
    }

    fn end_head(&mut self) -> Outcome<()> {
        let head = &self.head;
        let step = match (head.transfer_encoding, head.length) {
            (true, _) if head.is_http10 => {
                return Err(malformed("HTTP/1.0 has no Transfer-Encoding"));
            }
            (true, Some(_)) => {
                return Err(malformed("Content-Length and Transfer-Encoding exclude each other"));
            }
            (true, None) if !head.chunked => {
                return Err(malformed("the last transfer coding of a request must be `chunked`"));
            }
            (true, None) if head.unsupported => {
                let sentence = "`chunked` is the only transfer coding that is implemented";
                return Err((&reject::NOT_IMPLEMENTED, sentence));
            }
            (true, None) => Step::ChunkSize,
            (false, Some(length)) if length > 0 => Step::Content(length),
            _ if head.upgrade && !head.is_http10 => Step::Upgrade,
            _ => Step::RequestLine,
        };
        self.messages += 1;
        self.step = step;
        Ok(())
    }
}

// === impl Head ===

impl Head {
    fn field(&mut self, line: &[u8]) -> Outcome<()> {
        let (name, value) = split_field(line)?;
        // Most fields are told from these by their length.
        match name.len() {
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                if self.length.is_some() {
                    return Err(malformed("Content-Length is sent more than once"));
                }
                let length = decimal(value).ok_or(malformed("Content-Length is not a number"))?;
                self.length = Some(length);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.codings(value)?,
            _ => {}
        }
        Ok(())
    }

    fn codings(&mut self, value: &[u8]) -> Outcome<()> {
        self.transfer_encoding = true;
        for coding in value.split(|byte| *byte == b',') {
            let coding = trim(coding);
            let name = memchr(b';', coding).map_or(coding, |end| trim(&coding[..end]));
            if self.chunked {
                return Err(malformed("`chunked` must be the last transfer coding, once"));
            }
            if coding.eq_ignore_ascii_case(b"chunked") {
                self.chunked = true;
            } else if is_token(name) && !name.eq_ignore_ascii_case(b"chunked") {
                self.unsupported = true;
            } else {
                return Err(malformed("Transfer-Encoding is not a list of transfer codings"));
            }
        }
        Ok(())
    }
}

fn trailer(line: &[u8]) -> Outcome<()> {
    let (name, value) = split_field(line)?;
    let is_control = |byte: &u8| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f;
    if !is_token(name) || value.iter().any(is_control) {
        return Err(malformed("a trailer field is not a name and a value"));
    }
    if TRAILERS_REFUSED.iter().any(|refused| name.eq_ignore_ascii_case(refused)) {
        return Err(malformed("a field that frames or routes a message is sent as a trailer"));
    }
    Ok(())
}

fn split_field(line: &[u8]) -> Outcome<(&[u8], &[u8])> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(malformed("a field line starts with a blank (line folding is obsolete)"));
    }
    let Some(colon) = memchr(b':', line) else {
        return Err(malformed("a field line has no colon"));
    };
    let name = &line[..colon];
    if matches!(name.last(), None | Some(b' ' | b'\t')) {
        return Err(malformed("a field has no name, or a blank before its colon"));
    }
    Ok((name, trim(&line[colon + 1..])))
}

/// `chunk-size [ chunk-ext ]`, without its line end.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, mut rest) = line.split_at(digits);
    if digits == 0 {
        return None;
    }
    let size = size.iter().try_fold(0_u64, |size, byte| {
        let digit = char::from(*byte).to_digit(16)?;
        size.checked_mul(16)?.checked_add(u64::from(digit)).filter(|size| *size <= BODY_BYTES_MAX)
    })?;
    while !rest.is_empty() {
        rest = extension(rest)?;
    }
    Some(size)
}

/// `BWS ";" BWS name [ BWS "=" BWS value ]`; what follows it.
fn extension(text: &[u8]) -> Option<&[u8]> {
    let rest = trim_start(trim_start(text).strip_prefix(b";")?);
    let rest = token(rest)?;
    let Some(value) = trim_start(rest).strip_prefix(b"=") else { return Some(rest) };
    let value = trim_start(value);
    if value.first() == Some(&b'"') { quoted(&value[1..]) } else { token(value) }
}

/// What follows a token, which is not empty.
fn token(text: &[u8]) -> Option<&[u8]> {
    let length = text.iter().take_while(|byte| is_tchar(**byte)).count();
    if length == 0 { None } else { Some(&text[length..]) }
}

/// What follows a quoted string, from behind its first quote.
fn quoted(text: &[u8]) -> Option<&[u8]> {
    let is_text = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    let mut rest = text;
    loop {
        rest = match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', byte, after @ ..] if is_text(*byte) => after,
            [byte, after @ ..] if is_text(*byte) && *byte != b'\\' => after,
            _ => return None,
        };
    }
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| match byte {
        b'0'..=b'9' => {
            let number = number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
            Some(number).filter(|number| *number <= BODY_BYTES_MAX)
        }
        _ => None,
    })
}

fn is_token(text: &[u8]) -> bool {
    token(text).is_some_and(<[u8]>::is_empty)
}

fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn trim_start(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &text[blanks..]
}

fn trim(text: &[u8]) -> &[u8] {
    let text = trim_start(text);
    let blanks = text.iter().rev().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &text[..text.len() - blanks]
}

#[cold]
fn malformed(sentence: Sentence) -> (&'static Kind, Sentence) {
    (&reject::MALFORMED_REQUEST, sentence)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Follows the input in parts of a size; the status of its fault, or 0.
    fn status(input: &[u8], part: usize) -> u16 {
        let mut framing = Framing::new();
        for part in input.chunks(part) {
            if let Err(fault) = framing.follow(part) {
                assert!(fault.valid < part.len());
                return fault.kind.status;
            }
        }
        0
    }

    fn check(input: &[u8], expected: u16) {
        for part in [1, 2, 3, 7, 4096] {
            let shown = String::from_utf8_lossy(input);
            assert_eq!(status(input, part), expected, "{shown:?} in parts of {part}");
        }
    }

    fn chunked(body: &str) -> Vec<u8> {
        format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{body}").into()
    }

    #[test]
    fn valid_requests_are_followed_to_their_end() {
        for body in [
            "0\r\n\r\n",
            "5\r\nabcde\r\n0\r\n\r\n",
            "005\r\nabcde\r\n000\r\n\r\n",
            "5;a\r\nabcde\r\n0;b=c;d=\"e\\\"f\"\r\nx-t: 1\r\n\r\n",
            "5 ; a = b\r\nabcde\r\n0\r\n\r\n",
            "a\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n",
        ] {
            let mut input = chunked(body);
            input.extend_from_slice(b"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
            for part in [1, 5, 4096] {
                let mut framing = Framing::new();
                for part in input.chunks(part) {
                    framing.follow(part).expect(body);
                }
                assert!(framing.is_between_messages(), "{body:?}");
                assert_eq!(framing.messages, 2);
            }
        }
        check(b"POST / HTTP/1.1\r\nContent-Length:  007\t\r\n\r\n\n\n\n\n\n\n\nGET / HTTP/1.1\r\n\r\n", 0);
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for body in [
            "5;\r\n",
            "5 \r\n",
            "5\t\r\n",
            "5;\0ext\r\n",
            "5;a[b]=1\r\n",
            "5;a=\r\n",
            "5;=b\r\n",
            "5;a=\"b\r\n",
            "5;a=\"b\"c\r\n",
            "5;;a\r\n",
            "5;a b\r\n",
            " 5\r\n",
            "+5\r\n",
            "-5\r\n",
            "0x5\r\n",
            "5_0\r\n",
            "5,5\r\n",
            "g\r\n",
            "\r\n",
            "8000000000000000\r\n",
            "10000000000000005\r\n",
            "5\n",
            "5\rabcde\n",
            "5;a\n",
            "5;a\rb\r\n",
            "5\r\nabcdef\r\n",
            "5\r\nabcde\n",
            "5\r\nabcde\r\r",
            "0\r\n\n",
            "0\r\nx: y\n",
            "0\r\n x: y\r\n",
            "0\r\nx\r\n",
            "0\r\nx : y\r\n",
            "0\r\n: y\r\n",
            "0\r\nx: \0\r\n",
            "0\r\nx y: z\r\n",
            "0\r\nContent-Length: 5\r\n",
            "0\r\ntransfer-encoding: chunked\r\n",
            "0\r\nHost: h\r\n",
        ] {
            check(&chunked(body), 400);
        }
        check(&chunked(&format!("5;{}", "a".repeat(BODY_LINE_BYTES_MAX))), 400);
    }

    #[test]
    fn ambiguous_framing_is_refused() {
        for fields in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked, gzip",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: gzip",
            "Transfer-Encoding:",
            "Transfer-Encoding: ,chunked",
            "Transfer-Encoding: \"chunked\"",
            "Transfer-Encoding: chunked;a=b",
            "Transfer-Encoding: chun ked",
            "Transfer-Encoding: \x0bchunked",
            "Content-Length: +5",
            "Content-Length: -5",
            "Content-Length: 5,5",
            "Content-Length: 5, 6",
            "Content-Length: 5\r\nContent-Length: 5",
            "Content-Length: 0x5",
            "Content-Length: 5 5",
            "Content-Length:",
            "Content-Length: 9223372036854775808",
            "Content-Length: 1_0",
            "Content-Length: 5.0",
            "Content-Length : 5",
            "X-A : b",
            "X-A\t: b",
            "X-A: b\r\n folded",
            "X-A: b\r\n\tfolded",
            " X-A: b",
            "X-A: b\rX-B: c",
            "X-A: b\nX-B: c",
            ": b",
            "no colon",
        ] {
            check(format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n").as_bytes(), 400);
        }
        for fields in [
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: identity, chunked",
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: a;b=c, Chunked",
        ] {
            check(format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n").as_bytes(), 501);
        }
        check(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
        check(b"GET /#f HTTP/1.1\r\nHost: h\r\n\r\n", 400);
        check(b"GET / HTTP/1.1\nHost: h\n\n", 400);
    }

    #[test]
    fn what_follows_a_request_for_an_upgrade_waits_for_its_answer() {
        let mut framing = Framing::new();
        let request = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";
        let input = [request.as_slice(), b"\x81\x80frame"].concat();

        assert_eq!(framing.follow(&input), Ok(request.len()));
        assert!(framing.is_waiting());
        framing.answered(true);
        assert_eq!(framing.follow(&input[request.len()..]), Ok(7));
    }

    proptest! {
        #[test]
        fn no_input_panics_and_parts_make_no_difference(input in "[\r\n5a;=\" :\\x00-\\x7f]{0,80}") {
            let input = chunked(&input);
            prop_assert_eq!(status(&input, 1), status(&input, 4096));
        }
    }
}
