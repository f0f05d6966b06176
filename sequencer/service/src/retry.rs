//! Pauses between tries (section 9): each twice the one before, within bounds, moved by chance.

use std::time::Duration;

use stateset_event_log::jitter;

/// How long to wait, by what is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPreset {
    pub first: Duration,
    pub cap: Duration,
}

impl RetryPreset {
    /// Work of this process on a database that is near, such as a worker's look through it.
    pub const DATABASE: Self = Self { first: Duration::from_millis(10), cap: Duration::from_millis(500) };
    /// The database of a term that is over, until it lets itself be opened again: whoever waits for it is refused
    /// meanwhile.
    pub const REOPENING: Self = Self { first: Duration::from_millis(250), cap: Duration::from_secs(5) };

    /// The pause before try `again` (1 is the first one after a failure): up to a quarter less than it would be
    /// without chance, so that those who failed together do not come back in step.
    pub fn pause(&self, again: u32) -> Duration {
        self.moved(again, jitter())
    }

    /// `jitter` is between -1 and 1.
    fn moved(&self, again: u32, jitter: f64) -> Duration {
        let doubled = self.first.saturating_mul(1 << again.saturating_sub(1).min(20)).min(self.cap);
        doubled.mul_f64(1.0 - 0.125 * (1.0 + jitter.clamp(-1.0, 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_whatever_chance_adds() {
        let still: Vec<u128> = (1..=8).map(|n| RetryPreset::DATABASE.moved(n, -1.0).as_millis()).collect();
        assert_eq!(still, [10, 20, 40, 80, 160, 320, 500, 500]);
        for again in [1, 2, 5, 20, 1000, u32::MAX] {
            for preset in [RetryPreset::DATABASE, RetryPreset::REOPENING] {
                let (least, most) = (preset.moved(again, 1.0), preset.moved(again, -1.0));
                assert!(least <= most && most <= preset.cap && least >= most.mul_f64(0.74));
            }
        }
    }
}
