//! What `up` says where its ledger waits for an upgrade, and how it goes on without it.

use std::fs::{self, File};
use std::path::Path;

use serde_json::Value;

use crate::invoices::done;
use crate::service::Up;
use crate::{run, stateset};

fn asks(at: &Path, command: &str) -> Value {
    done(at, &command.split_whitespace().collect::<Vec<_>>())
}

fn height(at: &Path) -> u64 {
    asks(at, "ledger status")["height"].as_u64().unwrap()
}

/// Status of `/ready`.
fn ready(up: &Up) -> u16 {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let answer = agent.get(format!("{}/ready", up.started["url"].as_str().unwrap())).call().unwrap();
    answer.status().as_u16()
}

/// Blocks come with requests; the last one, which the block of the upgrade would hold, has no answer to wait for.
fn reach(at: &Path, plan: u64) {
    let transfer = "bank transfer 0.01 --org acme --to acme";
    while height(at) < plan - 1 {
        asks(at, transfer);
    }
    stateset(at).args(transfer.split(' ')).output().unwrap();
}

#[test]
fn a_ledger_that_waits_for_an_upgrade_says_so_and_goes_on_without_it_when_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let log = at.join("log");
    let mut program = stateset(at);
    program.stderr(File::create(&log).unwrap());
    let up = Up::start_by(program, &[]);
    asks(at, "org create acme");
    asks(at, "org deposit acme 10.00");
    asks(at, "ledger propose committers acme --vote");
    let plan = height(at) + 40;
    let hash = "07".repeat(32);
    let proposed = asks(at, &format!("ledger propose upgrade two {plan} --binary-hash {hash} --org acme"));
    asks(at, &format!("ledger vote {} yes", proposed["id"]));
    reach(at, plan);
    assert_eq!(ready(&up), 503);
    up.signal("-TERM");
    let (skip, said) = (format!("--unsafe-skip-upgrade {plan}"), fs::read_to_string(log).unwrap());
    for part in ["the ledger has stopped", "\"two\"", &hash, &skip] {
        assert!(said.contains(part), "{part} is not in: {said}");
    }
    assert!(!said.contains("store refused"), "{said}");

    let up = Up::start_with(at, &skip.split(' ').collect::<Vec<_>>());
    asks(at, "bank transfer 0.01 --org acme --to acme");
    assert!(height(at) >= plan);
    assert_eq!(ready(&up), 200);
    assert_eq!(run(at, &["bank", "audit"]).0, 0);
}
