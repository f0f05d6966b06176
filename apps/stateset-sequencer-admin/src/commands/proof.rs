//! `verify-proof`: the arithmetic of an inclusion proof, offline.

use clap::Args;
use stateset_sequencer_app::failure::Failure;
use ves::Digest;
use ves::merkle::{InclusionProof, ProofError, verify_inclusion};

use super::Context;

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Hash of the event's leaf, 32 bytes in hexadecimal
    #[arg(long, value_name = "HEX", value_parser = digest)]
    pub leaf_hash: Digest,
    /// Root of the batch
    #[arg(long, value_name = "HEX", value_parser = digest)]
    pub merkle_root: Digest,
    /// Siblings from the leaf up, separated by commas; empty for a batch of one event
    #[arg(long, value_name = "HEX,HEX,…", value_parser = path)]
    pub proof_path: Path,
    /// Place of the leaf in the batch, from 0
    #[arg(long, value_name = "INDEX")]
    pub leaf_index: u64,
}

/// The siblings of a proof.
#[derive(Debug, Clone)]
pub struct Path(Vec<Digest>);

fn digest(text: &str) -> Result<Digest, String> {
    let digits = text.trim();
    ves::hex::decode_lenient(digits).map(Digest).map_err(|error| error.to_string())
}

fn path(text: &str) -> Result<Path, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let parts =
        parts.enumerate().map(|(at, part)| digest(part).map_err(|error| format!("hash {}: {error}", at + 1)));
    parts.collect::<Result<_, _>>().map(Path)
}

pub fn verify(context: &Context, args: &VerifyArgs) -> Result<(), Failure> {
    let proof = InclusionProof { leaf_index: args.leaf_index, path: args.proof_path.0.clone() };
    let verdict = verify_inclusion(&args.leaf_hash, &args.merkle_root, None, &proof);
    let problem = verdict.err().map(|error: ProofError| error.to_string());
    let value = serde_json::json!({
        "valid": problem.is_none(), "problem": problem, "leaf_index": args.leaf_index, "path_length": proof.path.len(),
    });
    match problem {
        None => {
            let text = format!(
                "VALID: the leaf stands at {} under this root.\nIt says nothing of who signed the root.",
                args.leaf_index
            );
            context.out.result(&value, &text);
            Ok(())
        }
        Some(problem) => {
            context.out.result(&value, &format!("INVALID: {problem}"));
            Err(Failure::failed("PROOF_INVALID", problem))
        }
    }
}
