//! Percent-encoded text: segments of a path, and the pairs of a query string.

use std::borrow::Cow;

use memchr::memchr2;

/// What `+` means in percent-encoded text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plus {
    /// A plus, as in a path (RFC 3986).
    Itself,
    /// A space, as in a query string (`application/x-www-form-urlencoded`).
    Space,
}

/// Percent-decodes a text; the error says what it is instead. Text with nothing encoded is not
/// copied.
pub(crate) fn decode(text: &str, plus: Plus) -> Result<Cow<'_, str>, &'static str> {
    let other = if plus == Plus::Space { b'+' } else { b'%' };
    match memchr2(b'%', other, text.as_bytes()) {
        None => Ok(Cow::Borrowed(text)),
        Some(first) => decode_from(text.as_bytes(), first, plus).map(Cow::Owned),
    }
}

fn decode_from(text: &[u8], first: usize, plus: Plus) -> Result<String, &'static str> {
    let mut decoded = Vec::with_capacity(text.len());
    let (plain, mut rest) = text.split_at(first);
    decoded.extend_from_slice(plain);
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (*byte, after) {
            (b'%', [high, low, after @ ..]) => {
                decoded.push(hex(*high)? << 4 | hex(*low)?);
                rest = after;
            }
            (b'%', _) => return Err(BROKEN),
            (b'+', _) if plus == Plus::Space => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
    }
    String::from_utf8(decoded).map_err(|_| "percent-encoded bytes that are not UTF-8")
}

const BROKEN: &str = "a `%` without two hex digits after it";

fn hex(digit: u8) -> Result<u8, &'static str> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(BROKEN),
    }
}

/// The pairs of a query string, decoded; what cannot be decoded is left out.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter_map(|pair| {
        let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decode(name, Plus::Space).ok()?, decode(text, Plus::Space).ok()?))
    })
}
