//! Payers whose transactions fail on the chain: the facilitator pays for each, so there is an end to it.
//!
//! Simulating can't show all of them: a contract wallet may find out that it is asked and not sent, and spend or change
//! what it had before its transaction comes. Kept in memory: a restart forgets it, and costs [`REVERTS_MAX`] more at most.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alloy_primitives::Address;

use crate::facilitator::Facilitator;
use crate::reason::{Reason, Refusal};
use crate::record::{PaymentKey, Record, Stage};
use crate::settle::SettleError;
use crate::verify::Signer;

/// Failed transactions of one payer on one chain, in [`REVERTS_S`], after which no more is sent for it. Of a contract wallet
/// no more are under way at once, either: else all that it brings in one moment would be sent before the first has failed.
pub const REVERTS_MAX: usize = 3;
/// Seconds.
pub const REVERTS_S: u64 = 3_600;
/// Payers that are kept before those that are over are thrown away.
const PAYERS_KEPT: usize = 1_024;

/// A payer on a chain.
type Payer = (u64, Address);

#[derive(Debug, Default)]
struct Trouble {
    /// When they failed, oldest first, in Unix seconds.
    failed_s: Vec<u64>,
    underway: usize,
}

impl Trouble {
    fn forget(&mut self, now_s: u64) {
        self.failed_s.retain(|failed_s| failed_s.saturating_add(REVERTS_S) > now_s);
    }
}

/// The payers of one facilitator.
#[derive(Debug, Default)]
pub(crate) struct Reverts(Mutex<HashMap<Payer, Trouble>>);

/// A payment is sent, or about to be.
#[derive(Debug)]
pub(crate) struct Underway<'a> {
    reverts: &'a Reverts,
    payer: Payer,
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        let mut payers = self.reverts.payers();
        let Some(trouble) = payers.get_mut(&self.payer) else { return };
        trouble.underway = trouble.underway.saturating_sub(1);
        if trouble.underway == 0 && trouble.failed_s.is_empty() {
            payers.remove(&self.payer);
        }
    }
}

impl Reverts {
    /// Lets a payment be sent, unless too many of its payer have failed. `None` where others of its wallet have to end before.
    ///
    /// # Errors
    /// [`Refusal`] of a payer whose transactions have failed.
    pub fn admit(
        &self,
        key: &PaymentKey,
        signer: Signer,
        now_s: u64,
    ) -> Result<Option<Underway<'_>>, Refusal> {
        let (mut payers, payer) = (self.payers(), payer_of(key));
        refuse(&mut payers, payer, now_s)?;
        let trouble = payers.entry(payer).or_default();
        if signer == Signer::Wallet && trouble.failed_s.len() + trouble.underway >= REVERTS_MAX {
            return Ok(None);
        }
        trouble.underway += 1;
        Ok(Some(Underway { reverts: self, payer }))
    }

    /// Whether a payment of this payer would be sent.
    ///
    /// # Errors
    /// [`Refusal`] of a payer whose transactions have failed.
    pub fn check(&self, key: &PaymentKey, now_s: u64) -> Result<(), Refusal> {
        refuse(&mut self.payers(), payer_of(key), now_s)
    }

    /// A transaction for this payment has failed on the chain.
    pub fn note(&self, key: &PaymentKey, now_s: u64) {
        let mut payers = self.payers();
        if payers.len() >= PAYERS_KEPT {
            payers.retain(|_, trouble| {
                trouble.forget(now_s);
                trouble.underway > 0 || !trouble.failed_s.is_empty()
            });
        }
        payers.entry(payer_of(key)).or_default().failed_s.push(now_s);
    }

    fn payers(&self) -> MutexGuard<'_, HashMap<Payer, Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facilitator {
    /// Lets a payment be sent, of a payer whose transactions do not fail.
    pub(crate) fn admitted(&self, key: &PaymentKey, signer: Signer) -> Result<Underway<'_>, SettleError> {
        self.reverts.admit(key, signer, self.now_s())?.ok_or_else(|| {
            let wallet = key.from;
            SettleError::Unavailable(format!("{REVERTS_MAX} payments of the wallet {wallet} are under way"))
        })
    }

    /// Counts a payment that ends where its transaction was sent and moved nothing.
    pub(crate) fn note_reverted(&self, record: &Record, stage: &Stage) {
        let (Stage::Sent { .. }, Stage::Failed { reason, .. }) = (&record.stage, stage) else { return };
        let is_costly =
            |reason| matches!(reason, Reason::Transaction | Reason::TransferEvent | Reason::NonceUsed);
        if Reason::from_text(reason).is_some_and(is_costly) {
            self.reverts.note(&record.key, self.now_s());
        }
    }
}

fn payer_of(key: &PaymentKey) -> Payer {
    (key.chain_id, key.from)
}

fn refuse(payers: &mut HashMap<Payer, Trouble>, payer: Payer, now_s: u64) -> Result<(), Refusal> {
    let Some(trouble) = payers.get_mut(&payer) else { return Ok(()) };
    trouble.forget(now_s);
    let Some(nth) = trouble.failed_s.len().checked_sub(REVERTS_MAX) else { return Ok(()) };
    let until_s = trouble.failed_s[nth].saturating_add(REVERTS_S);
    let detail = format!(
        "{REVERTS_MAX} transactions of {} have failed on the chain within {REVERTS_S} s, at the facilitator's cost: nothing is sent for it \
         until {until_s} in Unix seconds; here it is {now_s}; pay from another account",
        payer.1
    );
    Err(Refusal::new(Reason::Transaction, detail))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;

    fn key(payer: u8) -> PaymentKey {
        let (token, from) = (Address::ZERO, Address::repeat_byte(payer));
        PaymentKey { chain_id: 1, token, from, nonce: B256::ZERO }
    }

    #[test]
    fn a_payer_whose_transactions_failed_waits_an_hour_and_another_does_not() {
        let reverts = Reverts::default();
        let admits =
            |payer, now_s| reverts.admit(&key(payer), Signer::Account, now_s).map(|given| given.is_some());
        for at in 0..REVERTS_MAX as u64 {
            assert_eq!(admits(1, 100 + at), Ok(true));
            reverts.note(&key(1), 100 + at);
        }
        let refusal = admits(1, 200).unwrap_err();
        assert_eq!(refusal.reason, Reason::Transaction);
        assert!(refusal.detail.contains(&format!("until {}", 100 + REVERTS_S)), "{refusal}");
        assert_eq!(reverts.check(&key(1), 200), Err(refusal));
        assert_eq!((admits(2, 200), reverts.check(&key(2), 200)), (Ok(true), Ok(())));
        assert_eq!(admits(1, 99 + REVERTS_S).map_err(|refusal| refusal.reason), Err(Reason::Transaction));
        assert_eq!(admits(1, 100 + REVERTS_S), Ok(true), "the first is an hour ago");
    }

    #[test]
    fn a_wallet_has_no_more_under_way_than_may_fail_and_an_account_has_what_it_likes() {
        let reverts = Reverts::default();
        let admit = |payer, signer| reverts.admit(&key(payer), signer, 100).unwrap();
        let mut underway: Vec<_> = (0..REVERTS_MAX).map(|_| admit(1, Signer::Wallet).unwrap()).collect();
        assert!(admit(1, Signer::Wallet).is_none());
        assert!(admit(2, Signer::Wallet).is_some(), "another's");
        let accounts: Vec<_> = (0..2 * REVERTS_MAX).map(|_| admit(3, Signer::Account).unwrap()).collect();
        drop(underway.pop());
        let again = admit(1, Signer::Wallet).unwrap();
        reverts.note(&key(1), 100);
        drop((again, underway.pop()));
        assert_eq!(reverts.payers()[&payer_of(&key(1))].underway, 1);
        let last = admit(1, Signer::Wallet).unwrap();
        assert!(admit(1, Signer::Wallet).is_none(), "one has failed, and two are under way");
        drop((last, underway, accounts));
        assert_eq!(reverts.payers().len(), 1, "who failed nothing is not kept");
        for payer in 10..10 + 10 {
            reverts.note(&key(payer), 100);
        }
        assert_eq!(reverts.payers().len(), 11);
    }
}
