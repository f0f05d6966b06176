//! How a proposal moves: sponsors, voting, delay, execution. Each wait is a row of the queue at its height.

use std::ops::ControlFlow;

use stateset_ledger_types::codec::{List, Text};
use stateset_ledger_types::entity::{Entity, EntityStatus, Role};
use stateset_ledger_types::governance::{Action, Electorate, Proposal, ProposalStatus, Threshold, Voter};
use stateset_ledger_types::{StateKey, Substore};

use super::{Effects, Tally, Verdict, actions, bases};
use crate::application::Fault;
use crate::context::Context;
use crate::overlay::{Overlay, Stop, decode};

/// Enters `status` and waits there for `blocks`.
pub(super) fn wait(
    overlay: &mut Overlay<'_>,
    effects: &mut Effects,
    proposal: &mut Proposal,
    status: ProposalStatus,
    blocks: u64,
    context: &Context,
) {
    proposal.deadline_height = context.height.saturating_add(blocks);
    enter(overlay, effects, proposal, status);
    overlay.put(StateKey::queue(proposal.deadline_height, proposal.id), &proposal.id);
}

fn enter(overlay: &mut Overlay<'_>, effects: &mut Effects, proposal: &mut Proposal, status: ProposalStatus) {
    if !status.is_open() {
        forget_certificates(proposal);
        overlay.delete(StateKey::record_bases(proposal.id));
    }
    proposal.status = status;
    effects.moved.push((proposal.id, status));
    overlay.put(StateKey::proposal(proposal.id), proposal);
}

/// Voters have judged the certificates; names of persons may stand in them, so the state keeps their hashes alone (1.1).
fn forget_certificates(proposal: &mut Proposal) {
    let mut actions = proposal.content.actions.to_vec();
    for action in &mut actions {
        if let Action::EntityAdmit(record) | Action::EntityUpdate(record) = action {
            record.certificates = List::default();
        }
    }
    proposal.content.actions = List::new(actions).expect("as many as before");
}

/// Records of all entities, by id.
pub(super) fn entities(overlay: &Overlay<'_>) -> Result<Vec<Entity>, Fault> {
    let rows = overlay.prefix(Substore::Entities, "", usize::MAX)?;
    let records = rows.iter().filter(|(key, _)| is_record(key));
    records.map(|(key, bytes)| decode(key, bytes)).collect()
}

/// Whether `count` entities are admitted. Reads no more than it takes to tell: any member may propose.
fn are_admitted(overlay: &Overlay<'_>, count: u64) -> Result<bool, Fault> {
    let mut admitted = 0;
    let from = StateKey { substore: Substore::Entities, path: Vec::new() };
    overlay.visit(from, "", |key, bytes| {
        if is_record(&key) && decode::<Entity>(&key, &bytes)?.status == EntityStatus::Admitted {
            admitted += 1;
        }
        Ok(if admitted == count { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    Ok(admitted == count)
}

/// Ids are 40 hex digits; other keys of the substore are shorter or longer.
fn is_record(key: &StateKey) -> bool {
    key.path.len() == 40
}

pub(super) fn start_if_sponsored(
    overlay: &mut Overlay<'_>,
    context: &Context,
    effects: &mut Effects,
    proposal: &mut Proposal,
) -> Result<(), Fault> {
    let sponsors = proposal.sponsors.len() as u64;
    if sponsors >= context.params.min_sponsors || !are_admitted(overlay, sponsors + 1)? {
        start_voting(overlay, context, effects, proposal)
    } else {
        Ok(())
    }
}

/// Fixes who may vote: every active entity with weight, or for an expedited proposal every active notary.
pub(super) fn start_voting(
    overlay: &mut Overlay<'_>,
    context: &Context,
    effects: &mut Effects,
    proposal: &mut Proposal,
) -> Result<(), Fault> {
    overlay.delete(StateKey::queue(proposal.deadline_height, proposal.id));
    let voters: Vec<Voter> = entities(overlay)?
        .into_iter()
        .filter(|entity| entity.is_active(context.time_ms))
        .map(|entity| Voter {
            entity: entity.entity_id,
            power: entity.voting_power,
            is_notary: entity.roles.has(Role::Notary),
        })
        .filter(|voter| if proposal.content.expedited { voter.is_notary } else { voter.power > 0 })
        .collect();
    let voters = List::new(voters)
        .map_err(|error| Fault::Corrupt { place: "entities".to_owned(), problem: error.to_string() })?;
    overlay.put(StateKey::voters(proposal.id), &Electorate { voters });
    wait(overlay, effects, proposal, ProposalStatus::Voting, context.params.voting_blocks, context);
    Ok(())
}

pub(super) fn electorate(overlay: &Overlay<'_>, id: u64) -> Result<Electorate, Fault> {
    overlay.expect(&StateKey::voters(id))
}

/// Step 4 of a block: everything whose height has come (6.3).
///
/// # Errors
/// [`Fault`].
pub fn run_queue(overlay: &mut Overlay<'_>, context: &Context, effects: &mut Effects) -> Result<(), Fault> {
    let from = StateKey { substore: Substore::Gov, path: b"queue/".to_vec() };
    let to = StateKey::queue(context.height.saturating_add(1), 0).path;
    for (key, bytes) in overlay.range(&from, &to, usize::MAX)? {
        let id: u64 = decode(&key, &bytes)?;
        let mut proposal: Proposal = overlay.expect(&StateKey::proposal(id))?;
        overlay.delete(key);
        // A row that was left behind by a proposal that moved on.
        if proposal.deadline_height > context.height {
            continue;
        }
        match proposal.status {
            ProposalStatus::Submitted => enter(overlay, effects, &mut proposal, ProposalStatus::Expired),
            ProposalStatus::Voting => end_voting(overlay, context, effects, &mut proposal)?,
            ProposalStatus::Passed => carry_out(overlay, context, effects, &mut proposal)?,
            _ => {}
        }
    }
    Ok(())
}

fn end_voting(
    overlay: &mut Overlay<'_>,
    context: &Context,
    effects: &mut Effects,
    proposal: &mut Proposal,
) -> Result<(), Fault> {
    if proposal.content.expedited {
        // The notaries did not reach two thirds in time.
        enter(overlay, effects, proposal, ProposalStatus::Rejected);
        return Ok(());
    }
    let strictest = proposal.content.actions.iter().map(|action| action.threshold()).max();
    let threshold = strictest.unwrap_or(Threshold::Majority);
    match Tally::count(overlay, proposal)?.verdict(threshold, &context.params) {
        Verdict::Passed => {
            let delay = context.params.activation_delay_blocks;
            wait(overlay, effects, proposal, ProposalStatus::Passed, delay, context);
        }
        Verdict::Rejected => enter(overlay, effects, proposal, ProposalStatus::Rejected),
        Verdict::Vetoed => enter(overlay, effects, proposal, ProposalStatus::Vetoed),
    }
    Ok(())
}

/// All actions, or FAILED with the reason.
pub(super) fn carry_out(
    overlay: &mut Overlay<'_>,
    context: &Context,
    effects: &mut Effects,
    proposal: &mut Proposal,
) -> Result<(), Fault> {
    overlay.delete(StateKey::queue(proposal.deadline_height, proposal.id));
    let before = effects.clone();
    let tried = overlay.attempt(|overlay| {
        bases::unchanged(overlay, proposal)?;
        for action in proposal.content.actions.iter() {
            actions::execute(overlay, context, effects, proposal.content.expedited, action)?;
        }
        Ok(())
    });
    match tried {
        Ok(()) => enter(overlay, effects, proposal, ProposalStatus::Executed),
        Err(Stop::Refused(refusal)) => {
            *effects = before;
            let reason: String = refusal.to_string().chars().take(200).collect();
            proposal.reason = Text::new(reason).unwrap_or_default();
            enter(overlay, effects, proposal, ProposalStatus::Failed);
        }
        Err(Stop::Fault(fault)) => return Err(fault),
    }
    Ok(())
}
