//! The opening handshake (RFC 6455, section 4.2): what is asked of the request, and the headers of the 101.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Version};
use sha1::{Digest, Sha1};

use super::deflate::{self, Deflate};
use crate::reject::{self, Rejection};

/// RFC 6455, section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// A handshake that can be accepted.
#[derive(Debug)]
pub struct Handshake {
    /// Of the 101.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How messages to the client may be deflated.
    pub deflate: Deflate,
}

impl Handshake {
    /// Checks a request; `choose` is given the subprotocols that the client offers, in its order, and names the one that
    /// is spoken, or refuses.
    pub fn read(
        parts: &Parts,
        choose: impl FnOnce(&[&str]) -> Result<Option<HeaderValue>, Box<Rejection>>,
    ) -> Result<Self, Box<Rejection>> {
        let key = check(parts)?;
        let offered: Vec<&str> =
            lines(&parts.headers, &header::SEC_WEBSOCKET_PROTOCOL).flat_map(items).collect();
        let protocol = choose(&offered)?;
        let mut headers = vec![
            (header::CONNECTION, HeaderValue::from_static("upgrade")),
            (header::UPGRADE, WEBSOCKET),
            (header::SEC_WEBSOCKET_ACCEPT, accept(key)),
        ];
        headers.extend(protocol.map(|name| (header::SEC_WEBSOCKET_PROTOCOL, name)));
        let agreed = deflate::agree(lines(&parts.headers, &header::SEC_WEBSOCKET_EXTENSIONS));
        let deflate = agreed.as_ref().map_or(Deflate::Off, |agreed| agreed.deflate);
        headers.extend(agreed.map(|agreed| {
            (header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(agreed.header))
        }));
        Ok(Self { headers, deflate })
    }
}

/// For sockets that speak no subprotocol: none is chosen, which a client that needs one takes as a refusal.
pub fn no_subprotocol(_: &[&str]) -> Result<Option<HeaderValue>, Box<Rejection>> {
    Ok(None)
}

/// What must be there, in the order in which it is best told; the key.
fn check(parts: &Parts) -> Result<&[u8], Box<Rejection>> {
    let headers = &parts.headers;
    if parts.version != Version::HTTP_11 {
        return Err(upgrade("a WebSocket is opened over HTTP/1.1"));
    }
    if parts.method != Method::GET {
        return Err(upgrade("a WebSocket is opened by GET"));
    }
    let has = |name: &HeaderName, item: &str| {
        lines(headers, name).flat_map(items).any(|found| found.eq_ignore_ascii_case(item))
    };
    if !has(&header::UPGRADE, "websocket") || !has(&header::CONNECTION, "upgrade") {
        return Err(upgrade(reject::UPGRADE_REQUIRED.sentence));
    }
    if single(headers, &header::SEC_WEBSOCKET_VERSION)? != b"13" {
        return Err(upgrade("the WebSocket must have version 13"));
    }
    if headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0")
    {
        return Err(malformed("the request for a WebSocket has no body".into()));
    }
    let key = single(headers, &header::SEC_WEBSOCKET_KEY)?;
    if !STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16) {
        return Err(malformed("sec-websocket-key must be 16 bytes in base64".into()));
    }
    Ok(key)
}

fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h [u8], Box<Rejection>> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value.as_bytes().trim_ascii()),
        (None, _) => Err(malformed(format!("{name} is missing"))),
        (Some(_), Some(_)) => Err(malformed(format!("{name} is given twice"))),
    }
}

fn malformed(sentence: String) -> Box<Rejection> {
    Rejection::because(&reject::MALFORMED_REQUEST, sentence)
}

/// 426 tells with its headers what would be answered (RFC 9110, section 15.5.22, and RFC 6455, section 4.4).
fn upgrade(sentence: &'static str) -> Box<Rejection> {
    Rejection::because(&reject::UPGRADE_REQUIRED, sentence)
        .with(header::CONNECTION, HeaderValue::from_static("upgrade"))
        .with(header::UPGRADE, WEBSOCKET)
        .with(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
}

fn accept(key: &[u8]) -> HeaderValue {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    // Base64 is always a header value.
    HeaderValue::try_from(STANDARD.encode(digest)).unwrap_or(HeaderValue::from_static(""))
}

fn lines<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
}

fn items(line: &str) -> impl Iterator<Item = &str> {
    line.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn request(change: impl FnOnce(&mut Parts)) -> Parts {
        let (mut parts, ()) = Request::get("/ws")
            .header("connection", "keep-alive, Upgrade")
            .header("upgrade", "WebSocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .body(())
            .unwrap()
            .into_parts();
        change(&mut parts);
        parts
    }

    fn refused(change: impl FnOnce(&mut Parts)) -> u16 {
        Handshake::read(&request(change), no_subprotocol).unwrap_err().status
    }

    fn set(name: &'static str, value: &'static str) -> impl FnOnce(&mut Parts) {
        move |parts| drop(parts.headers.insert(name, HeaderValue::from_static(value)))
    }

    #[test]
    fn the_key_is_accepted_as_in_the_standard() {
        let handshake = Handshake::read(&request(|_| {}), no_subprotocol).unwrap();

        let accept = &handshake.headers[2];
        assert_eq!(accept.0, header::SEC_WEBSOCKET_ACCEPT);
        assert_eq!(accept.1, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(handshake.headers.len(), 3);
        assert_eq!(handshake.deflate, Deflate::Off);
    }

    #[test]
    fn what_is_no_handshake_is_told_to_upgrade() {
        assert_eq!(refused(|parts| drop(parts.headers.remove("upgrade"))), 426);
        assert_eq!(refused(set("connection", "close")), 426);
        assert_eq!(refused(set("sec-websocket-version", "8")), 426);
        assert_eq!(refused(|parts| parts.method = Method::HEAD), 426);
        assert_eq!(refused(|parts| parts.version = Version::HTTP_2), 426);
    }

    #[test]
    fn a_wrong_handshake_is_malformed() {
        assert_eq!(refused(set("sec-websocket-key", "c2hvcnQ=")), 400);
        assert_eq!(refused(set("sec-websocket-key", "?")), 400);
        assert_eq!(refused(|parts| drop(parts.headers.remove("sec-websocket-key"))), 400);
        assert_eq!(refused(set("content-length", "5")), 400);
        let twice = |parts: &mut Parts| {
            parts.headers.append("sec-websocket-version", HeaderValue::from_static("13"));
        };
        assert_eq!(refused(twice), 400);
    }

    #[test]
    fn the_subprotocol_is_chosen_among_those_that_are_offered() {
        let parts = request(set("sec-websocket-protocol", "a, b"));

        let handshake = Handshake::read(&parts, |offered| {
            assert_eq!(offered, ["a", "b"]);
            Ok(Some(HeaderValue::from_static("b")))
        });

        let headers = handshake.unwrap().headers;
        assert!(headers.contains(&(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("b"))));
    }

    #[test]
    fn deflating_is_agreed_to_where_it_is_offered() {
        let parts = request(set("sec-websocket-extensions", "permessage-deflate"));

        let handshake = Handshake::read(&parts, no_subprotocol).unwrap();

        assert_eq!(handshake.deflate, Deflate::Full);
        assert_eq!(handshake.headers[3].0, header::SEC_WEBSOCKET_EXTENSIONS);
    }
}
