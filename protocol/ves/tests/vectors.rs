//! Runs every section of the VES core vectors: `testing/vectors/ves_core.json`, or the file that `VES_VECTORS`
//! names. Each section has one check, found by its name; a section without one fails. A failure names section and
//! entry.

mod vectors {
    pub mod canonical;
    pub mod events;
    pub mod neighbours;
    pub mod stream;
    pub mod support;
}

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use vectors::support::{Entry, File};
use vectors::{canonical, events, neighbours, stream};

/// Members of the file that describe it and hold no vectors.
const METADATA: [&str; 4] = ["title", "protocol", "hex", "generator"];

/// The check of one section.
fn section(name: &str) -> Option<fn(&Entry<'_>)> {
    Some(match name {
        "encodings" => canonical::encodings,
        "canonicalisation" => canonical::accepted,
        "canonicalisation_rejects" => canonical::rejected,
        "grpc_created_at" => canonical::grpc_created_at,
        "plain_events" => events::plain,
        "rejected_events" => events::rejected,
        "encrypted_events" => events::encrypted,
        "decryption_failures" => events::decryption_failure,
        "proof_of_possession" => events::proof_of_possession,
        "receipts" => stream::receipt,
        "merkle" => stream::merkle,
        "merkle_rejects" => stream::merkle_rejected,
        "state_chain" => stream::state_chain,
        "legacy" => neighbours::legacy,
        "x402" => neighbours::x402,
        "policy_hashes" => neighbours::policy_hash,
        "public_inputs" => neighbours::public_inputs,
        "amount_binding" => neighbours::amount_binding,
        "proof_hashes" => neighbours::proof_hashes,
        "at_rest" => neighbours::at_rest,
        _ => return None,
    })
}

/// Sections of the published file; each must be there when that file is run.
const PUBLISHED: [&str; 20] = [
    "encodings",
    "canonicalisation",
    "canonicalisation_rejects",
    "grpc_created_at",
    "plain_events",
    "rejected_events",
    "encrypted_events",
    "decryption_failures",
    "proof_of_possession",
    "receipts",
    "merkle",
    "merkle_rejects",
    "state_chain",
    "legacy",
    "x402",
    "policy_hashes",
    "public_inputs",
    "amount_binding",
    "proof_hashes",
    "at_rest",
];

fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The file of `VES_VECTORS`, whose path may be relative to the workspace (tests run in the crate's folder).
fn chosen_file() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("VES_VECTORS")?);
    Some(if path.exists() { path } else { workspace().join(path) })
}

/// Runs a whole file and returns the sections it held, or every failure by section and entry.
fn run(text: &str) -> Result<Vec<String>, Vec<String>> {
    let file: File<'_> = serde_json::from_str(text).expect("the vectors are a JSON object");
    let (mut seen, mut failures) = (Vec::new(), Vec::new());
    for (name, content) in file.iter().filter(|(name, _)| !METADATA.contains(&name.as_str())) {
        let Some(check) = section(name) else {
            failures.push(format!("{name}: unknown section"));
            continue;
        };
        seen.push(name.clone());
        for entry in Entry::all(&file, name, content.get()) {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(&entry))) {
                let said = panic.downcast_ref::<String>().cloned();
                let said = said.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                failures.push(format!("{entry}: {}", said.unwrap_or_default()));
            }
        }
    }
    if failures.is_empty() { Ok(seen) } else { Err(failures) }
}

#[test]
fn every_entry_of_every_section_holds() {
    let chosen = chosen_file();
    let path = chosen.clone().unwrap_or_else(|| workspace().join("testing/vectors/ves_core.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    match run(&text) {
        Err(failures) => panic!("{}:\n{}", path.display(), failures.join("\n")),
        Ok(seen) if chosen.is_none() => {
            let missing: Vec<_> =
                PUBLISHED.iter().filter(|name| !seen.iter().any(|seen| seen == *name)).collect();
            assert!(missing.is_empty(), "sections without entries: {missing:?}");
        }
        Ok(_) => {}
    }
}

#[test]
fn an_unknown_section_fails() {
    let failures =
        run(r#"{"title":"t","protocol":"p","hex":"h","generator":"g","surprise":[]}"#).unwrap_err();
    assert_eq!(failures, ["surprise: unknown section"]);
}

#[test]
fn a_failure_names_section_and_entry() {
    let failures =
        run(r#"{"canonicalisation":[{"name":"wrong","input_text":"1","canonical":"2"}]}"#).unwrap_err();
    assert!(failures[0].starts_with("canonicalisation/wrong: "), "{failures:?}");
    let failures = run(r#"{"canonicalisation_rejects":[{"name":"valid","input_text":"1"}]}"#).unwrap_err();
    assert!(failures[0].starts_with("canonicalisation_rejects/valid: "), "{failures:?}");
}
