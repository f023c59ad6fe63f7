//! The keys that tokens are verified with. Each accepts its own algorithms only, all of one family:
//! so no token can have a public key taken for an HMAC secret (RFC 8725, sections 2.1 and 3.1).

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};

use crate::plan;
use crate::program::{PlanError, Secrets};

/// RFC 7518, section 3.2: an HMAC secret is no shorter than the hash of HS256.
const HMAC_BYTES: usize = 32;
/// The modulus of a 2048-bit RSA key, the least that is accepted (RFC 7518, section 3.3).
const RSA_BYTES: usize = 256;

pub(super) struct Key {
    kid: Option<Box<str>>,
    algorithms: Box<[Algorithm]>,
    decoding: DecodingKey,
}

// === impl Key ===

impl Key {
    /// Reads a key from the secrets beside the plan.
    pub(super) fn build(key: &plan::Key, secrets: &Secrets) -> Result<Self, PlanError> {
        let name = &key.secret;
        let algorithms = read_algorithms(key)?;
        let Some(first) = algorithms.first() else {
            return Err(PlanError::new(format!("tokens: the key `{name}` lists no algorithm")));
        };
        if algorithms.iter().any(|algorithm| algorithm.family() != first.family()) {
            let message =
                format!("tokens: the algorithms of the key `{name}` need keys of several kinds");
            return Err(PlanError::new(message));
        }
        let secret = secrets
            .get(name)
            .ok_or_else(|| PlanError::new(format!("tokens: the secret `{name}` is not given")))?;
        let decoding = read_key(secret, &algorithms)
            .map_err(|why| PlanError::new(format!("tokens: the secret `{name}` {why}")))?;
        Ok(Self {
            kid: key.kid.as_deref().map(Into::into),
            algorithms: algorithms.into(),
            decoding,
        })
    }

    pub(super) fn is_named(&self, kid: &str) -> bool {
        self.kid.as_deref() == Some(kid)
    }

    pub(super) fn accepts(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether the signature of `message` is this key's.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &str, signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.decoding, algorithm)
            .unwrap_or(false)
    }
}

fn read_algorithms(key: &plan::Key) -> Result<Vec<Algorithm>, PlanError> {
    let read = |name: &String| {
        name.parse().map_err(|_| {
            let key = &key.secret;
            PlanError::new(format!("tokens: the key `{key}` lists the unknown algorithm `{name}`"))
        })
    };
    key.algorithms.iter().map(read).collect()
}

fn read_key(secret: &[u8], algorithms: &[Algorithm]) -> Result<DecodingKey, &'static str> {
    let is_pem = secret.trim_ascii_start().starts_with(b"-----BEGIN");
    match algorithms.first().map(|algorithm| algorithm.family()) {
        Some(AlgorithmFamily::Hmac) if is_pem => {
            Err("is a key in PEM, and must not be used as an HMAC secret")
        }
        Some(AlgorithmFamily::Hmac) if secret.len() < HMAC_BYTES => {
            Err("is shorter than 32 bytes, and could be guessed")
        }
        Some(AlgorithmFamily::Hmac) => Ok(DecodingKey::from_secret(secret)),
        _ if !is_pem => Err("is not a public key in PEM"),
        _ if has_label(secret, b"PRIVATE KEY") => {
            Err("is a private key; tokens are verified with the public one")
        }
        _ if !has_label(secret, b"PUBLIC KEY") => Err("is not a public key in PEM"),
        Some(AlgorithmFamily::Rsa) => read_rsa(secret),
        Some(AlgorithmFamily::Ec) => read_ec(secret, algorithms),
        _ => DecodingKey::from_ed_pem(secret).map_err(|_| "is not an Ed25519 public key in PEM"),
    }
}

fn has_label(pem: &[u8], label: &[u8]) -> bool {
    let line = pem.trim_ascii_start().split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.trim_ascii_end().strip_suffix(b"-----").is_some_and(|line| line.ends_with(label))
}

fn read_rsa(pem: &[u8]) -> Result<DecodingKey, &'static str> {
    let key = DecodingKey::from_rsa_pem(pem).map_err(|_| "is not an RSA public key in PEM")?;
    // What verifies signatures refuses shorter keys too, but only once a token comes.
    match key.try_get_as_bytes() {
        Ok(der) if der.len() >= RSA_BYTES => Ok(key),
        _ => Err("is an RSA key of less than 2048 bits"),
    }
}

fn read_ec(pem: &[u8], algorithms: &[Algorithm]) -> Result<DecodingKey, &'static str> {
    let key = DecodingKey::from_ec_pem(pem).map_err(|_| "is not an EC public key in PEM")?;
    let length = key.try_get_as_bytes().map_or(0, <[u8]>::len);
    // An uncompressed point: one byte and two coordinates.
    let fits = |algorithm: &Algorithm| match algorithm {
        Algorithm::ES256 => length == 65,
        Algorithm::ES384 => length == 97,
        _ => false,
    };
    if algorithms.iter().all(fits) {
        Ok(key)
    } else {
        Err("is on another curve than its algorithms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RSA: &[u8] = include_bytes!("../../../tests/keys/rsa.pub.pem");
    const RSA_PKCS1: &[u8] = include_bytes!("../../../tests/keys/rsa.pkcs1.pub.pem");
    const RSA_SHORT: &[u8] = include_bytes!("../../../tests/keys/rsa-1024.pub.pem");
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
        for (secret, algorithms) in [
            (&[7; 32][..], &["HS256", "HS384", "HS512"][..]),
            (RSA, &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]),
            (RSA_PKCS1, &["RS256"]),
            (P256, &["ES256"]),
            (P384, &["ES384"]),
            (ED25519, &["EdDSA"]),
        ] {
            assert!(build(secret, algorithms).is_ok(), "{algorithms:?}");
        }
    }

    #[test]
    fn a_key_that_does_not_fit_its_algorithms_is_an_error_of_the_plan() {
        for (secret, algorithms, why) in [
            (RSA, &["HS256"][..], "must not be used as an HMAC secret"),
            (&[7; 31], &["HS256"], "shorter than 32 bytes"),
            (&[7; 32], &["RS256"], "not a public key in PEM"),
            (RSA_PRIVATE, &["RS256"], "is a private key"),
            (RSA_SHORT, &["RS256"], "less than 2048 bits"),
            (P256, &["RS256"], "not an RSA public key"),
            (RSA, &["ES256"], "not an EC public key"),
            (P384, &["ES256"], "another curve"),
            (P256, &["ES256", "ES384"], "another curve"),
            (P256, &["EdDSA"], "not an Ed25519 public key"),
            (b"-----BEGIN PUBLIC KEY-----\nMA==\n-----END PUBLIC KEY-----", &["RS256"], "RSA"),
            (b"-----BEGIN CERTIFICATE-----\nMA==", &["RS256"], "not a public key in PEM"),
            (RSA, &["HS256", "RS256"], "keys of several kinds"),
            (RSA, &["none"], "unknown algorithm `none`"),
            (RSA, &["rs256"], "unknown algorithm"),
            (RSA, &[], "lists no algorithm"),
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
