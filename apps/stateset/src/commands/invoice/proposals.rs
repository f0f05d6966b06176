//! What a company has proposed itself: where it stands, why it was declined, and taking it back.

use clap::Args;
use stateset_node_client::{CallError, Company, Flow};

use super::nodes::company;
use super::shown::{Names, proposed};
use super::{OrgArgs, RequestArgs};
use crate::context::Context;
use crate::error::{CliError, printable};

#[derive(Debug, Args)]
pub struct ProposalsArgs {
    #[command(flatten)]
    pub org: OrgArgs,
    /// Also those that are over, with the reason where they were declined
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, Args)]
pub struct WithdrawArgs {
    #[command(flatten)]
    pub request: RequestArgs,
    /// What the other companies are told
    #[arg(long, default_value = "withdrawn")]
    pub reason: String,
}

/// How a proposal stands, for a person.
fn standing(names: &Names, flow: &Flow) -> String {
    let waits: Vec<String> = flow.waits_for.iter().map(|id| names.name(id)).collect();
    match (flow.phase.as_str(), waits.is_empty()) {
        ("final", _) => format!("final, in transaction {}", flow.tx_id),
        ("ended", _) => {
            let (code, reason) = flow.ended();
            format!("ended, {code}: {}", printable(&reason))
        }
        (_, false) => format!("waits for {}", waits.join(", ")),
        (phase, true) => phase.to_owned(),
    }
}

/// What the company itself proposes.
fn is_ours(flow: &Flow) -> bool {
    flow.from.is_none()
}

/// Also what is over, if `all`.
fn proposals(node: &Company, all: bool) -> Result<Vec<Flow>, CallError> {
    node.all_flows(!all, is_ours)
}

pub fn list(context: &Context, args: &ProposalsArgs) -> Result<(), CliError> {
    let node = company(context, &args.org.org)?;
    let (found, names) = (proposals(&node, args.all)?, Names::of(context));
    let mut text = String::new();
    for flow in &found {
        text += &format!("{}  {}: {}\n", flow.flow_id, flow.step(), standing(&names, flow));
        text += &proposed(&node, &names, flow)?;
    }
    if found.is_empty() {
        text += if args.all { "Nothing was proposed." } else { "No proposal waits for others." };
    }
    context.out.result(&found, &text);
    Ok(())
}

pub fn withdraw(context: &Context, args: &WithdrawArgs) -> Result<(), CliError> {
    let (org, reference) = (&args.request.org.org, &args.request.request);
    let node = company(context, org)?;
    let flow = node.one_flow("proposals", reference, is_ours)?.ok_or_else(|| {
        CliError::input("NO_SUCH_PROPOSAL", format!("{org} proposes nothing about {reference}"))
            .hint("see `stateset invoice proposals`")
    })?;
    let flow = node.withdraw(&flow.flow_id, &args.reason)?;
    context.out.result(&flow, &format!("Withdrawn: {} of {reference}.", flow.step()));
    Ok(())
}
