//! Keys: one ring for everybody, and rings of single tenants above it; the newest key of a ring seals, all of them open.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use ves::TenantId;
use ves::at_rest::Keyring;
use ves::hash::Hasher;
use zeroize::Zeroizing;

/// The 32 bytes of a key; wiped when dropped.
pub type Key = Zeroizing<[u8; 32]>;

/// What is done with payloads (sequencer API, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Nothing is sealed any more. Keys that are given still open what was.
    #[default]
    Disabled,
    /// What is written is sealed where there is a key for it; what lies in clear is read.
    Optional,
    /// Everything is sealed, and what lies in clear is refused.
    Required,
}

impl Mode {
    /// As in the configuration.
    pub fn text(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }
}

/// Which key it is, without telling anything of the key: eight bytes of a hash over it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyName(pub [u8; 8]);

impl KeyName {
    /// The name of a key.
    pub fn of(key: &[u8; 32]) -> Self {
        let digest = Hasher::bare().bytes(b"STATESET_AT_REST_KEY_NAME_V1").bytes(key).finish();
        Self(digest.0[..8].try_into().expect("a digest has 32 bytes"))
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&ves::hex::encode(&self.0))
    }
}
impl fmt::Debug for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyName({self})")
    }
}
impl std::str::FromStr for KeyName {
    type Err = ves::hex::HexError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        ves::hex::decode_lenient(text).map(Self)
    }
}

/// Seals under one key from which on it has to be replaced. Nonces are random, 96 bits: after 2^32 seals two of them are
/// equal with a probability of 2^-33 (NIST SP 800-38D, section 8.3).
pub const SEALS_MAX: u64 = 1 << 32;

/// The keys of one tenant, or of all that have none of their own.
pub(crate) struct Ring {
    pub keys: Keyring,
    /// In the order of the keys.
    pub names: Vec<KeyName>,
    /// With the newest key, over all processes, as far as they were counted.
    pub seals: AtomicU64,
}

impl Ring {
    fn new(keys: &[Key]) -> Option<Self> {
        let (newest, older) = keys.split_first()?;
        let older: Zeroizing<Vec<[u8; 32]>> = Zeroizing::new(older.iter().map(|key| **key).collect());
        let names = keys.iter().map(|key| KeyName::of(key)).collect();
        Some(Self { keys: Keyring::new(**newest, &older), names, seals: AtomicU64::new(0) })
    }

    pub fn newest(&self) -> KeyName {
        self.names[0]
    }

    /// So many seals were made with the newest key.
    pub fn count(&self, seals: u64) {
        let before = self.seals.fetch_add(seals, Ordering::Relaxed);
        // Once on the way up, half-way to the bound, is early enough for any rotation.
        if before < SEALS_MAX / 2 && before + seals >= SEALS_MAX / 2 {
            tracing::warn!(
                key = %self.newest(),
                "this key has sealed 2^31 times; put a new one before it in PAYLOAD_ENCRYPTION_KEYS before it has sealed 2^32 times"
            );
        }
    }
}

/// Why keys are refused. Names the variable and the cure, never a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    #[error(
        "PAYLOAD_ENCRYPTION_MODE=required needs a key for every tenant: set PAYLOAD_ENCRYPTION_KEY, or PAYLOAD_ENCRYPTION_KEYS"
    )]
    NoKey,
    #[error("{variable}: the same key stands in it twice; leave one out")]
    Twice { variable: String },
    #[error("{variable}: a list of keys is empty; leave it out, or write one key at least")]
    Empty { variable: String },
}

/// Every key, and what is done with them. Never shown.
pub struct Keys {
    mode: Mode,
    common: Option<Ring>,
    tenants: BTreeMap<TenantId, Ring>,
    /// Keys that the operator says are gone for good.
    lost: BTreeSet<KeyName>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let common = self.common.as_ref().map_or(0, |ring| ring.names.len());
        write!(f, "Keys({}, {common} keys, {} tenants with their own)", self.mode.text(), self.tenants.len())
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self { mode: Mode::Disabled, common: None, tenants: BTreeMap::new(), lost: BTreeSet::new() }
    }
}

impl Keys {
    /// - `common`: the newest first; of every tenant that is not in `by_tenant`.
    /// - `by_tenant`: the newest first; the common ones stand behind them and open what was sealed before.
    /// - `lost`: names of keys that are gone: what they sealed is given up.
    ///
    /// # Errors
    /// [`KeysError`].
    pub fn new(
        mode: Mode,
        common: &[Key],
        by_tenant: &BTreeMap<TenantId, Vec<Key>>,
        lost: BTreeSet<KeyName>,
    ) -> Result<Self, KeysError> {
        if mode == Mode::Required && common.is_empty() {
            return Err(KeysError::NoKey);
        }
        once("PAYLOAD_ENCRYPTION_KEYS".to_owned(), common)?;
        let mut tenants = BTreeMap::new();
        for (tenant, own) in by_tenant {
            let variable = format!("PAYLOAD_ENCRYPTION_KEYS_BY_TENANT, tenant {tenant}");
            if own.is_empty() {
                return Err(KeysError::Empty { variable });
            }
            once(variable, own)?;
            let mut all = own.clone();
            all.extend(common.iter().filter(|key| !own.contains(key)).cloned());
            tenants.extend(Ring::new(&all).map(|ring| (*tenant, ring)));
        }
        Ok(Self { mode, common: Ring::new(common), tenants, lost })
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The ring that opens what belongs to a tenant.
    pub(crate) fn ring(&self, tenant: &TenantId) -> Option<&Ring> {
        self.tenants.get(tenant).or(self.common.as_ref())
    }

    /// The ring that seals it; `None` where it is written in clear.
    pub(crate) fn sealing(&self, tenant: &TenantId) -> Option<&Ring> {
        self.ring(tenant).filter(|_| self.mode != Mode::Disabled)
    }

    /// Whether nothing is written in clear.
    pub(crate) fn seal_everything(&self) -> bool {
        self.mode != Mode::Disabled && self.common.is_some()
    }

    pub(crate) fn has_keys(&self) -> bool {
        self.common.is_some() || !self.tenants.is_empty()
    }

    /// Every ring, with the tenant it is of.
    pub(crate) fn rings(&self) -> impl Iterator<Item = (Option<TenantId>, &Ring)> {
        let common = self.common.iter().map(|ring| (None, ring));
        common.chain(self.tenants.iter().map(|(tenant, ring)| (Some(*tenant), ring)))
    }

    /// Whether a key of that name is in any ring.
    pub(crate) fn find(&self, name: KeyName) -> Option<&Ring> {
        self.rings().map(|(_, ring)| ring).find(|ring| ring.names.contains(&name))
    }

    pub(crate) fn is_lost(&self, name: KeyName) -> bool {
        self.lost.contains(&name)
    }

    /// Every key of every ring, in an order of its own.
    pub(crate) fn given(&self) -> BTreeSet<String> {
        let of_ring = |(tenant, ring): (Option<TenantId>, &Ring)| {
            let whose = tenant.map_or_else(String::new, |tenant| format!("{tenant}="));
            ring.names.iter().map(move |name| format!("{whose}{name}")).collect::<Vec<_>>()
        };
        self.rings().flat_map(of_ring).collect()
    }

    /// Which keys what is written from now on is sealed with: another text asks for another rotation.
    pub(crate) fn target(&self) -> String {
        if self.mode == Mode::Disabled {
            return "clear".to_owned();
        }
        let name = |(tenant, ring): (Option<TenantId>, &Ring)| match tenant {
            None => ring.newest().to_string(),
            Some(tenant) => format!("{tenant}={}", ring.newest()),
        };
        self.rings().map(name).collect::<Vec<_>>().join(" ")
    }
}

fn once(variable: String, keys: &[Key]) -> Result<(), KeysError> {
    let names: BTreeSet<KeyName> = keys.iter().map(|key| KeyName::of(key)).collect();
    if names.len() == keys.len() { Ok(()) } else { Err(KeysError::Twice { variable }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> Key {
        Zeroizing::new([n; 32])
    }

    fn tenant(n: u8) -> TenantId {
        TenantId::from_bytes([n; 16])
    }

    #[test]
    fn a_tenant_with_own_keys_seals_with_them_and_still_opens_with_the_common_ones() {
        let own = BTreeMap::from([(tenant(1), vec![key(3), key(2)])]);
        let keys = Keys::new(Mode::Optional, &[key(1)], &own, BTreeSet::new()).unwrap();
        let names = |n: u8| keys.ring(&tenant(n)).unwrap().names.clone();
        assert_eq!(names(1), [3, 2, 1].map(|n| KeyName::of(&[n; 32])));
        assert_eq!(names(2), [KeyName::of(&[1; 32])]);
        assert!(keys.seal_everything() && keys.find(KeyName::of(&[2; 32])).is_some());
    }

    #[test]
    fn keys_that_can_not_do_what_the_mode_promises_are_refused() {
        let none = BTreeMap::new();
        let lost = BTreeSet::new;
        assert_eq!(Keys::new(Mode::Required, &[], &none, lost()).unwrap_err(), KeysError::NoKey);
        let twice = Keys::new(Mode::Optional, &[key(1), key(1)], &none, lost()).unwrap_err();
        assert!(twice.to_string().contains("PAYLOAD_ENCRYPTION_KEYS"), "{twice}");
        let empty = BTreeMap::from([(tenant(1), Vec::new())]);
        let empty = Keys::new(Mode::Optional, &[key(1)], &empty, lost()).unwrap_err();
        assert!(empty.to_string().contains(&tenant(1).to_string()), "{empty}");
    }

    #[test]
    fn nothing_that_is_shown_tells_a_key() {
        let keys = Keys::new(Mode::Optional, &[key(0xab)], &BTreeMap::new(), BTreeSet::new()).unwrap();
        let shown = format!("{keys:?} {} {:?}", keys.target(), KeyName::of(&[0xab; 32]));
        assert!(!shown.contains("abab") && !shown.contains("171, 171"), "{shown}");
        assert_eq!(keys.target(), KeyName::of(&[0xab; 32]).to_string());
        let read: KeyName = keys.target().parse().unwrap();
        assert_eq!(read, KeyName::of(&[0xab; 32]));
    }
}
