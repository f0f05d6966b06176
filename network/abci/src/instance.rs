//! The two halves of a node together, ended in the right order.

use std::io;
use std::process::ExitStatus;

use crate::comet::Process;
use crate::{Abci, EngineError, Server};

/// A listening application, and the CometBFT process beside it where it is ours.
///
/// Dropping it ends CometBFT first, which writes its files and takes its leave of its peers. Only after a failure of the
/// application, which then answers nothing more, its connections are closed first: CometBFT would wait for an answer.
pub struct Instance {
    abci: Abci,
    server: Option<Server>,
    process: Option<Process>,
}

impl Instance {
    pub fn new(abci: Abci, server: Server, process: Option<Process>) -> Self {
        Self { abci, server: Some(server), process }
    }

    /// Why the application stopped answering, if it did.
    pub fn failure(&self) -> Option<&EngineError> {
        self.abci.failure()
    }

    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// How CometBFT ended, if it did.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.as_mut().map_or(Ok(None), Process::ended)
    }

    /// Ends CometBFT at once, as a crash does, and then the application.
    pub fn crash(mut self) {
        if let Some(process) = &mut self.process {
            process.kill();
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if self.failure().is_some() {
            self.server = None;
        }
        self.process = None;
        self.server = None;
    }
}
