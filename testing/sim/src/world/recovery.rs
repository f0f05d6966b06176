//! What goes wrong in a world, how it starts again, and its end in peace.

use stateset_event_log::{EventLog, LogError, MemoryLog};
use ves::TimestampMs;

use super::{RETRY_EVENTS_MAX, World, lies};
use crate::oracle::Problem;
use crate::platter::Stop;
use crate::profile::{ACTIONS, Action};
use crate::server::Server;

/// Rounds that clients get, once nothing fails any more, until every event must have its answer.
const HEALING_ROUNDS_MAX: u32 = 200;
/// Starts that may fail before the disk is left in peace.
const UNLUCKY_STARTS_MAX: u32 = 3;

impl World {
    pub(super) fn arm(&mut self, action: Action) {
        let after = self.rng.below(5) as u32;
        self.trace.line(|| format!("arm {action:?} ({after})"));
        self.disk.set_faults(|faults| match action {
            Action::FailSync => faults.next_sync_fails = true,
            Action::FailWrite => faults.next_write_fails = true,
            _ => faults.stops_after = Some(after),
        });
    }

    pub(super) fn fill(&mut self) {
        let room = self.rng.chance(50).then(|| self.disk.len() + self.rng.below(1_500));
        self.trace.line(|| format!("room on the disk: {room:?}"));
        self.disk.set_faults(|faults| faults.room_bytes = room);
    }

    /// After a write of the log: go on, or open it again.
    pub(super) fn outcome(&mut self, outcome: Result<(), LogError>) -> Result<(), Problem> {
        if outcome.as_ref().is_err_and(LogError::changed_nothing) {
            self.trace.reach("a batch or key refused by a full disk");
        }
        match outcome {
            Err(problem) if !problem.changed_nothing() => self.recover(&problem),
            _ => self.stopped(),
        }
    }

    /// Restarts the machine if it stopped inside an operation that was reported as done or as harmless.
    pub(super) fn stopped(&mut self) -> Result<(), Problem> {
        if self.disk.is_stopped() { self.recover(&LogError::corrupt("machine", "stopped")) } else { Ok(()) }
    }

    pub(super) fn recover(&mut self, problem: &LogError) -> Result<(), Problem> {
        self.trace.reach("an unknown outcome");
        let stop = match self.disk.is_stopped() {
            true if self.rng.chance(70) => Stop::Power,
            _ => Stop::Process,
        };
        self.restart(stop, &problem.to_string())
    }

    pub(super) fn restart(&mut self, stop: Stop, why: &str) -> Result<(), Problem> {
        self.trace.line(|| format!("restart ({stop:?}): {why}"));
        self.server = None;
        self.disk.restart(stop);
        self.start()?;
        let server = self.server.as_ref().expect("it has just started");
        self.oracle.check_log(server)
    }

    /// Opens the log, which may itself be cut short a few times.
    pub(super) fn start(&mut self) -> Result<(), Problem> {
        for attempt in 0.. {
            if attempt < UNLUCKY_STARTS_MAX && !self.is_healing && self.profile.weights[ACTIONS.len() - 2] > 0
            {
                let after = self.rng.below(12) as u32;
                self.disk.set_faults(|faults| faults.stops_after = Some(after));
            }
            let server = self.open().and_then(|log| Server::start(log, self.identity.clone()));
            let was_stopped = self.disk.is_stopped();
            self.disk.set_faults(|faults| faults.stops_after = None);
            match server {
                Ok(server) if !was_stopped => {
                    self.trace.starts += 1;
                    self.server = Some(server);
                    return Ok(());
                }
                Err(problem) if !was_stopped => return Err(format!("the log does not open: {problem}")),
                _ => {
                    self.trace.reach("a start that was cut short");
                    self.trace.line(|| "stopped while it started".into());
                    let stop = if self.rng.chance(70) { Stop::Power } else { Stop::Process };
                    self.disk.restart(stop);
                }
            }
        }
        unreachable!("attempts end with a return")
    }

    fn open(&self) -> Result<Box<dyn EventLog>, LogError> {
        Ok(Box::new(MemoryLog::open(Box::new(self.disk.clone()))?))
    }

    /// Nothing fails any more: every event gets its answer, everything is committed, and all of it is checked.
    pub(super) fn heal(&mut self) -> Result<(), Problem> {
        self.is_healing = true;
        let lies = lies(self.identity.sabotage);
        self.disk.set_faults(|faults| *faults = lies);
        self.restart(Stop::Power, "the last power loss")?;
        self.register_keys()?;
        for _ in 0..HEALING_ROUNDS_MAX {
            while !self.network.is_empty() {
                self.deliver()?;
            }
            self.finish_turn()?;
            for client in 0..self.clients.len() {
                self.requests += 1;
                let request = self.clients[client].retry(self.requests, RETRY_EVENTS_MAX);
                self.network.extend(request);
            }
            if self.network.is_empty() {
                break;
            }
        }
        let waiting: usize = self.clients.iter().map(|client| client.outbox.len()).sum();
        if waiting > 0 {
            return Err(format!("{waiting} events never get an answer"));
        }
        self.finish()
    }

    pub(super) fn finish_turn(&mut self) -> Result<(), Problem> {
        self.sync()?;
        self.seal();
        self.sync()
    }

    fn finish(&mut self) -> Result<(), Problem> {
        // The writer looks at its clock again and again. Where that was set back, what waits has its age from now on, and
        // what is left of it after a batch once more.
        for _ in 0..3 {
            self.commit_due()?;
            self.now = TimestampMs(self.now.0 + 3_600_000);
        }
        self.commit_due()?;
        let server = self.server.as_ref().expect("nothing fails any more");
        for stream in self.streams.clone() {
            self.oracle.observe(server, &stream)?;
            let (head, end) = (server.head(&stream), server.committed_end(&stream));
            if head.0 >= 32 {
                self.trace.reach("a whole tile");
            }
            if head != end {
                return Err(format!("{stream} is committed to {end} of {head} and nothing is due"));
            }
            self.trace.line(|| {
                format!("{stream}: head {head}, root {:?}", server.tree(&stream).map(|tree| tree.root()))
            });
        }
        self.oracle.check_log(server)?;
        self.trace.acknowledged = self.oracle.acknowledged_len() as u64;
        self.trace.faults = self.disk.failures();
        self.restart(Stop::Power, "the end")
    }
}
