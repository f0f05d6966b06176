//! The engine against a naive sequencer that keeps every event in a list and looks through all of it each time.

use proptest::collection::vec;
use proptest::prelude::*;
use ves::Digest;

use super::batches::build;
use super::*;
use crate::{Planned, StreamOpening};

const STREAMS: u8 = 2;

#[derive(Debug, Clone)]
struct Spec {
    id: u8,
    command: Option<u8>,
    about: u8,
    base: Option<u64>,
    is_good: bool,
}

#[derive(Debug, Clone)]
enum Op {
    Admit {
        stream: u8,
        request: Vec<Spec>,
        facts_ahead: u8,
    },
    Seal,
    Durable,
    Failed,
    Forget {
        stream: u8,
        keep: u8,
    },
    Commit {
        stream: u8,
        leave: u8,
    },
    /// Everything provisional is lost, the index keeps what was forgotten, the rest is read from the log.
    Restart,
}

fn any_spec() -> impl Strategy<Value = Spec> {
    let command = prop_oneof![2 => Just(None), 1 => (0..6u8).prop_map(Some)];
    let base = prop_oneof![2 => Just(None), 1 => (0..4u64).prop_map(Some)];
    (0..24u8, command, 0..3u8, base, prop::bool::weighted(0.8))
        .prop_map(|(id, command, about, base, is_good)| Spec { id, command, about, base, is_good })
}

fn any_op() -> impl Strategy<Value = Op> {
    let stream = || 0..STREAMS;
    prop_oneof![
        6 => (stream(), vec(any_spec(), 1..7), 0..4u8)
            .prop_map(|(stream, request, facts_ahead)| Op::Admit { stream, request, facts_ahead }),
        2 => Just(Op::Seal),
        3 => Just(Op::Durable),
        1 => Just(Op::Failed),
        1 => (stream(), 0..5u8).prop_map(|(stream, keep)| Op::Forget { stream, keep }),
        1 => (stream(), 0..5u8).prop_map(|(stream, leave)| Op::Commit { stream, leave }),
        1 => Just(Op::Restart),
    ]
}

/// One stream of the naive sequencer: number n stands at index n - 1.
#[derive(Debug, Clone, Default)]
struct Naive {
    events: Vec<Spec>,
    durable: usize,
    forgotten: usize,
    committed: u64,
    root: Digest,
}

impl Naive {
    fn decide(&mut self, request: &[Spec]) -> Vec<Decision> {
        let mut decisions = Vec::new();
        for (i, spec) in request.iter().enumerate() {
            let stands_at = self.events.iter().position(|e| e.id == spec.id);
            let version = self.events.iter().filter(|e| e.about == spec.about).count() as u64;
            let used = spec.command.is_some() && self.events.iter().any(|e| e.command == spec.command);
            decisions.push(if request[..i].iter().any(|earlier| earlier.id == spec.id) {
                rejected(Rejection::DuplicateEventId)
            } else if let Some(at) = stands_at {
                duplicate(at as u64 + 1)
            } else if !spec.is_good {
                rejected(Rejection::InvalidSignature)
            } else if used {
                rejected(Rejection::DuplicateCommandId)
            } else if let Some(expected) = spec.base.filter(|base| *base != version) {
                rejected(Rejection::VersionConflict { expected, actual: version })
            } else {
                self.events.push(spec.clone());
                accepted(self.events.len() as u64)
            });
        }
        decisions
    }

    /// What an index over `1..=through` says about everything.
    fn facts(&self, through: usize) -> ColdFacts {
        let mut facts = ColdFacts::none_through(seq(through as u64));
        for (n, spec) in (1..).zip(&self.events[..through]) {
            facts.events.insert(id(spec.id), seq(n));
            facts.commands.extend(spec.command.map(|c| (command(c), seq(n))));
            *facts.versions.entry(entity(spec.about)).or_insert(0) += 1;
        }
        facts
    }
}

/// The two side by side, a third engine that never forgets, and the turns that the log has not answered for.
struct Pair {
    engine: Engine,
    remembers_all: Engine,
    naive: Vec<Naive>,
    sealed: Vec<Vec<usize>>,
}

impl Pair {
    fn new() -> Self {
        let naive = vec![Naive::default(); usize::from(STREAMS)];
        Self { engine: engine(), remembers_all: engine(), naive, sealed: Vec::new() }
    }

    fn both(&mut self, act: impl Fn(&mut Engine)) {
        act(&mut self.engine);
        act(&mut self.remembers_all);
    }

    fn lengths(&self) -> Vec<usize> {
        self.naive.iter().map(|n| n.events.len()).collect()
    }

    fn apply(&mut self, op: &Op) -> Result<(), TestCaseError> {
        match op {
            Op::Admit { stream: s, request, facts_ahead } => self.admit(*s, request, *facts_ahead)?,
            Op::Seal => {
                self.both(Engine::seal_turn);
                self.sealed.push(self.lengths());
            }
            Op::Durable => {
                self.both(Engine::turn_durable);
                let reached = if self.sealed.is_empty() { self.lengths() } else { self.sealed.remove(0) };
                for (naive, reached) in self.naive.iter_mut().zip(reached) {
                    naive.durable = reached;
                }
            }
            Op::Failed => {
                self.both(Engine::turn_failed);
                self.lose_provisional();
            }
            Op::Forget { stream: s, keep } => {
                let naive = &mut self.naive[usize::from(*s)];
                let through = naive.durable.saturating_sub(usize::from(*keep));
                naive.forgotten = naive.forgotten.max(through);
                self.engine.forget_through(&stream(*s), seq(through as u64));
            }
            Op::Commit { stream: s, leave } => self.commit(*s, *leave)?,
            Op::Restart => self.restart(),
        }
        Ok(())
    }

    fn admit(&mut self, s: u8, request: &[Spec], facts_ahead: u8) -> Result<(), TestCaseError> {
        let candidates: Vec<_> = request.iter().map(|spec| candidate(s, spec)).collect();
        let naive = &mut self.naive[usize::from(s)];
        let through = (naive.forgotten + usize::from(facts_ahead)).min(naive.durable);
        let facts = naive.facts(through);
        let expected = naive.decide(request);
        let decisions = self.engine.admit(&stream(s), &candidates, &facts, NOW);
        prop_assert_eq!(decisions.as_ref(), Ok(&expected), "with facts through {}", through);
        let warm = self.remembers_all.admit(&stream(s), &candidates, &ColdFacts::default(), NOW);
        prop_assert_eq!(warm, decisions, "memory alone agrees with memory and facts");
        Ok(())
    }

    fn commit(&mut self, s: u8, leave: u8) -> Result<(), TestCaseError> {
        let naive = &mut self.naive[usize::from(s)];
        let (start, end) = (naive.committed + 1, (naive.durable as u64).saturating_sub(u64::from(leave)));
        if end < start {
            return Ok(());
        }
        let planned = self.engine.begin_commit(&stream(s), seq(start), seq(end));
        let Ok(Planned::New(plan)) = planned else {
            return Err(TestCaseError::fail(format!("{start}..={end}: {planned:?}")));
        };
        prop_assert_eq!(plan.prev_state_root, naive.root);
        let batch = build(stream(s), &plan);
        (naive.committed, naive.root) = (end, batch.new_state_root);
        self.both(|engine| engine.committed(&batch));
        Ok(())
    }

    fn restart(&mut self) {
        self.lose_provisional();
        (self.engine, self.remembers_all) = (engine(), engine());
        for (s, naive) in (0..).zip(&self.naive) {
            if naive.durable == 0 {
                continue;
            }
            let opening = StreamOpening {
                head: seq(naive.durable as u64),
                committed_end: seq(naive.committed),
                last_state_root: naive.root,
                ..Default::default()
            };
            let covered = seq(naive.forgotten as u64);
            reopen(&mut self.engine, s, StreamOpening { covered, ..opening }, naive);
            reopen(&mut self.remembers_all, s, opening, naive);
        }
    }

    fn lose_provisional(&mut self) {
        self.sealed.clear();
        for naive in &mut self.naive {
            naive.events.truncate(naive.durable);
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for (s, naive) in (0..).zip(&self.naive) {
            let key = stream(s);
            prop_assert_eq!(self.engine.head(&key), seq(naive.durable as u64));
            prop_assert_eq!(self.engine.given(&key), seq(naive.events.len() as u64));
            prop_assert_eq!(self.engine.forgotten_through(&key), seq(naive.forgotten as u64));
            prop_assert_eq!(self.engine.committed_end(&key), (seq(naive.committed), naive.root));
            let recent: Vec<_> =
                self.engine.recent(&key).map(|e| (e.sequence.0, e.event_id, e.command_id)).collect();
            let tail = (1..).zip(&naive.events[..naive.durable]).skip(naive.forgotten);
            let expected: Vec<_> = tail.map(|(n, e)| (n, id(e.id), e.command.map(command))).collect();
            prop_assert_eq!(recent, expected);
            for about in 0..3 {
                let tail = (1..).zip(&naive.events[..naive.durable]).skip(naive.forgotten);
                let expected: Vec<_> = tail.filter(|(_, e)| e.about == about).map(|(n, _)| seq(n)).collect();
                prop_assert_eq!(self.engine.events_of(&key, &entity(about)), expected);
            }
        }
        // The policy of these tests closes a batch at 8 events or 6.4 s after NOW.
        let due = |at| self.engine.commit_due(at).into_iter().map(|(key, r)| (key, r.start().0, r.end().0));
        let waiting = |least: u64| {
            let of = move |(s, n): (u8, &Naive)| {
                let end = (n.durable as u64).min(n.committed + 8);
                (n.durable as u64 >= n.committed + least).then_some((stream(s), n.committed + 1, end))
            };
            (0..).zip(&self.naive).filter_map(of).collect::<Vec<_>>()
        };
        let mut at_last: Vec<_> = due(TimestampMs(i64::MAX)).collect();
        at_last.sort_unstable();
        prop_assert_eq!(at_last, waiting(1));
        let now: Vec<_> = due(NOW).collect();
        prop_assert!(waiting(8).iter().all(|full| now.contains(full)), "full batches are due at once");
        Ok(())
    }
}

fn candidate(s: u8, spec: &Spec) -> Candidate {
    match spec.is_good {
        false => bad(spec.id),
        true => Candidate::passed(
            id(spec.id),
            Passed {
                stream: stream(s),
                command_id: spec.command.map(command),
                entity: entity(spec.about),
                base_version: spec.base,
            },
        ),
    }
}

fn reopen(engine: &mut Engine, s: u8, opening: StreamOpening, naive: &Naive) {
    engine.open_stream(stream(s), opening);
    for (n, e) in (1..).zip(&naive.events).skip(opening.covered.0 as usize) {
        engine
            .remember(&stream(s), seq(n), id(e.id), e.command.map(command), entity(e.about))
            .expect("in order");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    /// Numbers stay contiguous, duplicates are told for ever, and memory with facts agrees with memory alone,
    /// whatever mixture of requests, turns, failures, flushes, batches and restarts comes along.
    #[test]
    fn the_engine_decides_as_the_naive_sequencer_does(ops in vec(any_op(), 1..60)) {
        let mut pair = Pair::new();
        for op in &ops {
            pair.apply(op)?;
            pair.check()?;
        }
    }
}
