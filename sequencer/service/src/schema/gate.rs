//! The check of payloads on the way in, the same for every door and both forms of events.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, mpsc};
use std::time::{Duration, Instant};

use stateset_event_log::Table;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use ves::envelope::Undecodable;
use ves::legacy::CheckedLegacyEvent;
use ves::verify::{Refused, Verified};
use ves::{Payload, Rejection, TenantId};

use super::compiled::{Compiled, Violation};
use super::known::{self, Known, KnownTypes};
use super::stored::{in_force, versions};
use super::{SchemaMode, SchemaSettings};
use crate::cache::CacheCounters;
use crate::config::Config;
use crate::error::ServiceError;
use crate::metrics::Metrics;
use crate::sequencer::{Sequencer, blocking};

/// Steps that are made on the caller's own thread between two turns of other tasks: a millisecond or two.
const INLINE_WORK_MAX: u64 = 2_000_000;
/// Threads that heavy checks and compilations may take at once.
const SLOTS_MAX: usize = 4;
/// Longest time that a request waits for one of them.
const SLOT_WAIT_MAX: Duration = Duration::from_secs(5);
/// Violations that one rejection tells.
const TOLD_MAX: usize = 3;
/// Time between two lines of the log about payloads that were let pass.
const WARNING_PAUSE: Duration = Duration::from_secs(1);

/// What the checks of all requests share.
pub(crate) struct Schemas {
    pub(super) settings: SchemaSettings,
    pub(super) known: KnownTypes,
    /// Whether a tenant has schemas, of those that were asked about.
    tenants: RwLock<BTreeMap<TenantId, bool>>,
    slots: Arc<Semaphore>,
    /// When a warning was last written, and how many were not since.
    warned: Mutex<(Option<Instant>, u64)>,
}

impl Schemas {
    pub fn new(config: &Config) -> Self {
        let settings = config.schemas;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            settings,
            known: known::cache(&settings),
            tenants: RwLock::default(),
            slots: Arc::new(Semaphore::new(cores.min(SLOTS_MAX))),
            warned: Mutex::default(),
        }
    }

    /// A schema of this type was changed, or may have been: the next request reads it anew.
    pub(super) fn changed(&self, tenant: &TenantId, event_type: &str) {
        self.known.remove(&(*tenant, event_type.to_owned()));
        self.tenants.write().unwrap_or_else(PoisonError::into_inner).insert(*tenant, true);
    }

    pub(super) async fn slot(&self) -> Result<OwnedSemaphorePermit, ServiceError> {
        let slot = tokio::time::timeout(SLOT_WAIT_MAX, self.slots.clone().acquire_owned());
        slot.await.map_err(|_| ServiceError::Busy)?.map_err(|_| ServiceError::Stopping)
    }

    /// Writes a payload that was let pass to the log, unless one was written just now.
    fn warn(&self, tenant: &TenantId, event_type: &str, rejection: &Rejection) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.0.is_some_and(|at| at.elapsed() < WARNING_PAUSE) {
            warned.1 += 1;
            return;
        }
        let others = std::mem::take(&mut warned.1);
        warned.0 = Some(Instant::now());
        drop(warned);
        tracing::warn!(%tenant, event_type, problem = %rejection, others, "a payload is not what its schema admits; it was accepted");
    }
}

/// The check of one request's events.
pub(crate) struct Gate<'s> {
    service: &'s Sequencer,
    tenant: TenantId,
    mode: SchemaMode,
    /// The event types of this request that were met. Requests have few.
    known: Vec<(String, Known)>,
    /// Once heavy work was begun.
    deadline: Option<Instant>,
}

/// One event to check; `payload` is `None` where it is sealed.
struct Item<'a> {
    place: usize,
    event_type: &'a str,
    payload: Option<&'a str>,
}

/// A payload that is checked on another thread.
struct Heavy {
    place: usize,
    compiled: Arc<Compiled>,
    payload: String,
}

impl Sequencer {
    /// The check of a request of this tenant; `None` where there is nothing to check.
    pub(crate) async fn schema_gate(&self, tenant: &TenantId) -> Result<Option<Gate<'_>>, ServiceError> {
        let mode = self.inner.schemas.settings.mode;
        let is_needed = match mode {
            SchemaMode::Disabled => false,
            SchemaMode::Required => true,
            SchemaMode::Warn | SchemaMode::Enforce => self.has_schemas(tenant).await?,
        };
        Ok(is_needed.then(|| Gate {
            service: self,
            tenant: *tenant,
            mode,
            known: Vec::new(),
            deadline: None,
        }))
    }

    /// Counters of the cache of schemas.
    pub fn schema_cache(&self) -> CacheCounters {
        self.inner.schemas.known.counters()
    }

    async fn has_schemas(&self, tenant: &TenantId) -> Result<bool, ServiceError> {
        let tenants = &self.inner.schemas.tenants;
        if let Some(has) = tenants.read().unwrap_or_else(PoisonError::into_inner).get(tenant) {
            return Ok(*has);
        }
        let found = self.document(Table::EventSchemas, tenant.as_bytes()).await?.is_some();
        // A schema that was registered meanwhile has said so already, and stands.
        let mut tenants = tenants.write().unwrap_or_else(PoisonError::into_inner);
        Ok(*tenants.entry(*tenant).or_insert(found))
    }

    /// What checks payloads of this type now.
    pub(super) async fn known(&self, tenant: &TenantId, event_type: &str) -> Result<Known, ServiceError> {
        let (schemas, key) = (&self.inner.schemas, (*tenant, event_type.to_owned()));
        if let Some(known) = schemas.known.get(&key) {
            return Ok(known);
        }
        let ticket = schemas.known.ticket();
        let slot = schemas.slot().await?;
        let (reader, tenant_id, name) = (self.inner.reader.clone(), *tenant, event_type.to_owned());
        let read = blocking::<_, ServiceError>(move || {
            let _slot = slot;
            let versions = versions(reader.as_ref(), &tenant_id, &name)?;
            Ok(match in_force(&versions).map(Compiled::of) {
                None => Known::None,
                Some(Ok(compiled)) => Known::Schema(Arc::new(compiled)),
                Some(Err(problem)) => Known::Unusable(problem.to_string().into()),
            })
        });
        let known = read.await?;
        if let Known::Unusable(problem) = &known {
            tracing::error!(%tenant, event_type, %problem, "a stored schema can't be used by this release");
        }
        schemas.known.put_read(ticket, key, known.clone());
        Ok(known)
    }
}

impl Gate<'_> {
    /// Turns verified events whose payload is refused into refused ones. What the sequencer's own agent tells is no
    /// tenant's to refuse: it states what was done.
    pub async fn check<'a>(
        &mut self,
        events: &mut [Result<Verified<'a>, Refused<'a>>],
    ) -> Result<(), ServiceError> {
        let own_agent = self.service.own_agent();
        let items = events.iter().enumerate().filter_map(|(place, event)| {
            let envelope = event.as_ref().ok()?.envelope();
            if envelope.source_agent_id == own_agent {
                return None;
            }
            let payload = match &envelope.payload {
                Payload::Plain(text) => Some(text.as_ref()),
                Payload::Encrypted(_) => None,
            };
            Some(Item { place, event_type: &envelope.event_type, payload })
        });
        for (place, rejection) in self.refusals(items.collect()).await? {
            if let Ok(verified) = &events[place] {
                events[place] = Err((verified.envelope().clone(), rejection));
            }
        }
        Ok(())
    }

    /// The same for events of the older form.
    pub async fn check_legacy(
        &mut self,
        events: &mut [Result<CheckedLegacyEvent, Undecodable>],
    ) -> Result<(), ServiceError> {
        let items = events.iter().enumerate().filter_map(|(place, event)| {
            let event = event.as_ref().ok()?;
            Some(Item { place, event_type: &event.event_type, payload: Some(&event.payload) })
        });
        for (place, rejection) in self.refusals(items.collect()).await? {
            if let Ok(event) = &events[place] {
                let (event_id, stream) = (Some(event.event_id), Some(event.stream));
                events[place] = Err(Undecodable { event_id, stream, rejection });
            }
        }
        Ok(())
    }

    /// The events that are refused, by place.
    async fn refusals(&mut self, items: Vec<Item<'_>>) -> Result<Vec<(usize, Rejection)>, ServiceError> {
        let (mut refusals, mut heavy, mut work_left) = (Vec::new(), Vec::new(), INLINE_WORK_MAX);
        for Item { place, event_type, payload } in &items {
            let rejection = match (self.known(event_type).await?, payload) {
                (Known::None, _) => self.missing(event_type),
                // A sealed payload can't be looked at: that its type has a schema is all there is to check.
                (_, None) => None,
                (Known::Unusable(problem), _) => {
                    let problem =
                        format!("its schema can't be used by this release ({problem}); register a new one");
                    Some(Rejection::schema("event_type", problem))
                }
                (Known::Schema(compiled), Some(payload)) => match compiled.work(payload.len()) {
                    work if work <= work_left => {
                        work_left -= work;
                        rejection(&compiled, &compiled.check_text(payload))
                    }
                    _ if compiled.is_too_much(payload.len()) => Some(too_heavy(&compiled)),
                    _ => {
                        heavy.push(Heavy { place: *place, compiled, payload: (*payload).to_owned() });
                        None
                    }
                },
            };
            refusals.extend(rejection.map(|rejection| (*place, rejection)));
        }
        if !heavy.is_empty() {
            refusals.extend(self.check_heavy(heavy).await?);
        }
        if self.mode == SchemaMode::Warn {
            for (place, rejection) in refusals.drain(..) {
                Metrics::add(&self.service.shared().metrics.schema_warnings, 1);
                let event_type =
                    items.iter().find(|item| item.place == place).map_or("", |item| item.event_type);
                self.service.inner.schemas.warn(&self.tenant, event_type, &rejection);
            }
        }
        Ok(refusals)
    }

    async fn known(&mut self, event_type: &str) -> Result<Known, ServiceError> {
        if let Some((_, known)) = self.known.iter().find(|(name, _)| name == event_type) {
            return Ok(known.clone());
        }
        let known = self.service.known(&self.tenant, event_type).await?;
        self.known.push((event_type.to_owned(), known.clone()));
        Ok(known)
    }

    /// The refusal of an event whose type has no schema, where one is required.
    fn missing(&self, event_type: &str) -> Option<Rejection> {
        (self.mode == SchemaMode::Required).then(|| no_schema(event_type))
    }

    /// Checks on a thread beside those that serve, and not for longer than the request may take.
    async fn check_heavy(&mut self, heavy: Vec<Heavy>) -> Result<Vec<(usize, Rejection)>, ServiceError> {
        let schemas = &self.service.inner.schemas;
        let slot = schemas.slot().await?;
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + schemas.settings.check_time_max);
        // What no verdict came of in time is refused.
        let mut late: BTreeMap<usize, Rejection> =
            heavy.iter().map(|one| (one.place, too_late(&one.compiled))).collect();
        let (verdicts, told) = mpsc::channel();
        let work = blocking::<_, ServiceError>(move || {
            // Held until the work is done, also where nobody waits for it any more: threads stay few.
            let _slot = slot;
            for one in heavy {
                if Instant::now() >= deadline {
                    break;
                }
                let verdict = rejection(&one.compiled, &one.compiled.check_text(&one.payload));
                // Nobody may wait any more.
                let _ = verdicts.send((one.place, verdict));
            }
            Ok(())
        });
        if let Ok(ended) = tokio::time::timeout_at(deadline.into(), work).await {
            ended?;
        }
        let mut refusals = Vec::new();
        for (place, verdict) in told.try_iter() {
            late.remove(&place);
            refusals.extend(verdict.map(|rejection| (place, rejection)));
        }
        refusals.extend(late);
        Ok(refusals)
    }
}

/// The refusal of what a schema does not admit.
fn rejection(compiled: &Compiled, violations: &[Violation]) -> Option<Rejection> {
    let (first, others) = violations.split_first()?;
    let mut problem = format!("{} (version {} of its schema)", first.message, compiled.version);
    for other in others.iter().take(TOLD_MAX - 1) {
        problem.push_str(&format!("; {other}"));
    }
    Some(Rejection::schema(&first.path, problem))
}

/// The refusal of what is not checked, whatever else is sent with it.
fn too_heavy(compiled: &Compiled) -> Rejection {
    let Violation { path, message } = compiled.too_much();
    Rejection::schema(path, message)
}

/// The refusal of what the time of its request did not suffice for: alone it may, so it says what to do.
fn too_late(compiled: &Compiled) -> Rejection {
    let problem = format!(
        "checking this request's payloads took too long before this one was done (version {} of its schema); send this \
         event again unchanged, alone; if that takes too long too, send a smaller payload, or register a simpler schema",
        compiled.version
    );
    Rejection::schema("payload", problem)
}

pub(super) fn no_schema(event_type: &str) -> Rejection {
    let problem = format!(
        "no schema is registered for {event_type}, and this sequencer requires one; register it first"
    );
    Rejection::schema("event_type", problem)
}
