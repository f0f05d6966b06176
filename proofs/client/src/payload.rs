//! The payload of an event as it was hashed, for proofs of binding level `circuit`.

use ves::event::plain_hash;
use ves::{Digest, PayloadSalt};
use ves_stark_primitives::payload::minor_units_at_key;
use ves_stark_primitives::statement::is_payload_path;
use ves_stark_primitives::{EventInputs, FieldOpening, InputsError, PayloadTable};
use ves_stark_prover::Hashed;

use crate::ProposalError;

/// What `payload_plain_hash` of an event is of. Secret where the event is sealed.
#[derive(Clone, Copy)]
pub struct PlainPayload<'a> {
    /// RFC 8785 text.
    pub canonical: &'a str,
    /// Of a sealed event; `None` for one in clear.
    pub salt: Option<&'a PayloadSalt>,
}

impl PlainPayload<'_> {
    /// `payload_plain_hash` of an event with this payload (VES section 6.1).
    pub fn hash(&self) -> Digest {
        match self.salt {
            Some(salt) => salt.plain_hash(self.canonical),
            None => plain_hash(self.canonical),
        }
    }

    pub(crate) fn hashed(&self) -> Hashed<'_> {
        Hashed { salt: self.salt.map_or(&[], |salt| salt.as_bytes()), payload: self.canonical.as_bytes() }
    }

    /// Whether a proof can be made at all; the answer is the smallest table that holds the payload.
    pub(crate) fn check(
        &self,
        event: &EventInputs,
        opening: &FieldOpening,
    ) -> Result<PayloadTable, ProposalError> {
        let is_salted = self.salt.is_some();
        let facts = &event.facts;
        if is_salted != (facts.payload_kind != 0) || self.hash() != facts.payload_plain_hash {
            return Err(ProposalError::OtherPayload);
        }
        let path = opening.field.path();
        if !is_payload_path(path) {
            return Err(InputsError::CircuitPath { path: path.to_owned() }.into());
        }
        if minor_units_at_key(self.canonical, path)? != opening.opening.value() {
            return Err(ProposalError::OtherAmount { path: path.to_owned() });
        }
        let bytes = self.canonical.len();
        PayloadTable::for_payload(bytes, is_salted).ok_or_else(|| ProposalError::PayloadTooLong {
            bytes,
            bytes_max: PayloadTable::LARGEST.payload_bytes_max(is_salted),
        })
    }
}
