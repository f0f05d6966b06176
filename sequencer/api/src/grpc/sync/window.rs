//! How many events may be under way that the agent has not acknowledged.

use std::collections::VecDeque;

use ves::StreamKey;

const UNACKNOWLEDGED_MAX: usize = 1000;

/// Closed once as many events are under way as are allowed. It stays open for agents that never acknowledge: the
/// published service asks nobody to.
#[derive(Debug, Default)]
pub(super) struct Window {
    acknowledges: bool,
    under_way: VecDeque<(StreamKey, u64)>,
}

impl Window {
    pub fn is_open(&self) -> bool {
        !self.acknowledges || self.under_way.len() < UNACKNOWLEDGED_MAX
    }

    pub fn sent(&mut self, stream: StreamKey, number: u64) {
        if !self.acknowledges && self.under_way.len() >= UNACKNOWLEDGED_MAX {
            self.under_way.pop_front();
        }
        self.under_way.push_back((stream, number));
    }

    /// `numbers` of any stream, and everything up to `head` of the `named` one.
    pub fn acknowledged(&mut self, numbers: &[u64], named: Option<StreamKey>, head: u64) {
        self.acknowledges = true;
        let mut numbers = numbers.to_vec();
        numbers.sort_unstable();
        self.under_way.retain(|(stream, number)| {
            let below_head = Some(*stream) == named && *number <= head;
            !below_head && numbers.binary_search(number).is_err()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ves::{StoreId, TenantId};

    fn stream(n: u8) -> StreamKey {
        StreamKey { tenant_id: TenantId::from_bytes([1; 16]), store_id: StoreId::from_bytes([n; 16]) }
    }

    #[test]
    fn the_window_closes_only_for_those_who_acknowledge_and_opens_again() {
        let mut window = Window::default();
        (1..=5000).for_each(|n| window.sent(stream(1), n));
        assert!(window.is_open() && window.under_way.len() == UNACKNOWLEDGED_MAX);
        window.acknowledged(&[], Some(stream(2)), 5000);
        assert!(!window.is_open(), "another stream's head acknowledges nothing here");
        window.acknowledged(&[4001], None, 0);
        assert!(window.is_open());
        window.sent(stream(2), 7);
        assert!(!window.is_open());
        window.acknowledged(&[], Some(stream(1)), 5000);
        assert_eq!(window.under_way, [(stream(2), 7)]);
        window.acknowledged(&[7, 8, 7], None, 0);
        assert!(window.under_way.is_empty());
    }
}
