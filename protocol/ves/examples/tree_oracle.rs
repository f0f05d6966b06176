//! What this crate says of a tree, for the fuzzer of the contracts (`chain/contracts/test/differential`): words of 32 bytes
//! as one hex text, and nothing else on standard output.
//!
//! - `batch SEED START COUNT INDEX`: stream id, leaf, root, new state root, then the path of that leaf;
//! - `verify LEAF ROOT COUNT INDEX [SIBLING]...`: 1 when the path proves the leaf, else 0.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its output is what it is for")]

#[path = "../tests/chain/cases.rs"]
#[allow(dead_code, reason = "shared with a test")]
mod cases;

use std::process::ExitCode;

use ves::merkle::{InclusionProof, verify_inclusion};
use ves::{Digest, hex};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words =
        match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["batch", seed, start, count, index] => batch(seed, start, count, index),
            ["verify", leaf, root, count, index, path @ ..] => verify(leaf, root, count, index, path),
            _ => Err("usage: batch SEED START COUNT INDEX, or verify LEAF ROOT COUNT INDEX [SIBLING]..."
                .to_owned()),
        };
    match words {
        Ok(words) => {
            print!("{}", hex::encode_0x(&words.iter().flat_map(|word| word.0).collect::<Vec<u8>>()));
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn batch(seed: &str, start: &str, count: &str, index: &str) -> Result<Vec<Digest>, String> {
    let (count, index) = (number(count)?, number(index)?);
    let count = u32::try_from(count).ok().filter(|&count| count > 0).ok_or("COUNT is out of range")?;
    if index >= u64::from(count) {
        return Err("INDEX lies outside the batch".to_owned());
    }
    let case = cases::Case::new(&digest(seed)?, number(start)?, count);
    let mut words = vec![case.stream_id, case.leaves[index as usize], case.root(), case.new_state_root()];
    words.extend(case.proof(index).path);
    Ok(words)
}

fn verify(leaf: &str, root: &str, count: &str, index: &str, path: &[&str]) -> Result<Vec<Digest>, String> {
    let path = path.iter().map(|sibling| digest(sibling)).collect::<Result<_, _>>()?;
    let proof = InclusionProof { leaf_index: number(index)?, path };
    let verdict = verify_inclusion(&digest(leaf)?, &digest(root)?, Some(number(count)?), &proof);
    let mut word = Digest::ZERO;
    word.0[31] = verdict.is_ok().into();
    Ok(vec![word])
}

fn digest(text: &str) -> Result<Digest, String> {
    text.parse().map_err(|problem| format!("{text}: {problem}"))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|problem| format!("{text}: {problem}"))
}
