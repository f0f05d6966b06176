//! Documents, and the form of stored payloads: read beside the writer, changed by it.

use stateset_event_log::{BodyChange, Document, DocumentChange, LogError, SealingStatus, Table};
use ves::StreamKey;

use crate::dead_letters;
use crate::error::ServiceError;
use crate::sequencer::{Sequencer, uncancelled};
use crate::turn::{Command, TurnLoop};

/// Says in which form stored documents are to be kept.
pub(crate) type Replace = Box<dyn FnOnce() -> Result<Vec<DocumentChange>, LogError> + Send>;

impl Sequencer {
    /// Makes all the changes or none; durable when it returns. Finished also when the caller goes away.
    ///
    /// A check that must hold until its write is the caller's to guard: this service is the only writer.
    pub async fn put_documents(&self, changes: Vec<DocumentChange>) -> Result<(), ServiceError> {
        let service = self.clone();
        uncancelled(async move { service.ask(|reply| Command::Documents(changes, reply)).await }).await
    }

    /// Keeps payloads of stored events in another form at rest, all of them or none; nothing else of an event changes.
    /// Durable when it returns. Finished also when the caller goes away.
    pub async fn replace_bodies(
        &self,
        stream: StreamKey,
        changes: Vec<BodyChange>,
    ) -> Result<(), ServiceError> {
        let service = self.clone();
        uncancelled(async move { service.ask(|reply| Command::Bodies(stream, changes, reply)).await }).await
    }

    /// Keeps stored documents in another form at rest: what `decide` says, on the one thread that writes, so that nothing
    /// comes between what it reads and the write. Nothing follows from it: a letter in another form is the same letter.
    /// Durable when it returns. Finished also when the caller goes away.
    pub async fn replace_documents(
        &self,
        decide: impl FnOnce() -> Result<Vec<DocumentChange>, LogError> + Send + 'static,
    ) -> Result<(), ServiceError> {
        let (service, decide): (_, Replace) = (self.clone(), Box::new(decide));
        uncancelled(async move { service.ask(|reply| Command::Replace(decide, reply)).await }).await
    }

    /// How payloads are kept at rest; `None` where they lie as they are read.
    pub fn sealing(&self) -> Option<SealingStatus> {
        self.inner.reader.sealing()
    }

    /// The document at a key.
    pub async fn document(&self, table: Table, key: &[u8]) -> Result<Option<Document>, ServiceError> {
        let key = key.to_vec();
        self.read(move |reader| Ok(reader.document(table, &key)?)).await
    }

    /// Documents whose keys begin with `prefix` and follow `after`, ascending, at most `limit`.
    pub async fn documents(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Document>, ServiceError> {
        let (prefix, after) = (prefix.to_vec(), after.map(<[u8]>::to_vec));
        self.read_much(move |reader| Ok(reader.documents(table, &prefix, after.as_deref(), limit)?)).await
    }
}

impl TurnLoop {
    pub(crate) fn replace_documents(&mut self, decide: Replace) -> Result<(), ServiceError> {
        let changes = decide()?;
        match changes.is_empty() {
            true => Ok(()),
            false => self.write(|log| log.put_documents(&changes)),
        }
    }

    /// Every write of documents passes here: what follows from them is written with them.
    pub(crate) fn put_documents(&mut self, changes: Vec<DocumentChange>) -> Result<(), ServiceError> {
        if !dead_letters::concerns(&changes) {
            return self.write(|log| log.put_documents(&changes));
        }
        let letters_max = self.config.dead_letters_max;
        let followed = dead_letters::follow(self.reader.as_ref(), changes, letters_max)?;
        self.write(|log| log.put_documents(&followed.changes))?;
        self.shared.dead_letters.settle(followed, letters_max, &self.shared.metrics);
        Ok(())
    }
}
