//! What a company has proposed itself, and what others ask of it: where it stands, why it ended, and taking it back.

use clap::Args;
use stateset_node_client::{CallError, Company, Flow};

use super::nodes::company;
use super::shown::{Names, proposed};
use super::{OrgArgs, RequestArgs};
use crate::context::Context;
use crate::error::{CliError, printable};

#[derive(Debug, Args)]
pub struct FlowsArgs {
    #[command(flatten)]
    pub org: OrgArgs,
    /// Also those that are signed or over, with the reason where they came to nothing
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

pub fn list(context: &Context, args: &FlowsArgs) -> Result<(), CliError> {
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

/// What others propose: what this company is asked to sign, and if all are asked for how the rest stands.
pub fn requests(context: &Context, args: &FlowsArgs) -> Result<(), CliError> {
    let node = company(context, &args.org.org)?;
    let is_shown = |flow: &Flow| if args.all { flow.from.is_some() } else { flow.is_asked() };
    let (found, names) = (node.all_flows(!args.all, is_shown)?, Names::of(context));
    let mut text = String::new();
    for flow in &found {
        let from = flow.from.as_ref().map_or_else(|| "?".to_owned(), |id| names.name(id));
        let stands = match flow.is_asked() {
            true => String::new(),
            false => format!(": {}", standing(&names, flow)),
        };
        text += &format!("{}  {} by {from}{stands}\n", flow.flow_id, flow.step());
        text += &proposed(&node, &names, flow)?;
    }
    if found.is_empty() {
        text += if args.all { "Nobody has asked for anything." } else { "Nobody asks for anything." };
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
