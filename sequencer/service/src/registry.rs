//! Keys of agents and of callers: written through the log, read from memory.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use stateset_event_log::{ApiKeyRecord, KeyChange};
use ves::ed25519::PublicKey;
use ves::keys::{AgentKey, EncryptionKey, KeyStatus};
use ves::{AgentId, Digest, KeyId, RecipientKeyId, TenantId};

use crate::audit::{Act, Action, Work};
use crate::error::{RegisterError, ServiceError};
use crate::sequencer::{Sequencer, uncancelled};

/// What is known besides signing keys, which live in the key ring. Each map mirrors a table of the log.
#[derive(Default)]
pub(crate) struct Registry {
    encryption: RwLock<BTreeMap<(TenantId, RecipientKeyId), EncryptionKey>>,
    api: RwLock<BTreeMap<Digest, ApiKeyRecord>>,
    /// Changes of keys and groups are rare: one at a time, so that a check and its write are one step.
    pub(crate) writing: tokio::sync::Mutex<()>,
}

impl Registry {
    pub fn new(encryption: Vec<EncryptionKey>, api: Vec<ApiKeyRecord>) -> Self {
        Self {
            encryption: RwLock::new(
                encryption.into_iter().map(|key| ((key.tenant_id, key.kid), key)).collect(),
            ),
            api: RwLock::new(api.into_iter().map(|key| (key.key_hash, key)).collect()),
            writing: tokio::sync::Mutex::default(),
        }
    }

    /// By the writer, once the key is stored.
    pub fn insert_encryption_key(&self, key: EncryptionKey) {
        let mut keys = self.encryption.write().unwrap_or_else(PoisonError::into_inner);
        keys.insert((key.tenant_id, key.kid), key);
    }

    /// By the writer, once the key is stored.
    pub fn insert_api_key(&self, key: ApiKeyRecord) {
        self.api.write().unwrap_or_else(PoisonError::into_inner).insert(key.key_hash, key);
    }
}

impl Sequencer {
    /// Registers a signing key. The caller has checked the proof of possession.
    ///
    /// # Errors
    /// [`RegisterError::Reserved`] for the sequencer's own agent: only the sequencer speaks for it.
    pub async fn register_agent_key(&self, key: AgentKey) -> Result<(), RegisterError> {
        if key.agent_id == self.own_agent() {
            return Err(RegisterError::Reserved(key.agent_id));
        }
        self.register_own_agent_key(key).await
    }

    /// As [`Self::register_agent_key`], for any agent.
    pub(crate) async fn register_own_agent_key(&self, key: AgentKey) -> Result<(), RegisterError> {
        check_window(key.valid_from, key.valid_to)?;
        if let Some(public_key) = key.ed25519() {
            PublicKey::from_bytes(public_key).map_err(|error| RegisterError::PublicKey(error.to_string()))?;
        }
        let service = self.clone();
        uncancelled(async move {
            let _one_at_a_time = service.shared().registry.writing.lock().await;
            let held = service.agent_keys(&key.tenant_id, Some(&key.agent_id));
            if held.iter().any(|held| held.key_id == key.key_id) {
                return Err(RegisterError::AlreadyExists);
            }
            // The next key of an agent takes the place of the one before.
            let action = if held.is_empty() { Action::AgentKeyRegistered } else { Action::AgentKeyRotated };
            let act = Act::of_agent_key(action, &key);
            Ok(service.act(act, Work::Key(KeyChange::Agent(key))).await.map(drop)?)
        })
        .await
    }

    /// Revokes a signing key from now on; events already sequenced stay.
    pub async fn revoke_agent_key(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
        key_id: KeyId,
    ) -> Result<AgentKey, RegisterError> {
        let (service, tenant, agent) = (self.clone(), *tenant, *agent);
        uncancelled(async move {
            let _one_at_a_time = service.shared().registry.writing.lock().await;
            let held = service.keys().get(&tenant, &agent, key_id).ok_or(RegisterError::NotFound)?;
            let mut key = held.key().clone();
            if key.status != KeyStatus::Revoked {
                key = key.revoked(service.now());
                let act = Act::of_agent_key(Action::AgentKeyRevoked, &key);
                service.act(act, Work::Key(KeyChange::Agent(key.clone()))).await?;
            }
            Ok(key)
        })
        .await
    }

    /// Signing keys of a tenant, or of one of its agents, by agent and key id.
    pub fn agent_keys(&self, tenant: &TenantId, agent: Option<&AgentId>) -> Vec<AgentKey> {
        self.keys().keys(tenant, agent)
    }

    /// Registers an encryption key; its `recipient_kid` is unique in the tenant (section 9.4).
    pub async fn register_encryption_key(&self, key: EncryptionKey) -> Result<(), RegisterError> {
        check_window(key.valid_from, key.valid_to)?;
        let service = self.clone();
        uncancelled(async move {
            let _one_at_a_time = service.shared().registry.writing.lock().await;
            let held = service.read_encryption(|keys| keys.get(&(key.tenant_id, key.kid)).cloned());
            match held {
                Some(held) if held.agent_id == key.agent_id => Err(RegisterError::AlreadyExists),
                Some(_) => Err(RegisterError::KidTaken(key.kid)),
                None => {
                    let act = Act::of_encryption_key(Action::AgentKeyRegistered, &key);
                    Ok(service.act(act, Work::Key(KeyChange::Encryption(key))).await.map(drop)?)
                }
            }
        })
        .await
    }

    /// Revokes an encryption key of an agent from now on: nothing more is sealed to it.
    pub async fn revoke_encryption_key(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
        kid: RecipientKeyId,
    ) -> Result<EncryptionKey, RegisterError> {
        let (service, tenant, agent) = (self.clone(), *tenant, *agent);
        uncancelled(async move {
            let _one_at_a_time = service.shared().registry.writing.lock().await;
            let held = service.read_encryption(|keys| keys.get(&(tenant, kid)).cloned());
            let mut key = held.filter(|key| key.agent_id == agent).ok_or(RegisterError::NotFound)?;
            if key.status != KeyStatus::Revoked {
                key = key.revoked(service.now());
                let act = Act::of_encryption_key(Action::AgentKeyRevoked, &key);
                service.act(act, Work::Key(KeyChange::Encryption(key.clone()))).await?;
            }
            Ok(key)
        })
        .await
    }

    /// Encryption keys of a tenant by `recipient_kid`.
    pub fn encryption_keys(&self, tenant: &TenantId) -> Vec<EncryptionKey> {
        let range = (*tenant, RecipientKeyId(0))..=(*tenant, RecipientKeyId(u32::MAX));
        self.read_encryption(|keys| keys.range(range).map(|(_, key)| key.clone()).collect())
    }

    /// Inserts or replaces an API key, by the hash of its text.
    pub async fn put_api_key(&self, key: ApiKeyRecord) -> Result<(), ServiceError> {
        let act = Act::of_api_key(self.api_key(&key.key_hash).as_ref(), &key);
        self.put_api_key_as(act, key).await
    }

    /// The same as part of an act of another name.
    pub async fn put_api_key_as(&self, act: Act, key: ApiKeyRecord) -> Result<(), ServiceError> {
        let service = self.clone();
        uncancelled(async move { service.act(act, Work::Key(KeyChange::Api(key))).await.map(drop) }).await
    }

    /// The API key whose text has this SHA-256.
    pub fn api_key(&self, key_hash: &Digest) -> Option<ApiKeyRecord> {
        self.shared().registry.api.read().unwrap_or_else(PoisonError::into_inner).get(key_hash).cloned()
    }

    /// API keys of a tenant, or all.
    pub fn api_keys(&self, tenant: Option<&TenantId>) -> Vec<ApiKeyRecord> {
        let keys = self.shared().registry.api.read().unwrap_or_else(PoisonError::into_inner);
        keys.values().filter(|key| tenant.is_none_or(|tenant| key.tenant_id == *tenant)).cloned().collect()
    }

    fn read_encryption<T>(
        &self,
        read: impl FnOnce(&BTreeMap<(TenantId, RecipientKeyId), EncryptionKey>) -> T,
    ) -> T {
        read(&self.shared().registry.encryption.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn check_window(from: Option<ves::TimestampMs>, to: Option<ves::TimestampMs>) -> Result<(), RegisterError> {
    match (from, to) {
        (Some(from), Some(to)) if from > to => Err(RegisterError::EmptyWindow),
        _ => Ok(()),
    }
}
