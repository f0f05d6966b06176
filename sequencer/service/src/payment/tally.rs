//! What was done over many streams or batches: what fails in one of them holds up no other.

use super::error::PaymentError;

/// How much was done, and the first failure.
#[derive(Default)]
pub(super) struct Tally {
    done: usize,
    failed: Option<PaymentError>,
}

impl Tally {
    pub fn add(&mut self, done: Result<usize, PaymentError>) {
        match done {
            Ok(done) => self.done += done,
            Err(error) => _ = self.failed.get_or_insert(error),
        }
    }

    /// # Errors
    /// The first failure; everything else was done.
    pub fn end(self) -> Result<usize, PaymentError> {
        self.failed.map_or(Ok(self.done), Err)
    }
}
