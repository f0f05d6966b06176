//! Spend policies and nullifiers (section 3.3).

use serde::{Deserialize, Serialize};
use ves::Digest;

use crate::codec::{Decode, DecodeError, Encode, List, Problem, Reader, Set, fixed_bytes, record};
use crate::hash::{Domain, hash, length};
use crate::ids::{ChainId, Nullifier, PolicyHash, SpentKey, StateRef, TxId};
use crate::keys::{PublicKey, Signature, Verifier};
use crate::tree::Nonce;

/// Most keys of a policy.
pub const POLICY_KEYS_MAX: usize = 16;

/// Who may consume a state: at least `threshold` of `keys` sign, `1 <= threshold <= n <= 16`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PolicyText")]
pub struct Policy {
    threshold: u8,
    keys: Set<PublicKey, POLICY_KEYS_MAX>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyText {
    threshold: u8,
    keys: Vec<PublicKey>,
}

impl TryFrom<PolicyText> for Policy {
    type Error = PolicyError;
    fn try_from(text: PolicyText) -> Result<Self, PolicyError> {
        Self::new(text.threshold, text.keys)
    }
}

/// Why a policy is not well formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    #[error("a policy has 1 to 16 distinct keys")]
    Keys,
    #[error("a policy's threshold is between 1 and its number of keys")]
    Threshold,
    #[error("a policy's keys sign with Ed25519 or P-256")]
    Scheme,
}

impl Policy {
    /// Sorts the keys.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn new(threshold: u8, keys: impl IntoIterator<Item = PublicKey>) -> Result<Self, PolicyError> {
        Self::of(threshold, Set::new(keys).map_err(|_| PolicyError::Keys)?)
    }

    fn of(threshold: u8, keys: Set<PublicKey, POLICY_KEYS_MAX>) -> Result<Self, PolicyError> {
        if keys.is_empty() {
            return Err(PolicyError::Keys);
        }
        if !(1..=keys.len()).contains(&usize::from(threshold)) {
            return Err(PolicyError::Threshold);
        }
        if keys.iter().any(|key| !key.scheme().signs_transactions()) {
            return Err(PolicyError::Scheme);
        }
        Ok(Self { threshold, keys })
    }

    pub fn threshold(&self) -> u8 {
        self.threshold
    }
    /// By ascending encoding.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// `policy_hash`.
    pub fn hash(&self) -> PolicyHash {
        PolicyHash(hash(Domain::Policy, &[&self.to_sce()]).0)
    }
}

impl Encode for Policy {
    fn encode(&self, out: &mut Vec<u8>) {
        self.threshold.encode(out);
        self.keys.encode(out);
    }
}
impl Decode for Policy {
    const BYTES_MIN: usize = 5;
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.position();
        let (threshold, keys) = (u8::decode(reader)?, Set::decode(reader)?);
        let said = |error| match error {
            PolicyError::Keys => "a policy has 1 to 16 distinct keys",
            PolicyError::Threshold => "a policy's threshold is between 1 and its number of keys",
            PolicyError::Scheme => "a policy's keys sign with Ed25519 or P-256",
        };
        Self::of(threshold, keys).map_err(|error| DecodeError { at, problem: Problem::Invalid(said(error)) })
    }
}

fixed_bytes! {
    /// What a nullifier commits to besides the policy; whoever knows it can name the state as consumed or referenced.
    Blind[32],
}

/// `seed` of an output whose leaf has this nonce.
pub fn seed(output_nonce: &Nonce) -> Digest {
    hash(Domain::NullifierSeed, &[&output_nonce.0])
}

/// `blind` of an output.
pub fn blind(output: &StateRef, output_nonce: &Nonce) -> Blind {
    let seed = seed(output_nonce);
    Blind(hash(Domain::NullifierBlind, &[&output.tx_id.0, &output.index.to_be_bytes(), &seed.0]).0)
}

/// `nullifier`.
pub fn nullifier(blind: &Blind, policy: &PolicyHash) -> Nullifier {
    Nullifier(hash(Domain::Nullifier, &[&blind.0, &policy.0]).0)
}

impl Nullifier {
    /// `spent_key`.
    pub fn spent_key(&self) -> SpentKey {
        SpentKey(hash(Domain::Spent, &[&self.0]).0)
    }
}

/// `spend_msg` of the transaction that consumes.
pub fn spend_message(chain_id: &ChainId, consumer: &TxId) -> Digest {
    let chain = chain_id.as_str().as_bytes();
    hash(Domain::Spend, &[&length(chain), chain, &consumer.0])
}

record! {
    /// Shows that a nullifier may be published: what it commits to, and signatures over `spend_msg`.
    pub struct Opening {
        pub blind: Blind,
        pub policy: Policy,
        /// One place for each key of the policy, in its order.
        pub signatures: List<Option<Signature>, POLICY_KEYS_MAX>,
    }
}

/// Why an opening does not open its nullifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpeningError {
    #[error("blind and policy are not what the nullifier commits to")]
    OtherNullifier,
    #[error("there is one place for a signature for each key of the policy")]
    Places,
    #[error("{given} of {threshold} signatures are given")]
    TooFew { given: usize, threshold: u8 },
    #[error("the signature of key {place} of the policy is wrong")]
    Signature { place: usize },
}

impl Opening {
    /// Whether this opens `nullifier` for the transaction whose `spend_msg` is `message`.
    ///
    /// # Errors
    /// [`OpeningError`]; a wrong signature is one even where the others would suffice.
    pub fn check(
        &self,
        nullifier: &Nullifier,
        message: &Digest,
        verifier: &dyn Verifier,
    ) -> Result<(), OpeningError> {
        if self::nullifier(&self.blind, &self.policy.hash()) != *nullifier {
            return Err(OpeningError::OtherNullifier);
        }
        if self.signatures.len() != self.policy.keys.len() {
            return Err(OpeningError::Places);
        }
        let given = self.signatures.iter().flatten().count();
        let threshold = self.policy.threshold;
        if given < usize::from(threshold) {
            return Err(OpeningError::TooFew { given, threshold });
        }
        let pairs = self.policy.keys.iter().zip(self.signatures.iter()).enumerate();
        for (place, (key, signature)) in pairs {
            if signature.is_some_and(|signature| !verifier.verify(key, message, &signature)) {
                return Err(OpeningError::Signature { place });
            }
        }
        Ok(())
    }
}
