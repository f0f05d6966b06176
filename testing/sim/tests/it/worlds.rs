//! Every promise holds in every world.

use std::collections::BTreeSet;
use std::ops::Range;

use stateset_sim::ledger::attacks::Attack;
use stateset_sim::{LEDGER_WORLDS, PROFILES, Trace, named_seeds, run, run_seeds};

/// Runs `seeds` of a world on all cores; on failure says how to see it again. Every landmark must be met somewhere:
/// runs in which a thing never happens prove nothing about it.
fn hold(world: &str, seeds: Range<u64>, landmarks: &[&str]) -> Vec<Trace> {
    let runs = run_seeds(world, seeds.clone());
    let failures: Vec<_> = runs.iter().filter_map(|run| run.as_ref().err()).collect();
    assert!(failures.is_empty(), "{} of {seeds:?} fail; the first:\n{}", failures.len(), failures[0]);
    let reached: BTreeSet<_> =
        runs.iter().flatten().flat_map(|trace| trace.reached.iter().copied()).collect();
    let missed: Vec<_> = landmarks.iter().filter(|landmark| !reached.contains(*landmark)).collect();
    assert!(missed.is_empty(), "{world} never meets {missed:?}, only {reached:?}");
    runs.into_iter().flatten().collect()
}

/// As [`hold`], where submitters attack: in each run each attack came to its refusal.
fn hold_against_attacks(world: &str, seeds: Range<u64>, landmarks: &[&str]) {
    let count = seeds.end - seeds.start;
    let runs = hold(world, seeds, landmarks);
    assert_eq!(runs.len() as u64, count);
    for trace in &runs {
        for attack in Attack::ALL {
            let refused = trace.attacks.get(attack.name()).copied().unwrap_or(0);
            assert!(refused > 0, "{world} {}: no {} was refused", trace.seed, attack.name());
        }
    }
}

#[test]
fn a_calm_world_keeps_every_promise() {
    hold(
        "calm",
        0..50,
        &[
            "accepted",
            "replayed",
            "duplicate_command_id",
            "version_conflict",
            "a whole tile",
            "a batch as asked for",
        ],
    );
}

#[test]
fn a_world_where_everything_fails_keeps_every_promise() {
    hold(
        "sequencer",
        0..400,
        &[
            "replayed after its key was revoked",
            "duplicate_event_id",
            "duplicate_command_id",
            "version_conflict",
            "invalid_signature",
            "invalid_payload_hash",
            "agent_key_invalid",
            "a refused turn",
            "a refused turn with the next one filling",
            "an unknown outcome",
            "a start that was cut short",
            "a batch or key refused by a full disk",
            "a whole tile",
        ],
    );
}

#[test]
fn a_world_of_crashes_keeps_every_promise() {
    hold(
        "crash",
        0..200,
        &[
            "an unknown outcome",
            "an aftershock",
            "a run of the index",
            "a start that was cut short",
            "replayed",
        ],
    );
}

#[test]
fn a_world_with_a_failing_disk_keeps_every_promise() {
    hold("failing-disk", 0..150, &["an unknown outcome", "replayed"]);
}

#[test]
fn a_world_with_a_full_disk_keeps_every_promise() {
    hold(
        "full-disk",
        0..150,
        &[
            "a refused turn",
            "a refused turn with the next one filling",
            "a batch or key refused by a full disk",
        ],
    );
}

#[test]
fn a_world_of_duplicates_keeps_every_promise() {
    hold("duplicates", 0..150, &["replayed", "duplicate_event_id", "replayed after its key was revoked"]);
}

#[test]
fn a_world_of_batches_keeps_every_promise() {
    hold("batches", 0..100, &["a batch as asked for", "a refused turn", "an unknown outcome"]);
}

#[test]
fn a_world_whose_clock_is_set_ahead_and_back_keeps_every_promise() {
    hold(
        "clock-steps",
        0..150,
        &["a clock set back", "a clock set ahead", "replayed", "replayed after its key was revoked"],
    );
}

#[test]
fn a_calm_ledger_keeps_every_promise() {
    hold("ledger-calm", 0..60, &["OK", "INSUFFICIENT_FUNDS", "INVARIANT", "an escrow that expired"]);
}

#[test]
fn a_ledger_of_cheats_and_lying_proposers_keeps_every_promise() {
    hold_against_attacks(
        "ledger",
        0..200,
        &[
            "OK",
            "ALREADY_NOTARISED",
            "QUOTA",
            "BAD_SEQUENCE",
            "CONFLICT",
            "REFERENCE_SPENT",
            "WINDOW_NOT_OPEN",
            "WINDOW_CLOSED",
            "EXPIRED",
            "PARAMS_MISMATCH",
            "ATTESTATION_MISSING",
            "NOT_AUTHORISED",
            "BAD_TRANSITION",
            "INVARIANT",
            "INSUFFICIENT_FUNDS",
            "NOT_FOUND",
            "an escrow that expired",
            "a proposer that lies",
            "a rejected block",
            "a node that lags",
            "an old backup",
            "power lost in a commit",
        ],
    );
}

#[test]
fn thousands_of_short_ledgers_keep_every_promise_against_byzantine_submitters() {
    hold_against_attacks(
        "ledger-swarm",
        0..2_000,
        &[
            "OK",
            "CONFLICT",
            "QUOTA",
            "a proposer that lies",
            "a rejected block",
            "a node that lags",
            "an old backup",
            "power lost in a commit",
        ],
    );
}

#[test]
fn a_ledger_that_loses_power_keeps_every_promise() {
    hold_against_attacks(
        "ledger-crash",
        0..100,
        &["OK", "CONFLICT", "an old backup", "power lost in a commit"],
    );
}

#[test]
fn one_seed_gives_one_trace() {
    let of_ledger = LEDGER_WORLDS.iter().map(|world| world.name);
    for world in PROFILES.iter().map(|profile| profile.name).chain(of_ledger) {
        let (first, second) = (run(world, 42), run(world, 42));
        let hash = |trace: Result<stateset_sim::Trace, _>| {
            trace.map(|trace| trace.hash).map_err(|f: Box<stateset_sim::Failure>| f.to_string())
        };
        let first = hash(first);
        assert!(first.is_ok(), "{first:?}");
        assert_eq!(first, hash(second), "{world}");
        assert_ne!(first, hash(run(world, 43)), "{world}");
    }
}

#[test]
fn named_seeds_stay_good() {
    for seed in named_seeds().expect("readable seeds") {
        if let Err(failure) = run(&seed.world, seed.seed) {
            panic!("{} ({}):\n{failure}", seed.name, seed.covers);
        }
    }
}

#[test]
fn an_unknown_world_is_told() {
    let failure = run("nowhere", 1).expect_err("no such world");
    assert_eq!(failure.problem, "there is no world of this name");
}
