//! When a letter is tried again (section 8.1). Pure: the clock and the letter say everything.

use ves::{EventId, TimestampMs};

use super::{Cause, DeadLetter, DeadLetterStatus, RefusedEvent};

/// Before the first retry, jitter aside.
pub const DELAY_MS_FIRST: i64 = 60_000;
/// Longest delay, jitter aside.
pub const DELAY_MS_MAX: i64 = 3_600_000;
/// Retries before a letter is given up.
pub const RETRIES_MAX: u32 = 10;

/// No retry is planned further ahead: one that seems to be was planned before the clock was set back.
pub(super) const HORIZON_MS: i64 = DELAY_MS_MAX + DELAY_MS_MAX / 4;

/// Bytes of a message that are kept.
const MESSAGE_BYTES_MAX: usize = 2_048;

/// Time until the next retry, after `retries` were made: 60 s doubled for each, at most 3,600 s, and up to a quarter more
/// or less. The part is drawn from the event's id, so letters of one moment spread out, and the same letter is planned the
/// same way twice.
pub(super) fn delay_ms(event: &EventId, retries: u32) -> i64 {
    let doubled = DELAY_MS_FIRST << retries.min(16);
    let delay = doubled.min(DELAY_MS_MAX);
    let quarter = delay / 4;
    delay - quarter + (mixed(event, retries) % (2 * quarter as u64 + 1)) as i64
}

/// An even spread over all numbers (the finalizer of SplitMix64); ids made by time differ in a few bits only.
fn mixed(event: &EventId, retries: u32) -> u64 {
    let id = u128::from_be_bytes(*event.as_bytes());
    let mut bits = (id as u64) ^ ((id >> 64) as u64) ^ (u64::from(retries) << 56);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

fn after(now: TimestampMs, delay_ms: i64) -> TimestampMs {
    TimestampMs(now.0.saturating_add(delay_ms))
}

/// The letter of a first refusal.
pub(super) fn refused(event: &RefusedEvent, now: TimestampMs) -> DeadLetter {
    let is_retried = event.reason.is_retried();
    DeadLetter {
        stream: event.stream,
        sequence_number: event.sequence_number,
        event_id: event.event_id,
        entity_type: event.entity_type.clone(),
        entity_id: event.entity_id.clone(),
        event_type: event.event_type.clone(),
        reason: event.reason,
        message: bounded(&event.message),
        expected_version: event.expected_version,
        actual_version: event.actual_version,
        status: if is_retried { DeadLetterStatus::Pending } else { DeadLetterStatus::Failed },
        retry_count: 0,
        last_retry_at: None,
        next_retry_at: is_retried.then(|| after(now, delay_ms(&event.event_id, 0))),
        created_at: now,
        cause: Cause::Refusal,
    }
}

/// The letter of an event that is refused at its place once more, in states built from nothing.
pub(super) fn met_again(event: &RefusedEvent, now: TimestampMs) -> DeadLetter {
    DeadLetter { cause: Cause::Rebuild, ..refused(event, now) }
}

/// The letter after a retry that was refused for `event`'s reason.
pub(super) fn refused_again(letter: &DeadLetter, event: &RefusedEvent, now: TimestampMs) -> DeadLetter {
    let retry_count = letter.retry_count.saturating_add(1);
    let goes_on = event.reason.is_retried() && retry_count < RETRIES_MAX;
    DeadLetter {
        reason: event.reason,
        message: bounded(&event.message),
        expected_version: event.expected_version,
        actual_version: event.actual_version,
        status: if goes_on { DeadLetterStatus::Retrying } else { DeadLetterStatus::Failed },
        retry_count,
        last_retry_at: Some(now),
        next_retry_at: goes_on.then(|| after(now, delay_ms(&letter.event_id, retry_count))),
        cause: Cause::RefusedRetry,
        ..letter.clone()
    }
}

/// The letter after a retry that was applied.
pub(super) fn resolved(letter: &DeadLetter, now: TimestampMs) -> DeadLetter {
    DeadLetter {
        status: DeadLetterStatus::Resolved,
        retry_count: letter.retry_count.saturating_add(1),
        last_retry_at: Some(now),
        next_retry_at: None,
        cause: Cause::AppliedRetry,
        ..letter.clone()
    }
}

/// The letter of which an operator asks for a retry: due at once, with a whole new budget. `None` once it is resolved.
pub(super) fn ordered(letter: &DeadLetter, now: TimestampMs) -> Option<DeadLetter> {
    (letter.status != DeadLetterStatus::Resolved).then(|| DeadLetter {
        status: DeadLetterStatus::Pending,
        retry_count: 0,
        next_retry_at: Some(now),
        cause: Cause::Order,
        ..letter.clone()
    })
}

/// The letter planned anew, where its retry lies further ahead than any could be planned: the clock was set back. It waits
/// its whole delay from now on, so it is never tried early.
pub(super) fn brought_back(letter: &DeadLetter, now: TimestampMs) -> Option<DeadLetter> {
    let planned = letter.next_retry_at?;
    (planned > after(now, HORIZON_MS)).then(|| DeadLetter {
        next_retry_at: Some(after(now, delay_ms(&letter.event_id, letter.retry_count))),
        cause: Cause::ClockStep,
        ..letter.clone()
    })
}

pub(super) fn bounded(message: &str) -> String {
    let end = (0..=message.len().min(MESSAGE_BYTES_MAX)).rev().find(|end| message.is_char_boundary(*end));
    message[..end.unwrap_or(0)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: u64) -> EventId {
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&n.to_be_bytes());
        EventId::from_bytes(bytes)
    }

    #[test]
    fn delays_double_from_a_minute_to_an_hour_within_a_quarter() {
        let planned = [60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600, 3_600];
        for (retries, seconds) in planned.into_iter().enumerate() {
            for n in 0..200 {
                let delay = delay_ms(&event(n), retries as u32);
                assert!(delay >= seconds * 750 && delay <= seconds * 1_250, "retry {retries}: {delay} ms");
                assert!(delay <= HORIZON_MS);
            }
        }
        assert!(delay_ms(&event(1), u32::MAX) <= HORIZON_MS);
    }

    #[test]
    fn letters_of_one_moment_spread_over_the_whole_jitter() {
        let mut slots = [0; 10];
        for n in 0..1_000 {
            let beyond = delay_ms(&event(n), 0) - 45_000;
            slots[(beyond as usize * 10 / 30_001).min(9)] += 1;
        }
        assert!(slots.iter().all(|count| (50..200).contains(count)), "{slots:?}");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let message = "é".repeat(MESSAGE_BYTES_MAX);
        let kept = bounded(&message);
        assert_eq!(kept.len(), MESSAGE_BYTES_MAX);
        assert!(message.starts_with(&kept));
        assert_eq!(bounded("short"), "short");
    }
}
