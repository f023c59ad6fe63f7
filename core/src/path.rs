//! Request paths: percent-decoded once before the router compares them, and refused where two readers could
//! understand them differently. `docs/concepts/what-decides-the-answer.md` states the rule.

use memchr::{memchr, memchr3};

/// How often a path may be percent-encoded. More passes would let a short request cost much.
const DECODE_PASSES_MAX: usize = 4;

const BROKEN: &str = "the path has a `%` without two hex digits after it";
const DOTS: &str = "the path has a segment `.` or `..`, which is not resolved";
const NESTED: &str = "the path is percent-encoded too often";
const NOT_UTF8: &str = "the path has percent-encoded bytes that are not UTF-8";
const NUL: &str = "the path has a percent-encoded NUL";

/// The path that the router compares: every escape is decoded except `%2F`, which stays within its segment, and `%25`,
/// which the parameter's own decoding resolves. `None` where the path is that already.
///
/// # Errors
/// What makes the path ambiguous, as a sentence.
pub(crate) fn canonical(path: &str) -> Result<Option<String>, &'static str> {
    if memchr3(b'%', b'.', b'\\', path.as_bytes()).is_none() {
        return Ok(None);
    }
    if memchr(b'%', path.as_bytes()).is_none() {
        return if has_dot_segment(path.as_bytes()) { Err(DOTS) } else { Ok(None) };
    }
    let mut routed = Vec::with_capacity(path.len());
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            routed.push(byte);
            decoded.push(byte);
            continue;
        }
        let byte = escaped(after).ok_or(BROKEN)?;
        rest = &after[2..];
        decoded.push(byte);
        match byte {
            0 => return Err(NUL),
            b'/' => routed.extend_from_slice(b"%2F"),
            b'%' => routed.extend_from_slice(b"%25"),
            byte => routed.push(byte),
        }
    }
    let routed = String::from_utf8(routed).map_err(|_| NOT_UTF8)?;
    refuse_nested(decoded)?;
    Ok(Some(routed))
}

/// Whether a segment of a canonical path, or its rest, contains an encoded slash.
pub(crate) fn has_encoded_slash(text: &str) -> bool {
    memchr::memmem::find(text.as_bytes(), b"%2F").is_some()
}

/// Looks for dot segments in what a reader would see who decodes once more, and once more again.
fn refuse_nested(mut text: Vec<u8>) -> Result<(), &'static str> {
    for _ in 0..DECODE_PASSES_MAX {
        if has_dot_segment(&text) {
            return Err(DOTS);
        }
        match decode_leniently(&text) {
            Some(decoded) => text = decoded,
            None => return Ok(()),
        }
    }
    Err(NESTED)
}

/// Decodes what can be decoded; `None` where nothing can.
fn decode_leniently(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match escaped(after) {
            Some(found) if byte == b'%' => {
                decoded.push(found);
                rest = &after[2..];
            }
            _ => decoded.push(byte),
        }
    }
    (decoded.len() < text.len()).then_some(decoded)
}

/// Servers behind a gateway take `\` for `/`, and drop what follows a `;` in a segment: both count here.
fn has_dot_segment(text: &[u8]) -> bool {
    text.split(|byte| matches!(byte, b'/' | b'\\')).any(|segment| {
        let name = memchr(b';', segment).map_or(segment, |end| &segment[..end]);
        matches!(name, b"." | b"..")
    })
}

fn escaped(after: &[u8]) -> Option<u8> {
    let [high, low, ..] = after else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(*high)? << 4 | digit(*low)?) as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn routed(path: &str) -> Result<String, &'static str> {
        Ok(canonical(path)?.unwrap_or_else(|| path.to_owned()))
    }

    #[test]
    fn escapes_are_decoded_once_except_slash_and_percent() {
        for (path, expected) in [
            ("/hello", "/hello"),
            ("/%68ello", "/hello"),
            ("/entities%3Abatch", "/entities:batch"),
            ("/a%2fb%2Fc", "/a%2Fb%2Fc"),
            ("/a%2541", "/a%2541"),
            ("/%C3%A4", "/ä"),
            ("/a+b", "/a+b"),
            ("/a//b/", "/a//b/"),
            ("/a.b/..c/d..", "/a.b/..c/d.."),
            ("/v1;a=b/x", "/v1;a=b/x"),
            ("/50%25", "/50%25"),
            ("/a\\b", "/a\\b"),
        ] {
            assert_eq!(routed(path).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn dot_segments_are_refused_however_they_are_written() {
        for path in [
            "/..",
            "/.",
            "/a/../b",
            "/a/./b",
            "/a/..",
            "/%2e",
            "/%2E%2e/a",
            "/.%2e/a",
            "/a%2f..%2fb",
            "/a%5c..%5cb",
            "/a\\..\\b",
            "/..;x/a",
            "/.;/a",
            "/%252e%252e/a",
            "/%25252e./a",
            "/a%252f..%252fb",
            "/%25%32%65/a",
            "/a/..%3bx",
            "/..%2f",
            "/..%5cb",
        ] {
            assert_eq!(routed(path), Err(DOTS), "{path}");
        }
    }

    #[test]
    fn what_cannot_be_decoded_is_refused() {
        for path in ["/%", "/%2", "/%zz", "/a%+1", "/%%41"] {
            assert_eq!(routed(path), Err(BROKEN), "{path}");
        }
        // Overlong and surrogate encodings are not UTF-8.
        for path in ["/%ff", "/%c0%af", "/%c0%ae", "/%e0%80%af", "/%ed%a0%80", "/%C3%28"] {
            assert_eq!(routed(path), Err(NOT_UTF8), "{path}");
        }
        assert_eq!(routed("/a%00b"), Err(NUL));
        assert_eq!(routed(&format!("/%{}41", "25".repeat(3000))), Err(NESTED));
    }

    proptest! {
        #[test]
        fn no_path_panics_and_no_dot_segment_passes(path in "/([a./\\\\;]|%[0-9a-fA-F]{2}|%){0,12}") {
            if let Ok(routed) = routed(&path) {
                prop_assert!(!has_dot_segment(routed.as_bytes()));
            }
        }
    }
}
