//! The shop's events in the sequencer of this process.

use stateset_commerce::ports::{Fact, History, Journal, JournalError, Later, Place, Recorded};
use stateset_sequencer::{Clock as _, EventResult, RegisterError, Sequencer, SystemClock};
use stateset_sequencer_app::joined::payments::Present;
use tokio::sync::OnceCell;
use ves::draft::Draft;
use ves::ed25519::SigningKey;
use ves::event::Payload;
use ves::keys::{AgentKey, KeyAlgorithm, KeyStatus};
use ves::{AgentId, EventId, KeyId, Rejection, StreamKey};

/// Events of one entity that are read: more than a session takes.
const EVENTS_MAX: usize = 1_000;
const KEY_ID: KeyId = KeyId(1);

/// The log of one agent in one stream.
pub struct SequencedJournal {
    present: Present,
    stream: StreamKey,
    agent: AgentId,
    key: SigningKey,
    is_registered: OnceCell<()>,
}

fn unavailable(problem: impl std::fmt::Display) -> JournalError {
    JournalError::Unavailable(problem.to_string())
}

impl SequencedJournal {
    pub fn new(present: Present, stream: StreamKey, agent: AgentId, seed: [u8; 32]) -> Self {
        Self { present, stream, agent, key: SigningKey::from_seed(seed), is_registered: OnceCell::new() }
    }

    fn sequencer(&self) -> Result<Sequencer, JournalError> {
        self.present.get().ok_or_else(|| unavailable("another process writes the log, or none does"))
    }

    /// The key of the shop's agent is known to the log before its first event.
    async fn register(&self, sequencer: &Sequencer) -> Result<(), JournalError> {
        let register = || async {
            let key = AgentKey {
                tenant_id: self.stream.tenant_id,
                agent_id: self.agent,
                key_id: KEY_ID,
                public_key: self.key.public_key(),
                algorithm: KeyAlgorithm::Ed25519,
                ml_dsa_65: None,
                status: KeyStatus::Active,
                valid_from: None,
                valid_to: None,
                revoked_at: None,
                created_at: SystemClock.now(),
                metadata: None,
            };
            match sequencer.register_agent_key(key).await {
                Ok(()) | Err(RegisterError::AlreadyExists) => Ok(()),
                Err(error) => Err(unavailable(error)),
            }
        };
        self.is_registered.get_or_try_init(register).await.copied()
    }

    async fn read(&self, entity_type: &str, entity_id: &str) -> Result<History, JournalError> {
        let sequencer = self.sequencer()?;
        let history = sequencer.entity_history(&self.stream, entity_type, entity_id, 1, EVENTS_MAX).await;
        let history = history.map_err(unavailable)?;
        let mut own = Vec::with_capacity(history.events.len());
        for stored in &history.events {
            let (envelope, _) = stored.envelope().map_err(unavailable)?;
            // Whoever may write to the stream may name the entity; only the shop's own word counts.
            let Payload::Plain(payload) = &envelope.payload else { continue };
            if envelope.source_agent_id != self.agent {
                continue;
            }
            own.push(Recorded {
                event_type: envelope.event_type.to_string(),
                payload: serde_json::from_str(payload).map_err(unavailable)?,
                place: Place { event_id: envelope.event_id.0, sequence_number: stored.sequence_number.get() },
            });
        }
        Ok(History { version: history.current_version, own })
    }

    async fn write(&self, fact: &Fact) -> Result<Place, JournalError> {
        let sequencer = self.sequencer()?;
        self.register(&sequencer).await?;
        let draft = Draft {
            stream: self.stream,
            event_id: EventId(fact.event_id),
            source_agent_id: self.agent,
            agent_key_id: KEY_ID,
            entity_type: fact.entity_type.into(),
            entity_id: fact.entity_id.as_str().into(),
            event_type: fact.event_type.as_str().into(),
            created_at: SystemClock.now().to_string().into(),
            command_id: None,
            base_version: Some(fact.version),
        };
        let envelope = draft.sign(&fact.payload.to_string(), &self.key);
        let envelope = envelope.map_err(|error| JournalError::Refused(error.to_string()))?;
        let outcome = sequencer.ingest(self.stream, vec![Ok(envelope)]).await.map_err(unavailable)?;
        match outcome.results.into_iter().next() {
            Some(EventResult::Accepted(receipt) | EventResult::Replayed(receipt)) => {
                Ok(Place { event_id: receipt.event_id.0, sequence_number: receipt.sequence_number.get() })
            }
            Some(EventResult::Rejected { rejection: Rejection::VersionConflict { .. }, .. }) => {
                Err(JournalError::Conflict { entity: fact.entity_id.clone() })
            }
            Some(EventResult::Rejected { rejection, .. }) => {
                Err(JournalError::Refused(rejection.to_string()))
            }
            None => Err(unavailable("no answer")),
        }
    }
}

impl Journal for SequencedJournal {
    fn history<'a>(
        &'a self,
        entity_type: &'static str,
        entity_id: &'a str,
    ) -> Later<'a, Result<History, JournalError>> {
        Box::pin(self.read(entity_type, entity_id))
    }

    fn append<'a>(&'a self, fact: &'a Fact) -> Later<'a, Result<Place, JournalError>> {
        Box::pin(self.write(fact))
    }
}
