//! What was written down and agreed: events, proofs, keys, the outbox, approvals.

use super::*;

pub const RECORDS: &[Tool] = &[
    Tool {
        name: "event_history",
        title: "History of an entity",
        about: "The signed events of one entity, oldest first, those that were not sent yet included.",
        effect: Effect::Read,
        arguments: &[
            required("entity_type", Kind::Id, "Such as order, product, inventory, customer, return"),
            required("entity_id", Kind::Id, "Id of the entity"),
            PAGE[0],
            PAGE[1],
        ],
        work: Work::History,
    },
    Tool {
        name: "receipt_get",
        title: "Get the receipt of an event",
        about: "Whether the sequencer has acknowledged an event of this agent, and under which number.",
        effect: Effect::Read,
        arguments: &[required("event_id", Kind::Uuid, "Id of the event")],
        work: Work::ReceiptGet,
    },
    Tool {
        name: "proof_get",
        title: "Get the proof of an event",
        about: "Everything that is needed to check one event without the service: envelope, receipt, inclusion. Needs the \
                service, and the event to be committed.",
        effect: Effect::Read,
        arguments: &[required("event_id", Kind::Uuid, "Id of the event")],
        work: Work::ProofGet,
    },
    Tool {
        name: "proof_verify",
        title: "Verify a proof",
        about: "Checks a proof of an event against the sequencer's key that is pinned here, and says what holds.",
        effect: Effect::Read,
        arguments: &[required("proof", Kind::Proof, "A proof as proof_get gives it")],
        work: Work::ProofVerify,
    },
    Tool {
        name: "key_list",
        title: "List the agent's keys",
        about: "Public keys of this agent as the service has them. Needs the service.",
        effect: Effect::Read,
        arguments: &[],
        work: Work::KeyList,
    },
    Tool {
        name: "sync_status",
        title: "State of the outbox",
        about: "How many signed events wait, were acknowledged, refused or are in conflict, and how far the stream was pulled.",
        effect: Effect::Read,
        arguments: &[],
        work: Work::SyncStatus,
    },
    Tool {
        name: "sync_push",
        title: "Send what waits",
        about: "Sends the events that wait in the outbox, and verifies their receipts.",
        effect: STEPS,
        arguments: &[],
        work: Work::SyncPush,
    },
    Tool {
        name: "sync_pull",
        title: "Fetch what is new",
        about: "Fetches and verifies what others have written, so that the reads see it.",
        effect: STEPS,
        arguments: &[],
        work: Work::SyncPull,
    },
    Tool {
        name: "approval_get",
        title: "Get an approval",
        about: "Where a call stands that waits for a person: pending, approved, rejected, expired or failed; and its answer once \
                it was carried out. No tool decides about it.",
        effect: Effect::Read,
        arguments: &[required("approval_id", Kind::Id, "Id of the approval")],
        work: Work::ApprovalGet,
    },
    Tool {
        name: "approval_list",
        title: "List approvals",
        about: "Calls that wait for a person, and those that were decided, newest first.",
        effect: Effect::Read,
        arguments: &PAGE,
        work: Work::ApprovalList,
    },
];
