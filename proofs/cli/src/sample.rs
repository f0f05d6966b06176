//! Public inputs of an event that does not exist, to try things out with.

use ves::compliance::{Bindings, EventFacts, Policy};
use ves::{Digest, EventId, SequenceNumber, StoreId, StreamKey, TenantId};
use ves_stark_client::PlainPayload;
use ves_stark_primitives::EventInputs;

use crate::failure::Failure;
use crate::random;

/// Inputs of an event with this payload, or of one whose hashes are of nothing.
pub fn inputs_with(policy: &Policy, payload: Option<&PlainPayload<'_>>) -> Result<EventInputs, Failure> {
    let mut made_up = inputs(policy, 1)?;
    if let Some(payload) = payload {
        made_up.facts.payload_plain_hash = payload.hash();
        if payload.salt.is_none() {
            made_up.facts.payload_kind = 0;
            made_up.facts.payload_cipher_hash = Digest::ZERO;
        }
    }
    Ok(made_up)
}

/// Inputs with random ids and hashes, as of a sealed event.
pub fn inputs(policy: &Policy, sequence_number: u64) -> Result<EventInputs, Failure> {
    let digest = || random::bytes().map(Digest);
    Ok(EventInputs {
        facts: EventFacts {
            event_id: EventId::random(random::bytes()?),
            stream: StreamKey {
                tenant_id: TenantId::random(random::bytes()?),
                store_id: StoreId::random(random::bytes()?),
            },
            sequence_number: SequenceNumber(sequence_number),
            payload_kind: 1,
            payload_plain_hash: digest()?,
            payload_cipher_hash: digest()?,
            event_signing_hash: digest()?,
        },
        policy: policy.clone(),
        bindings: Bindings::default(),
        witness_commitment: None,
    })
}
