//! Capsule entries by their place on the chain (8.4): what a recipient pages through.

use stateset_ledger_types::codec::{Encode, List};
use stateset_ledger_types::notary::{CAPSULES_MAX, CapsuleEntry, CapsulePage, CapsulePlace};
use stateset_ledger_types::{StateKey, Substore};

use super::question::Question;
use crate::application::{Fault, QueryAnswer};
use crate::overlay::{Overlay, decode};

/// Answers `/ssn/capsules?from=PLACE&limit=N`; `limit` may be left out. `None` for what is no place.
pub(super) fn answer(overlay: &Overlay<'_>, asked: Question<'_>) -> Result<Option<QueryAnswer>, Fault> {
    let from: Option<CapsulePlace> = asked.from.and_then(|from| from.parse().ok());
    let (Some(from), limit) = (from, asked.limit.min(CAPSULES_MAX)) else { return Ok(None) };
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
