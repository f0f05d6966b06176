//! Ed25519 with one acceptance rule (section 8.2, RFC 8032 section 5.1.7 without cofactor).
//!
//! A signature `(R, S)` of message `M` under key `A` is accepted exactly when `S` is below the group order and
//! the encoding of `[S]B - [k]A` equals the 32 bytes of `R`, where `k = SHA-512(R ‖ A ‖ M)`. `R` is never
//! decoded, so a small-order part in it cannot be hidden, and no batch equation ever decides.
//!
//! The rule has two executions with the same answers: the plain one, and one by tables of multiples
//! ([`KeyTable`]) for keys that sign often. [`verify_many`] runs any mix of both and prints all recomputed
//! points with one shared field inversion; each signature keeps its own verdict.

mod field;
mod point;
mod table;

use std::fmt;

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use ed25519_dalek::Signer as _;
use sha2::Digest as _;
use zeroize::Zeroize as _;

pub use table::{BaseTable, KeyTable};

use crate::hex;

/// Why 32 bytes may not be registered as a signing key (sections 8.2 and 22).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    #[error("is not the encoding of a curve point")]
    Undecodable,
    #[error("is not the canonical encoding of its point")]
    NonCanonical,
    #[error("is a point of small order")]
    SmallOrder,
    #[error("has a torsion component")]
    Torsion,
}

/// A decoded verification key that passed the registration rule: canonical, in the prime-order group, not small.
#[derive(Clone, Copy)]
pub struct PublicKey {
    bytes: [u8; 32],
    /// `-A`: what the check multiplies by `k`.
    negated: EdwardsPoint,
}

impl PublicKey {
    /// Decodes and applies the registration rule; costs about one scalar multiplication.
    ///
    /// # Errors
    /// Each [`PublicKeyError`] names the part of the rule that the bytes break.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, PublicKeyError> {
        let encoded = CompressedEdwardsY(*bytes);
        let point = encoded.decompress().ok_or(PublicKeyError::Undecodable)?;
        if point.compress() != encoded {
            return Err(PublicKeyError::NonCanonical);
        }
        if point.is_small_order() {
            return Err(PublicKeyError::SmallOrder);
        }
        if !point.is_torsion_free() {
            return Err(PublicKeyError::Torsion);
        }
        Ok(Self { bytes: *bytes, negated: -point })
    }

    /// The canonical encoding, as registered.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The plain check of one signature.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        verify_many(&[Check { key: CheckKey::Plain(self), message, signature }])[0]
    }

    /// `[s]B - [k]A`.
    fn recompute(&self, s: &Scalar, k: &Scalar) -> EdwardsPoint {
        EdwardsPoint::vartime_double_scalar_mul_basepoint(k, &self.negated, s)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}
impl Eq for PublicKey {}
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex::encode(&self.bytes))
    }
}

/// How to check under a key: plainly, or by its table. The answer is the same.
#[derive(Clone, Copy)]
pub enum CheckKey<'a> {
    Plain(&'a PublicKey),
    Table(&'a KeyTable),
}

impl CheckKey<'_> {
    fn public_key(&self) -> &PublicKey {
        match self {
            Self::Plain(key) => key,
            Self::Table(table) => table.public_key(),
        }
    }
}

/// One signature to check.
#[derive(Clone, Copy)]
pub struct Check<'a> {
    pub key: CheckKey<'a>,
    pub message: &'a [u8],
    pub signature: &'a [u8; 64],
}

/// Checks many signatures; the verdicts stand in the order of `checks`.
///
/// A bad signature costs what a good one costs and changes no other verdict. Checks of one key are fastest next
/// to each other, since its table then stays in the cache.
pub fn verify_many(checks: &[Check<'_>]) -> Vec<bool> {
    let mut verdicts = vec![false; checks.len()];
    let (mut plain, mut tabled) = (Recomputed::default(), Recomputed::default());
    for (place, check) in checks.iter().enumerate() {
        let Some((s, k)) = scalars(check) else { continue };
        match check.key {
            CheckKey::Plain(key) => plain.push(place, key.recompute(&s, &k)),
            CheckKey::Table(table) => tabled.push(place, table.recompute(&s, &k)),
        }
    }
    // An empty batch would still pay for its inversion.
    let plain_encoded = match plain.points.as_slice() {
        [] => Vec::new(),
        points => EdwardsPoint::compress_batch_alloc(points),
    };
    let encoded = plain_encoded.into_iter().map(|point| point.0).chain(point::encode_all(&tabled.points));
    for (place, encoded) in plain.places.into_iter().chain(tabled.places).zip(encoded) {
        verdicts[place] = encoded == checks[place].signature[..32];
    }
    verdicts
}

/// Points to print and the places of their checks.
struct Recomputed<P> {
    points: Vec<P>,
    places: Vec<usize>,
}

impl<P> Default for Recomputed<P> {
    fn default() -> Self {
        Self { points: Vec::new(), places: Vec::new() }
    }
}

impl<P> Recomputed<P> {
    fn push(&mut self, place: usize, point: P) {
        self.places.push(place);
        self.points.push(point);
    }
}

/// `S` and `k`; `None` when S is not below the group order.
fn scalars(check: &Check<'_>) -> Option<(Scalar, Scalar)> {
    let (r, s) = check.signature.split_at(32);
    let s = Option::<Scalar>::from(Scalar::from_canonical_bytes(s.try_into().ok()?))?;
    let key = check.key.public_key();
    let digest =
        sha2::Sha512::new().chain_update(r).chain_update(key.bytes).chain_update(check.message).finalize();
    Some((s, Scalar::from_bytes_mod_order_wide(&digest.into())))
}

/// A private key could not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key could not sign: {0}")]
pub struct SignerError(pub String);

/// Something that signs with one Ed25519 key: in memory, in a keystore, in a device.
pub trait Signer: Send + Sync {
    fn public_key(&self) -> [u8; 32];
    /// Pure Ed25519 over `message` (RFC 8032: no prehash, no context).
    ///
    /// # Errors
    /// [`SignerError`] when the key is out of reach; an in-memory key never fails.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerError>;
    /// Whether the key can sign now. May block; an in-memory key always can.
    ///
    /// # Errors
    /// [`SignerError`] with what keeps it.
    fn ready(&self) -> Result<(), SignerError> {
        Ok(())
    }
}

/// A private key in memory; erased when dropped.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key of a 32-byte seed (RFC 8032 private key).
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let key = Self(ed25519_dalek::SigningKey::from_bytes(&seed));
        seed.zeroize();
        key
    }
    pub fn public_key(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl Signer for SigningKey {
    fn public_key(&self) -> [u8; 32] {
        SigningKey::public_key(self)
    }
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerError> {
        Ok(SigningKey::sign(self, message))
    }
}

impl fmt::Debug for SigningKey {
    /// Shows the public half only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(public {})", hex::encode(&self.public_key()))
    }
}
