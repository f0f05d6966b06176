//! Writing documents only while what they were decided on still stands.

use stateset_event_log::{Document, DocumentChange, Table};

use crate::error::ServiceError;
use crate::sequencer::{Sequencer, uncancelled};
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
}

impl TurnLoop {
    /// On the one thread that writes, so that nothing comes between the look and the write.
    pub(crate) fn put_documents_if(
        &mut self,
        unchanged: &Unchanged,
        changes: Vec<DocumentChange>,
    ) -> Result<bool, ServiceError> {
        let found = self.reader.document(unchanged.table, &unchanged.key)?;
        if found != unchanged.found {
            return Ok(false);
        }
        self.put_documents(changes).map(|()| true)
    }
}
