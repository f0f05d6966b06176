//! Documents: what the service keeps beside the events, each at a key of its own.
//!
//! Proof records, policies, groups, the older event stream: they are few next to the events, are looked up by key or
//! listed by the beginning of a key, and are not on the path of a signed event. One small set of calls serves all.

/// The tables of documents. Names are those of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Proofs about batches, by batch.
    ValidityProofs = 1,
    /// Proofs about events, by event.
    ComplianceProofs = 2,
    /// Where a proof lies, by its id.
    ProofIds = 3,
    /// How long and how often keys may be used, by whom they bind.
    KeyRotationPolicies = 4,
    /// How often a key has signed.
    KeyUsageCounters = 5,
    EncryptionGroups = 6,
    EncryptionGroupMembers = 7,
    /// What each agent has seen of a stream.
    AgentSyncState = 8,
    /// Events of the older form, by stream and number; at the stream alone, its head.
    LegacyEvents = 9,
    /// Places of older events by id.
    LegacyEventIds = 10,
    /// Places of older events by the command they carry.
    LegacyCommands = 11,
    /// How many older events an entity has.
    LegacyEntities = 12,
    /// Places of older events by entity and version.
    LegacyEntityEvents = 13,
    /// Batches of older events, by stream and last number.
    LegacyCommitments = 14,
    /// Batches of older events by their ids, and the tiles of their trees.
    LegacyCommitmentIds = 15,
    /// Where a batch was anchored, by batch.
    Anchors = 16,
    /// Schemas of payloads, by tenant, event type and version.
    EventSchemas = 17,
    /// Where a schema lies, by its id.
    EventSchemaIds = 18,
    /// Events that a projection could not apply, by stream and number.
    DeadLetters = 19,
    /// Places of dead letters by event, and by the time they are tried again.
    DeadLetterIds = 20,
    /// How far projections have come, by stream.
    ProjectionCheckpoints = 21,
    /// Present states of entities, by stream and entity.
    ProjectionStates = 22,
    /// Earlier states of entities with long histories, by stream, entity and number.
    ProjectionSnapshots = 23,
    /// What projections refused and why.
    RejectedEvents = 24,
    /// Payment intents, by stream and number.
    PaymentIntents = 25,
    /// Places of payment intents by id.
    PaymentIntentIds = 26,
    /// Nonces that payers used, by stream and payer.
    PaymentNonces = 27,
    /// Places of payment intents by idempotency key.
    PaymentKeys = 28,
    /// Payment intents by what they are listed by, the counters of streams, and what is to be told.
    PaymentLists = 29,
    /// Batches of payment intents, by id.
    PaymentBatches = 30,
    /// Acts of administrators, a chain of hashes.
    AuditLog = 32,
    /// How far a rotation of keys at rest has come.
    Reencryption = 33,
    /// Which event continued a running total, by stream and total.
    RunningTotals = 34,
    /// Receivers of webhooks with their secrets, by tenant and id.
    WebhookEndpoints = 35,
    /// How far deliveries have come, what became of them, and what was given up, by receiver and stream.
    WebhookDeliveries = 36,
}

impl Table {
    pub const ALL: [Self; 35] = [
        Self::ValidityProofs,
        Self::ComplianceProofs,
        Self::ProofIds,
        Self::KeyRotationPolicies,
        Self::KeyUsageCounters,
        Self::EncryptionGroups,
        Self::EncryptionGroupMembers,
        Self::AgentSyncState,
        Self::LegacyEvents,
        Self::LegacyEventIds,
        Self::LegacyCommands,
        Self::LegacyEntities,
        Self::LegacyEntityEvents,
        Self::LegacyCommitments,
        Self::LegacyCommitmentIds,
        Self::Anchors,
        Self::EventSchemas,
        Self::EventSchemaIds,
        Self::DeadLetters,
        Self::DeadLetterIds,
        Self::ProjectionCheckpoints,
        Self::ProjectionStates,
        Self::ProjectionSnapshots,
        Self::RejectedEvents,
        Self::PaymentIntents,
        Self::PaymentIntentIds,
        Self::PaymentNonces,
        Self::PaymentKeys,
        Self::PaymentLists,
        Self::PaymentBatches,
        Self::AuditLog,
        Self::Reencryption,
        Self::RunningTotals,
        Self::WebhookEndpoints,
        Self::WebhookDeliveries,
    ];

    /// The table's name in a database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ValidityProofs => "ves_validity_proofs",
            Self::ComplianceProofs => "ves_compliance_proofs",
            Self::ProofIds => "ves_proof_ids",
            Self::KeyRotationPolicies => "key_rotation_policies",
            Self::KeyUsageCounters => "key_usage_counters",
            Self::EncryptionGroups => "encryption_key_groups",
            Self::EncryptionGroupMembers => "encryption_key_group_members",
            Self::AgentSyncState => "agent_sync_state",
            Self::LegacyEvents => "events",
            Self::LegacyEventIds => "event_ids",
            Self::LegacyCommands => "event_command_dedupe",
            Self::LegacyEntities => "entity_versions",
            Self::LegacyEntityEvents => "entity_events",
            Self::LegacyCommitments => "commitments",
            Self::LegacyCommitmentIds => "commitment_ids",
            Self::Anchors => "ves_anchors",
            Self::EventSchemas => "event_schemas",
            Self::EventSchemaIds => "event_schema_ids",
            Self::DeadLetters => "dead_letter_events",
            Self::DeadLetterIds => "dead_letter_ids",
            Self::ProjectionCheckpoints => "projection_checkpoints",
            Self::ProjectionStates => "projection_states",
            Self::ProjectionSnapshots => "projection_snapshots",
            Self::RejectedEvents => "rejected_events_log",
            Self::PaymentIntents => "x402_payment_intents",
            Self::PaymentIntentIds => "x402_payment_intent_ids",
            Self::PaymentNonces => "x402_nonce_tracking",
            Self::PaymentKeys => "x402_idempotency_keys",
            Self::PaymentLists => "x402_payment_lists",
            Self::PaymentBatches => "x402_payment_batches",
            Self::AuditLog => "audit_log",
            Self::Reencryption => "reencryption_progress",
            Self::RunningTotals => "ves_running_totals",
            Self::WebhookEndpoints => "webhook_endpoints",
            Self::WebhookDeliveries => "webhook_deliveries",
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| *table as u8 == number)
    }
}

/// One document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Unique in its table; tables are ordered by the bytes of their keys.
    pub key: Vec<u8>,
    /// JSON, so that an operator can read it.
    pub text: String,
    /// What is no text: the bytes of a proof. Often empty.
    pub content: Vec<u8>,
}

/// One change of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentChange {
    /// Inserts, or replaces what has the same key.
    Put(Table, Document),
    /// Nothing happens where there is none.
    Remove(Table, Vec<u8>),
}

/// The least key that is greater than every key beginning with `prefix`; `None` where there is none.
#[cfg(any(feature = "postgres", feature = "sqlite", test))]
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=kept].to_vec();
    end[kept] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_and_names_differ() {
        let mut names: Vec<&str> = Table::ALL.iter().map(|table| table.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Table::ALL.len());
        for table in Table::ALL {
            assert_eq!(Table::from_number(table as u8), Some(table));
        }
        assert_eq!(Table::from_number(0), None);
    }

    #[test]
    fn a_prefix_ends_where_no_key_begins_with_it() {
        assert_eq!(after_prefix(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(after_prefix(&[1, 0xff]), Some(vec![2]));
        assert_eq!(after_prefix(&[0xff, 0xff]), None);
        assert_eq!(after_prefix(b""), None);
    }
}
