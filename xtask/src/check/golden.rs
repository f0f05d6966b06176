//! Public surfaces are golden files under review (ARCHITECTURE.md, invariant 8). Tests compare them with the code; this
//! check holds that they are in the repository, hold something, and that no proposed change lies beside them unread.

use std::path::Path;

use super::{Findings, files};
use crate::doc_commands::{ADMIN_HELP, NODE_HELP, SEQUENCER_HELP, STARK_HELP, STATESET_HELP, SYNC_HELP};

/// A golden file and the folder whose existence asks for it.
const GOLDEN: &[(&str, &str)] = &[
    ("testing/vectors/ves_core.json", "protocol/ves"),
    ("testing/vectors/libraries.json", "protocol/wasm"),
    ("testing/vectors/ledger", "ledger/types"),
    ("testing/vectors/light", "network/light"),
    ("sequencer/log/migrations", "sequencer/log/src"),
    ("protocol/wire/proto/stateset", "protocol/wire/src"),
    (STATESET_HELP, "apps/stateset"),
    ("sequencer/api/openapi.json", "sequencer/api/src"),
    (SEQUENCER_HELP, "apps/stateset-sequencer"),
    (ADMIN_HELP, "apps/stateset-sequencer-admin"),
    (STARK_HELP, "proofs/cli"),
    (SYNC_HELP, "apps/stateset-sync"),
    (NODE_HELP, "apps/statesetd"),
    ("testing/vectors/chain_trees.json", "chain/contracts"),
    ("chain/contracts/golden/abi", "chain/contracts/src"),
    ("chain/contracts/golden/bytecode", "chain/contracts/src"),
    ("chain/contracts/golden/gas", "chain/contracts/src"),
];

/// Names of what tools leave behind when a surface changed.
const LEFT_OVER: &[&str] = &[".snap.new", ".pending-snap", ".orig", ".rej"];

pub fn check() -> Findings {
    let mut found = Findings::default();
    let files = files(&mut found);
    for (golden, wanted_by) in GOLDEN {
        let held = files.iter().any(|file| {
            Path::new(file).starts_with(golden)
                && std::fs::metadata(file).is_ok_and(|metadata| metadata.len() > 0)
        });
        if Path::new(wanted_by).is_dir() && !held {
            found.problem(format!("{golden} is missing or empty"));
        }
    }
    for file in files.iter().filter(|file| LEFT_OVER.iter().any(|end| file.ends_with(end))) {
        found.problem(format!("{file}: accept this change or discard it"));
    }
    found
}
