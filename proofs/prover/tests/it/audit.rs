//! The page for auditors says which test holds each item of section 11. This keeps it true: the tests that it names exist.

use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../../../../docs/protocol/proof-system.md");
/// The items of section 11: refusals, then tests of zero knowledge.
const ITEMS: usize = 19;
const ZERO_KNOWLEDGE: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Each row of the table: its item, and the tests as `cargo test -p` takes them, a crate and a path.
fn rows() -> Vec<(&'static str, Vec<(&'static str, &'static str)>)> {
    let (_, section) = PAGE.split_once("## What holds each rejection\n").expect("the section is there");
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.skip(2)
        .map(|row| {
            let cells: Vec<&str> = row.split(" | ").collect();
            let quoted = cells[cells.len() - 1].split('`').skip(1).step_by(2);
            (cells[0], quoted.map(|test| test.split_once(' ').expect("a crate and a path")).collect())
        })
        .collect()
}

/// The folder of a crate of this repository.
fn folder(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let line = format!("name = \"{name}\"");
    let folders = ["proofs", "apps", "sequencer"].into_iter().flat_map(|room| entries(&root.join(room)));
    let is_it = |folder: &PathBuf| {
        fs::read_to_string(folder.join("Cargo.toml"))
            .is_ok_and(|text| text.lines().find(|line| line.starts_with("name = ")) == Some(line.as_str()))
    };
    folders.into_iter().find(is_it).unwrap_or_else(|| panic!("no crate is named {name}"))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default()
}

/// Whether the crate has a test of that path: in the file of its modules, the last of which may stand in the file of those before.
fn exists(folder: &Path, path: &str) -> bool {
    let mut modules: Vec<&str> = path.split("::").collect();
    let name = modules.pop().expect("a name");
    (0..=modules.len()).any(|count| {
        let (outer, inner) = modules.split_at(count);
        files(folder, outer).iter().filter_map(|file| fs::read_to_string(file).ok()).any(|text| {
            inner.iter().all(|module| text.contains(&format!("mod {module} {{"))) && has_test(&text, name)
        })
    })
}

/// Where a module may be: in the library or in tests, or at the top of either.
fn files(folder: &Path, modules: &[&str]) -> Vec<PathBuf> {
    if modules.is_empty() {
        let of_tests = entries(&folder.join("tests"));
        return of_tests
            .into_iter()
            .chain([folder.join("src/lib.rs"), folder.join("tests/it/main.rs")])
            .collect();
    }
    ["src", "tests/it"].map(|of| folder.join(of).join(modules.join("/")).with_extension("rs")).into()
}

fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.windows(2).any(|pair| {
        let function = pair[1].strip_prefix("async ").unwrap_or(pair[1]);
        let is_named = function.strip_prefix("fn ").and_then(|rest| rest.split_once('('));
        pair[0].starts_with("#[")
            && pair[0].contains("test")
            && is_named.is_some_and(|(found, _)| found == name)
    })
}

#[test]
fn every_item_names_tests_that_exist() {
    let rows = rows();
    let items: Vec<String> =
        (1..=ITEMS).map(|item| item.to_string()).chain(ZERO_KNOWLEDGE.map(str::to_owned)).collect();
    assert_eq!(rows.iter().map(|(item, _)| *item).collect::<Vec<_>>(), items);
    for (item, tests) in &rows {
        assert!(!tests.is_empty(), "{item} names no test");
        for (name, path) in tests {
            assert!(exists(&folder(name), path), "{item} names {name} {path}, which does not exist");
        }
    }
}

/// The search above finds nothing that is not there, and each kind of place that is.
#[test]
fn a_test_that_does_not_exist_is_not_found() {
    let own = folder("ves-stark-prover");
    assert!(exists(&own, "audit::a_test_that_does_not_exist_is_not_found"));
    assert!(
        exists(&own, "clauses::lists::members") && exists(&own, "no_table_stays_in_memory_behind_a_proof")
    );
    assert!(!exists(&own, "audit::no_test_has_this_name") && !exists(&own, "rejection::members"));
    assert!(!exists(&own, "audit::has_test"), "a function that is no test");
    let primitives = folder("ves-stark-primitives");
    assert!(
        exists(&primitives, "policy::tests::a_threshold_of_zero_is_no_policy"),
        "a module inside its file"
    );
    assert!(exists(&primitives, "bundle::tests::of_version_1::both_spellings_are_read"));
}
