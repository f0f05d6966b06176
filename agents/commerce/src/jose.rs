//! JSON Web Signatures and Keys, as far as AP2 and A2A use them: ES256 alone (RFC 7515, 7517, 7638).
//!
//! `alg` is never negotiated: a header that names another algorithm is refused before its key is looked for.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// The one algorithm.
pub const ES256: &str = "ES256";
/// Longest signature object taken, in bytes: a checkout of the most lines fits twice.
pub const TOKEN_BYTES_MAX: usize = 256 << 10;
/// Bytes of `r ‖ s`.
const SIGNATURE_BYTES: usize = 64;

/// Why a signature object or a key is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoseError {
    #[error("longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    #[error("{0}: not base64url without padding")]
    Base64(&'static str),
    #[error("{part}: {problem}")]
    Json { part: &'static str, problem: String },
    #[error("expected three parts, header.payload.signature")]
    Parts,
    #[error("alg is {0:?}; only {ES256} is taken")]
    Algorithm(String),
    #[error("crit names extensions that are not known here")]
    Critical,
    #[error("the signature does not verify")]
    Signature,
    #[error("the key is not an EC key on P-256")]
    Key,
    #[error("the key could not sign")]
    Signing,
}

/// SHA-256 in base64url without padding, as `sd_hash`, `checkout_hash` and disclosure digests are written.
pub fn hash_text(text: &str) -> String {
    encode(&Sha256::digest(text.as_bytes()))
}

pub fn encode(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

/// # Errors
/// [`JoseError::Base64`] with `part`.
pub fn decode(text: &str, part: &'static str) -> Result<Vec<u8>, JoseError> {
    Base64UrlUnpadded::decode_vec(text).map_err(|_| JoseError::Base64(part))
}

/// JSON whose members stand once each, bounded in depth: what a signature covers has one reading.
///
/// # Errors
/// [`JoseError::Json`] with `part`.
pub fn read_json(bytes: &[u8], part: &'static str) -> Result<Value, JoseError> {
    let bad = |problem: String| JoseError::Json { part, problem };
    let text = std::str::from_utf8(bytes).map_err(|_| bad("not UTF-8".to_owned()))?;
    let text = ves::json::canonicalize_strict(text).map_err(|error| bad(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| bad(error.to_string()))
}

/// A verifying key on P-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    pub kid: Option<String>,
    /// Uncompressed: `04 ‖ x ‖ y`.
    point: [u8; 65],
}

impl PublicKey {
    /// Reads a JWK. Members beyond those of an EC key are left alone, as RFC 7517 asks.
    ///
    /// # Errors
    /// [`JoseError::Key`] for any other kind of key.
    pub fn from_jwk(jwk: &Value) -> Result<Self, JoseError> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let is_other = |name: &str, wanted: &str| text(name).is_some_and(|found| found != wanted);
        if text("kty") != Some("EC") || text("crv") != Some("P-256") {
            return Err(JoseError::Key);
        }
        if is_other("alg", ES256) || is_other("use", "sig") {
            return Err(JoseError::Key);
        }
        let mut point = [4; 65];
        for (name, at) in [("x", 1), ("y", 33)] {
            let bytes = decode(text(name).ok_or(JoseError::Key)?, "key")?;
            point[at..at + 32].copy_from_slice(&<[u8; 32]>::try_from(bytes).map_err(|_| JoseError::Key)?);
        }
        Ok(Self { kid: text("kid").map(str::to_owned), point })
    }

    pub fn to_jwk(&self) -> Value {
        let mut jwk = json!({
            "kty": "EC", "crv": "P-256", "x": encode(&self.point[1..33]), "y": encode(&self.point[33..]),
            "use": "sig", "alg": ES256,
        });
        if let Some(kid) = &self.kid {
            jwk["kid"] = Value::from(kid.as_str());
        }
        jwk
    }

    /// RFC 7638.
    pub fn thumbprint(&self) -> String {
        let (x, y) = (encode(&self.point[1..33]), encode(&self.point[33..]));
        hash_text(&format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#))
    }

    /// # Errors
    /// [`JoseError::Signature`], for a point off the curve too.
    pub fn verify(&self, message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> Result<(), JoseError> {
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point);
        key.verify(message, signature).map_err(|_| JoseError::Signature)
    }
}

/// A signing key on P-256. Its signatures are randomised, so that the hash of a signed checkout can't be guessed
/// (AP2 0.2, Payment Mandate).
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: PublicKey,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid()).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// A new key; its PKCS#8 form is what is to be kept.
    ///
    /// # Errors
    /// [`JoseError::Signing`] without randomness.
    pub fn generate() -> Result<(Self, Vec<u8>), JoseError> {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
            .map_err(|_| JoseError::Signing)?;
        Ok((Self::from_pkcs8(document.as_ref())?, document.as_ref().to_vec()))
    }

    /// # Errors
    /// [`JoseError::Key`].
    pub fn from_pkcs8(document: &[u8]) -> Result<Self, JoseError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document)
            .map_err(|_| JoseError::Key)?;
        let point = pair.public_key().as_ref().try_into().map_err(|_| JoseError::Key)?;
        let mut public = PublicKey { kid: None, point };
        public.kid = Some(public.thumbprint());
        Ok(Self { pair, public })
    }

    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The same key under the name that a profile gives it.
    #[must_use]
    pub fn named(mut self, kid: &str) -> Self {
        self.public.kid = Some(kid.to_owned());
        self
    }

    /// The name of the key: its thumbprint, unless it was [named](Self::named) otherwise.
    pub fn kid(&self) -> &str {
        self.public.kid.as_deref().unwrap_or_default()
    }

    /// Signs `payload` as a compact JWS. `header` may add members; `alg` and `kid` are the key's.
    ///
    /// # Errors
    /// [`JoseError::Signing`].
    pub fn sign(&self, header: &[(&str, &str)], payload: &[u8]) -> Result<String, JoseError> {
        let mut members = Map::new();
        members.insert("alg".to_owned(), Value::from(ES256));
        for (name, text) in header {
            members.insert((*name).to_owned(), Value::from(*text));
        }
        members.insert("kid".to_owned(), Value::from(self.kid()));
        let header = Value::Object(members).to_string();
        let input = format!("{}.{}", encode(header.as_bytes()), encode(payload));
        let signature =
            self.pair.sign(&SystemRandom::new(), input.as_bytes()).map_err(|_| JoseError::Signing)?;
        Ok(format!("{input}.{}", encode(signature.as_ref())))
    }
}

/// `header..signature` of a compact JWS whose payload travels by itself (RFC 7515, appendix F).
pub fn detached(compact: &str) -> String {
    match (compact.split_once('.'), compact.rsplit_once('.')) {
        (Some((header, _)), Some((_, signature))) => format!("{header}..{signature}"),
        _ => compact.to_owned(),
    }
}

/// The payload put back into a detached JWS.
///
/// # Errors
/// [`JoseError::Parts`] where it is not `header..signature`.
pub fn attached(detached: &str, payload: &[u8]) -> Result<String, JoseError> {
    let (header, signature) = detached.split_once("..").ok_or(JoseError::Parts)?;
    Ok(format!("{header}.{}.{signature}", encode(payload)))
}

/// A compact JWS, read and not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jws<'a> {
    pub header: Value,
    pub payload: Value,
    /// What is signed: header and payload as they came.
    pub input: &'a str,
    signature: [u8; SIGNATURE_BYTES],
}

impl<'a> Jws<'a> {
    /// # Errors
    /// [`JoseError`]: form, another algorithm, extensions that would have to be known.
    pub fn parse(text: &'a str) -> Result<Self, JoseError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(JoseError::TooLong);
        }
        let (input, signature) = text.rsplit_once('.').ok_or(JoseError::Parts)?;
        let (header, payload) = input.split_once('.').ok_or(JoseError::Parts)?;
        if payload.contains('.') {
            return Err(JoseError::Parts);
        }
        let header = read_json(&decode(header, "header")?, "header")?;
        match header.get("alg").and_then(Value::as_str) {
            Some(ES256) => {}
            other => return Err(JoseError::Algorithm(other.unwrap_or("missing").to_owned())),
        }
        if header.get("crit").is_some() {
            return Err(JoseError::Critical);
        }
        let payload = read_json(&decode(payload, "payload")?, "payload")?;
        let signature = decode(signature, "signature")?.try_into().map_err(|_| JoseError::Signature)?;
        Ok(Self { header, payload, input, signature })
    }

    /// A text member of the header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header.get(name).and_then(Value::as_str)
    }

    /// # Errors
    /// [`JoseError::Signature`].
    pub fn verify(&self, key: &PublicKey) -> Result<(), JoseError> {
        key.verify(self.input.as_bytes(), &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_signs_under_the_name_that_its_profile_has_for_it() {
        let (key, document) = SigningKey::generate().unwrap();
        assert_eq!(key.kid(), key.public().thumbprint());
        let named = SigningKey::from_pkcs8(&document).unwrap().named("2026-wallet");
        let text = named.sign(&[("typ", "JWT")], br#"{"a":1}"#).unwrap();
        let jws = Jws::parse(&text).unwrap();
        assert_eq!(
            (jws.header("kid"), named.public().to_jwk()["kid"].as_str()),
            (Some("2026-wallet"), Some("2026-wallet"))
        );
        assert!(jws.verify(key.public()).is_ok(), "it is the same key");
    }

    #[test]
    fn what_was_signed_verifies_and_nothing_else() {
        let (key, document) = SigningKey::generate().unwrap();
        assert_eq!(SigningKey::from_pkcs8(&document).unwrap().public(), key.public());
        let text = key.sign(&[("typ", "JWT")], br#"{"a":1}"#).unwrap();
        let jws = Jws::parse(&text).unwrap();
        jws.verify(key.public()).unwrap();
        assert_eq!((jws.header("kid"), &jws.payload["a"]), (Some(key.kid()), &Value::from(1)));
        let other = SigningKey::generate().unwrap().0;
        assert_eq!(jws.verify(other.public()), Err(JoseError::Signature));
        let changed = text.replacen('.', "A.", 1);
        assert!(Jws::parse(&changed).map_or(true, |jws| jws.verify(key.public()).is_err()));
        assert_ne!(text, key.sign(&[("typ", "JWT")], br#"{"a":1}"#).unwrap(), "signatures are randomised");
    }

    #[test]
    fn a_payload_is_taken_out_and_put_back() {
        let key = SigningKey::generate().unwrap().0;
        let text = key.sign(&[], b"{}").unwrap();
        assert_eq!(attached(&detached(&text), b"{}").unwrap(), text);
        assert_eq!(attached("a.b.c", b"{}"), Err(JoseError::Parts));
    }

    #[test]
    fn other_algorithms_and_ambiguous_json_are_refused() {
        let with = |header: &str, payload: &str| {
            format!("{}.{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()), encode(&[0; 64]))
        };
        for alg in ["none", "HS256", "ES256K", "es256", "EdDSA"] {
            let text = with(&format!(r#"{{"alg":"{alg}"}}"#), "{}");
            assert_eq!(Jws::parse(&text), Err(JoseError::Algorithm(alg.to_owned())), "{alg}");
        }
        let twice = with(r#"{"alg":"ES256"}"#, r#"{"exp":1,"exp":9}"#);
        assert!(matches!(Jws::parse(&twice), Err(JoseError::Json { part: "payload", .. })));
        assert_eq!(Jws::parse(&with(r#"{"alg":"ES256","crit":["b64"]}"#, "{}")), Err(JoseError::Critical));
        for text in ["", "a", "a.b", "a.b.c.d", "e30.e30.", "e30=.e30.AA"] {
            assert!(Jws::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_goes_through_its_jwk() {
        let key = SigningKey::generate().unwrap().0;
        assert_eq!(PublicKey::from_jwk(&key.public().to_jwk()).as_ref(), Ok(key.public()));
        let mut jwk = key.public().to_jwk();
        jwk["crv"] = Value::from("P-384");
        assert_eq!(PublicKey::from_jwk(&jwk), Err(JoseError::Key));
        let off = json!({"kty": "EC", "crv": "P-256", "x": encode(&[1; 32]), "y": encode(&[2; 32])});
        let off = PublicKey::from_jwk(&off).unwrap();
        assert_eq!(
            off.verify(b"", &[1; 64]),
            Err(JoseError::Signature),
            "a point off the curve verifies nothing"
        );
    }
}
