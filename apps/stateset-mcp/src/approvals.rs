//! `stateset-mcp approvals`: a person decides.

use std::fmt::Display;
use std::io::{self, Write as _};

use clap::Subcommand;
use serde_json::json;
use stateset_mcp::{Approval, Limits};

use crate::problem::Problem;
use crate::settings::{Agent, Options};

/// Approvals of one list.
const LIST_MAX: usize = 100;

#[derive(Debug, Subcommand)]
pub enum ApprovalsCommand {
    /// List calls that wait, and those that were decided, newest first
    List,
    /// Show one
    Show {
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Carry the call out
    Approve {
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Refuse the call
    Reject {
        #[arg(value_name = "ID")]
        id: String,
    },
}

pub fn run(options: &Options, command: &ApprovalsCommand) -> Result<(), Problem> {
    let agent = Agent::open(options)?;
    // A person's yes needs no limit; the running server sends what this appends.
    let desk = crate::desk(&agent, Limits::default(), None)?;
    match command {
        ApprovalsCommand::List => {
            let approvals = desk.approvals(None, LIST_MAX)?;
            if options.json {
                let bodies: Vec<_> = approvals.iter().map(Approval::body).collect();
                say(&json!({"approvals": bodies}));
            } else if approvals.is_empty() {
                say(&"No call waits for a person.");
            } else {
                approvals.iter().for_each(|approval| say(&line(approval)));
            }
        }
        ApprovalsCommand::Show { id } => tell(options, &desk.approval(id)?),
        ApprovalsCommand::Approve { id } => tell(options, &desk.approve(id)?),
        ApprovalsCommand::Reject { id } => tell(options, &desk.reject(id)?),
    }
    Ok(())
}

/// Whoever reads may stop reading.
fn say(text: &dyn Display) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

fn tell(options: &Options, approval: &Approval) {
    match options.json {
        true => say(&approval.body()),
        false => {
            say(&line(approval));
            say(&format_args!("  because    {}", printable(&approval.reason)));
            say(&format_args!("  arguments  {}", printable(&approval.arguments.to_string())));
            if let Some(answer) = &approval.answer {
                say(&format_args!("  answer     {}", printable(&answer.to_string())));
            }
        }
    }
}

fn line(approval: &Approval) -> String {
    let worth = match &approval.worth {
        Some((amount, currency)) => format!("  {amount} {currency}"),
        None => String::new(),
    };
    format!("{}  {:8}  {}  {}{worth}", approval.id, approval.state.name(), approval.created_at, approval.tool)
}

/// Arguments were written by a model or a stranger: nothing of them moves the terminal.
fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let is_hidden = matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
        match c.is_control() || is_hidden {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_wrote_does_not_move_the_terminal() {
        assert_eq!(printable("a\u{1b}[2J\u{202e}b"), "a\\u{1b}[2J\\u{202e}b");
    }
}
