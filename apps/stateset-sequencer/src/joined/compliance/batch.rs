//! Proofs about committed batches: the statement is the server's own, and each commitment is signed by the author of its
//! event, which the log names.

use std::collections::BTreeMap;

use stateset_sequencer::{BatchEvent, ProofClaim, Proved};
use ves::{AgentId, AgentKey, KeyId, SequenceNumber};
use ves_stark_batch::{BatchBundle, BatchFacts};
use ves_stark_primitives::binding::BindingTimes;
use ves_stark_primitives::{BindingError, CommitmentBinding, CommittedField};

/// Everything in order of its price; the reason is for the sender.
pub fn judge(claim: &ProofClaim<'_>) -> Result<Proved, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let bundle = std::str::from_utf8(claim.proof).map_err(|_| "the bundle is not UTF-8".to_owned())?;
    let own = BatchFacts::parse(&claim.statement.public_inputs).map_err(|error| text(&error))?;
    if own.policy.is_none() {
        return Err("the proof claims compliance, so its policyId and policyParams are needed".to_owned());
    }
    let bundle = BatchBundle::parse(bundle).map_err(|error| text(&error))?;
    bundle.check_facts(&own).map_err(|error| text(&error))?;
    let setting = claim.setting;
    bundle.check_context(&setting.sequencer_id.to_string(), setting.now).map_err(|error| text(&error))?;
    let keys = setting.author_keys.iter().map(|key| ((key.agent_id, key.key_id), key)).collect();
    let authors = Authors { claim, keys };
    let bound = bundle.check_bindings(|event, binding, list| authors.check(event, binding, list));
    bound.map_err(|error| text(&error))?;
    bundle.check().map_err(|error| text(&error))?;
    Ok(Proved {
        statement_digest: Some(bundle.inputs.statement_digest()),
        events_left_out: u32::try_from(bundle.inputs.excluded.len()).ok(),
        valid_until: bundle.inputs.valid_until,
        ..Proved::default()
    })
}

/// The log's events with the keys of their authors.
struct Authors<'a> {
    claim: &'a ProofClaim<'a>,
    keys: BTreeMap<(AgentId, KeyId), &'a AgentKey>,
}

impl Authors<'_> {
    /// The signature is of a key that the event's author had when the event was taken in.
    fn check(
        &self,
        event: SequenceNumber,
        binding: &CommitmentBinding,
        list: &[CommittedField],
    ) -> Result<(), BindingError> {
        let event = self.event(event).ok_or(BindingError::Signature)?;
        let key = self.keys.get(&(event.author.agent_id, binding.agent_key_id));
        let key = key.ok_or(BindingError::Signature)?;
        let times =
            BindingTimes { event: event.author.sequenced_at, first_seen: self.claim.setting.submitted_at };
        binding.verify_registered(&event.event_signing_hash, list, key, times)
    }

    fn event(&self, number: SequenceNumber) -> Option<&BatchEvent> {
        let events = &self.claim.setting.batch_events;
        let place = events.binary_search_by_key(&number, |event| event.sequence_number);
        place.ok().map(|place| &events[place])
    }
}
