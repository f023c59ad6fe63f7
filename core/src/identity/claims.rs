//! The claims of a token: read once when it is verified, then shared by all requests that bring it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::refuse;
use crate::reject::{
    Rejection, TOKEN_AUDIENCE_MISMATCH, TOKEN_EXPIRED, TOKEN_INVALID, TOKEN_ISSUER_MISMATCH,
    TOKEN_NOT_YET_VALID,
};
use crate::value::as_bytes;

/// Bytes of a `tenant`: it becomes part of names and keys everywhere.
const TENANT_BYTES_MAX: usize = 255;
/// Bytes of a `sub` or a `jti`.
const NAME_BYTES_MAX: usize = 1024;

/// Who calls, and what they may do. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// `sub`.
    pub subject: Arc<str>,
    /// `scopes` and `scope` together, sorted, each once.
    pub scopes: Vec<Box<str>>,
    /// `tenant`.
    pub tenant: Option<Box<str>>,
    /// `jti`.
    pub token_id: Option<Box<str>>,
    /// `exp`.
    pub expires: u64,
    /// `nbf`.
    pub not_before: Option<u64>,
    /// `iat`.
    pub issued: Option<u64>,
    /// The claims as they were signed, in JSON.
    #[serde(with = "as_bytes")]
    pub payload: Bytes,
}

/// The claims that the core knows, of whatever type they are.
#[derive(Deserialize)]
struct Given<'a> {
    #[serde(borrow, default)]
    sub: Found<'a>,
    #[serde(borrow, default)]
    exp: Found<'a>,
    #[serde(borrow, default)]
    nbf: Found<'a>,
    #[serde(borrow, default)]
    iat: Found<'a>,
    #[serde(borrow, default)]
    iss: Found<'a>,
    #[serde(borrow, default)]
    aud: Found<'a>,
    #[serde(borrow, default)]
    scope: Found<'a>,
    #[serde(borrow, default)]
    scopes: Found<'a>,
    #[serde(borrow, default)]
    tenant: Found<'a>,
    #[serde(borrow, default)]
    jti: Found<'a>,
}

/// A JSON value, as far as claims need it.
#[derive(Default)]
pub(crate) enum Found<'a> {
    #[default]
    Absent,
    Text(Cow<'a, str>),
    Number(f64),
    List(Vec<Found<'a>>),
    Other,
}

// === impl Claims ===

impl Claims {
    /// Whether the token has a scope; `*` is every scope.
    pub fn allows(&self, scope: &str) -> bool {
        self.has(scope) || self.has("*")
    }

    fn has(&self, scope: &str) -> bool {
        self.scopes.binary_search_by(|known| (**known).cmp(scope)).is_ok()
    }

    /// Reads a verified payload, and checks that it comes from the issuer and is meant for the
    /// audience.
    pub(crate) fn read(
        payload: Vec<u8>,
        issuer: Option<&str>,
        audience: Option<&str>,
    ) -> Result<Self, Box<Rejection>> {
        let given: Given<'_> = read_object(&payload).ok_or_else(|| {
            invalid("the token's claims are not a JSON object with each claim once")
        })?;
        check_issuer(&given.iss, issuer)?;
        check_audience(&given.aud, audience)?;
        let subject: Arc<str> = match given.sub.name("sub", NAME_BYTES_MAX)? {
            Some(subject) => subject.into(),
            None => return Err(invalid("the token has no `sub`")),
        };
        let mut scopes = Vec::new();
        given.scopes.add_words("scopes", &mut scopes)?;
        given.scope.add_words("scope", &mut scopes)?;
        scopes.sort_unstable();
        scopes.dedup();
        Ok(Self {
            subject,
            scopes,
            tenant: given.tenant.name("tenant", TENANT_BYTES_MAX)?.map(Into::into),
            token_id: given.jti.name("jti", NAME_BYTES_MAX)?.map(Into::into),
            // A fraction of a second is given to the safe side: expired sooner, valid later.
            expires: match given.exp.date("exp")? {
                Some(seconds) => seconds.floor() as u64,
                None => return Err(invalid("the token has no `exp`: it would never expire")),
            },
            not_before: given.nbf.positive_date("nbf")?.map(|seconds| seconds.ceil() as u64),
            issued: given.iat.positive_date("iat")?.map(|seconds| seconds.floor() as u64),
            payload: payload.into(),
        })
    }

    /// Refuses a token before and after its time; `leeway` seconds are forgiven on both sides. One that says it was
    /// issued later than now says something false, and could so survive a revocation.
    pub(crate) fn check_times(&self, now: u64, leeway: u64) -> Result<(), Box<Rejection>> {
        if now >= self.expires.saturating_add(leeway) {
            return Err(refuse(&TOKEN_EXPIRED, TOKEN_EXPIRED.sentence));
        }
        let latest = now.saturating_add(leeway);
        if self.issued.is_some_and(|issued| issued > latest) {
            return Err(refuse(&TOKEN_NOT_YET_VALID, "the token's `iat` is in the future"));
        }
        if self.not_before.is_some_and(|begin| begin > latest) {
            return Err(refuse(&TOKEN_NOT_YET_VALID, TOKEN_NOT_YET_VALID.sentence));
        }
        Ok(())
    }

    /// Whether the token may act beyond its tenant: it names the scope for that. `*` is every scope within a tenant, so
    /// that it is enough only for a token that has none.
    pub(crate) fn acts_globally(&self, scope: &str) -> bool {
        self.has(scope) || (self.tenant.is_none() && self.has("*"))
    }
}

/// Reads a JSON object. serde also fills a struct from a list, by the order of its fields: no JWT
/// is that.
pub(crate) fn read_object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    let is_object = json.trim_ascii_start().starts_with(b"{");
    is_object.then(|| serde_json::from_slice(json).ok()).flatten()
}

fn check_issuer(given: &Found<'_>, wanted: Option<&str>) -> Result<(), Box<Rejection>> {
    match (wanted, given) {
        (None, _) => Ok(()),
        (Some(wanted), Found::Text(given)) if given == wanted => Ok(()),
        _ => Err(refuse(&TOKEN_ISSUER_MISMATCH, TOKEN_ISSUER_MISMATCH.sentence)),
    }
}

/// RFC 7519, section 4.1.3: a token for an audience is refused by whoever is not in it, also by a
/// gateway that was given no name.
fn check_audience(given: &Found<'_>, wanted: Option<&str>) -> Result<(), Box<Rejection>> {
    let sentence = match (wanted, given) {
        (None, Found::Absent) => return Ok(()),
        (None, _) => "the token is meant for an audience, and the gateway is configured with none",
        (Some(wanted), Found::Text(given)) if given == wanted => return Ok(()),
        (Some(wanted), Found::List(all)) if all.iter().any(|given| given.is(wanted)) => {
            return Ok(());
        }
        _ => TOKEN_AUDIENCE_MISMATCH.sentence,
    };
    Err(refuse(&TOKEN_AUDIENCE_MISMATCH, sentence))
}

fn invalid(sentence: impl Into<Cow<'static, str>>) -> Box<Rejection> {
    refuse(&TOKEN_INVALID, sentence)
}

// === impl Found ===

impl Found<'_> {
    /// Whether the member is given at all.
    pub(crate) fn is_given(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    fn is(&self, text: &str) -> bool {
        matches!(self, Self::Text(given) if given == text)
    }

    fn text(&self, name: &str) -> Result<Option<&str>, Box<Rejection>> {
        match self {
            Self::Absent => Ok(None),
            Self::Text(text) => Ok(Some(text)),
            _ => Err(invalid(format!("the token's `{name}` is not a string"))),
        }
    }

    /// A text that becomes part of names and keys: databases and protocols do not take control characters alike, and an
    /// empty one would be taken for none.
    fn name(&self, name: &str, most: usize) -> Result<Option<&str>, Box<Rejection>> {
        let text = self.text(name)?;
        match text {
            Some("") => Err(invalid(format!("the token's `{name}` is empty"))),
            Some(text) if text.len() > most => {
                Err(invalid(format!("the token's `{name}` is longer than {most} bytes")))
            }
            Some(text) if text.chars().any(char::is_control) => {
                Err(invalid(format!("the token's `{name}` has a control character")))
            }
            _ => Ok(text),
        }
    }

    fn positive_date(&self, name: &str) -> Result<Option<f64>, Box<Rejection>> {
        match self.date(name)? {
            Some(seconds) if seconds < 0.0 => {
                Err(invalid(format!("the token's `{name}` is negative")))
            }
            date => Ok(date),
        }
    }

    fn date(&self, name: &str) -> Result<Option<f64>, Box<Rejection>> {
        match self {
            Self::Absent => Ok(None),
            Self::Number(seconds) => Ok(Some(*seconds)),
            _ => Err(invalid(format!("the token's `{name}` is not a number of seconds"))),
        }
    }

    fn add_words(&self, name: &str, words: &mut Vec<Box<str>>) -> Result<(), Box<Rejection>> {
        match self {
            Self::Absent => {}
            Self::Text(text) => words.extend(text.split_ascii_whitespace().map(Box::from)),
            Self::List(all) => {
                for word in all {
                    let Self::Text(word) = word else {
                        return Err(invalid(format!(
                            "the token's `{name}` has a scope that is no string"
                        )));
                    };
                    words.push((**word).into());
                }
            }
            _ => {
                return Err(invalid(format!(
                    "the token's `{name}` is neither a list nor a string"
                )));
            }
        }
        Ok(())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Found<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FoundVisitor)
    }
}

struct FoundVisitor;

impl<'de> Visitor<'de> for FoundVisitor {
    type Value = Found<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Found::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Found::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Found::Number(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Found::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Found::Number(number))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Found::Other)
    }

    /// `null`: the claim is not given.
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Found::Absent)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(member) = members.next_element()? {
            all.push(member);
        }
        Ok(Found::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Found::Other)
    }
}

#[cfg(test)]
impl Claims {
    /// Claims for the tests of other filters.
    pub(crate) fn of(subject: &str, tenant: Option<&str>) -> Self {
        Self {
            subject: subject.into(),
            scopes: Vec::new(),
            tenant: tenant.map(Into::into),
            token_id: None,
            expires: u64::MAX,
            not_before: None,
            issued: None,
            payload: Bytes::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(claims: &Value) -> Result<Claims, Box<Rejection>> {
        Claims::read(claims.to_string().into_bytes(), None, None)
    }

    #[test]
    fn the_known_claims_are_read_and_the_payload_is_kept() {
        let given = json!({
            "sub": "älice", "exp": 200.9, "nbf": 100.1, "iat": 50, "jti": "t1", "tenant": "acme",
            "scopes": ["b", "a"], "scope": "c a", "more": {"deep": [1, null, true]},
        });

        let claims = read(&given).unwrap();

        assert_eq!(&*claims.subject, "älice");
        assert_eq!(claims.scopes, ["a", "b", "c"].map(Box::from));
        assert_eq!(
            (claims.tenant.as_deref(), claims.token_id.as_deref()),
            (Some("acme"), Some("t1"))
        );
        assert_eq!((claims.expires, claims.not_before, claims.issued), (200, Some(101), Some(50)));
        assert_eq!(serde_json::from_slice::<Value>(&claims.payload).unwrap(), given);
    }

    #[test]
    fn scopes_may_be_a_string_and_null_is_nothing() {
        let claims =
            read(&json!({"sub": "a", "exp": 1, "scopes": " x  y ", "tenant": null})).unwrap();

        assert_eq!(claims.scopes, ["x", "y"].map(Box::from));
        assert_eq!(claims.tenant, None);
    }

    #[test]
    fn a_scope_is_had_whole_or_by_the_star() {
        let some = read(&json!({"sub": "a", "exp": 1, "scope": "metrics:read !x"})).unwrap();
        let all = read(&json!({"sub": "a", "exp": 1, "scopes": ["!x", "*"]})).unwrap();

        assert!(some.allows("metrics:read") && all.allows("metrics:read"));
        assert!(!some.allows("metrics") && !some.allows("metrics:read:all") && !some.allows("*"));
    }

    #[test]
    fn claims_that_are_missing_or_of_another_type_are_named() {
        for (claims, name) in [
            (json!({"exp": 1}), "`sub`"),
            (json!({"sub": null, "exp": 1}), "`sub`"),
            (json!({"sub": "", "exp": 1}), "`sub`"),
            (json!({"sub": 7, "exp": 1}), "`sub`"),
            (json!({"sub": "a\n", "exp": 1}), "`sub`"),
            (json!({"sub": "x".repeat(1025), "exp": 1}), "`sub`"),
            (json!({"sub": "a", "exp": 1, "tenant": ""}), "`tenant`"),
            (json!({"sub": "a", "exp": 1, "tenant": "a\u{0}"}), "`tenant`"),
            (json!({"sub": "a", "exp": 1, "tenant": "x".repeat(256)}), "`tenant`"),
            (json!({"sub": "a", "exp": 1, "jti": ""}), "`jti`"),
            (json!({"sub": "a", "exp": 1, "iat": -1}), "`iat`"),
            (json!({"sub": "a", "exp": 1, "nbf": -1}), "`nbf`"),
            (json!({"sub": "a"}), "`exp`"),
            (json!({"sub": "a", "exp": "1"}), "`exp`"),
            (json!({"sub": "a", "exp": 1, "nbf": true}), "`nbf`"),
            (json!({"sub": "a", "exp": 1, "iat": {}}), "`iat`"),
            (json!({"sub": "a", "exp": 1, "jti": 1}), "`jti`"),
            (json!({"sub": "a", "exp": 1, "tenant": ["x"]}), "`tenant`"),
            (json!({"sub": "a", "exp": 1, "scopes": [1]}), "`scopes`"),
            (json!({"sub": "a", "exp": 1, "scope": 1}), "`scope`"),
            (json!(["sub"]), "JSON object"),
        ] {
            let rejection = read(&claims).unwrap_err();
            assert_eq!(rejection.kind.code, "token_invalid", "{claims}");
            assert!(rejection.message.contains(name), "{claims}: {}", rejection.message);
        }
    }

    #[test]
    fn a_claim_given_twice_is_refused() {
        let twice = br#"{"sub":"a","exp":1,"sub":"admin"}"#.to_vec();

        assert_eq!(Claims::read(twice, None, None).unwrap_err().kind.code, "token_invalid");
    }

    #[test]
    fn times_are_checked_to_the_second_with_the_leeway() {
        let claims = read(&json!({"sub": "a", "exp": 200, "nbf": 100})).unwrap();
        let code =
            |now, leeway| claims.check_times(now, leeway).map_err(|refusal| refusal.kind.code);

        assert_eq!(code(100, 0), Ok(()));
        assert_eq!(code(199, 0), Ok(()));
        assert_eq!(code(200, 0), Err("token_expired"));
        assert_eq!(code(209, 10), Ok(()));
        assert_eq!(code(99, 0), Err("token_not_yet_valid"));
        assert_eq!(code(90, 10), Ok(()));
    }

    #[test]
    fn times_beyond_all_bounds_neither_wrap_nor_panic() {
        let late = read(&json!({"sub": "a", "exp": 1e300})).unwrap();
        let early = read(&json!({"sub": "a", "exp": -5})).unwrap();

        assert!(late.check_times(u64::MAX - 1, u64::MAX).is_ok());
        assert_eq!(early.check_times(0, 0).unwrap_err().kind.code, "token_expired");
    }
}
