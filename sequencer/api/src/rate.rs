//! Requests in a window, by tenant and by credential (section 1.7): a window that slides.
//!
//! Time is cut into slots of a sixtieth of the window. A request counts until its whole slot has left the window, so
//! no span as long as the window ever holds more than the limit, and nobody waits more than one slot too long.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, HeaderValue};
use ves::{AgentId, Digest, TenantId, TimestampMs};
use ves_wire::error::ErrorCode;

use crate::config::RateWindow;
use crate::error::ApiError;

/// Slots of a window.
const SLOTS: i64 = 60;
/// The slots that a window can touch: those within it and the one that it leaves.
const HELD: usize = SLOTS as usize + 1;
/// Counts that the callers beyond the table share.
const SHARED_COUNTS: u64 = 1024;

/// Who is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Counted {
    Tenant(TenantId),
    /// All keys of an agent together, so that minting does not widen what the agent may do.
    Agent(TenantId, AgentId),
    /// A key of no agent.
    Key(Digest),
    /// All tokens of a tenant that name no agent, since the issuer may write as many as it likes.
    Tokens(TenantId),
    /// A caller without credential.
    Address(IpAddr),
    /// Callers that came when the table was full: limited together, never unlimited.
    Shared(u64),
}

/// Where a caller stands: the headers `ratelimit-*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    limit: u32,
    remaining: u32,
    /// Seconds until the oldest request that counts does so no more.
    reset_s: u32,
}

tokio::task_local! {
    /// Where the caller of this request stands, once it is known; the outermost layer reads it.
    pub(crate) static STANDING: Cell<Option<Standing>>;
}

impl Standing {
    pub fn write(self, headers: &mut HeaderMap) {
        headers.insert("ratelimit-limit", HeaderValue::from(self.limit));
        headers.insert("ratelimit-remaining", HeaderValue::from(self.remaining));
        headers.insert("ratelimit-reset", HeaderValue::from(self.reset_s));
    }

    /// Makes this the standing of the request, unless a tighter one is known.
    fn announce(self) {
        // Outside a request, in tests, nobody listens.
        let _ = STANDING.try_with(|known| {
            known.set(Some(match known.get() {
                Some(other) if other.remaining <= self.remaining => other,
                _ => self,
            }));
        });
    }
}

/// Requests of one caller by slot.
#[derive(Clone)]
struct Slots {
    /// Slot `n` lies at `n % HELD`.
    counts: [u32; HELD],
    newest: i64,
    total: u32,
}

impl Slots {
    fn new(slot: i64) -> Self {
        Self { counts: [0; HELD], newest: slot, total: 0 }
    }

    fn place(slot: i64) -> usize {
        slot.rem_euclid(HELD as i64) as usize
    }

    /// Forgets the slots that left the window. A clock that was set back counts on in its newest slot.
    fn turn_to(&mut self, slot: i64) {
        if slot - self.newest >= HELD as i64 {
            *self = Self::new(slot);
        }
        while self.newest < slot {
            self.newest += 1;
            self.total -= std::mem::take(&mut self.counts[Self::place(self.newest)]);
        }
    }

    fn add(&mut self) {
        self.counts[Self::place(self.newest)] += 1;
        self.total += 1;
    }

    /// The slot that begins when fewer than `fewer_than` of today's requests count.
    fn slot_of_room(&self, fewer_than: u32) -> i64 {
        let mut left = self.total;
        for slot in self.newest - SLOTS..=self.newest {
            left -= self.counts[Self::place(slot)];
            if left < fewer_than {
                return slot + HELD as i64;
            }
        }
        self.newest
    }
}

#[derive(Default)]
struct Table {
    callers: HashMap<Counted, Slots>,
    /// The slot in which idle callers were last looked for.
    swept: i64,
}

/// One reading of the counters `ratelimit.*`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RateCounters {
    pub allowed: u64,
    pub rejected: u64,
    pub entries: u64,
    pub evicted: u64,
}

/// The limits in force and what was used of them. Free of cost while no limit is set.
pub(crate) struct Rates {
    tenant_limit: Option<u32>,
    slot_ms: i64,
    callers_max: usize,
    table: Mutex<Table>,
    hasher: RandomState,
    allowed: AtomicU64,
    rejected: AtomicU64,
    evicted: AtomicU64,
}

impl Rates {
    pub fn new(tenant_limit: Option<u32>, window: RateWindow) -> Self {
        Self {
            tenant_limit,
            slot_ms: (i64::from(window.seconds.max(1)) * 1000 + SLOTS - 1) / SLOTS,
            callers_max: window.entries_max.max(1),
            table: Mutex::default(),
            hasher: RandomState::new(),
            allowed: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    pub fn counters(&self) -> RateCounters {
        RateCounters {
            allowed: self.allowed.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            entries: self.table.lock().unwrap_or_else(PoisonError::into_inner).callers.len() as u64,
            evicted: self.evicted.load(Relaxed),
        }
    }

    /// Counts one request, for the tenant and for `who` holds the credential. A refused one is not counted.
    ///
    /// # Errors
    /// 429 with the seconds until a request fits again.
    pub fn admit(
        &self,
        tenant_id: &TenantId,
        who: Counted,
        credential_limit: Option<u32>,
        now: TimestampMs,
    ) -> Result<(), ApiError> {
        let tenant = self.tenant_limit.map(|limit| (Counted::Tenant(*tenant_id), limit));
        let credential = credential_limit.map(|limit| (who, limit));
        self.admit_all(tenant.into_iter().chain(credential), now)
    }

    /// Counts one request of a caller without credential.
    pub fn admit_address(&self, from: IpAddr, limit: u32, now: TimestampMs) -> Result<(), ApiError> {
        self.admit_all(std::iter::once((Counted::Address(from), limit)), now)
    }

    fn admit_all(
        &self,
        limits: impl Iterator<Item = (Counted, u32)>,
        now: TimestampMs,
    ) -> Result<(), ApiError> {
        let limits: [Option<(Counted, u32)>; 2] = {
            let mut limits = limits.fuse();
            [limits.next(), limits.next()]
        };
        if limits[0].is_none() {
            return Ok(());
        }
        let slot = now.0.div_euclid(self.slot_ms);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let mut admitted: [Option<Counted>; 2] = [None, None];
        for (place, (who, limit)) in limits.into_iter().flatten().enumerate() {
            let who = self.place_of(&mut table, who, slot);
            let slots = table.callers.entry(who).or_insert_with(|| Slots::new(slot));
            slots.turn_to(slot);
            let room = limit.saturating_sub(slots.total);
            let seconds_to = |at: i64| {
                let wait_ms = at.saturating_mul(self.slot_ms).saturating_sub(now.0).max(1);
                u32::try_from(wait_ms.saturating_add(999) / 1000).unwrap_or(u32::MAX)
            };
            if room == 0 {
                let wait_s = seconds_to(slots.slot_of_room(limit.max(1)));
                Standing { limit, remaining: 0, reset_s: wait_s }.announce();
                self.rejected.fetch_add(1, Relaxed);
                let window_s = self.slot_ms * SLOTS / 1000;
                let message = format!("more than {limit} requests in {window_s} s");
                return Err(ApiError::new(ErrorCode::RateLimitExceeded, message).retry_after(wait_s));
            }
            let oldest = if slots.total == 0 { slot + HELD as i64 } else { slots.slot_of_room(slots.total) };
            Standing { limit, remaining: room - 1, reset_s: seconds_to(oldest) }.announce();
            admitted[place] = Some(who);
        }
        for who in admitted.into_iter().flatten() {
            table.callers.get_mut(&who).expect("entered above").add();
        }
        self.allowed.fetch_add(1, Relaxed);
        Ok(())
    }

    /// The count of a caller: its own, or where the table is full a shared one.
    fn place_of(&self, table: &mut Table, who: Counted, slot: i64) -> Counted {
        if table.callers.len() < self.callers_max || table.callers.contains_key(&who) {
            return who;
        }
        // Once a slot at most: a full table must not be looked through for each of its callers.
        if table.swept != slot {
            table.swept = slot;
            let before = table.callers.len();
            table.callers.retain(|_, slots| slot - slots.newest < HELD as i64);
            self.evicted.fetch_add((before - table.callers.len()) as u64, Relaxed);
            if table.callers.len() < self.callers_max {
                return who;
            }
        }
        Counted::Shared(self.hasher.hash_one(who) % SHARED_COUNTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TENANT: TenantId = TenantId::from_bytes([1; 16]);

    fn key(n: u64) -> Counted {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        Counted::Key(Digest(bytes))
    }

    fn rates(seconds: u32) -> Rates {
        Rates::new(None, RateWindow { seconds, ..RateWindow::default() })
    }

    #[test]
    fn a_minute_holds_the_limit_and_no_more() {
        let rates = rates(60);
        let at = |seconds: i64| TimestampMs(600_000 + seconds * 1000);
        let used =
            |second| (0..10).filter(|_| rates.admit(&TENANT, key(1), Some(4), at(second)).is_ok()).count();
        assert_eq!(used(10), 4);
        assert_eq!(used(50), 0);
        assert_eq!(used(90), 4, "the four of second 10 left the window");
        assert_eq!(used(30), 0, "a clock that is set back gives nothing");
        assert_eq!(used(240), 4);
        assert!((0..100).all(|_| rates.admit(&TENANT, key(1), None, at(0)).is_ok()));
    }

    proptest! {
        /// The model keeps the time of every admitted request and looks through all of them.
        #[test]
        fn no_window_holds_more_than_the_limit_and_waiting_as_told_helps(
            limit in 1u32..6,
            seconds in prop_oneof![Just(1u32), Just(7), Just(60)],
            steps in prop::collection::vec(0i64..20_000, 1..120),
        ) {
            let rates = rates(seconds);
            let (window_ms, slot_ms) = (i64::from(seconds) * 1000, rates.slot_ms);
            let mut now = 1_700_000_000_000i64;
            let mut admitted: Vec<i64> = Vec::new();
            for step in steps {
                now += step % (window_ms / 2);
                let within = |span: i64| admitted.iter().filter(|at| **at > now - span).count() as u32;
                let (exact, late) = (within(window_ms), within(window_ms + 3 * slot_ms));
                match rates.admit(&TENANT, key(1), Some(limit), TimestampMs(now)) {
                    Ok(()) => {
                        prop_assert!(exact < limit, "{exact} requests of {limit} were in the window");
                        admitted.push(now);
                    }
                    Err(_) => {
                        prop_assert!(late >= limit, "refused with {late} of {limit}");
                        let refusal = rates.admit(&TENANT, key(1), Some(limit), TimestampMs(now)).unwrap_err();
                        let wait_s = refusal.retry_after_s().expect("says when");
                        let early = now + i64::from(wait_s - 1) * 1000;
                        let probe = |at: i64| Probe(&rates).fits(key(1), limit, at);
                        prop_assert!(probe(now + i64::from(wait_s) * 1000), "waited {wait_s} s in vain");
                        prop_assert!(wait_s == 1 || !probe(early), "{wait_s} s are too long");
                    }
                }
            }
        }
    }

    /// Asks without counting.
    struct Probe<'a>(&'a Rates);

    impl Probe<'_> {
        fn fits(&self, who: Counted, limit: u32, at_ms: i64) -> bool {
            let mut slots = self.0.table.lock().unwrap().callers[&who].clone();
            slots.turn_to(at_ms.div_euclid(self.0.slot_ms));
            slots.total < limit
        }
    }

    #[test]
    fn a_full_table_limits_new_callers_and_stays_bounded() {
        let rates = Rates::new(None, RateWindow { entries_max: 100, seconds: 60 });
        let now = TimestampMs(600_000);
        for n in 0..5000 {
            let _ = rates.admit(&TENANT, key(n), Some(4), now);
        }
        let held = rates.counters().entries;
        assert!(held <= 100 + SHARED_COUNTS, "{held}");
        let late = (0..10).filter(|_| rates.admit(&TENANT, key(1 << 40), Some(4), now).is_ok()).count();
        assert!(late <= 4, "a caller beyond the table got {late} requests");
        let early = (0..10).filter(|_| rates.admit(&TENANT, key(0), Some(4), now).is_ok()).count();
        assert_eq!(early, 3, "a counted caller keeps its own count");
        // Idle callers make room.
        let later = TimestampMs(now.0 + 120_000);
        assert!(rates.admit(&TENANT, key(9999), Some(4), later).is_ok());
        assert_eq!((rates.counters().entries, rates.counters().evicted), (1, held));
    }

    #[test]
    fn a_request_refused_for_its_key_costs_its_tenant_nothing() {
        let rates = Rates::new(Some(3), RateWindow::default());
        let now = TimestampMs(600_000);
        let admit = |n| rates.admit(&TENANT, key(n), Some(1), now).is_ok();
        assert!(admit(1) && !admit(1) && !admit(1) && admit(2) && admit(3) && !admit(4));
        let counters = rates.counters();
        assert_eq!((counters.allowed, counters.rejected), (3, 3));
    }
}
