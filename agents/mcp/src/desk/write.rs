//! Calls that write: one event of the outbox, or one payment intent.
//!
//! ```text
//! key known and answered ─► the first answer
//! entity's rules ─► refused
//! limits ─► pending approval
//! note the call (durable) ─► append (durable) ─► note the answer
//! ```
//!
//! A crash between two steps leaves a call that was begun: its repetition takes the same event id, so the outbox holds one
//! event whatever happened.

use serde_json::{Map, Value, json};
use ves::EventId;
use ves::hash::{Digest, Hasher};

use super::Desk;
use super::read::{entity_body, existing_id, say_state, uuid};
use crate::answer::{CallError, Refusal};
use crate::arguments::Given;
use crate::journal::{ApprovalState, Begun, NewApproval, NewCall, Plan};
use crate::money::{Money, exponent_of, units};
use crate::port::{Entity, EntryState, NewEvent, PaymentOrder};
use crate::table::{EntityId, IDEMPOTENCY_KEY, Tool, WAIT, Work, Worth};

/// What payments can be made in: assets whose decimals the limits reckon with.
pub const ASSETS: &[&str] = &["usdc", "usdt", "ssusd"];
/// Life of a payment intent unless the caller says another, and the longest there is.
const PAYMENT_S_DEFAULT: i64 = 3600;
const PAYMENT_S_MAX: i64 = 86_400;

/// Of a call that is refused at a later try.
const EARLIER: &str = "an earlier try of this call may have been carried out: make the same call again, with the same idempotency_key";

/// A call on its way.
pub(super) struct Try<'a> {
    tool: &'static Tool,
    given: &'a Given,
    pub(super) key: String,
    hash: Digest,
    pub(super) plan: Plan,
    /// Arguments that a person approves instead of what the caller wrote.
    pub(super) exact: Map<String, Value>,
    /// Whether an earlier try noted it already.
    pub(super) is_begun: bool,
    /// Whether a person approved it.
    is_approved: bool,
}

/// What the journal says of a call.
pub(super) enum Found<'a> {
    Answer(Value),
    Go(Try<'a>),
}

impl Desk {
    /// - `approval`: the id under which a person approved the call.
    pub(super) fn write(
        &self,
        tool: &'static Tool,
        given: &Given,
        approval: Option<&str>,
    ) -> Result<Value, CallError> {
        let mut turn = self.turn()?;
        let mut attempt = match self.find(tool, given, approval)? {
            Found::Answer(answer) => return Ok(answer),
            Found::Go(attempt) => attempt,
        };
        if matches!(tool.work, Work::PaymentCreate) && !attempt.is_begun {
            // The service may take its time: the other tools do not wait for it.
            drop(turn);
            self.ports.service.payable(&payment(&attempt)?.0)?;
            turn = self.turn()?;
            // Another call may have taken the key meanwhile.
            attempt = match self.find(tool, given, approval)? {
                Found::Answer(answer) => return Ok(answer),
                Found::Go(attempt) => attempt,
            };
        }
        match tool.work {
            Work::Event { entity, event, id, worth } => {
                let event = new_event(entity, event, id, &attempt);
                let worth = worth_of(worth, given)?;
                let (entity, state) = match self.append(&attempt, &event, worth)? {
                    Ok(done) => done,
                    Err(waits) => return Ok(waits),
                };
                drop(turn);
                self.answer_event(&attempt, &event, entity, state)
            }
            Work::PaymentCreate => {
                let (order, worth) = payment(&attempt)?;
                if let Some(waits) = self.begin(&attempt, Some(worth))? {
                    return Ok(waits);
                }
                drop(turn);
                self.pay(&attempt, &order)
            }
            _ => unreachable!("only writes come here"),
        }
    }

    /// Looks the key up; a new call gets its plan.
    pub(super) fn find<'a>(
        &self,
        tool: &'static Tool,
        given: &'a Given,
        approval: Option<&str>,
    ) -> Result<Found<'a>, CallError> {
        let hash = hash_of(given)?;
        // The three sorts of keys never meet.
        let key = match (approval, given.text(IDEMPOTENCY_KEY.name)) {
            (Some(id), _) => format!("approval {id}"),
            (None, Some(key)) => format!("caller {key}"),
            (None, None) => format!("drawn {}", random_id()?),
        };
        let begun = self.journal().call(&key)?;
        let plan = match begun {
            Some(call) if call.tool != tool.name || call.arguments_hash != hash.0 => {
                return Err(Refusal::new(
                    "idempotency_key_reused",
                    "idempotency_key was used before for another call",
                )
                .hint("take a new key for a new call")
                .into());
            }
            Some(call) => match call.answer {
                Some(answer) => return Ok(Found::Answer(answer)),
                None => Some(call.plan),
            },
            None => None,
        };
        let is_begun = plan.is_some();
        let plan = match plan {
            Some(plan) => plan,
            None => self.plan(tool, given)?,
        };
        Ok(Found::Go(Try {
            tool,
            given,
            key,
            hash,
            plan,
            exact: Map::new(),
            is_begun,
            is_approved: approval.is_some(),
        }))
    }

    fn plan(&self, tool: &Tool, given: &Given) -> Result<Plan, CallError> {
        let event_id = EventId(random_id()?);
        let entity_id = match tool.work {
            Work::Event { id: EntityId::Argument { name, prefix }, .. } if given.text(name).is_none() => {
                Some(format!("{prefix}{}", event_id.0.simple()))
            }
            _ => None,
        };
        Ok(Plan { event_id, created_at_ms: self.clock.now().0, entity_id })
    }

    /// Puts the event into the outbox; the inner error is the answer of a call that waits for a person.
    #[allow(clippy::type_complexity, reason = "three outcomes of one step, used once")]
    fn append(
        &self,
        attempt: &Try<'_>,
        event: &NewEvent,
        worth: Option<Money>,
    ) -> Result<Result<(Option<Entity>, EntryState), Value>, CallError> {
        if attempt.is_begun
            && let Some(state) = self.ports.outbox.entry(event.event_id)?
        {
            return Ok(Ok((self.ports.entities.get(event.entity_type, &event.entity_id)?, state)));
        }
        let entity = match self.ports.entities.after(event)? {
            Ok(entity) => entity,
            Err(refusal) => {
                // An earlier try that never reached the outbox: nothing was done, and nothing is remembered.
                self.journal().forget(&attempt.key)?;
                return Err(refusal.into());
            }
        };
        if let Some(waits) = self.begin(attempt, worth)? {
            return Ok(Err(waits));
        }
        match self.ports.outbox.append(event) {
            Ok(state) => {
                if let Some(syncer) = &self.config.syncer {
                    syncer.wake();
                }
                Ok(Ok((Some(entity), state)))
            }
            Err(error) => {
                if !error.is_passing {
                    self.journal().forget(&attempt.key)?;
                }
                Err(error.into())
            }
        }
    }

    /// Notes the call, unless it has to wait; then the answer that says so.
    pub(super) fn begin(&self, attempt: &Try<'_>, worth: Option<Money>) -> Result<Option<Value>, CallError> {
        if attempt.is_begun {
            return Ok(None);
        }
        let call = NewCall {
            key: &attempt.key,
            tool: attempt.tool.name,
            arguments_hash: attempt.hash.0,
            plan: &attempt.plan,
            at: attempt.plan.created_at(),
        };
        let asked = worth.as_ref().filter(|_| !attempt.is_approved);
        let mut journal = self.journal();
        let Begun::Asks(reason) = journal.begin(&call, asked, &self.config.limits)? else { return Ok(None) };
        let id = format!("apr_{}", random_id()?.simple());
        let mut arguments = attempt.given.members().clone();
        // The approved call has a key of its own; the caller's has its first answer now.
        arguments.remove(IDEMPOTENCY_KEY.name);
        arguments.extend(attempt.exact.clone());
        let arguments = Value::Object(arguments);
        let new = NewApproval { id: &id, arguments: &arguments, reason: &reason, worth: worth.as_ref() };
        let answer = journal.ask(&call, &new, |approval| {
            debug_assert_eq!(approval.state, ApprovalState::Pending);
            json!({"status": "pending_approval", "approval": approval.body()})
        })?;
        Ok(Some(answer))
    }

    fn answer_event(
        &self,
        attempt: &Try<'_>,
        event: &NewEvent,
        entity: Option<Entity>,
        state: EntryState,
    ) -> Result<Value, CallError> {
        let (mut state, mut problem) = (state, None);
        if attempt.given.flag(WAIT.name) && state == EntryState::Pending {
            match self.ports.outbox.push() {
                Ok(_) => state = self.ports.outbox.entry(event.event_id)?.unwrap_or(state),
                // The event is safe and will be sent; that it was not sent now is no failure of the call.
                Err(error) => problem = Some(format!("{}: {error}", error.code)),
            }
        }
        let mut answer = json!({"event_id": event.event_id.to_string(), "event_type": event.event_type});
        if let Some(problem) = problem {
            answer["problem"] = problem.into();
        }
        say_state(&mut answer, &state);
        // Sent, it has its number, and so has what waited before it.
        let entity = match state {
            EntryState::Receipted { .. } => self.ports.entities.get(event.entity_type, &event.entity_id)?,
            _ => entity,
        };
        if let Some(entity) = entity {
            answer["entity"] = entity_body(&entity);
        }
        self.done(attempt, &answer);
        Ok(answer)
    }

    /// Notes the answer of a call that was carried out. Where that fails the call is one that was begun: its repetition asks for the
    /// same again, and what was done is told all the same.
    pub(super) fn done(&self, attempt: &Try<'_>, answer: &Value) {
        if let Err(error) = self.journal().finish(&attempt.key, answer) {
            tracing::warn!(%error, "the answer to a call was not noted");
        }
    }

    /// How a refused call is told. That of a first try was not carried out, and is forgotten. Of a later one that is not certain,
    /// whatever is said then: the first may have been taken, and its answer lost. It is kept, and its repetition asks again for the
    /// same.
    pub(super) fn refused(&self, attempt: &Try<'_>, refusal: Refusal) -> Result<CallError, CallError> {
        if refusal.is_passing {
            return Ok(refusal.into());
        }
        if !attempt.is_begun {
            self.journal().forget(&attempt.key)?;
            return Ok(refusal.into());
        }
        let hint = match refusal.hint {
            Some(hint) => format!("{EARLIER}; {hint}"),
            None => EARLIER.to_owned(),
        };
        Ok(Refusal { is_passing: true, hint: Some(hint), ..refusal }.into())
    }

    fn pay(&self, attempt: &Try<'_>, order: &PaymentOrder) -> Result<Value, CallError> {
        match self.ports.service.pay(order) {
            Ok(intent) => {
                let status = intent.get("status").and_then(Value::as_str).unwrap_or("sequenced").to_owned();
                let answer = json!({"status": status, "intent": intent});
                self.done(attempt, &answer);
                Ok(answer)
            }
            Err(error) => Err(self.refused(attempt, error.into())?),
        }
    }
}

/// The event of a call: what names the entity, what all writes have, and the rest as its payload.
fn new_event(entity: &'static str, event: &'static str, id: EntityId, attempt: &Try<'_>) -> NewEvent {
    let is_payload = |name: &str| !id.uses(name) && !Tool::is_common(name);
    let members = attempt.given.members().iter().filter(|(name, _)| is_payload(name));
    let payload: Map<String, Value> = members.map(|(name, value)| (name.clone(), value.clone())).collect();
    NewEvent {
        event_id: attempt.plan.event_id,
        created_at: attempt.plan.created_at(),
        entity_type: entity,
        entity_id: attempt.plan.entity_id.clone().unwrap_or_else(|| existing_id(id, attempt.given)),
        event_type: event,
        payload,
        base_version: attempt
            .given
            .integer("expected_version")
            .and_then(|version| u64::try_from(version).ok()),
    }
}

/// What a call is worth; `None` where it is worth nothing.
fn worth_of(worth: Worth, given: &Given) -> Result<Option<Money>, CallError> {
    Ok(match worth {
        Worth::Nothing => None,
        Worth::Argument(name) => given.money(name),
        Worth::Order => {
            let sum = given.sum_of_lines()?;
            [given.money("total_amount"), sum].into_iter().flatten().max_by_key(|money| money.minor)
        }
    })
}

fn payment(attempt: &Try<'_>) -> Result<(PaymentOrder, Money), CallError> {
    let given = attempt.given;
    let text = |name: &str| given.text(name).unwrap_or_default().to_owned();
    let asset = text("asset");
    let currency = asset.to_ascii_uppercase();
    let amount = units(&text("amount"), exponent_of(&currency));
    let amount = amount.map_err(|problem| CallError::argument("amount", problem))?;
    if amount == 0 {
        return Err(CallError::argument("amount", "must be above 0"));
    }
    let seconds = given.integer("valid_for_seconds").unwrap_or(PAYMENT_S_DEFAULT);
    if seconds > PAYMENT_S_MAX {
        return Err(CallError::argument("valid_for_seconds", format!("must be {PAYMENT_S_MAX} or less")));
    }
    let until = (attempt.plan.created_at_ms / 1000).saturating_add(seconds);
    let order = PaymentOrder {
        payee_address: text("payee_address"),
        amount,
        asset,
        network: text("network"),
        valid_until_s: u64::try_from(until).unwrap_or(0),
        nonce: nonce_of(&attempt.plan.event_id),
        idempotency_key: attempt.plan.event_id.to_string(),
        order_id: given.text("order_id").map(|_| uuid(given, "order_id")),
        description: given.text("description").map(str::to_owned),
    };
    Ok((order, Money { minor: amount, currency }))
}

/// 53 random bits: a nonce that every reader of JSON keeps exact.
fn nonce_of(id: &EventId) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&id.as_bytes()[8..]);
    // Bits 62 and 63 of a UUID's second half are fixed.
    u64::from_be_bytes(bytes) & ((1 << 53) - 1)
}

/// What a call says, without what only says how it is made.
fn hash_of(given: &Given) -> Result<Digest, CallError> {
    let mut said = given.members().clone();
    said.remove(IDEMPOTENCY_KEY.name);
    said.remove(WAIT.name);
    let text = Value::Object(said).to_string();
    // What no event could hold is refused before anything is noted.
    let canonical = ves::json::canonicalize_strict(&text)
        .map_err(|error| CallError::argument(error.path_under("arguments"), error.problem()))?;
    Ok(Hasher::bare().str(&canonical).finish())
}

fn random_id() -> Result<uuid::Uuid, CallError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        Refusal::new("no_randomness", format!("the system gives no random bytes: {error}"))
    })?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

#[cfg(test)]
mod tests;
