//! The keys that tokens are verified with. Each is bound to one algorithm (RFC 8725, section 3.1): no token chooses how
//! it is verified, and none can have a public key taken for an HMAC secret (section 2.1). Weak keys are refused when the
//! plan is built.

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};

use super::jwk::{Jwk, is_json_object};
use super::rsa::check_rsa;
use crate::pem;
use crate::plan;
use crate::plan::{PlanError, Secrets};

pub(super) struct Key {
    kid: Option<Box<str>>,
    algorithm: Algorithm,
    decoding: DecodingKey,
}

// === impl Key ===

impl Key {
    /// Reads a key from the secrets beside the plan.
    pub(super) fn build(key: &plan::Key, secrets: &Secrets) -> Result<Self, PlanError> {
        let name = &key.secret;
        let algorithm = read_algorithm(key)?;
        let secret = secrets
            .get(name)
            .ok_or_else(|| PlanError::new(format!("tokens: the secret `{name}` is not given")))?;
        let (decoding, own_kid) = read_key(secret, algorithm)
            .map_err(|why| PlanError::new(format!("tokens: the secret `{name}` {why}")))?;
        Ok(Self { kid: key.kid.as_deref().map(Into::into).or(own_kid), algorithm, decoding })
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    pub(super) fn is_named(&self, kid: &str) -> bool {
        self.kid.as_deref() == Some(kid)
    }

    pub(super) fn accepts(&self, algorithm: Algorithm) -> bool {
        self.algorithm == algorithm
    }

    /// Whether the signature of `message` is this key's, by its own algorithm.
    pub(super) fn verifies(&self, message: &str, signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.decoding, self.algorithm)
            .unwrap_or(false)
    }
}

fn read_algorithm(key: &plan::Key) -> Result<Algorithm, PlanError> {
    let name = &key.secret;
    let [algorithm] = &key.algorithms[..] else {
        let listed = match &key.algorithms[..] {
            [] => "none".to_owned(),
            several => several.join(", "),
        };
        return Err(PlanError::new(format!(
            "tokens: the key `{name}` must have exactly one algorithm (RFC 8725, section 3.1), \
             found {listed}"
        )));
    };
    algorithm.parse().map_err(|_| {
        PlanError::new(format!("tokens: the key `{name}` has the unknown algorithm `{algorithm}`"))
    })
}

/// RFC 7518, section 3.2: an HMAC secret is no shorter than the output of its hash.
fn hmac_bytes(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::HS512 => 64,
        Algorithm::HS384 => 48,
        _ => 32,
    }
}

/// A key, and the `kid` that it gives itself.
fn read_key(
    secret: &[u8],
    algorithm: Algorithm,
) -> Result<(DecodingKey, Option<Box<str>>), String> {
    if !is_json_object(secret) {
        return Ok((read_bytes(secret, algorithm)?, None));
    }
    if algorithm.family() == AlgorithmFamily::Hmac {
        return Err(
            "is a JSON object, and must not be used as an HMAC secret; of a symmetric JSON \
                    Web Key, give the bytes of its `k`"
                .into(),
        );
    }
    let key = Jwk::read(secret)?;
    Ok((key.decoding(algorithm)?, key.kid().map(Into::into)))
}

fn read_bytes(secret: &[u8], algorithm: Algorithm) -> Result<DecodingKey, String> {
    let file = pem::clean(secret);
    let is_pem = pem::labels(&file).next().is_some();
    if algorithm.family() == AlgorithmFamily::Hmac {
        let least = hmac_bytes(algorithm);
        if is_pem {
            return Err("is a key in PEM, and must not be used as an HMAC secret".into());
        }
        if secret.len() < least {
            return Err(format!(
                "is shorter than {least} bytes, which {algorithm:?} needs (RFC 7518, section 3.2): \
                 it has {}",
                secret.len()
            ));
        }
        return Ok(DecodingKey::from_secret(secret));
    }
    if pem::labels(&file).any(|label| label.ends_with(b"PRIVATE KEY")) {
        return Err("is a private key; tokens are verified with the public one".into());
    }
    let Some(block) = pem::block(&file, b"PUBLIC KEY") else {
        return Err(not_public(&file));
    };
    match algorithm.family() {
        AlgorithmFamily::Rsa => read_rsa(block),
        AlgorithmFamily::Ec => read_ec(block, algorithm).map_err(Into::into),
        _ => DecodingKey::from_ed_pem(block)
            .map_err(|_| "is not an Ed25519 public key in PEM".into()),
    }
}

fn not_public(file: &[u8]) -> String {
    let found = match pem::labels(file).next() {
        Some(label) if label.ends_with(b"PUBLIC KEY") => "a block that is cut off".to_owned(),
        Some(label) => format!("a {}", String::from_utf8_lossy(label).to_lowercase()),
        None => "no line that begins with `-----BEGIN`".to_owned(),
    };
    format!("is not a public key in PEM: it has {found}")
}

fn read_rsa(pem: &[u8]) -> Result<DecodingKey, String> {
    let key = DecodingKey::from_rsa_pem(pem).map_err(|_| "is not an RSA public key in PEM")?;
    let der = key.try_get_as_bytes().map_err(|_| "is not an RSA public key in PEM")?;
    check_rsa(der)?;
    Ok(key)
}

fn read_ec(pem: &[u8], algorithm: Algorithm) -> Result<DecodingKey, &'static str> {
    let key = DecodingKey::from_ec_pem(pem).map_err(|_| "is not an EC public key in PEM")?;
    // An uncompressed point: one byte and two coordinates.
    let length = match algorithm {
        Algorithm::ES256 => 65,
        Algorithm::ES384 => 97,
        _ => 0,
    };
    match key.try_get_as_bytes() {
        Ok(point) if point.len() == length => Ok(key),
        _ => Err("is on another curve than its algorithm"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RSA: &[u8] = include_bytes!("../../../tests/keys/rsa.pub.pem");
    const RSA_PKCS1: &[u8] = include_bytes!("../../../tests/keys/rsa.pkcs1.pub.pem");
    const RSA_SHORT: &[u8] = include_bytes!("../../../tests/keys/rsa-1024.pub.pem");
    const RSA_ROCA: &[u8] = include_bytes!("../../../tests/keys/rsa-roca.pub.pem");
    const RSA_EXPONENT_1: &[u8] = include_bytes!("../../../tests/keys/rsa-exponent-1.pub.pem");
    const RSA_EVEN: &[u8] = include_bytes!("../../../tests/keys/rsa-even.pub.pem");
    const RSA_PRIVATE: &[u8] = include_bytes!("../../../tests/keys/rsa.pem");
    const P256: &[u8] = include_bytes!("../../../tests/keys/p256.pub.pem");
    const P384: &[u8] = include_bytes!("../../../tests/keys/p384.pub.pem");
    const ED25519: &[u8] = include_bytes!("../../../tests/keys/ed25519.pub.pem");

    fn build(secret: &[u8], algorithms: &[&str]) -> Result<Key, String> {
        let key = plan::Key {
            secret: "it".into(),
            algorithms: algorithms.iter().map(|name| (*name).to_owned()).collect(),
            kid: None,
        };
        let secrets = Secrets::from([("it".to_owned(), secret.to_vec())]);
        Key::build(&key, &secrets).map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_of_key_is_read() {
        let rsa = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
        let rsa = rsa.into_iter().map(|algorithm| (RSA, algorithm));
        for (secret, algorithm) in rsa.chain([
            (&[7; 32][..], "HS256"),
            (&[7; 48], "HS384"),
            (&[7; 64], "HS512"),
            (RSA_PKCS1, "RS256"),
            (P256, "ES256"),
            (P384, "ES384"),
            (ED25519, "EdDSA"),
        ]) {
            assert!(build(secret, &[algorithm]).is_ok(), "{algorithm:?}");
        }
    }

    #[test]
    fn a_key_is_read_behind_what_tools_write_before_it() {
        let key = String::from_utf8_lossy(P256);
        for text in ["\u{feff}", "Bag Attributes\n    localKeyID: 01\n", "# ours\r\n", "  "] {
            let file = format!("{text}{}", key.replace('\n', "\r\n"));
            assert!(build(file.as_bytes(), &["ES256"]).is_ok(), "{text:?}");
            let error = build(file.as_bytes(), &["HS256"]).err().unwrap_or_default();
            assert!(error.contains("must not be used as an HMAC secret"), "{error}");
        }
        let both = [RSA, RSA_PRIVATE].concat();
        let error = build(&both, &["RS256"]).err().unwrap_or_default();
        assert!(error.contains("is a private key"), "{error}");
    }

    #[test]
    fn a_key_that_does_not_fit_its_algorithm_is_an_error_of_the_plan() {
        for (secret, algorithms, why) in [
            (RSA, &["HS256"][..], "must not be used as an HMAC secret"),
            (&[7; 31], &["HS256"], "shorter than 32 bytes"),
            (&[7; 47], &["HS384"], "shorter than 48 bytes"),
            (&[7; 63], &["HS512"], "shorter than 64 bytes"),
            (&[], &["HS256"], "shorter than 32 bytes"),
            (&[7; 32], &["RS256"], "not a public key in PEM"),
            (RSA_PRIVATE, &["RS256"], "is a private key"),
            (RSA_SHORT, &["RS256"], "1024 bits"),
            (RSA_ROCA, &["RS256"], "ROCA"),
            (RSA_EXPONENT_1, &["PS256"], "exponent"),
            (RSA_EVEN, &["RS256"], "small factor"),
            (P256, &["RS256"], "not an RSA public key"),
            (RSA, &["ES256"], "not an EC public key"),
            (P384, &["ES256"], "another curve"),
            (P256, &["ES384"], "another curve"),
            (P256, &["EdDSA"], "not an Ed25519 public key"),
            (b"-----BEGIN PUBLIC KEY-----\nMA==\n-----END PUBLIC KEY-----", &["RS256"], "RSA"),
            (b"-----BEGIN CERTIFICATE-----\nMA==", &["RS256"], "it has a certificate"),
            (b"-----BEGIN PUBLIC KEY-----\nMA==", &["RS256"], "cut off"),
            (RSA, &["HS256", "RS256"], "exactly one algorithm"),
            (&[7; 64], &["HS256", "HS512"], "exactly one algorithm"),
            (br#" {"kty": "oct", "k": "AAAA"}"#, &["HS256"], "is a JSON object"),
            (br#"{"keys": []}"#, &["RS256"], "missing field `kty`"),
            (RSA, &["none"], "unknown algorithm `none`"),
            (RSA, &["rs256"], "unknown algorithm"),
            (RSA, &[], "found none"),
        ] {
            let error = build(secret, algorithms).err().unwrap_or_default();
            assert!(error.contains(why), "{algorithms:?}: {error}");
        }
    }

    #[test]
    fn a_secret_that_is_not_given_is_named() {
        let key = plan::Key { secret: "it".into(), algorithms: vec!["HS256".into()], kid: None };

        let error = Key::build(&key, &Secrets::new()).err().map(|error| error.to_string());

        assert_eq!(error.as_deref(), Some("tokens: the secret `it` is not given"));
    }
}
