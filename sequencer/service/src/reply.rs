//! The way back from the writer to one caller.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Takes one answer. It holds its command's places in the queue, so that what a caller no longer waits for still
/// counts until the writer has seen it.
pub(crate) struct Reply<T, E> {
    answer: oneshot::Sender<Result<T, E>>,
    place: OwnedSemaphorePermit,
}

impl<T, E> Reply<T, E> {
    pub fn new(place: OwnedSemaphorePermit) -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (answer, answered) = oneshot::channel();
        (Self { answer, place }, answered)
    }

    /// Answers, or gives the answer back when the caller went away.
    pub fn send(self, answer: Result<T, E>) -> Result<(), Result<T, E>> {
        // First, so that whoever is answered finds the room there.
        drop(self.place);
        self.answer.send(answer)
    }
}
