//! Keys of agents (section 9): what the registry holds, when a key is valid, and how its owner proves it.

mod possession;
pub mod pqc;
mod ring;
pub mod rotation;

use crate::ids::{AgentId, KeyId, RecipientKeyId, TenantId};
use crate::reject::KeyProblem;
use crate::time::TimestampMs;

pub use possession::{
    KeyBytes, PossessionError, PossessionForm, PossessionProof, check_possession, check_possession_of,
    possession_challenge, possession_challenge_bound,
};
pub use pqc::{
    MlDsaPublicKey, MlDsaSignature, MlDsaSigningKey, MlDsaVerifier, MlKemPublicKey, SecurityProfile,
    SignatureScheme,
};
pub use ring::{KEY_TABLES_MAX, KeyRing, RingKey, TABLE_AFTER_USES};

/// What a key is for (section 21, VES-PQC-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum KeyAlgorithm {
    Ed25519 = 1,
    X25519 = 2,
    MlDsa65 = 3,
    MlKem768 = 4,
    Ed25519MlDsa65 = 5,
    X25519MlKem768 = 6,
}

impl KeyAlgorithm {
    pub const ALL: [Self; 6] = [
        Self::Ed25519,
        Self::X25519,
        Self::MlDsa65,
        Self::MlKem768,
        Self::Ed25519MlDsa65,
        Self::X25519MlKem768,
    ];

    /// The algorithm of this number; 0 (unspecified) reads as Ed25519 (9.3).
    pub fn from_number(number: u64) -> Option<Self> {
        let number = if number == 0 { 1 } else { number };
        Self::ALL.into_iter().find(|algorithm| u64::from(algorithm.number()) == number)
    }
    pub const fn number(self) -> u8 {
        self as u8
    }
    pub const fn key_type(self) -> KeyType {
        if self.signs() { KeyType::Signing } else { KeyType::Encryption }
    }
}

/// What keys of an algorithm do; no key does both (9.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyType {
    Signing,
    Encryption,
}

impl KeyType {
    pub const ALL: [Self; 2] = [Self::Signing, Self::Encryption];

    /// `signing` or `encryption`.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Signing => "signing",
            Self::Encryption => "encryption",
        }
    }
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key_type| key_type.text() == text)
    }
}

/// State of a key in its registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyStatus {
    Active,
    Revoked,
    Expired,
}

impl KeyStatus {
    pub const ALL: [Self; 3] = [Self::Active, Self::Revoked, Self::Expired];

    /// The registry's text: `active`, `revoked`, `expired`.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.text() == text)
    }
}

/// A registered signing key (9.1), addressed by (`tenant_id`, `agent_id`, `key_id`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentKey {
    pub tenant_id: TenantId,
    pub agent_id: AgentId,
    pub key_id: KeyId,
    /// The Ed25519 key; zero for ML-DSA-65 alone.
    pub public_key: [u8; 32],
    pub algorithm: KeyAlgorithm,
    /// Present exactly for ML-DSA-65 and for the hybrid.
    pub ml_dsa_65: Option<Box<MlDsaPublicKey>>,
    pub status: KeyStatus,
    pub valid_from: Option<TimestampMs>,
    /// Inclusive.
    pub valid_to: Option<TimestampMs>,
    pub revoked_at: Option<TimestampMs>,
    pub created_at: TimestampMs,
    /// JSON text, free for the owner.
    pub metadata: Option<String>,
}

impl AgentKey {
    /// Whether the key may sign at `now`, the sequencer's clock and never `created_at` of an event (9.2).
    ///
    /// # Errors
    /// [`KeyProblem`], in the order of section 9.2.
    pub fn check_at(&self, now: TimestampMs) -> Result<(), KeyProblem> {
        check_window_of(self.status, self.valid_from, self.valid_to, self.revoked_at, now)
    }

    /// The Ed25519 key or half, where there is one.
    pub fn ed25519(&self) -> Option<&[u8; 32]> {
        (self.algorithm != KeyAlgorithm::MlDsa65).then_some(&self.public_key)
    }

    /// The same key, revoked at `now`. Events already sequenced stay as they are.
    pub fn revoked(mut self, now: TimestampMs) -> Self {
        self.status = KeyStatus::Revoked;
        self.revoked_at = Some(self.revoked_at.map_or(now, |before| before.min(now)));
        self
    }
}

/// A registered recipient key (9.4): X25519, ML-KEM-768 or both. `kid` is unique in its tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionKey {
    pub tenant_id: TenantId,
    pub agent_id: AgentId,
    pub kid: RecipientKeyId,
    /// The X25519 key; zero for ML-KEM-768 alone.
    pub public_key: [u8; 32],
    pub algorithm: KeyAlgorithm,
    /// Present exactly for ML-KEM-768 and for the hybrid.
    pub ml_kem_768: Option<Box<MlKemPublicKey>>,
    pub status: KeyStatus,
    pub valid_from: Option<TimestampMs>,
    /// Inclusive.
    pub valid_to: Option<TimestampMs>,
    pub revoked_at: Option<TimestampMs>,
    pub created_at: TimestampMs,
}

impl EncryptionKey {
    /// Whether events may be sealed to the key at `now`; the rule of signing keys.
    ///
    /// # Errors
    /// [`KeyProblem`], in the order of section 9.2.
    pub fn check_at(&self, now: TimestampMs) -> Result<(), KeyProblem> {
        check_window_of(self.status, self.valid_from, self.valid_to, self.revoked_at, now)
    }

    /// The X25519 key or half, where there is one.
    pub fn x25519(&self) -> Option<&[u8; 32]> {
        (self.algorithm != KeyAlgorithm::MlKem768).then_some(&self.public_key)
    }

    /// The same key, revoked at `now`: nothing more is sealed to it. What was sealed before still opens.
    pub fn revoked(mut self, now: TimestampMs) -> Self {
        self.status = KeyStatus::Revoked;
        self.revoked_at = Some(self.revoked_at.map_or(now, |before| before.min(now)));
        self
    }
}

/// Section 9.2: status first, then the window, then the moment of revocation. A status `expired` counts as
/// expired at the end of the window, or always where none is given.
pub(crate) fn check_window_of(
    status: KeyStatus,
    valid_from: Option<TimestampMs>,
    valid_to: Option<TimestampMs>,
    revoked_at: Option<TimestampMs>,
    now: TimestampMs,
) -> Result<(), KeyProblem> {
    if status == KeyStatus::Revoked {
        return Err(KeyProblem::Revoked);
    }
    if let Some(from) = valid_from.filter(|from| now < *from) {
        return Err(KeyProblem::NotYetValid { from });
    }
    if let Some(at) = valid_to.filter(|to| now > *to) {
        return Err(KeyProblem::Expired { at });
    }
    if status == KeyStatus::Expired {
        return Err(KeyProblem::Expired { at: valid_to.unwrap_or(now) });
    }
    if revoked_at.is_some_and(|at| now >= at) {
        return Err(KeyProblem::Revoked);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ed25519::SigningKey;

    fn key(
        valid_from: Option<i64>,
        valid_to: Option<i64>,
        revoked_at: Option<i64>,
        status: KeyStatus,
    ) -> AgentKey {
        AgentKey {
            tenant_id: TenantId::from_bytes([1; 16]),
            agent_id: AgentId::from_bytes([2; 16]),
            key_id: KeyId(1),
            public_key: SigningKey::from_seed([3; 32]).public_key(),
            algorithm: KeyAlgorithm::Ed25519,
            ml_dsa_65: None,
            status,
            valid_from: valid_from.map(TimestampMs),
            valid_to: valid_to.map(TimestampMs),
            revoked_at: revoked_at.map(TimestampMs),
            created_at: TimestampMs(0),
            metadata: None,
        }
    }

    #[test]
    fn the_window_is_checked_in_the_order_of_the_specification() {
        use KeyProblem::*;
        use KeyStatus::{Active, Expired as Ended, Revoked as Withdrawn};
        let (from, at) = (TimestampMs(10), TimestampMs(20));
        let cases = [
            (key(None, None, None, Active), 0, Ok(())),
            (key(Some(10), Some(20), None, Active), 9, Err(NotYetValid { from })),
            (key(Some(10), Some(20), None, Active), 10, Ok(())),
            (key(Some(10), Some(20), None, Active), 20, Ok(())),
            (key(Some(10), Some(20), None, Active), 21, Err(Expired { at })),
            (key(Some(10), Some(20), Some(15), Active), 14, Ok(())),
            (key(Some(10), Some(20), Some(15), Active), 15, Err(Revoked)),
            (key(Some(10), Some(20), Some(15), Active), 21, Err(Expired { at })),
            (key(Some(10), Some(20), None, Withdrawn), 9, Err(Revoked)),
            (key(None, None, None, Ended), 9, Err(Expired { at: TimestampMs(9) })),
        ];
        for (key, now, expected) in cases {
            assert_eq!(key.check_at(TimestampMs(now)), expected, "{key:?} at {now}");
        }
    }

    #[test]
    fn revocation_keeps_the_earlier_moment() {
        let revoked = key(None, None, Some(5), KeyStatus::Active).revoked(TimestampMs(9));
        assert_eq!((revoked.status, revoked.revoked_at), (KeyStatus::Revoked, Some(TimestampMs(5))));
        assert_eq!(revoked.check_at(TimestampMs(0)), Err(KeyProblem::Revoked));
    }

    #[test]
    fn numbers_and_texts_read_back() {
        for algorithm in KeyAlgorithm::ALL {
            assert_eq!(KeyAlgorithm::from_number(algorithm.number().into()), Some(algorithm));
        }
        assert_eq!(KeyAlgorithm::from_number(0), Some(KeyAlgorithm::Ed25519));
        assert_eq!(KeyAlgorithm::from_number(7), None);
        for status in KeyStatus::ALL {
            assert_eq!(KeyStatus::from_text(status.text()), Some(status));
        }
    }
}
