//! What is recorded, each with when: the table that code, the OpenAPI document and the operator's page share.

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $when:literal;)+) => {
        /// What an administrator, a caller or the service itself did (sequencer API, section 9). A name that begins with
        /// `custom:` is ours.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Action { $($(#[$doc])* $name),+ }

        impl Action {
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// As it is recorded.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            /// When it is recorded, for the operator.
            pub const fn when(self) -> &'static str {
                match self { $(Self::$name => $when),+ }
            }
        }
    };
}

actions! {
    ApiKeyCreated = "api_key_created", "an API key is made";
    ApiKeyUpdated = "api_key_updated", "an API key gets other rights";
    ApiKeyRevoked = "api_key_revoked", "an API key is revoked";
    AgentKeyRegistered = "agent_key_registered",
        "the first signing key of an agent, or an encryption key, is registered; also the sequencer's own agent's, which tells of payments";
    AgentKeyRotated = "agent_key_rotated", "an agent that has a signing key gets the next one";
    AgentKeyRevoked = "agent_key_revoked", "a signing or encryption key is revoked";
    AgentRegistered = "custom:agent_registered", "an agent registered itself";
    RotationPolicySet = "custom:rotation_policy_set", "a rotation policy is set";
    RotationPolicyRemoved = "custom:rotation_policy_removed", "a rotation policy is removed";
    EncryptionGroupCreated = "custom:encryption_group_created", "an encryption group is made";
    EncryptionGroupDeleted = "custom:encryption_group_deleted", "an encryption group is removed";
    EncryptionGroupMemberAdded = "custom:encryption_group_member_added", "an agent joins an encryption group";
    EncryptionGroupMemberRemoved = "custom:encryption_group_member_removed", "an agent leaves an encryption group";
    SchemaRegistered = "schema_registered", "the next version of a schema is registered";
    SchemaDeprecated = "schema_deprecated", "a schema is deprecated";
    SchemaUpdated = "schema_updated", "a schema is archived";
    SchemaDeleted = "schema_deleted", "a schema is deleted";
    DeadLetterRetried = "dead_letter_retried", "retries of dead letters are ordered; written before they are";
    DeadLetterPurged = "dead_letter_purged", "dead letters are purged; written before they are";
    CommitmentRequested = "custom:commitment_requested",
        "an administrator asks for a batch of events; written before the batch is made";
    AnchorRecorded = "custom:anchor_recorded",
        "an anchor is recorded by an administrator or an outside anchor service, not by the service's own rounds";
    AnchorsForgotten = "custom:anchors_forgotten",
        "records of anchoring are taken out, since the local chain of `stateset up` is another or has lost blocks";
    ValidityProofStored = "custom:validity_proof_stored", "an administrator submits a proof about a batch; `supersedes` names the proof that left its place to it";
    PaymentBatchCommitted = "custom:payment_batch_committed",
        "an administrator puts payment intents under one root, not the service's own worker";
    PaymentBatchSettled = "custom:payment_batch_settled",
        "an administrator names the transaction of a payment batch, and that changes where the batch stands";
    ProjectionsRebuilt = "custom:projections_rebuilt", "states of entities are marked to be built from nothing";
    PayloadsReencrypted = "custom:payloads_reencrypted", "a tool writes sealed payloads or proofs anew; written before it does";
    WebhookCreated = "custom:webhook_created", "a receiver of webhooks is registered";
    WebhookUpdated = "custom:webhook_updated", "a receiver of webhooks is changed, paused or made active again";
    WebhookSecretRotated = "custom:webhook_secret_rotated", "a receiver of webhooks gets another secret";
    WebhookDeleted = "custom:webhook_deleted", "a receiver of webhooks is removed, with what was kept of its deliveries";
    WebhookReplayed = "custom:webhook_replayed", "deliveries to a receiver of webhooks begin anew at another number";
    ConfigUpdated = "config_updated",
        "a term of writing begins with other settings than the last one recorded; both values, of a secret only whether it is set";
    LoginSuccess = "login_success", "a credential is used for the first time in an hour";
    LoginFailure = "login_failure", "credentials were not good, counted by address and reason";
    RequestRefused = "custom:request_refused",
        "an administrative request was refused with 403 or 409, counted by caller, operation and code";
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The operator's page has one row for each action, in the words of this table.
    #[test]
    fn the_operators_page_lists_every_action() {
        let page = include_str!("../../../../docs/operator/audit.md");
        let is_row = |line: &&str| line.starts_with("| `") && !line.starts_with("| `audit_");
        let rows: Vec<&str> = page.lines().filter(is_row).collect();
        let expected: Vec<String> =
            Action::ALL.iter().map(|action| format!("| `{}` | {} |", action.name(), action.when())).collect();
        assert_eq!(rows, expected, "write the rows of docs/operator/audit.md as they stand here");
    }

    #[test]
    fn names_differ_and_those_that_are_ours_say_so() {
        // Sequencer API, section 9.
        const GIVEN: &[&str] = &[
            "api_key_created",
            "api_key_revoked",
            "api_key_updated",
            "schema_registered",
            "schema_updated",
            "schema_deleted",
            "schema_activated",
            "schema_deprecated",
            "agent_key_registered",
            "agent_key_rotated",
            "agent_key_revoked",
            "config_updated",
            "events_purged",
            "commitment_deleted",
            "dead_letter_retried",
            "dead_letter_purged",
            "login_success",
            "login_failure",
            "token_refreshed",
        ];
        let names: BTreeSet<&str> = Action::ALL.iter().map(|action| action.name()).collect();
        assert_eq!(names.len(), Action::ALL.len());
        let others: Vec<_> =
            names.iter().filter(|name| !GIVEN.contains(name) && !name.starts_with("custom:")).collect();
        assert!(others.is_empty(), "{others:?}");
    }
}
