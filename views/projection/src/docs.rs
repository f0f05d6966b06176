//! The page of the book, written from the table.

use std::fmt::Write as _;

use crate::field::{Field, Need};
use crate::machine::{Machine, Transition};
use crate::machines::MACHINES;

const HEAD: &str = include_str!("docs/head.md");

/// The page `docs/developer/projections.md`.
pub fn page() -> String {
    let mut out = HEAD.to_owned();
    for machine in MACHINES {
        section(&mut out, machine);
    }
    out
}

fn section(out: &mut String, machine: &Machine) {
    let Machine { entity, about, is_own_only, states, transitions } = machine;
    let states = states.iter().map(|state| format!("`{state}`")).collect::<Vec<_>>().join(", ");
    let _ = write!(out, "\n### {entity}\n\n{about}\n\nStates: {states}.\n\n");
    if *is_own_only {
        out.push_str("Only the sequencer's own agent tells of it; events of others change nothing.\n\n");
    }
    out.push_str("| Event | From | To | Members of the payload | Rule |\n|---|---|---|---|---|\n");
    for Transition { event, from, to, fields, rule } in *transitions {
        let from = if from.is_empty() { "absent".to_owned() } else { from.join(", ") };
        let fields = fields.iter().map(member).collect::<Vec<_>>().join("; ");
        let _ = writeln!(
            out,
            "| `{event}` | {from} | {} | {fields} | {} |",
            to.unwrap_or("unchanged"),
            rule.map_or("", |(words, _)| words),
        );
    }
}

fn member(field: &Field) -> String {
    let need = match field.need {
        Need::Required => String::new(),
        Need::Optional => ", optional".to_owned(),
        Need::Text(text) => format!(", else {text}"),
        Need::Integer(number) => format!(", else {number}"),
        Need::EmptyList => ", else `[]`".to_owned(),
        Need::EmptyObject => ", else `{}`".to_owned(),
    };
    format!("`{}` ({}{need})", field.name, field.kind.describe())
}
