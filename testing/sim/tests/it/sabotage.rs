//! A checker that cannot fail checks nothing: each deliberate mistake is found, and by the promise that it breaks.

use stateset_sim::{Failure, Sabotage, ledger, ledger_world, run_with};

/// Runs worlds with the mistake until one is stopped by one of these findings.
fn is_found(world: &str, sabotage: Sabotage, findings: &[&str]) {
    let run = |seed| run_with(world, seed, Some(sabotage), false).err();
    is_found_by(world, &format!("{sabotage:?}"), run, findings);
}

fn is_found_in_ledger(world: &str, sabotage: ledger::Sabotage, findings: &[&str]) {
    let kind = ledger_world(world).expect("a world of the ledger");
    let run = |seed| ledger::run(kind, seed, Some(sabotage), false).err();
    is_found_by(world, &format!("{sabotage:?}"), run, findings);
}

fn is_found_by(world: &str, sabotage: &str, run: impl Fn(u64) -> Option<Box<Failure>>, findings: &[&str]) {
    let mut others = Vec::new();
    for seed in 0..80 {
        let Some(failure) = run(seed) else { continue };
        let text = failure.to_string();
        assert!(text.ends_with(&format!("cargo xtask sim {world} {seed}")), "{text}");
        if findings.iter().any(|finding| failure.problem.contains(finding)) {
            return;
        }
        others.push(failure.problem);
    }
    panic!("{sabotage} in {world} is not found by {findings:?}, only by {others:#?}");
}

#[test]
fn a_log_that_acknowledges_before_it_syncs_is_found() {
    is_found("crash", Sabotage::AcknowledgesBeforeSync, &["is not in the log"]);
}

#[test]
fn a_log_that_trusts_what_it_finds_at_start_is_found() {
    is_found(
        "crash",
        Sabotage::OpensWithoutSync,
        &["is not in the log", "was acknowledged as", "does not open"],
    );
}

#[test]
fn numbers_of_a_failed_turn_that_were_answered_are_found() {
    is_found("full-disk", Sabotage::AnswersFailedTurns, &["was given to"]);
}

#[test]
fn ids_that_are_forgotten_before_the_index_has_them_are_found() {
    is_found("duplicates", Sabotage::ForgetsBeforeIndexing, &["accepted a second time"]);
}

#[test]
fn a_history_that_names_other_events_is_found() {
    is_found("calm", Sabotage::MisplacesHistories, &["the history of"]);
}

#[test]
fn a_replay_that_gets_another_receipt_is_found() {
    is_found("duplicates", Sabotage::AnswersReplaysAnew, &["is not the first answer"]);
}

#[test]
fn a_batch_over_other_leaves_is_found() {
    is_found("batches", Sabotage::CommitsOtherLeaf, &["another root than its events"]);
}

#[test]
fn a_replay_refused_for_its_revoked_key_is_found() {
    is_found("duplicates", Sabotage::ChecksKeysBeforeReplays, &["rejected without reason"]);
}

#[test]
fn a_ledger_that_forgets_what_was_consumed_is_found() {
    is_found_in_ledger(
        "ledger-calm",
        ledger::Sabotage::ForgetsConsumption,
        &["differs from the model at notary/spent/"],
    );
}

#[test]
fn a_node_of_the_ledger_with_another_state_is_found() {
    is_found_in_ledger("ledger-calm", ledger::Sabotage::OneNodeForgetsSequences, &["has another app hash"]);
}

#[test]
fn balances_of_a_ledger_that_are_off_by_one_are_found() {
    is_found_in_ledger("ledger-calm", ledger::Sabotage::MakesMoney, &["is not conserved"]);
}

#[test]
fn nodes_of_a_ledger_that_vote_for_forged_requests_are_found() {
    is_found_in_ledger("ledger", ledger::Sabotage::AcceptsEveryBlock, &["votes true on a false block"]);
}
