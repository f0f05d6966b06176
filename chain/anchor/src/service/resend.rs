//! Handing transactions to the node: the first time, again, and with higher fees. Each is in the journal before.

use set_registry::{Address, B256, BlockAt, Bytes, Eip1559, U256};

use super::{Service, StepError};
use crate::fees::{HISTORY_BLOCKS, bump, quote};
use crate::flight::{Attempt, Fees};
use crate::machine::{Sight, Wish};
use crate::sending::{self, Sent};
use crate::source::Source;
use crate::trouble::Trouble;

/// Without a ceiling of the operator's: a transaction that is offered ten times what blocks take is stuck by something
/// else than its fees.
const BUMP_FACTOR_MAX: u128 = 10;

impl<S: Source> Service<S> {
    pub(super) fn grant(&mut self, sight: &Sight, wish: Wish) -> Result<(), StepError> {
        match wish {
            Wish::SendAgain { nonce } => {
                self.status.lock().counters.resent += 1;
                self.broadcast(sight.now_ms, nonce)
            }
            Wish::Replace { nonce } => self.replace(sight, nonce),
        }
    }

    fn replace(&mut self, sight: &Sight, nonce: u64) -> Result<(), StepError> {
        let Some(flight) = self.machine.flight(nonce) else { return Ok(()) };
        let old = flight.latest();
        let history = self.ledger.node().fee_history(HISTORY_BLOCKS)?;
        let now = quote(&history, None).unwrap_or(old.fees);
        let ceiling = self
            .settings
            .fee_ceiling
            .unwrap_or(now.max_fee.saturating_mul(BUMP_FACTOR_MAX).max(1_000_000_000));
        let is_empty = flight.is_void;
        let may_be_as_cheap = is_empty && !old.is_empty;
        // Where no more may be offered, the node may have lost the one that is to be replaced, and take this.
        let bumped = bump(old.fees, now, Some(ceiling)).ok().or(may_be_as_cheap.then_some(old.fees));
        let Some(fees) = bumped else {
            let first = flight.attempts.first().map_or(0, |first| first.signed_at_ms);
            let seconds = (sight.now_ms - first) / 1000;
            let trouble = Trouble::Stuck { transaction: old.hash, nonce, seconds };
            let mut status = self.status.lock();
            // Told once, and not for each second that passes.
            if !matches!(&status.sending, Some(Trouble::Stuck { nonce: known, .. }) if *known == nonce) {
                status.note(sight.now_ms, &trouble);
            }
            status.sending = Some(trouble);
            return Ok(());
        };
        let gas_limit = old.gas_limit;
        let attempt = match is_empty {
            true => self.sign(sight, nonce, self.settings.key.address(), Bytes::new(), gas_limit, fees),
            false => {
                let input = self.ledger.input(&flight.batches);
                self.sign(sight, nonce, self.settings.registry, input, gas_limit, fees)
            }
        };
        let attempt = Attempt { is_empty, ..attempt };
        self.machine.replace(nonce, attempt);
        self.write(nonce)?;
        self.status.lock().counters.replacements += 1;
        self.broadcast(sight.now_ms, nonce)
    }

    pub(super) fn sign(
        &self,
        sight: &Sight,
        nonce: u64,
        to: Address,
        input: Bytes,
        gas_limit: u64,
        fees: Fees,
    ) -> Attempt {
        let transaction = Eip1559 {
            chain_id: self.settings.expected_chain_id,
            nonce,
            max_priority_fee_per_gas: fees.priority_fee,
            max_fee_per_gas: fees.max_fee,
            gas_limit,
            to: Some(to),
            value: U256::ZERO,
            input,
        };
        let signed = transaction.sign(&self.settings.key);
        Attempt {
            hash: signed.hash,
            raw: signed.raw,
            fees,
            gas_limit,
            signed_at_ms: sight.now_ms,
            signed_at_block: sight.newest,
            is_empty: false,
        }
    }

    /// Hands the latest attempt to the node. Whatever it answers, the chain tells what became of it.
    pub(super) fn broadcast(&mut self, now_ms: i64, nonce: u64) -> Result<(), StepError> {
        let Some(flight) = self.machine.flight(nonce) else { return Ok(()) };
        let (transaction, raw) = (flight.latest().hash, flight.latest().raw.clone());
        let fees_and_gas = (flight.latest().fees.max_fee, flight.latest().gas_limit);
        let answer = self.ledger.node().send(&raw);
        // A block may have come by now, with it or without.
        self.last_look = None;
        match (sending::read(&answer), answer) {
            (Sent::Taken, _) => self.status.lock().sending = None,
            (Sent::NonceUsed, _) => self.is_used(now_ms, nonce, transaction)?,
            (Sent::TooCheap, _) => self.machine.is_too_cheap(nonce),
            (Sent::NoFunds, _) => {
                let trouble = self.no_funds(fees_and_gas.0, fees_and_gas.1)?;
                self.hinder(now_ms, trouble);
            }
            (_, Err(error)) if error.is_of_endpoint() => return Err(error.into()),
            (_, Err(error)) => {
                self.hinder(now_ms, Trouble::NodeRefuses { transaction, message: error.to_string() })
            }
            (_, Ok(_)) => {}
        }
        Ok(())
    }

    /// A node that calls a nonce used which it does not count would be asked for ever without a word.
    fn is_used(&self, now_ms: i64, nonce: u64, transaction: B256) -> Result<(), StepError> {
        let next = self.ledger.node().nonce(self.settings.key.address(), BlockAt::Latest)?;
        if next > nonce {
            self.status.lock().sending = None;
        } else {
            let message = format!("it calls nonce {nonce} used, and counts {next} as the account's next");
            self.hinder(now_ms, Trouble::NodeRefuses { transaction, message });
        }
        Ok(())
    }

    /// What the account has, and what a transaction may cost.
    pub(super) fn no_funds(&self, max_fee: u128, gas_limit: u64) -> Result<Trouble, StepError> {
        let account = self.settings.key.address();
        let balance = self.ledger.node().balance(account, BlockAt::Latest)?;
        Ok(Trouble::NoFunds { account, balance, needed: U256::from(max_fee) * U256::from(gas_limit) })
    }

    pub(super) fn hinder(&self, now_ms: i64, trouble: Trouble) {
        let mut status = self.status.lock();
        status.note(now_ms, &trouble);
        status.sending = Some(trouble);
    }
}
