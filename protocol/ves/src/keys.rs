//! Keys of agents (section 9): what the registry holds, when a key is valid, and how its owner proves it.

mod ring;

use crate::ed25519::PublicKey;
use crate::hash::{Digest, Domain, Hasher};
use crate::ids::{AgentId, KeyId, RecipientKeyId, TenantId};
use crate::reject::KeyProblem;
use crate::time::TimestampMs;

pub use ring::{KEY_TABLES_MAX, KeyRing, RingKey, TABLE_AFTER_USES};

/// What a key is for (section 21, VES-PQC-1). Only Ed25519 and X25519 are in use.
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
    pub public_key: [u8; 32],
    pub algorithm: KeyAlgorithm,
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
        check_window(self.status, self.valid_from, self.valid_to, self.revoked_at, now)
    }

    /// The same key, revoked at `now`. Events already sequenced stay as they are.
    pub fn revoked(mut self, now: TimestampMs) -> Self {
        self.status = KeyStatus::Revoked;
        self.revoked_at = Some(self.revoked_at.map_or(now, |before| before.min(now)));
        self
    }
}

/// A registered X25519 recipient key (9.4). `kid` is unique in its tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionKey {
    pub tenant_id: TenantId,
    pub agent_id: AgentId,
    pub kid: RecipientKeyId,
    pub public_key: [u8; 32],
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
        check_window(self.status, self.valid_from, self.valid_to, self.revoked_at, now)
    }
}

/// Section 9.2: status first, then the window, then the moment of revocation. A status `expired` counts as
/// expired at the end of the window, or always where none is given.
fn check_window(
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

/// What an owner signs to prove a key: `SHA-256("VES_POP_V1" ‖ key bytes)` (9.3).
pub fn possession_challenge(key: &[u8]) -> Digest {
    Hasher::new(Domain::PossessionV1).bytes(key).finish()
}

/// The same, bound to tenant, agent and key id, so that the proof cannot be replayed elsewhere (section 22).
pub fn possession_challenge_bound(tenant: &TenantId, agent: &AgentId, key_id: KeyId, key: &[u8]) -> Digest {
    Hasher::new(Domain::PossessionV2).uuid(&tenant.0).uuid(&agent.0).u32(key_id.0).bytes(key).finish()
}

/// The proof is a signature over neither challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the proof of possession does not verify under the key")]
pub struct PossessionError;

/// Which challenge a proof answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PossessionForm {
    /// `VES_POP_V2`: names tenant, agent and key id.
    Bound,
    /// `VES_POP_V1`: names the key only.
    Unbound,
}

/// Checks the proof of an Ed25519 key: the bound form, else the published one.
///
/// # Errors
/// [`PossessionError`] when it is neither.
pub fn check_possession(
    key: &PublicKey,
    tenant: &TenantId,
    agent: &AgentId,
    key_id: KeyId,
    proof: &[u8; 64],
) -> Result<PossessionForm, PossessionError> {
    let bound = possession_challenge_bound(tenant, agent, key_id, key.as_bytes());
    if key.verify(bound.as_bytes(), proof) {
        return Ok(PossessionForm::Bound);
    }
    let unbound = possession_challenge(key.as_bytes());
    if key.verify(unbound.as_bytes(), proof) { Ok(PossessionForm::Unbound) } else { Err(PossessionError) }
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
    fn a_proof_of_possession_is_bound_or_at_least_of_this_key() {
        let owner = SigningKey::from_seed([3; 32]);
        let public = PublicKey::from_bytes(&owner.public_key()).unwrap();
        let (tenant, agent) = (TenantId::from_bytes([1; 16]), AgentId::from_bytes([2; 16]));
        let bound = |tenant: &TenantId, agent: &AgentId, id| {
            owner.sign(possession_challenge_bound(tenant, agent, KeyId(id), public.as_bytes()).as_bytes())
        };
        let check = |proof: [u8; 64]| check_possession(&public, &tenant, &agent, KeyId(1), &proof);
        assert_eq!(check(bound(&tenant, &agent, 1)), Ok(PossessionForm::Bound));
        assert_eq!(check(bound(&tenant, &agent, 2)), Err(PossessionError));
        assert_eq!(check(bound(&TenantId::from_bytes([9; 16]), &agent, 1)), Err(PossessionError));
        assert_eq!(check(bound(&tenant, &AgentId::from_bytes([9; 16]), 1)), Err(PossessionError));
        assert_eq!(
            check(owner.sign(possession_challenge(public.as_bytes()).as_bytes())),
            Ok(PossessionForm::Unbound)
        );
        let stranger = SigningKey::from_seed([4; 32]);
        assert_eq!(
            check(stranger.sign(possession_challenge(public.as_bytes()).as_bytes())),
            Err(PossessionError)
        );
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
