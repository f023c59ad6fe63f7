//! What the core alone says about how an answer is framed, and which header fields an answer has once.
//!
//! A handler, a constant answer or a folder of files names headers of its own. Those that say where a
//! message ends belong to the connection: a `content-length` of the body before it was compressed
//! leaves the client waiting, and what follows is taken for something else (RFC 9112, section 6).

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

/// Whether a field belongs to the connection or to the framing of the message (RFC 9110, sections
/// 6.6 and 7.6.1). What an application says there is not sent.
pub fn is_framing(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "content-length"
            | "date"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Whether an answer has a field once: its value is no list, so two lines contradict each other.
fn is_single(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "age"
            | "access-control-allow-credentials"
            | "access-control-allow-origin"
            | "access-control-max-age"
            | "content-disposition"
            | "content-encoding"
            | "content-length"
            | "content-location"
            | "content-range"
            | "content-type"
            | "etag"
            | "expires"
            | "last-modified"
            | "location"
            | "referrer-policy"
            | "retry-after"
            | "server"
            | "strict-transport-security"
            | "x-content-type-options"
            | "x-frame-options"
    )
}

/// Adds a field to an answer. Of a field that an answer has once, the last one counts.
pub fn add(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    if name == header::VARY {
        merge_vary(headers, &value);
    } else if is_single(&name) {
        headers.insert(name, value);
    } else {
        headers.append(name, value);
    }
}

/// Adds the members of a `Vary` that the answer does not have yet.
fn merge_vary(headers: &mut HeaderMap, value: &HeaderValue) {
    for member in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
        let known = headers.get_all(header::VARY).iter().any(|line| {
            let mut names = line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            names.any(|name| name == b"*" || name.eq_ignore_ascii_case(member))
        });
        if !known
            && !member.is_empty()
            && let Ok(member) = HeaderValue::from_bytes(member)
        {
            headers.append(header::VARY, member);
        }
    }
}

/// Whether an answer of this status ends with its head (RFC 9110, sections 15.3.5, 15.3.6, 15.4.5).
pub fn has_no_content(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED)
}

/// Takes away what describes a content that there is not.
pub fn describe_no_content(headers: &mut HeaderMap) {
    for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CONTENT_RANGE] {
        headers.remove(name);
    }
}

/// The status of an answer that an application may give: final, and of one of the five classes.
///
/// # Errors
/// What is wrong with it.
pub fn final_status(status: u16) -> Result<StatusCode, String> {
    match StatusCode::from_u16(status) {
        Ok(known) if (200..600).contains(&status) => Ok(known),
        _ => Err(format!("an answer has a status of 200 to 599, found {status}")),
    }
}

/// The headers of an answer that is described at start.
///
/// # Errors
/// Names the one that cannot be sent.
pub fn headers_of(
    described: &[(String, String)],
) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let header = |(name, value): &(String, String)| {
        let known: HeaderName =
            name.parse().map_err(|_| format!("a header: {name:?} is not a header name"))?;
        let value = HeaderValue::from_str(value.trim_matches([' ', '\t']))
            .map_err(|_| format!("a header: {value:?} is not a value of {name}"))?;
        if is_framing(&known) {
            return Err(format!("a header: {name} is written by the core alone"));
        }
        Ok((known, value))
    };
    described.iter().map(header).collect()
}

/// Whether a method reads, so that a condition that fails is answered with 304.
pub fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn added(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            add(&mut headers, name.parse().unwrap(), HeaderValue::from_static(value));
        }
        headers
    }

    fn values(headers: &HeaderMap, name: &str) -> Vec<String> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_field_that_an_answer_has_once_is_replaced() {
        for name in ["content-type", "location", "etag", "retry-after", "content-encoding"] {
            assert_eq!(values(&added(&[(name, "a"), (name, "b")]), name), ["b"]);
        }
        let cookies = added(&[("set-cookie", "a=1"), ("set-cookie", "a=2"), ("link", "<x>")]);
        assert_eq!(values(&cookies, "set-cookie"), ["a=1", "a=2"]);
    }

    #[test]
    fn a_vary_is_merged() {
        let headers = added(&[("vary", "Accept, Origin"), ("vary", "origin,,prefer")]);
        assert_eq!(values(&headers, "vary"), ["Accept", "Origin", "prefer"]);
        assert_eq!(values(&added(&[("vary", "*"), ("vary", "a")]), "vary"), ["*"]);
    }

    #[test]
    fn a_status_is_final() {
        for status in [0, 99, 100, 101, 103, 199, 600, 999, 1000] {
            assert!(final_status(status).is_err(), "{status}");
        }
        for status in [200, 204, 299, 304, 418, 599] {
            assert!(final_status(status).is_ok(), "{status}");
        }
    }

    #[test]
    fn headers_that_cannot_be_sent_are_named() {
        let one = |name: &str, value: &str| headers_of(&[(name.into(), value.into())]);
        for (name, value) in
            [("Content-Length", "1"), ("date", "x"), ("a b", "c"), ("a", "b\r\nc: d"), ("a", "\0")]
        {
            assert!(one(name, value).is_err(), "{name}: {value:?}");
        }
        assert_eq!(one("a", " b ").unwrap()[0].1, "b");
    }
}
