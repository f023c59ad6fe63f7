//! A public key as a JSON Web Key (RFC 7517): its kind fits the algorithm that it is bound to, it is meant for
//! verifying signatures, and it holds nothing private.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::rsa::check_numbers;

const ED25519_BYTES: usize = 32;

/// The members that decide anything. Others, such as `x5c`, are not looked at.
#[derive(Deserialize)]
pub(super) struct Jwk<'a> {
    #[serde(borrow)]
    kty: Cow<'a, str>,
    #[serde(borrow, default, rename = "use")]
    usage: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    key_ops: Option<Vec<Cow<'a, str>>>,
    #[serde(borrow, default)]
    alg: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    kid: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    crv: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    n: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    e: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    x: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    y: Option<Cow<'a, str>>,
    #[serde(default)]
    d: Option<IgnoredAny>,
    #[serde(default)]
    p: Option<IgnoredAny>,
    #[serde(default)]
    q: Option<IgnoredAny>,
    #[serde(default)]
    k: Option<IgnoredAny>,
}

/// Whether a secret is the text of a JSON object, which no secret is by chance.
pub(super) fn is_json_object(secret: &[u8]) -> bool {
    let text = secret.strip_prefix(b"\xef\xbb\xbf").unwrap_or(secret).trim_ascii();
    text.starts_with(b"{") && text.ends_with(b"}")
}

// === impl Jwk ===

impl<'a> Jwk<'a> {
    /// Reads the text of one key; a set of keys is taken apart by who writes the plan.
    pub(super) fn read(text: &'a [u8]) -> Result<Self, String> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        serde_json::from_slice(text).map_err(|error| format!("is not a JSON Web Key: {error}"))
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Makes the key, if it may verify signatures of an algorithm.
    pub(super) fn decoding(&self, algorithm: Algorithm) -> Result<DecodingKey, String> {
        self.check_purpose(algorithm)?;
        match (algorithm.family(), &*self.kty) {
            (AlgorithmFamily::Rsa, "RSA") => self.rsa(),
            (AlgorithmFamily::Ec, "EC") => self.ec(algorithm),
            (AlgorithmFamily::Ed, "OKP") => self.ed(),
            (_, kty) => {
                Err(format!("is a JSON Web Key of `kty` {kty:?}, which {algorithm:?} cannot use"))
            }
        }
    }

    fn check_purpose(&self, algorithm: Algorithm) -> Result<(), String> {
        if [&self.d, &self.p, &self.q, &self.k].into_iter().any(Option::is_some) {
            return Err(
                "is a private or secret JSON Web Key; tokens are verified with the public one"
                    .into(),
            );
        }
        if let Some(usage) = self.usage.as_deref().filter(|usage| *usage != "sig") {
            return Err(format!("is a JSON Web Key whose `use` is {usage:?}, not \"sig\""));
        }
        if let Some(operations) = &self.key_ops
            && !operations.iter().any(|operation| operation == "verify")
        {
            return Err("is a JSON Web Key whose `key_ops` do not have \"verify\"".into());
        }
        match self.alg.as_deref() {
            Some(bound) if bound != format!("{algorithm:?}") => {
                Err(format!("is a JSON Web Key whose `alg` is {bound:?}, not \"{algorithm:?}\""))
            }
            _ => Ok(()),
        }
    }

    fn rsa(&self) -> Result<DecodingKey, String> {
        let modulus = number(self.n.as_deref(), "n")?;
        let exponent = number(self.e.as_deref(), "e")?;
        check_numbers(&modulus, &exponent)?;
        Ok(DecodingKey::from_rsa_raw_components(&modulus, &exponent))
    }

    fn ec(&self, algorithm: Algorithm) -> Result<DecodingKey, String> {
        let (curve, bytes) = match algorithm {
            Algorithm::ES384 => ("P-384", 48),
            _ => ("P-256", 32),
        };
        self.check_curve(curve)?;
        let x = coordinate(self.x.as_deref(), "x", bytes)?;
        let y = coordinate(self.y.as_deref(), "y", bytes)?;
        DecodingKey::from_ec_components(x, y).map_err(|_| "is not a point of its curve".into())
    }

    fn ed(&self) -> Result<DecodingKey, String> {
        self.check_curve("Ed25519")?;
        let x = coordinate(self.x.as_deref(), "x", ED25519_BYTES)?;
        DecodingKey::from_ed_components(x).map_err(|_| "is not an Ed25519 public key".into())
    }

    fn check_curve(&self, wanted: &str) -> Result<(), String> {
        match self.crv.as_deref() {
            Some(curve) if curve == wanted => Ok(()),
            found => Err(format!(
                "is a JSON Web Key whose `crv` is {:?}, not {wanted:?}",
                found.unwrap_or("missing")
            )),
        }
    }
}

/// An integer without leading zeros, from base64url (RFC 7518, section 2).
fn number(text: Option<&str>, member: &str) -> Result<Vec<u8>, String> {
    let bytes = decode(text, member)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Ok(bytes.get(zeros..).unwrap_or_default().to_vec())
}

/// The text of a coordinate that has all its bytes (RFC 7518, section 6.2.1.2; RFC 8037, section 2).
fn coordinate<'a>(text: Option<&'a str>, member: &str, bytes: usize) -> Result<&'a str, String> {
    let found = decode(text, member)?.len();
    if found != bytes {
        return Err(format!("is a JSON Web Key whose `{member}` has {found} bytes, not {bytes}"));
    }
    Ok(text.unwrap_or_default())
}

fn decode(text: Option<&str>, member: &str) -> Result<Vec<u8>, String> {
    let text = text.ok_or_else(|| format!("is a JSON Web Key without `{member}`"))?;
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| format!("is a JSON Web Key whose `{member}` is not base64url without padding"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// RFC 7517, appendix A.1.
    fn rsa() -> Value {
        json!({
            "kty": "RSA",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
            "e": "AQAB",
            "alg": "RS256",
            "kid": "2011-04-29",
        })
    }

    /// RFC 7517, appendix A.1; its `use` is "enc" there.
    fn p256() -> Value {
        json!({
            "kty": "EC",
            "crv": "P-256",
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
            "kid": "1",
        })
    }

    /// RFC 8037, appendix A.2.
    fn ed25519() -> Value {
        json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        })
    }

    fn with(key: Value, member: &str, value: Value) -> Value {
        let mut key = key;
        key[member] = value;
        key
    }

    fn read(key: &Value, algorithm: Algorithm) -> Result<(), String> {
        let text = key.to_string();
        Jwk::read(text.as_bytes())?.decoding(algorithm).map(drop)
    }

    #[test]
    fn keys_of_the_rfcs_are_read() {
        for (key, algorithm) in [
            (rsa(), Algorithm::RS256),
            (with(rsa(), "alg", Value::Null), Algorithm::PS512),
            (with(rsa(), "key_ops", json!(["verify"])), Algorithm::RS256),
            (with(p256(), "use", json!("sig")), Algorithm::ES256),
            (with(p256(), "x5c", json!(["ignored"])), Algorithm::ES256),
            (ed25519(), Algorithm::EdDSA),
        ] {
            assert_eq!(read(&key, algorithm), Ok(()), "{key}");
        }
    }

    #[test]
    fn a_signature_of_rfc_8037_verifies() {
        let text = ed25519().to_string();
        let key = Jwk::read(text.as_bytes()).and_then(|key| key.decoding(Algorithm::EdDSA));
        // Appendix A.4.
        let message = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

        let verified = jsonwebtoken::crypto::verify(
            signature,
            message.as_bytes(),
            &key.unwrap(),
            Algorithm::EdDSA,
        );

        assert!(verified.unwrap());
    }

    #[test]
    fn a_key_that_must_not_verify_is_refused_with_the_reason() {
        let short = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7A";
        for (key, algorithm, why) in [
            (p256(), Algorithm::ES384, "`crv` is \"P-256\", not \"P-384\""),
            (with(p256(), "crv", json!("P-521")), Algorithm::ES256, "`crv`"),
            (with(p256(), "crv", Value::Null), Algorithm::ES256, "\"missing\""),
            (with(p256(), "use", json!("enc")), Algorithm::ES256, "`use` is \"enc\""),
            (with(p256(), "key_ops", json!(["encrypt"])), Algorithm::ES256, "`key_ops`"),
            (with(p256(), "key_ops", json!([])), Algorithm::ES256, "`key_ops`"),
            (with(p256(), "x", json!(short)), Algorithm::ES256, "`x` has 31 bytes, not 32"),
            (with(p256(), "y", json!("AA==")), Algorithm::ES256, "not base64url"),
            (with(p256(), "y", Value::Null), Algorithm::ES256, "without `y`"),
            (with(p256(), "d", json!("AA")), Algorithm::ES256, "private"),
            (with(rsa(), "p", json!("AA")), Algorithm::RS256, "private"),
            (rsa(), Algorithm::RS512, "`alg` is \"RS256\", not \"RS512\""),
            (rsa(), Algorithm::PS256, "`alg`"),
            (with(rsa(), "n", json!("AQAB")), Algorithm::RS256, "17 bits"),
            (with(rsa(), "e", json!("AQ")), Algorithm::RS256, "exponent"),
            (with(rsa(), "n", Value::Null), Algorithm::RS256, "without `n`"),
            (ed25519(), Algorithm::ES256, "`kty` \"OKP\", which ES256 cannot use"),
            (with(ed25519(), "crv", json!("X25519")), Algorithm::EdDSA, "`crv`"),
            (with(ed25519(), "x", json!("11qY")), Algorithm::EdDSA, "3 bytes, not 32"),
            (json!({"kty": "oct", "k": "AAAA"}), Algorithm::RS256, "secret"),
            (json!({"keys": []}), Algorithm::RS256, "missing field `kty`"),
            (json!({"kty": 1}), Algorithm::RS256, "is not a JSON Web Key"),
        ] {
            let error = read(&key, algorithm).err().unwrap_or_default();
            assert!(error.contains(why), "{key} {algorithm:?}: {error}");
        }
    }

    #[test]
    fn a_member_that_is_written_twice_is_refused() {
        let text = br#"{"kty": "OKP", "kty": "EC"}"#;

        let error = Jwk::read(text).err().unwrap_or_default();

        assert!(error.contains("duplicate field `kty`"), "{error}");
    }
}
