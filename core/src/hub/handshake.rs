//! What a handshake says of identity and encoding: browsers cannot set headers, so that both come by subprotocols.
//!
//! A token is never looked for in the query, where it would be logged on the way.

use http::HeaderMap;
use http::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};

use super::wire::Format;

const BEARER: &str = "nexus.bearer.";
const LATER: &str = "nexus.auth";
const JSON: &str = "nexus.json";
const MSGPACK: &str = "nexus.msgpack";

/// What the subprotocols of a handshake say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Offer<'h> {
    /// The token, where one of them is it.
    pub(crate) token: Option<&'h str>,
    /// Whether the first frame brings the token.
    pub(crate) later: bool,
    format: Option<Format>,
}

impl<'h> Offer<'h> {
    /// Reads them; of several formats the first counts.
    pub(crate) fn read(headers: &'h HeaderMap) -> Self {
        let mut offer = Self::default();
        let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        for item in lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')) {
            match item.trim() {
                JSON => offer.format = offer.format.or(Some(Format::Json)),
                MSGPACK => offer.format = offer.format.or(Some(Format::Msgpack)),
                LATER => offer.later = true,
                other => offer.token = offer.token.or(other.strip_prefix(BEARER)),
            }
        }
        offer
    }

    /// The format that is spoken.
    pub(crate) fn format(&self) -> Format {
        self.format.unwrap_or(Format::Json)
    }

    /// The subprotocol that is answered: one that was offered, and never the token.
    pub(crate) fn answer(&self) -> Option<HeaderValue> {
        Some(HeaderValue::from_static(match self.format? {
            Format::Msgpack => MSGPACK,
            _ => JSON,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(line: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(line))])
    }

    #[test]
    fn the_first_format_is_answered_and_never_the_token() {
        let headers = offer("nexus.bearer.a.b.c, nexus.msgpack, nexus.json");

        let offer = Offer::read(&headers);

        assert_eq!(offer.token, Some("a.b.c"));
        assert_eq!((offer.format(), offer.later), (Format::Msgpack, false));
        assert_eq!(offer.answer().unwrap(), "nexus.msgpack");
    }

    #[test]
    fn where_nothing_is_offered_nothing_is_answered() {
        let headers = offer("graphql-ws,nexus.auth");

        let offer = Offer::read(&headers);

        assert!(offer.later && offer.token.is_none() && offer.answer().is_none());
        assert_eq!(offer.format(), Format::Json);
    }
}
