//! Lists of a node's state, by the node's word: all pages of them (network.md 14).

use stateset_abci::comet::Rpc;
use stateset_ledger_types::codec::{Decode, List};
use stateset_ledger_types::entity::Entity;
use stateset_ledger_types::governance::Proposal;

use crate::member::read;
use crate::output::Failure;

/// Most rows of a page.
pub(crate) const ROWS_MAX: usize = 500;
/// A node that lies about where its list ends keeps nobody for ever.
const PAGES_MAX: usize = 100_000;

/// Every member of the ledger, also those that are suspended or revoked, by their ids.
///
/// # Errors
/// A node that does not answer, or not with such a list.
pub fn entities(rpc: &Rpc) -> Result<Vec<Entity>, Failure> {
    all(rpc, "/ssn/entities", |one: &Entity| one.entity_id)
}

/// Every proposal, oldest first.
///
/// # Errors
/// As [`entities`].
pub fn proposals(rpc: &Rpc) -> Result<Vec<Proposal>, Failure> {
    all(rpc, "/ssn/gov/proposals", |one: &Proposal| one.id)
}

/// Every page of the list at `path`. Each must go on behind the last one.
fn all<T: Decode, I: Ord + ToString>(rpc: &Rpc, path: &str, id: impl Fn(&T) -> I) -> Result<Vec<T>, Failure> {
    let (mut all, mut asked): (Vec<T>, _) = (Vec::new(), path.to_owned());
    for _ in 0..PAGES_MAX {
        let page: List<T, ROWS_MAX> = read(rpc, &asked)?.unwrap_or_default();
        let Some(last) = page.iter().last().map(&id) else { return Ok(all) };
        if all.last().is_some_and(|before| last <= id(before)) {
            break;
        }
        asked = format!("{path}?after={}", last.to_string());
        all.extend(page.into_vec());
    }
    Err(Failure::failed("NODE_UNREADABLE", format!("{path}: its pages do not go on behind each other")))
}
