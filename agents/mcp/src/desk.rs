//! Carries calls out. Blocking: the server gives each call a thread of its own.

mod invoices;
#[cfg(test)]
pub(crate) mod nowhere;
mod read;
mod write;

use std::fmt::Display;
use std::fs::File;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use ves::TimestampMs;

use crate::answer::{CallError, Refusal};
use crate::arguments::Given;
use crate::invoices::Invoices;
use crate::journal::{Approval, Journal, JournalError, LOCK};
use crate::limits::Limits;
use crate::port::{Entities, Outbox, Service};
use crate::sync::Syncer;
use crate::table::{TOOLS, Tool, Work, tool};
pub(crate) use read::{entity_body, event_body};
pub use write::ASSETS;

/// What time it is.
pub trait Clock: Send + Sync {
    fn now(&self) -> TimestampMs;
}

/// The clock of the machine.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> TimestampMs {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        TimestampMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The rest, as the tools need it.
#[derive(Clone)]
pub struct Ports {
    pub outbox: Arc<dyn Outbox>,
    pub entities: Arc<dyn Entities>,
    pub service: Arc<dyn Service>,
    /// A company's node on the shared ledger; `None`: there are no tools for invoices.
    pub invoices: Option<Arc<dyn Invoices>>,
}

/// What the agent may do by itself, and what happens beside its calls.
#[derive(Default)]
pub struct DeskConfig {
    pub limits: Limits,
    /// Sends what was appended; `None`: `sync_push` alone does.
    pub syncer: Option<Syncer>,
}

/// The desk of one agent.
pub struct Desk {
    ports: Ports,
    config: DeskConfig,
    clock: Arc<dyn Clock>,
    journal: Mutex<Journal>,
    /// Held from the look at an entity until its event lies in the outbox, so that calls see one another; the lock of the
    /// file holds between processes.
    writing: Mutex<File>,
}

impl Desk {
    /// # Errors
    /// [`JournalError::File`] where the lock beside the journal can't be made.
    pub fn new(
        ports: Ports,
        journal: Journal,
        config: DeskConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, JournalError> {
        let writing = Mutex::new(journal.turns(LOCK)?);
        Ok(Self { ports, config, clock, journal: Mutex::new(journal), writing })
    }

    /// Waits for its turn to write.
    fn turn(&self) -> Result<Turn<'_>, CallError> {
        let file = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        file.lock().map_err(|error| lock_failed(&error))?;
        Ok(Turn(file))
    }

    /// The tools that are there.
    pub fn tools(&self) -> impl Iterator<Item = &'static Tool> + use<> {
        let has_ledger = self.ports.invoices.is_some();
        let all = TOOLS.iter().flat_map(|group| group.iter());
        all.filter(move |tool| has_ledger || !tool.work.needs_ledger())
    }

    /// The tool of a name, where it is there.
    pub fn tool(&self, name: &str) -> Option<&'static Tool> {
        tool(name).filter(|tool| self.ports.invoices.is_some() || !tool.work.needs_ledger())
    }

    /// Carries out one call; the structured result.
    ///
    /// # Errors
    /// [`CallError`]; nothing was done then, unless the message says that nobody knows.
    pub fn call(&self, name: &str, arguments: Option<Map<String, Value>>) -> Result<Value, CallError> {
        let known = self.tool(name);
        let tool = known.ok_or_else(|| CallError::UnknownTool { name: name.chars().take(64).collect() })?;
        let given = Given::read(tool, arguments)?;
        match tool.work {
            Work::Event { .. } | Work::PaymentCreate => self.write(tool, &given, None),
            Work::InvoiceStep(step) => self.take_step(tool, step, &given, None),
            _ => self.read(tool, &given),
        }
    }

    /// Carries out a call that waits, in the name of the person who approves it. What was interrupted goes on.
    ///
    /// # Errors
    /// [`CallError::Refused`] where the approval is not there or was decided about, or where the call is refused now; the
    /// approval has failed then. Where a port was not reachable or did not let us ask, or an earlier try may have been carried out, it
    /// stays approved, and approving it again goes on.
    pub fn approve(&self, id: &str) -> Result<Approval, CallError> {
        let waiting = self.approval(id)?;
        if tool(&waiting.tool).is_some() && self.tool(&waiting.tool).is_none() {
            let said = format!("{} needs a company on a shared ledger", waiting.tool);
            return Err(Refusal::new("no_company", said)
                .hint("name it with --org, as the server was started")
                .into());
        }
        let approval = self.journal().decide(id, true, self.clock.now())?;
        let known = self.tool(&approval.tool);
        let tool = known.ok_or_else(|| CallError::UnknownTool { name: approval.tool.clone() })?;
        let given = Given::read(tool, approval.arguments.as_object().cloned())?;
        let outcome = match tool.work {
            Work::InvoiceStep(step) => self.take_step(tool, step, &given, Some(id)),
            _ => self.write(tool, &given, Some(id)),
        };
        match &outcome {
            Ok(answer) => self.journal().settle(id, false, answer)?,
            // Who may not ask has not been told what becomes of it.
            Err(CallError::Refused(refusal)) if !refusal.is_passing && refusal.code != NOT_ALLOWED => {
                self.journal().settle(id, true, &refusal.body())?;
            }
            Err(_) => {}
        }
        outcome?;
        Ok(self.journal().approval(id, self.clock.now())?)
    }

    /// Refuses a call that waits.
    ///
    /// # Errors
    /// As [`Self::approve`].
    pub fn reject(&self, id: &str) -> Result<Approval, CallError> {
        Ok(self.journal().decide(id, false, self.clock.now())?)
    }

    /// One approval by its id.
    ///
    /// # Errors
    /// [`CallError::Refused`] where it is not there.
    pub fn approval(&self, id: &str) -> Result<Approval, CallError> {
        Ok(self.journal().approval(id, self.clock.now())?)
    }

    /// Approvals, newest first, those with a number below `before`.
    ///
    /// # Errors
    /// [`CallError::Refused`] where the journal can't be read.
    pub fn approvals(&self, before: Option<i64>, limit: usize) -> Result<Vec<Approval>, CallError> {
        Ok(self.journal().approvals(before, limit, self.clock.now())?)
    }

    pub(crate) fn entities(&self) -> &dyn Entities {
        self.ports.entities.as_ref()
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        // A call that panicked left a transaction that was rolled back.
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The service's word on who asks, and none on the call.
const NOT_ALLOWED: &str = "not_allowed";

fn lock_failed(error: &dyn Display) -> Refusal {
    Refusal::new("journal_failed", format!("the lock of the journal: {error}"))
}

/// The right to write, until it is dropped.
struct Turn<'a>(MutexGuard<'a, File>);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Where it fails the lock ends with the process, and the next turn of this process finds it held by itself.
        if let Err(error) = self.0.unlock() {
            tracing::warn!("the lock of the journal was not given back: {error}");
        }
    }
}

/// The refusal of something that is not there.
fn not_found(what: &str, id: &str) -> CallError {
    Refusal::new("not_found", format!("there is no {what} {id:?} in this agent's copy of the stream"))
        .hint("sync_pull fetches what is new")
        .into()
}

/// A list with its cursor, where there is more.
fn page(name: &str, items: Vec<Value>, next: Option<String>) -> Value {
    let mut body = json!({ name: items });
    if let Some(next) = next {
        body["next_cursor"] = next.into();
    }
    body
}
