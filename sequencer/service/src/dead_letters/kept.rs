//! Counts of letters in memory: for monitors, and so that asking for due letters costs nothing while none is due.

use std::collections::{BTreeMap, BTreeSet};
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
    /// Tenants whose newest letters were left out for want of room.
    full: BTreeSet<TenantId>,
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
    ///
    /// - `letters_max`: as in [`super::follow`].
    pub fn settle(&self, followed: Followed, letters_max: u64, metrics: &Metrics) {
        let mut tallies = self.tallies();
        for (tenant, tally) in followed.tallies {
            tallies.set_full(tenant, followed.full.contains(&tenant), &tally, letters_max);
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
        tally.counts(now)
    }

    /// How many tenants have no room for a letter that was wanted.
    pub fn tenants_full(&self) -> u64 {
        self.tallies().full.len() as u64
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
    /// Told when it changes, not with each letter: a tenant may have thousands too many.
    fn set_full(&mut self, tenant: TenantId, is_left_out: bool, tally: &Tally, letters_max: u64) {
        if is_left_out {
            if self.full.insert(tenant) {
                tracing::warn!(
                    %tenant,
                    letters_max,
                    "a tenant has too many dead letters: new ones are left out until some are purged (sequencer_dlq_discarded)"
                );
            }
        } else if tally.size() < letters_max && self.full.remove(&tenant) {
            tracing::info!(%tenant, "a tenant has room for dead letters again; those left out come with a rebuild");
        }
    }

    fn set(&mut self, tenant: TenantId, tally: Tally) {
        self.all.join(&tally);
        if let Some(old) = self.tenants.insert(tenant, tally) {
            self.all.part(&old);
        }
    }
}
