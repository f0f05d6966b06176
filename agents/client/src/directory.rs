//! The signed key directory of an agent, believed only when it verifies.

use ves::directory::{self, Expected, KeyDirectory};
use ves::{AgentId, SequenceNumber, StreamKey, TimestampMs};

use crate::{Client, ClientError, Untrue};

/// Oldest directory that is believed, in milliseconds.
pub const DIRECTORY_AGE_MS_MAX: i64 = 60_000;

impl Client {
    /// All keys of `agent` as the server knows them at `now`, signed by its receipt key. `seen` is the highest head of
    /// the stream known before; a key that the directory does not name is absent.
    ///
    /// # Errors
    /// [`Untrue::Directory`] for an answer that is forged, of another agent or stream, too old, or behind `seen`.
    pub fn key_directory(
        &self,
        stream: &StreamKey,
        agent: &AgentId,
        seen: SequenceNumber,
        now: TimestampMs,
    ) -> Result<KeyDirectory, ClientError> {
        let StreamKey { tenant_id, store_id } = *stream;
        let path = format!("/api/v1/agents/{agent}/keys?tenant_id={tenant_id}&store_id={store_id}");
        let text = self.http.get_text(&path)?;
        let expected = Expected {
            tenant_id,
            agent_id: *agent,
            stream: Some((store_id, seen)),
            now,
            age_ms_max: DIRECTORY_AGE_MS_MAX,
        };
        let key = self.identity()?.current_key()?;
        Ok(directory::verify(&text, key, &expected).map_err(Untrue::Directory)?)
    }
}
