//! Checks of a request's head that hold for every route, on HTTP/1.1 and HTTP/2 alike, before a route is looked for
//! (RFC 9110, sections 4.2 and 7; RFC 9112, section 3; RFC 9113, section 8.2 and 8.3).

use std::net::Ipv6Addr;

use http::header::{self, HeaderMap, HeaderName};
use http::request::Parts;
use http::uri::Scheme;
use http::{Method, Version};

use crate::path;
use crate::plan::Bounds;
use crate::reject::{self, Rejection};

/// Header fields that a request may have, on both protocols. `Host` and the fields of the connection itself, which
/// HTTP/2 does not have, are not counted; the parts that HTTP/2 splits a `Cookie` into count as one.
pub(crate) const HEADER_FIELDS_MAX: usize = 100;
/// Fields that HTTP/1.1 parses: room for those that are not counted.
pub(crate) const HEADER_FIELDS_PARSED_MAX: usize = 128;

/// Fields that have one value: a second line makes the request ambiguous. All others are lists, or are not
/// interpreted by the gateway.
const SINGLETONS: [HeaderName; 15] = [
    header::ACCESS_CONTROL_REQUEST_METHOD,
    header::AUTHORIZATION,
    header::CONTENT_LENGTH,
    header::CONTENT_LOCATION,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::HOST,
    header::IF_MODIFIED_SINCE,
    header::IF_RANGE,
    header::IF_UNMODIFIED_SINCE,
    header::MAX_FORWARDS,
    header::ORIGIN,
    header::PROXY_AUTHORIZATION,
    header::RANGE,
    header::REFERER,
];

/// Fields of the connection, not of the request; HTTP/2 has none of them.
const CONNECTION_FIELDS: [&str; 8] = [
    "connection",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Checks a head; the path as the router compares it, where that differs from the path as it was sent.
pub(crate) fn check(parts: &Parts, bounds: &Bounds) -> Result<Option<String>, Box<Rejection>> {
    check_target_size(parts, bounds)?;
    check_fields(parts, bounds)?;
    check_authority(parts)?;
    let target = parts.uri.path();
    if parts.method == Method::CONNECT {
        return Err(Rejection::because(&reject::NOT_IMPLEMENTED, "CONNECT is not implemented"));
    }
    if target == "*" && parts.method == Method::OPTIONS {
        return Ok(None);
    }
    if !target.starts_with('/') {
        return Err(malformed("the request target must be a path that starts with `/`"));
    }
    path::canonical(target).map_err(malformed)
}

/// Whether a field has one value by its definition, so that two lines of it cannot be combined.
pub(crate) fn is_singleton(name: &HeaderName) -> bool {
    SINGLETONS.contains(name)
}

fn check_target_size(parts: &Parts, bounds: &Bounds) -> Result<(), Box<Rejection>> {
    let uri = &parts.uri;
    let target = uri.path().len() + uri.query().map_or(0, |query| query.len() + 1);
    if target > bounds.uri_bytes {
        return Err(Rejection::because(
            &reject::URI_TOO_LONG,
            format!("the request target has {target} bytes, {} are accepted", bounds.uri_bytes),
        ));
    }
    Ok(())
}

fn check_fields(parts: &Parts, bounds: &Bounds) -> Result<(), Box<Rejection>> {
    let headers = &parts.headers;
    let lines = headers.iter();
    // `name: value` and its line end, as HTTP/1.1 writes it.
    let size: usize = lines.map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if size > bounds.header_bytes {
        return Err(Rejection::because(
            &reject::HEADERS_TOO_LARGE,
            format!("the header has {size} bytes, {} are accepted", bounds.header_bytes),
        ));
    }
    if headers.len() > HEADER_FIELDS_MAX {
        check_count(headers)?;
    }
    if headers.len() != headers.keys_len() {
        check_repeated(headers)?;
    }
    if parts.version == Version::HTTP_2 {
        check_padding(headers)?;
    }
    Ok(())
}

#[cold]
fn check_count(headers: &HeaderMap) -> Result<(), Box<Rejection>> {
    let cookies = headers.get_all(header::COOKIE).iter().count().saturating_sub(1);
    let connection: usize =
        CONNECTION_FIELDS.iter().map(|name| headers.get_all(*name).iter().count()).sum();
    let count = headers.len() - cookies - connection;
    if count > HEADER_FIELDS_MAX {
        return Err(Rejection::because(
            &reject::HEADERS_TOO_LARGE,
            format!("the header has {count} fields, {HEADER_FIELDS_MAX} are accepted"),
        ));
    }
    Ok(())
}

#[cold]
fn check_repeated(headers: &HeaderMap) -> Result<(), Box<Rejection>> {
    for name in &SINGLETONS {
        if headers.get_all(name).iter().nth(1).is_some() {
            return Err(malformed(format!("the field `{name}` is sent more than once")));
        }
    }
    Ok(())
}

/// HTTP/1.1 strips blanks around a value; HTTP/2 does not have them (RFC 9113, section 8.2.1).
fn check_padding(headers: &HeaderMap) -> Result<(), Box<Rejection>> {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    for (name, value) in headers {
        let value = value.as_bytes();
        if blank(value.first()) || blank(value.last()) {
            return Err(malformed(format!("the value of `{name}` starts or ends with a blank")));
        }
    }
    Ok(())
}

fn check_authority(parts: &Parts) -> Result<(), Box<Rejection>> {
    let host = parts.headers.get(header::HOST);
    if let Some(host) = host
        && !is_host(host.as_bytes())
    {
        return Err(malformed("`Host` is not a host with an optional port"));
    }
    let Some(authority) = parts.uri.authority() else {
        return match (parts.version, host) {
            (Version::HTTP_11, None) => Err(malformed("a request must have one Host header")),
            (Version::HTTP_2, None) => {
                Err(malformed("a request must have `:authority`, or one Host header"))
            }
            _ => Ok(()),
        };
    };
    let authority = authority.as_str();
    if !is_host(authority.as_bytes()) {
        return Err(malformed("the authority is not a host with an optional port"));
    }
    match parts.version {
        Version::HTTP_2 => {
            let scheme = parts.uri.scheme();
            if let Some(Ok(host)) = host.map(|host| host.to_str())
                && !same_host(host, authority, scheme)
            {
                return Err(malformed("`Host` and `:authority` name different hosts"));
            }
            Ok(())
        }
        // An absolute target overrides `Host` (RFC 9112, section 3.2.2).
        version => {
            if version == Version::HTTP_11 && host.is_none() {
                return Err(malformed("a request must have one Host header"));
            }
            let scheme = parts.uri.scheme();
            let known = scheme == Some(&Scheme::HTTP) || scheme == Some(&Scheme::HTTPS);
            if !known && parts.method != Method::CONNECT {
                return Err(malformed("the request target must be a path, or an http(s) URL"));
            }
            Ok(())
        }
    }
}

/// `uri-host [ ":" port ]` (RFC 9110, section 7.2). The comma that RFC 3986 allows in a name is left out: a list of
/// hosts is two readings of one field.
fn is_host(text: &[u8]) -> bool {
    let (name, port) = match memchr::memrchr(b':', text) {
        Some(colon) if !text.ends_with(b"]") => (&text[..colon], &text[colon + 1..]),
        _ => (text, &b""[..]),
    };
    is_port(port) && (is_name(name) || is_literal(name))
}

fn is_port(text: &[u8]) -> bool {
    let number = text.iter().try_fold(0_u32, |number, byte| match byte {
        b'0'..=b'9' => Some(number * 10 + u32::from(byte - b'0')).filter(|n| *n <= 0xffff),
        _ => None,
    });
    number.is_some()
}

fn is_name(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = match (byte, after) {
            (b'%', [high, low, after @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                after
            }
            (b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9', _) => after,
            (byte, _) if b"-._~!$&'()*+;=".contains(byte) => after,
            _ => return false,
        };
    }
    !text.is_empty()
}

fn is_literal(text: &[u8]) -> bool {
    text.strip_prefix(b"[")
        .and_then(|text| text.strip_suffix(b"]"))
        .and_then(|text| std::str::from_utf8(text).ok())
        .is_some_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

fn same_host(host: &str, authority: &str, scheme: Option<&Scheme>) -> bool {
    let default = if scheme == Some(&Scheme::HTTPS) { ":443" } else { ":80" };
    let bare = |text: &str| -> usize {
        let text = text.strip_suffix(default).or_else(|| text.strip_suffix(':')).unwrap_or(text);
        text.len()
    };
    host[..bare(host)].eq_ignore_ascii_case(&authority[..bare(authority)])
}

#[cold]
fn malformed(sentence: impl Into<std::borrow::Cow<'static, str>>) -> Box<Rejection> {
    Rejection::because(&reject::MALFORMED_REQUEST, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_a_port() {
        for good in [
            "h",
            "example.com",
            "example.com:8080",
            "h:",
            "127.0.0.1:0",
            "[::1]",
            "[::1]:65535",
            "a_b",
            "xn--e1afmkfd",
            "EXAMPLE.com.",
            "a%41",
            "[::ffff:1.2.3.4]",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "user@h",
            "u:p@h",
            "h/path",
            "h/",
            "a, b",
            "a,b",
            "a b",
            "h:65536",
            "h:8x",
            "h:-1",
            "h:80:80",
            "::1",
            "[::1",
            "::1]",
            "[::1]x",
            "[::1]:x",
            "[zz]",
            "[]",
            "h?q",
            "h#f",
            "h\\x",
            "ä",
            "a%4",
            "http://h",
            "[::1%25eth0]",
            "[fe80::1%eth0]",
            "h\t",
            "<h>",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn hosts_are_compared_without_case_and_default_port() {
        let same = |host, authority| same_host(host, authority, Some(&Scheme::HTTP));

        assert!(same("h", "H") && same("h:80", "h") && same("h:", "h") && same("h:81", "h:81"));
        assert!(!same("h", "i") && !same("h:81", "h") && !same("h:443", "h"));
        assert!(same_host("h:443", "h", Some(&Scheme::HTTPS)));
    }
}
