//! What a proof is about, in words: a proof that holds misleads whoever takes its number or its policy for another.

use std::fmt::Write as _;

use ves::compliance::Policy;
use ves_stark_primitives::FieldDescription;
use ves_stark_primitives::clauses::POLICY_ID;

/// A committed number for a person, such as `amount at total, USD, 2 digits after the point`. It holds what the prover
/// wrote, but for what steers a terminal.
pub fn number(field: &FieldDescription) -> String {
    let place = match field.path() {
        "" => "at no path".to_owned(),
        path => format!("at {path}"),
    };
    let unit = if field.unit().is_empty() { "no unit" } else { field.unit() };
    printable(&format!("{} {place}, {unit}, {} digits after the point", field.name(), field.exponent()))
}

/// The same for a program, by the names that the statement has for it.
pub fn number_json(field: &FieldDescription) -> serde_json::Value {
    serde_json::json!({
        "name": field.name(), "path": field.path(), "type": field.kind(), "unit": field.unit(),
        "exponent": field.exponent(),
    })
}

/// A policy on one line; a composed one has room for 32 KiB of clauses, and is told by its hash.
pub fn policy(policy: &Policy) -> String {
    match policy.id() {
        POLICY_ID => format!("{POLICY_ID} {}", policy.hash()),
        id => printable(&format!("{id} {}", policy.params())),
    }
}

/// Deployment and end of a statement; `valid_until` in Unix seconds.
pub fn context(chain_context: &str, valid_until: Option<u64>) -> String {
    let end =
        valid_until.map_or_else(|| "no end".to_owned(), |until| format!("until {until} (Unix seconds)"));
    printable(&format!("{chain_context}, {end}"))
}

/// The lines under a verdict.
pub fn lines(
    policy_line: &str,
    fields: &[&FieldDescription],
    chain_context: &str,
    valid_until: Option<u64>,
) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        write!(text, "\n  {name:<12}{value}").expect("a string takes every text");
    };
    line("policy", policy_line);
    fields.iter().for_each(|field| line("number", &number(field)));
    line("deployment", &context(chain_context, valid_until));
    text
}

/// One line, whatever a proof file says.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
