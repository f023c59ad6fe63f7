//! The JSON that every entry point accepts, and its conversion from and to `MessagePack`.
//!
//! RFC 8259 leaves some cases to the implementation. Here a text that is accepted means the same to every decoder of
//! ours, in both encodings, so that nothing is stored that cannot be read back:
//!
//! - UTF-8 without a byte order mark, one value, nothing behind it.
//! - Nested at most [`DEPTH_MAX`] levels deep.
//! - Integers from -2^63 to 2^64 - 1, the range of `MessagePack`. Other numbers must be finite as a double; what is too
//!   small for one is 0.
//! - No surrogate without its other half, neither in values nor in names.
//! - Of a name that comes twice in one object the last value counts.
//!
//! `NaN`, infinities, binary data, extension types and names that are no text do not exist in JSON: in `MessagePack`
//! they are refused. `tests/json_cases.json` holds the cases that the tests of both languages read.

use std::fmt;

/// Levels that a value may be nested.
pub const DEPTH_MAX: u8 = 100;
/// Levels of the frames that values are sent in.
const ENVELOPE_LEVELS: u8 = 4;
/// An integer of so many digits is always in range.
const SAFE_DIGITS: usize = 18;
/// A number without an exponent and with fewer digits before its point is always finite.
const FINITE_DIGITS: usize = 300;

/// Why a text is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// The first byte that is not accepted.
    pub at: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (byte {})", self.what, self.at)
    }
}

impl std::error::Error for Fault {}

/// Checks that `text` is one value.
///
/// # Errors
/// The first place that is not accepted.
pub fn check(text: &[u8]) -> Result<(), Fault> {
    let mut reader = Reader::new(text, DEPTH_MAX)?;
    while reader.next()?.is_some() {}
    Ok(())
}

/// Writes `text` as `MessagePack` behind `out`: a value, or one within a frame.
///
/// # Errors
/// None for a text that [`check`] accepts, also within a frame; `out` is as it was otherwise.
pub fn to_messagepack(text: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let lengths = lengths(text)?;
    let mut lengths = lengths.into_iter();
    let mut reader = Reader::new(text, DEPTH_MAX + ENVELOPE_LEVELS)?;
    while let Some(token) = reader.next()? {
        match token {
            Token::Array => put_head(out, lengths.next().unwrap_or(0), 0x90, 15, [0, 0xdc, 0xdd]),
            Token::Object => put_head(out, lengths.next().unwrap_or(0), 0x80, 15, [0, 0xde, 0xdf]),
            Token::End => {}
            Token::Null => out.push(0xc0),
            Token::Bool(value) => out.push(0xc2 + u8::from(value)),
            Token::Number(number) => put_number(out, number),
            Token::Text { quoted, escaped } => put_text(out, quoted, escaped),
        }
    }
    Ok(())
}

/// How many items each array and object has, in the order of their beginnings.
fn lengths(text: &[u8]) -> Result<Vec<u32>, Fault> {
    let (mut lengths, mut open): (Vec<u32>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut reader = Reader::new(text, DEPTH_MAX + ENVELOPE_LEVELS)?;
    loop {
        let is_name = reader.wants_name();
        let Some(token) = reader.next()? else { return Ok(lengths) };
        if matches!(token, Token::End) {
            open.pop();
            continue;
        }
        // A member of an object is counted by its value.
        if let (Some(container), false) = (open.last(), is_name) {
            lengths[*container] += 1;
        }
        if matches!(token, Token::Array | Token::Object) {
            open.push(lengths.len());
            lengths.push(0);
        }
    }
}

fn put_head(out: &mut Vec<u8>, length: u32, short: u8, short_max: u32, [one, two, four]: [u8; 3]) {
    if length <= short_max {
        out.push(short | length as u8);
    } else if one != 0 && length <= 0xff {
        out.extend_from_slice(&[one, length as u8]);
    } else if length <= 0xffff {
        out.push(two);
        out.extend_from_slice(&(length as u16).to_be_bytes());
    } else {
        out.push(four);
        out.extend_from_slice(&length.to_be_bytes());
    }
}

fn put_text(out: &mut Vec<u8>, quoted: &[u8], escaped: bool) {
    let decoded = if escaped { serde_json::from_slice::<String>(quoted).ok() } else { None };
    let text = match &decoded {
        Some(text) => text.as_bytes(),
        None => quoted.get(1..quoted.len() - 1).unwrap_or_default(),
    };
    put_head(out, text.len() as u32, 0xa0, 31, [0xd9, 0xda, 0xdb]);
    out.extend_from_slice(text);
}

fn put_number(out: &mut Vec<u8>, number: &str) {
    if number != "-0"
        && let Ok(integer) = number.parse::<i64>()
    {
        return put_integer(out, integer);
    }
    if let Ok(integer) = number.parse::<u64>() {
        out.push(0xcf);
        return out.extend_from_slice(&integer.to_be_bytes());
    }
    out.push(0xcb);
    out.extend_from_slice(&number.parse::<f64>().unwrap_or(0.0).to_be_bytes());
}

/// In the shortest form.
fn put_integer(out: &mut Vec<u8>, integer: i64) {
    let bytes = integer.to_be_bytes();
    match integer {
        -32..=127 => out.push(bytes[7]),
        128..=0xff => out.extend_from_slice(&[0xcc, bytes[7]]),
        0x100..=0xffff => out.extend_from_slice(&[0xcd, bytes[6], bytes[7]]),
        -0x80..=-33 => out.extend_from_slice(&[0xd0, bytes[7]]),
        -0x8000..=-0x81 => out.extend_from_slice(&[0xd1, bytes[6], bytes[7]]),
        0x1_0000..=0xffff_ffff => {
            out.push(0xce);
            out.extend_from_slice(&bytes[4..]);
        }
        -0x8000_0000..=-0x8001 => {
            out.push(0xd2);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(if integer < 0 { 0xd3 } else { 0xcf });
            out.extend_from_slice(&bytes);
        }
    }
}

/// Writes one `MessagePack` value as JSON behind `out`.
///
/// # Errors
/// The first byte that is not accepted, or that JSON has no form for.
pub fn from_messagepack(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut reader = Packed { bytes, at: 0 };
    // Of each array and map that is open: values that are left, and whether it is a map.
    let mut open: Vec<(u64, bool)> = Vec::new();
    loop {
        let wants_name = open.last().is_some_and(|(left, is_map)| *is_map && left % 2 == 0);
        let begun = reader.value(out, wants_name)?;
        match begun {
            Some(_) if open.len() >= usize::from(DEPTH_MAX + ENVELOPE_LEVELS) => {
                return Err(Fault { at: reader.at - 1, what: TOO_DEEP });
            }
            Some((length, is_map)) => {
                out.push(if is_map { b'{' } else { b'[' });
                open.push((if is_map { length * 2 } else { length }, is_map));
            }
            None => {
                if let Some((left, _)) = open.last_mut() {
                    *left -= 1;
                }
            }
        }
        // What has no values left ends, and is a value of what it is in.
        while let Some((0, is_map)) = open.last() {
            out.push(if *is_map { b'}' } else { b']' });
            open.pop();
            if let Some((left, _)) = open.last_mut() {
                *left -= 1;
            }
        }
        let Some((left, is_map)) = open.last() else { break };
        match out.last() {
            Some(b'[' | b'{') if begun.is_some() => {}
            _ => out.push(if *is_map && left % 2 == 1 { b':' } else { b',' }),
        }
    }
    if reader.at < bytes.len() {
        return Err(Fault { at: reader.at, what: "something follows the value" });
    }
    Ok(())
}

const TOO_DEEP: &str = "it is nested more than 100 levels deep";
const ENDS: &str = "it ends too early";

struct Packed<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Packed<'_> {
    /// Writes a value, or gives the length of an array or map that begins, and whether it is a map.
    fn value(&mut self, out: &mut Vec<u8>, is_name: bool) -> Result<Option<(u64, bool)>, Fault> {
        let at = self.at;
        let fault = |what| Err(Fault { at, what });
        let head = self.number(1)? as u8;
        if is_name && !matches!(head, 0xa0..=0xbf | 0xd9..=0xdb) {
            return fault("the name of a member is no text");
        }
        match head {
            0..=0x7f => put_json(out, &head),
            0x80..=0x8f => return Ok(Some((u64::from(head & 0x0f), true))),
            0x90..=0x9f => return Ok(Some((u64::from(head & 0x0f), false))),
            0xa0..=0xbf => self.text(u64::from(head & 0x1f), out)?,
            0xc0 => out.extend_from_slice(b"null"),
            0xc2 | 0xc3 => put_json(out, &(head == 0xc3)),
            0xca => {
                let bits = self.number(4)? as u32;
                put_float(out, f64::from(f32::from_bits(bits)), at)?;
            }
            0xcb => put_float(out, f64::from_bits(self.number(8)?), at)?,
            0xcc..=0xcf => put_json(out, &self.number(1 << (head - 0xcc))?),
            0xd0..=0xd3 => {
                let size = 1_u32 << (head - 0xd0);
                // The sign is that of the highest bit.
                let shift = 64 - 8 * size;
                put_json(out, &((self.number(size as usize)? << shift).cast_signed() >> shift));
            }
            0xd9..=0xdb => {
                let length = self.number(1 << (head - 0xd9))?;
                self.text(length, out)?;
            }
            0xdc | 0xdd => return Ok(Some((self.number(2 << (head - 0xdc))?, false))),
            0xde | 0xdf => return Ok(Some((self.number(2 << (head - 0xde))?, true))),
            0xc4..=0xc6 => return fault("binary data: JSON has no form for it"),
            0xc7..=0xc9 | 0xd4..=0xd8 => return fault("an extension: JSON has no form for it"),
            0xc1 => return fault("the byte 0xc1 begins no value"),
            0xe0..=0xff => put_json(out, &head.cast_signed()),
        }
        Ok(None)
    }

    fn take(&mut self, length: u64) -> Result<&[u8], Fault> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = usize::try_from(length).ok().and_then(|length| rest.get(..length));
        let taken = taken.ok_or(Fault { at: self.bytes.len(), what: ENDS })?;
        self.at += taken.len();
        Ok(taken)
    }

    fn number(&mut self, size: usize) -> Result<u64, Fault> {
        Ok(self.take(size as u64)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn text(&mut self, length: u64, out: &mut Vec<u8>) -> Result<(), Fault> {
        let start = self.at;
        match str::from_utf8(self.take(length)?) {
            Ok(text) => put_json(out, text),
            Err(error) => {
                return Err(Fault {
                    at: start + error.valid_up_to(),
                    what: "the text is not UTF-8",
                });
            }
        }
        Ok(())
    }
}

fn put_float(out: &mut Vec<u8>, number: f64, at: usize) -> Result<(), Fault> {
    if !number.is_finite() {
        return Err(Fault { at, what: "the number is not finite" });
    }
    put_json(out, &number);
    Ok(())
}

/// Scalars and text always have a form in JSON, and writing to memory does not fail.
fn put_json(out: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) {
    let _ = serde_json::to_writer(out, value);
}

// === reading ===

/// What a value is made of.
enum Token<'t> {
    Array,
    Object,
    /// Of an array or object.
    End,
    Null,
    Bool(bool),
    Number(&'t str),
    /// With its quotes; a name of a member too.
    Text {
        quoted: &'t [u8],
        escaped: bool,
    },
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    /// A value, or the end of the array that has just begun.
    FirstItem,
    Name,
    FirstName,
    /// What follows a value: a comma, an end, or nothing.
    Rest,
}

/// Reads one value, without recursion.
struct Reader<'t> {
    text: &'t str,
    at: usize,
    expect: Expect,
    depth: u8,
    depth_max: u8,
    /// A bit for each open level: 1 is an object.
    objects: u128,
}

impl<'t> Reader<'t> {
    fn new(text: &'t [u8], depth_max: u8) -> Result<Self, Fault> {
        let fault = |at| Fault { at, what: "the text is not UTF-8" };
        let text = str::from_utf8(text).map_err(|error| fault(error.valid_up_to()))?;
        if text.starts_with('\u{feff}') {
            return Err(Fault { at: 0, what: "the text begins with a byte order mark" });
        }
        Ok(Self { text, at: 0, expect: Expect::Value, depth: 0, depth_max, objects: 0 })
    }

    /// Whether the next token is the name of a member, or the end of its object.
    fn wants_name(&self) -> bool {
        matches!(self.expect, Expect::Name | Expect::FirstName)
            || self.expect == Expect::Rest && self.depth > 0 && self.objects & 1 == 1
    }

    fn fault<T>(&self, what: &'static str) -> Result<T, Fault> {
        Err(Fault { at: self.at, what })
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn next(&mut self) -> Result<Option<Token<'t>>, Fault> {
        self.skip_space();
        if self.expect == Expect::Rest {
            if self.depth == 0 {
                let rest = self.peek();
                return rest.map_or(Ok(None), |_| self.fault("something follows the value"));
            }
            let is_object = self.objects & 1 == 1;
            match self.peek() {
                Some(b',') => {
                    self.at += 1;
                    self.expect = if is_object { Expect::Name } else { Expect::Value };
                    self.skip_space();
                }
                Some(b']') if !is_object => return Ok(Some(self.end())),
                Some(b'}') if is_object => return Ok(Some(self.end())),
                Some(_) => return self.fault("expected a comma or the end"),
                None => return self.fault(ENDS),
            }
        }
        match self.expect {
            Expect::Name | Expect::FirstName => self.name().map(Some),
            _ => self.value().map(Some),
        }
    }

    fn end(&mut self) -> Token<'t> {
        self.at += 1;
        self.depth -= 1;
        self.objects >>= 1;
        self.expect = Expect::Rest;
        Token::End
    }

    fn begin(&mut self, is_object: bool) -> Result<Token<'t>, Fault> {
        if self.depth == self.depth_max {
            return self.fault(TOO_DEEP);
        }
        self.at += 1;
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(is_object);
        self.expect = if is_object { Expect::FirstName } else { Expect::FirstItem };
        Ok(if is_object { Token::Object } else { Token::Array })
    }

    fn name(&mut self) -> Result<Token<'t>, Fault> {
        match self.peek() {
            Some(b'"') => {}
            Some(b'}') if self.expect == Expect::FirstName => return Ok(self.end()),
            Some(_) => return self.fault("expected the name of a member"),
            None => return self.fault(ENDS),
        }
        let name = self.string()?;
        self.skip_space();
        match self.peek() {
            Some(b':') => self.at += 1,
            Some(_) => return self.fault("expected a colon"),
            None => return self.fault(ENDS),
        }
        self.expect = Expect::Value;
        Ok(name)
    }

    fn value(&mut self) -> Result<Token<'t>, Fault> {
        let token = match self.peek() {
            Some(b'[') => return self.begin(false),
            Some(b'{') => return self.begin(true),
            Some(b']') if self.expect == Expect::FirstItem => return Ok(self.end()),
            Some(b'"') => self.string()?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b'n') => self.word("null", Token::Null)?,
            Some(b't') => self.word("true", Token::Bool(true))?,
            Some(b'f') => self.word("false", Token::Bool(false))?,
            Some(_) => return self.fault("expected a value"),
            None => return self.fault(ENDS),
        };
        self.expect = Expect::Rest;
        Ok(token)
    }

    fn word(&mut self, word: &str, token: Token<'t>) -> Result<Token<'t>, Fault> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return self.fault("expected a value");
        }
        self.at += word.len();
        Ok(token)
    }

    fn string(&mut self) -> Result<Token<'t>, Fault> {
        let (start, mut escaped) = (self.at, false);
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(0..=0x1f) => return self.fault("a control character is not escaped"),
                Some(_) => self.at += 1,
                None => return self.fault(ENDS),
            }
        }
        self.at += 1;
        Ok(Token::Text { quoted: &self.text.as_bytes()[start..self.at], escaped })
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let start = self.at;
        match self.text.as_bytes().get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let lone = Fault { at: start, what: "half of a surrogate pair" };
                match self.unit()? {
                    0xd800..=0xdbff => {
                        let rest = &self.text.as_bytes()[self.at..];
                        if !rest.starts_with(b"\\u") || !matches!(self.unit()?, 0xdc00..=0xdfff) {
                            return Err(lone);
                        }
                    }
                    0xdc00..=0xdfff => return Err(lone),
                    _ => {}
                }
            }
            Some(_) => return self.fault("there is no such escape"),
            None => return self.fault(ENDS),
        }
        Ok(())
    }

    /// A UTF-16 unit, `\u` and four digits.
    fn unit(&mut self) -> Result<u32, Fault> {
        let Some(digits) = self.text.as_bytes().get(self.at + 2..self.at + 6) else {
            return self.fault("expected four hexadecimal digits");
        };
        let mut unit = 0;
        for digit in digits {
            let Some(digit) = char::from(*digit).to_digit(16) else {
                return self.fault("expected four hexadecimal digits");
            };
            unit = unit << 4 | digit;
        }
        self.at += 6;
        Ok(unit)
    }

    fn number(&mut self) -> Result<Token<'t>, Fault> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        let leading = self.peek();
        let whole = self.digits()?;
        if leading == Some(b'0') && whole > 1 {
            return Err(Fault { at: start, what: "a number begins with a zero" });
        }
        let mut is_integer = true;
        let mut may_be_infinite = whole >= FINITE_DIGITS;
        if self.peek() == Some(b'.') {
            is_integer = false;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            (is_integer, may_be_infinite) = (false, true);
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        let number = &self.text[start..self.at];
        if is_integer {
            let fits = whole <= SAFE_DIGITS
                || number.parse::<u64>().is_ok()
                || number.parse::<i64>().is_ok();
            if !fits {
                let what = "an integer is not between -2^63 and 2^64 - 1";
                return Err(Fault { at: start, what });
            }
        } else if may_be_infinite && !number.parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(Fault { at: start, what: "a number is beyond the range of a double" });
        }
        Ok(Token::Number(number))
    }

    /// At least one digit; how many.
    fn digits(&mut self) -> Result<usize, Fault> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            return self.fault(if self.peek().is_none() { ENDS } else { "expected a digit" });
        }
        Ok(self.at - start)
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
