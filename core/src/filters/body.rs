//! `body`: what body a route wants. The head is checked here; the body is read after all filters
//! have passed.

pub mod decode;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};

use crate::filters::{BuildContext, Context, WantedBody};
use crate::plan::Content;
use crate::reject::{MALFORMED_BODY, PAYLOAD_TOO_LARGE, Rejection, UNSUPPORTED_MEDIA_TYPE};
use crate::value::Value;
use decode::Codings;

/// A wanted body, compiled.
#[derive(Debug)]
pub struct Body {
    wanted: WantedBody,
    /// Those that a body of bytes may have; empty for any.
    content_types: Box<[String]>,
}

// === impl Body ===

impl Body {
    /// Compiles a body; without a limit of its own it takes the gateway's.
    pub fn build(
        content: Content,
        max_bytes: Option<u64>,
        content_types: &[String],
        build: &BuildContext<'_>,
    ) -> Self {
        let max_bytes = max_bytes.unwrap_or(build.bounds.body_bytes);
        let wanted = WantedBody { max_bytes, content, codings: Codings::default() };
        Self { wanted, content_types: content_types.into() }
    }

    /// Checks the head, asks for the body and leaves its place among the values.
    pub fn apply(&self, context: &mut Context<'_>) -> Result<(), Box<Rejection>> {
        let headers = &context.parts.headers;
        if let Some(given) = refused_type(self.wanted.content, &self.content_types, headers) {
            return Err(wrong_type(self.wanted.content, &self.content_types, &given));
        }
        if declared_length(headers).is_some_and(|length| length > self.wanted.max_bytes) {
            return Err(too_large(self.wanted.max_bytes));
        }
        let mut wanted = self.wanted;
        if headers.contains_key(CONTENT_ENCODING) {
            wanted.codings = Codings::read(headers)?;
        }
        context.body = Some(wanted);
        context.values.push(Value::Body(Bytes::new()));
        Ok(())
    }
}

/// The refusal of a body that is larger than `max` bytes.
#[cold]
pub fn too_large(max: u64) -> Box<Rejection> {
    Rejection::because(&PAYLOAD_TOO_LARGE, format!("the body is larger than {max} bytes"))
}

/// Refuses a body that should be text and is not UTF-8.
pub fn check_text(body: &Bytes) -> Result<(), Box<Rejection>> {
    match std::str::from_utf8(body) {
        Ok(_) => Ok(()),
        Err(error) => {
            let place = error.valid_up_to();
            let sentence = format!("expected text in UTF-8, got other bytes at offset {place}");
            Err(Rejection::because(&MALFORMED_BODY, sentence))
        }
    }
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The content type that the body may not have, where it has one.
fn refused_type(content: Content, listed: &[String], headers: &HeaderMap) -> Option<String> {
    let given = match headers.get(CONTENT_TYPE) {
        Some(given) => given.as_bytes(),
        None if listed.is_empty() => return None,
        // With several possible types, bytes without one say nothing.
        None => b"",
    };
    let essence = given.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let accepted = match content {
        Content::Bytes if listed.is_empty() => true,
        Content::Bytes => listed.iter().any(|one| essence.eq_ignore_ascii_case(one.as_bytes())),
        Content::Json => is_json(essence),
        Content::Text => essence.get(..5).is_some_and(|top| top.eq_ignore_ascii_case(b"text/")),
    };
    (!accepted).then(|| essence.escape_ascii().take(80).map(char::from).collect())
}

fn is_json(essence: &[u8]) -> bool {
    essence.eq_ignore_ascii_case(b"application/json")
        || (essence.get(..12).is_some_and(|top| top.eq_ignore_ascii_case(b"application/"))
            && essence.last_chunk().is_some_and(|end: &[u8; 5]| end.eq_ignore_ascii_case(b"+json")))
}

#[cold]
fn wrong_type(content: Content, listed: &[String], given: &str) -> Box<Rejection> {
    let wanted = match content {
        Content::Json => "application/json",
        Content::Text => "text/*",
        Content::Bytes => &listed.join(" or "),
    };
    let sentence = format!("expected a body of type {wanted}, got '{given}'");
    Rejection::because(&UNSUPPORTED_MEDIA_TYPE, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::limit::PlanLimits;
    use crate::filters::support::Request;
    use crate::plan::Bounds;

    fn apply(content: Content, request: Request) -> Result<Vec<Value>, Box<Rejection>> {
        let bounds = Bounds { body_bytes: 100, ..Bounds::default() };
        let body = Body::build(
            content,
            None,
            &[],
            &BuildContext {
                verifier: None,
                bounds: &bounds,
                limits: &PlanLimits::default(),
                route: "GET /",
                socket: false,
            },
        );
        request.run(|context| {
            body.apply(context)?;
            assert_eq!(
                context.body,
                Some(WantedBody { max_bytes: 100, content, codings: Codings::default() })
            );
            Ok(())
        })
    }

    fn typed(content_type: &str) -> Request {
        Request::get("/").header("content-type", content_type)
    }

    #[test]
    fn a_json_body_has_a_json_type_or_none() {
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/ld+json"] {
            assert!(apply(Content::Json, typed(good)).is_ok(), "{good}");
        }
        let values = apply(Content::Json, Request::get("/")).unwrap();
        assert!(matches!(&values[..], [Value::Body(body)] if body.is_empty()));
    }

    #[test]
    fn another_type_than_json_is_a_415_that_names_both() {
        for wrong in
            ["text/json", "application/x-www-form-urlencoded", "application/jsonx", "+json", ""]
        {
            let rejection = apply(Content::Json, typed(wrong)).unwrap_err();
            assert_eq!(rejection.status, 415, "{wrong}");
            let sentence = format!("expected a body of type application/json, got '{wrong}'");
            assert_eq!(rejection.message, sentence);
        }
    }

    #[test]
    fn text_takes_every_text_type_and_bytes_take_anything() {
        assert!(apply(Content::Text, typed("text/csv")).is_ok());
        assert!(apply(Content::Text, typed("application/json")).is_err());
        assert!(apply(Content::Bytes, typed("image/png")).is_ok());
    }

    #[test]
    fn a_declared_length_over_the_limit_is_a_413_that_names_the_limit() {
        let at_limit = Request::get("/").header("content-length", "100");
        let over = Request::get("/").header("content-length", "101");

        assert!(apply(Content::Bytes, at_limit).is_ok());
        let rejection = apply(Content::Bytes, over).unwrap_err();
        assert_eq!(rejection.status, 413);
        assert_eq!(rejection.message, "the body is larger than 100 bytes");
    }

    #[test]
    fn text_that_is_not_utf_8_is_malformed() {
        assert!(check_text(&Bytes::from_static("grün".as_bytes())).is_ok());
        let rejection = check_text(&Bytes::from_static(b"ok\xff")).unwrap_err();
        assert_eq!((rejection.status, rejection.kind.code), (400, "malformed_body"));
        assert!(rejection.message.ends_with("at offset 2"), "{}", rejection.message);
    }
}
