//! Ed25519 keys decoded once, and with a table of multiples once they have signed often. The answers are those of the
//! plain rule (decision 6): only their cost differs.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use stateset_ledger_types::keys::{PublicKey, Scheme, Signature, Verifier};
use ves::Digest;
use ves::ed25519::{Check, CheckKey, KeyTable, verify_many};
use ves::keys::{KEY_TABLES_MAX, TABLE_AFTER_USES};

/// Keys held before those are forgotten that have not signed often since it came to that last.
const KEYS_MAX: usize = 4_096;

/// A key that registration would accept, or the knowledge that it would not.
struct Known {
    decoded: Option<ves::PublicKey>,
    uses: AtomicU32,
    table: OnceLock<KeyTable>,
}

#[derive(Default)]
struct Keys {
    known: BTreeMap<PublicKey, Arc<Known>>,
    /// At most [`KEY_TABLES_MAX`].
    tables: usize,
}

impl Keys {
    /// One-time keys come and go; those that sign often stay.
    fn forget(&mut self) {
        self.known.retain(|_, known| known.uses.swap(0, Relaxed) > TABLE_AFTER_USES);
        self.tables = self.known.values().filter(|known| known.table.get().is_some()).count();
        // All of them sign often: then none has a right to stay.
        if self.known.len() >= KEYS_MAX {
            *self = Self::default();
        }
    }
}

/// A [`Verifier`] for many threads at once.
#[derive(Default)]
pub struct HotKeys(RwLock<Keys>);

impl HotKeys {
    fn known(&self, key: &PublicKey) -> Arc<Known> {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).known.get(key) {
            return Arc::clone(known);
        }
        let bytes: Option<&[u8; 32]> = key.as_bytes().first_chunk();
        let decoded = bytes.and_then(|bytes| ves::PublicKey::from_bytes(bytes).ok());
        let known = Arc::new(Known { decoded, uses: AtomicU32::new(0), table: OnceLock::new() });
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if keys.known.len() >= KEYS_MAX {
            keys.forget();
        }
        Arc::clone(keys.known.entry(*key).or_insert(known))
    }

    /// Room for one more table, taken.
    fn takes_table(&self) -> bool {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let has_room = keys.tables < KEY_TABLES_MAX;
        keys.tables += usize::from(has_room);
        has_room
    }
}

impl Verifier for HotKeys {
    fn verify(&self, key: &PublicKey, message: &Digest, signature: &Signature) -> bool {
        if key.scheme() != Scheme::Ed25519 {
            return key.verify(&message.0, signature);
        }
        let known = self.known(key);
        let Some(decoded) = &known.decoded else { return false };
        // Only one thread sees the count at which a table is due.
        let is_due = known.uses.fetch_add(1, Relaxed) == TABLE_AFTER_USES && known.table.get().is_none();
        if is_due && self.takes_table() {
            known.table.get_or_init(|| KeyTable::new(decoded));
        }
        let key = known.table.get().map_or(CheckKey::Plain(decoded), CheckKey::Table);
        verify_many(&[Check { key, message: &message.0, signature: &signature.0 }]) == [true]
    }
}

impl std::fmt::Debug for HotKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        write!(f, "HotKeys({} keys, {} tables)", keys.known.len(), keys.tables)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hot_and_cold_keys_give_the_answers_of_the_plain_rule() {
        let hot = HotKeys::default();
        let signer = ves::SigningKey::from_seed([1; 32]);
        let key = PublicKey::ed25519(signer.public_key());
        // Small order: its "signatures" must never pass.
        let neutral = PublicKey::ed25519(std::array::from_fn(|i| u8::from(i == 0)));
        for n in 0..2 * TABLE_AFTER_USES as u8 {
            let message = Digest([n; 32]);
            let good = Signature(signer.sign(&message.0));
            let mut bad = good;
            bad.0[usize::from(n) % 64] ^= 1 << (n % 8);
            for (key, signature) in [(&key, &good), (&key, &bad), (&neutral, &Signature([0; 64]))] {
                let plain = key.verify(&message.0, signature);
                assert_eq!(hot.verify(key, &message, signature), plain, "{n}");
            }
            assert!(hot.verify(&key, &message, &good));
        }
        assert_eq!(format!("{hot:?}"), "HotKeys(2 keys, 1 tables)");
    }

    #[test]
    fn a_busy_key_keeps_its_table_among_keys_used_once() {
        let hot = HotKeys::default();
        let signer = ves::SigningKey::from_seed([1; 32]);
        let (key, message) = (PublicKey::ed25519(signer.public_key()), Digest([3; 32]));
        let signature = Signature(signer.sign(&message.0));
        for n in 0..3 * KEYS_MAX as u32 {
            let mut bytes = [0xee; 32];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            hot.verify(&PublicKey::ed25519(bytes), &Digest::ZERO, &Signature([0; 64]));
            assert!(n % 50 != 0 || hot.verify(&key, &message, &signature));
        }
        let keys = hot.0.read().unwrap();
        assert!(keys.known[&key].table.get().is_some() && keys.tables == 1, "{} tables", keys.tables);
        drop(keys);
        // Once it is quiet, it goes as others do.
        for n in 0..3 * KEYS_MAX as u32 {
            let mut bytes = [0xdd; 32];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            hot.verify(&PublicKey::ed25519(bytes), &Digest::ZERO, &Signature([0; 64]));
        }
        assert_eq!(hot.0.read().unwrap().tables, 0);
    }

    #[test]
    fn keys_beyond_the_bound_are_forgotten() {
        let hot = HotKeys::default();
        for n in 0..2 * KEYS_MAX as u32 {
            let mut bytes = [0xee; 32];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            hot.verify(&PublicKey::ed25519(bytes), &Digest::ZERO, &Signature([0; 64]));
            assert!(hot.0.read().unwrap().known.len() <= KEYS_MAX);
        }
    }
}
