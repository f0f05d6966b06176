//! The page of the book, written from the table.

use std::fmt::Write as _;

use crate::prompts::PROMPTS;
use crate::resources::TEMPLATES;
use crate::table::{Argument, Effect, Kind, Need, TOOLS, Tool};

const HEAD: &str = include_str!("docs/head.md");

/// The page `docs/developer/mcp-tools.md`.
pub fn page() -> String {
    let mut out = HEAD.to_owned();
    for tool in TOOLS.iter().flat_map(|group| group.iter()) {
        section(&mut out, tool);
    }
    out.push_str("\n## Resources\n\n| URI | What it is |\n|---|---|\n");
    for template in TEMPLATES {
        let _ = writeln!(out, "| `{}` | {} |", template.uri, template.about);
    }
    out.push_str("\n## Prompts\n\n| Prompt | What it does | Arguments |\n|---|---|---|\n");
    for prompt in PROMPTS {
        let arguments: Vec<String> = prompt
            .arguments
            .iter()
            .map(|argument| {
                format!(
                    "`{}`{}: {}",
                    argument.name,
                    if argument.is_required { "" } else { ", optional" },
                    argument.about
                )
            })
            .collect();
        let _ = writeln!(out, "| `{}` | {} | {} |", prompt.name, prompt.about, arguments.join("; "));
    }
    out
}

fn section(out: &mut String, tool: &Tool) {
    let _ = write!(out, "\n### {}\n\n{}\n\n{}.\n", tool.name, tool.about, effect(tool.effect));
    if tool.arguments.is_empty() {
        return;
    }
    out.push_str("\n| Argument | Must be | What it is |\n|---|---|---|\n");
    for Argument { name, kind, need, about } in tool.arguments {
        let need = if *need == Need::Optional { ", optional" } else { "" };
        let _ = writeln!(out, "| `{name}` | {}{need} | {about} |", describe(*kind));
    }
}

fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Read => "Reads",
        Effect::Write { destroys: false, repeats: false } => "Writes, adding; the same call again adds again",
        Effect::Write { destroys: false, repeats: true } => {
            "Writes; the same call again changes nothing more"
        }
        Effect::Write { destroys: true, repeats: false } => {
            "Writes, taking away; the same call again does it again"
        }
        Effect::Write { destroys: true, repeats: true } => {
            "Writes, taking away or over; the same call again changes nothing more"
        }
    }
}

fn describe(kind: Kind) -> String {
    match kind {
        Kind::Id => "id".to_owned(),
        Kind::Text { bytes_max } => format!("text of at most {bytes_max} bytes"),
        Kind::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Kind::Amount => "decimal text".to_owned(),
        Kind::Currency => "currency".to_owned(),
        Kind::Count { min } => format!("whole number from {min}"),
        Kind::Change => "whole number".to_owned(),
        Kind::Lines => "list of {product_id, quantity, unit_price}".to_owned(),
        Kind::Object => "object".to_owned(),
        Kind::Uuid => "UUID".to_owned(),
        Kind::Address => "`0x` and 40 or 64 hex digits".to_owned(),
        Kind::PageSize => "1 to 100".to_owned(),
        Kind::Cursor => "cursor".to_owned(),
        Kind::Day => "day, as 2030-01-31".to_owned(),
        Kind::Flag => "true or false".to_owned(),
        Kind::Proof => "proof".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn the_page_of_the_book_is_the_table() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/developer/mcp-tools.md");
        let page = super::page();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &page).unwrap();
        }
        let held = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            held == page,
            "the page changed: UPDATE_GOLDEN=1 cargo test -p stateset-mcp, then read the diff"
        );
    }
}
