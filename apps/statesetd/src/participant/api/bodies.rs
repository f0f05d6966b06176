//! What the API takes and gives.

use serde::{Deserialize, Serialize};
use stateset_contracts::{Invoice, InvoiceCommand};
use stateset_ledger_types::ids::{Amount, EntityId, LinearId};
use stateset_node::Attested;
use stateset_node::trust::Resolutions;
use stateset_node::vault::{FlowView, StateFilter};

use crate::participant::Participant;

const PAGE: usize = 100;

/// A company's node.
#[derive(Debug, Serialize)]
pub struct OrgView {
    org: String,
    entity_id: EntityId,
    /// Where peers reach it.
    address: String,
    peers: Vec<PeerView>,
    /// How far back it goes before it takes a state, by contract.
    resolutions: Resolutions,
    failure: Option<String>,
}

#[derive(Debug, Serialize)]
struct PeerView {
    entity_id: EntityId,
    connections: usize,
    last_error: Option<String>,
}

impl OrgView {
    pub fn of(one: &Participant) -> Self {
        let peer = |status: stateset_peer::PeerStatus| PeerView {
            entity_id: status.entity,
            connections: status.connections,
            last_error: status.last_error.map(|error| error.to_string()),
        };
        Self {
            org: one.record.org.clone(),
            entity_id: one.record.entity_id,
            address: one.address.to_string(),
            peers: one.peers().status().into_iter().map(peer).collect(),
            resolutions: one.node().resolutions(),
            failure: one.failure().map(str::to_owned),
        }
    }
}

/// A state, and what it says where its type is known here.
#[derive(Debug, Serialize)]
pub struct Shown<T> {
    #[serde(flatten)]
    pub view: T,
    pub content: Option<Box<Invoice>>,
}

/// Where a list goes on, and how long a page is.
pub struct Cursor {
    pub cursor: Option<String>,
    pub limit: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateQuery {
    linear_id: Option<LinearId>,
    #[serde(rename = "type")]
    type_id: Option<u16>,
    status: Option<String>,
    role: Option<String>,
    counterparty: Option<EntityId>,
    number: Option<String>,
    from_ms: Option<u64>,
    until_ms: Option<u64>,
    unspent: Option<bool>,
    cursor: Option<String>,
    limit: Option<usize>,
}

impl StateQuery {
    pub fn cursor(&self) -> Cursor {
        Cursor { cursor: self.cursor.clone(), limit: self.limit.unwrap_or(PAGE) }
    }

    pub fn filter(self) -> StateFilter {
        StateFilter {
            linear_id: self.linear_id,
            type_id: self.type_id,
            status: self.status,
            role: self.role,
            counterparty: self.counterparty,
            number: self.number,
            from_ms: self.from_ms,
            until_ms: self.until_ms,
            unspent: self.unspent,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowQuery {
    /// Only those that are not over.
    #[serde(default)]
    pub open: bool,
    pub cursor: Option<String>,
    pub limit: Option<usize>,
}

impl FlowQuery {
    pub fn cursor(&self) -> Cursor {
        Cursor { cursor: self.cursor.clone(), limit: self.limit.unwrap_or(PAGE) }
    }
}

/// How long the caller waits for an end.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    #[serde(default)]
    pub wait_ms: u64,
}

/// A flow, and what it is about.
#[derive(Debug, Serialize)]
pub struct FlowShown {
    #[serde(flatten)]
    pub flow: FlowView,
    /// Of the state that the transaction is about.
    pub linear_id: Option<LinearId>,
    /// Contract and name of each command.
    pub commands: Vec<String>,
    /// The state as it will be.
    pub content: Option<Box<Invoice>>,
    /// A person of a company of this machine has to decide.
    pub undecided: bool,
}

/// What a person says of a proposal.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Said {
    Accept {},
    Decline { reason: String },
}

/// Why a company takes back what it proposes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdrawal {
    pub reason: String,
}

/// A step of an invoice.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvoiceStep {
    /// The invoice; none for one that is created.
    pub on: Option<LinearId>,
    pub command: InvoiceCommand,
    /// Companies that the command names, beside those who take part already.
    #[serde(default)]
    pub parties: Vec<EntityId>,
    /// Whether attesters check it; as the step before where nothing is said.
    #[serde(default)]
    pub attested: Attested,
}

/// A payment for the next step of a state.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pay {
    pub payee: EntityId,
    pub amount: Amount,
    pub linear_id: LinearId,
    /// Version of the state that the step will consume.
    pub version: u64,
}

/// Which payment.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaidQuery {
    pub payee: EntityId,
    pub linear_id: LinearId,
    pub version: u64,
}
