//! Every promise holds in every world.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use stateset_sim::{PROFILES, named_seeds, run};

/// Runs `seeds` of a world on all cores; on failure says how to see it again. Every landmark must be met somewhere:
/// runs in which a thing never happens prove nothing about it.
fn hold(world: &str, seeds: Range<u64>, landmarks: &[&str]) {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut runs = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return runs;
            }
            runs.push(run(world, seed));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let runs: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker")).collect()
    });
    let failures: Vec<_> = runs.iter().filter_map(|run| run.as_ref().err()).collect();
    assert!(failures.is_empty(), "{} of {seeds:?} fail; the first:\n{}", failures.len(), failures[0]);
    let reached: BTreeSet<_> =
        runs.iter().flatten().flat_map(|trace| trace.reached.iter().copied()).collect();
    let missed: Vec<_> = landmarks.iter().filter(|landmark| !reached.contains(*landmark)).collect();
    assert!(missed.is_empty(), "{world} never meets {missed:?}, only {reached:?}");
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
fn one_seed_gives_one_trace() {
    for profile in &PROFILES {
        let (first, second) = (run(profile.name, 42), run(profile.name, 42));
        let hash = |trace: Result<stateset_sim::Trace, _>| {
            trace.map(|trace| trace.hash).map_err(|f: Box<stateset_sim::Failure>| f.to_string())
        };
        let first = hash(first);
        assert!(first.is_ok(), "{first:?}");
        assert_eq!(first, hash(second), "{}", profile.name);
        assert_ne!(first, hash(run(profile.name, 43)), "{}", profile.name);
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
