//! What an agent wants to say, and how it becomes a signed event.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;
use ves::draft::Draft;
use ves::ed25519::Signer;
use ves::seal::{Recipient, SealingRandomness};
use ves::{AgentId, CommandId, Envelope, EventId, KeyId, StreamKey, TimestampMs};

use crate::SyncError;

/// Who signs.
#[derive(Clone)]
pub struct Author {
    pub agent_id: AgentId,
    pub key_id: KeyId,
    pub signer: Arc<dyn Signer>,
}

/// An event before it is signed. Ids and time are chosen where they are left out.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewEvent {
    pub entity_type: String,
    pub entity_id: String,
    pub event_type: String,
    pub payload: Box<RawValue>,
    #[serde(default)]
    pub event_id: Option<EventId>,
    /// RFC 3339; the exact text is signed.
    #[serde(default)]
    pub created_at: Option<String>,
    #[serde(default)]
    pub command_id: Option<CommandId>,
    /// The version that the entity has to be at.
    #[serde(default)]
    pub base_version: Option<u64>,
}

/// Who may read the payload.
#[derive(Debug, Clone, Default)]
pub struct Audience {
    /// Nobody: the payload stays in clear.
    pub recipients: Vec<Recipient>,
    /// The group that the recipients are of, so that the payload is sealed anew when it changes.
    pub group: Option<uuid::Uuid>,
}

impl NewEvent {
    /// Signs the event, sealed for the recipients where there are any. `index` names it in errors.
    ///
    /// # Errors
    /// [`SyncError::Draft`]: what a sequencer would refuse is refused here.
    pub(crate) fn sign(
        &self,
        index: usize,
        stream: StreamKey,
        author: &Author,
        recipients: &[Recipient],
        now: TimestampMs,
    ) -> Result<Envelope<'static>, SyncError> {
        let event_id = match self.event_id {
            Some(id) => id,
            None => new_event_id(now)?,
        };
        let draft = Draft {
            stream,
            event_id,
            source_agent_id: author.agent_id,
            agent_key_id: author.key_id,
            entity_type: self.entity_type.as_str().into(),
            entity_id: self.entity_id.as_str().into(),
            event_type: self.event_type.as_str().into(),
            created_at: self.created_at.clone().unwrap_or_else(|| now.to_string()).into(),
            command_id: self.command_id,
            base_version: self.base_version,
        };
        let payload = self.payload.get();
        let signed = match recipients {
            [] => draft.sign(payload, author.signer.as_ref()),
            recipients => {
                let drawn = draw(recipients.len())?;
                draft.seal_and_sign(payload, recipients, drawn, author.signer.as_ref())
            }
        };
        signed.map_err(|problem| SyncError::Draft { index, problem })
    }
}

pub(crate) fn draw(recipients: usize) -> Result<SealingRandomness, SyncError> {
    SealingRandomness::draw(recipients, getrandom::fill).map_err(|_| SyncError::NoRandomness)
}

/// A version 7 id: its time comes first, so that the index of the outbox grows at its end.
fn new_event_id(now: TimestampMs) -> Result<EventId, SyncError> {
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(|_| SyncError::NoRandomness)?;
    let ms = u64::try_from(now.0).unwrap_or(0);
    Ok(EventId(uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid()))
}
