//! Rotation policies at work: who is bound by which, how often bound keys were used, and how that survives a crash.
//!
//! Policies and counts live in memory; the turn loop alone changes them. Counts are written together with the heads
//! up to which they hold, before the index takes over the events that were counted. A start reads the events that the
//! index does not hold anyway: those beyond the written heads are counted again, so no use is lost and none doubled.

mod stored;
mod turn;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use ves::keys::rotation::{RotationRule, Standing};
use ves::keys::{AgentKey, EncryptionKey, KeyType};
use ves::{AgentId, KeyId, StreamKey, TenantId, TimestampMs};

use crate::audit::{Act, Action};
use crate::error::ServiceError;
use crate::sequencer::{Sequencer, uncancelled};
use crate::turn::Command;

pub(crate) use stored::Recount;
pub(crate) use turn::TurnUses;

/// Whom a policy binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyScope {
    pub tenant_id: TenantId,
    /// `None`: every agent.
    pub agent_id: Option<AgentId>,
    /// `None`: keys of both types.
    pub key_type: Option<KeyType>,
}

/// A rule and whom it binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotationPolicy {
    pub scope: PolicyScope,
    pub rule: RotationRule,
    /// For the tools that rotate keys; nothing here acts on it.
    pub auto_rotate: bool,
    pub updated_at: TimestampMs,
}

/// Where a key stands under the policy that binds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyStanding {
    pub standing: Standing,
    /// Counted uses, where the policy bounds them.
    pub uses: Option<u64>,
    pub auto_rotate: bool,
}

pub(crate) type KeyAddress = (TenantId, AgentId, KeyId);

/// All policies, by whom they bind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PolicySet(BTreeMap<PolicyScope, RotationPolicy>);

impl PolicySet {
    /// The most specific policy of a key: agent before tenant, a named type before both.
    pub fn binding(&self, tenant: &TenantId, agent: &AgentId, key_type: KeyType) -> Option<&RotationPolicy> {
        let scopes =
            [(Some(*agent), Some(key_type)), (Some(*agent), None), (None, Some(key_type)), (None, None)];
        scopes.into_iter().find_map(|(agent_id, key_type)| {
            self.0.get(&PolicyScope { tenant_id: *tenant, agent_id, key_type })
        })
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn of_tenant(&self, tenant: &TenantId) -> impl Iterator<Item = &RotationPolicy> {
        let first = PolicyScope { tenant_id: *tenant, agent_id: None, key_type: None };
        let tenant = *tenant;
        self.0.range(first..).map(|(_, policy)| policy).take_while(move |p| p.scope.tenant_id == tenant)
    }

    /// Whether the uses of this signing key are counted.
    fn counts(&self, (tenant, agent, _): &KeyAddress) -> bool {
        self.binding(tenant, agent, KeyType::Signing).is_some_and(|policy| policy.rule.uses_max.is_some())
    }

    /// Whether any policy of the tenant bounds uses.
    fn counts_in(&self, tenant: &TenantId) -> bool {
        self.of_tenant(tenant).any(|policy| policy.rule.uses_max.is_some())
    }
}

/// How often a key was used, and whether that is written yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Uses {
    count: u64,
    is_unwritten: bool,
}

/// What the turn loop and the callers share. Readers see a policy once it is durable.
#[derive(Default)]
pub(crate) struct Rotation {
    policies: RwLock<Arc<PolicySet>>,
    uses: RwLock<BTreeMap<KeyAddress, Uses>>,
}

impl Rotation {
    pub fn policies(&self) -> Arc<PolicySet> {
        self.policies.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_policies(&self, policies: PolicySet) {
        *self.policies.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policies);
    }

    fn uses_of(&self, key: &KeyAddress) -> u64 {
        self.uses.read().unwrap_or_else(PoisonError::into_inner).get(key).map_or(0, |uses| uses.count)
    }

    fn with_uses<T>(&self, change: impl FnOnce(&mut BTreeMap<KeyAddress, Uses>) -> T) -> T {
        change(&mut self.uses.write().unwrap_or_else(PoisonError::into_inner))
    }
}

fn act_of(scope: &PolicyScope, policy: Option<&RotationPolicy>) -> Act {
    let details = policy.map(|policy| {
        serde_json::json!({
            "max_age_hours": policy.rule.age_hours_max, "max_usage_count": policy.rule.uses_max,
            "warning_hours": policy.rule.warning_hours, "grace_hours": policy.rule.grace_hours,
            "enforce_expiry": policy.rule.enforce, "auto_rotate": policy.auto_rotate,
        })
    });
    let action = if policy.is_some() { Action::RotationPolicySet } else { Action::RotationPolicyRemoved };
    let agents = scope.agent_id.map_or_else(|| "every agent".to_owned(), |agent| agent.to_string());
    let types = scope.key_type.map_or("every type", |key_type| key_type.text());
    Act::new(action)
        .in_tenant(scope.tenant_id)
        .on("key_rotation_policy", format_args!("{agents}/{types}"))
        .with(details.unwrap_or_default())
}

impl Sequencer {
    /// The policies of a tenant: the tenant's own first, then those of its agents.
    pub fn rotation_policies(&self, tenant: &TenantId) -> Vec<RotationPolicy> {
        self.shared().rotation.policies().of_tenant(tenant).copied().collect()
    }

    /// Sets the policy of its scope, from the next turn on. Uses count from the moment a policy first bounds them.
    pub async fn put_rotation_policy(&self, policy: RotationPolicy) -> Result<(), ServiceError> {
        self.change_policy(policy.scope, Some(policy)).await.map(drop)
    }

    /// Removes the policy of a scope; `false` when there was none. Counts that no other policy asks for are dropped.
    pub async fn remove_rotation_policy(&self, scope: PolicyScope) -> Result<bool, ServiceError> {
        self.change_policy(scope, None).await
    }

    async fn change_policy(
        &self,
        scope: PolicyScope,
        policy: Option<RotationPolicy>,
    ) -> Result<bool, ServiceError> {
        let service = self.clone();
        let act = self.signed_by_actor(act_of(&scope, policy.as_ref()));
        let command = move |reply| Command::RotationPolicy(scope, policy, Box::new(act), reply);
        uncancelled(async move { service.ask(command).await }).await
    }

    /// Where a signing key stands now; `None` when no policy binds it.
    pub fn signing_key_standing(&self, key: &AgentKey) -> Option<KeyStanding> {
        let rotation = &self.shared().rotation;
        let policies = rotation.policies();
        let policy = policies.binding(&key.tenant_id, &key.agent_id, KeyType::Signing)?;
        let uses = rotation.uses_of(&(key.tenant_id, key.agent_id, key.key_id));
        Some(KeyStanding {
            standing: policy.rule.judge(key.created_at, uses, self.now()),
            uses: policy.rule.uses_max.map(|_| uses),
            auto_rotate: policy.auto_rotate,
        })
    }

    /// Where an encryption key stands now; its uses are not counted, since nobody sees what is sealed to it.
    pub fn encryption_key_standing(&self, key: &EncryptionKey) -> Option<KeyStanding> {
        let policies = self.shared().rotation.policies();
        let policy = policies.binding(&key.tenant_id, &key.agent_id, KeyType::Encryption)?;
        let rule = RotationRule { uses_max: None, ..policy.rule };
        let standing = rule.judge(key.created_at, 0, self.now());
        Some(KeyStanding { standing, uses: None, auto_rotate: policy.auto_rotate })
    }

    /// What the owners of these keys of the stream's tenant should hear about their rotation.
    pub(crate) fn key_warnings(&self, stream: &StreamKey, keys: &[(AgentId, KeyId)]) -> Vec<String> {
        let warnings = keys.iter().filter_map(|(agent, key_id)| {
            let key = self.keys().get(&stream.tenant_id, agent, *key_id)?;
            let advice = self.signing_key_standing(key.key())?.standing.advice()?;
            Some(format!("key {key_id} of agent {agent} {advice}"))
        });
        warnings.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ves::keys::rotation::{GRACE_HOURS_DEFAULT, WARNING_HOURS_DEFAULT};

    #[test]
    fn the_most_specific_policy_binds() {
        let (tenant_id, agent) = (TenantId::from_bytes([1; 16]), AgentId::from_bytes([2; 16]));
        let other = AgentId::from_bytes([3; 16]);
        let policy = |agent_id, key_type, uses| RotationPolicy {
            scope: PolicyScope { tenant_id, agent_id, key_type },
            rule: RotationRule {
                age_hours_max: None,
                uses_max: Some(uses),
                warning_hours: WARNING_HOURS_DEFAULT,
                grace_hours: GRACE_HOURS_DEFAULT,
                enforce: true,
            },
            auto_rotate: false,
            updated_at: TimestampMs(0),
        };
        let all = [
            policy(None, None, 1),
            policy(None, Some(KeyType::Signing), 2),
            policy(Some(agent), None, 3),
            policy(Some(agent), Some(KeyType::Encryption), 4),
        ];
        let set = PolicySet(all.into_iter().map(|policy| (policy.scope, policy)).collect());
        let uses =
            |agent: &AgentId, key_type| set.binding(&tenant_id, agent, key_type).unwrap().rule.uses_max;
        assert_eq!(uses(&agent, KeyType::Signing), Some(3));
        assert_eq!(uses(&agent, KeyType::Encryption), Some(4));
        assert_eq!(uses(&other, KeyType::Signing), Some(2));
        assert_eq!(uses(&other, KeyType::Encryption), Some(1));
        assert_eq!(set.binding(&TenantId::from_bytes([9; 16]), &agent, KeyType::Signing), None);
        assert_eq!(set.of_tenant(&tenant_id).count(), 4);
        assert_eq!(set.of_tenant(&TenantId::from_bytes([0; 16])).count(), 0);
    }
}
