//! Commands that the documents show exist: held against the golden files of the command help.

use std::collections::{BTreeMap, BTreeSet};

use crate::HELP;
use crate::check::Findings;
use crate::metadata::tracked_files;

/// Help of every command of the `stateset` binary, as its own tests keep it.
pub const STATESET_HELP: &str = "apps/stateset/tests/help.txt";
/// The same of the programs that have a name of their own.
pub const SEQUENCER_HELP: &str = "apps/stateset-sequencer/tests/help.txt";
pub const ADMIN_HELP: &str = "apps/stateset-sequencer-admin/tests/help.txt";
pub const STARK_HELP: &str = "proofs/cli/tests/help.txt";
pub const SYNC_HELP: &str = "apps/stateset-sync/tests/help.txt";
pub const NODE_HELP: &str = "apps/statesetd/tests/help.txt";

/// Each program and its golden file.
const PROGRAMS: [(&str, &str); 6] = [
    ("stateset", STATESET_HELP),
    ("stateset-sequencer", SEQUENCER_HELP),
    ("stateset-sequencer-admin", ADMIN_HELP),
    ("stateset-sync", SYNC_HELP),
    ("statesetd", NODE_HELP),
    ("ves-stark", STARK_HELP),
];

pub fn check() -> Findings {
    let mut found = Findings::default();
    let files = match tracked_files() {
        Ok(files) => files,
        Err(problem) => {
            found.problem(problem);
            return found;
        }
    };
    let mut programs = vec![("cargo xtask", Help::new("cargo xtask", HELP))];
    for (program, file) in PROGRAMS {
        match std::fs::read_to_string(file).map(|help| Help::new(program, &help)) {
            Ok(help) if help.commands.is_empty() => found.problem(format!("{file} shows no commands")),
            Ok(help) => programs.push((program, help)),
            Err(_) => {
                found.problem(format!("{file} is missing: commands shown in the documents are unchecked"))
            }
        }
    }
    for file in files.iter().filter(|file| file.ends_with(".md")) {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        for (line, command) in shown_commands(&text) {
            let called = programs.iter().find_map(|(program, help)| Some((help, after(&command, program)?)));
            if let Some(problem) = called.and_then(|(help, rest)| help.problem(rest)) {
                found.problem(format!("{file}:{line}: `{command}`: {problem}"));
            }
        }
    }
    found
}

/// What follows the name of a program, where the text begins with exactly that.
fn after<'a>(text: &'a str, program: &str) -> Option<&'a str> {
    text.strip_prefix(program).filter(|rest| rest.is_empty() || rest.starts_with(' '))
}

/// What a program understands, read from its help texts one after the other.
struct Help {
    /// Paths of commands: `event`, `event push`.
    commands: BTreeSet<String>,
    /// Other names of commands, with the path before them: `events` is `event`.
    aliases: BTreeMap<String, String>,
    text: String,
}

impl Help {
    /// Reads `Usage: PROGRAM a b [OPTIONS]` and the two-column lists under `Commands:` that follow it.
    fn new(program: &str, text: &str) -> Self {
        let text = without_colours(text);
        let (mut commands, mut aliases) = (BTreeSet::new(), BTreeMap::new());
        let (mut path, mut in_list) = (String::new(), false);
        for line in text.lines() {
            if let Some(rest) = line.trim_start().strip_prefix("Usage:") {
                let words = rest.trim().strip_prefix(program).unwrap_or("").split_whitespace();
                path = words.take_while(|word| is_command_word(word)).collect::<Vec<_>>().join(" ");
                if !path.is_empty() {
                    commands.insert(path.clone());
                }
                in_list = false;
            } else if line.trim_end() == "Commands:" {
                in_list = true;
            } else if !line.starts_with("  ") && !line.trim().is_empty() {
                in_list = false;
            } else if in_list
                && let Some(name) = line.strip_prefix("  ").and_then(|rest| rest.split_whitespace().next())
            {
                // Deeper lines continue the description of the command above.
                if !line.starts_with("   ") && is_command_word(name) {
                    let named = |name: &str| format!("{path} {name}").trim_start().to_owned();
                    aliases.extend(aliases_in(line).map(|alias| (named(alias), named(name))));
                    commands.insert(named(name));
                }
            }
        }
        Self { commands, aliases, text }
    }

    /// What is wrong with the words behind the program's name, if anything.
    fn problem(&self, rest: &str) -> Option<String> {
        let words: Vec<&str> = rest.split_whitespace().collect();
        let mut path = String::new();
        for word in words.iter().filter(|word| !word.starts_with('-')) {
            let longer = format!("{path} {word}").trim_start().to_owned();
            let longer = self.aliases.get(&longer).cloned().unwrap_or(longer);
            let has_children = self
                .commands
                .iter()
                .any(|known| known.starts_with(&format!("{path} ").trim_start().to_owned()));
            if self.commands.contains(&longer) {
                path = longer;
            } else if has_children && is_command_word(word) && (path.is_empty() || self.is_group(&path)) {
                return Some(format!("there is no command '{longer}'"));
            } else {
                break;
            }
        }
        let flags = words.iter().filter(|word| word.starts_with("--") && word.len() > 2);
        let flags = flags.map(|flag| flag.split('=').next().unwrap_or(flag));
        flags
            .filter(|flag| !self.text.contains(*flag))
            .map(|flag| format!("there is no option {flag}"))
            .next()
    }

    /// Whether the command does nothing but hold others.
    fn is_group(&self, path: &str) -> bool {
        self.commands.iter().any(|known| known.strip_prefix(path).is_some_and(|rest| rest.starts_with(' ')))
    }
}

/// The names in `[alias: a]` or `[aliases: a, b]` at the end of a command's line.
fn aliases_in(line: &str) -> impl Iterator<Item = &str> {
    let listed = line.rsplit_once("[alias").and_then(|(_, rest)| rest.split_once(": "));
    let names = listed.and_then(|(_, names)| names.trim_end().strip_suffix(']')).unwrap_or_default();
    names.split(", ").filter(|name| !name.is_empty())
}

/// The text without terminal escapes (`ESC [ … m`).
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or("", |(_, rest)| rest))
}

fn is_command_word(word: &str) -> bool {
    let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b':');
    !word.starts_with('-') && word.bytes().all(known)
}

/// Lines of code blocks, and code spans, that call one of our programs, with their line numbers. Program first.
fn shown_commands(text: &str) -> Vec<(usize, String)> {
    let mut shown = Vec::new();
    let mut in_code = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
            continue;
        }
        let parts: Vec<&str> =
            if in_code { line.split('|').collect() } else { line.split('`').skip(1).step_by(2).collect() };
        shown.extend(parts.into_iter().filter_map(as_command).map(|command| (number + 1, command)));
    }
    shown
}

/// The command in the form `stateset …` or `cargo xtask …`; `None` when the text is something else.
fn as_command(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches("$ ").split(" #").next().unwrap_or_default().trim();
    let text = match text.find("-p stateset -- ") {
        Some(at) if text.starts_with("cargo run") => {
            format!("stateset {}", &text[at + "-p stateset -- ".len()..])
        }
        _ => text.trim_start_matches("./").trim_start_matches("target/release/").to_owned(),
    };
    // The bare name, and a name with ellipsis, is talk about the program.
    let says_more = text.split_whitespace().count() > 1 && !text.contains('…');
    let is_ours = PROGRAMS.iter().any(|(program, _)| after(&text, program).is_some());
    ((is_ours && says_more) || after(&text, "cargo xtask").is_some()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = "\
Usage: stateset [OPTIONS] <COMMAND>

Commands:
  up     Start
  event  Events [aliases: events, ev]
           and more of it
  help   Print

Options:
      --json  For programs

Usage: stateset event <COMMAND>

Commands:
  push  Send

Usage: stateset event push [OPTIONS] <FILE>

Options:
      --server <URL>
";

    #[test]
    fn commands_are_held_against_the_help() {
        let help = Help::new("stateset", GOLDEN);
        for good in [
            "up",
            "up --json",
            "event push --server=x file",
            "event push -",
            "events push -",
            "ev push -",
            "--json event push a.json",
            "help",
        ] {
            assert_eq!(help.problem(good), None, "{good}");
        }
        for bad in ["down", "event pull", "events pull", "up --nothing", "and"] {
            assert!(help.problem(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn colours_do_not_hide_commands() {
        let help = Help::new("stateset", "\u{1b}[1mUsage:\u{1b}[0m stateset \u{1b}[1mup\u{1b}[0m [OPTIONS]");
        assert_eq!(help.commands, BTreeSet::from(["up".to_owned()]));
    }

    #[test]
    fn our_own_help_is_read() {
        let help = Help::new("cargo xtask", HELP);
        assert_eq!(help.problem("test --fast"), None);
        assert_eq!(help.problem("fuzz json --seconds 5"), None);
        assert!(help.problem("chekc").is_some());
    }

    #[test]
    fn commands_are_found_in_blocks_and_spans() {
        let text = "Run `stateset up`, not `stateset …` nor stateset down.\n```sh\n$ cargo run --release -p stateset -- demo # all\nls | stateset event push -\nstateset-sim x\n```\n";
        let found: Vec<String> = shown_commands(text).into_iter().map(|(_, command)| command).collect();
        assert_eq!(found, ["stateset up", "stateset demo", "stateset event push -"]);
        let other = shown_commands("`stateset-sequencer config` and `stateset-sequencer-admin`");
        assert_eq!(other, [(1, "stateset-sequencer config".to_owned())]);
    }
}
