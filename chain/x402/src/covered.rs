//! Whether a payer's balance covers what it has under way together: each payment alone it may cover, and all but one would be
//! reverted at the facilitator's cost.
//!
//! Under way is what was sent and has not ended, and what a caller is about to send. What was put down and is not sent, as
//! while the account has no gas, counts once it is brought again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy_primitives::U256;
use tokio::time::{Instant, sleep};

use crate::facilitator::{Facilitator, Lane};
use crate::reason::{Reason, Refusal};
use crate::record::PaymentKey;
use crate::settle::SettleError;
use crate::verify::VerifyError;

/// How long a payment waits for those before it: a block that holds one has lowered the balance before its record says so.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Between two looks at what is under way.
const PAUSE: Duration = Duration::from_millis(250);

/// Payments that are about to be sent, by the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Promises(Mutex<BTreeMap<u64, (PaymentKey, U256)>>);

impl Promises {
    fn held(&self) -> MutexGuard<'_, BTreeMap<u64, (PaymentKey, U256)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, key: PaymentKey, value: U256) -> Promised<'_> {
        let mut held = self.held();
        let place = held.last_key_value().map_or(0, |(last, _)| last + 1);
        held.insert(place, (key, value));
        Promised { promises: self, place, key }
    }
}

/// An amount that counts against its payer's balance until the payment has ended or its caller gives up.
#[derive(Debug)]
pub(crate) struct Promised<'a> {
    promises: &'a Promises,
    place: u64,
    key: PaymentKey,
}

impl Drop for Promised<'_> {
    fn drop(&mut self) {
        self.promises.held().remove(&self.place);
    }
}

impl Facilitator {
    /// Waits until the balance covers this payment, which it covered alone a moment ago, beside those that came before it.
    pub(crate) async fn covered(
        &self,
        lane: &Lane,
        key: &PaymentKey,
        value: U256,
    ) -> Result<Promised<'_>, SettleError> {
        let promised = self.promises.take(*key, value);
        let (mut beside, until) = (self.beside(&promised), Instant::now() + WAIT_MAX);
        loop {
            let balance = lane.chain.balance(key.token, key.from).await.map_err(VerifyError::from)?;
            if balance >= beside.saturating_add(value) {
                return Ok(promised);
            }
            if balance < value {
                let detail = format!("{} has {balance}, the price is {value}", key.from);
                return Err(Refusal::new(Reason::Balance, detail).into());
            }
            let before = beside;
            while beside == before {
                if Instant::now() >= until {
                    return Err(SettleError::Unavailable(format!(
                        "{} has {balance}, the price is {value}, and payments of {beside} are under way before it",
                        key.from
                    )));
                }
                sleep(PAUSE).await;
                beside = self.beside(&promised);
            }
        }
    }

    /// What its payer has under way in this token before a payment.
    fn beside(&self, promised: &Promised<'_>) -> U256 {
        let key = &promised.key;
        let is_of_payer = |other: &PaymentKey| {
            (other.chain_id, other.token, other.from) == (key.chain_id, key.token, key.from) && other != key
        };
        let unsent: Vec<_> = {
            let held = self.promises.held();
            let before = held.range(..promised.place).map(|(_, of)| *of);
            before.filter(|(other, _)| is_of_payer(other) && !self.has_sent(other)).collect()
        };
        // After that: one that is sent in between counts twice for a moment, and not in neither.
        let sent = self.records.sent_beside(key);
        unsent.iter().fold(sent, |sum, (_, value)| sum.saturating_add(*value))
    }
}
