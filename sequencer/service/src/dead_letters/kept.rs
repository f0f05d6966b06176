//! Counts of letters in memory: for monitors, and so that asking for due letters costs nothing while none is due.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use stateset_event_log::{LogError, LogReader, Table};
use ves::{TenantId, TimestampMs};

use super::DeadLetterCounts;
use super::follow::Followed;
use super::schedule::HORIZON_MS;
use super::stored::{TALLIES, Tally, read_tally};
use crate::metrics::Metrics;

/// Documents read at once at a start.
const PAGE: usize = 1_024;

/// What the store says of each tenant, and the sum.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Tallies>);

#[derive(Default)]
struct Tallies {
    tenants: BTreeMap<TenantId, Tally>,
    all: Tally,
}

impl Kept {
    /// One document is read for each tenant that ever had a letter.
    pub fn read(reader: &dyn LogReader) -> Result<Self, LogError> {
        let mut tallies = Tallies::default();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = reader.documents(Table::DeadLetterIds, TALLIES, after.as_deref(), PAGE)?;
            for (tenant, tally) in page.iter().filter_map(read_tally) {
                tallies.set(tenant, tally);
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.key.clone()),
                _ => return Ok(Self(Mutex::new(tallies))),
            }
        }
    }

    /// By the writer, once the changes are stored.
    pub fn settle(&self, followed: Followed, metrics: &Metrics) {
        let mut tallies = self.tallies();
        for (tenant, tally) in followed.tallies {
            tallies.set(tenant, tally);
        }
        let made = followed.made;
        Metrics::add(&metrics.dead_letters_added, made.added);
        Metrics::add(&metrics.dead_letters_discarded, made.discarded);
        Metrics::add(&metrics.dead_letters_ordered, made.ordered);
        Metrics::add(&metrics.retries_applied, made.applied);
        Metrics::add(&metrics.retries_refused, made.refused);
        Metrics::add(&metrics.retries_exhausted, made.exhausted);
        for late_ms in made.late_ms {
            metrics.timings.retry.observe(late_ms.saturating_mul(1_000));
        }
    }

    pub fn counts(&self, tenant: Option<&TenantId>, now: TimestampMs) -> DeadLetterCounts {
        let tallies = self.tallies();
        let none = Tally::default();
        let tally = tenant.map_or(&tallies.all, |tenant| tallies.tenants.get(tenant).unwrap_or(&none));
        DeadLetterCounts {
            pending: tally.pending,
            retrying: tally.retrying,
            failed: tally.failed,
            resolved: tally.resolved,
            due: tally.due_before(now),
        }
    }

    pub fn may_be_due(&self, now: TimestampMs) -> bool {
        self.tallies().all.may_be_due(now)
    }

    /// Whether a retry is planned further ahead than any can be, by whole minutes: the clock was set back.
    pub fn lies_too_far(&self, now: TimestampMs) -> bool {
        self.tallies().all.lies_after(TimestampMs(now.0.saturating_add(HORIZON_MS)))
    }

    fn tallies(&self) -> MutexGuard<'_, Tallies> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tallies {
    fn set(&mut self, tenant: TenantId, tally: Tally) {
        self.all.join(&tally);
        if let Some(old) = self.tenants.insert(tenant, tally) {
            self.all.part(&old);
        }
    }
}
