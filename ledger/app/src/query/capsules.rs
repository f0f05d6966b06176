//! Capsule entries by their place on the chain (8.4): what a recipient pages through.

use stateset_ledger_types::codec::{Encode, List};
use stateset_ledger_types::notary::{CAPSULES_MAX, CapsuleEntry, CapsulePage, CapsulePlace};
use stateset_ledger_types::{StateKey, Substore};

use crate::application::{Fault, QueryAnswer};
use crate::overlay::{Overlay, decode};

/// Answers `/ssn/capsules?from=PLACE&limit=N`, from the question mark on; `limit` may be left out. `None` for what is no
/// such question.
pub(super) fn answer(overlay: &Overlay<'_>, question: &str) -> Result<Option<QueryAnswer>, Fault> {
    let (from, limit) = question.split_once("&limit=").unwrap_or((question, ""));
    let limit = if limit.is_empty() { Some(CAPSULES_MAX) } else { limit.parse().ok() };
    let from: Option<CapsulePlace> = from.strip_prefix("from=").and_then(|from| from.parse().ok());
    let (Some(from), Some(limit)) = (from, limit) else { return Ok(None) };
    let limit = limit.clamp(1, CAPSULES_MAX);
    let first = StateKey::capsule(from.height, from.index, from.n);
    // Keys of capsules begin with a digit; that of every substore, which is behind them, does not.
    let rows = overlay.range(&first, b":", limit + 1)?;
    let mut entries: Vec<CapsuleEntry> = Vec::new();
    for (key, value) in rows.iter().take(limit) {
        entries.push(decode(key, value)?);
    }
    let next = rows.get(limit).map(|(key, _)| place(key)).transpose()?;
    let page = CapsulePage { entries: List::new(entries).expect("no more than a page"), next };
    Ok(Some(QueryAnswer { value: page.to_sce(), ..QueryAnswer::default() }))
}

/// The place that a key of the substore names.
fn place(key: &StateKey) -> Result<CapsulePlace, Fault> {
    assert_eq!(key.substore, Substore::Capsule);
    let text = std::str::from_utf8(&key.path).ok();
    let corrupt =
        || Fault::Corrupt { place: key.to_string(), problem: "not a place of a capsule".to_owned() };
    text.and_then(|text| text.parse().ok()).ok_or_else(corrupt)
}
