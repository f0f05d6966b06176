//! Searching blocks and transactions by their events, in the query language of CometBFT: conditions joined by AND, each
//! `name = 'text'`, `name = number`, a comparison of a height, or `name EXISTS`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stateset_ledger_store::{Column, View};

use super::params::{Params, unhex};
use super::{RpcError, methods, shapes};
use crate::engine::hex;
use crate::records;

/// Answers hold at most so many blocks or transactions; more come with the next page.
const PER_PAGE_MAX: u64 = 100;
/// Heights that a query without any event looks at.
const HEIGHTS_SCANNED_MAX: u64 = 10_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    Below,
    AtMost,
    Above,
    AtLeast,
    Exists,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) name: String,
    pub(super) operator: Operator,
    pub(super) value: String,
}

/// # Errors
/// With the part that is not understood.
pub(super) fn parse(query: &str) -> Result<Vec<Condition>, RpcError> {
    let wrong = |what: &str| RpcError::params(format!("query {query:?}: {what}"));
    let (mut conditions, mut rest) = (Vec::new(), query.trim());
    loop {
        let end = rest.find(|c: char| c.is_whitespace() || "=<>".contains(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if name.is_empty() {
            return Err(wrong("a condition begins with a name"));
        }
        let after = after.trim_start();
        let operators = [
            (">=", Operator::AtLeast),
            ("<=", Operator::AtMost),
            (">", Operator::Above),
            ("<", Operator::Below),
            ("=", Operator::Equal),
            ("EXISTS", Operator::Exists),
        ];
        let found =
            operators.into_iter().find_map(|(text, operator)| Some((operator, after.strip_prefix(text)?)));
        let (operator, after) =
            found.ok_or_else(|| wrong("after a name stands =, <, <=, >, >= or EXISTS"))?;
        let after = after.trim_start();
        let is_quoted = after.starts_with('\'');
        let (value, after) = match (operator, after.strip_prefix('\'')) {
            (Operator::Exists, _) => ("", after),
            (_, Some(text)) => text.split_once('\'').ok_or_else(|| wrong("a quote is not closed"))?,
            (_, None) => after.split_at(after.find(char::is_whitespace).unwrap_or(after.len())),
        };
        if value.is_empty() && operator != Operator::Exists && !is_quoted {
            return Err(wrong("a condition ends with a value"));
        }
        conditions.push(Condition { name: name.into(), operator, value: value.into() });
        rest = after.trim_start();
        if rest.is_empty() {
            return Ok(conditions);
        }
        rest = rest.strip_prefix("AND ").ok_or_else(|| wrong("conditions are joined by AND"))?.trim_start();
    }
}

/// The heights that a query leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Heights {
    from: u64,
    to: u64,
}

impl Heights {
    fn narrow(&mut self, condition: &Condition) -> Result<(), RpcError> {
        let wrong = |_| RpcError::params(format!("{} is compared with a whole number", condition.name));
        let value: u64 = condition.value.parse().map_err(wrong)?;
        let (from, to) = match condition.operator {
            Operator::Equal => (value, value),
            Operator::Below => {
                (0, value.checked_sub(1).ok_or_else(|| RpcError::params("no height is below 0"))?)
            }
            Operator::AtMost => (0, value),
            Operator::Above => (value.saturating_add(1), u64::MAX),
            Operator::AtLeast => (value, u64::MAX),
            Operator::Exists => (0, u64::MAX),
        };
        (self.from, self.to) = (self.from.max(from), self.to.min(to));
        Ok(())
    }
}

type Places = BTreeSet<(u64, u32)>;

/// Places whose events fulfil all conditions; `height` is the name that stands for the height itself.
fn find(view: &View, query: &str, height: &str) -> Result<(Option<Places>, Heights), RpcError> {
    let (first, latest) = records::heights(view)?;
    let (mut heights, mut places) = (Heights { from: first, to: latest }, None::<Places>);
    for condition in parse(query)? {
        if condition.name == height {
            heights.narrow(&condition)?;
            continue;
        }
        let prefix = match condition.operator {
            Operator::Equal => records::event_prefix(&condition.name, &condition.value),
            Operator::Exists => [condition.name.as_bytes(), &[0]].concat(),
            _ => {
                return Err(RpcError::params(format!(
                    "only {height} is compared; {} is not",
                    condition.name
                )));
            }
        };
        let mut found = Places::new();
        view.records(Column::Events, &prefix, false, |row, value| {
            let places = records::event_places(row, value).into_iter();
            found.extend(places.filter(|(at, _)| (heights.from..=heights.to).contains(at)));
            true
        })?;
        places = Some(match places {
            Some(before) => before.intersection(&found).copied().collect(),
            None => found,
        });
    }
    let places = places.map(|places| {
        places.into_iter().filter(|(at, _)| (heights.from..=heights.to).contains(at)).collect()
    });
    Ok((places, heights))
}

fn scanned(heights: Heights) -> Result<impl DoubleEndedIterator<Item = u64>, RpcError> {
    if heights.to.saturating_sub(heights.from) >= HEIGHTS_SCANNED_MAX {
        return Err(RpcError::params(format!(
            "a query without an event spans at most {HEIGHTS_SCANNED_MAX} heights"
        )));
    }
    Ok(heights.from..=heights.to)
}

/// One page of what was found, in the order asked for, and how many there are.
fn page<T>(mut found: Vec<T>, params: &Params) -> Result<(Vec<T>, usize), RpcError> {
    match params.text("order_by")?.as_deref() {
        None | Some("" | "asc") => {}
        Some("desc") => found.reverse(),
        Some(_) => return Err(RpcError::params("order_by must be asc or desc")),
    }
    let total = found.len();
    let per_page = params.number("per_page")?.unwrap_or(30).clamp(1, PER_PAGE_MAX);
    let number = params.number("page")?.unwrap_or(1).max(1);
    let skip = usize::try_from((number - 1).saturating_mul(per_page)).unwrap_or(usize::MAX);
    if skip > 0 && skip >= total {
        return Err(RpcError::internal(format!("page {number} is beyond the {total} found")));
    }
    Ok((found.into_iter().skip(skip).take(per_page as usize).collect(), total))
}

fn query(params: &Params) -> Result<String, RpcError> {
    params
        .text("query")?
        .filter(|query| !query.is_empty())
        .ok_or_else(|| RpcError::params("query is missing"))
}

pub(super) fn blocks(view: &View, params: &Params) -> Result<Value, RpcError> {
    let heights: Vec<u64> = match find(view, &query(params)?, "block.height")? {
        (Some(places), _) => {
            let of_blocks = places.into_iter().filter(|(_, index)| *index == records::OF_BLOCK);
            of_blocks.map(|(height, _)| height).collect()
        }
        (None, heights) => scanned(heights)?.collect(),
    };
    let (shown, total) = page(heights, params)?;
    let blocks: Result<Vec<_>, _> =
        shown.into_iter().map(|height| methods::block_json(view, height)).collect();
    Ok(json!({ "blocks": blocks?, "total_count": total.to_string() }))
}

pub(super) fn transactions(view: &View, params: &Params) -> Result<Value, RpcError> {
    let query = query(params)?;
    let by_hash = parse(&query)?.into_iter().find(|condition| condition.name == "tx.hash");
    let places: Vec<(u64, u32)> = if let Some(condition) = by_hash {
        let hash = unhex(&condition.value).and_then(|hash| hash.try_into().ok());
        let hash = hash.ok_or_else(|| RpcError::params("tx.hash must be 64 hexadecimal digits"))?;
        records::transaction_place(view, &hash)?.into_iter().collect()
    } else {
        match find(view, &query, "tx.height")? {
            (Some(places), _) => {
                places.into_iter().filter(|(_, index)| *index != records::OF_BLOCK).collect()
            }
            (None, heights) => {
                let mut places = Vec::new();
                for height in scanned(heights)? {
                    let count = methods::block_at(view, height)?.data.map_or(0, |data| data.txs.len());
                    places.extend((0..count as u32).map(|index| (height, index)));
                }
                places
            }
        }
    };
    let (shown, total) = page(places, params)?;
    let prove = params.flag("prove")?;
    let txs: Result<Vec<_>, _> =
        shown.into_iter().map(|place| transaction_json(view, place, prove)).collect();
    Ok(json!({ "txs": txs?, "total_count": total.to_string() }))
}

pub(super) fn transaction(view: &View, params: &Params) -> Result<Value, RpcError> {
    let hash = params.base64("hash")?.and_then(|hash| <[u8; 32]>::try_from(hash).ok());
    let hash = hash.ok_or_else(|| RpcError::params("hash must be 32 bytes"))?;
    let place = records::transaction_place(view, &hash)?;
    let place = place.ok_or_else(|| RpcError::internal(format!("tx ({}) not found", hex(&hash))))?;
    transaction_json(view, place, params.flag("prove")?)
}

/// - `prove`: with its proof under the `data_hash` of the block's header.
fn transaction_json(view: &View, (height, index): (u64, u32), prove: bool) -> Result<Value, RpcError> {
    let missing = || RpcError::internal(format!("no transaction {index} is stored at height {height}"));
    let block = methods::block_at(view, height)?;
    let results = records::results_at(view, height)?.ok_or_else(missing)?;
    let txs = block.data.map(|data| data.txs).unwrap_or_default();
    let tx = txs.get(index as usize).ok_or_else(missing)?;
    let result = results.0.tx_results.get(index as usize).ok_or_else(missing)?;
    use sha2::Digest;
    let mut shown = json!({
        "hash": hex(&sha2::Sha256::digest(tx)),
        "height": height.to_string(),
        "index": index,
        "tx_result": shapes::tx_result(result),
        "tx": shapes::base64(tx),
    });
    if prove {
        shown["proof"] = shapes::tx_proof(&txs, index).ok_or_else(missing)?;
    }
    Ok(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_or_refused() {
        let condition = |name: &str, operator, value: &str| Condition {
            name: name.into(),
            operator,
            value: value.into(),
        };
        assert_eq!(
            parse("tm.event='Tx' AND send_packet.packet_sequence = 5 AND tx.height >= 7 AND a.b EXISTS")
                .expect("valid"),
            [
                condition("tm.event", Operator::Equal, "Tx"),
                condition("send_packet.packet_sequence", Operator::Equal, "5"),
                condition("tx.height", Operator::AtLeast, "7"),
                condition("a.b", Operator::Exists, ""),
            ]
        );
        assert_eq!(parse("a='x AND y'").expect("valid"), [condition("a", Operator::Equal, "x AND y")]);
        for wrong in ["", "a", "a ~ 3", "a='x", "a=1 OR b=2", "= 3", "nonsense ="] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        let mut heights = Heights { from: 1, to: 9 };
        heights.narrow(&condition("h", Operator::Above, "3")).expect("valid");
        heights.narrow(&condition("h", Operator::AtMost, "7")).expect("valid");
        assert_eq!(heights, Heights { from: 4, to: 7 });
    }
}
