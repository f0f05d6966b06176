//! Every fuzz target as a bounded property.
//!
//! Fixed inputs and at most a few seconds each; `STATESET_FUZZ_SECONDS=N` gives each N seconds of another round each day.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stateset_fuzz::{Bounds, Mutator, TARGETS, run_bounded, target};

/// Round 0 is the one that every build runs.
const EVERY_BUILD: Bounds = Bounds { inputs_max: 5_000, time_max: Duration::from_secs(3), round: 0 };

fn bounds() -> Bounds {
    let asked =
        std::env::var("STATESET_FUZZ_SECONDS").ok().map(|text| text.parse().expect("a number of seconds"));
    asked.map_or(EVERY_BUILD, |seconds| {
        let day = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400);
        Bounds { inputs_max: u64::MAX, time_max: Duration::from_secs(seconds), round: day }
    })
}

fn holds(name: &str) {
    let target = target(name).expect("a listed target");
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let bounds = bounds();
    match run_bounded(target, &corpus, bounds) {
        Ok(summary) => {
            assert!(summary.accepted > 0, "{name}: none of {} inputs was accepted", summary.inputs)
        }
        Err(failure) => {
            let input = ves::hex::encode(&failure.input);
            panic!("{name}, round {}: {}\ninput: {input}", bounds.round, failure.problem)
        }
    }
}

macro_rules! bounded {
    ($($name:ident),+ $(,)?) => {
        $(#[test] fn $name() { holds(stringify!($name)); })+

        #[test]
        fn every_target_is_run() {
            let run = [$(stringify!($name)),+];
            assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), run);
        }
    };
}

bounded!(
    json,
    texts,
    envelope,
    ingest,
    record,
    sealed,
    signatures,
    receipt,
    possession,
    directory,
    inclusion,
    consistency,
    checkpoint,
    older_event,
    older_inclusion,
    payment,
    compliance,
    compliance_proof,
    at_rest,
    bodies,
    grpc,
    webhooks,
    mandate,
    ledger_values,
    ledger_request,
    ledger_block,
    certificate,
    peer_frames,
    member_certificates,
    contract_values,
    contract_life,
    keystore,
);

#[test]
fn every_seed_that_should_pass_does() {
    for name in [
        "json",
        "envelope",
        "ingest",
        "record",
        "checkpoint",
        "bodies",
        "grpc",
        "ledger_values",
        "ledger_request",
        "ledger_block",
        "certificate",
        "contract_values",
        "keystore",
    ] {
        let target = target(name).expect("a listed target");
        for seed in (target.seeds)() {
            assert!((target.run)(&seed), "{name} refuses its seed {}", String::from_utf8_lossy(&seed));
        }
    }
}

#[test]
fn the_same_round_gives_the_same_inputs() {
    let inputs = || {
        let mut mutator = Mutator::new("any", 3, vec![b"{\"a\":1}".to_vec(), b"[]".to_vec()]);
        (0..50).map(|_| mutator.next_input()).collect::<Vec<_>>()
    };
    assert_eq!(inputs(), inputs());
}
