//! The verifier: from a token's text to its claims, or to the refusal that says what is wrong with
//! it.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;

use super::cache::Cache;
use super::key::Key;
use crate::identity::{Claims, Found, Revocations, read_object, refuse};
use crate::plan::Tokens;
use crate::plan::{PlanError, Secrets};
use crate::reject::{
    Rejection, TOKEN_ALGORITHM_REFUSED, TOKEN_INVALID, TOKEN_REVOKED, TOKEN_SIGNATURE_INVALID,
    TOKEN_UNSIGNED,
};
use crate::runtime::Fingerprint;

/// Bytes of a token; a longer one is not looked at.
const TOKEN_BYTES: usize = 8 << 10;

/// Verifies tokens, and remembers those that verified.
pub struct Verifier {
    keys: Box<[Key]>,
    issuer: Option<Box<str>>,
    audience: Option<Box<str>>,
    leeway: u64,
    /// `None` verifies every time.
    cache: Option<Cache>,
    /// Identifies the keys and rules that it was built from.
    pub(crate) fingerprint: Fingerprint,
    /// Tokens that are worth nothing, whatever their signature.
    pub revocations: Arc<Revocations>,
}

/// A JOSE header, as far as it decides anything.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(borrow, default)]
    crit: Found<'a>,
}

// === impl Verifier ===

impl Verifier {
    /// Reads the keys. A missing secret, an unreadable key or one that does not fit its algorithms
    /// is an error.
    pub fn build(
        tokens: &Tokens,
        secrets: &Secrets,
        revocations: &Arc<Revocations>,
    ) -> Result<Self, PlanError> {
        if tokens.keys.is_empty() {
            return Err(PlanError::new("tokens: there is no key, so no token could be verified"));
        }
        let keys: Box<[Key]> =
            tokens.keys.iter().map(|key| Key::build(key, secrets)).collect::<Result<_, _>>()?;
        check_names(&keys)?;
        Ok(Self {
            keys,
            issuer: tokens.issuer.as_deref().map(Into::into),
            audience: tokens.audience.as_deref().map(Into::into),
            leeway: tokens.leeway,
            cache: (tokens.cache > 0).then(|| Cache::new(tokens.cache)),
            fingerprint: Fingerprint::default(),
            revocations: Arc::clone(revocations),
        })
    }

    /// The claims of a token at `now`, in seconds since 1970.
    pub fn verify(&self, token: &str, now: u64) -> Result<Arc<Claims>, Box<Rejection>> {
        let claims = self.verify_remembered(token, now)?;
        if self.revocations.has(&claims) {
            return Err(refuse(&TOKEN_REVOKED, TOKEN_REVOKED.sentence));
        }
        Ok(claims)
    }

    fn verify_remembered(&self, token: &str, now: u64) -> Result<Arc<Claims>, Box<Rejection>> {
        let Some(cache) = &self.cache else { return self.verify_anew(token, now) };
        let Some(claims) = cache.get(token) else {
            let claims = self.verify_anew(token, now)?;
            cache.put(token, &claims);
            return Ok(claims);
        };
        if let Err(rejection) = claims.check_times(now, self.leeway) {
            cache.forget(token);
            return Err(rejection);
        }
        Ok(claims)
    }

    /// When a token ends, seconds since 1970: with the difference of clocks that is forgiven.
    pub fn end_of(&self, claims: &Claims) -> u64 {
        claims.expires.saturating_add(self.leeway)
    }

    /// Forgets the tokens that have verified, as after a change of keys; revocations are asked every time.
    pub fn clear(&self) {
        if let Some(cache) = &self.cache {
            cache.clear();
        }
    }

    fn verify_anew(&self, token: &str, now: u64) -> Result<Arc<Claims>, Box<Rejection>> {
        let (message, signature) = split(token)?;
        let (head, payload) = message.split_once('.').ok_or_else(not_three_parts)?;
        self.check_signature(head, message, signature)?;
        let payload = URL_SAFE_NO_PAD
            .decode(payload)
            .map_err(|_| refuse(&TOKEN_INVALID, "the token's claims are not base64url"))?;
        let claims = Claims::read(payload, self.issuer.as_deref(), self.audience.as_deref())?;
        claims.check_times(now, self.leeway)?;
        Ok(Arc::new(claims))
    }

    fn check_signature(
        &self,
        head: &str,
        message: &str,
        signature: &str,
    ) -> Result<(), Box<Rejection>> {
        let bytes = URL_SAFE_NO_PAD.decode(head).ok();
        let head: Head<'_> = bytes.as_deref().and_then(read_object).ok_or_else(|| {
            refuse(&TOKEN_INVALID, "the token's header is not a JSON object with an `alg`")
        })?;
        if head.alg.eq_ignore_ascii_case("none") {
            return Err(refuse(&TOKEN_UNSIGNED, TOKEN_UNSIGNED.sentence));
        }
        // RFC 7515, section 4.1.11: what is critical and not understood makes the token invalid.
        if head.crit.is_given() {
            return Err(refuse(&TOKEN_INVALID, "the token has critical extensions (`crit`)"));
        }
        let refused = || refuse(&TOKEN_ALGORITHM_REFUSED, TOKEN_ALGORITHM_REFUSED.sentence);
        let algorithm: Algorithm = head.alg.parse().map_err(|_| refused())?;
        let mut keys = self.keys_for(head.kid.as_deref(), algorithm).peekable();
        if keys.peek().is_none() {
            return Err(refused());
        }
        if keys.any(|key| key.verifies(message, signature)) {
            return Ok(());
        }
        Err(refuse(&TOKEN_SIGNATURE_INVALID, TOKEN_SIGNATURE_INVALID.sentence))
    }

    /// The keys that may have signed a token: those it names, where any has that name, and that
    /// accept its algorithm.
    fn keys_for(&self, kid: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &Key> {
        let kid = kid.filter(|kid| self.keys.iter().any(|key| key.is_named(kid)));
        self.keys
            .iter()
            .filter(move |key| kid.is_none_or(|kid| key.is_named(kid)) && key.accepts(algorithm))
    }
}

/// RFC 7517, section 4.5: keys of one set have names of their own. Of two with one name and another algorithm, a token
/// would choose.
fn check_names(keys: &[Key]) -> Result<(), PlanError> {
    let mut names: Vec<_> = keys.iter().filter_map(Key::kid).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair.first() == pair.last()) {
        Some(twice) => Err(PlanError::new(format!(
            "tokens: two keys have the kid {:?}",
            twice.first().unwrap_or(&"")
        ))),
        None => Ok(()),
    }
}

/// What is signed, and the signature.
fn split(token: &str) -> Result<(&str, &str), Box<Rejection>> {
    if token.len() > TOKEN_BYTES {
        return Err(refuse(&TOKEN_INVALID, "the token is longer than 8192 bytes"));
    }
    match token.rsplit_once('.') {
        Some((message, signature)) if message.bytes().filter(|byte| *byte == b'.').count() == 1 => {
            Ok((message, signature))
        }
        _ => Err(not_three_parts()),
    }
}

#[cold]
fn not_three_parts() -> Box<Rejection> {
    refuse(&TOKEN_INVALID, "the token does not have the three parts of a signed JWT")
}

#[cfg(test)]
pub(super) mod tests {
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::{Value, json};

    use super::*;
    use crate::plan;

    fn encode(bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub(in crate::filters::auth) const HS: &[u8] = b"a secret of no less than 32 bytes";
    const LONG_HS: &[u8] = &[7; 64];
    const OTHER_HS: &[u8] = b"another secret of 32 bytes or more";
    const NOW: u64 = 1_700_000_000;

    macro_rules! key {
        ($name:literal) => {
            include_bytes!(concat!("../../../tests/keys/", $name))
        };
    }

    /// A signing key, and what its tokens say of themselves.
    pub(in crate::filters::auth) type Signer = (Header, EncodingKey);

    pub(in crate::filters::auth) fn hmac(secret: &[u8]) -> Signer {
        (Header::new(Algorithm::HS256), EncodingKey::from_secret(secret))
    }

    pub(in crate::filters::auth) fn claims() -> Value {
        json!({"sub": "alice", "exp": NOW + 60, "scopes": ["a"]})
    }

    pub(in crate::filters::auth) fn sign((header, key): &Signer, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, key).expect("a token")
    }

    /// A token with a header that no library writes, signed with an HMAC secret.
    fn forge(header: &Value, claims: &Value, secret: &[u8]) -> String {
        let message = format!(
            "{}.{}",
            encode(header.to_string().as_bytes()),
            encode(claims.to_string().as_bytes())
        );
        let key = EncodingKey::from_secret(secret);
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256);
        format!("{message}.{}", signature.expect("a signature"))
    }

    fn signers() -> Vec<(Signer, &'static str)> {
        let rsa = || EncodingKey::from_rsa_pem(key!("rsa.pem")).expect("a key");
        let p256 = EncodingKey::from_ec_pem(key!("p256.pem")).expect("a key");
        let p384 = EncodingKey::from_ec_pem(key!("p384.pem")).expect("a key");
        let ed = EncodingKey::from_ed_pem(key!("ed25519.pem")).expect("a key");
        let secret = || EncodingKey::from_secret(LONG_HS);
        vec![
            ((Header::new(Algorithm::HS256), secret()), "HS256"),
            ((Header::new(Algorithm::HS384), secret()), "HS384"),
            ((Header::new(Algorithm::HS512), secret()), "HS512"),
            ((Header::new(Algorithm::RS256), rsa()), "RS256"),
            ((Header::new(Algorithm::RS384), rsa()), "RS384"),
            ((Header::new(Algorithm::RS512), rsa()), "RS512"),
            ((Header::new(Algorithm::PS256), rsa()), "PS256"),
            ((Header::new(Algorithm::PS384), rsa()), "PS384"),
            ((Header::new(Algorithm::PS512), rsa()), "PS512"),
            ((Header::new(Algorithm::ES256), p256), "ES256"),
            ((Header::new(Algorithm::ES384), p384), "ES384"),
            ((Header::new(Algorithm::EdDSA), ed), "EdDSA"),
        ]
    }

    fn tokens(keys: &[(&str, &[&str], Option<&str>)]) -> Tokens {
        let key = |(secret, algorithms, kid): &(&str, &[&str], Option<&str>)| plan::Key {
            secret: (*secret).to_owned(),
            algorithms: algorithms.iter().map(|name| (*name).to_owned()).collect(),
            kid: kid.map(str::to_owned),
        };
        Tokens {
            keys: keys.iter().map(key).collect(),
            issuer: None,
            audience: None,
            leeway: 0,
            cache: 4,
        }
    }

    fn build(tokens: &Tokens) -> Verifier {
        let secrets = [
            ("hs", HS),
            ("long", LONG_HS),
            ("other", OTHER_HS),
            ("rsa", key!("rsa.pub.pem")),
            ("p256", key!("p256.pub.pem")),
            ("p384", key!("p384.pub.pem")),
            ("ed", key!("ed25519.pub.pem")),
        ];
        let secrets = secrets.map(|(name, secret)| (name.to_owned(), secret.to_vec()));
        Verifier::build(tokens, &Secrets::from(secrets), &Arc::default()).expect("a verifier")
    }

    fn every_key() -> Tokens {
        tokens(&[
            ("long", &["HS256"], None),
            ("long", &["HS384"], None),
            ("long", &["HS512"], None),
            ("rsa", &["RS256"], None),
            ("rsa", &["RS384"], None),
            ("rsa", &["RS512"], None),
            ("rsa", &["PS256"], None),
            ("rsa", &["PS384"], None),
            ("rsa", &["PS512"], None),
            ("p256", &["ES256"], None),
            ("p384", &["ES384"], None),
            ("ed", &["EdDSA"], None),
        ])
    }

    fn hs_only() -> Verifier {
        build(&tokens(&[("hs", &["HS256"], None)]))
    }

    fn code(verifier: &Verifier, token: &str) -> &'static str {
        verifier.verify(token, NOW).map_or_else(|refusal| refusal.kind.code, |_| "verified")
    }

    #[test]
    fn a_token_of_every_algorithm_verifies() {
        let verifier = build(&every_key());
        for (signer, name) in signers() {
            let claims = verifier.verify(&sign(&signer, &claims()), NOW);
            assert_eq!(&*claims.expect(name).subject, "alice");
        }
    }

    #[test]
    fn a_changed_token_of_every_algorithm_does_not_verify() {
        let verifier = build(&every_key());
        let mut admin = claims();
        admin["sub"] = json!("admin");
        for (signer, name) in signers() {
            let (real, forged) = (sign(&signer, &claims()), sign(&signer, &admin));
            let (_, signature) = real.rsplit_once('.').unwrap();
            let (message, _) = forged.rsplit_once('.').unwrap();
            let grafted = format!("{message}.{signature}");
            assert_eq!(code(&verifier, &grafted), "token_signature_invalid", "{name}");
            assert_eq!(
                code(&verifier, &format!("{message}.")),
                "token_signature_invalid",
                "{name}"
            );
            assert_eq!(
                code(&verifier, &format!("{message}.!!")),
                "token_signature_invalid",
                "{name}"
            );
        }
    }

    #[test]
    fn a_token_of_another_key_does_not_verify() {
        assert_eq!(code(&hs_only(), &sign(&hmac(OTHER_HS), &claims())), "token_signature_invalid");
    }

    #[test]
    fn an_unsigned_token_is_refused_however_none_is_written() {
        for none in ["none", "None", "NONE", "nOnE"] {
            let signed = forge(&json!({"alg": none, "typ": "JWT"}), &claims(), HS);
            let (message, _) = signed.rsplit_once('.').unwrap();
            assert_eq!(code(&hs_only(), &format!("{message}.")), "token_unsigned", "{none}");
            assert_eq!(code(&hs_only(), &signed), "token_unsigned", "{none}");
        }
    }

    #[test]
    fn an_hmac_signed_with_an_rsa_public_key_is_refused() {
        let verifier = build(&tokens(&[("rsa", &["RS256"], None)]));

        let confused = sign(&hmac(key!("rsa.pub.pem")), &claims());

        assert_eq!(code(&verifier, &confused), "token_algorithm_refused");
    }

    #[test]
    fn an_algorithm_that_no_key_accepts_is_refused() {
        let hs384 = (Header::new(Algorithm::HS384), EncodingKey::from_secret(HS));

        assert_eq!(code(&hs_only(), &sign(&hs384, &claims())), "token_algorithm_refused");
        for unknown in ["ES512", "hs256", "", "HS256 "] {
            let token = forge(&json!({"alg": unknown}), &claims(), HS);
            assert_eq!(code(&hs_only(), &token), "token_algorithm_refused", "{unknown:?}");
        }
    }

    #[test]
    fn a_secret_verifies_by_the_one_algorithm_that_it_is_bound_to() {
        for (bound, _) in [("HS256", 0), ("HS384", 1), ("HS512", 2)] {
            let verifier = build(&tokens(&[("long", &[bound], None)]));
            for (signer, name) in signers().into_iter().filter(|(_, name)| name.starts_with("HS")) {
                let expected = if name == bound { "verified" } else { "token_algorithm_refused" };
                assert_eq!(code(&verifier, &sign(&signer, &claims())), expected, "{bound} {name}");
            }
        }
    }

    #[test]
    fn a_key_in_the_header_is_never_the_one_that_verifies() {
        let header = json!({
            "alg": "HS256", "jwk": {"kty": "oct", "k": encode(OTHER_HS)},
            "jku": "http://127.0.0.1:1/keys", "x5u": "http://127.0.0.1:1/cert", "x5c": ["MA=="],
        });

        assert_eq!(code(&hs_only(), &forge(&header, &claims(), HS)), "verified");
        assert_eq!(
            code(&hs_only(), &forge(&header, &claims(), OTHER_HS)),
            "token_signature_invalid"
        );
    }

    #[test]
    fn two_keys_of_one_name_are_an_error_of_the_plan() {
        let secrets = Secrets::from([("hs".to_owned(), LONG_HS.to_vec())]);
        let twice = tokens(&[("hs", &["HS256"], Some("a")), ("hs", &["HS512"], Some("a"))]);

        assert!(Verifier::build(&twice, &secrets, &Arc::default()).is_err());
    }

    #[test]
    fn an_issue_in_the_future_is_refused_beyond_the_leeway() {
        let lenient = build(&Tokens { leeway: 5, ..tokens(&[("hs", &["HS256"], None)]) });
        let sign_at =
            |iat: Value| sign(&hmac(HS), &json!({"sub": "a", "exp": NOW + 60, "iat": iat}));

        assert_eq!(code(&hs_only(), &sign_at(json!(NOW))), "verified");
        assert_eq!(code(&hs_only(), &sign_at(json!(NOW + 1))), "token_not_yet_valid");
        assert_eq!(code(&lenient, &sign_at(json!(NOW + 5))), "verified");
        for future in [json!(NOW + 6), json!(NOW + 3600), json!(1e300), json!(u64::MAX)] {
            assert_eq!(code(&lenient, &sign_at(future)), "token_not_yet_valid");
        }
        for wrong in [json!("now"), json!(-1), json!(true), json!([NOW])] {
            assert_eq!(code(&lenient, &sign_at(wrong)), "token_invalid");
        }
    }

    #[test]
    fn the_key_that_a_token_names_is_the_one_it_is_verified_with() {
        let verifier = build(&tokens(&[
            ("hs", &["HS256"], Some("old")),
            ("other", &["HS256"], Some("new")),
            ("rsa", &["RS256"], Some("rsa")),
        ]));
        let token = |kid: Option<&str>, secret| {
            let header = Header { kid: kid.map(str::to_owned), ..Header::new(Algorithm::HS256) };
            sign(&(header, EncodingKey::from_secret(secret)), &claims())
        };

        assert_eq!(code(&verifier, &token(Some("new"), OTHER_HS)), "verified");
        assert_eq!(code(&verifier, &token(Some("old"), OTHER_HS)), "token_signature_invalid");
        assert_eq!(code(&verifier, &token(Some("rsa"), HS)), "token_algorithm_refused");
        assert_eq!(code(&verifier, &token(Some("unknown"), OTHER_HS)), "verified");
        assert_eq!(code(&verifier, &token(None, HS)), "verified");
    }

    #[test]
    fn a_part_has_one_form_in_base64url() {
        for text in ["Zg==", "+/8", "Zm9v Zm9v", "Z", "Zm9vY", "Zh", "Zm9", "Zm9vé", "Zm\n9"] {
            assert!(URL_SAFE_NO_PAD.decode(text).is_err(), "{text}");
        }
    }

    #[test]
    fn critical_extensions_make_a_token_invalid() {
        for header in [
            json!({"alg": "HS256", "crit": ["b64"], "b64": false}),
            json!({"alg": "HS256", "crit": []}),
        ] {
            assert_eq!(code(&hs_only(), &forge(&header, &claims(), HS)), "token_invalid");
        }
    }

    #[test]
    fn what_is_no_signed_jwt_is_invalid() {
        let good = sign(&hmac(HS), &claims());
        let (message, signature) = good.rsplit_once('.').unwrap();
        for wrong in [
            "",
            ".",
            "..",
            "a.b.c",
            message,
            &format!("{good}.x"),
            &format!("{good}.x.y"),
            &format!("{message}=.{signature}"),
            &"a".repeat(9000),
            &format!("!{good}"),
        ] {
            let code = code(&hs_only(), wrong);
            assert!(
                ["token_invalid", "token_signature_invalid"].contains(&code),
                "{wrong}: {code}"
            );
        }
        let no_alg = forge(&json!({"typ": "JWT"}), &claims(), HS);
        let list = format!("{}.e30.x", encode(br#"["HS256"]"#));
        let no_object = forge(&json!({"alg": "HS256"}), &json!("claims"), HS);
        let two_algs = format!("{}.e30.x", encode(br#"{"alg":"HS256","alg":"none"}"#));
        for wrong in [no_alg, list, no_object, two_algs] {
            assert_eq!(code(&hs_only(), &wrong), "token_invalid", "{wrong}");
        }
    }

    #[test]
    fn a_token_over_8_kib_is_not_looked_at() {
        let mut long = claims();
        long["padding"] = json!("x".repeat(8192));

        assert_eq!(code(&hs_only(), &sign(&hmac(HS), &long)), "token_invalid");
    }

    #[test]
    fn a_token_before_or_after_its_time_is_refused_with_a_code_of_its_own() {
        let sign_at =
            |exp: u64, nbf: u64| sign(&hmac(HS), &json!({"sub": "a", "exp": exp, "nbf": nbf}));
        let lenient = build(&Tokens { leeway: 5, ..tokens(&[("hs", &["HS256"], None)]) });

        assert_eq!(code(&hs_only(), &sign_at(NOW, 0)), "token_expired");
        assert_eq!(code(&hs_only(), &sign_at(NOW + 9, NOW + 1)), "token_not_yet_valid");
        assert_eq!(code(&lenient, &sign_at(NOW - 4, NOW + 5)), "verified");
        assert_eq!(code(&lenient, &sign_at(NOW - 5, 0)), "token_expired");
    }

    #[test]
    fn the_audience_and_the_issuer_are_those_of_the_plan() {
        let wanted = Tokens {
            issuer: Some("us".into()),
            audience: Some("gateway".into()),
            ..tokens(&[("hs", &["HS256"], None)])
        };
        let verifier = build(&wanted);
        let token = |more: Value| {
            let mut all = claims();
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            sign(&hmac(HS), &all)
        };

        assert_eq!(code(&verifier, &token(json!({"iss": "us", "aud": "gateway"}))), "verified");
        assert_eq!(
            code(&verifier, &token(json!({"iss": "us", "aud": ["x", "gateway"]}))),
            "verified"
        );
        for aud in [
            json!({"iss": "us"}),
            json!({"iss": "us", "aud": "other"}),
            json!({"iss": "us", "aud": []}),
        ] {
            assert_eq!(code(&verifier, &token(aud)), "token_audience_mismatch");
        }
        for iss in [
            json!({"aud": "gateway"}),
            json!({"aud": "gateway", "iss": "them"}),
            json!({"iss": ["us"]}),
        ] {
            assert_eq!(code(&verifier, &token(iss)), "token_issuer_mismatch");
        }
        assert_eq!(code(&hs_only(), &token(json!({"aud": "x"}))), "token_audience_mismatch");
    }

    #[test]
    fn a_token_that_has_verified_is_remembered_until_it_expires() {
        let verifier = hs_only();
        let token = sign(&hmac(HS), &claims());

        let first = verifier.verify(&token, NOW).unwrap();
        let second = verifier.verify(&token, NOW + 59).unwrap();

        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(verifier.verify(&token, NOW + 60).unwrap_err().kind.code, "token_expired");
        assert!(!Arc::ptr_eq(&first, &verifier.verify(&token, NOW).unwrap()));
    }

    #[test]
    fn a_remembered_token_is_not_valid_before_its_time_when_the_clock_is_set_back() {
        let token = sign(&hmac(HS), &json!({"sub": "a", "exp": NOW + 60, "nbf": NOW}));
        let verifier = hs_only();
        verifier.verify(&token, NOW).unwrap();

        assert_eq!(verifier.verify(&token, NOW - 1).unwrap_err().kind.code, "token_not_yet_valid");
    }

    #[test]
    fn failures_are_not_remembered_and_no_cache_verifies_each_time() {
        let off = build(&Tokens { cache: 0, ..tokens(&[("hs", &["HS256"], None)]) });
        let token = sign(&hmac(HS), &claims());

        assert!(!Arc::ptr_eq(&off.verify(&token, NOW).unwrap(), &off.verify(&token, NOW).unwrap()));
        let (verifier, late) = (hs_only(), NOW + 100);
        assert_eq!(verifier.verify(&token, late).unwrap_err().kind.code, "token_expired");
        assert!(verifier.cache.as_ref().is_some_and(|cache| cache.get(&token).is_none()));
    }

    #[test]
    fn clearing_forgets_what_has_verified() {
        let verifier = hs_only();
        let token = sign(&hmac(HS), &claims());
        let first = verifier.verify(&token, NOW).unwrap();

        verifier.clear();

        assert!(!Arc::ptr_eq(&first, &verifier.verify(&token, NOW).unwrap()));
    }

    #[test]
    fn a_plan_without_a_key_is_an_error() {
        assert!(Verifier::build(&tokens(&[]), &Secrets::new(), &Arc::default()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_verifier_panic(text in "[A-Za-z0-9_.-]{0,80}") {
            let _ = hs_only().verify(&text, NOW);
        }

        #[test]
        fn no_header_or_claims_make_the_verifier_panic(head in "\\PC{0,60}", body in "\\PC{0,60}") {
            let token = format!("{}.{}.", encode(head.as_bytes()), encode(body.as_bytes()));
            let _ = hs_only().verify(&token, NOW);
        }
    }
}
