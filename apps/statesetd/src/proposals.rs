//! Proposals of members (network.md 12.1): made, listed, voted on, carried out. `statesetd` and `stateset ledger` share it.

mod actions;
mod kinds;
mod told;

use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use stateset_abci::comet::Rpc;
use stateset_ledger_types::codec::{Decode as _, List, Text};
use stateset_ledger_types::governance::{
    Action, GovernanceMessage, Proposal, ProposalStatus, Sponsor, Submit, Vote, VoteChoice,
};
use stateset_ledger_types::ids::EntityId;

use crate::member::{Member, read};
use crate::output::Failure;

pub use kinds::ProposalKind;
use told::status_name;
pub use told::{proposal_lines, proposal_view};

const LOOK: Duration = Duration::from_millis(50);

/// What is proposed, and how.
#[derive(Debug, Args)]
pub struct ProposeArgs {
    #[command(subcommand)]
    pub kind: ProposalKind,
    /// What the members read in the list of proposals
    #[arg(long, global = true, default_value = "")]
    pub title: String,
    /// Ask the notaries alone: two thirds of them carry it out at once. Of a suspension; circuits always are
    #[arg(long, global = true)]
    pub expedited: bool,
    /// Vote for it, too, and wait until it is carried out
    #[arg(long, global = true)]
    pub vote: bool,
    /// With --vote: seconds to wait for the votes of other members
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 60)]
    pub wait: u64,
}

/// What a member says of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Choice {
    Yes,
    No,
    /// Counts for the quorum alone
    Abstain,
    /// No, and against its being proposed at all: enough of these refuse it whatever the others say
    Veto,
}

impl From<Choice> for VoteChoice {
    fn from(choice: Choice) -> Self {
        match choice {
            Choice::Yes => Self::Yes,
            Choice::No => Self::No,
            Choice::Abstain => Self::Abstain,
            Choice::Veto => Self::NoWithVeto,
        }
    }
}

/// How members are named to a command, and what is known of them there.
pub trait Directory {
    /// # Errors
    /// Names `option` where `name` is nobody's.
    fn entity(&self, option: &str, name: &str) -> Result<EntityId, Failure>;
    /// DER of the member's certificate, where it is known.
    fn certificate(&self, entity: &EntityId) -> Option<Vec<u8>>;
}

/// Members by their ids alone.
pub struct Ids;

impl Directory for Ids {
    fn entity(&self, option: &str, name: &str) -> Result<EntityId, Failure> {
        name.parse().map_err(|_| {
            Failure::input("BAD_NAME", format!("{option} {name}: give the member's id of 40 hex digits"))
        })
    }

    fn certificate(&self, _entity: &EntityId) -> Option<Vec<u8>> {
        None
    }
}

impl ProposeArgs {
    /// Proposes it as `member`. With --vote it is carried out at the return.
    ///
    /// # Errors
    /// Input that is wrong, and refusals of the ledger by its codes.
    pub fn propose(&self, member: &Member, directory: &dyn Directory) -> Result<Proposal, Failure> {
        let action = self.kind.action(&member.rpc, directory)?;
        let expedited = self.expedited || action.is_only_expedited();
        let id = propose(member, &self.title, action, expedited)?;
        if self.vote {
            decide(member, id, Duration::from_secs(self.wait))?;
        }
        proposal(&member.rpc, id)
    }
}

/// Returns the proposal's number.
///
/// # Errors
/// Refusals of the ledger by its codes.
pub fn propose(member: &Member, title: &str, action: Action, expedited: bool) -> Result<u64, Failure> {
    let title =
        Text::new(title).map_err(|problem| Failure::input("BAD_TEXT", format!("--title: {problem}")))?;
    let actions = List::new([action]).map_err(|problem| Failure::failed("INTERNAL", problem))?;
    let submit = Submit { title, actions, expedited };
    let submitted = member.govern(&GovernanceMessage::Submit(Box::new(submit)))?;
    u64::from_sce(&submitted.data).map_err(|error| Failure::failed("NODE_UNREADABLE", error))
}

/// A proposal by its number.
///
/// # Errors
/// NOT_FOUND.
pub fn proposal(rpc: &Rpc, id: u64) -> Result<Proposal, Failure> {
    let missing = || Failure::input("NOT_FOUND", format!("there is no proposal {id}"));
    read(rpc, &format!("/ssn/gov/proposals/{id}"))?.ok_or_else(missing)
}

/// What a vote did.
pub struct Voted {
    pub proposal: Proposal,
    /// Else it still lacks sponsors.
    pub counts: bool,
}

impl Voted {
    pub fn view(&self) -> Value {
        let Proposal { id, status, deadline_height, .. } = &self.proposal;
        json!({"proposal": id, "status": status, "voted": self.counts,
            "deadline_height": deadline_height})
    }

    pub fn line(&self) -> String {
        let Proposal { id, status, deadline_height: height, .. } = &self.proposal;
        match (self.counts, status) {
            (true, ProposalStatus::Voting) => {
                format!("voted on proposal {id}; votes are counted at height {height}")
            }
            (true, status) => format!("voted on proposal {id}; it is {}", status_name(*status)),
            (false, _) => format!("proposal {id} still lacks sponsors; it expires at height {height}"),
        }
    }
}

/// Sponsors a proposal that has too few sponsors, where the vote is yes, and votes on one that is voted on. A vote that was
/// cast before is replaced.
///
/// # Errors
/// NOT_FOUND, BAD_TRANSITION for one that is decided, and refusals of the ledger.
pub fn vote(member: &Member, id: u64, choice: Choice) -> Result<Voted, Failure> {
    let mut found = proposal(&member.rpc, id)?;
    let own = found.sponsors.contains(&member.entity);
    if found.status == ProposalStatus::Submitted && choice == Choice::Yes && !own {
        member.govern(&GovernanceMessage::Sponsor(Sponsor { proposal: id }))?;
        found = proposal(&member.rpc, id)?;
    }
    match found.status {
        ProposalStatus::Submitted => Ok(Voted { proposal: found, counts: false }),
        ProposalStatus::Voting => {
            let vote = Vote { proposal: id, choice: choice.into() };
            member.govern(&GovernanceMessage::Vote(vote))?;
            // A vote of the notaries may have carried it out.
            Ok(Voted { proposal: proposal(&member.rpc, id)?, counts: true })
        }
        status => {
            let said = format!("proposal {id} is {}: nobody votes on it any more", status_name(status));
            Err(Failure::failed("BAD_TRANSITION", said))
        }
    }
}

/// Votes for a proposal until it is executed. Blocks come with requests where one process orders, and votes count in
/// blocks, so the vote is said again until it is over.
///
/// # Errors
/// NOT_EXECUTED where it ended otherwise, or did not end in time; refusals of the ledger.
pub fn decide(member: &Member, id: u64, wait: Duration) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        let found = proposal(&member.rpc, id)?;
        match found.status {
            ProposalStatus::Executed => return Ok(()),
            ProposalStatus::Voting => {
                let vote = Vote { proposal: id, choice: VoteChoice::Yes };
                match member.govern(&GovernanceMessage::Vote(vote)) {
                    // Voting ended with this block.
                    Err(failure) if failure.code == "BAD_TRANSITION" => {}
                    other => drop(other?),
                }
            }
            ProposalStatus::Submitted | ProposalStatus::Passed => std::thread::sleep(LOOK),
            ended => {
                let said = format!("proposal {id} is {ended:?}: {}", found.reason);
                return Err(Failure::failed("NOT_EXECUTED", said));
            }
        }
        if begun.elapsed() > wait {
            let said = format!("proposal {id} is {} after {wait:?}", status_name(found.status));
            return Err(Failure::failed("NOT_EXECUTED", said));
        }
    }
}
