//! Refusals: each has a kind with a stable code, a status and a sentence; `layers::errors` writes them.
//!
//! `nexus_gateway/describe/reject.py` lists the same kinds with what to do about each; a test compares the two lists.

use std::borrow::Cow;

use http::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

/// A kind of refusal.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Stable, snake case; clients branch on it.
    pub code: &'static str,
    /// The HTTP status it usually has.
    pub status: u16,
    /// What is said where nothing more exact is known.
    pub sentence: &'static str,
}

macro_rules! kinds {
    ($($name:ident $code:literal $status:literal $sentence:literal;)*) => {
        $(#[doc = $sentence] pub static $name: Kind = Kind { code: $code, status: $status, sentence: $sentence };)*
        /// Every kind, in the order of the documentation.
        pub static KINDS: &[&Kind] = &[$(&$name),*];
    };
}

kinds! {
    AUTHENTICATION_FAILED "authentication_failed" 401 "a bearer token is needed";
    TOKEN_EXPIRED "token_expired" 401 "the token has expired";
    TOKEN_NOT_YET_VALID "token_not_yet_valid" 401 "the token is not valid yet";
    TOKEN_INVALID "token_invalid" 401 "the token is not a JWT with the claims that are needed";
    TOKEN_SIGNATURE_INVALID "token_signature_invalid" 401 "the token's signature does not verify";
    TOKEN_UNSIGNED "token_unsigned" 401 "the token is not signed";
    TOKEN_ALGORITHM_REFUSED "token_algorithm_refused" 401 "the token is signed with an algorithm that is not allowed";
    TOKEN_AUDIENCE_MISMATCH "token_audience_mismatch" 401 "the token is meant for another audience";
    TOKEN_ISSUER_MISMATCH "token_issuer_mismatch" 401 "the token comes from another issuer";
    TOKEN_REVOKED "token_revoked" 401 "the token has been revoked";
    PERMISSION_DENIED "permission_denied" 403 "the token lacks a scope that is needed";
    RATE_LIMIT_EXCEEDED "rate_limit_exceeded" 429 "too many requests";
    NOT_FOUND "not_found" 404 "there is nothing at this path";
    METHOD_NOT_ALLOWED "method_not_allowed" 405 "the path does not answer this method";
    VALIDATION_ERROR "validation_error" 422 "a value is not what it must be";
    MALFORMED_BODY "malformed_body" 400 "the body cannot be parsed";
    MALFORMED_REQUEST "malformed_request" 400 "the request is not valid HTTP";
    REQUEST_TIMEOUT "request_timeout" 408 "the request did not arrive in time";
    CONFLICT "conflict" 409 "the request conflicts with what is stored";
    PRECONDITION_FAILED "precondition_failed" 412 "what is stored is not what the request expects";
    PAYLOAD_TOO_LARGE "payload_too_large" 413 "the body is too large";
    URI_TOO_LONG "uri_too_long" 414 "the request target is too long";
    UNSUPPORTED_MEDIA_TYPE "unsupported_media_type" 415 "the body's content type is not accepted";
    UPGRADE_REQUIRED "upgrade_required" 426 "the path is answered over a WebSocket";
    HEADERS_TOO_LARGE "headers_too_large" 431 "the header fields are too large";
    INTERNAL_ERROR "internal_error" 500 "the gateway failed";
    NOT_IMPLEMENTED "not_implemented" 501 "the request needs something that the gateway does not implement";
    DATABASE_ERROR "database_error" 503 "the database does not answer";
    SERVICE_UNAVAILABLE "service_unavailable" 503 "the gateway cannot take the request now";
    DEADLINE_EXCEEDED "deadline_exceeded" 504 "the answer did not come in time";
}

/// One thing that is wrong with a request: where, what it must be, what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detail {
    /// `path`, `query`, `header` or `body`.
    pub location: Cow<'static, str>,
    /// The name of the parameter or header, or the path within the body.
    pub field: Cow<'static, str>,
    /// What it must be: `int`, `str`, `uuid`, ...
    pub kind: Cow<'static, str>,
    /// The limit that it breaks, such as `>= 1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// A sentence.
    pub message: String,
}

/// A refusal, on its way to `layers::errors`.
#[derive(Debug)]
pub struct Rejection {
    /// What kind of refusal.
    pub kind: &'static Kind,
    /// The HTTP status; usually the kind's.
    pub status: u16,
    /// What is said to the caller.
    pub message: Cow<'static, str>,
    /// Each thing that is wrong, where there are several.
    pub details: Vec<Detail>,
    /// Further headers: `Allow`, `Retry-After`, `WWW-Authenticate`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Whether what was asked for is missing, rather than wrong: `optional` lets that pass.
    pub absent: bool,
}

impl Rejection {
    /// A refusal with its kind's status and sentence.
    pub fn new(kind: &'static Kind) -> Box<Self> {
        Box::new(Self {
            kind,
            status: kind.status,
            message: Cow::Borrowed(kind.sentence),
            details: Vec::new(),
            headers: Vec::new(),
            absent: false,
        })
    }

    /// A refusal with a sentence of its own.
    pub fn because(kind: &'static Kind, message: impl Into<Cow<'static, str>>) -> Box<Self> {
        let mut rejection = Self::new(kind);
        rejection.message = message.into();
        rejection
    }

    /// A wrong value in the path, query or header: 400 with its one detail.
    pub fn value(detail: Detail) -> Box<Self> {
        let mut rejection = Self::because(
            &VALIDATION_ERROR,
            format!("{} {}: {}", detail.location, detail.field, detail.message),
        );
        rejection.status = 400;
        rejection.details.push(detail);
        rejection
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self: Box<Self>, name: HeaderName, value: HeaderValue) -> Box<Self> {
        self.headers.push((name, value));
        self
    }

    /// Says that what was asked for is missing rather than wrong.
    #[must_use]
    pub fn missing(mut self: Box<Self>) -> Box<Self> {
        self.absent = true;
        self
    }
}
