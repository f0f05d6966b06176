//! The one-way edges between rooms (ARCHITECTURE.md, "Allowed edges"). Adding a line here is an architectural decision.

use super::Findings;
use crate::metadata::{Member, PRODUCT, Use, workspace};

/// The crates of each room; inside a room a crate may use those listed before it.
const ROOMS: &[(&str, &[&str])] = &[
    ("protocol", &["ves", "wire", "wasm"]),
    ("proofs", &["primitives", "air", "verifier", "prover", "batch", "client", "cli", "wasm"]),
    ("ledger", &["types", "contracts", "global-state", "ibc", "vm", "app"]),
    ("custody", &["keystore", "documents", "privacy", "attestation"]),
    ("sequencer", &["engine", "log", "service", "at-rest", "api"]),
    ("network", &["store", "solo", "light", "abci", "peer", "node", "client"]),
    ("chain", &["registry", "anchor", "x402"]),
    ("views", &["projection", "webhooks", "graphql"]),
    ("agents", &["client", "sync", "mcp", "commerce", "language"]),
];

/// What a room may use besides itself: whole rooms, or single crates of them.
const EDGES: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("proofs", &["protocol"]),
    ("ledger", &["protocol"]),
    ("custody", &["protocol"]),
    ("sequencer", &["protocol", "proofs/verifier", "custody/keystore"]),
    ("network", &["protocol", "ledger", "custody/keystore", "custody/attestation"]),
    ("chain", &["protocol", "custody/keystore"]),
    ("views", &["protocol", "ledger", "custody/privacy"]),
    (
        "agents",
        &[
            "protocol",
            "ledger/types",
            "ledger/contracts",
            "proofs/prover",
            "proofs/client",
            "custody/keystore",
            "custody/documents",
        ],
    ),
];

/// Rooms that join the others and that no one joins.
const TOP: &[&str] = &["apps", "testing"];
/// The only testing crates that others may name, for their tests.
const FOR_TESTS: &[&str] = &["testing/fixtures", "testing/postgres", "testing/softhsm", "testing/report"];

pub fn check() -> Findings {
    let mut found = Findings::default();
    match workspace(PRODUCT) {
        Ok(workspace) => {
            for member in &workspace.members {
                check_member(member, &mut found);
            }
            found.note(format!("{} packages", workspace.members.len()));
        }
        Err(problem) => found.problem(problem),
    }
    found
}

fn check_member(member: &Member, found: &mut Findings) {
    if !has_a_place(&member.folder) {
        found
            .problem(format!("{} ({}) is in no room that ARCHITECTURE.md lists", member.folder, member.name));
    }
    for (target, how) in &member.uses {
        if !allowed(&member.folder, target, *how) {
            let what = if *how == Use::Tests { "for its tests " } else { "" };
            found.problem(format!(
                "{} may not use {target} {what}(ARCHITECTURE.md, Allowed edges)",
                member.folder
            ));
        }
    }
}

fn has_a_place(folder: &str) -> bool {
    match folder.split_once('/') {
        None => folder == "xtask",
        Some((room, _)) if TOP.contains(&room) => true,
        Some((room, name)) => crates_of(room).contains(&name),
    }
}

fn allowed(from: &str, to: &str, how: Use) -> bool {
    let (from_room, from_name) = from.split_once('/').unwrap_or((from, ""));
    let (to_room, to_name) = to.split_once('/').unwrap_or((to, ""));
    if FOR_TESTS.contains(&to) && how == Use::Tests {
        return true;
    }
    match (from_room, to_room) {
        ("testing", _) => true,
        (_, "testing" | "xtask") => false,
        ("apps", _) => true,
        (_, "apps") => false,
        _ if from_room == to_room => {
            let place = |name| crates_of(from_room).iter().position(|listed| *listed == name);
            matches!((place(to_name), place(from_name)), (Some(used), Some(user)) if used < user)
        }
        _ => EDGES
            .iter()
            .any(|(room, uses)| *room == from_room && (uses.contains(&to_room) || uses.contains(&to))),
    }
}

fn crates_of(room: &str) -> &'static [&'static str] {
    ROOMS.iter().find(|(name, _)| *name == room).map_or(&[], |(_, crates)| crates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_lead_one_way() {
        for (from, to) in [
            ("protocol/wire", "protocol/ves"),
            ("sequencer/engine", "protocol/ves"),
            ("sequencer/api", "sequencer/service"),
            ("sequencer/service", "custody/keystore"),
            ("sequencer/service", "proofs/verifier"),
            ("agents/client", "protocol/wire"),
            ("apps/stateset", "sequencer/api"),
            ("apps/stateset", "agents/client"),
            ("testing/bench", "apps/stateset"),
        ] {
            assert!(allowed(from, to, Use::Code), "{from} -> {to}");
        }
        for (from, to) in [
            ("protocol/ves", "protocol/wire"),
            ("protocol/ves", "custody/keystore"),
            ("sequencer/engine", "sequencer/log"),
            ("sequencer/service", "custody/privacy"),
            ("sequencer/service", "proofs/prover"),
            ("sequencer/api", "agents/client"),
            ("agents/client", "sequencer/service"),
            ("chain/anchor", "sequencer/service"),
            ("sequencer/engine", "testing/fixtures"),
            ("agents/client", "apps/stateset"),
            ("apps/stateset", "testing/sim"),
        ] {
            assert!(!allowed(from, to, Use::Code), "{from} -> {to}");
        }
        assert!(allowed("sequencer/engine", "testing/fixtures", Use::Tests));
        assert!(allowed("sequencer/log", "testing/postgres", Use::Tests));
        assert!(!allowed("sequencer/log", "testing/postgres", Use::Code));
        assert!(!allowed("sequencer/engine", "testing/sim", Use::Tests));
    }

    /// `custody/{keystore, attestation}, protocol` as single names.
    fn names(list: &str) -> Vec<String> {
        let (mut names, mut prefix) = (Vec::new(), String::new());
        for word in list.split([',', ' ']).filter(|word| !word.is_empty()) {
            let inner = word.split_once('{').map_or(word, |(before, inner)| {
                before.clone_into(&mut prefix);
                inner
            });
            names.push(format!("{prefix}{}", inner.trim_end_matches('}')));
            if inner.ends_with('}') {
                prefix.clear();
            }
        }
        names
    }

    #[test]
    fn the_page_and_the_check_say_the_same() {
        let page = include_str!("../../../ARCHITECTURE.md");
        let said: Vec<(&str, Vec<String>)> = page
            .lines()
            .filter_map(|line| line.split_once("  →  "))
            .map(|(room, uses)| {
                (room.trim(), if uses.starts_with("(nothing)") { Vec::new() } else { names(uses) })
            })
            .filter(|(room, _)| !TOP.contains(room))
            .collect();
        let held: Vec<(&str, Vec<String>)> = EDGES
            .iter()
            .map(|(room, uses)| (*room, uses.iter().map(|name| (*name).to_owned()).collect()))
            .collect();
        assert_eq!(said, held);
    }

    #[test]
    fn a_package_outside_the_rooms_is_noticed() {
        assert!(has_a_place("protocol/ves") && has_a_place("xtask") && has_a_place("testing/anything"));
        assert!(!has_a_place("protocol/utils") && !has_a_place("tools"));
    }
}
