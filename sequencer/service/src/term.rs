//! The end of this writer's time: whoever reads on and on must notice it.

use std::future::Future;

use stateset_event_log::Tenure;

use crate::sequencer::Sequencer;

impl Sequencer {
    /// Comes back once this writer is over (its store failed, another process took over, it was shut down) or is about
    /// to be. Live readers end then; their callers find the next writer.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut over = self.shared().over.subscribe();
        async move {
            // A sender that is gone says the same.
            let _ = over.wait_for(|over| *over).await;
        }
    }

    /// Whether [`Self::ended`] came back.
    pub fn has_ended(&self) -> bool {
        *self.shared().over.borrow()
    }

    /// Whether nobody else can have taken the log over yet. Where it is false another process may have written what this
    /// one does not know of, so it must answer nothing out of what it remembers; a renewal of the hold may make it true
    /// again.
    pub fn has_log(&self) -> bool {
        self.inner.tenure.as_ref().is_none_or(Tenure::is_sure)
    }

    /// Whether a live reader may still be told something by this one: its term lasts, and nobody else can have the log.
    pub fn may_tell(&self) -> bool {
        !self.has_ended() && self.has_log()
    }

    /// Tells live readers to end. Requests go on: this is the first step of a stop, [`Self::shutdown`] the last.
    pub fn dismiss(&self) {
        self.shared().over.send_replace(true);
    }
}
