//! House rules that need no compiler.

use super::{Findings, files, text_of};
use crate::proto::HEADER;
use crate::rust_text::{code_only, without_tests};

/// A Rust file longer than this is worth a thought, longer than the second is split.
const LINES_WARN: usize = 500;
const LINES_MAX: usize = 700;

/// The only entries at the root (ARCHITECTURE.md, "Rooms and crates"), and the hidden ones that tools look for there.
const ROOT: &[&str] = &[
    ".cargo",
    ".ci",
    ".gitattributes",
    ".github",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "agents",
    "apps",
    "chain",
    "clippy.toml",
    "console",
    "custody",
    "deploy",
    "docs",
    "ledger",
    "network",
    "proofs",
    "protocol",
    "rustfmt.toml",
    "sequencer",
    "testing",
    "views",
    "xtask",
];

/// Packages that inherit nothing: each is the whole of a workspace.
const WORKSPACES_OF_THEIR_OWN: &[&str] = &["testing/fuzz/cargo-fuzz/", "testing/x402/rust/", "xtask/proto/"];

/// Crates that compute and do nothing else (invariant 1).
const PURE: &[&str] = &[
    "protocol/ves/src/",
    "protocol/wire/src/",
    "protocol/wasm/src/",
    "proofs/primitives/src/",
    "sequencer/engine/src/",
    "ledger/types/src/",
    "ledger/contracts/src/",
    "ledger/app/src/",
    "network/light/src/",
];
const NOT_PURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::env",
    "std::thread",
    "std::process",
    "std::io::stdin",
    "std::io::stdout",
    "thread::spawn",
    "Instant::now",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "async fn",
    "async move",
    "async {",
    ".await",
    "tokio::",
    "getrandom::",
];
/// Modules of `std` that a pure crate may not import either, as in `use std::{fs, io}`.
const NOT_PURE_MODULES: &[&str] = &["fs", "net", "env", "thread", "process"];

/// Not finished, or left over from looking for a mistake.
const UNFINISHED: &[&str] = &["todo!", "unimplemented!", "dbg!", "#[ignore"];

pub fn check() -> Findings {
    let mut found = Findings::default();
    let files = files(&mut found);
    for file in &files {
        let entry = file.split('/').next().unwrap_or(file);
        if !ROOT.contains(&entry) {
            found.problem(format!("{file}: {entry} has no place at the root"));
        }
        let Some(text) = text_of(file) else { continue };
        no_machine_paths(file, &text, &mut found);
        if file.ends_with(".rs") {
            rust_file(file, &text, &mut found);
        }
        if file.ends_with("/Cargo.toml")
            && text.contains("[package]")
            && !WORKSPACES_OF_THEIR_OWN.iter().any(|folder| file.starts_with(folder))
        {
            manifest(file, &text, &mut found);
        }
    }
    if !text_of("Cargo.toml").is_some_and(|text| text.contains("unsafe_code = \"forbid\"")) {
        found.problem("Cargo.toml: [workspace.lints.rust] has to forbid unsafe_code");
    }
    found
}

fn rust_file(file: &str, text: &str, found: &mut Findings) {
    match text.lines().count() {
        _ if text.starts_with(HEADER) => {}
        lines if lines > LINES_MAX => {
            found.problem(format!("{file}: {lines} lines, at most {LINES_MAX}: split it by idea"))
        }
        lines if lines > LINES_WARN => found.note(format!("{file}: {lines} lines")),
        _ => {}
    }
    let code = code_only(text);
    for word in UNFINISHED {
        each_line_with(&code, word, |line| found.problem(format!("{file}:{line}: {word}")));
    }
    // libFuzzer's entry point is made by a macro of its own; our code needs no unsafe anywhere.
    each_line_with(&code, "unsafe", |line| found.problem(format!("{file}:{line}: unsafe code")));
    if PURE.iter().any(|folder| file.starts_with(folder)) && !file.ends_with("/tests.rs") {
        pure(file, without_tests(&code), found);
    }
}

fn pure(file: &str, code: &str, found: &mut Findings) {
    for word in NOT_PURE {
        each_line_with(code, word, |line| found.problem(format!("{file}:{line}: {word} in a pure crate")));
    }
    for group in code.match_indices("use std::{").map(|(at, _)| &code[at..]) {
        let group = &group[..group.find(';').unwrap_or(group.len())];
        let names = group.split(|c: char| !c.is_alphanumeric() && c != '_');
        for name in names.filter(|name| NOT_PURE_MODULES.contains(name)) {
            found.problem(format!("{file}: std::{name} in a pure crate"));
        }
    }
}

fn manifest(file: &str, text: &str, found: &mut Findings) {
    if !text.contains("[lints]\nworkspace = true") {
        found.problem(format!("{file}: [lints] workspace = true is missing"));
    }
    for member in ["version", "edition", "rust-version", "license", "publish"] {
        if !text.contains(&format!("{member}.workspace = true")) {
            found.problem(format!("{file}: {member}.workspace = true is missing"));
        }
    }
}

/// Home folders and other places of one machine. Written in two parts, or this file would find itself.
fn no_machine_paths(file: &str, text: &str, found: &mut Findings) {
    let places = [
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/Us", "ers/"),
        concat!("/wo", "rk/"),
        concat!("/tmp/", "plan"),
        concat!("C:", "\\"),
    ];
    for (number, line) in text.lines().enumerate() {
        for place in places {
            // Part of a longer path or of an address is something else.
            let own = line.match_indices(place).any(|(at, _)| {
                !line[..at].ends_with(|c: char| {
                    c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '}' | '/' | '$')
                })
            });
            if own {
                found.problem(format!("{file}:{}: {place} is a path of one machine", number + 1));
            }
        }
    }
}

/// Calls `each` with the number of every line that holds `word` as a word of its own.
fn each_line_with(code: &str, word: &str, mut each: impl FnMut(usize)) {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    for (number, line) in code.lines().enumerate() {
        let hit = line.match_indices(word).any(|(at, _)| {
            let before = !word.starts_with(part_of_name) || !line[..at].ends_with(part_of_name);
            let after = !word.ends_with(part_of_name) || !line[at + word.len()..].starts_with(part_of_name);
            before && after
        });
        if hit {
            each(number + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(file: &str, text: &str) -> Vec<String> {
        let mut found = Findings::default();
        rust_file(file, text, &mut found);
        found.problems
    }

    #[test]
    fn unfinished_code_is_noticed_and_talk_of_it_is_not() {
        assert_eq!(problems("a.rs", "fn f() {\n    to\u{64}o!()\n}"), ["a.rs:2: todo!"]);
        assert!(problems("a.rs", "// todo!\nlet x = \"dbg!\"; fn not_unsafe() {}").is_empty());
        assert_eq!(problems("a.rs", "unsafe { x() }"), ["a.rs:1: unsafe code"]);
    }

    #[test]
    fn a_pure_crate_reads_no_clock_and_no_file() {
        let text = "use std::{fmt, fs};\nlet t = std::time::Instant::now();\n#[cfg(test)]\nmod tests {\n use std::fs;\n}\n";
        assert_eq!(problems("protocol/ves/src/a.rs", text).len(), 2);
        assert!(problems("sequencer/log/src/a.rs", text).is_empty());
    }

    #[test]
    fn a_path_of_one_machine_is_noticed() {
        let mut found = Findings::default();
        no_machine_paths(
            "a",
            concat!("cp /ro", "ot/x .\nhttps://example.org/ro", "ot/x\nproject/wo", "rk/x"),
            &mut found,
        );
        assert_eq!(found.problems.len(), 1);
    }

    #[test]
    fn a_file_of_too_many_lines_is_refused() {
        assert_eq!(problems("a.rs", &"\n".repeat(701)).len(), 1);
        assert!(problems("a.rs", &"\n".repeat(700)).is_empty());
    }
}
