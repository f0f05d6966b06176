//! What the service tells of itself: figures, what is in the way, and the last errors.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use ves::StreamKey;

use crate::breaker::BreakerState;
use crate::trouble::Trouble;

/// Errors that are kept for `/errors`.
const ERRORS_MAX: usize = 100;

/// Things that happened since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Batches sent for the first time.
    pub submitted: u64,
    /// Batches seen in a block, in another again counted.
    pub included: u64,
    pub confirmed: u64,
    pub finalized: u64,
    /// Batches found on the chain without a transaction of ours.
    pub recovered: u64,
    /// Batches that the sequencer was told of.
    pub told: u64,
    pub transactions: u64,
    pub replacements: u64,
    /// The same transaction handed to the node again.
    pub resent: u64,
    pub reorgs: u64,
    /// Transactions given up: nonce taken, stranded, or without effect.
    pub dropped: u64,
    /// Of final transactions.
    pub gas_used: u64,
    /// Of final transactions, in wei.
    pub fees_wei: u128,
    pub rpc_failures: u64,
}

/// Figures of now.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// Unix milliseconds.
    pub last_step_ms: i64,
    pub newest_block: u64,
    pub finalized_block: u64,
    /// Batches that the sequencer holds as not anchored.
    pub pending: usize,
    /// When the oldest of them was closed, Unix milliseconds.
    pub oldest_pending_ms: Option<i64>,
    /// Of each stream with pending batches: events that the chain's head is behind.
    pub head_lag: BTreeMap<StreamKey, u64>,
    /// Transactions by stage.
    pub waiting_transactions: usize,
    pub included_transactions: usize,
    pub confirmed_transactions: usize,
}

/// Everything that is told; one step of the service writes it.
#[derive(Debug)]
pub struct Status {
    pub counters: Counters,
    pub figures: Figures,
    pub breaker: BreakerState,
    /// Nothing can be written down, so nothing is sent.
    pub journal: Option<Trouble>,
    /// The chain can't be used at all; set before the first look at it.
    pub chain: Option<Trouble>,
    pub source: Option<Trouble>,
    /// Nothing can be sent.
    pub sending: Option<Trouble>,
    /// Single streams wait.
    pub streams: Vec<Trouble>,
    errors: VecDeque<(i64, String)>,
    /// Whether the chain was found right once.
    pub is_started: bool,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            counters: Counters::default(),
            figures: Figures::default(),
            breaker: BreakerState::Closed,
            journal: None,
            chain: None,
            source: None,
            sending: None,
            streams: Vec::new(),
            errors: VecDeque::new(),
            is_started: false,
        }
    }
}

impl Status {
    /// Keeps an error, once where it repeats.
    pub fn note(&mut self, now_ms: i64, trouble: &Trouble) {
        let text = trouble.to_string();
        if self.errors.back().is_some_and(|(_, last)| *last == text) {
            return;
        }
        tracing::warn!("{text}");
        if self.errors.len() == ERRORS_MAX {
            self.errors.pop_front();
        }
        self.errors.push_back((now_ms, text));
    }

    /// Sentences of what keeps the service from its work; empty when it is ready.
    pub fn troubles(&self) -> Vec<String> {
        let mut found: Vec<String> = [&self.journal, &self.chain, &self.source, &self.sending]
            .into_iter()
            .flatten()
            .map(Trouble::to_string)
            .collect();
        if !self.is_started && found.is_empty() {
            found.push("the chain was not looked at yet".to_owned());
        }
        if matches!(self.breaker, BreakerState::Open { .. }) {
            found.push("the endpoint failed too often and is left alone for a while".to_owned());
        }
        found
    }

    pub fn errors(&self) -> Value {
        let errors = self.errors.iter().rev().map(|(at, text)| json!({ "at_ms": at, "error": text }));
        json!({ "errors": errors.collect::<Vec<_>>() })
    }

    pub fn stats(&self, now_ms: i64) -> Value {
        let (counters, figures) = (&self.counters, &self.figures);
        let lag: BTreeMap<String, u64> =
            figures.head_lag.iter().map(|(stream, lag)| (stream.to_string(), *lag)).collect();
        json!({
            "batches": {
                "pending": figures.pending,
                "oldest_pending_age_ms": figures.oldest_pending_ms.map(|at| now_ms - at),
                "submitted": counters.submitted,
                "included": counters.included,
                "confirmed": counters.confirmed,
                "final": counters.finalized,
                "recovered": counters.recovered,
                "told": counters.told,
            },
            "transactions": {
                "sent": counters.transactions,
                "replacements": counters.replacements,
                "resent": counters.resent,
                "dropped": counters.dropped,
                "waiting": figures.waiting_transactions,
                "included": figures.included_transactions,
                "confirmed": figures.confirmed_transactions,
            },
            "chain": {
                "newest_block": figures.newest_block,
                "finalized_block": figures.finalized_block,
                "reorgs": counters.reorgs,
                "gas_used": counters.gas_used,
                "fees_wei": counters.fees_wei.to_string(),
                "rpc_failures": counters.rpc_failures,
                "breaker": self.breaker_name(),
            },
            "head_lag_events": lag,
            "troubles": self.troubles(),
            "stream_troubles": self.streams.iter().map(Trouble::to_string).collect::<Vec<_>>(),
        })
    }

    fn breaker_name(&self) -> &'static str {
        match self.breaker {
            BreakerState::Closed => "closed",
            BreakerState::Open { .. } => "open",
            BreakerState::HalfOpen { .. } => "half_open",
        }
    }

    /// In the text format of Prometheus.
    pub fn metrics(&self, now_ms: i64) -> String {
        let (counters, figures) = (&self.counters, &self.figures);
        let mut text = String::new();
        for (name, value) in [
            ("batches_submitted_total", u128::from(counters.submitted)),
            ("batches_included_total", counters.included.into()),
            ("batches_confirmed_total", counters.confirmed.into()),
            ("batches_final_total", counters.finalized.into()),
            ("batches_recovered_total", counters.recovered.into()),
            ("batches_told_total", counters.told.into()),
            ("transactions_total", counters.transactions.into()),
            ("replacements_total", counters.replacements.into()),
            ("resent_total", counters.resent.into()),
            ("dropped_total", counters.dropped.into()),
            ("reorgs_total", counters.reorgs.into()),
            ("gas_used_total", counters.gas_used.into()),
            ("fees_wei_total", counters.fees_wei),
            ("rpc_failures_total", counters.rpc_failures.into()),
        ] {
            let _ = writeln!(text, "# TYPE set_anchor_{name} counter\nset_anchor_{name} {value}");
        }
        let age = figures.oldest_pending_ms.map_or(0, |at| (now_ms - at).max(0));
        for (name, value) in [
            ("pending_batches", figures.pending as u64),
            ("oldest_pending_age_ms", age.unsigned_abs()),
            ("waiting_transactions", figures.waiting_transactions as u64),
            ("newest_block", figures.newest_block),
            ("finalized_block", figures.finalized_block),
            ("breaker_open", u64::from(!matches!(self.breaker, BreakerState::Closed))),
            ("hindered_streams", self.streams.len() as u64),
            ("ready", u64::from(self.troubles().is_empty())),
        ] {
            let _ = writeln!(text, "# TYPE set_anchor_{name} gauge\nset_anchor_{name} {value}");
        }
        let _ = writeln!(text, "# TYPE set_anchor_head_lag_events gauge");
        for (stream, lag) in &figures.head_lag {
            let (tenant, store) = (stream.tenant_id, stream.store_id);
            let _ =
                writeln!(text, "set_anchor_head_lag_events{{tenant=\"{tenant}\",store=\"{store}\"}} {lag}");
        }
        text
    }
}

/// The status, shared with whoever asks.
#[derive(Debug, Clone, Default)]
pub struct SharedStatus(Arc<Mutex<Status>>);

impl SharedStatus {
    pub fn lock(&self) -> MutexGuard<'_, Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_repeats_is_kept_once() {
        let mut status = Status::default();
        let trouble = |n: u64| Trouble::Stranded { nonce: n };
        for n in [1, 1, 1, 2, 1] {
            status.note(5, &trouble(n));
        }
        assert_eq!(status.errors()["errors"].as_array().unwrap().len(), 3);
        for n in 0..500 {
            status.note(6, &trouble(n));
        }
        assert_eq!(status.errors()["errors"].as_array().unwrap().len(), ERRORS_MAX);
    }

    #[test]
    fn ready_means_that_nothing_is_in_the_way() {
        let mut status = Status::default();
        assert_eq!(status.troubles(), ["the chain was not looked at yet"]);
        status.is_started = true;
        assert!(status.troubles().is_empty());
        assert!(status.metrics(0).contains("\nset_anchor_ready 1\n"));
        status.sending = Some(Trouble::Paused(set_registry::Address::ZERO));
        assert!(status.troubles()[0].contains("unpause()"));
        assert!(status.metrics(0).contains("\nset_anchor_ready 0\n"));
    }
}
