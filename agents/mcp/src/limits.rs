//! What the agent may spend by itself. Pure: what it spent so far comes in as a value.

use std::collections::BTreeMap;

use crate::money::Money;

/// What the agent may spend of one currency without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Minor units of one call.
    pub call_minor_max: u64,
    /// Minor units of all calls of a day (24 hours back); `None`: no bound.
    pub day_minor_max: Option<u64>,
}

/// The agent's limits by currency. A currency that is not named has the limit 0: whatever is worth something asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits(BTreeMap<String, Limit>);

impl Limits {
    /// Sets the limit of one call in a currency.
    pub fn set_call(&mut self, limit: Money) {
        let entry = self.0.entry(limit.currency).or_insert(Limit { call_minor_max: 0, day_minor_max: None });
        entry.call_minor_max = limit.minor;
    }

    /// Sets the limit of a day; a call may then be as large as the day unless [`Self::set_call`] says otherwise.
    pub fn set_day(&mut self, limit: Money) {
        let entry = self
            .0
            .entry(limit.currency)
            .or_insert(Limit { call_minor_max: limit.minor, day_minor_max: None });
        entry.day_minor_max = Some(limit.minor);
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Limit)> {
        self.0.iter().map(|(currency, limit)| (currency.as_str(), limit))
    }

    /// Why a call has to wait for a person; `None` where it may go on.
    ///
    /// - `spent_minor`: what the agent spent of the currency by itself in the last 24 hours.
    pub fn asks(&self, worth: &Money, spent_minor: u64) -> Option<String> {
        if worth.minor == 0 {
            return None;
        }
        let text = |minor: u64| Money { minor, currency: worth.currency.clone() };
        let Some(limit) = self.0.get(&worth.currency) else {
            return Some(format!("{worth} needs a person: this agent has no limit in {}", worth.currency));
        };
        if worth.minor > limit.call_minor_max {
            return Some(format!(
                "{worth} is above this agent's limit of {} a call",
                text(limit.call_minor_max)
            ));
        }
        let day = limit.day_minor_max?;
        // A sum that no u64 holds is above every limit.
        let all = spent_minor.checked_add(worth.minor).filter(|all| *all <= day);
        all.is_none().then(|| {
            format!(
                "{worth} after {} in the last 24 hours is above this agent's limit of {} a day",
                text(spent_minor),
                text(day)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usd(minor: u64) -> Money {
        Money { minor, currency: "USD".to_owned() }
    }

    #[test]
    fn what_is_above_a_limit_asks() {
        let mut limits = Limits::default();
        assert!(limits.asks(&usd(1), 0).is_some(), "no limit is no permission");
        assert!(limits.asks(&usd(0), 0).is_none());
        limits.set_call(usd(100));
        limits.set_day(usd(250));
        assert!(limits.asks(&usd(100), 0).is_none());
        assert!(limits.asks(&usd(101), 0).is_some());
        assert!(limits.asks(&usd(100), 150).is_none());
        assert!(limits.asks(&usd(100), 151).is_some());
        let euro = Money { minor: 1, currency: "EUR".to_owned() };
        assert!(limits.asks(&euro, 0).is_some(), "another currency has its own limit");
    }

    proptest! {
        /// However the calls come, what goes without a person stays under the limit of the day.
        #[test]
        fn a_day_never_costs_more_than_its_limit(
            calls in prop::collection::vec(any::<u64>(), 0..40), day in any::<u64>(), call in any::<u64>(),
        ) {
            let mut limits = Limits::default();
            limits.set_call(usd(call));
            limits.set_day(usd(day));
            let mut spent = 0_u64;
            for minor in calls {
                if limits.asks(&usd(minor), spent).is_none() {
                    prop_assert!(minor <= call);
                    spent += minor;
                }
            }
            prop_assert!(spent <= day);
        }
    }
}
