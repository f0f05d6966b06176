//! What is gathered before it is recorded: logins (`login_success`, `login_failure`) and refused administrative requests.
//! There are no sessions: a login is the first use of a credential in an hour, and a failure each use of one that is not
//! good.
//!
//! All are gathered and written a minute later at most, a few lines at a time, so that neither a flood of wrong keys or
//! refused requests nor many callers can fill the disk or keep the writer busy.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::HeaderMap;
use serde_json::json;
use stateset_sequencer::{Act, Action, Actor, Sequencer};
use ves::audit::ActorType;
use ves::{TenantId, TimestampMs};
use ves_wire::error::ErrorCode;

use super::Origin;
use crate::caller::Caller;
use crate::error::ApiError;

/// How long lines are gathered before they are written.
const GATHERED_FOR: Duration = Duration::from_secs(60);
/// Lines of one kind in one write; what is beyond is counted in one more.
const LINES_MAX: usize = 8;
/// Places in which recent credentials are remembered; two that share one are each noted again.
const SLOTS: usize = 4096;
const HOUR_MS: i64 = 3_600_000;
/// Why a line is no success.
const NOT_GOOD: &str = "the credential was not good";
const REFUSED: &str = "the request was refused";
/// Bits of a place that say the hour.
const HOUR_BITS: u32 = 20;

/// Notes who comes in. Clones share it.
#[derive(Clone)]
pub(crate) struct Audit {
    /// `None` where the audit log is off.
    notes: Option<Arc<Notes>>,
}

struct Notes {
    sequencer: Sequencer,
    /// Of credentials that were used this hour: bits of a hash, then the hour.
    recent: Box<[AtomicU64]>,
    hasher: RandomState,
    gathered: Mutex<Gathered>,
}

#[derive(Default)]
struct Gathered {
    successes: Lines<String>,
    /// By address, and what was wrong.
    failures: Lines<(Option<IpAddr>, &'static str)>,
    /// By caller, operation, and what was wrong.
    refusals: Lines<(String, &'static str, &'static str)>,
    /// A task is going to write them.
    is_awaited: bool,
}

/// A few single lines, and a count of the others.
struct Lines<K> {
    single: BTreeMap<K, Line>,
    others: u64,
}

impl<K> Default for Lines<K> {
    fn default() -> Self {
        Self { single: BTreeMap::new(), others: 0 }
    }
}

struct Line {
    actor: Actor,
    tenant_id: Option<TenantId>,
    count: u64,
    first: TimestampMs,
}

impl<K: Ord> Lines<K> {
    fn add(&mut self, key: K, line: impl FnOnce() -> Line) {
        if let Some(line) = self.single.get_mut(&key) {
            line.count += 1;
        } else if self.single.len() < LINES_MAX {
            self.single.insert(key, line());
        } else {
            self.others += 1;
        }
    }
}

impl Audit {
    pub fn new(sequencer: &Sequencer) -> Self {
        let notes = Notes {
            sequencer: sequencer.clone(),
            recent: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            gathered: Mutex::default(),
        };
        Self { notes: sequencer.is_audited().then(|| Arc::new(notes)) }
    }

    /// A credential was good.
    pub fn admitted(&self, caller: &Caller) {
        let Some(notes) = &self.notes else { return };
        let now = notes.sequencer.now();
        if !notes.is_first_this_hour(caller, now) {
            return;
        }
        let actor = caller.actor();
        let line = || Line { actor: actor.clone(), tenant_id: Some(caller.tenant_id), count: 1, first: now };
        notes.gather(|gathered| gathered.successes.add(actor.name.clone(), line));
    }

    /// A credential was not good. Whoever shows none did not try to get in.
    pub fn refused(&self, headers: &HeaderMap, address: Option<IpAddr>, error: &ApiError) {
        let (Some(notes), code) = (&self.notes, error.code()) else { return };
        if !matches!(code, ErrorCode::InvalidApiKey | ErrorCode::InvalidToken | ErrorCode::TokenExpired) {
            return;
        }
        let line = || {
            let origin = Origin::of(headers).at(address);
            let kind = match code {
                ErrorCode::InvalidApiKey => ActorType::ApiKey,
                _ => ActorType::Jwt,
            };
            let actor = origin.actor(kind, "unknown");
            Line { actor, tenant_id: None, count: 1, first: notes.sequencer.now() }
        };
        notes.gather(|gathered| gathered.failures.add((address, code.text()), line));
    }

    /// An administrative request of this caller was refused.
    pub fn act_refused(&self, operation: &'static str, caller: &Caller, code: ErrorCode) {
        let Some(notes) = &self.notes else { return };
        let actor = caller.actor();
        let key = (actor.name.clone(), operation, code.text());
        let line =
            || Line { actor, tenant_id: Some(caller.tenant_id), count: 1, first: notes.sequencer.now() };
        notes.gather(|gathered| gathered.refusals.add(key, line));
    }
}

impl Notes {
    fn is_first_this_hour(&self, caller: &Caller, now: TimestampMs) -> bool {
        let hash = self.hasher.hash_one(caller.counted());
        let hour = (now.0 / HOUR_MS) as u64 & ((1 << HOUR_BITS) - 1);
        let seen = hash << HOUR_BITS | hour;
        let place = &self.recent[hash as usize % SLOTS];
        place.load(Relaxed) != seen && place.swap(seen, Relaxed) != seen
    }

    fn gather(self: &Arc<Self>, add: impl FnOnce(&mut Gathered)) {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        add(&mut gathered);
        if gathered.is_awaited {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            gathered.is_awaited = true;
            runtime.spawn(write_later(self.clone()));
        }
    }

    fn take(&self) -> Gathered {
        std::mem::take(&mut *self.gathered.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn write_later(notes: Arc<Notes>) {
    tokio::select! {
        () = tokio::time::sleep(GATHERED_FOR) => {}
        // The writer still takes what it is given now.
        () = notes.sequencer.ended() => {}
    }
    let acts = acts(notes.take());
    let lines = acts.len();
    if let Err(error) = notes.sequencer.record(acts).await {
        tracing::warn!(%error, lines, "logins and refusals could not be recorded");
    }
}

fn acts(gathered: Gathered) -> Vec<Act> {
    let since = |line: &Line| line.first.to_string();
    let mut acts = Vec::new();
    for line in gathered.successes.single.into_values() {
        let act = Act::new(Action::LoginSuccess).with(json!({ "since": since(&line) }));
        let act = line.tenant_id.into_iter().fold(act, Act::in_tenant);
        acts.push(act.by(line.actor));
    }
    for ((_, code), line) in gathered.failures.single {
        let details = json!({ "code": code, "count": line.count, "since": since(&line) });
        acts.push(Act::new(Action::LoginFailure).with(details).failed(NOT_GOOD).by(line.actor));
    }
    for ((_, operation, code), line) in gathered.refusals.single {
        let details =
            json!({ "operation": operation, "code": code, "count": line.count, "since": since(&line) });
        let act = Act::new(Action::RequestRefused).with(details).failed(REFUSED);
        let act = line.tenant_id.into_iter().fold(act, Act::in_tenant);
        acts.push(act.by(line.actor));
    }
    let others = [
        (Action::LoginSuccess, gathered.successes.others, None),
        (Action::LoginFailure, gathered.failures.others, Some(NOT_GOOD)),
        (Action::RequestRefused, gathered.refusals.others, Some(REFUSED)),
    ];
    for (action, count, problem) in others.into_iter().filter(|(_, count, _)| *count > 0) {
        let act = Act::new(action).with(json!({ "others": true, "count": count }));
        acts.push(problem.into_iter().fold(act, Act::failed));
    }
    acts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            actor: Actor::new(ActorType::ApiKey, "unknown"),
            tenant_id: None,
            count: 1,
            first: TimestampMs(0),
        }
    }

    #[test]
    fn a_flood_of_wrong_keys_becomes_a_few_lines() {
        let mut gathered = Gathered::default();
        for n in 0..100_000_u32 {
            let address = Some(IpAddr::V4((n % 1000).into()));
            gathered.failures.add((address, "INVALID_API_KEY"), line);
        }
        let counted: u64 = gathered.failures.single.values().map(|line| line.count).sum();
        assert_eq!(counted + gathered.failures.others, 100_000);
        assert_eq!(acts(gathered).len(), LINES_MAX + 1);
    }
}
