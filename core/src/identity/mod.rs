//! Who calls: the claims of a token, the tokens that were revoked, and the refusals of a request
//! that does not say who it is.

mod claims;
mod revocations;

use std::borrow::Cow;

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};

use crate::reject::{AUTHENTICATION_FAILED, Kind, Rejection, TOKEN_INVALID};
pub use claims::Claims;
pub(crate) use claims::{Found, read_object};
pub use revocations::{Realm, Revocation, Revocations, Revoked};

/// The token of the `Authorization` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, Box<Rejection>> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let Some(header) = given.next() else {
        return Err(unauthenticated(AUTHENTICATION_FAILED.sentence).missing());
    };
    if given.next().is_some() {
        return Err(unauthenticated("expected one Authorization header, got several"));
    }
    let text = header.to_str().map_err(|_| refuse(&TOKEN_INVALID, "the token is not ASCII"))?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Ok(token.trim_matches(' '))
        }
        _ => {
            Err(unauthenticated("expected `Authorization: Bearer` and a token, got another scheme"))
        }
    }
}

/// A request that brings no token: RFC 6750, section 3.1 wants no error code in the challenge.
#[cold]
pub(crate) fn unauthenticated(sentence: &'static str) -> Box<Rejection> {
    Rejection::because(&AUTHENTICATION_FAILED, sentence)
        .with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}

/// A token that fails. The challenge repeats the kind's own sentence, which needs no quoting.
#[cold]
pub(crate) fn refuse(
    kind: &'static Kind,
    sentence: impl Into<Cow<'static, str>>,
) -> Box<Rejection> {
    let challenge =
        format!(r#"Bearer error="invalid_token", error_description="{}""#, kind.sentence);
    let challenge =
        HeaderValue::from_str(&challenge).unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
    Rejection::because(kind, sentence).with(WWW_AUTHENTICATE, challenge)
}
