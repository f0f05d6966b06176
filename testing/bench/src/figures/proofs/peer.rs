//! The outside peer: Bulletproofs, the range proofs of the `bulletproofs` crate. They prove 64 bits about a Pedersen commitment
//! under the discrete logarithm, without a policy's limit and not against a quantum computer: another trade, so there
//! is a ratio and no goal.

use anyhow::{Result, anyhow};
use bulletproofs::{BulletproofGens, PedersenGens, RangeProof};
use curve25519_dalek_4::scalar::Scalar;
use merlin::Transcript;

use super::Figures;
use crate::report::{Row, progress};
use crate::run::Bench;

const BITS: usize = 64;
const LABEL: &[u8] = b"stateset-bench";

pub fn measure(bench: &mut Bench, rounds: u64, one: &Figures, eight: &Figures) -> Result<()> {
    progress("Bulletproofs, the outside peer");
    for (what, values, own) in [("one event", 1, one), ("batch of 8", 8, eight)] {
        let peer = range_proofs(values, rounds)?;
        let name = format!("Bulletproofs, {values} of {BITS} bits");
        bench.rows.extend(peer.rows(&name, None));
        let beside = |figure: &str, own: f64, peer: f64, unit| {
            Row::new(format!("proofs: {what} / Bulletproofs: {figure}"), own, unit).floor(peer)
        };
        bench.rows.extend([
            beside("prove", own.prove_ms, peer.prove_ms, "ms"),
            beside("verify", own.verify_us, peer.verify_us, "us"),
            beside("size", own.bytes, peer.bytes, "bytes"),
        ]);
    }
    Ok(())
}

/// One aggregated proof of `values` values, with the commitments that a proof needs beside it.
fn range_proofs(values: usize, rounds: u64) -> Result<Figures> {
    let (generators, pedersen) = (BulletproofGens::new(BITS, values), PedersenGens::default());
    let amounts: Vec<u64> = (0..values as u64).map(|i| 5_000 + i).collect();
    let blindings: Vec<Scalar> =
        (0..values).map(|i| Scalar::from_bytes_mod_order([7 + i as u8; 32])).collect();
    let commitments: Vec<_> = amounts
        .iter()
        .zip(&blindings)
        .map(|(&amount, &blinding)| pedersen.commit(Scalar::from(amount), blinding).compress())
        .collect();
    Figures::of(
        rounds,
        || {
            let transcript = &mut Transcript::new(LABEL);
            let proved =
                RangeProof::prove_multiple(&generators, &pedersen, transcript, &amounts, &blindings, BITS);
            Ok(proved.map_err(|problem| anyhow!("{problem:?}"))?.0.to_bytes())
        },
        |proof| {
            let transcript = &mut Transcript::new(LABEL);
            let proof = RangeProof::from_bytes(proof).map_err(|problem| anyhow!("{problem:?}"))?;
            let verdict = proof.verify_multiple(&generators, &pedersen, transcript, &commitments, BITS);
            verdict.map_err(|problem| anyhow!("{problem:?}"))
        },
    )
}
