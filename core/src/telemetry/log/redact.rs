//! What looks like a secret in a line of the log, taken out before others read it.
//!
//! The gateway's own lines have none; those of a program may quote a header, a token, or a URL with a password.

use std::borrow::Cow;

const GONE: &str = "[redacted]";
/// What a secret begins with: a signed token, the scheme of a header, the place of a URL where a password may stand.
const MARKS: [&str; 3] = ["eyJ", "earer ", "://"];

/// The line without what looks like a secret. A line is JSON, and stays so.
pub(super) fn redacted(line: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = line;
    while let Some((place, mark)) = first(rest) {
        let after = place + mark.len();
        let (from, to) = match mark {
            "eyJ" => token(rest, place),
            "earer " => bearer(rest, after),
            _ => password(rest, after),
        };
        if from < to {
            out.push_str(&rest[..from]);
            out.push_str(GONE);
            rest = &rest[to..];
        } else {
            out.push_str(&rest[..after]);
            rest = &rest[after..];
        }
    }
    if out.is_empty() { Cow::Borrowed(line) } else { Cow::Owned(out + rest) }
}

fn first(text: &str) -> Option<(usize, &'static str)> {
    MARKS.iter().filter_map(|mark| Some((text.find(mark)?, *mark))).min()
}

/// Bytes at the beginning for which `holds`; a quote or a backslash ends them, so that JSON stays JSON.
fn run(text: &str, holds: impl Fn(u8) -> bool) -> usize {
    text.bytes()
        .take_while(|byte| byte.is_ascii() && !b"\"\\".contains(byte) && holds(*byte))
        .count()
}

/// What follows the scheme, unless it is a word: "a bearer token is needed" says no secret.
fn bearer(text: &str, start: usize) -> (usize, usize) {
    let end = start + run(&text[start..], |byte| byte > b' ');
    let is_word = end - start < 8 || !text[start..end].bytes().any(|byte| byte.is_ascii_digit());
    if is_word { (start, start) } else { (start, end) }
}

/// Three parts of base64 and two dots between.
fn token(text: &str, start: usize) -> (usize, usize) {
    let of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.=".contains(&byte);
    let end = start + run(&text[start..], of_token);
    let dots = text[start..end].bytes().filter(|byte| *byte == b'.').count();
    if dots >= 2 { (start, end) } else { (start, start) }
}

/// Between the colon and the `@` of a URL's authority (RFC 3986, section 3.2.1).
fn password(text: &str, start: usize) -> (usize, usize) {
    let end = start + run(&text[start..], |byte| byte > b' ' && !b"/?#".contains(&byte));
    let authority = &text[start..end];
    match (authority.find(':'), authority.rfind('@')) {
        (Some(colon), Some(at)) if colon < at => (start + colon + 1, start + at),
        _ => (start, start),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_headers_and_passwords_of_urls_are_taken_out() {
        for (given, expected) in [
            (r#"{"a":"eyJhbGciOi.eyJzdWIi.c2ln-_"}"#, r#"{"a":"[redacted]"}"#),
            (r#"{"a":"Bearer s3cret-key\nx"}"#, r#"{"a":"Bearer [redacted]\nx"}"#),
            (
                r#"{"a":"authorization: bearer s3cret-key, x"}"#,
                r#"{"a":"authorization: bearer [redacted] x"}"#,
            ),
            (
                r#"{"a":"postgresql://nexus:pa@ss@db:5432/x and redis://:pw@r"}"#,
                r#"{"a":"postgresql://nexus:[redacted]@db:5432/x and redis://:[redacted]@r"}"#,
            ),
            (
                r#"{"a":"eyJhbGciOi.eyJzdWIi.c2ln Bearer 0123456789"}"#,
                r#"{"a":"[redacted] Bearer [redacted]"}"#,
            ),
        ] {
            assert_eq!(redacted(given), expected);
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for line in [
            r#"{"path":"/api/eyJust/a.b","error":"a bearer token is needed"}"#,
            r#"{"a":"https://user@example.com/a:b@c?d=é","b":"http://[::1]:80/"}"#,
            "",
        ] {
            assert_eq!(redacted(line), line);
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_line_says_it_stays_json(
            text in r#"(eyJ|earer |://|[a-zé:@."\\\n ])*"#,
        ) {
            let line = serde_json::json!({ "a": text }).to_string();
            assert!(serde_json::from_str::<serde_json::Value>(&redacted(&line)).is_ok());
        }
    }
}
