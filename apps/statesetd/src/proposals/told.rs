//! What is told of proposals, to programs and to people.

use std::fmt::Write as _;

use serde_json::{Value, json};
use stateset_abci::comet::Rpc;
use stateset_ledger_types::codec::List;
use stateset_ledger_types::governance::{Action, Proposal, ProposalStatus, VoteChoice};

use crate::lists::ROWS_MAX;
use crate::member::read;
use crate::output::Failure;

/// A proposal with the votes that were cast on it so far, by heads.
///
/// # Errors
/// A node that does not answer.
pub fn proposal_view(rpc: &Rpc, proposal: &Proposal) -> Result<Value, Failure> {
    let path = format!("/ssn/gov/proposals/{}/votes", proposal.id);
    let votes: List<VoteChoice, ROWS_MAX> = read(rpc, &path)?.unwrap_or_default();
    let count = |choice| votes.iter().filter(|vote| **vote == choice).count();
    let mut view = json!(proposal);
    view["votes"] = json!({
        "yes": count(VoteChoice::Yes), "no": count(VoteChoice::No),
        "abstain": count(VoteChoice::Abstain), "veto": count(VoteChoice::NoWithVeto),
    });
    Ok(view)
}

/// A status as the state's JSON spells it.
pub(super) fn status_name(status: ProposalStatus) -> String {
    format!("{status:?}").to_uppercase()
}

/// What the height is that a status waits for.
fn until(proposal: &Proposal) -> String {
    let height = proposal.deadline_height;
    match proposal.status {
        ProposalStatus::Submitted => format!(", lacks sponsors, expires at height {height}"),
        ProposalStatus::Voting => format!(", votes count at height {height}"),
        ProposalStatus::Passed => format!(", carried out at height {height}"),
        _ if proposal.reason.is_empty() => String::new(),
        _ => format!(": {:?}", proposal.reason.as_str()),
    }
}

/// A proposal in lines: what it does, where it stands, who sponsors it. What members wrote moves no terminal.
pub fn proposal_lines(proposal: &Proposal) -> String {
    let status = status_name(proposal.status);
    let title = proposal.content.title.as_str();
    let mut lines = format!("Proposal {}  {status}{}\n", proposal.id, until(proposal));
    if !title.is_empty() {
        let _ = writeln!(lines, "  title     {title:?}");
    }
    for action in proposal.content.actions.iter() {
        let _ = writeln!(lines, "  action    {}", action_line(action));
    }
    let sponsors: Vec<String> = proposal.sponsors.iter().map(ToString::to_string).collect();
    let _ = writeln!(lines, "  sponsors  {}", sponsors.join(", "));
    lines.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

fn action_line(action: &Action) -> String {
    let about = match action {
        // Without keys and certificates.
        Action::EntityAdmit(record) | Action::EntityUpdate(record) => {
            format!("{} {:?}", record.record.entity_id, record.record.name.as_str())
        }
        Action::RootChange(change) => format!("root {}", change.number),
        // Behind the name of its kind.
        other => match json!(other) {
            Value::Object(fields) => fields.into_iter().map(|(_, body)| body.to_string()).collect(),
            said => said.to_string(),
        },
    };
    format!("{} {about}", action.name())
}

#[cfg(test)]
mod tests {
    use stateset_ledger_types::codec::{List, Set, Text};
    use stateset_ledger_types::governance::{EntityRevoke, Submit};
    use stateset_ledger_types::ids::EntityId;

    use super::*;

    #[test]
    fn what_a_member_wrote_stays_in_its_line() {
        let reason = Text::new("a\u{9b}2J\u{1b}[2J\nb").unwrap();
        let action = Action::EntityRevoke(EntityRevoke { entity: EntityId([7; 20]), reason });
        let title = Text::new("x\n  action    Text\u{1b}").unwrap();
        let content = Submit { title, actions: List::new([action]).unwrap(), expedited: false };
        let proposal = Proposal {
            id: 3,
            content,
            status: ProposalStatus::Voting,
            sponsors: Set::default(),
            submitted_height: 1,
            deadline_height: 9,
            reason: Text::default(),
        };
        let lines = proposal_lines(&proposal);
        assert_eq!(lines.lines().count(), 4, "{lines}");
        assert!(lines.starts_with("Proposal 3  VOTING, votes count at height 9\n"), "{lines}");
        assert!(lines.chars().all(|c| c == '\n' || !c.is_control()), "{lines}");
    }
}
