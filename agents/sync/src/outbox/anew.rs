//! Signing again: what an agent's key of before has signed and the stream does not have.

use ves::Payload;

use super::{BATCH_EVENTS_MAX, replace};
use crate::draft::Author;
use crate::group::Held;
use crate::{Store, SyncError};

/// What [`Store::sign_anew`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct SignedAnew {
    pub signed: u64,
    /// Sealed events that no key here opens, or one of whose recipients is not known: still under their old key.
    pub left: u64,
}

impl Store {
    /// Signs what is certainly not in the stream and may still enter it anew, under another key of the agent: what waits,
    /// and what is in conflict and would else be sent under the old key once it is decided. After a rotation, or when the
    /// old key can no longer be registered. A sealed payload is bound to the key that signs, so it is opened with one of the
    /// `held` keys and sealed again for the same recipients.
    ///
    /// # Errors
    /// [`SyncError::Signing`], [`SyncError::NoRandomness`].
    pub fn sign_anew(&mut self, author: &Author, held: &[Held]) -> Result<SignedAnew, SyncError> {
        assert_eq!(author.agent_id, self.agent, "the file belongs to another agent");
        let mut done = SignedAnew::default();
        for state in ["pending", "conflict"] {
            self.sign_state_anew(state, author, held, &mut done)?;
        }
        Ok(done)
    }

    fn sign_state_anew(
        &mut self,
        state: &str,
        author: &Author,
        held: &[Held],
        done: &mut SignedAnew,
    ) -> Result<(), SyncError> {
        let mut position = 0;
        loop {
            let entries = self.entries(position, BATCH_EVENTS_MAX, Some(state))?;
            let Some(last) = entries.last() else { return Ok(()) };
            position = last.position;
            let mut signed = Vec::new();
            for mut entry in entries.into_iter().filter(|entry| entry.envelope.agent_key_id != author.key_id)
            {
                match &entry.envelope.payload {
                    Payload::Plain(_) => {
                        entry.envelope.agent_key_id = author.key_id;
                        entry.envelope.agent_signature =
                            author.signer.sign(entry.envelope.signing_hash().as_bytes())?;
                    }
                    Payload::Encrypted(_) => match self.sealed_anew(&entry, author, held)? {
                        Some(envelope) => entry.envelope = envelope,
                        None => {
                            done.left += 1;
                            continue;
                        }
                    },
                }
                signed.push(entry);
            }
            done.signed += signed.len() as u64;
            self.write("writing", |connection| {
                signed.iter().try_for_each(|entry| replace(connection, entry))
            })?;
        }
    }
}
