//! What goes into a block and which blocks are voted for (section 6.4).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stateset_ledger_types::envelope::Request;
use stateset_ledger_types::ids::{EntityId, SpentKey};
use stateset_ledger_types::stateless::Checked;
use stateset_ledger_types::{Code, Refusal, StateKey};

use crate::application::{Block, Fault, Proposal};
use crate::context::Context;
use crate::execute::Check;
use crate::gas;
use crate::notary;
use crate::overlay::{Overlay, Stop};
use crate::state::StateReader;

/// Places of the transactions to propose, in order of arrival but for those of one submitter, which go by their sequences: those
/// that pass section 4.1 and steps 1 and 2 of section 5.1, the first of any that consume the same state, within the block's
/// bounds. After one that a later block may take, those of its submitter wait too: a higher sequence in this block would refuse
/// it for ever.
///
/// # Errors
/// [`Fault`].
pub fn prepare(
    state: &dyn StateReader,
    proposal: &Proposal<'_>,
    check: Check<'_>,
) -> Result<Vec<usize>, Fault> {
    let mut overlay = Overlay::new(state);
    let mut context = Context::load(&overlay, proposal.height, proposal.time_ms)?;
    let bytes_max = proposal.bytes_max.min(context.params.max_block_bytes);
    let gas_max = context.params.max_block_gas;
    let (mut bytes, mut gas) = (0u64, 0u64);
    let mut consumed: BTreeSet<SpentKey> = BTreeSet::new();
    let mut ids = BTreeSet::new();
    let mut waiting: BTreeSet<EntityId> = BTreeSet::new();
    let mut chosen = Vec::new();
    let offered = proposal.transactions.iter().enumerate();
    let mut offered: Vec<Offered> =
        offered.filter_map(|(place, tx)| Some((place, check(tx, &context).ok()?))).collect();
    order_by_sequence(&overlay, &mut offered)?;
    for (place, checked) in offered {
        let (tx_bytes, tx_gas) =
            (proposal.transactions[place].len() as u64, gas::gas(&checked, &context.params));
        let submitter = checked.request().submission().entity;
        if waiting.contains(&submitter) {
            continue;
        }
        if bytes + tx_bytes > bytes_max || gas + tx_gas > gas_max {
            // What fits no block holds nobody up.
            if tx_bytes <= context.params.max_block_bytes && tx_gas <= gas_max {
                waiting.insert(submitter);
            }
            continue;
        }
        if checked.spent().iter().any(|spent| consumed.contains(spent)) || ids.contains(checked.tx_id()) {
            continue;
        }
        let is_new = match checked.request() {
            Request::Governance(_) => Ok(()),
            _ => notary::refuse_notarised(&overlay, checked.tx_id()),
        };
        match is_new.and_then(|()| notary::admit(&overlay, &context, &checked).map(|_| ())) {
            Ok(()) => {}
            Err(Stop::Refused(Refusal { code: Code::Quota, .. }))
                if context.quota.contains_key(&submitter) =>
            {
                waiting.insert(submitter);
                continue;
            }
            Err(Stop::Refused(_)) => continue,
            Err(Stop::Fault(fault)) => return Err(fault),
        }
        notary::charge(&mut overlay, &mut context, &checked);
        consumed.extend(checked.spent());
        ids.insert(*checked.tx_id());
        bytes += tx_bytes;
        gas += tx_gas;
        chosen.push(place);
    }
    Ok(chosen)
}

/// A transaction's place among those that were offered, and what it says.
type Offered = (usize, Arc<Checked>);

/// Puts the transactions of each submitter into the order of their sequences, in the places that they have: peers gossip side
/// by side, so that a pool may hold a later one first. What is used up already goes behind, and takes no other's place.
fn order_by_sequence(overlay: &Overlay<'_>, offered: &mut [Offered]) -> Result<(), Fault> {
    let mut of_submitter: BTreeMap<EntityId, Vec<usize>> = BTreeMap::new();
    for (at, (_, checked)) in offered.iter().enumerate() {
        of_submitter.entry(checked.request().submission().entity).or_default().push(at);
    }
    let sequence = |(_, checked): &Offered| checked.request().submission().seq;
    for (submitter, places) in of_submitter {
        if places.is_sorted_by_key(|at| sequence(&offered[*at])) {
            continue;
        }
        let last: Option<u64> = overlay.get(&StateKey::seq(&submitter))?;
        let mut theirs: Vec<Offered> = places.iter().map(|at| offered[*at].clone()).collect();
        theirs.sort_by_key(|one| (Some(sequence(one)) <= last, sequence(one)));
        for (at, one) in places.into_iter().zip(theirs) {
            offered[at] = one;
        }
    }
    Ok(())
}

/// Whether every transaction decodes and passes section 4.1, and the block keeps to its bounds. Conflicts over states are
/// settled in execution, so that an honest proposer with a stale view is never rejected.
///
/// # Errors
/// [`Fault`].
pub fn process(state: &dyn StateReader, block: &Block<'_>, check: Check<'_>) -> Result<bool, Fault> {
    let overlay = Overlay::new(state);
    let context = Context::load(&overlay, block.height, block.time_ms)?;
    let (mut bytes, mut gas) = (0u64, 0u64);
    for tx in &block.transactions {
        let Ok(checked) = check(tx, &context) else { return Ok(false) };
        bytes += tx.len() as u64;
        gas += gas::gas(&checked, &context.params);
    }
    Ok(bytes <= context.params.max_block_bytes && gas <= context.params.max_block_gas)
}
