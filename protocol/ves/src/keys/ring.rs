//! The registered signing keys in memory, for many verifying threads at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{AgentKey, KeyAlgorithm};
use crate::ed25519::{self, Check, CheckKey, KeyTable, PublicKey};
use crate::ids::{AgentId, KeyId, TenantId};
use crate::time::TimestampMs;

/// A key gets its table once it has signed this many events: the checks whose savings pay for building it.
pub const TABLE_AFTER_USES: u32 = 32;
/// Most tables held at once: 56 MiB of [`KeyTable::BYTES`].
pub const KEY_TABLES_MAX: usize = 256;
/// Uses of all keys after which every count is halved, so that old use fades.
const FADE_AFTER_USES: u64 = 1 << 18;

/// A registered key, decoded when first used, with its table while it is hot.
pub struct RingKey {
    key: AgentKey,
    /// `None` inside when the key cannot verify Ed25519 signatures.
    decoded: OnceLock<Option<PublicKey>>,
    uses: AtomicU32,
    table: RwLock<Option<Arc<KeyTable>>>,
}

impl RingKey {
    fn new(key: AgentKey) -> Self {
        Self { key, decoded: OnceLock::new(), uses: AtomicU32::new(0), table: RwLock::new(None) }
    }

    /// The registry's record.
    pub fn key(&self) -> &AgentKey {
        &self.key
    }

    /// The decoded Ed25519 key, or half; `None` where there is none, and for bytes that registration would have refused.
    pub fn public_key(&self) -> Option<&PublicKey> {
        self.decoded
            .get_or_init(|| match self.key.algorithm {
                KeyAlgorithm::Ed25519 | KeyAlgorithm::Ed25519MlDsa65 => {
                    PublicKey::from_bytes(&self.key.public_key).ok()
                }
                _ => None,
            })
            .as_ref()
    }

    /// The table, if the key has one now.
    pub fn table(&self) -> Option<Arc<KeyTable>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_table(&self, table: Option<Arc<KeyTable>>) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = table;
    }
}

type Address = (TenantId, AgentId, KeyId);
type Keys = BTreeMap<Address, Arc<RingKey>>;

/// All signing keys. Readers share a lock that writers hold for one insertion.
#[derive(Default)]
pub struct KeyRing {
    keys: RwLock<Keys>,
    /// Keys that have a table; at most [`KEY_TABLES_MAX`].
    hot: Mutex<Vec<Arc<RingKey>>>,
    uses: AtomicU64,
}

impl KeyRing {
    pub fn new(keys: impl IntoIterator<Item = AgentKey>) -> Self {
        let keys = keys.into_iter().map(|key| (address(&key), Arc::new(RingKey::new(key)))).collect();
        Self { keys: RwLock::new(keys), ..Self::default() }
    }

    /// Tenants that have a key, in order.
    pub fn tenants(&self) -> Vec<TenantId> {
        let mut tenants: Vec<TenantId> = self.read().keys().map(|(tenant, ..)| *tenant).collect();
        tenants.dedup();
        tenants
    }

    /// Adds a key, or replaces the record at its address; a replaced key starts without a table.
    pub fn insert(&self, key: AgentKey) {
        let replaced = self.write().insert(address(&key), Arc::new(RingKey::new(key)));
        if let Some(replaced) = replaced {
            self.hot().retain(|hot| !Arc::ptr_eq(hot, &replaced));
        }
    }

    /// Revokes a key at `now` (9.2) for every later batch; `None` when there is no such key.
    pub fn revoke(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
        key_id: KeyId,
        now: TimestampMs,
    ) -> Option<AgentKey> {
        let revoked = self.get(tenant, agent, key_id)?.key.clone().revoked(now);
        self.insert(revoked.clone());
        Some(revoked)
    }

    pub fn get(&self, tenant: &TenantId, agent: &AgentId, key_id: KeyId) -> Option<Arc<RingKey>> {
        self.read().get(&(*tenant, *agent, key_id)).cloned()
    }

    /// The keys of one tenant, or of one agent of it, by agent and key id.
    pub fn keys(&self, tenant: &TenantId, agent: Option<&AgentId>) -> Vec<AgentKey> {
        let (first, last) = match agent {
            Some(agent) => (*agent, *agent),
            None => (AgentId::from_bytes([0; 16]), AgentId::from_bytes([0xff; 16])),
        };
        let range = (*tenant, first, KeyId(0))..=(*tenant, last, KeyId(u32::MAX));
        self.read().range(range).map(|(_, key)| key.key.clone()).collect()
    }

    /// The agents of a tenant that have keys, in order.
    pub fn agents(&self, tenant: &TenantId) -> Vec<AgentId> {
        let mut agents: Vec<AgentId> = self.keys(tenant, None).into_iter().map(|key| key.agent_id).collect();
        agents.dedup();
        agents
    }

    pub fn len(&self) -> usize {
        self.read().len()
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Number of keys that have a table now.
    pub fn tables(&self) -> usize {
        self.hot().len()
    }

    /// Whether `key`, one of this ring, signed `message`; `false` too where it is no Ed25519 key. Says nothing of whether
    /// the key may sign now.
    pub fn verify(&self, key: &Arc<RingKey>, message: &[u8], signature: &[u8; 64]) -> bool {
        let table = self.table_for(key, 1);
        let by = match &table {
            Some(table) => Some(CheckKey::Table(table)),
            None => key.public_key().map(CheckKey::Plain),
        };
        by.is_some_and(|key| ed25519::verify_many(&[Check { key, message, signature }]) == [true])
    }

    /// Counts `uses` of `key` and returns its table, building it when the key has become hot.
    pub(crate) fn table_for(&self, key: &Arc<RingKey>, uses: u32) -> Option<Arc<KeyTable>> {
        let count = key.uses.fetch_add(uses, Relaxed).saturating_add(uses);
        let total = self.uses.fetch_add(uses.into(), Relaxed);
        if total / FADE_AFTER_USES != (total + u64::from(uses)) / FADE_AFTER_USES {
            self.fade();
        }
        if let Some(table) = key.table() {
            return Some(table);
        }
        if count < TABLE_AFTER_USES { None } else { self.heat(key, count) }
    }

    /// Gives `key` a table if there is room, or if it is used more than twice as much as the coldest one that
    /// has a table: keys used alike must not drive each other out, which would cost more than tables save.
    fn heat(&self, key: &Arc<RingKey>, count: u32) -> Option<Arc<KeyTable>> {
        {
            let mut hot = self.hot();
            if hot.iter().any(|known| Arc::ptr_eq(known, key)) {
                return key.table();
            }
            if hot.len() >= KEY_TABLES_MAX {
                let coldest = (0..hot.len()).min_by_key(|i| hot[*i].uses.load(Relaxed))?;
                if hot[coldest].uses.load(Relaxed) >= count / 2 {
                    return None;
                }
                hot.swap_remove(coldest).set_table(None);
            }
            hot.push(Arc::clone(key));
        }
        // Built outside the lock; meanwhile other threads check this key plainly.
        let table = Arc::new(KeyTable::new(key.public_key()?));
        // Its place may have gone to a hotter key, or the key may have been replaced.
        let hot = self.hot();
        if hot.iter().any(|known| Arc::ptr_eq(known, key)) {
            key.set_table(Some(Arc::clone(&table)));
        }
        Some(table)
    }

    fn fade(&self) {
        let keys = self.read();
        for key in keys.values() {
            key.uses.store(key.uses.load(Relaxed) / 2, Relaxed);
        }
        // A key replaced while its table was being built would keep its place for ever.
        let is_current =
            |hot: &Arc<RingKey>| keys.get(&address(&hot.key)).is_some_and(|key| Arc::ptr_eq(key, hot));
        self.hot().retain(is_current);
    }

    fn read(&self) -> RwLockReadGuard<'_, Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn write(&self) -> RwLockWriteGuard<'_, Keys> {
        self.keys.write().unwrap_or_else(PoisonError::into_inner)
    }
    fn hot(&self) -> MutexGuard<'_, Vec<Arc<RingKey>>> {
        self.hot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn address(key: &AgentKey) -> Address {
    (key.tenant_id, key.agent_id, key.key_id)
}
