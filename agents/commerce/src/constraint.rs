//! Constraints of open mandates (AP2 0.2): what the agent that closed a mandate was allowed to choose.
//!
//! A constraint that is not known here, or that asks for a history this verifier does not keep, is not met.

use std::collections::VecDeque;

use serde_json::{Map, Value};
use ves::TimestampMs;

/// Constraints of one mandate, and entries of one list of a constraint.
const CONSTRAINTS_MAX: usize = 32;
const ENTRIES_MAX: usize = 256;

/// Who sells, as mandates name him.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merchant {
    pub id: String,
    pub name: String,
    pub website: String,
}

/// What was closed, as far as constraints look at it.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub merchant: &'a Merchant,
    /// Item and quantity of each line.
    pub lines: &'a [(String, u64)],
    /// Minor units.
    pub total: u64,
    pub currency: &'a str,
    /// `payment_instrument` of the closed payment mandate.
    pub instrument: &'a Value,
    /// `execution_date` of the closed payment mandate; `None` is now.
    pub execution: Option<TimestampMs>,
    pub now: TimestampMs,
    /// Hashes of the open checkout mandates.
    pub open_checkouts: &'a [String],
}

/// Why a constraint is not met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unmet {
    /// AP2 `unresolved_constraint`.
    #[error("constraint {0:?} is not evaluated here")]
    Unresolved(String),
    /// AP2 `invalid_mandate`.
    #[error("constraint {kind}: {problem}")]
    Failed { kind: String, problem: String },
}

/// Evaluates every constraint of an open mandate.
///
/// # Errors
/// [`Unmet`] of the first that is not met.
pub fn check_all(open: &Map<String, Value>, facts: &Facts<'_>) -> Result<(), Unmet> {
    let constraints = match open.get("constraints") {
        None => return Ok(()),
        Some(Value::Array(constraints)) if constraints.len() <= CONSTRAINTS_MAX => constraints,
        Some(_) => return Err(Unmet::Unresolved(format!("not an array of at most {CONSTRAINTS_MAX}"))),
    };
    constraints.iter().try_for_each(|constraint| check(constraint, facts))
}

fn check(constraint: &Value, facts: &Facts<'_>) -> Result<(), Unmet> {
    let kind = constraint.get("type").and_then(Value::as_str).unwrap_or("without a type");
    let outcome = match kind {
        "checkout.allowed_merchants" | "payment.allowed_payees" => {
            entries(constraint, "allowed").and_then(|allowed| {
                met(allowed.iter().any(|entry| is_merchant(entry, facts.merchant)), || {
                    format!("{} is not among them", facts.merchant.id)
                })
            })
        }
        "checkout.line_items" => line_items(constraint, facts.lines),
        "payment.amount_range" => amount_range(constraint, facts),
        "payment.allowed_payment_instruments" => entries(constraint, "allowed").and_then(|allowed| {
            met(allowed.iter().any(|entry| is_instrument(entry, facts.instrument)), || {
                "the payment instrument is not among them".to_owned()
            })
        }),
        "payment.reference" => {
            let named = constraint.get("conditional_transaction_id").and_then(Value::as_str);
            met(named.is_some_and(|named| facts.open_checkouts.iter().any(|open| open == named)), || {
                "it belongs to another open checkout mandate".to_owned()
            })
        }
        "payment.execution_date" => execution(constraint, facts),
        // Recurrence and budgets ask what was paid elsewhere; payment initiators play no part in x402.
        other => return Err(Unmet::Unresolved(other.to_owned())),
    };
    outcome.map_err(|problem| Unmet::Failed { kind: kind.to_owned(), problem })
}

fn met(is_met: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if is_met { Ok(()) } else { Err(problem()) }
}

fn entries<'a>(constraint: &'a Value, name: &str) -> Result<&'a [Value], String> {
    match constraint.get(name).and_then(Value::as_array) {
        Some(entries) if entries.len() <= ENTRIES_MAX => Ok(entries),
        _ => Err(format!("{name}: expected an array of at most {ENTRIES_MAX}")),
    }
}

/// By id where one is named; a name alone is nobody's.
pub fn is_merchant(entry: &Value, merchant: &Merchant) -> bool {
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    let is_same = |name: &str, ours: &str| text(name).is_none_or(|theirs| theirs == ours);
    let is_named = text("id").is_some() || text("website").is_some();
    is_named && is_same("id", &merchant.id) && is_same("website", &merchant.website)
}

/// Whether an allowed instrument is this one: id and type.
fn is_instrument(entry: &Value, instrument: &Value) -> bool {
    ["id", "type"].iter().all(|name| {
        let text = |value: &Value| value.get(name).and_then(Value::as_str).map(str::to_ascii_lowercase);
        text(entry).is_some() && text(entry) == text(instrument)
    })
}

fn amount_range(constraint: &Value, facts: &Facts<'_>) -> Result<(), String> {
    let currency = constraint.get("currency").and_then(Value::as_str);
    met(currency == Some(facts.currency), || format!("it is not in {}", facts.currency))?;
    let bound = |name: &str| match constraint.get(name) {
        None => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| format!("{name}: expected whole minor units")),
    };
    let max = bound("max")?.ok_or("max is missing")?;
    met(facts.total <= max, || format!("{} is more than {max}", facts.total))?;
    let min = bound("min")?.unwrap_or(0);
    met(facts.total >= min, || format!("{} is less than {min}", facts.total))
}

fn execution(constraint: &Value, facts: &Facts<'_>) -> Result<(), String> {
    let at = facts.execution.unwrap_or(facts.now);
    let bound = |name: &str| match constraint.get(name) {
        None => Ok(None),
        Some(value) => {
            let time = value.as_str().and_then(TimestampMs::parse_rfc3339);
            time.map(Some).ok_or_else(|| format!("{name}: expected an RFC 3339 time"))
        }
    };
    if let Some(from) = bound("not_before")? {
        met(at >= from, || format!("{at} is before {from}"))?;
    }
    match bound("not_after")? {
        Some(until) => met(at <= until, || format!("{at} is after {until}")),
        None => Ok(()),
    }
}

/// Every required quantity is filled, and every item of the checkout is asked for: the largest flow from requirements to
/// items carries both.
fn line_items(constraint: &Value, lines: &[(String, u64)]) -> Result<(), String> {
    let wanted = entries(constraint, "items")?;
    let mut demands = Vec::with_capacity(wanted.len());
    for item in wanted {
        let quantity =
            item.get("quantity").and_then(Value::as_u64).ok_or("quantity: expected a whole number")?;
        let acceptable = entries(item, "acceptable_items")?;
        let ids: Vec<&str> =
            acceptable.iter().filter_map(|item| item.get("id").and_then(Value::as_str)).collect();
        demands.push((quantity, ids));
    }
    let sum = |mut amounts: Box<dyn Iterator<Item = u64> + '_>| amounts.try_fold(0u64, u64::checked_add);
    let asked = sum(Box::new(demands.iter().map(|(quantity, _)| *quantity))).ok_or("too many items")?;
    let bought = sum(Box::new(lines.iter().map(|(_, quantity)| *quantity))).ok_or("too many items")?;
    met(asked == bought, || format!("it asks for {asked} items, the checkout has {bought}"))?;
    met(flow(&demands, lines) == asked, || "the items of the checkout are not those it asks for".to_owned())
}

/// Largest flow by shortest augmenting paths (Edmonds and Karp). Nodes: 0 the source, then demands, then lines, then the sink.
fn flow(demands: &[(u64, Vec<&str>)], lines: &[(String, u64)]) -> u64 {
    let nodes = demands.len() + lines.len() + 2;
    let sink = nodes - 1;
    let mut room = vec![vec![0u64; nodes]; nodes];
    for (d, (quantity, ids)) in demands.iter().enumerate() {
        room[0][1 + d] = *quantity;
        for (l, (item, _)) in lines.iter().enumerate() {
            if ids.contains(&item.as_str()) {
                room[1 + d][1 + demands.len() + l] = *quantity;
            }
        }
    }
    for (l, (_, quantity)) in lines.iter().enumerate() {
        room[1 + demands.len() + l][sink] = *quantity;
    }
    let mut total = 0;
    while let Some(before) = path(&room, sink) {
        let mut at = sink;
        let mut least = u64::MAX;
        while at != 0 {
            least = least.min(room[before[at]][at]);
            at = before[at];
        }
        at = sink;
        while at != 0 {
            room[before[at]][at] -= least;
            room[at][before[at]] += least;
            at = before[at];
        }
        total += least;
    }
    total
}

/// A shortest path with room from 0 to the sink: each node's forerunner.
fn path(room: &[Vec<u64>], sink: usize) -> Option<Vec<usize>> {
    let mut before = vec![usize::MAX; room.len()];
    let mut queue = VecDeque::from([0]);
    before[0] = 0;
    while let Some(at) = queue.pop_front() {
        for next in 0..room.len() {
            if before[next] == usize::MAX && room[at][next] > 0 {
                before[next] = at;
                if next == sink {
                    return Some(before);
                }
                queue.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests;
