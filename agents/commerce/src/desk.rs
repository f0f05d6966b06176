//! The five operations on a checkout, over the ports. Every change is an event of the log before it is answered; what is
//! answered is folded from the log, so that a restart loses nothing.

mod complete;
mod load;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::business::Business;
use crate::catalogue::Catalogue;
use crate::forms::{CancelBody, CheckoutBody, LineBody, read};
use crate::jose::encode;
use crate::ports::{Clock, Journal, JournalError, Platforms, Till};
use crate::session::{Asked, Event, Line, Phase, Session};
use crate::versions::{Platform, Refusal, negotiate};
use crate::view::{self, Message};

use self::load::Loaded;

/// Platforms whose profiles are remembered, and for how long.
const PROFILES_KEPT: usize = 64;
const PROFILE_AGE_S: u64 = 60;
/// Locks of sessions kept before unused ones are thrown away.
const LOCKS_KEPT: usize = 1_024;
/// Longest `Idempotency-Key`.
const KEY_BYTES_MAX: usize = 255;

/// An answer, whatever carries it.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// As HTTP numbers it.
    pub status: u16,
    pub body: Value,
}

/// Why a request gets no answer of its operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error(transparent)]
    Negotiation(#[from] Refusal),
    #[error("{0}")]
    Invalid(String),
    #[error("there is no such {0} of this platform")]
    NotFound(&'static str),
    /// `Idempotency-Key` was used for another request.
    #[error("Idempotency-Key was used for another request; take a new key for a new request")]
    KeyReused,
    #[error("the session is being changed by another request; read it again")]
    Conflict,
    #[error("{0}; try again")]
    Unavailable(String),
}

impl From<JournalError> for Fault {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Conflict { .. } => Self::Conflict,
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// Who asks, and under which key.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// The `UCP-Agent` header's profile.
    pub profile: &'a str,
    /// `Idempotency-Key`.
    pub key: Option<&'a str>,
}

/// What the desk is joined of.
pub struct Parts {
    pub business: Business,
    pub catalogue: Catalogue,
    pub journal: Arc<dyn Journal>,
    pub till: Arc<dyn Till>,
    pub platforms: Arc<dyn Platforms>,
    pub clock: Arc<dyn Clock>,
}

/// A platform that was heard of, and when, in seconds.
type Known = HashMap<String, (Platform, u64)>;

/// Serves checkouts.
pub struct Desk {
    pub(crate) parts: Parts,
    known: Mutex<Known>,
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Desk {
    pub fn new(parts: Parts) -> Self {
        Self { parts, known: Mutex::default(), locks: Mutex::default() }
    }

    pub fn business(&self) -> &Business {
        &self.parts.business
    }

    /// The document at `/.well-known/ucp`.
    pub fn profile(&self) -> Value {
        self.parts.business.profile(self.parts.till.terms())
    }

    fn now_s(&self) -> u64 {
        u64::try_from(self.parts.clock.now().0 / 1000).unwrap_or(0)
    }

    /// The platform of a caller: its profile is read, its version and capabilities are ours.
    async fn platform(&self, url: &str) -> Result<Platform, Fault> {
        let now_s = self.now_s();
        let known = self.known().get(url).cloned();
        if let Some((platform, at_s)) = known
            && now_s.saturating_sub(at_s) < PROFILE_AGE_S
        {
            return Ok(platform);
        }
        let document = self.parts.platforms.profile(url).await?;
        let platform = negotiate(url, &document)?;
        if !self.parts.platforms.trusts(url) {
            return Err(Refusal::NotTrusted(url.to_owned()).into());
        }
        let mut known = self.known();
        if known.len() >= PROFILES_KEPT {
            known.clear();
        }
        known.insert(url.to_owned(), (platform.clone(), now_s));
        Ok(platform)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session is changed by one request at a time.
    fn lock(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if locks.len() >= LOCKS_KEPT {
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        locks.entry(name.to_owned()).or_default().clone()
    }

    /// Opens a session.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn create(&self, caller: Caller<'_>, body: &[u8]) -> Result<Reply, Fault> {
        let platform = self.platform(caller.profile).await?;
        let asked = asked(&caller, "create", body)?;
        let form: CheckoutBody = read(body).map_err(Fault::Invalid)?;
        let name = caller.key.map_or_else(String::new, |key| format!("{} {key}", platform.profile));
        let lock = self.lock(&name);
        let _one_at_a_time = if caller.key.is_some() { Some(lock.lock().await) } else { None };
        let id = match &asked {
            Some(asked) => self.id_of(&platform.profile, asked).await?,
            None => self.new_id()?,
        };
        if let Some(loaded) = self.load(&id, &platform.profile).await? {
            return self.reply(201, loaded.answer_to(asked.as_ref()).unwrap_or(&loaded.session), &[]);
        }
        let lines = match self.price(&form.line_items, &[]) {
            Ok(lines) => lines,
            Err(problem) => {
                return Ok(Reply { status: 200, body: view::error_envelope(&[problem.severe()]) });
            }
        };
        let event = Event::Created {
            platform: platform.profile.clone(),
            currency: self.parts.catalogue.currency.clone(),
            lines,
            at_s: self.now_s(),
            asked,
        };
        let session = self.step(None, &id, &event).await?.session;
        self.reply(201, &session, &unused(&form))
    }

    /// Reads a session; one that is being completed is brought on.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn get(&self, caller: Caller<'_>, id: &str) -> Result<Reply, Fault> {
        let platform = self.platform(caller.profile).await?;
        let mut loaded = self.find(id, &platform.profile).await?;
        if matches!(loaded.session.phase, Phase::Completing { .. }) {
            let lock = self.lock(id);
            // Whoever holds it brings it on already.
            if let Ok(_one_at_a_time) = lock.try_lock() {
                loaded = self.find(id, &platform.profile).await?;
                return self.resume(loaded).await;
            }
        }
        self.reply(200, &loaded.session, &[])
    }

    /// Replaces the lines of an open session.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn update(&self, caller: Caller<'_>, id: &str, body: &[u8]) -> Result<Reply, Fault> {
        let platform = self.platform(caller.profile).await?;
        let asked = asked(&caller, &format!("update {id}"), body)?;
        let form: CheckoutBody = read(body).map_err(Fault::Invalid)?;
        if form.id.as_deref().is_some_and(|named| named != id) {
            return Err(Fault::Invalid("id: it names another session than the path".to_owned()));
        }
        let lock = self.lock(id);
        let _one_at_a_time = lock.lock().await;
        let loaded = self.find(id, &platform.profile).await?;
        if let Some(session) = loaded.answered(asked.as_ref())? {
            return self.reply(200, session, &[]);
        }
        let loaded = self.ended_if_late(loaded).await?;
        if let Some(refusal) = not_open(&loaded.session, "update") {
            return self.reply(200, &loaded.session, &[refusal]);
        }
        let lines = match self.price(&form.line_items, &loaded.session.lines) {
            Ok(lines) => lines,
            Err(problem) => return self.reply(200, &loaded.session, &[problem]),
        };
        let event = Event::Updated { lines, at_s: self.now_s(), asked };
        let session = self.step(Some(loaded), id, &event).await?.session;
        self.reply(200, &session, &unused(&form))
    }

    /// Ends an open session.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn cancel(&self, caller: Caller<'_>, id: &str, body: &[u8]) -> Result<Reply, Fault> {
        let platform = self.platform(caller.profile).await?;
        let asked = asked(&caller, &format!("cancel {id}"), body)?;
        if !body.is_empty() {
            read::<CancelBody>(body).map_err(Fault::Invalid)?;
        }
        let lock = self.lock(id);
        let _one_at_a_time = lock.lock().await;
        let loaded = self.find(id, &platform.profile).await?;
        if let Some(session) = loaded.answered(asked.as_ref())? {
            return self.reply(200, session, &[]);
        }
        if let Some(refusal) = not_open(&loaded.session, "cancel") {
            return self.reply(200, &loaded.session, &[refusal]);
        }
        let event =
            Event::Canceled { reason: "canceled by the platform".to_owned(), at_s: self.now_s(), asked };
        let session = self.step(Some(loaded), id, &event).await?.session;
        self.reply(200, &session, &[])
    }

    /// Reads the order that a session became.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn order(&self, caller: Caller<'_>, order: &str) -> Result<Reply, Fault> {
        let platform = self.platform(caller.profile).await?;
        let id = order.strip_prefix("ord_").map(|rest| format!("chk_{rest}"));
        let loaded = match id {
            Some(id) => self.load(&id, &platform.profile).await?,
            None => None,
        };
        let session = loaded.ok_or(Fault::NotFound("order"))?.session;
        let history = self.parts.journal.history("order", order).await?;
        let place =
            history.own.first().map(|first| (first.place.event_id.to_string(), first.place.sequence_number));
        let body = view::order(&session, place).ok_or(Fault::NotFound("order"))?;
        Ok(Reply { status: 200, body })
    }

    /// Lines at the catalogue's prices. A line keeps the id that it had, or that the platform gives it.
    fn price(&self, wanted: &[LineBody], before: &[Line]) -> Result<Vec<Line>, Message> {
        let mut lines: Vec<Line> = Vec::with_capacity(wanted.len());
        for (index, line) in wanted.iter().enumerate() {
            let Some(item) = self.parts.catalogue.item(&line.item.id) else {
                let content = format!("{:?} is not on offer", short(&line.item.id));
                let path = format!("$.line_items[{index}].item.id");
                return Err(Message::error("item_unavailable", content).at(path));
            };
            let known = line.id.clone().filter(|id| before.iter().any(|line| line.id == *id));
            let id = known.unwrap_or_else(|| format!("li_{}", index + 1));
            if lines.iter().any(|taken| taken.id == id) {
                let path = format!("$.line_items[{index}].id");
                return Err(Message::error("invalid", format!("the line {id} is there twice")).at(path));
            }
            lines.push(Line {
                id,
                item: item.id.clone(),
                title: item.title.clone(),
                price: item.price,
                quantity: line.quantity,
            });
        }
        let trial = Event::Created {
            platform: String::new(),
            currency: String::new(),
            lines: lines.clone(),
            at_s: 0,
            asked: None,
        };
        crate::session::apply(None, "", &trial)
            .map_err(|error| Message::error("invalid", error.to_string()).at("$.line_items"))?;
        Ok(lines)
    }

    /// A session past its time is canceled, in the log too.
    async fn ended_if_late(&self, loaded: Loaded) -> Result<Loaded, Fault> {
        if !loaded.session.is_expired(self.now_s()) {
            return Ok(loaded);
        }
        let id = loaded.session.id.clone();
        let event = Event::Canceled { reason: "expired".to_owned(), at_s: self.now_s(), asked: None };
        self.step(Some(loaded), &id, &event).await
    }

    fn reply(&self, status: u16, session: &Session, messages: &[Message]) -> Result<Reply, Fault> {
        self.reply_with(status, session, messages, Map::new())
    }

    fn reply_with(
        &self,
        status: u16,
        session: &Session,
        messages: &[Message],
        ap2: Map<String, Value>,
    ) -> Result<Reply, Fault> {
        let checkout = self.shown(session, messages);
        let body = view::authorize(&self.parts.business, checkout, ap2)
            .map_err(|error| Fault::Unavailable(error.to_string()))?;
        Ok(Reply { status, body })
    }

    fn shown(&self, session: &Session, messages: &[Message]) -> Value {
        let offer = match session.phase {
            Phase::Open { .. } => self.parts.till.offer(session.total(), &session.currency),
            _ => None,
        };
        view::checkout(&self.parts.business, session, offer, messages)
    }
}

impl Message {
    fn severe(self) -> Self {
        Self { severity: view::Severity::Unrecoverable, ..self }
    }
}

/// The mark of a request that has a key.
fn asked(caller: &Caller<'_>, operation: &str, body: &[u8]) -> Result<Option<Asked>, Fault> {
    let Some(key) = caller.key else { return Ok(None) };
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(Fault::Invalid(format!("Idempotency-Key: expected 1 to {KEY_BYTES_MAX} bytes")));
    }
    let mut hasher = Sha256::new();
    hasher.update(operation.as_bytes());
    hasher.update([0]);
    hasher.update(body);
    Ok(Some(Asked { key: key.to_owned(), hash: encode(&hasher.finalize()) }))
}

/// Why a session that is not open is left as it is.
fn not_open(session: &Session, operation: &str) -> Option<Message> {
    match session.phase {
        Phase::Open { .. } => None,
        Phase::Completing { .. } => {
            Some(Message::error("not_allowed", format!("no {operation} while the payment is being settled")))
        }
        Phase::Completed { .. } | Phase::Canceled { .. } => {
            let status = session.phase.status();
            Some(Message::final_error("not_allowed", format!("no {operation}: the session is {status}")))
        }
    }
}

/// What was sent and is not kept.
fn unused(form: &CheckoutBody) -> Vec<Message> {
    let kept = form.buyer.as_ref().map(|_| {
        Message::info("buyer_not_kept", "this business needs no data of the buyer, and keeps none")
            .at("$.buyer")
    });
    kept.into_iter().collect()
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}
