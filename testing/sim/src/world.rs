//! One world: clients, network, server, disk and observers, moved one action at a time by the seed.

mod recovery;

use std::io;
use std::sync::Arc;

use stateset_event_log::Disk;
use stateset_sequencer_engine::CommitPolicy;
use ves::ed25519::{PublicKey, SigningKey};
use ves::{SequenceNumber, SequencerId, StoreId, StreamKey, TenantId, TimestampMs};

use crate::client::{Client, Kind};
use crate::oracle::{Oracle, Problem};
use crate::platter::{Faults, SimDisk, Stop};
use crate::profile::{ACTIONS, Action, Profile};
use crate::rng::Rng;
use crate::server::{Answer, EventResult, Identity, Request, Sabotage, Server, TurnEnd};
use crate::trace::Trace;

const RETRY_EVENTS_MAX: usize = 16;

impl Disk for SimDisk {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        SimDisk::append(self, bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        SimDisk::sync(self)
    }
    fn read_all(&mut self) -> io::Result<Vec<u8>> {
        SimDisk::read_all(self)
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        SimDisk::truncate(self, len as usize)
    }
}

pub struct World {
    profile: &'static Profile,
    rng: Rng,
    disk: SimDisk,
    identity: Identity,
    /// Only between a stop and the next start there is none.
    server: Option<Server>,
    clients: Vec<Client>,
    streams: Vec<StreamKey>,
    network: Vec<Request>,
    oracle: Oracle,
    now: TimestampMs,
    requests: u64,
    is_healing: bool,
    pub trace: Trace,
}

impl World {
    pub fn new(profile: &'static Profile, seed: u64, sabotage: Option<Sabotage>, keeps_lines: bool) -> Self {
        let mut rng = Rng::new(seed);
        let tenant = TenantId::random(rng.bytes());
        let streams: Vec<_> = (0..profile.streams)
            .map(|_| StreamKey { tenant_id: tenant, store_id: StoreId::random(rng.bytes()) })
            .collect();
        let signer = Arc::new(SigningKey::from_seed(rng.bytes()));
        let sequencer_id = SequencerId::random(rng.bytes());
        let key = PublicKey::from_bytes(&signer.public_key()).expect("a key made from a seed is a good one");
        let policy = CommitPolicy { events_max: profile.commit_events_max, age_ms_max: 30_000 };
        let clients =
            (0..profile.clients).map(|n| Client::new(n, tenant, streams.clone(), rng.fork())).collect();
        let disk = SimDisk::new(rng.fork());
        disk.set_faults(|faults| *faults = lies(sabotage));
        Self {
            profile,
            disk,
            identity: Identity { sequencer_id, signer, policy, sabotage },
            server: None,
            clients,
            streams,
            network: Vec::new(),
            oracle: Oracle::new(sequencer_id, key),
            now: TimestampMs(1_766_253_070_000),
            requests: 0,
            is_healing: false,
            trace: Trace::new(profile.name, seed, keeps_lines),
            rng,
        }
    }

    /// From the first request to the last check.
    pub fn run(&mut self) -> Result<(), Problem> {
        self.start()?;
        self.register_keys()?;
        for _ in 0..self.profile.steps {
            let action = self.rng.weighted(&self.profile.weights).map(|at| ACTIONS[at]);
            self.act(action.expect("a world in which something happens"))?;
            self.trace.steps += 1;
        }
        self.heal()
    }

    fn register_keys(&mut self) -> Result<(), Problem> {
        for client in 0..self.clients.len() {
            let key = self.clients[client].key(self.now);
            self.on_server(|server| server.put_key(key.clone())).map_err(|problem| problem.to_string())?;
            self.oracle.registered(key);
        }
        Ok(())
    }

    fn act(&mut self, action: Action) -> Result<(), Problem> {
        match action {
            Action::Send => self.send(),
            Action::Retry => self.retry(),
            Action::Deliver => return self.deliver(),
            Action::Seal => self.seal(),
            Action::Sync => return self.sync(),
            Action::CommitDue => return self.commit_due(),
            Action::CommitRange => return self.commit_range(),
            Action::Index => return self.index(),
            Action::Forget => self.forget(),
            Action::Observe => return self.observe(),
            Action::Rotate => return self.rotate(),
            Action::Tick => self.tick(),
            Action::Kill => return self.restart(Stop::Process, "killed"),
            Action::PowerLoss => return self.restart(Stop::Power, "power lost"),
            Action::FailSync => self.arm(action),
            Action::FailWrite => self.arm(action),
            Action::StopSoon => self.arm(action),
            Action::Fill => self.fill(),
        }
        Ok(())
    }

    fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("the server runs between actions")
    }

    fn on_server<T>(&mut self, act: impl FnOnce(&mut Server) -> T) -> T {
        act(self.server())
    }

    // Traffic.

    fn send(&mut self) {
        self.requests += 1;
        let client = self.rng.below(self.clients.len());
        let (request, kinds) = self.clients[client].request(self.requests, self.profile);
        for (event, kind) in request.events.iter().zip(&kinds) {
            self.oracle.sent(event, *kind);
        }
        let flawed = kinds.iter().filter(|kind| **kind != Kind::Sound).count();
        let digest = ids_of(&request);
        self.trace.line(|| {
            format!("send #{} by {client}: {} events, {flawed} flawed, {digest}", request.number, kinds.len())
        });
        self.post(request);
    }

    fn retry(&mut self) {
        let client = self.rng.below(self.clients.len());
        self.requests += 1;
        if let Some(request) = self.clients[client].retry(self.requests, RETRY_EVENTS_MAX) {
            self.trace
                .line(|| format!("retry #{} by {client}: {} events", request.number, request.events.len()));
            self.post(request);
        }
    }

    fn post(&mut self, request: Request) {
        if self.rng.chance(self.profile.copy_percent) {
            self.network.push(request.clone());
        }
        if !self.rng.chance(self.profile.loss_percent) {
            self.network.push(request);
        }
    }

    fn deliver(&mut self) -> Result<(), Problem> {
        if self.network.is_empty() {
            return Ok(());
        }
        let at = self.rng.below(self.network.len());
        let request = self.network.swap_remove(at);
        self.admit(request)
    }

    fn admit(&mut self, request: Request) -> Result<(), Problem> {
        self.trace.line(|| format!("deliver #{}", request.number));
        let now = self.now;
        self.on_server(|server| server.admit(request, now)).map_err(|problem| problem.to_string())
    }

    // Turns.

    fn seal(&mut self) {
        if self.server().has_work() && !self.server().is_syncing() {
            self.trace.line(|| "seal".into());
            self.on_server(Server::seal);
        }
    }

    fn sync(&mut self) -> Result<(), Problem> {
        if !self.server().is_syncing() {
            return Ok(());
        }
        let now = self.now;
        match self.on_server(|server| server.sync(now)) {
            TurnEnd::Durable(answers) => {
                self.trace.line(|| format!("durable: {} answers", answers.len()));
                for answer in answers {
                    self.answer(answer)?;
                }
                self.stopped()
            }
            TurnEnd::Refused { requests, also_next } => {
                self.trace.turns_failed += 1;
                self.trace.reach(if also_next {
                    "a refused turn with the next one filling"
                } else {
                    "a refused turn"
                });
                self.trace.line(|| format!("turn refused: {} requests go unserved", requests.len()));
                self.stopped()
            }
            TurnEnd::Unknown { problem, requests } => {
                self.recover(&problem)?;
                if self.rng.chance(30) { self.aftershock(requests) } else { Ok(()) }
            }
        }
    }

    /// The clients of a turn that nobody knows the end of ask again at once, and then the power fails: what the log
    /// found when it was opened is answered for, so it must have been durable by then.
    fn aftershock(&mut self, requests: Vec<Request>) -> Result<(), Problem> {
        if self.is_healing {
            return Ok(());
        }
        self.trace.reach("an aftershock");
        self.trace.line(|| format!("aftershock: {} requests again", requests.len()));
        for request in requests {
            self.admit(request)?;
        }
        self.finish_turn()?;
        self.restart(Stop::Power, "aftershock")
    }

    fn answer(&mut self, answer: Answer) -> Result<(), Problem> {
        for (event, result) in answer.request.events.iter().zip(&answer.results) {
            self.trace.reach(landmark(result, self.oracle.is_key_revoked(event)));
            self.trace.line(|| format!("  #{} {}: {}", answer.request.number, event.event_id, told(result)));
        }
        self.oracle.answered(&answer)?;
        if self.is_healing || !self.rng.chance(self.profile.loss_percent) {
            self.clients[answer.request.client].hear(&answer);
        }
        Ok(())
    }

    // Batches, index, keys, time.

    fn commit_due(&mut self) -> Result<(), Problem> {
        let (now, mut rng) = (self.now, self.rng.fork());
        let made = self.on_server(|server| server.commit_due(now, &mut rng));
        self.trace.line(|| format!("commit what is due: {made:?}"));
        self.outcome(made.map(drop))
    }

    fn commit_range(&mut self) -> Result<(), Problem> {
        let (now, mut rng, stream) = (self.now, self.rng.fork(), *self.rng.pick(&self.streams));
        let (head, end) = (self.server().head(&stream).0, self.server().committed_end(&stream).0);
        let start = if rng.chance(80) { end + 1 } else { rng.below(head as usize + 2) as u64 };
        let end = start.max(1) - 1 + rng.below((head + 2).saturating_sub(start) as usize + 1) as u64;
        let (start, end) = (SequenceNumber(start), SequenceNumber(end));
        let batch = self.on_server(|server| server.commit(&stream, start, end, now, &mut rng));
        self.trace.line(|| format!("commit {start}..={end}: {}", brief(&batch)));
        match batch {
            Ok(Ok(batch)) => {
                self.trace.reach("a batch as asked for");
                let is_asked = batch.sequence_start == start && batch.sequence_end == end;
                self.oracle.committed(&batch)?;
                if is_asked {
                    self.stopped()
                } else {
                    Err(format!("asked for {start}..={end}, got {batch:?}"))
                }
            }
            Ok(Err(_)) => Ok(()),
            Err(problem) => self.outcome(Err(problem)),
        }
    }

    /// A few steps at once: a flush takes four.
    fn index(&mut self) -> Result<(), Problem> {
        let (count, steps) = (1 + self.rng.below(12), 1 + self.rng.below(5));
        for _ in 0..steps {
            let step = self.on_server(|server| server.index(count));
            self.trace.line(|| format!("index {count}: {step:?}"));
            match step {
                Ok(true) => self.trace.reach("a run of the index"),
                Ok(false) => {}
                // Tried again later, or given up.
                Err(problem) if problem.changed_nothing() && self.rng.chance(70) => return self.stopped(),
                Err(problem) if problem.changed_nothing() => {
                    let given_up = self.on_server(Server::abandon_index);
                    return self.outcome(given_up);
                }
                Err(problem) => return self.outcome(Err(problem)),
            }
        }
        self.stopped()
    }

    fn forget(&mut self) {
        let stream = *self.rng.pick(&self.streams);
        self.on_server(|server| server.forget(&stream));
    }

    fn observe(&mut self) -> Result<(), Problem> {
        let stream = *self.rng.pick(&self.streams);
        let server = self.server.as_ref().expect("the server runs between actions");
        self.oracle.observe(server, &stream)
    }

    fn rotate(&mut self) -> Result<(), Problem> {
        let at = self.rng.below(self.clients.len());
        let (old, now) = (self.clients[at].key(self.now), self.now);
        self.clients[at].rotate();
        let new = self.clients[at].key(now);
        // Until its new key is known the agent's events are refused, also when registration never happens.
        self.oracle.rotated.insert(old.agent_id);
        let mut keys = vec![new];
        if self.rng.chance(50) {
            keys.push(old.revoked(now));
        }
        let mut outcome = Ok(());
        for key in keys {
            if outcome.is_ok() {
                self.oracle.registering(&key);
                outcome = self.on_server(|server| server.put_key(key.clone()));
            }
            if outcome.is_ok() {
                self.oracle.registered(key);
            }
        }
        self.trace.line(|| format!("rotate the key of {at}: {outcome:?}"));
        self.outcome(outcome)
    }

    fn tick(&mut self) {
        let leaps = self.profile.leap_percent;
        if leaps > 0 && self.rng.chance(leaps) {
            return self.leap();
        }
        let step =
            if self.rng.chance(10) { -(self.rng.below(2_000) as i64) } else { self.rng.below(8_000) as i64 };
        self.now = TimestampMs(self.now.0 + step);
    }

    /// As when a machine's clock is corrected by hand.
    fn leap(&mut self) {
        let is_back = self.rng.chance(50);
        let hours = 1 + self.rng.below(30 * 24) as i64;
        self.trace.reach(if is_back { "a clock set back" } else { "a clock set ahead" });
        self.trace
            .line(|| format!("the clock is set {} h {}", hours, if is_back { "back" } else { "ahead" }));
        let step = hours * 3_600_000;
        self.now = TimestampMs(self.now.0 + if is_back { -step } else { step });
    }
}

/// A disk without faults, but for the lies that are asked for.
fn lies(sabotage: Option<Sabotage>) -> Faults {
    Faults {
        sync_is_a_lie: sabotage == Some(Sabotage::AcknowledgesBeforeSync),
        sync_after_read_is_a_lie: sabotage == Some(Sabotage::OpensWithoutSync),
        ..Faults::default()
    }
}

/// What an answer shows that every set of runs should show somewhere.
fn landmark(result: &EventResult, is_key_revoked: bool) -> &'static str {
    match result {
        EventResult::Accepted(_) => "accepted",
        EventResult::Replayed(_) if is_key_revoked => "replayed after its key was revoked",
        EventResult::Replayed(_) => "replayed",
        EventResult::Rejected(rejection) => rejection.code(),
    }
}

fn told(result: &EventResult) -> String {
    match result {
        EventResult::Accepted(receipt) => format!("accepted at {}", receipt.sequence_number),
        EventResult::Replayed(receipt) => format!("replayed from {}", receipt.sequence_number),
        EventResult::Rejected(rejection) => rejection.reason(),
    }
}

fn brief<E: std::fmt::Debug, F: std::fmt::Debug>(
    batch: &Result<Result<ves::commitment::Commitment, E>, F>,
) -> String {
    match batch {
        Ok(Ok(batch)) => format!("state root {}", batch.new_state_root),
        Ok(Err(problem)) => format!("{problem:?}"),
        Err(problem) => format!("{problem:?}"),
    }
}

fn ids_of(request: &Request) -> ves::Digest {
    let ids = request.events.iter().fold(ves::Hasher::bare(), |hasher, event| hasher.uuid(&event.event_id.0));
    ids.finish()
}
