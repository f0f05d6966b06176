//! A checkout session: the fold of its events, one step at a time.
//!
//! ```text
//! created ─► updated* ─► completion_started ─► completed
//!    │          │         │           ▲   └─► payment_failed ─┐
//!    │          │         └───────────┼───────────────────────┘ (open again)
//!    └──────────┴─► canceled
//! ```
//!
//! Pure: time comes in with the events, and every rule is checked here, so that the log can't hold a step that was not one.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The entity type of its events.
pub const ENTITY: &str = "checkout";
/// How long a session stays open.
pub const OPEN_S: u64 = 6 * 3600;
/// Bounds of a session.
pub const LINES_MAX: usize = 100;
pub const QUANTITY_MAX: u64 = 10_000;
/// Events of one session: beyond it only an end is taken.
pub const STEPS_MAX: usize = 200;

/// One line, priced when it was taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    pub id: String,
    pub item: String,
    pub title: String,
    /// Minor units for one.
    pub price: u64,
    pub quantity: u64,
}

/// The request that a step answers, so that the same request gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// `Idempotency-Key`.
    pub key: String,
    /// SHA-256 of operation and body.
    pub hash: String,
}

/// A payment that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paid {
    pub network: String,
    pub transaction: String,
    pub payer: String,
    /// In the token's smallest unit, decimal.
    pub amount: String,
    /// The payment's place in the history of payments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence_number: Option<u64>,
}

/// What the mandates of a completion were, for receipts and disputes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mandates {
    pub checkout_hash: String,
    pub checkout_reference: String,
    pub payment_reference: String,
}

/// One step, as the log keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload", deny_unknown_fields)]
pub enum Event {
    #[serde(rename = "checkout.created")]
    Created {
        platform: String,
        currency: String,
        lines: Vec<Line>,
        at_s: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asked: Option<Asked>,
    },
    #[serde(rename = "checkout.updated")]
    Updated {
        lines: Vec<Line>,
        at_s: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asked: Option<Asked>,
    },
    /// The mandates hold; the payment is about to be settled.
    #[serde(rename = "checkout.completion_started")]
    CompletionStarted {
        mandates: Mandates,
        payer: String,
        /// The payment, to be brought again after a crash: it moves money once.
        payment: Value,
        at_s: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asked: Option<Asked>,
    },
    #[serde(rename = "checkout.payment_failed")]
    PaymentFailed { reason: String, at_s: u64 },
    #[serde(rename = "checkout.completed")]
    Completed { order: String, paid: Paid, at_s: u64 },
    #[serde(rename = "checkout.canceled")]
    Canceled {
        reason: String,
        at_s: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asked: Option<Asked>,
    },
}

impl Event {
    /// Type and payload, as an event of the log has them.
    pub fn parts(&self) -> (String, Value) {
        let mut whole = serde_json::to_value(self).expect("an event is JSON");
        let payload = whole["payload"].take();
        (whole["type"].as_str().expect("its tag is text").to_owned(), payload)
    }

    /// # Errors
    /// What does not fit, for a person.
    pub fn read(event_type: &str, payload: Value) -> Result<Self, String> {
        let whole = serde_json::json!({"type": event_type, "payload": payload});
        serde_json::from_value(whole).map_err(|error| error.to_string())
    }

    /// The request that it answers.
    pub fn asked(&self) -> Option<&Asked> {
        match self {
            Self::Created { asked, .. }
            | Self::Updated { asked, .. }
            | Self::CompletionStarted { asked, .. }
            | Self::Canceled { asked, .. } => asked.as_ref(),
            Self::PaymentFailed { .. } | Self::Completed { .. } => None,
        }
    }
}

/// Where a session stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// It can be changed and completed. `problem` is why the last payment failed.
    Open {
        problem: Option<String>,
    },
    Completing {
        mandates: Mandates,
        payment: Value,
        payer: String,
    },
    Completed {
        mandates: Mandates,
        order: String,
        paid: Paid,
    },
    Canceled {
        reason: String,
    },
}

impl Phase {
    /// UCP's word.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Open { .. } => "ready_for_complete",
            Self::Completing { .. } => "complete_in_progress",
            Self::Completed { .. } => "completed",
            Self::Canceled { .. } => "canceled",
        }
    }
}

/// A session at one point of its history.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    pub id: String,
    /// URL of the platform's profile: nobody else sees the session.
    pub platform: String,
    pub currency: String,
    pub lines: Vec<Line>,
    pub created_s: u64,
    pub updated_s: u64,
    pub phase: Phase,
}

/// Why a step is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    #[error("{0} does not follow on a session that is {1}")]
    OutOfOrder(&'static str, &'static str),
    #[error("line_items: expected 1 to {LINES_MAX}")]
    Lines,
    #[error("line_items: a quantity is 1 to {QUANTITY_MAX}, and the total has to fit 53 bits")]
    Amount,
}

/// Largest total: every JSON reader holds it exactly.
const TOTAL_MAX: u64 = (1 << 53) - 1;

/// Price times quantity of all lines, in minor units; `None` beyond what JSON numbers hold.
pub fn total(lines: &[Line]) -> Option<u64> {
    let add = |sum: u64, line: &Line| sum.checked_add(line.price.checked_mul(line.quantity)?);
    lines.iter().try_fold(0, add).filter(|total| *total <= TOTAL_MAX)
}

fn check_lines(lines: &[Line]) -> Result<(), StepError> {
    if !(1..=LINES_MAX).contains(&lines.len()) {
        return Err(StepError::Lines);
    }
    let is_fine = lines.iter().all(|line| (1..=QUANTITY_MAX).contains(&line.quantity));
    if is_fine && total(lines).is_some() { Ok(()) } else { Err(StepError::Amount) }
}

/// The session after one more event.
///
/// # Errors
/// [`StepError`]; the session stays as it was.
pub fn apply(session: Option<Session>, id: &str, event: &Event) -> Result<Session, StepError> {
    let Some(mut session) = session else {
        let Event::Created { platform, currency, lines, at_s, .. } = event else {
            return Err(StepError::OutOfOrder("a later step", "not there"));
        };
        check_lines(lines)?;
        return Ok(Session {
            id: id.to_owned(),
            platform: platform.clone(),
            currency: currency.clone(),
            lines: lines.clone(),
            created_s: *at_s,
            updated_s: *at_s,
            phase: Phase::Open { problem: None },
        });
    };
    let status = session.phase.status();
    let (phase, at_s) = match (session.phase, event) {
        (Phase::Open { .. }, Event::Updated { lines, at_s, .. }) => {
            check_lines(lines)?;
            session.lines.clone_from(lines);
            (Phase::Open { problem: None }, at_s)
        }
        (Phase::Open { .. }, Event::CompletionStarted { mandates, payer, payment, at_s, .. }) => {
            let (mandates, payment, payer) = (mandates.clone(), payment.clone(), payer.clone());
            (Phase::Completing { mandates, payment, payer }, at_s)
        }
        (Phase::Completing { .. }, Event::PaymentFailed { reason, at_s }) => {
            (Phase::Open { problem: Some(reason.clone()) }, at_s)
        }
        (Phase::Completing { mandates, .. }, Event::Completed { order, paid, at_s }) => {
            (Phase::Completed { mandates, order: order.clone(), paid: paid.clone() }, at_s)
        }
        (Phase::Open { .. }, Event::Canceled { reason, at_s, .. }) => {
            (Phase::Canceled { reason: reason.clone() }, at_s)
        }
        (_, Event::Created { .. }) => return Err(StepError::OutOfOrder("checkout.created", status)),
        (_, Event::Updated { .. }) => return Err(StepError::OutOfOrder("checkout.updated", status)),
        (_, Event::CompletionStarted { .. }) => {
            return Err(StepError::OutOfOrder("checkout.completion_started", status));
        }
        (_, Event::PaymentFailed { .. }) => {
            return Err(StepError::OutOfOrder("checkout.payment_failed", status));
        }
        (_, Event::Completed { .. }) => return Err(StepError::OutOfOrder("checkout.completed", status)),
        (_, Event::Canceled { .. }) => return Err(StepError::OutOfOrder("checkout.canceled", status)),
    };
    Ok(Session { phase, updated_s: *at_s, ..session })
}

impl Session {
    pub fn expires_s(&self) -> u64 {
        self.created_s.saturating_add(OPEN_S)
    }

    /// Whether it is past its time: an open one can't be completed any more.
    pub fn is_expired(&self, now_s: u64) -> bool {
        matches!(self.phase, Phase::Open { .. }) && now_s >= self.expires_s()
    }

    /// Minor units.
    pub fn total(&self) -> u64 {
        total(&self.lines).expect("lines were checked when they were taken in")
    }

    /// Item and quantity of each line.
    pub fn items(&self) -> Vec<(String, u64)> {
        self.lines.iter().map(|line| (line.item.clone(), line.quantity)).collect()
    }
}

#[cfg(test)]
mod tests;
