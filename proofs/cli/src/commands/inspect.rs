//! `ves-stark inspect`

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use ves_stark_primitives::bundle::{BUNDLE_BYTES_MAX, version1};
use ves_stark_primitives::{BindingLevel, Bundle, EventInputs, Statement, SuiteId};

use crate::bundle_file::{self, BundleFile};
use crate::clause_text;
use crate::failure::Failure;
use crate::files;
use crate::output::Output;

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Proof file; `-` is stdin
    #[arg(long, value_name = "FILE")]
    proof: PathBuf,
}

pub fn run(out: &Output, args: &InspectArgs) -> Result<(), Failure> {
    let text = files::read(&args.proof, BUNDLE_BYTES_MAX)?;
    match bundle_file::parse(text.trim_end())? {
        BundleFile::Current(bundle) => show(out, &bundle),
        BundleFile::Older(bundle) => show_older(out, &bundle),
    }
    Ok(())
}

fn show(out: &Output, bundle: &Bundle) {
    let inputs = &bundle.inputs;
    let outline = ves_stark_verifier::decode(&bundle.proof);
    let facts = &inputs.event.facts;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let value: String = value.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        writeln!(text, "{name:<18}{value}").expect("a string takes every text");
    };
    line("suite", inputs.suite.to_string());
    line("event", format!("{}, number {} of {}", facts.event_id, facts.sequence_number, facts.stream));
    line("policy", format!("{} {}", inputs.event.policy.id(), inputs.event.policy.params()));
    for clause in clauses(bundle) {
        line("clause", clause);
    }
    for committed in &inputs.commitments {
        let field = &committed.field;
        let unit = format!(
            "{} at {} digits",
            if field.unit().is_empty() { "no unit" } else { field.unit() },
            field.exponent()
        );
        line(
            "commitment",
            format!("{} ({unit}) {}", field.name(), ves::hex::encode(committed.commitment.as_bytes())),
        );
    }
    line("binding", binding(bundle));
    if let BindingLevel::Circuit { table } = inputs.binding_level {
        let bytes = table.payload_bytes_max(facts.payload_kind != 0);
        let paths: Vec<&str> = inputs.commitments.iter().map(|committed| committed.field.path()).collect();
        line("payload", format!("{bytes} bytes at most, the amount at {}", paths.join(", ")));
    }
    line("deployment", inputs.chain_context.clone());
    line(
        "valid until",
        inputs.valid_until.map_or_else(|| "no end".to_owned(), |until| format!("{until} (Unix seconds)")),
    );
    line("statement digest", inputs.statement_digest().to_string());
    line("proof hash", bundle.proof_hash().to_string());
    match &outline {
        Ok(outline) => line(
            "proof",
            format!("{} bytes, {} rows, {} columns", outline.bytes, outline.rows, outline.columns),
        ),
        Err(error) => line("proof", format!("{} bytes, unreadable: {error}", bundle.proof.len())),
    }
    let security = &bundle.security;
    line(
        "claimed security",
        format!("{} bits conjectured, {} proven", security.conjectured_bits, security.proven_bits),
    );
    text += "Nothing here was verified: see `ves-stark verify`.";
    let value = serde_json::json!({
        "bundleVersion": 2,
        "suite": inputs.suite.text(),
        "publicInputs": serde_json::from_str::<serde_json::Value>(&inputs.canonical()).ok(),
        "statementDigest": inputs.statement_digest(),
        "agentKeyId": bundle.binding.map(|binding| binding.agent_key_id),
        "proofBytes": bundle.proof.len(),
        "proofHash": bundle.proof_hash(),
        "readable": outline.is_ok(),
        "claimedSecurity": security,
    });
    out.result(&value, &text);
}

/// The clauses of a composed policy; none of an amount policy, or where the statement is none.
fn clauses(bundle: &Bundle) -> Vec<String> {
    let names: Vec<&str> = bundle.inputs.commitments.iter().map(|committed| committed.field.name()).collect();
    match bundle.inputs.statement() {
        Ok(Statement::Clauses(statement)) => clause_text::lines(&statement.policy, &names),
        _ => Vec::new(),
    }
}

/// Level, and who signed.
fn binding(bundle: &Bundle) -> String {
    let level = bundle.inputs.binding_level;
    match (&bundle.binding, level) {
        (Some(binding), _) => format!("{}, by key {} of the agent", level.text(), binding.agent_key_id),
        (None, BindingLevel::Circuit { .. }) => format!("{}, no agent has signed", level.text()),
        (None, BindingLevel::Signed) => "none: no agent has signed the commitment".to_owned(),
    }
}

fn show_older(out: &Output, bundle: &version1::Bundle) {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let value: String = value.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        writeln!(text, "{name:<18}{value}").expect("a string takes every text");
    };
    line("bundle", "version 1, of an older client".to_owned());
    line("suite", format!("{}: no zero-knowledge, not verified here", SuiteId::Legacy));
    if let Some(EventInputs { facts, policy, .. }) = &bundle.inputs {
        line("event", format!("{}, number {} of {}", facts.event_id, facts.sequence_number, facts.stream));
        line("policy", format!("{} {}", policy.id(), policy.params()));
    }
    let claimed = bundle.policy.as_ref().map(|policy| format!("{} limit {}", policy.kind, policy.limit));
    match (&claimed, &bundle.inputs) {
        (Some(claimed), _) => line("prover's policy", claimed.clone()),
        (None, None) => line("policy", "not named".to_owned()),
        (None, Some(_)) => (),
    }
    let witness = bundle.witness_commitment.map(ves::compliance::WitnessCommitment::to_hex);
    if let Some(witness) = &witness {
        line("commitment", witness.clone());
    }
    let hash = ves::compliance::proof_hash(&bundle.proof);
    line("proof", format!("{} bytes", bundle.proof.len()));
    line("proof hash", hash.to_string());
    if let Some(metadata) = &bundle.metadata {
        line("made by", format!("{} in {} ms", metadata.prover_version, metadata.proving_time_ms));
    }
    text += "Nothing here was verified: proofs of this suite are not.";
    let inputs = bundle.inputs.as_ref().map(EventInputs::canonical_bound);
    let value = serde_json::json!({
        "bundleVersion": 1,
        "suite": SuiteId::Legacy.text(),
        "publicInputs": inputs.and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok()),
        "proofBytes": bundle.proof.len(),
        "proofHash": hash,
        "witnessCommitment": witness,
        "policy": claimed,
    });
    out.result(&value, &text);
}
