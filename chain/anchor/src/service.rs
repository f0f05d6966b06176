//! The service: looks at the chain, writes down, sends, and tells the sequencer. Everything that is decided is decided by
//! the pure parts; here is what they need of the world, in the order that makes a crash at any point harmless.

mod cycle;
mod look;
mod recover;
mod resend;
mod tell;
mod together;

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use set_registry::devnet::Wallet;
use set_registry::{Node, Registry, Roots, RpcError, ViewError};
use ves::StreamKey;

use crate::breaker::{Breaker, pause_ms};
use crate::flight::{BatchKey, Flight, Stage};
use crate::history::History;
use crate::journal::{Journal, JournalError, Owner};
use crate::ledger::Ledger;
use crate::machine::{Change, DropReason, Machine, Sight};
use crate::plan::StreamView;
use crate::settings::Settings;
use crate::source::Source;
use crate::status::SharedStatus;
use crate::trouble::Trouble;

/// How much slower the chain is looked at while only final blocks are waited for.
const SLOW_POLLS: u32 = 10;

/// What wakes or ends [`Service::run`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// A batch was closed.
    Batches,
    Stop,
}

/// Why a step was not finished. What it did until then stands.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Rpc(#[from] RpcError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The chain is not the one that is meant, or can't be written: noted already.
    #[error("{0}")]
    NotReady(Box<Trouble>),
}

/// Anchors the batches of one sequencer by one account. See the [crate].
pub struct Service<S> {
    settings: Settings,
    ledger: Ledger,
    source: S,
    journal: Journal,
    machine: Machine,
    breaker: Breaker,
    status: SharedStatus,
    /// Opens streams that nobody has opened, or names this account as an anchorer: for devnets, where it owns the contract.
    opener: Option<Wallet>,
    /// Streams as the chain showed them; forgotten whenever that may have changed.
    views: BTreeMap<StreamKey, StreamView>,
    /// Batches that the contract took for malformed, and its words: they are not sent again.
    held: BTreeMap<BatchKey, String>,
    last_look: Option<look::LastLook>,
    /// While it lasts nothing is sent in the place of what may be in a block.
    doubt: Option<look::Doubt>,
    /// Whether the account was found to be an anchorer; asked again whenever that may have changed.
    is_anchorer: bool,
    /// Whether chain, contract and interface were found right since the endpoint last failed.
    is_checked: bool,
    /// Whether the last write to the journal failed: before anything else it is tried again.
    is_journal_in_doubt: bool,
    failures_in_a_row: u32,
    /// Unix milliseconds.
    next_cycle_ms: i64,
}

impl<S: Source> Service<S> {
    /// Writes each batch to `SetRegistry`. Opens the journal; the chain is asked by the first step.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn new(settings: Settings, node: Node, source: S) -> Result<Self, JournalError> {
        let (journal, flights) = open_journal(&settings)?;
        let ledger = Ledger::Each(Registry::new(node, settings.registry));
        Self::with(settings, ledger, source, journal, flights)
    }

    /// Writes one root over all batches that wait to `StateSetAnchor`, which `settings.registry` is the address of then,
    /// and the headers beside it. The contract is not older than `from_block`.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn aggregating(
        settings: Settings,
        from_block: u64,
        node: Node,
        source: S,
    ) -> Result<Self, JournalError> {
        let (journal, flights) = open_journal(&settings)?;
        let roots = Roots::new(node, settings.registry);
        let history = History::resume(roots, settings.key.address(), from_block, journal.history()?);
        Self::with(settings, Ledger::Together(Box::new(history)), source, journal, flights)
    }

    fn with(
        mut settings: Settings,
        ledger: Ledger,
        source: S,
        journal: Journal,
        flights: Vec<Flight>,
    ) -> Result<Self, JournalError> {
        settings.worth.batches_max = settings.worth.batches_max.clamp(1, ledger.batches_max());
        Ok(Self {
            ledger,
            machine: Machine::resume(settings.patience, flights, journal.owed()?),
            held: BTreeMap::new(),
            breaker: Breaker::new(settings.breaker),
            source,
            journal,
            status: SharedStatus::default(),
            opener: None,
            views: BTreeMap::new(),
            last_look: None,
            doubt: None,
            is_anchorer: false,
            is_checked: false,
            is_journal_in_doubt: false,
            failures_in_a_row: 0,
            next_cycle_ms: 0,
            settings,
        })
    }

    /// Lets `owner` open streams that are not open, with this service's account as writer, or name it as an anchorer.
    /// Another account than that of the service, which gives out nonces by itself.
    #[must_use]
    pub fn opening_streams_by(mut self, owner: Wallet) -> Self {
        self.opener = Some(owner);
        self
    }

    pub fn status(&self) -> SharedStatus {
        self.status.clone()
    }

    /// Transactions that are not final, as they stand in the journal.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    pub fn source(&mut self) -> &mut S {
        &mut self.source
    }

    /// Works until it is told to stop, or nobody is left who could tell.
    pub fn run(mut self, signals: &Receiver<Signal>) {
        loop {
            let pause = self.step();
            match signals.recv_timeout(pause) {
                Ok(Signal::Batches) => self.next_cycle_ms = 0,
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Signal::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// One look at the chain and what follows from it; says when to come again.
    pub fn step(&mut self) -> Duration {
        let now_ms = now_ms();
        if let Err(left_ms) = self.breaker.may_ask(now_ms) {
            self.status.lock().breaker = self.breaker.state();
            return Duration::from_millis(left_ms.unsigned_abs());
        }
        let outcome = self.try_step(now_ms);
        let pause = match outcome {
            Ok(()) => {
                self.breaker.succeeded();
                self.failures_in_a_row = 0;
                self.pause()
            }
            Err(error) => self.failed(now_ms, &error),
        };
        let mut status = self.status.lock();
        status.breaker = self.breaker.state();
        status.figures.last_step_ms = now_ms;
        pause
    }

    fn failed(&mut self, now_ms: i64, error: &StepError) -> Duration {
        let trouble = match error {
            StepError::Rpc(error) => {
                self.breaker.failed(now_ms);
                self.status.lock().counters.rpc_failures += 1;
                Trouble::Chain(error.to_string())
            }
            StepError::Journal(error) => {
                self.is_journal_in_doubt = true;
                Trouble::Journal(error.to_string())
            }
            StepError::NotReady(trouble) => trouble.as_ref().clone(),
        };
        // What is behind the address may be another when it answers again.
        self.is_checked = false;
        self.last_look = None;
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        let mut status = self.status.lock();
        status.note(now_ms, &trouble);
        match error {
            // Said until a write works: a look at the chain in between changes nothing about it.
            StepError::Journal(_) => status.journal = Some(trouble),
            StepError::Rpc(_) | StepError::NotReady(_) => status.chain = Some(trouble),
        }
        drop(status);
        let first_ms = u64::try_from(self.settings.retry_first.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(pause_ms(self.failures_in_a_row, first_ms, random()).max(10))
    }

    fn try_step(&mut self, now_ms: i64) -> Result<(), StepError> {
        if self.is_journal_in_doubt {
            self.journal.probe()?;
            self.is_journal_in_doubt = false;
            self.status.lock().journal = None;
        }
        if !self.is_checked {
            self.check_chain()?;
        }
        let sight = self.look(now_ms)?;
        let changes = self.machine.observe(&sight);
        self.keep_owed()?;
        for change in &changes {
            self.record(now_ms, change)?;
        }
        if self.doubt.is_none() {
            for wish in self.machine.wishes(&sight) {
                self.grant(&sight, wish)?;
            }
        }
        self.tell(now_ms)?;
        for nonce in self.machine.retire() {
            self.journal.remove(nonce)?;
        }
        if now_ms >= self.next_cycle_ms {
            self.cycle(&sight)?;
        }
        self.count(&sight);
        Ok(())
    }

    /// Point 1 of section 4: the right chain, and the contract that is meant.
    fn check_chain(&mut self) -> Result<(), StepError> {
        let (node, expected) = (self.ledger.node(), self.settings.expected_chain_id);
        let found = node.chain_id()?;
        if found != expected {
            let endpoint = node.endpoint().to_owned();
            return Err(not_ready(Trouble::WrongChain { endpoint, expected, found }));
        }
        match self.ledger.check_interface() {
            Ok(()) => {}
            Err(ViewError::Rpc(error)) => return Err(error.into()),
            Err(other) => return Err(not_ready(self.ledger.missing(other.to_string()))),
        }
        self.views.clear();
        self.is_anchorer = false;
        self.is_checked = true;
        let mut status = self.status.lock();
        (status.is_started, status.chain) = (true, None);
        Ok(())
    }

    /// Writes a change down before anything follows from it.
    fn record(&mut self, now_ms: i64, change: &Change) -> Result<(), StepError> {
        match change {
            Change::Included { nonce, .. } => {
                self.forget_streams_of(*nonce);
                self.hold_what_was_refused(*nonce);
                self.write(*nonce)?;
            }
            Change::Undone { nonce, .. } => {
                self.forget_streams_of(*nonce);
                self.machine.doubt();
                self.keep_owed()?;
                self.write(*nonce)?;
            }
            Change::Confirmed { nonce } | Change::Final { nonce } => self.write(*nonce)?,
            Change::Dropped { nonce, .. } | Change::Empty { nonce, .. } => {
                if let Change::Empty { inclusion, .. } = change {
                    self.held.extend(inclusion.refused.iter().cloned());
                }
                self.views.clear();
                // Later ones may not be sent as they are any more.
                for later in self.machine.flights().filter(|flight| flight.is_void) {
                    self.journal.put(later)?;
                }
                self.journal.remove(*nonce)?;
            }
        }
        if matches!(change, Change::Included { .. } | Change::Dropped { .. } | Change::Empty { .. }) {
            // More may wait, and now it can go.
            self.next_cycle_ms = self.next_cycle_ms.min(now_ms);
        }
        self.count_change(now_ms, change);
        Ok(())
    }

    fn count_change(&mut self, now_ms: i64, change: &Change) {
        let mut status = self.status.lock();
        let inclusion = |nonce: &u64| self.machine.flight(*nonce).and_then(|flight| flight.stage.inclusion());
        let anchored = |nonce| inclusion(nonce).map_or(0, |inclusion| inclusion.anchored.len() as u64);
        match change {
            Change::Included { nonce, was_elsewhere } => {
                status.counters.included += anchored(nonce);
                status.counters.reorgs += u64::from(*was_elsewhere);
            }
            Change::Undone { nonce, was_confirmed } => {
                status.counters.reorgs += 1;
                if *was_confirmed {
                    status.note(now_ms, &Trouble::ConfirmedUndone { nonce: *nonce });
                }
            }
            Change::Confirmed { nonce } => status.counters.confirmed += anchored(nonce),
            Change::Final { nonce } => {
                status.counters.finalized += anchored(nonce);
                if let Some(inclusion) = inclusion(nonce) {
                    status.counters.gas_used += inclusion.gas_used;
                    status.counters.fees_wei += inclusion.fee_wei;
                }
            }
            Change::Dropped { nonce, why } => {
                status.counters.dropped += 1;
                let (account, nonce) = (self.settings.key.address(), *nonce);
                let trouble = match why {
                    DropReason::NonceTaken => Trouble::NonceTaken { account, nonce },
                    DropReason::Stranded => Trouble::Stranded { nonce },
                };
                status.note(now_ms, &trouble);
            }
            Change::Empty { inclusion, .. } => {
                status.counters.dropped += 1;
                status.note(now_ms, &Trouble::AnchoredNothing { transaction: inclusion.transaction });
            }
        }
    }

    fn write(&self, nonce: u64) -> Result<(), JournalError> {
        self.machine.flight(nonce).map_or(Ok(()), |flight| self.journal.put(flight))
    }

    /// Written down before any transaction that held it is struck out.
    fn keep_owed(&mut self) -> Result<(), JournalError> {
        if self.machine.is_owed_new() {
            self.journal.put_owed(self.machine.owed())?;
            self.machine.owed_is_kept();
        }
        Ok(())
    }

    fn hold_what_was_refused(&mut self, nonce: u64) {
        if let Some(inclusion) = self.machine.flight(nonce).and_then(|flight| flight.stage.inclusion()) {
            self.held.extend(inclusion.refused.iter().cloned());
        }
    }

    fn forget_streams_of(&mut self, nonce: u64) {
        if let Some(flight) = self.machine.flight(nonce) {
            for batch in &flight.batches {
                self.views.remove(&batch.stream);
            }
        }
    }

    fn count(&self, sight: &Sight) {
        let mut status = self.status.lock();
        let figures = &mut status.figures;
        (figures.newest_block, figures.finalized_block) = (sight.newest, sight.finalized);
        let count =
            |stage: fn(&Stage) -> bool| self.machine.flights().filter(|flight| stage(&flight.stage)).count();
        figures.waiting_transactions = count(|stage| matches!(stage, Stage::Submitted));
        figures.included_transactions = count(|stage| matches!(stage, Stage::Included(_)));
        figures.confirmed_transactions = count(Stage::is_confirmed);
    }

    /// Quick while something can change soon, slow while only final blocks are waited for.
    fn pause(&self) -> Duration {
        let is_open = |stage: &Stage| matches!(stage, Stage::Submitted | Stage::Included(_));
        let until_cycle = Duration::from_millis((self.next_cycle_ms - now_ms()).max(0).unsigned_abs());
        let has_flights = self.machine.flights().next().is_some();
        let until_look = match self.machine.flights().any(|flight| is_open(&flight.stage)) {
            true => self.settings.poll,
            false if has_flights || !self.machine.untold().is_empty() => self.settings.poll * SLOW_POLLS,
            false => until_cycle,
        };
        until_look.min(until_cycle).max(Duration::from_millis(1))
    }
}

fn open_journal(settings: &Settings) -> Result<(Journal, Vec<Flight>), JournalError> {
    let owner = Owner {
        chain_id: settings.expected_chain_id,
        registry: settings.registry,
        account: settings.key.address(),
    };
    Journal::open(&settings.data_dir, &owner)
}

fn not_ready(trouble: Trouble) -> StepError {
    StepError::NotReady(Box::new(trouble))
}

/// Milliseconds since 1970 (UTC).
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// For jitter only. Without randomness the pause is its whole bound.
fn random() -> u64 {
    getrandom::u64().unwrap_or(u64::MAX)
}
