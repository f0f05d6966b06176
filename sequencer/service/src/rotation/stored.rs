//! Policies and counts as documents, and how they are read back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stateset_event_log::{Document, DocumentChange, LogError, LogReader, Table};
use ves::keys::KeyType;
use ves::keys::rotation::RotationRule;
use ves::{AgentId, KeyId, SequenceNumber, StoreId, StreamKey, TenantId, TimestampMs};

use super::{KeyAddress, PolicyScope, PolicySet, Rotation, RotationPolicy, Uses};
use crate::audit::{Act, Work};
use crate::error::{ServiceError, StartError};
use crate::turn::TurnLoop;

/// Documents read at once at a start.
const PAGE: usize = 1_024;

/// A policy as its document says it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PolicyText {
    tenant_id: TenantId,
    agent_id: Option<AgentId>,
    key_type: Option<String>,
    max_age_hours: Option<u32>,
    max_usage_count: Option<u64>,
    warning_hours: u32,
    grace_hours: u32,
    enforce_expiry: bool,
    auto_rotate: bool,
    updated_at_ms: i64,
}

/// A count as its document says it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UsesText {
    uses: u64,
}

fn policy_key(scope: &PolicyScope) -> Vec<u8> {
    let mut key = scope.tenant_id.as_bytes().to_vec();
    key.push(u8::from(scope.agent_id.is_some()));
    key.extend(scope.agent_id.map_or([0; 16], |agent| *agent.as_bytes()));
    key.push(match scope.key_type {
        None => 0,
        Some(KeyType::Signing) => 1,
        Some(KeyType::Encryption) => 2,
    });
    key
}

fn policy_document(policy: &RotationPolicy) -> Result<Document, ServiceError> {
    let text = PolicyText {
        tenant_id: policy.scope.tenant_id,
        agent_id: policy.scope.agent_id,
        key_type: policy.scope.key_type.map(|key_type| key_type.text().to_owned()),
        max_age_hours: policy.rule.age_hours_max,
        max_usage_count: policy.rule.uses_max,
        warning_hours: policy.rule.warning_hours,
        grace_hours: policy.rule.grace_hours,
        enforce_expiry: policy.rule.enforce,
        auto_rotate: policy.auto_rotate,
        updated_at_ms: policy.updated_at.0,
    };
    let text = serde_json::to_string(&text).map_err(|error| ServiceError::Internal(error.to_string()))?;
    Ok(Document { key: policy_key(&policy.scope), text, content: Vec::new() })
}

fn read_policy(document: &Document) -> Option<RotationPolicy> {
    let text: PolicyText = serde_json::from_str(&document.text).ok()?;
    let key_type = match &text.key_type {
        None => None,
        Some(name) => Some(KeyType::from_text(name)?),
    };
    Some(RotationPolicy {
        scope: PolicyScope { tenant_id: text.tenant_id, agent_id: text.agent_id, key_type },
        rule: RotationRule {
            age_hours_max: text.max_age_hours,
            uses_max: text.max_usage_count,
            warning_hours: text.warning_hours,
            grace_hours: text.grace_hours,
            enforce: text.enforce_expiry,
        },
        auto_rotate: text.auto_rotate,
        updated_at: TimestampMs(text.updated_at_ms),
    })
}

fn uses_key((tenant, agent, key_id): &KeyAddress) -> Vec<u8> {
    [&tenant.as_bytes()[..], agent.as_bytes(), &key_id.0.to_be_bytes()].concat()
}

/// The tenant, agent and number of a count; `None` for the heads of a tenant.
fn read_uses_key(key: &[u8]) -> Option<KeyAddress> {
    let (tenant, rest) = key.split_first_chunk()?;
    let (agent, rest) = rest.split_first_chunk()?;
    let number = rest.try_into().ok()?;
    Some((TenantId::from_bytes(*tenant), AgentId::from_bytes(*agent), KeyId(u32::from_be_bytes(number))))
}

/// Up to which numbers the written counts hold: store and head, one after the other.
fn heads_document(tenant: &TenantId, heads: &[(StoreId, SequenceNumber)]) -> Document {
    let content = heads.iter().flat_map(|(store, head)| {
        let (store, head) = (*store.as_bytes(), head.0.to_be_bytes());
        store.into_iter().chain(head)
    });
    Document { key: tenant.as_bytes().to_vec(), text: "{}".to_owned(), content: content.collect() }
}

fn read_heads(document: &Document) -> Option<(TenantId, Vec<(StoreId, SequenceNumber)>)> {
    let tenant = TenantId::from_bytes(document.key.as_slice().try_into().ok()?);
    let (entries, rest) = document.content.as_chunks::<24>();
    let read = |entry: &[u8; 24]| {
        let (store, head) = entry.split_first_chunk::<16>()?;
        Some((StoreId::from_bytes(*store), SequenceNumber(u64::from_be_bytes(head.try_into().ok()?))))
    };
    let heads = entries.iter().map(read).collect::<Option<Vec<_>>>()?;
    rest.is_empty().then_some((tenant, heads))
}

fn every_document(reader: &dyn LogReader, table: Table) -> Result<Vec<Document>, LogError> {
    let mut all: Vec<Document> = Vec::new();
    loop {
        let after = all.last().map(|document| document.key.clone());
        let page = reader.documents(table, &[], after.as_deref(), PAGE)?;
        let is_last = page.len() < PAGE;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

fn broken(table: Table) -> StartError {
    StartError::Document { table: table.name() }
}

/// Counts again, at a start, what was accepted after the counts were last written.
pub(crate) struct Recount {
    policies: PolicySet,
    uses: BTreeMap<KeyAddress, Uses>,
    heads: BTreeMap<StreamKey, SequenceNumber>,
}

impl Recount {
    /// Policies, counts and the heads they hold for.
    ///
    /// # Errors
    /// [`StartError`] when the store fails or holds what this service did not write.
    pub fn read(reader: &dyn LogReader) -> Result<Self, StartError> {
        let mut policies = PolicySet::default();
        for document in every_document(reader, Table::KeyRotationPolicies)? {
            let policy = read_policy(&document).ok_or_else(|| broken(Table::KeyRotationPolicies))?;
            policies.0.insert(policy.scope, policy);
        }
        let (mut uses, mut heads) = (BTreeMap::new(), BTreeMap::new());
        for document in every_document(reader, Table::KeyUsageCounters)? {
            if let Some(address) = read_uses_key(&document.key) {
                let text: UsesText =
                    serde_json::from_str(&document.text).map_err(|_| broken(Table::KeyUsageCounters))?;
                uses.insert(address, Uses { count: text.uses, is_unwritten: false });
            } else {
                let (tenant_id, written) =
                    read_heads(&document).ok_or_else(|| broken(Table::KeyUsageCounters))?;
                let named = |(store_id, head)| (StreamKey { tenant_id, store_id }, head);
                heads.extend(written.into_iter().map(named));
            }
        }
        Ok(Self { policies, uses, heads })
    }

    /// An event of the log's tail: counted unless its count is written already.
    pub fn note(&mut self, stream: &StreamKey, at: SequenceNumber, agent: AgentId, key_id: KeyId) {
        let address = (stream.tenant_id, agent, key_id);
        if self.policies.is_empty()
            || !self.policies.counts(&address)
            || self.heads.get(stream).is_some_and(|head| at <= *head)
        {
            return;
        }
        let uses = self.uses.entry(address).or_default();
        uses.count += 1;
        uses.is_unwritten = true;
    }

    /// What the service works with from here on.
    pub fn finish(self, rotation: &Rotation) {
        rotation.set_policies(self.policies);
        rotation.with_uses(|held| *held = self.uses);
    }
}

impl TurnLoop {
    /// Sets or removes the policy of a scope; whether there was one before. One write: the policy, the counts that
    /// hold now and how far they hold, so that a later start counts from the same moment as this service does.
    pub(crate) fn change_policy(
        &mut self,
        scope: PolicyScope,
        policy: Option<RotationPolicy>,
        act: Act,
    ) -> Result<bool, ServiceError> {
        let mut policies = PolicySet::clone(&self.shared.rotation.policies());
        let (before, change) = match policy {
            Some(policy) => {
                let change = DocumentChange::Put(Table::KeyRotationPolicies, policy_document(&policy)?);
                (policies.0.insert(scope, policy), change)
            }
            None => {
                let change = DocumentChange::Remove(Table::KeyRotationPolicies, policy_key(&scope));
                (policies.0.remove(&scope), change)
            }
        };
        if policy.is_none() && before.is_none() {
            return Ok(false);
        }
        let tenant = scope.tenant_id;
        let mut changes = vec![change];
        let held: Vec<KeyAddress> = self
            .shared
            .rotation
            .with_uses(|uses| uses.keys().filter(|(held, _, _)| *held == tenant).copied().collect());
        let dropped: Vec<KeyAddress> = held.into_iter().filter(|key| !policies.counts(key)).collect();
        changes
            .extend(dropped.iter().map(|key| DocumentChange::Remove(Table::KeyUsageCounters, uses_key(key))));
        match policies.counts_in(&tenant) {
            true => changes.extend(self.count_changes(&tenant, &policies)),
            false => {
                let heads = tenant.as_bytes().to_vec();
                changes.push(DocumentChange::Remove(Table::KeyUsageCounters, heads));
            }
        }
        self.carry_out(&[act], Work::Documents(changes))?;
        self.shared.rotation.with_uses(|uses| {
            uses.retain(|key, _| !dropped.contains(key));
            uses.iter_mut()
                .filter(|((held, _, _), _)| *held == tenant)
                .for_each(|(_, uses)| uses.is_unwritten = false);
        });
        self.shared.rotation.set_policies(policies);
        Ok(before.is_some())
    }

    /// Writes the counts and how far they hold, before the index takes over what was counted; `false` when the store
    /// did not take them, and the index must wait.
    pub(crate) fn save_uses(&mut self) -> bool {
        let policies = self.shared.rotation.policies();
        let mut tenants: Vec<TenantId> = policies.0.keys().map(|scope| scope.tenant_id).collect();
        tenants.dedup();
        tenants.retain(|tenant| policies.counts_in(tenant));
        let changes: Vec<DocumentChange> =
            tenants.iter().flat_map(|tenant| self.count_changes(tenant, &policies)).collect();
        if changes.is_empty() {
            return true;
        }
        match self.write(|log| log.put_documents(&changes)) {
            Ok(()) => {
                self.shared
                    .rotation
                    .with_uses(|uses| uses.values_mut().for_each(|uses| uses.is_unwritten = false));
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the uses of keys were not written; the index waits for them");
                false
            }
        }
    }

    /// The unwritten counts of a tenant and the heads they hold for: of the streams of which the index lacks events.
    fn count_changes(&self, tenant: &TenantId, policies: &PolicySet) -> Vec<DocumentChange> {
        let put = |document| DocumentChange::Put(Table::KeyUsageCounters, document);
        let streams = self.engine.streams().filter(|stream| stream.tenant_id == *tenant);
        let heads: Vec<(StoreId, SequenceNumber)> = streams
            .map(|stream| (stream, self.engine.head(stream)))
            .filter(|(stream, head)| *head > self.flush.covered(stream))
            .map(|(stream, head)| (stream.store_id, head))
            .collect();
        let mut changes = vec![put(heads_document(tenant, &heads))];
        self.shared.rotation.with_uses(|uses| {
            let unwritten = uses
                .iter()
                .filter(|(key, uses)| key.0 == *tenant && uses.is_unwritten && policies.counts(key));
            changes.extend(unwritten.map(|(key, uses)| {
                let text = format!("{{\"uses\":{}}}", uses.count);
                put(Document { key: uses_key(key), text, content: Vec::new() })
            }));
        });
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let tenant_id = TenantId::from_bytes([1; 16]);
        for (agent_id, key_type) in [
            (None, None),
            (Some(AgentId::from_bytes([0; 16])), Some(KeyType::Signing)),
            (Some(AgentId::from_bytes([2; 16])), Some(KeyType::Encryption)),
        ] {
            let policy = RotationPolicy {
                scope: PolicyScope { tenant_id, agent_id, key_type },
                rule: RotationRule {
                    age_hours_max: Some(9),
                    uses_max: None,
                    warning_hours: 1,
                    grace_hours: 2,
                    enforce: false,
                },
                auto_rotate: true,
                updated_at: TimestampMs(7),
            };
            let document = policy_document(&policy).unwrap();
            assert_eq!(document.key, policy_key(&policy.scope));
            assert_eq!(read_policy(&document), Some(policy));
        }
        let address = (tenant_id, AgentId::from_bytes([2; 16]), KeyId(0x0102_0304));
        assert_eq!(read_uses_key(&uses_key(&address)), Some(address));
        let heads = vec![
            (StoreId::from_bytes([4; 16]), SequenceNumber(9)),
            (StoreId::from_bytes([5; 16]), SequenceNumber(u64::MAX)),
        ];
        let document = heads_document(&tenant_id, &heads);
        assert_eq!(read_uses_key(&document.key), None);
        assert_eq!(read_heads(&document), Some((tenant_id, heads)));
        assert_eq!(read_heads(&Document { content: vec![0; 25], ..document }), None);
    }

    #[test]
    fn no_two_scopes_share_a_key() {
        let tenant_id = TenantId::from_bytes([1; 16]);
        let mut keys = Vec::new();
        for agent_id in [None, Some(AgentId::from_bytes([0; 16]))] {
            for key_type in [None, Some(KeyType::Signing), Some(KeyType::Encryption)] {
                keys.push(policy_key(&PolicyScope { tenant_id, agent_id, key_type }));
            }
        }
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 6);
    }
}
