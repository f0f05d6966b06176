//! Calls that read, and those that only move what is already written.

use serde_json::{Value, json};
use uuid::Uuid;
use ves::EventId;

use super::{Desk, not_found, page};
use crate::answer::CallError;
use crate::arguments::Given;
use crate::cursor;
use crate::port::{Entity, EntryState, HistoryEvent, SyncReport};
use crate::table::{EntityId, Tool, Work};

/// Entities that one call looks through; what is behind them is for the next page.
const SCAN_MAX: usize = 500;
/// Entities that are read at once, at most.
const CHUNK: usize = 100;

impl Desk {
    pub(super) fn read(&self, tool: &Tool, given: &Given) -> Result<Value, CallError> {
        match tool.work {
            Work::Get { entity, id } => self.get(entity, &existing_id(id, given)),
            Work::List { entity } => {
                let status = given.text("status");
                let fits = |entity: &Entity| status.is_none_or(|wanted| status_of(entity) == wanted);
                self.list(entity, given, fits)
            }
            Work::ProductSearch => {
                let words: Vec<String> = given
                    .text("query")
                    .unwrap_or_default()
                    .split_whitespace()
                    .map(str::to_lowercase)
                    .collect();
                self.list("product", given, |entity| has_words(entity, &words))
            }
            Work::History => self.history(given),
            Work::ReceiptGet => self.receipt(uuid(given, "event_id")),
            Work::ProofGet => {
                Ok(json!({"proof": self.ports.service.proof(EventId(uuid(given, "event_id")))?}))
            }
            Work::ProofVerify => {
                let proof = given.members().get("proof").map(Value::to_string).unwrap_or_default();
                Ok(self.ports.service.verify(&proof)?)
            }
            Work::PaymentGet => Ok(json!({"intent": self.ports.service.payment(uuid(given, "intent_id"))?})),
            Work::PaymentReceipt => {
                Ok(json!({"receipt": self.ports.service.payment_receipt(uuid(given, "intent_id"))?}))
            }
            Work::KeyList => Ok(json!({"keys": self.ports.service.keys()?})),
            Work::SyncStatus => {
                let status = self.ports.outbox.status()?;
                Ok(json!({
                    "pending": status.pending, "receipted": status.receipted, "refused": status.refused,
                    "conflicts": status.conflicts, "pulled_to": status.pulled_to,
                }))
            }
            Work::SyncPush => Ok(report(&self.ports.outbox.push()?)),
            Work::SyncPull => Ok(report(&self.ports.outbox.pull()?)),
            Work::ApprovalGet => {
                let approval = self.approval(given.text("approval_id").unwrap_or_default())?;
                Ok(json!({"approval": approval.body()}))
            }
            Work::ApprovalList => self.list_approvals(given),
            Work::InvoiceGet | Work::InvoiceList | Work::InvoiceRequests => {
                self.read_invoices(tool.work, given)
            }
            Work::Event { .. } | Work::PaymentCreate | Work::InvoiceStep(_) => {
                unreachable!("writes have their own door")
            }
        }
    }

    fn get(&self, entity_type: &str, id: &str) -> Result<Value, CallError> {
        let entity = self.ports.entities.get(entity_type, id)?;
        Ok(json!({"entity": entity_body(&entity.ok_or_else(|| not_found(entity_type, id))?)}))
    }

    /// A page of the entities that fit, out of at most [`SCAN_MAX`] that are looked at.
    fn list(
        &self,
        entity_type: &str,
        given: &Given,
        fits: impl Fn(&Entity) -> bool,
    ) -> Result<Value, CallError> {
        let mut after = place(entity_type, given)?;
        let (limit, mut found, mut seen) = (given.page_size(), Vec::new(), 0);
        // One more than fits tells whether there is another page.
        let size = (limit + 1).min(CHUNK);
        let next = loop {
            let chunk = self.ports.entities.list(entity_type, after.as_deref(), size)?;
            let is_last = chunk.len() < size;
            let mut is_full = false;
            for entity in chunk {
                if found.len() == limit {
                    is_full = true;
                    break;
                }
                seen += 1;
                after = Some(entity.entity_id.clone());
                // An id whose events were all refused is no entity; it has its place in the list alone.
                if entity.version > 0 && fits(&entity) {
                    found.push(entity_body(&entity));
                }
            }
            match (is_full, is_last) {
                (true, _) => break after,
                (false, true) => break None,
                (false, false) if seen >= SCAN_MAX => break after,
                (false, false) => {}
            }
        };
        Ok(page("entities", found, next.map(|after| cursor::write(entity_type, &after))))
    }

    fn history(&self, given: &Given) -> Result<Value, CallError> {
        let (entity_type, id) = (given.text("entity_type"), given.text("entity_id"));
        let (entity_type, id) = (entity_type.unwrap_or_default(), id.unwrap_or_default());
        let list = format!("history {entity_type} {id}");
        let skip: u64 = match place(&list, given)? {
            None => 0,
            Some(text) => {
                text.parse().map_err(|_| CallError::argument("cursor", "is no cursor of this list"))?
            }
        };
        let limit = given.page_size();
        let mut events = self.ports.entities.history(entity_type, id, skip, limit + 1)?;
        if events.is_empty() && skip == 0 {
            return Err(not_found(entity_type, id));
        }
        let next = (events.len() > limit).then(|| cursor::write(&list, &(skip + limit as u64).to_string()));
        events.truncate(limit);
        Ok(page("events", events.iter().map(event_body).collect(), next))
    }

    fn receipt(&self, event: Uuid) -> Result<Value, CallError> {
        let state = match self.ports.outbox.entry(EventId(event))? {
            Some(state) => state,
            // Somebody else's event has a receipt once it was pulled: it was verified then.
            None => {
                match self.ports.entities.event(EventId(event))?.and_then(|event| event.sequence_number) {
                    Some(sequence_number) => EntryState::Receipted { sequence_number },
                    None => return Err(not_found("event", &event.to_string())),
                }
            }
        };
        let mut body = json!({"event_id": event});
        say_state(&mut body, &state);
        Ok(body)
    }

    fn list_approvals(&self, given: &Given) -> Result<Value, CallError> {
        const LIST: &str = "approvals";
        let before = match place(LIST, given)? {
            None => None,
            Some(text) => {
                Some(text.parse().map_err(|_| CallError::argument("cursor", "is no cursor of this list"))?)
            }
        };
        let limit = given.page_size();
        let mut approvals = self.approvals(before, limit + 1)?;
        let is_more = approvals.len() > limit;
        approvals.truncate(limit);
        let next =
            approvals.last().filter(|_| is_more).map(|last| cursor::write(LIST, &last.number.to_string()));
        Ok(page("approvals", approvals.iter().map(|approval| approval.body()).collect(), next))
    }
}

/// The id of an entity that a call names. Arguments were read before, so that it is there.
pub(super) fn existing_id(id: EntityId, given: &Given) -> String {
    match id {
        EntityId::Argument { name, .. } => given.text(name).unwrap_or_default().to_owned(),
        EntityId::Stock => {
            let product = given.text("product_id").unwrap_or_default();
            match given.text("location") {
                Some(location) => format!("{product}:{location}"),
                None => product.to_owned(),
            }
        }
    }
}

pub(super) fn place(list: &str, given: &Given) -> Result<Option<String>, CallError> {
    let read = |text| cursor::read(list, text).map_err(|problem| CallError::argument("cursor", problem));
    given.text("cursor").map(read).transpose()
}

/// An argument that was read as a UUID.
pub(super) fn uuid(given: &Given, name: &str) -> Uuid {
    given.text(name).and_then(|text| Uuid::try_parse(text).ok()).unwrap_or_default()
}

fn status_of(entity: &Entity) -> &str {
    entity.state.get("status").and_then(Value::as_str).unwrap_or_default()
}

/// Whether every word stands somewhere in what names a product.
fn has_words(entity: &Entity, words: &[String]) -> bool {
    let text = |name: &str| entity.state.get(name).and_then(Value::as_str).unwrap_or_default();
    let hay = format!("{} {} {} {}", entity.entity_id, text("sku"), text("name"), text("description"))
        .to_lowercase();
    words.iter().all(|word| hay.contains(word.as_str()))
}

pub(crate) fn entity_body(entity: &Entity) -> Value {
    json!({
        "entity_type": entity.entity_type,
        "entity_id": entity.entity_id,
        "version": entity.version,
        "sequence_number": entity.sequence_number,
        "pending": entity.pending,
        "unreadable": entity.unreadable,
        "state": entity.state,
    })
}

pub(crate) fn event_body(event: &HistoryEvent) -> Value {
    let mut body = json!({
        "event_id": event.event_id.to_string(),
        "event_type": event.event_type,
        "entity_type": event.entity_type,
        "entity_id": event.entity_id,
        "created_at": event.created_at,
        "agent_id": event.agent_id,
    });
    if let Some(number) = event.sequence_number {
        body["sequence_number"] = number.into();
    }
    if let Some(payload) = &event.payload {
        body["payload"] = payload.clone();
    }
    body
}

/// Writes `status` and what belongs to it.
pub(super) fn say_state(body: &mut Value, state: &EntryState) {
    let status = match state {
        EntryState::Pending => "pending",
        EntryState::Receipted { sequence_number } => {
            body["sequence_number"] = (*sequence_number).into();
            "receipted"
        }
        EntryState::Refused { code, message } => {
            body["problem"] = format!("{code}: {message}").into();
            "refused"
        }
        EntryState::Conflict { message } => {
            body["problem"] = message.clone().into();
            "conflict"
        }
    };
    body["status"] = status.into();
}

fn report(report: &SyncReport) -> Value {
    json!({
        "events": report.events, "refused": report.refused, "conflicts": report.conflicts, "head": report.head,
    })
}
