//! A session as its platform sees it.

use serde_json::{Map, Value, json};
use ves::TimestampMs;

use crate::business::{Business, HANDLER_ID, REST_PATH, handlers};
use crate::jose::{JoseError, detached};
use crate::session::{Line, Phase, Session};
use crate::versions::{UCP_VERSION, capabilities};

/// One entry of `messages`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub code: String,
    pub content: String,
    pub path: Option<String>,
    pub severity: Severity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Not an error.
    Info,
    Recoverable,
    Unrecoverable,
}

impl Message {
    pub fn error(code: &str, content: impl Into<String>) -> Self {
        Self { code: code.to_owned(), content: content.into(), path: None, severity: Severity::Recoverable }
    }

    pub fn info(code: &str, content: impl Into<String>) -> Self {
        Self { severity: Severity::Info, ..Self::error(code, content) }
    }

    pub fn final_error(code: &str, content: impl Into<String>) -> Self {
        Self { severity: Severity::Unrecoverable, ..Self::error(code, content) }
    }

    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    fn value(&self) -> Value {
        let mut value = match self.severity {
            Severity::Info => json!({"type": "info"}),
            Severity::Recoverable => json!({"type": "error", "severity": "recoverable"}),
            Severity::Unrecoverable => json!({"type": "error", "severity": "unrecoverable"}),
        };
        value["code"] = Value::from(self.code.as_str());
        value["content"] = Value::from(self.content.as_str());
        if let Some(path) = &self.path {
            value["path"] = Value::from(path.as_str());
        }
        value
    }
}

fn time(seconds: u64) -> String {
    TimestampMs(i64::try_from(seconds).unwrap_or(i64::MAX / 1000).saturating_mul(1000)).to_string()
}

/// `subtotal` and `total`: nothing is added to prices here.
fn totals(amount: u64) -> Value {
    json!([{"type": "subtotal", "amount": amount}, {"type": "total", "amount": amount}])
}

fn line(line: &Line) -> Value {
    json!({
        "id": line.id, "quantity": line.quantity, "totals": totals(line.price * line.quantity),
        "item": {"id": line.item, "title": line.title, "price": line.price},
    })
}

/// The envelope of an answer that has no session.
pub fn error_envelope(messages: &[Message]) -> Value {
    json!({
        "ucp": {"version": UCP_VERSION, "status": "error", "capabilities": {}},
        "messages": messages.iter().map(Message::value).collect::<Vec<_>>(),
    })
}

/// The checkout without `ap2`: what is signed. `offer` is what the payment handler asks for now.
pub fn checkout(business: &Business, session: &Session, offer: Option<Value>, messages: &[Message]) -> Value {
    let handlers = offer.map_or_else(Map::new, handlers);
    let mut all = json!({
        "ucp": {
            "version": UCP_VERSION, "status": "success", "capabilities": capabilities(false),
            "payment_handlers": handlers,
        },
        "id": session.id,
        "status": session.phase.status(),
        "currency": session.currency,
        "line_items": session.lines.iter().map(line).collect::<Vec<_>>(),
        "totals": totals(session.total()),
        "links": [],
        "expires_at": time(session.expires_s()),
    });
    let mut shown = messages.to_vec();
    match &session.phase {
        Phase::Open { problem: Some(problem) } => {
            shown.push(Message::error("payment_failed", problem.as_str()).at("$.payment"));
        }
        Phase::Canceled { reason } => shown.push(Message::info("canceled", reason.as_str())),
        Phase::Completed { order, .. } => {
            let url = business.url(&format!("{REST_PATH}/orders/{order}"));
            all["order"] = json!({"id": order, "permalink_url": url});
        }
        Phase::Open { problem: None } | Phase::Completing { .. } => {}
    }
    if !shown.is_empty() {
        all["messages"] = shown.iter().map(Message::value).collect();
    }
    all
}

/// Signs the checkout into `ap2.merchant_authorization`.
///
/// # Errors
/// [`JoseError::Signing`].
///
/// # Source
/// UCP, AP2 Mandates Extension, Business Authorization.
pub fn authorize(
    business: &Business,
    mut checkout: Value,
    extra: Map<String, Value>,
) -> Result<Value, JoseError> {
    let payload = ves::json::to_canonical(&checkout).map_err(|_| JoseError::Signing)?;
    let signed = business.key.sign(&[("typ", "JWT")], payload.as_bytes())?;
    let mut ap2 = extra;
    ap2.insert("merchant_authorization".to_owned(), Value::from(detached(&signed)));
    checkout["ap2"] = Value::Object(ap2);
    Ok(checkout)
}

/// Whether a mandate was accepted, signed for whoever has to prove it later.
pub enum Verdict<'a> {
    Success,
    Error { code: &'a str, description: &'a str },
}

/// A checkout or payment receipt (AP2 0.2): `reference` is the hash of the closed mandate, `subject` what it led to.
///
/// # Errors
/// [`JoseError::Signing`].
pub fn receipt(
    business: &Business,
    now_s: u64,
    reference: &str,
    verdict: &Verdict<'_>,
    subject: &[(&str, &str)],
) -> Result<String, JoseError> {
    let mut claims = json!({"iss": business.merchant.website, "iat": now_s, "reference": reference});
    match verdict {
        Verdict::Success => {
            claims["status"] = Value::from("Success");
            claims["result"] = Value::from("success");
        }
        Verdict::Error { code, description } => {
            claims["status"] = Value::from("Error");
            claims["result"] = Value::from("error");
            claims["error"] = Value::from(*code);
            claims["error_description"] = Value::from(*description);
        }
    }
    for (name, text) in subject {
        claims[*name] = Value::from(*text);
    }
    let payload = ves::json::to_canonical(&claims).map_err(|_| JoseError::Signing)?;
    business.key.sign(&[("typ", "JWT")], payload.as_bytes())
}

/// The order that a completed session became. `place` is where its event stands in the log.
pub fn order(session: &Session, place: Option<(String, u64)>) -> Option<Value> {
    let Phase::Completed { order, paid, mandates } = &session.phase else { return None };
    let mut value = json!({
        "id": order,
        "checkout_id": session.id,
        "currency": session.currency,
        "line_items": session.lines.iter().map(line).collect::<Vec<_>>(),
        "totals": totals(session.total()),
        "payment": {"handler_id": HANDLER_ID, "x402": paid},
        "mandates": mandates,
    });
    if let Some((event_id, sequence_number)) = place {
        value["event"] = json!({"event_id": event_id, "sequence_number": sequence_number});
    }
    Some(value)
}
