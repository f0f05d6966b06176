//! The program as an operator meets it: settings, figures, and what `kill -9` does to it.

#![allow(clippy::print_stderr, reason = "what is not tested is said")]

mod killed;
mod sequencer;

use std::process::{Command, Output};

/// The program without any setting of the machine's.
pub fn set_anchor() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_set-anchor"));
    command.env_clear();
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_missing_setting_is_named_with_what_it_is() {
    let output = set_anchor().output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        text(&output),
        "error: EXPECTED_L2_CHAIN_ID: it is not set; it is the id of the chain; L2_CHAIN_ID is read where it is not set\n"
    );
}

#[test]
fn the_help_names_every_setting() {
    let output = set_anchor().arg("--help").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let help = text(&output);
    for (name, ..) in set_anchor::settings::TABLE {
        assert!(help.contains(name), "{name}");
    }
}

#[test]
fn the_operators_page_names_every_setting() {
    let page = include_str!("../../../../docs/operator/anchoring.md");
    for (name, default, _) in set_anchor::settings::TABLE {
        assert!(page.contains(&format!("`{name}`")), "{name}");
        assert!(page.contains(default), "{name}: {default}");
    }
}
