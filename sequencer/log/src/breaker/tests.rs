use super::*;
use proptest::prelude::*;

fn fail(machine: &mut Machine, now: u64) {
    let leave = machine.ask(now).expect("leave");
    machine.end(leave, now, 1, false, 0.0);
}

fn opened(machine: &mut Machine, now: u64) {
    while machine.state() == BreakerState::Closed {
        fail(machine, now);
    }
}

#[test]
fn five_failures_within_a_minute_open_it_and_four_or_older_ones_do_not() {
    let mut machine = Machine::new(BreakerConfig::default());
    (0..4).for_each(|n| fail(&mut machine, n));
    fail(&mut machine, 60_004);
    assert_eq!(machine.state(), BreakerState::Closed, "the first ones are too old");
    (0..4).for_each(|n| fail(&mut machine, 60_005 + n));
    assert_eq!(machine.state(), BreakerState::Open);
    assert_eq!(machine.ask(60_008 + 10_000), Err(20_000));
}

#[test]
fn half_open_lets_three_through_at_once_and_closes_after_three_successes() {
    let mut machine = Machine::new(BreakerConfig::default());
    opened(&mut machine, 0);
    let leaves: Vec<Leave> = (0..3).map(|_| machine.ask(30_000).expect("a trial")).collect();
    assert_eq!(machine.state(), BreakerState::HalfOpen);
    assert!(machine.ask(30_000).is_err(), "three are under way");
    machine.give_up(leaves[0]);
    let again = machine.ask(30_001).expect("one gave its place up");
    for leave in [again, leaves[1], leaves[2]] {
        assert_eq!(machine.state(), BreakerState::HalfOpen);
        machine.end(leave, 30_100, 1, true, 0.0);
    }
    assert_eq!(machine.state(), BreakerState::Closed);
}

#[test]
fn each_failed_trial_doubles_the_pause_up_to_five_minutes_and_a_success_begins_anew() {
    let mut machine = Machine::new(BreakerConfig::default());
    let mut now = 0;
    opened(&mut machine, now);
    for pause in [30_000, 60_000, 120_000, 240_000, 300_000, 300_000] {
        assert_eq!(machine.ask(now), Err(pause));
        now += pause;
        fail(&mut machine, now);
    }
    now += 300_000;
    for _ in 0..3 {
        let leave = machine.ask(now).expect("a trial");
        machine.end(leave, now, 1, true, 0.0);
    }
    opened(&mut machine, now);
    assert_eq!(machine.ask(now), Err(30_000));
}

#[test]
fn slow_calls_count_as_failures_and_jitter_moves_a_pause_by_a_tenth() {
    let mut machine = Machine::new(BreakerConfig { slow_ms: Some(100), ..BreakerConfig::default() });
    for took in [100, 101, 500, 101, 101] {
        let leave = machine.ask(0).expect("leave");
        machine.end(leave, 0, took, true, 1.0);
    }
    assert_eq!(machine.state(), BreakerState::Closed, "one of them was not slow");
    let leave = machine.ask(0).expect("leave");
    machine.end(leave, 0, 101, true, 1.0);
    assert_eq!(machine.ask(0), Err(33_000));
    assert_eq!((moved(1000, -1.0), moved(1000, 5.0)), (900, 1100));
}

#[test]
fn a_slow_success_is_shown_as_the_failure_that_it_counts_as() {
    let config = BreakerConfig { slow_ms: Some(1), ..BreakerConfig::default() };
    let breaker = Arc::new(Breaker::new("test", config));
    for _ in 0..5 {
        let call = breaker.ask().expect("closed");
        std::thread::sleep(Duration::from_millis(10));
        call.end(true);
    }
    let reading = breaker.reading();
    assert_eq!((reading.state, reading.successes, reading.failures), (BreakerState::Open, 0, 5));
}

#[test]
fn an_answer_from_before_says_nothing_of_the_trial() {
    let mut machine = Machine::new(BreakerConfig::default());
    let old = machine.ask(0).expect("leave");
    opened(&mut machine, 0);
    let trial = machine.ask(30_000).expect("a trial");
    machine.end(old, 30_000, 1, false, 0.0);
    assert_eq!(machine.state(), BreakerState::HalfOpen);
    machine.end(trial, 30_000, 1, true, 0.0);
    assert_eq!(machine.state(), BreakerState::HalfOpen);
}

#[test]
fn many_threads_share_three_trials() {
    let config = BreakerConfig { open_ms: 0, ..BreakerConfig::default() };
    let breaker = Arc::new(Breaker::new("test", config));
    for _ in 0..5 {
        breaker.ask().expect("closed").end(false);
    }
    let start = std::sync::Barrier::new(16);
    let calls: Vec<Result<Call, LeftAlone>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    breaker.ask()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(calls.iter().filter(|call| call.is_ok()).count(), 3);
    assert_eq!(breaker.reading().rejected, 13);
    calls.into_iter().flatten().for_each(|call| call.end(true));
    let reading = breaker.reading();
    assert_eq!((reading.state, reading.successes, reading.failures), (BreakerState::Closed, 3, 5));
}

/// What a caller can do, and how long it waits before.
#[derive(Debug, Clone, Copy)]
enum Step {
    Ask(u64),
    /// Ends the oldest call under way.
    End(u64, bool),
    GiveUp,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..40_000_u64).prop_map(Step::Ask),
        (0..5_000_u64, any::<bool>()).prop_map(|(wait, good)| Step::End(wait, good)),
        Just(Step::GiveUp),
    ]
}

/// The rules once more, by looking at everything that ever happened.
#[derive(Default)]
struct Model {
    /// Failures of the present closed period.
    failures: Vec<u64>,
    open_until: Option<u64>,
    is_trying: bool,
    under_way: u32,
    successes: u32,
    openings: u32,
    period: u64,
}

impl Model {
    fn ask(&mut self, now: u64) -> Option<u64> {
        if self.open_until.is_some_and(|until| now < until) {
            return None;
        }
        if self.open_until.take().is_some() {
            (self.is_trying, self.under_way, self.successes) = (true, 0, 0);
            self.period += 1;
        }
        if self.is_trying {
            if self.under_way == 3 {
                return None;
            }
            self.under_way += 1;
        }
        Some(self.period)
    }

    fn end(&mut self, period: u64, now: u64, is_good: bool) {
        if period != self.period || self.open_until.is_some() {
            return;
        }
        if !is_good {
            self.failures.push(now);
        }
        let recent = self.failures.iter().filter(|at| now - **at <= 60_000).count();
        if self.is_trying && is_good {
            self.under_way -= 1;
            self.successes += 1;
            if self.successes == 3 {
                (self.is_trying, self.openings, self.failures) = (false, 0, Vec::new());
                self.period += 1;
            }
        } else if !is_good && (self.is_trying || recent >= 5) {
            let pause = (30_000_u64 << self.openings.min(10)).min(300_000);
            self.open_until = Some(now + pause);
            self.openings += 1;
            (self.is_trying, self.failures) = (false, Vec::new());
            self.period += 1;
        }
    }

    fn state(&self) -> BreakerState {
        match (self.open_until, self.is_trying) {
            (Some(_), _) => BreakerState::Open,
            (None, true) => BreakerState::HalfOpen,
            (None, false) => BreakerState::Closed,
        }
    }
}

proptest! {
    /// Whatever callers do, and however late their answers come.
    #[test]
    fn it_does_what_the_model_does(steps in proptest::collection::vec(step(), 0..200)) {
        let (mut machine, mut model) = (Machine::new(BreakerConfig::default()), Model::default());
        let mut calls: VecDeque<(Leave, u64)> = VecDeque::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Ask(wait) => {
                    now += wait;
                    let (leave, period) = (machine.ask(now), model.ask(now));
                    prop_assert_eq!(leave.is_ok(), period.is_some());
                    if let (Ok(leave), Some(period)) = (leave, period) {
                        calls.push_back((leave, period));
                    }
                }
                Step::End(wait, is_good) => {
                    now += wait;
                    let Some((leave, period)) = calls.pop_front() else { continue };
                    machine.end(leave, now, 1, is_good, 0.0);
                    model.end(period, now, is_good);
                }
                Step::GiveUp => {
                    let Some((leave, period)) = calls.pop_back() else { continue };
                    machine.give_up(leave);
                    if period == model.period && model.is_trying {
                        model.under_way -= 1;
                    }
                }
            }
            prop_assert_eq!(machine.state(), model.state());
        }
    }
}
