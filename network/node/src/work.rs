//! One piece of work after the other: a message that arrived, or an effect that is due. Each ends in one step of a flow,
//! written whole before anything follows from it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stateset_ledger_types::ids::TxId;
use stateset_peer::message::{Content, FlowId, Message};

use crate::effects::Outcome;
use crate::error::NodeError;
use crate::flow::{Effect, Entry, Flow, Input, Phase, Received, decide, follow, session_of};
use crate::node::Node;
use crate::probe::Point;
use crate::resolve;
use crate::vault::{Change, Done, Letter, Recorded, Step, Todo, members};

/// Longest wait before something is tried again.
const RETRY_MS_MAX: u64 = 30_000;
/// After so many attempts a peer that can't be reached is not told how a flow ended: it can ask the ledger.
const SENDS_MAX: u32 = 1_000;

/// Longest sleep of a node that is to notice its end.
const WAIT_MAX: Duration = Duration::from_millis(250);

/// Wakes a node that waits: something is to be done.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rings: Mutex<u64>,
    rung: Condvar,
}

impl Bell {
    pub(crate) fn ring(&self) {
        *self.lock() += 1;
        self.rung.notify_all();
    }

    fn rings(&self) -> u64 {
        *self.lock()
    }

    /// Until it rings once more than it was heard, or the time is over.
    fn wait(&self, heard: u64, at_most: Duration) {
        let waited = self.rung.wait_timeout_while(self.lock(), at_most, |rings| *rings == heard);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, u64> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a turn did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// There may be more.
    Worked,
    /// Nothing is due before this time, Unix milliseconds; `None`: nothing at all.
    Idle(Option<u64>),
}

impl Node {
    /// Does one piece of work, if there is one.
    ///
    /// # Errors
    /// [`NodeError`] of the vault or the keys: the node can't go on. What the world does not answer is tried again later.
    pub fn turn(&self) -> Result<Turn, NodeError> {
        let _turn = self.take_turn();
        let letter = self.vault().next_letter()?;
        if let Some(letter) = letter {
            self.read(letter)?;
            return Ok(Turn::Worked);
        }
        let next = self.vault().next_todo()?;
        match next {
            None => Ok(Turn::Idle(None)),
            Some((_, due_ms)) if due_ms > self.ports.clock.now_ms() => Ok(Turn::Idle(Some(due_ms))),
            Some((todo, _)) => self.work(&todo).map(|()| Turn::Worked),
        }
    }

    /// Works until nothing is due.
    ///
    /// # Errors
    /// As of [`turn`](Self::turn).
    pub fn work_until_idle(&self) -> Result<Option<u64>, NodeError> {
        loop {
            if let Turn::Idle(due) = self.turn()? {
                return Ok(due);
            }
        }
    }

    /// Works until `stop` is set: does what is due, and waits for a message, a call or the time of the next piece. Looks
    /// at `stop` every [`WAIT_MAX`].
    ///
    /// # Errors
    /// As of [`turn`](Self::turn).
    pub fn run(&self, stop: &AtomicBool) -> Result<(), NodeError> {
        while !stop.load(Ordering::SeqCst) {
            let heard = self.bell.rings();
            if let Some(due_ms) = self.work_until_idle()? {
                let now_ms = self.ports.clock.now_ms();
                self.bell.wait(heard, Duration::from_millis(due_ms.saturating_sub(now_ms)).min(WAIT_MAX));
            } else {
                self.bell.wait(heard, WAIT_MAX);
            }
        }
        Ok(())
    }

    fn at(&self, point: Point) -> Result<(), NodeError> {
        if self.ports.probe.goes_on(point) { Ok(()) } else { Err(NodeError::Stopped(point)) }
    }

    fn work(&self, todo: &Todo) -> Result<(), NodeError> {
        let done = Done::Todo(todo.position);
        let flow = self.vault().flow(&todo.flow_id)?;
        let Some(flow) = flow.filter(|flow| is_of_use(flow, todo)) else { return self.vault().settle(done) };
        self.at(Point::BeforeEffect)?;
        let outcome = match self.perform(&flow, todo) {
            Ok(outcome) => outcome,
            Err(NodeError::Refused(refusal)) => Outcome::Input(Box::new(Input::Refused(refusal))),
            Err(NodeError::Chain(_) | NodeError::Peer(_)) => Outcome::Later,
            Err(other) => return Err(other),
        };
        self.at(Point::AfterEffect)?;
        match outcome {
            Outcome::Done => self.vault().settle(done),
            Outcome::Input(input) => self.advance(flow, *input, done),
            Outcome::Later => {
                let wait = self.config.poll_ms.saturating_mul(u64::from(todo.attempts.min(9)) + 1);
                let due = self.ports.clock.now_ms().saturating_add(wait.min(RETRY_MS_MAX));
                self.vault().postpone(todo.position, due)
            }
        }
    }

    /// One step: what `input` means for `flow`, in the journal, with what follows from it.
    pub(crate) fn advance(&self, mut flow: Flow, input: Input, done: Done) -> Result<(), NodeError> {
        let entries = decide(&flow, input);
        entries.iter().for_each(|entry| flow.apply(entry));
        if entries.is_empty() {
            return self.vault().settle(done);
        }
        self.write(&flow, &entries, done)
    }

    /// The first step of a flow.
    pub(crate) fn begin(&self, flow: Flow, entry: Entry, done: Done) -> Result<(), NodeError> {
        self.write(&flow, &[entry], done)
    }

    fn write(&self, flow: &Flow, entries: &[Entry], done: Done) -> Result<(), NodeError> {
        let now_ms = self.ports.clock.now_ms();
        let due = |effect: Effect, entry: &Entry| {
            let later = matches!((entry, &effect), (Entry::Again(_), _))
                || matches!((entry, &effect), (Entry::Built(_) | Entry::Signed(_), Effect::Await(())))
                || matches!((entry, &effect), (Entry::Received(_) | Entry::Attested(_), Effect::Await(())));
            (effect, if later { now_ms.saturating_add(self.config.poll_ms) } else { now_ms })
        };
        let effects: Vec<_> = entries
            .iter()
            .flat_map(|entry| follow(flow, entry).into_iter().map(move |effect| due(effect, entry)))
            .collect();
        let mut changes = Vec::new();
        for entry in entries {
            changes.extend(self.changes(flow, entry)?);
        }
        self.at(Point::BeforeCommit)?;
        let step = Step { flow, now_ms, entries, effects: &effects, changes: &changes, done };
        self.vault().step(&step)?;
        self.at(Point::AfterCommit)
    }

    fn changes(&self, flow: &Flow, entry: &Entry) -> Result<Vec<Change>, NodeError> {
        Ok(match entry {
            Entry::Built(_) | Entry::Signed(_) => {
                let inputs = self.inputs(&flow.whole)?;
                let members = members(&flow.whole, &inputs);
                let places = flow.whole.body.body.inputs.to_vec();
                vec![Change::Open { whole: Box::new(flow.whole.clone()), members }, Change::Lock(places)]
            }
            Entry::Notarised(notarised) => {
                let (record, signatures) = (notarised.record, &notarised.signatures);
                vec![Change::Record(Box::new(Recorded {
                    tx_id: flow.tx_id,
                    height: record.height,
                    index: record.index,
                    time_ms: notarised.time_ms,
                    members: notarised.members.iter().copied().collect(),
                    whole: flow.whole.clone(),
                    signed: resolve::signed(&flow.whole, signatures, Some(notarised.certificate.clone())),
                    vouched: false,
                }))]
            }
            Entry::Quorum(_) => vec![Change::Read { tx_id: flow.tx_id, readers: flow.attesters() }],
            Entry::Ended(_) => vec![Change::Close],
            _ => Vec::new(),
        })
    }

    /// A message that arrived: a step of the flow that it belongs to, or nothing.
    fn read(&self, letter: Letter) -> Result<(), NodeError> {
        let done = Done::Letter(letter.position);
        let (id, input) = match letter.message {
            Message::Propose(propose) => {
                let known = self.vault().flow_of(letter.session)?.is_some();
                if known || session_of(&propose.flow_id) != letter.session {
                    return self.vault().settle(done);
                }
                let Content::Whole(whole) = propose.content else { return self.vault().settle(done) };
                let tx_id: TxId = whole.body.tx_id(whole.mode);
                if self.vault().flow_with(&tx_id)?.is_some() {
                    return self.vault().settle(done);
                }
                let (flow_id, role) = (propose.flow_id, propose.role);
                let received = Received { flow_id, from: letter.from, role, whole: *whole };
                let entry = Entry::Received(Box::new(received));
                let flow = Flow::begin(&entry).expect("a proposal begins a flow");
                return self.begin(flow, entry, done);
            }
            Message::Signatures(signatures) => {
                (Some(signatures.flow_id), Input::Signatures(letter.from, Box::new(signatures)))
            }
            Message::Finalised(finalised) => {
                (Some(finalised.flow_id), Input::Finalised(letter.from, finalised))
            }
            Message::Reject(reject) => {
                (self.vault().flow_of(letter.session)?, Input::Reject(letter.from, reject))
            }
            _ => (None, Input::Asked),
        };
        let flow = id.map(|id: FlowId| self.vault().flow(&id)).transpose()?.flatten();
        match flow.filter(|flow| flow.session() == letter.session) {
            Some(flow) => self.advance(flow, input, done),
            None => self.vault().settle(done),
        }
    }
}

/// Whether an effect still serves: a flow that is over is told to others and nothing else.
fn is_of_use(flow: &Flow, todo: &Todo) -> bool {
    match todo.effect {
        Effect::Finalise(_) | Effect::Reject(_) => todo.attempts < SENDS_MAX,
        // A signature that is promised in the journal is also sent where the flow went on meanwhile.
        Effect::Answer(_) => flow.from().is_some() && todo.attempts < SENDS_MAX,
        // Enough others have attested.
        Effect::Attest(to) => flow.waits_for().contains(&to) && flow.phase == Phase::Attesting,
        _ => !flow.phase.is_over(),
    }
}
