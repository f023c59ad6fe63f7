//! `auth`: a bearer token that verifies and has the scopes that a route asks for (RFC 6750, RFC
//! 7519, RFC 8725).
//!
//! Every way in which a token fails has a code of its own, and every 401 and 403 says in
//! `WWW-Authenticate` what is needed. The signature is checked before a word of the claims is
//! believed.

mod cache;
mod jwk;
mod key;
mod rsa;
mod verifier;

use std::sync::Arc;

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};

use crate::clock;
use crate::filters::{BuildContext, Context};
use crate::hub::handshake::Offer;
use crate::identity::{Claims, bearer, unauthenticated};
use crate::plan::PlanError;
use crate::reject::{AUTHENTICATION_FAILED, PERMISSION_DENIED, Rejection};
use crate::value::Value;
pub use verifier::Verifier;

/// A check for a token with scopes, compiled.
pub struct Auth {
    verifier: Arc<Verifier>,
    scopes: Box<[Box<str>]>,
    extract: bool,
    /// Whether the route is a socket of the hub: its token may come by a subprotocol, or with the first frame.
    socket: bool,
    /// `WWW-Authenticate` of a token that lacks a scope.
    challenge: HeaderValue,
}

// === impl Auth ===

impl Auth {
    /// Compiles the check; a plan without keys, or a scope that no token can have, is an error.
    pub fn build(
        scopes: &[String],
        extract: bool,
        build: &BuildContext<'_>,
    ) -> Result<Self, PlanError> {
        let verifier = build
            .verifier
            .ok_or_else(|| PlanError::new("`auth` needs `tokens` in the plan: there is no key"))?;
        if let Some(scope) = scopes.iter().find(|scope| !is_scope(scope)) {
            return Err(PlanError::new(format!("`{scope}` cannot be a scope (RFC 6749, 3.3)")));
        }
        let challenge =
            format!(r#"Bearer error="insufficient_scope", scope="{}""#, scopes.join(" "));
        Ok(Self {
            verifier: Arc::clone(verifier),
            scopes: scopes.iter().map(|scope| scope.as_str().into()).collect(),
            extract,
            socket: build.socket,
            challenge: HeaderValue::from_str(&challenge)
                .map_err(|_| PlanError::new("the scopes cannot be written in a header"))?,
        })
    }

    /// Whether the claims are extracted.
    pub fn extracts(&self) -> bool {
        self.extract
    }

    /// Verifies the token and its scopes; the claims are the context's from then on.
    pub fn apply(&self, context: &mut Context<'_>) -> Result<(), Box<Rejection>> {
        let claims = match &context.claims {
            // An earlier `auth` of the same chain has verified the same token.
            Some(claims) => Arc::clone(claims),
            None if self.socket => {
                let offer = Offer::read(&context.parts.headers);
                match offered(&self.verifier, &context.parts.headers, &offer)? {
                    Some(claims) => claims,
                    None if offer.later => {
                        // The hub asks for it, and for its scopes, before anything else is said.
                        context.values.extend(self.extract.then_some(Value::None));
                        return Ok(());
                    }
                    None => return Err(unauthenticated(AUTHENTICATION_FAILED.sentence).missing()),
                }
            }
            None => self.verifier.verify(bearer(&context.parts.headers)?, clock::now())?,
        };
        if let Some(scope) = self.scopes.iter().find(|scope| !claims.allows(scope)) {
            let rejection = self.deny(scope);
            context.denied = Some(claims);
            return Err(rejection);
        }
        if self.extract {
            context.values.push(Value::Claims(Arc::clone(&claims)));
        }
        context.claims = Some(claims);
        Ok(())
    }

    #[cold]
    fn deny(&self, scope: &str) -> Box<Rejection> {
        let sentence = format!("the token lacks the scope `{scope}`");
        Rejection::because(&PERMISSION_DENIED, sentence)
            .with(WWW_AUTHENTICATE, self.challenge.clone())
    }
}

/// Who opens a socket, where the handshake brings a token: by the header, or by a subprotocol.
pub(crate) fn offered(
    verifier: &Verifier,
    headers: &HeaderMap,
    offer: &Offer<'_>,
) -> Result<Option<Arc<Claims>>, Box<Rejection>> {
    let token =
        if headers.contains_key(AUTHORIZATION) { Some(bearer(headers)?) } else { offer.token };
    token.map(|token| verifier.verify(token, clock::now())).transpose()
}

/// A `scope-token` of RFC 6749, section 3.3.
fn is_scope(scope: &str) -> bool {
    !scope.is_empty() && scope.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

#[cfg(test)]
mod tests {
    use crate::filters::limit::PlanLimits;
    use crate::reject::TOKEN_INVALID;
    use serde_json::json;

    use super::verifier::tests::{HS, claims, hmac, sign};
    use super::*;
    use crate::filters::support::Request;
    use crate::plan::Secrets;
    use crate::plan::{Bounds, Key, Tokens};

    fn verifier() -> Arc<Verifier> {
        let key = Key { secret: "jwt".into(), algorithms: vec!["HS256".into()], kid: None };
        let tokens = Tokens { keys: vec![key], issuer: None, audience: None, leeway: 0, cache: 8 };
        let secrets = Secrets::from([("jwt".to_owned(), HS.to_vec())]);
        Arc::new(Verifier::build(&tokens, &secrets, &Arc::default()).expect("a verifier"))
    }

    fn auth(scopes: &[&str], extract: bool) -> Result<Auth, PlanError> {
        let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let (verifier, bounds) = (verifier(), Bounds::default());
        Auth::build(
            &scopes,
            extract,
            &BuildContext {
                verifier: Some(&verifier),
                bounds: &bounds,
                limits: &PlanLimits::default(),
                route: "GET /",
                socket: false,
            },
        )
    }

    fn apply(scopes: &[&str], request: Request) -> Result<Vec<Value>, Box<Rejection>> {
        let auth = auth(scopes, true).expect("a check");
        request.run(|context| {
            auth.apply(context)?;
            assert!(context.claims.is_some());
            Ok(())
        })
    }

    fn token(scopes: &str) -> String {
        let mut claims = claims();
        claims["exp"] = json!(clock::now() + 60);
        claims["scope"] = json!(scopes);
        sign(&hmac(HS), &claims)
    }

    fn challenge(rejection: &Rejection) -> &str {
        let (name, value) = rejection.headers.first().expect("a challenge");
        assert_eq!(name, WWW_AUTHENTICATE);
        value.to_str().expect("text")
    }

    #[test]
    fn a_token_with_the_scopes_passes_and_its_claims_are_extracted() {
        let request =
            Request::get("/").header("authorization", format!("bEaReR {}", token("a b c")));

        let values = apply(&["a", "c"], request).unwrap();

        assert!(matches!(&values[..], [Value::Claims(claims)] if &*claims.subject == "alice"));
    }

    #[test]
    fn claims_that_are_not_wanted_are_not_extracted() {
        let auth = auth(&[], false).unwrap();
        let request = Request::get("/").header("authorization", format!("Bearer {}", token("")));

        let values = request.run(|context| {
            auth.apply(context)?;
            assert!(context.claims.is_some());
            Ok(())
        });

        assert!(!auth.extracts() && values.unwrap().is_empty());
    }

    #[test]
    fn a_missing_scope_is_a_403_that_names_it() {
        let request = Request::get("/").header("authorization", format!("Bearer {}", token("a")));

        let rejection = apply(&["a", "b"], request).unwrap_err();

        assert_eq!((rejection.status, rejection.kind.code), (403, "permission_denied"));
        assert_eq!(rejection.message, "the token lacks the scope `b`");
        assert_eq!(challenge(&rejection), r#"Bearer error="insufficient_scope", scope="a b""#);
        assert!(!rejection.absent);
    }

    #[test]
    fn a_request_without_a_token_is_absent_and_challenged_without_an_error() {
        let rejection = apply(&[], Request::get("/")).unwrap_err();

        assert_eq!((rejection.status, rejection.kind.code), (401, "authentication_failed"));
        assert_eq!(challenge(&rejection), "Bearer");
        assert!(rejection.absent);
    }

    #[test]
    fn another_scheme_or_two_headers_are_wrong_rather_than_absent() {
        let bearer = format!("Bearer {}", token(""));
        for request in [
            Request::get("/").header("authorization", "Basic YTpi"),
            Request::get("/").header("authorization", "Bearer"),
            Request::get("/").header("authorization", &bearer).header("authorization", &bearer),
        ] {
            let rejection = apply(&[], request).unwrap_err();
            assert_eq!((rejection.status, rejection.kind.code), (401, "authentication_failed"));
            assert!(!rejection.absent);
        }
    }

    #[test]
    fn a_bad_token_is_challenged_with_what_is_wrong() {
        let request = Request::get("/").header("authorization", "Bearer not-a-token");

        let rejection = apply(&[], request).unwrap_err();

        assert_eq!((rejection.status, rejection.kind.code), (401, "token_invalid"));
        let expected = format!(
            r#"Bearer error="invalid_token", error_description="{}""#,
            TOKEN_INVALID.sentence
        );
        assert_eq!(challenge(&rejection), expected);
    }

    #[test]
    fn a_token_that_is_not_ascii_is_invalid() {
        let request = Request::get("/").header("authorization", b"Bearer \xff");

        assert_eq!(apply(&[], request).unwrap_err().kind.code, "token_invalid");
    }

    #[test]
    fn scopes_that_no_token_can_have_and_plans_without_keys_are_errors_of_the_plan() {
        for scope in ["", "a b", "a\"b", "ä"] {
            assert!(auth(&[scope], false).is_err(), "{scope:?}");
        }
        let build = BuildContext {
            verifier: None,
            bounds: &Bounds::default(),
            limits: &PlanLimits::default(),
            route: "GET /",
            socket: false,
        };
        assert!(Auth::build(&[], false, &build).is_err());
    }
}
