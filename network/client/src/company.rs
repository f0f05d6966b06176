//! Invoices, flows and payments of one company.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use stateset_contracts::{InvoiceCommand, PaymentEvidence};
use stateset_ledger_types::bank::DenomRecord;
use stateset_ledger_types::ids::{Amount, EntityId, LinearId};

use crate::api::NodeApi;
use crate::error::CallError;
use crate::views::{Flow, Held, Page};

/// Type number of invoices.
const INVOICES: &str = "13";
/// Versions and flows that are read at once.
const ROWS: &str = "500";

/// One company, by its node.
pub struct Company {
    pub api: NodeApi,
    pub org: String,
}

/// A step of an invoice that is proposed.
#[derive(Debug, Serialize)]
pub struct Start<'a, A> {
    /// The invoice, but of a new one.
    pub on: Option<LinearId>,
    pub command: &'a InvoiceCommand,
    /// Of a new invoice.
    pub parties: &'a [EntityId],
    /// Who attests it; `None`: as before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attested: Option<A>,
}

impl Company {
    fn path(&self, rest: &str) -> String {
        format!("/orgs/{}/{rest}", self.org)
    }

    /// A denomination, as the node has it proven.
    ///
    /// # Errors
    /// [`CallError`], NOT_FOUND where the ledger has none of that name.
    pub fn denom(&self, name: &str) -> Result<DenomRecord, CallError> {
        self.api.get(&format!("/denoms/{name}"), &[])
    }

    /// Who the company is on the ledger; `None` where the node runs none of that name.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn entity(&self) -> Result<Option<EntityId>, CallError> {
        #[derive(Deserialize)]
        struct Org {
            org: String,
            entity_id: EntityId,
        }
        let all: Vec<Org> = self.api.get("/orgs", &[])?;
        Ok(all.into_iter().find(|one| one.org == self.org).map(|one| one.entity_id))
    }

    /// A page of the invoices that are not consumed, oldest first.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn invoices(&self, query: &[(&str, &str)]) -> Result<Page<Held>, CallError> {
        let all = [&[("type", INVOICES), ("unspent", "true")], query].concat();
        self.api.get(&self.path("states"), &all)
    }

    /// Every version of an invoice, oldest first.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn history(&self, id: &LinearId) -> Result<Vec<Held>, CallError> {
        let id = id.to_string();
        let query = [("linear_id", id.as_str()), ("limit", ROWS)];
        Ok(self.api.get::<Page<Held>>(&self.path("states"), &query)?.items)
    }

    /// The newest version of the invoice that `reference`, an id or a number, names; `None` where there is none.
    ///
    /// # Errors
    /// [`CallError`], AMBIGUOUS where several have the number.
    pub fn found(&self, reference: &str) -> Result<Option<Held>, CallError> {
        let by = if reference.parse::<LinearId>().is_ok() { "linear_id" } else { "number" };
        let mut found = self.invoices(&[(by, reference), ("limit", "2")])?.items;
        if found.len() > 1 {
            let ids = found.iter().map(|held| held.linear_id.to_string()).collect();
            let said = format!("{} holds several invoices {reference}", self.org);
            return Err(CallError::Ambiguous { said, ids });
        }
        Ok(found.pop())
    }

    /// A page of this company's flows, those that are not over if `open`.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn flows(&self, open: bool, limit: &str, cursor: Option<&str>) -> Result<Page<Flow>, CallError> {
        let mut query = vec![("open", if open { "true" } else { "false" }), ("limit", limit)];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        self.api.get(&self.path("flows"), &query)
    }

    /// All flows that fit, those that are not over if `open`.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn all_flows(&self, open: bool, fits: impl Fn(&Flow) -> bool) -> Result<Vec<Flow>, CallError> {
        let (mut found, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let page = self.flows(open, ROWS, cursor.as_deref())?;
            found.extend(page.items.into_iter().filter(&fits));
            cursor = page.next;
            if cursor.is_none() {
                return Ok(found);
            }
        }
    }

    /// The one open flow that fits and that `reference` names; `None` where there is none.
    ///
    /// - `what`: how such flows are called, as `requests`.
    ///
    /// # Errors
    /// [`CallError`], AMBIGUOUS where there are several.
    pub fn one_flow(
        &self,
        what: &str,
        reference: &str,
        fits: impl Fn(&Flow) -> bool,
    ) -> Result<Option<Flow>, CallError> {
        let mut found = self.all_flows(true, |flow| fits(flow) && flow.is_about(reference))?;
        if found.len() > 1 {
            let ids = found.iter().map(|flow| format!("{} ({})", flow.flow_id, flow.step())).collect();
            return Err(CallError::Ambiguous { said: format!("several {what} are about {reference}"), ids });
        }
        Ok(found.pop())
    }

    /// - `wait_ms`: how long the node waits for a change, as of the calls below.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn flow(&self, id: &str, wait_ms: u64) -> Result<Flow, CallError> {
        self.api.get(&self.path(&format!("flows/{id}")), &[("wait_ms", &wait_ms.to_string())])
    }

    /// # Errors
    /// [`CallError`].
    pub fn start<A: Serialize>(&self, step: &Start<'_, A>, wait_ms: u64) -> Result<Flow, CallError> {
        self.api.post(&self.path(&format!("invoices?wait_ms={wait_ms}")), step)
    }

    /// # Errors
    /// [`CallError`].
    pub fn decide(&self, id: &str, said: &Value, wait_ms: u64) -> Result<Flow, CallError> {
        self.api.post(&self.path(&format!("flows/{id}/decision?wait_ms={wait_ms}")), said)
    }

    /// # Errors
    /// [`CallError`].
    pub fn withdraw(&self, id: &str, reason: &str) -> Result<Flow, CallError> {
        self.api.post(&self.path(&format!("flows/{id}/withdrawal")), &json!({"reason": reason}))
    }

    /// Evidence of what this company has paid for a version; `None` where it has not.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn paid(
        &self,
        payee: EntityId,
        id: LinearId,
        version: u64,
    ) -> Result<Option<PaymentEvidence>, CallError> {
        let (payee, id, version) = (payee.to_string(), id.to_string(), version.to_string());
        let query = [("payee", payee.as_str()), ("linear_id", id.as_str()), ("version", version.as_str())];
        self.api.get(&self.path("payments"), &query)
    }

    /// Pays for the next step of an invoice; the same payment asked for again is the same payment.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn pay(
        &self,
        payee: EntityId,
        amount: &Amount,
        id: LinearId,
        version: u64,
    ) -> Result<PaymentEvidence, CallError> {
        let body = json!({"payee": payee, "amount": amount, "linear_id": id, "version": version});
        self.api.post(&self.path("payments"), &body)
    }
}
