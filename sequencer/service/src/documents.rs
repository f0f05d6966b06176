//! Documents: read beside the writer, changed by it.

use stateset_event_log::{Document, DocumentChange, Table};

use crate::error::ServiceError;
use crate::sequencer::{Sequencer, blocking, uncancelled};
use crate::turn::{Command, TurnLoop};

/// What a write was decided on: the document at a place, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unchanged {
    pub table: Table,
    pub key: Vec<u8>,
    /// `None`: there was no document.
    pub found: Option<Document>,
}

impl Sequencer {
    /// Makes all the changes or none; durable when it returns. Finished also when the caller goes away.
    ///
    /// A check that must hold until its write is the caller's to guard: this service is the only writer.
    pub async fn put_documents(&self, changes: Vec<DocumentChange>) -> Result<(), ServiceError> {
        let service = self.clone();
        uncancelled(async move { service.ask(|reply| Command::Documents(changes, reply)).await }).await
    }

    /// Makes all the changes, if the document that they were decided on still is what it was; whether they were made.
    ///
    /// A gate alone does not hold a check until its write: a write whose answer was given up on may still come, after
    /// the gate was passed on.
    pub async fn put_documents_if(
        &self,
        unchanged: Unchanged,
        changes: Vec<DocumentChange>,
    ) -> Result<bool, ServiceError> {
        let service = self.clone();
        let work = async move { service.ask(|reply| Command::DocumentsIf(unchanged, changes, reply)).await };
        uncancelled(work).await
    }

    /// The document at a key.
    pub async fn document(&self, table: Table, key: &[u8]) -> Result<Option<Document>, ServiceError> {
        let (reader, key) = (self.inner.reader.clone(), key.to_vec());
        blocking(move || Ok(reader.document(table, &key)?)).await
    }

    /// Documents whose keys begin with `prefix` and follow `after`, ascending, at most `limit`.
    pub async fn documents(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Document>, ServiceError> {
        let (reader, prefix, after) = (self.inner.reader.clone(), prefix.to_vec(), after.map(<[u8]>::to_vec));
        blocking(move || Ok(reader.documents(table, &prefix, after.as_deref(), limit)?)).await
    }
}

impl TurnLoop {
    /// On the one thread that writes, so that nothing comes between the look and the write.
    pub(crate) fn put_documents_if(
        &mut self,
        unchanged: &Unchanged,
        changes: &[DocumentChange],
    ) -> Result<bool, ServiceError> {
        let found = self.reader.document(unchanged.table, &unchanged.key)?;
        if found != unchanged.found {
            return Ok(false);
        }
        self.write(|log| log.put_documents(changes)).map(|()| true)
    }
}
