//! The envelope as JSON (section 5): reading what an agent sent, writing what a reader gets.
//!
//! Reading takes snake_case and camelCase and borrows all it can: a plaintext event whose payload is canonical is
//! decoded without an allocation. Checks run in the order of section 10, steps 3 to 7. Writing is snake_case.

mod decode;
mod encode;
mod object;
mod raw;

use crate::event::{Envelope, Payload, plain_hash};
use crate::hash::{Digest, Domain, Hasher};
use crate::ids::{EventId, StreamKey};
use crate::reject::Rejection;
use crate::seal;

pub(crate) use decode::{check_created_at, check_text};
pub use decode::{decode, decode_text};
pub use encode::encode;
pub(crate) use object::integer;
pub use raw::RawEnvelope;
pub(crate) use raw::parse_uuid;

/// An event that could not be read, and as much of its name as could be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable {
    pub event_id: Option<EventId>,
    pub stream: Option<StreamKey>,
    pub rejection: Rejection,
}

/// Why an event could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Refuses the whole request.
    #[error("nested deeper than {} levels", crate::json::DEPTH_MAX)]
    TooDeep,
    /// Refuses this event alone.
    #[error("{}", .0.rejection)]
    Event(Undecodable),
}

impl Envelope<'_> {
    /// Step 8 of section 10: the hash that the sequencer can recompute is the claimed one.
    ///
    /// # Errors
    /// [`Rejection::InvalidPayloadHash`] for a plaintext event, [`Rejection::InvalidCipherHash`] for a sealed one.
    pub fn check_payload_hash(&self) -> Result<(), Rejection> {
        match &self.payload {
            Payload::Plain(canonical) if plain_hash(canonical) != self.payload_plain_hash => {
                Err(Rejection::InvalidPayloadHash)
            }
            Payload::Encrypted(sealed)
                if seal::cipher_hash(&self.payload_aad(), sealed) != self.payload_cipher_hash =>
            {
                Err(Rejection::InvalidCipherHash)
            }
            _ => Ok(()),
        }
    }

    /// The hash that ties a sealed payload to its event (section 7.2).
    pub fn payload_aad(&self) -> Digest {
        Hasher::new(Domain::PayloadAad)
            .uuid(&self.stream.tenant_id.0)
            .uuid(&self.stream.store_id.0)
            .uuid(&self.event_id.0)
            .uuid(&self.source_agent_id.0)
            .u32(self.agent_key_id.0)
            .str(&self.entity_type)
            .str(&self.entity_id)
            .str(&self.event_type)
            .str(&self.created_at)
            .digest(&self.payload_plain_hash)
            .finish()
    }
}

#[cfg(test)]
mod tests;
