//! Many documents at once.

use stateset_event_log::{Document, Table};

use crate::error::ServiceError;
use crate::sequencer::Sequencer;

impl Sequencer {
    /// The documents at `keys`, in their order.
    pub async fn documents_at(
        &self,
        table: Table,
        keys: Vec<Vec<u8>>,
    ) -> Result<Vec<Option<Document>>, ServiceError> {
        self.read_much(move |reader| {
            keys.iter().map(|key| Ok(reader.document(table, key)?)).collect::<Result<_, ServiceError>>()
        })
        .await
    }
}
