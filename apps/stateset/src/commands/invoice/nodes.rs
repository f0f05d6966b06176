//! What the nodes say of invoices and of flows, and how both are named on the command line.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stateset_contracts::{Invoice, InvoiceCommand, PaymentEvidence};
use stateset_keystore::KeyName;
use stateset_ledger_types::ids::{Amount, EntityId, LinearId, StateRef, TxId};
use stateset_node::Attested;

use statesetd_app::PeersFile;

use crate::commands::org;
use crate::context::Context;
use crate::error::CliError;
use crate::ledger::nodes::Nodes;

/// Type number of invoices.
const INVOICES: &str = "13";
/// Most versions of one invoice that are shown.
const ROWS_MAX: &str = "500";

/// A version of an invoice in a company's vault.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Held {
    pub place: StateRef,
    pub linear_id: LinearId,
    pub status: Option<String>,
    pub number: Option<String>,
    pub version: Option<u64>,
    pub height: u64,
    pub time_ms: u64,
    pub consumer: Option<TxId>,
    pub content: Option<Invoice>,
}

impl Held {
    /// # Errors
    /// Of a later version of the contract.
    pub fn invoice(&self) -> Result<&Invoice, CliError> {
        let said = format!("{} is an invoice of a kind that this program does not know", self.linear_id);
        self.content.as_ref().ok_or_else(|| CliError::failure("UNREADABLE_ANSWER", said))
    }
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

/// A flow, as a node shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Flow {
    pub flow_id: String,
    pub tx_id: TxId,
    pub phase: String,
    pub from: Option<EntityId>,
    pub code: Option<Value>,
    pub reason: Option<String>,
    pub linear_id: Option<LinearId>,
    pub commands: Vec<String>,
    pub content: Option<Invoice>,
    pub waits_for: Vec<EntityId>,
    pub undecided: bool,
}

impl Flow {
    pub fn is_final(&self) -> bool {
        self.phase == "final"
    }

    /// What it does, as `Create`.
    pub fn step(&self) -> &str {
        self.commands.first().and_then(|command| command.rsplit(' ').next()).unwrap_or("?")
    }

    /// Code and reason of one that ended.
    pub fn ended(&self) -> (String, String) {
        let code = self.code.as_ref().and_then(Value::as_str).unwrap_or("REFUSED").to_owned();
        let reason = self.reason.clone().unwrap_or_default();
        // What another company's node says begins with the code.
        let said = reason.strip_prefix(&format!("{code}: ")).unwrap_or(&reason).to_owned();
        (code, said)
    }

    fn is_about(&self, reference: &str) -> bool {
        let number = self.content.as_ref().map(|invoice| invoice.head.number.to_string());
        self.flow_id == reference
            || number.as_deref() == Some(reference)
            || self.linear_id.is_some_and(|id| id.to_string() == reference)
    }
}

/// One company's node.
pub struct OrgNode {
    pub nodes: Nodes,
    pub org: String,
}

/// A company of this machine or of the address book by its name, any member by its id.
pub fn entity(context: &Context, option: &str, name: &str) -> Result<EntityId, CliError> {
    if let Ok(id) = name.parse::<EntityId>() {
        return Ok(id);
    }
    let org = name.parse::<KeyName>().map_err(|_| {
        CliError::input(
            "BAD_NAME",
            format!("{option} {name}: a company's name here, or an id of 40 hex digits"),
        )
    })?;
    if !org::exists(context, &org)
        && let Some(peer) = PeersFile::read(&context.data.ledger())?.named(name)
    {
        return Ok(peer.entity_id);
    }
    Ok(org::read(context, &org)?.entity_id)
}

impl OrgNode {
    pub fn of(context: &Context, org: &KeyName) -> Result<Self, CliError> {
        org::read(context, org)?;
        Ok(Self { nodes: Nodes::of(&context.data)?, org: org.to_string() })
    }

    fn path(&self, rest: &str) -> String {
        format!("/orgs/{}/{rest}", self.org)
    }

    /// A page of the invoices that are not consumed, oldest first.
    pub fn invoices(&self, query: &[(&str, &str)]) -> Result<Page<Held>, CliError> {
        let all = [&[("type", INVOICES), ("unspent", "true")], query].concat();
        self.nodes.get_by(&self.path("states"), &all)
    }

    /// Every version of an invoice, oldest first.
    pub fn history(&self, id: &LinearId) -> Result<Vec<Held>, CliError> {
        let query = [("linear_id", id.to_string())];
        let query = [("linear_id", query[0].1.as_str()), ("limit", ROWS_MAX)];
        Ok(self.nodes.get_by::<Page<Held>>(&self.path("states"), &query)?.items)
    }

    /// The newest version of the invoice that `reference` names; `None` where there is none.
    pub fn found(&self, reference: &str) -> Result<Option<Held>, CliError> {
        let by = if reference.parse::<LinearId>().is_ok() { "linear_id" } else { "number" };
        let mut found = self.invoices(&[(by, reference), ("limit", "2")])?.items;
        if found.len() > 1 {
            let ids: Vec<_> = found.iter().map(|held| held.linear_id.to_string()).collect();
            let said = format!("{} holds several invoices {reference}", self.org);
            return Err(CliError::input("AMBIGUOUS", said).hint(format!("give an id: {}", ids.join(", "))));
        }
        Ok(found.pop())
    }

    /// As [`found`](Self::found), where there has to be one.
    pub fn invoice(&self, reference: &str) -> Result<Held, CliError> {
        self.found(reference)?.ok_or_else(|| {
            CliError::input("NO_SUCH_INVOICE", format!("{} holds no invoice {reference}", self.org)).hint(
                "see `stateset invoice list`; `requests` and `proposals --all` for what is only proposed, or was declined",
            )
        })
    }

    /// Flows of this company, those that are not over if `open`.
    fn flows(&self, open: bool, keep: impl Fn(&Flow) -> bool) -> Result<Vec<Flow>, CliError> {
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let mut query = vec![("open", if open { "true" } else { "false" }), ("limit", ROWS_MAX)];
            query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page: Page<Flow> = self.nodes.get_by(&self.path("flows"), &query)?;
            found.extend(page.items.into_iter().filter(&keep));
            cursor = page.next;
            if cursor.is_none() {
                return Ok(found);
            }
        }
    }

    /// What waits for a person of this company.
    pub fn requests(&self) -> Result<Vec<Flow>, CliError> {
        self.flows(true, |flow| flow.phase == "deciding")
    }

    /// The one request that `reference` names; `None` where there is none.
    pub fn request(&self, reference: &str) -> Result<Option<Flow>, CliError> {
        one_of("requests", self.requests()?, reference)
    }

    /// What this company proposes; also what is over, if `all`.
    pub fn proposals(&self, all: bool) -> Result<Vec<Flow>, CliError> {
        self.flows(!all, |flow| flow.from.is_none())
    }

    /// The one proposal that `reference` names and that is not over; `None` where there is none.
    pub fn proposal(&self, reference: &str) -> Result<Option<Flow>, CliError> {
        one_of("proposals", self.proposals(false)?, reference)
    }

    pub fn withdraw(&self, id: &str, reason: &str) -> Result<Flow, CliError> {
        self.nodes.post(&self.path(&format!("flows/{id}/withdrawal")), &json!({"reason": reason}))
    }

    pub fn start(
        &self,
        on: Option<LinearId>,
        command: &InvoiceCommand,
        parties: &[EntityId],
        wait_ms: u64,
    ) -> Result<Flow, CliError> {
        self.start_as(on, command, parties, Attested::AsBefore, wait_ms)
    }

    pub fn start_as(
        &self,
        on: Option<LinearId>,
        command: &InvoiceCommand,
        parties: &[EntityId],
        attested: Attested,
        wait_ms: u64,
    ) -> Result<Flow, CliError> {
        let body = json!({"on": on, "command": command, "parties": parties, "attested": attested});
        self.nodes.post(&self.path(&format!("invoices?wait_ms={wait_ms}")), &body)
    }

    pub fn flow(&self, id: &str, wait_ms: u64) -> Result<Flow, CliError> {
        self.nodes.get(&self.path(&format!("flows/{id}?wait_ms={wait_ms}")))
    }

    pub fn decide(&self, id: &str, said: &Value, wait_ms: u64) -> Result<Flow, CliError> {
        self.nodes.post(&self.path(&format!("flows/{id}/decision?wait_ms={wait_ms}")), said)
    }

    /// Evidence of what this company has paid; `None` where it has not.
    pub fn paid(
        &self,
        payee: EntityId,
        linear_id: LinearId,
        version: u64,
    ) -> Result<Option<PaymentEvidence>, CliError> {
        let (payee, id, version) = (payee.to_string(), linear_id.to_string(), version.to_string());
        let query = [("payee", payee.as_str()), ("linear_id", id.as_str()), ("version", version.as_str())];
        self.nodes.get_by(&self.path("payments"), &query)
    }

    /// Pays for the next step of an invoice; the same payment asked for again is the same payment.
    pub fn pay(
        &self,
        payee: EntityId,
        amount: &Amount,
        linear_id: LinearId,
        version: u64,
    ) -> Result<PaymentEvidence, CliError> {
        let body = json!({"payee": payee, "amount": amount, "linear_id": linear_id, "version": version});
        self.nodes.post(&self.path("payments"), &body)
    }
}

fn one_of(what: &str, mut found: Vec<Flow>, reference: &str) -> Result<Option<Flow>, CliError> {
    found.retain(|flow| flow.is_about(reference));
    if found.len() > 1 {
        let ids: Vec<_> = found.iter().map(|flow| format!("{} ({})", flow.flow_id, flow.step())).collect();
        let said = format!("several {what} are about {reference}");
        return Err(CliError::input("AMBIGUOUS", said).hint(format!("give one: {}", ids.join(", "))));
    }
    Ok(found.pop())
}
