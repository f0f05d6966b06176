//! What only the sequencer's own agent says (x402, A.3): an event about a payment or a batch states what the service did.
//! From anyone else it would be a payment that was never made, in a signed log.

use ves::envelope::Undecodable;
use ves::legacy::CheckedLegacyEvent;
use ves::verify::{Refused, Verified};
use ves::{AgentId, Rejection};

use crate::sequencer::Sequencer;

/// Types of the entities that events about payments are of.
pub(super) const PAYMENT: &str = "x402_payment";
pub(super) const BATCH: &str = "x402_batch";

/// Whether events of this name are the sequencer's own.
fn is_own(name: &str) -> bool {
    let entity_type = name.split_once('.').map_or(name, |(entity_type, _)| entity_type);
    [PAYMENT, BATCH].contains(&entity_type)
}

/// The refusal of an event that says what only the sequencer's own agent may.
fn refusal(entity_type: &str, event_type: &str) -> Option<Rejection> {
    let field = match (is_own(event_type), is_own(entity_type)) {
        (true, _) => "event_type",
        (_, true) => "entity_type",
        _ => return None,
    };
    let problem = "what begins with x402_payment or x402_batch is told by the sequencer's own agent alone; submit payment \
                   intents to POST /api/v1/x402/payments";
    Some(Rejection::schema(field, problem))
}

/// Turns verified events of others about payments into refused ones.
pub(crate) fn refuse_foreign<'a>(own: &AgentId, events: &mut [Result<Verified<'a>, Refused<'a>>]) {
    for event in events {
        let Ok(verified) = event else { continue };
        let envelope = verified.envelope();
        if envelope.source_agent_id == *own {
            continue;
        }
        if let Some(rejection) = refusal(&envelope.entity_type, &envelope.event_type) {
            *event = Err((envelope.clone(), rejection));
        }
    }
}

/// The same for events of the older form, none of which is the sequencer's.
pub(crate) fn refuse_older(
    event: Result<CheckedLegacyEvent, Undecodable>,
) -> Result<CheckedLegacyEvent, Undecodable> {
    let event = event?;
    match refusal(&event.entity_type, &event.event_type) {
        Some(rejection) => {
            Err(Undecodable { event_id: Some(event.event_id), stream: Some(event.stream), rejection })
        }
        None => Ok(event),
    }
}

impl Sequencer {
    /// The agent that tells of payments: it has the sequencer's id, and signs with its key.
    pub(crate) fn own_agent(&self) -> AgentId {
        AgentId::from_bytes(*self.sequencer_id().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_sequencer_says_is_known_by_either_type_and_by_the_whole_word() {
        let field =
            |entity_type, event_type| refusal(entity_type, event_type).map(|rejection| rejection.reason());
        let refused = |name: &str| Some(format!("schema_validation: {name}"));
        assert_eq!(field("x402_payment", "x402_payment.settled"), refused("event_type"));
        assert_eq!(field("order", "x402_batch.committed"), refused("event_type"));
        assert_eq!(field("order", "x402_payment"), refused("event_type"));
        assert_eq!(field("x402_payment", "order.created"), refused("entity_type"));
        assert_eq!(field("payment", "payment.settled"), None);
        assert_eq!(field("order", "x402_payments.listed"), None);
    }
}
