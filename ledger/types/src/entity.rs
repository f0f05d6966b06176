//! Members: who they are and what they may do (section 1).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ves::Digest;

use crate::codec::{Decode, DecodeError, Encode, List, Problem, Reader, Set, Text, codes, record};
use crate::ids::{Denom, EntityId, KeyId};
use crate::keys::{KeyError, KeyRecord, PublicKey, Purpose};

/// Most keys of an entity, revoked ones included.
pub const KEYS_MAX: usize = 64;

codes! {
    /// Only governance changes it (12).
    pub enum EntityStatus: u8 {
        Admitted = 1,
        Suspended = 2,
        Revoked = 3,
    }

    /// What an entity may do (1.3); a bit each. ISSUER names denominations and stands beside the bits.
    pub enum Role: u8 {
        Member = 0,
        Notary = 1,
        Attester = 2,
        Factor = 3,
        Lender = 4,
        Financer = 5,
        Compliance = 6,
        Arbiter = 7,
        Committer = 8,
        Relayer = 9,
    }
}

/// A set of roles: a u32 with one bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Roles(u32);

impl Roles {
    pub fn of(roles: &[Role]) -> Self {
        Self(roles.iter().fold(0, |bits, role| bits | 1 << role.code()))
    }
    pub const fn has(self, role: Role) -> bool {
        self.0 & (1 << role.code()) != 0
    }
    #[must_use]
    pub const fn with(self, role: Role) -> Self {
        Self(self.0 | 1 << role.code())
    }
    #[must_use]
    pub const fn without(self, role: Role) -> Self {
        Self(self.0 & !(1 << role.code()))
    }
    fn known() -> u32 {
        Self::of(Role::ALL).0
    }
    fn list(self) -> Vec<Role> {
        Role::ALL.iter().copied().filter(|role| self.has(*role)).collect()
    }
}

impl Encode for Roles {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}
impl Decode for Roles {
    const BYTES_MIN: usize = 4;
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.position();
        match u32::decode(reader)? {
            bits if bits & !Self::known() == 0 => Ok(Self(bits)),
            bits => Err(DecodeError { at, problem: Problem::UnknownTag { of: "Roles", tag: bits.into() } }),
        }
    }
}
impl Serialize for Roles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.list().serialize(serializer)
    }
}
impl<'de> Deserialize<'de> for Roles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(|roles: Vec<Role>| Self::of(&roles))
    }
}

record! {
    /// Most that an entity may put into one block; 0 takes the network's default.
    #[derive(Copy, Default)]
    pub struct Quota {
        pub tx_per_block: u64,
        pub bytes_per_block: u64,
        pub gas_per_block: u64,
    }

    /// Written by an entity with the role COMPLIANCE.
    #[derive(Copy)]
    pub struct Compliance {
        pub kyc_level: u8,
        pub risk: u8,
        pub sanctioned: bool,
        /// Unix milliseconds.
        pub expires_at: u64,
    }

    /// A member's record: `entities/<entity_id>` (1.1).
    pub struct Entity {
        pub entity_id: EntityId,
        pub name: Text<256>,
        /// ISO 3166 code.
        pub jurisdiction: Text<16>,
        pub registration_no: Text<64>,
        pub lei: Option<Text<20>>,
        /// SHA-256 of the DER leaf certificate.
        pub cert_hash: Digest,
        pub keys: List<KeyRecord, KEYS_MAX>,
        pub roles: Roles,
        /// Denominations that it may mint and burn: the role ISSUER.
        pub issuer_of: Set<Denom, 64>,
        pub status: EntityStatus,
        /// Unix milliseconds: when a suspension lapses, if it does.
        pub suspended_until: Option<u64>,
        pub voting_power: u32,
        pub quota: Quota,
        pub compliance: Compliance,
    }
}

/// Why a record may not stand in the state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntityError {
    #[error("the name is empty")]
    Name,
    #[error("the LEI is not 20 characters whose check digits are right (ISO 17442)")]
    Lei,
    #[error("key {0} stands twice")]
    KeyTwice(KeyId),
    #[error("key {0}: {1}")]
    Key(KeyId, KeyError),
    #[error("a NOTARY needs a key with purpose VALIDATOR_CONSENSUS")]
    NotaryKey,
}

impl Entity {
    /// Whether it may act at `time_ms`: admitted, or its suspension has lapsed.
    pub fn is_active(&self, time_ms: u64) -> bool {
        match self.status {
            EntityStatus::Admitted => true,
            EntityStatus::Suspended => self.suspended_until.is_some_and(|until| until <= time_ms),
            EntityStatus::Revoked => false,
        }
    }

    /// The record of a key.
    pub fn key(&self, key: &PublicKey) -> Option<&KeyRecord> {
        self.keys.iter().find(|record| record.key == *key)
    }

    /// A key of this entity that is one of `other`, too.
    pub fn shares_key_with(&self, other: &Self) -> Option<&PublicKey> {
        self.keys.iter().map(|record| &record.key).find(|key| other.key(key).is_some())
    }

    /// Whether `key` is one of its keys with `purpose` and may sign at `time_ms`.
    pub fn signs_with(&self, key: &PublicKey, purpose: Purpose, time_ms: u64) -> bool {
        self.keys
            .iter()
            .any(|record| record.key == *key && record.purpose == purpose && record.is_live(time_ms))
    }

    /// Whether value may move to or from it at `time_ms` (10.2).
    pub fn is_compliant(&self, time_ms: u64) -> bool {
        !self.compliance.sanctioned && time_ms < self.compliance.expires_at
    }

    /// The rules of the record itself.
    ///
    /// # Errors
    /// [`EntityError`].
    pub fn check(&self) -> Result<(), EntityError> {
        if self.name.is_empty() {
            return Err(EntityError::Name);
        }
        if self.lei.as_ref().is_some_and(|lei| !is_lei(lei)) {
            return Err(EntityError::Lei);
        }
        for (i, record) in self.keys.iter().enumerate() {
            record.check().map_err(|error| EntityError::Key(record.key_id, error))?;
            if self.keys[..i].iter().any(|other| other.key == record.key) {
                return Err(EntityError::KeyTwice(record.key_id));
            }
        }
        let validates = self.keys.iter().any(|record| record.purpose == Purpose::ValidatorConsensus);
        if self.roles.has(Role::Notary) && !validates {
            return Err(EntityError::NotaryKey);
        }
        Ok(())
    }
}

/// ISO 17442: 18 letters or digits and two check digits; the number of all, letters as 10 to 35, is 1 modulo 97.
fn is_lei(text: &str) -> bool {
    if text.len() != 20 || !text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()) {
        return false;
    }
    let remainder = text.bytes().fold(0u32, |sum, b| match b {
        b'0'..=b'9' => (sum * 10 + u32::from(b - b'0')) % 97,
        _ => (sum * 100 + u32::from(b - b'A') + 10) % 97,
    });
    remainder == 1 && text[18..].bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_of_an_lei_are_verified() {
        // The LEIs of two public registries of such numbers.
        assert!(is_lei("506700GE1G29325QX363"));
        assert!(is_lei("5493001KJTIIGC8Y1R12"));
        assert!(!is_lei("506700GE1G29325QX364"));
        assert!(!is_lei("506700ge1g29325qx363"));
        assert!(!is_lei("506700GE1G29325QX36"));
    }

    #[test]
    fn unknown_roles_are_refused() {
        assert_eq!(Roles::from_sce(&Roles::of(Role::ALL).to_sce()), Ok(Roles::of(Role::ALL)));
        assert!(Roles::from_sce(&(1u32 << 10).to_sce()).is_err());
    }
}
