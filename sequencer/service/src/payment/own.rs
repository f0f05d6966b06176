//! Which events the sequencer's own agent wrote: no other tells of payments and their batches (x402, A.3).

use std::collections::BTreeSet;

use stateset_event_log::{LogError, LogReader, SequencerKeyRecord};
use ves::keys::AgentKey;
use ves::{AgentId, KeyId, TenantId};

use super::Payments;

/// Whether this is a key that a sequencer of this log signs with, or did. The id alone would not tell: a log may have had
/// a sequencer of another id, for whose agent anybody could register a key by now.
fn is_own(key: &AgentKey, sequencers: &[SequencerKeyRecord]) -> bool {
    sequencers.iter().any(|sequencer| {
        sequencer.sequencer_id.as_bytes() == key.agent_id.as_bytes() && sequencer.public_key == key.public_key
    })
}

impl Payments<'_> {
    /// Whether the sequencer's own agent wrote what was signed with this key of this agent. Costs no read.
    pub fn is_own(&self, tenant: &TenantId, agent: &AgentId, key_id: KeyId) -> bool {
        let key = self.service.keys().get(tenant, agent, key_id);
        key.is_some_and(|key| is_own(key.key(), self.service.sequencer_keys()))
    }
}

/// Keys of the sequencer's own agent, of a log that is only read.
#[derive(Debug, Clone, Default)]
pub struct OwnKeys(BTreeSet<(TenantId, AgentId, KeyId)>);

impl OwnKeys {
    /// # Errors
    /// What the log says.
    pub fn read(reader: &dyn LogReader) -> Result<Self, LogError> {
        let sequencers = reader.sequencer_keys()?;
        let own = reader.agent_keys()?.into_iter().filter(|key| is_own(key, &sequencers));
        Ok(Self(own.map(|key| (key.tenant_id, key.agent_id, key.key_id)).collect()))
    }

    /// See [`Payments::is_own`].
    pub fn contains(&self, tenant: &TenantId, agent: &AgentId, key_id: KeyId) -> bool {
        self.0.contains(&(*tenant, *agent, key_id))
    }
}

#[cfg(test)]
mod tests {
    use ves::keys::{KeyAlgorithm, KeyStatus};
    use ves::{SequencerId, TimestampMs};

    use super::*;

    fn key(agent: u8, public: u8) -> AgentKey {
        AgentKey {
            tenant_id: TenantId::from_bytes([1; 16]),
            agent_id: AgentId::from_bytes([agent; 16]),
            key_id: KeyId(1),
            public_key: [public; 32],
            algorithm: KeyAlgorithm::Ed25519,
            ml_dsa_65: None,
            status: KeyStatus::Active,
            valid_from: None,
            valid_to: None,
            revoked_at: None,
            created_at: TimestampMs(0),
            metadata: None,
        }
    }

    #[test]
    fn an_agent_is_the_sequencers_own_by_its_id_and_its_key_together() {
        let record = |version, id, public| SequencerKeyRecord {
            key_version: version,
            sequencer_id: SequencerId::from_bytes([id; 16]),
            public_key: [public; 32],
            created_at: TimestampMs(0),
        };
        // The log was taken over by a sequencer of another id and key.
        let sequencers = [record(1, 7, 1), record(2, 8, 2)];
        assert!(is_own(&key(7, 1), &sequencers) && is_own(&key(8, 2), &sequencers));
        for foreign in [key(7, 2), key(8, 1), key(7, 3), key(9, 1)] {
            assert!(!is_own(&foreign, &sequencers), "{foreign:?}");
        }
    }
}
