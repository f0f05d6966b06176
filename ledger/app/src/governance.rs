//! Proposals from submission to execution (section 12.1).

mod actions;
mod bases;
mod life;
mod tally;

use stateset_ledger_types::codec::{Set, Text};
use stateset_ledger_types::entity::{Entity, Role};
use stateset_ledger_types::governance::{
    Action, GovernanceMessage, Proposal, ProposalStatus, Sponsor, Submit, Vote, VoteChoice,
};
use stateset_ledger_types::{Code, Encode, Refusal, StateKey};

use crate::application::{BlockBounds, ValidatorUpdate};
use crate::context::Context;
use crate::overlay::{Overlay, Stop};

pub use actions::{bounds, put_contract};
pub use life::run_queue;
pub use tally::{Tally, Verdict};

/// What governance changed outside the tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effects {
    pub validators: Vec<ValidatorUpdate>,
    pub bounds: Option<BlockBounds>,
    /// Proposals that changed status, for events.
    pub moved: Vec<(u64, ProposalStatus)>,
}

/// Executes a message that `entity` signed. The proposal's id is the result's data.
///
/// # Errors
/// NOT_AUTHORISED, NOT_FOUND, BAD_TRANSITION, UNSUPPORTED, MALFORMED.
pub fn execute(
    overlay: &mut Overlay<'_>,
    context: &Context,
    effects: &mut Effects,
    entity: &Entity,
    message: &GovernanceMessage,
) -> Result<Vec<u8>, Stop> {
    let id = match message {
        GovernanceMessage::Submit(submit) => self::submit(overlay, context, effects, entity, submit)?,
        GovernanceMessage::Sponsor(message) => sponsor(overlay, context, effects, entity, message)?,
        GovernanceMessage::Vote(message) => vote(overlay, context, effects, entity, message)?,
    };
    Ok(id.to_sce())
}

fn submit(
    overlay: &mut Overlay<'_>,
    context: &Context,
    effects: &mut Effects,
    entity: &Entity,
    submit: &Submit,
) -> Result<u64, Stop> {
    check_content(entity, submit)?;
    let id: u64 = overlay.expect(&StateKey::next_proposal())?;
    overlay.put(StateKey::next_proposal(), &(id + 1));
    let mut proposal = Proposal {
        id,
        content: submit.clone(),
        status: ProposalStatus::Submitted,
        sponsors: Set::new([entity.entity_id]).expect("one"),
        submitted_height: context.height,
        deadline_height: context.height,
        reason: Text::default(),
    };
    bases::note(overlay, &proposal)?;
    if submit.expedited {
        // Notaries alone decide, at once; they need no sponsors.
        life::start_voting(overlay, context, effects, &mut proposal)?;
    } else {
        life::wait(
            overlay,
            effects,
            &mut proposal,
            ProposalStatus::Submitted,
            context.params.voting_blocks,
            context,
        );
        life::start_if_sponsored(overlay, context, effects, &mut proposal)?;
    }
    Ok(id)
}

fn check_content(entity: &Entity, submit: &Submit) -> Result<(), Refusal> {
    let refused = |code, said: &str| Err(Refusal::new(code, said));
    if submit.actions.is_empty() {
        return refused(Code::Malformed, "a proposal has at least one action");
    }
    for action in submit.actions.iter() {
        if submit.expedited && !action.may_be_expedited() {
            return Err(Refusal::new(Code::Malformed, format!("{} cannot be expedited", action.name())));
        }
        if !submit.expedited && action.is_only_expedited() {
            return Err(Refusal::new(Code::Malformed, format!("{} has to be expedited", action.name())));
        }
        match action {
            Action::SoftwareUpgrade(_) if !entity.roles.has(Role::Committer) => {
                return refused(Code::NotAuthorised, "an upgrade is proposed by a COMMITTER");
            }
            Action::ClientRecover(_) | Action::IbcUpgrade(_) | Action::ChannelAllow(_) => {
                return refused(Code::Unsupported, "this network has no connections to other chains");
            }
            _ => {}
        }
    }
    Ok(())
}

fn find(overlay: &Overlay<'_>, id: u64, status: ProposalStatus) -> Result<Proposal, Stop> {
    let proposal: Option<Proposal> = overlay.get(&StateKey::proposal(id))?;
    let proposal =
        proposal.ok_or_else(|| Refusal::new(Code::NotFound, format!("there is no proposal {id}")))?;
    if proposal.status != status {
        let said = format!("proposal {id} is {:?}, not {status:?}", proposal.status);
        return Err(Refusal::new(Code::BadTransition, said).into());
    }
    Ok(proposal)
}

fn sponsor(
    overlay: &mut Overlay<'_>,
    context: &Context,
    effects: &mut Effects,
    entity: &Entity,
    message: &Sponsor,
) -> Result<u64, Stop> {
    let mut proposal = find(overlay, message.proposal, ProposalStatus::Submitted)?;
    let sponsors = proposal.sponsors.iter().copied().chain([entity.entity_id]);
    let twice = |_| Refusal::new(Code::BadTransition, "you sponsor this proposal already");
    proposal.sponsors = Set::new(sponsors).map_err(twice)?;
    overlay.put(StateKey::proposal(proposal.id), &proposal);
    life::start_if_sponsored(overlay, context, effects, &mut proposal)?;
    Ok(proposal.id)
}

fn vote(
    overlay: &mut Overlay<'_>,
    context: &Context,
    effects: &mut Effects,
    entity: &Entity,
    message: &Vote,
) -> Result<u64, Stop> {
    let mut proposal = find(overlay, message.proposal, ProposalStatus::Voting)?;
    let electorate = life::electorate(overlay, proposal.id)?;
    let may = electorate.voters.iter().any(|voter| voter.entity == entity.entity_id);
    if !may {
        let said = format!("entity {} was not among the voters when voting began", entity.entity_id);
        return Err(Refusal::new(Code::NotAuthorised, said).into());
    }
    let choice: VoteChoice = message.choice;
    overlay.put(StateKey::vote(proposal.id, &entity.entity_id), &choice);
    if proposal.content.expedited && Tally::count(overlay, &proposal)?.two_thirds_of_notaries() {
        life::carry_out(overlay, context, effects, &mut proposal)?;
    }
    Ok(proposal.id)
}
