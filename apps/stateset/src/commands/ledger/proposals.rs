//! `stateset ledger propose`, `proposals` and `vote` (network.md 12.1).

use clap::Args;
use serde_json::json;
use stateset_keystore::KeyName;
use statesetd_app::{Choice, ProposeArgs, proposal, proposal_lines, proposal_view, proposals};

use super::{NodeArgs, node};
use crate::context::Context;
use crate::error::{CliError, printable_lines};
use crate::ledger::acting::{NamesHere, company_or_founder};

#[derive(Debug, Args)]
pub struct ProposeCommand {
    #[command(flatten)]
    pub what: ProposeArgs,
    /// The company that proposes it, by its name here [default: the founder of the ledger of this machine]
    #[arg(long, value_name = "ORG", global = true)]
    pub org: Option<KeyName>,
}

#[derive(Debug, Args)]
pub struct ProposalsArgs {
    /// The proposal's number [default: all]
    pub proposal: Option<u64>,
    /// Only those that are not decided or carried out yet
    #[arg(long, conflicts_with = "proposal")]
    pub open: bool,
    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(Debug, Args)]
pub struct VoteArgs {
    /// The proposal's number
    pub proposal: u64,
    /// What the member says; a vote before it is replaced
    #[arg(value_enum, default_value = "yes")]
    pub choice: Choice,
    /// The company that votes, by its name here [default: the founder of the ledger of this machine]
    #[arg(long, value_name = "ORG")]
    pub org: Option<KeyName>,
}

pub fn propose(context: &Context, args: &ProposeCommand) -> Result<(), CliError> {
    let member = company_or_founder(context, args.org.as_ref())?;
    let proposal = args.what.propose(&member, &NamesHere(context))?;
    let view = proposal_view(&member.rpc, &proposal)?;
    context.out.result(&view, &printable_lines(&proposal_lines(&proposal)));
    Ok(())
}

pub fn list(context: &Context, args: &ProposalsArgs) -> Result<(), CliError> {
    let rpc = node(context, args.node.node.as_deref())?;
    if let Some(id) = args.proposal {
        let proposal = proposal(&rpc, id)?;
        let view = proposal_view(&rpc, &proposal)?;
        context.out.result(&view, &printable_lines(&proposal_lines(&proposal)));
        return Ok(());
    }
    let mut all = proposals(&rpc)?;
    all.retain(|proposal| !args.open || proposal.status.is_open());
    let lines: String = all.iter().map(proposal_lines).collect();
    context.out.result(&json!(all), if all.is_empty() { "There is none." } else { &lines });
    Ok(())
}

pub fn vote(context: &Context, args: &VoteArgs) -> Result<(), CliError> {
    let member = company_or_founder(context, args.org.as_ref())?;
    let voted = statesetd_app::vote(&member, args.proposal, args.choice)?;
    context.out.result(&voted.view(), &voted.line());
    Ok(())
}
