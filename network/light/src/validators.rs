//! Sets of validators: one form of each, so that equal sets are equal bytes.

use tendermint::validator::{Info, Set};
use tendermint::{PublicKey, vote};
use ves::Digest;

/// The hash that headers hold of a set.
pub fn validators_hash(set: &Set) -> Digest {
    digest(&set.hash())
}

/// Hashes of a set or a header are always there.
pub(crate) fn digest(hash: &tendermint::Hash) -> Digest {
    match hash {
        tendermint::Hash::Sha256(bytes) => Digest(*bytes),
        tendermint::Hash::None => Digest([0; 32]),
    }
}

pub(crate) fn validator(public_key: &[u8], power: u64) -> Result<Info, String> {
    let key =
        PublicKey::from_raw_ed25519(public_key).ok_or("a validator's key is an Ed25519 key of 32 bytes")?;
    let power = vote::Power::try_from(power).map_err(|problem| problem.to_string())?;
    Ok(Info::new(key, power))
}

/// The set in the order of its hash, without what says who proposes next.
pub(crate) fn set(validators: Vec<Info>) -> Result<Set, String> {
    let powers = validators.iter().try_fold(0u64, |sum, one| sum.checked_add(one.power()));
    if validators.is_empty() || powers.is_none_or(|sum| sum > Set::MAX_TOTAL_VOTING_POWER) {
        return Err("there is no validator, or their power is too much".to_owned());
    }
    let plain = |one: Info| Info { name: None, proposer_priority: Default::default(), ..one };
    Ok(Set::without_proposer(validators.into_iter().map(plain).collect()))
}

/// Raw key and power of each.
pub(crate) fn listed(set: &Set) -> impl Iterator<Item = (Vec<u8>, u64)> + '_ {
    set.validators().iter().map(|one| (one.pub_key.to_bytes(), one.power()))
}
