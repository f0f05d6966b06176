//! Lanes under a clock that is only a number: what a receiver gets whatever it does.

use proptest::collection::vec;
use proptest::prelude::*;
use stateset_webhooks::schedule::{GIVE_UP_AFTER_MS, WAIT_MS_MAX};
use stateset_webhooks::{Lane, Outcome, Verdict};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
const FAILED: Verdict = Verdict::Failed { wait_ms_min: 0 };

/// What came of a stream of `events` events, sent to a receiver that answers by the time.
#[derive(Debug, Default)]
struct Story {
    taken: Vec<u64>,
    given_up: Vec<u64>,
    requests: u64,
    ended_ms: i64,
}

/// Runs the lane to the end of the stream: sleeps until it may send, sends, answers.
fn run(events: u64, mut takes: impl FnMut(u64, i64) -> bool, spread: u16) -> Story {
    let (mut lane, mut now, mut story) = (Lane::new(1), 0i64, Story::default());
    while lane.next <= events {
        now = now.max(lane.ready_at_ms()) + 100;
        let (number, before) = (lane.next, lane);
        story.requests += 1;
        let verdict = if takes(number, now) { Verdict::Taken } else { FAILED };
        match lane.answered(number, verdict, now, spread) {
            Outcome::Delivered { .. } => story.taken.push(number),
            Outcome::GivenUp { .. } => story.given_up.push(number),
            Outcome::RetryAt { ms, .. } => assert!(ms > now && lane.next == before.next),
            Outcome::Stale => panic!("nobody moved it"),
        }
    }
    story.ended_ms = now;
    story
}

#[test]
fn a_receiver_that_is_down_for_a_day_gets_everything_once_and_in_order_soon_after() {
    let story = run(500, |_, now| now > DAY, u16::MAX);
    assert_eq!(story.taken, (1..=500).collect::<Vec<_>>());
    assert!(story.given_up.is_empty());
    assert!(story.ended_ms <= DAY + WAIT_MS_MAX * 11 / 10 + 500 * 100 + 100, "{}", story.ended_ms);
    assert!(story.requests < 500 + 60, "{} requests to a receiver that is down", story.requests - 500);
}

#[test]
fn an_event_that_is_never_taken_is_given_up_after_three_days_and_the_next_one_goes_on() {
    let story = run(3, |number, _| number != 2, 0);
    assert_eq!((story.taken, story.given_up), (vec![1, 3], vec![2]));
    assert!((GIVE_UP_AFTER_MS..GIVE_UP_AFTER_MS + WAIT_MS_MAX).contains(&story.ended_ms));
    assert!(story.requests > 100);
}

#[test]
fn an_answer_to_what_was_moved_meanwhile_changes_nothing() {
    let mut lane = Lane::new(5);
    assert_eq!(lane.answered(5, FAILED, 0, 0), Outcome::RetryAt { ms: 5_000, attempts: 1 });
    lane.replay(2);
    assert_eq!((lane.next, lane.ready_at_ms()), (2, i64::MIN));
    assert_eq!(lane.answered(5, Verdict::Taken, 1, 0), Outcome::Stale);
    assert_eq!(lane.answered(2, Verdict::Taken, 1, 0), Outcome::Delivered { attempts: 1 });
    assert_eq!(lane, Lane::new(3));
}

#[test]
fn who_asks_to_be_left_alone_is_but_for_no_longer_than_an_event_is_tried() {
    let asks = |wait_ms_min| Verdict::Failed { wait_ms_min };
    let mut lane = Lane::new(1);
    assert_eq!(lane.answered(1, asks(90_000), 0, 0), Outcome::RetryAt { ms: 90_000, attempts: 1 });
    // Sooner than we would come is no reason to come sooner.
    assert_eq!(lane.answered(1, asks(1_000), 90_000, 0), Outcome::RetryAt { ms: 105_000, attempts: 2 });
    let late = GIVE_UP_AFTER_MS - 1_000;
    let last = Outcome::RetryAt { ms: GIVE_UP_AFTER_MS, attempts: 3 };
    assert_eq!(lane.answered(1, asks(DAY), late, 0), last);
    assert_eq!(lane.answered(1, asks(DAY), GIVE_UP_AFTER_MS, 0), Outcome::GivenUp { attempts: 4 });
}

#[test]
fn what_failed_is_passed_or_begun_again_when_the_receiver_is_another() {
    let mut lane = Lane::new(1);
    lane.answered(1, FAILED, 0, 0);
    lane.begin_again();
    assert_eq!(lane, Lane::new(1));
    assert_eq!(lane.answered(1, FAILED, 7, 0), Outcome::RetryAt { ms: 5_007, attempts: 1 });
    lane.pass_to(2);
    assert_eq!(lane, Lane::new(2));
}

proptest! {
    /// Down at any times, never for three days: everything is taken, once, in order.
    #[test]
    fn whatever_the_receiver_does_each_event_comes_once_and_in_order(
        phases in vec((1i64..2 * DAY, 1i64..DAY), 0..12), events in 1u64..60, spread: u16,
    ) {
        let is_up = |now: i64| {
            let mut at = 0;
            for (down, up) in &phases {
                if now < at + down { return false; }
                at += down;
                if now < at + up { return true; }
                at += up;
            }
            true
        };
        let story = run(events, |_, now| is_up(now), spread);
        // Several times down in a row can be longer than three days for one event, if it is never tried in between.
        let longest: i64 = phases.iter().map(|(down, _)| down).max().copied().unwrap_or(0);
        let all: Vec<u64> = {
            let mut all: Vec<u64> = story.taken.iter().chain(&story.given_up).copied().collect();
            all.sort_unstable();
            all
        };
        prop_assert_eq!(all, (1..=events).collect::<Vec<_>>());
        prop_assert!(story.taken.windows(2).all(|pair| pair[0] < pair[1]));
        let shortest_up = phases.iter().map(|(_, up)| up).min().copied().unwrap_or(DAY);
        if shortest_up > 2 * WAIT_MS_MAX && longest < GIVE_UP_AFTER_MS {
            prop_assert!(story.given_up.is_empty());
        }
    }

    /// Answers that fail at random: failures are counted, times rise, nothing overflows.
    #[test]
    fn no_clock_and_no_answer_breaks_a_lane(steps in vec((any::<bool>(), any::<i64>(), any::<i64>(), any::<u16>()), 0..200)) {
        let mut lane = Lane::new(1);
        for (takes, wait_ms_min, now, spread) in steps {
            let before = lane.next;
            let verdict = if takes { Verdict::Taken } else { Verdict::Failed { wait_ms_min } };
            match lane.answered(before, verdict, now, spread) {
                Outcome::RetryAt { ms, attempts } => {
                    prop_assert!(lane.next == before && attempts >= 1 && lane.ready_at_ms() == ms);
                }
                _ => prop_assert_eq!(lane, Lane::new(before + 1)),
            }
        }
    }
}
