//! Documents: read beside the writer, changed by it.

use stateset_event_log::{Document, DocumentChange, Table};

use crate::error::ServiceError;
use crate::sequencer::{Sequencer, blocking, uncancelled};
use crate::turn::Command;

impl Sequencer {
    /// Makes all the changes or none; durable when it returns. Finished also when the caller goes away.
    ///
    /// A check that must hold until its write is the caller's to guard: this service is the only writer.
    pub async fn put_documents(&self, changes: Vec<DocumentChange>) -> Result<(), ServiceError> {
        let service = self.clone();
        uncancelled(async move { service.ask(|reply| Command::Documents(changes, reply)).await }).await
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
