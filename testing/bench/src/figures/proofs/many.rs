//! Many proofs at once, against each by itself.

use std::num::NonZeroUsize;
use std::time::Instant;

use anyhow::{Result, ensure};
use ves::TimestampMs;
use ves_stark_primitives::{Statement, SuiteId};
use ves_stark_prover::prove_one_event;
use ves_stark_verifier::{verify_many, verify_statement};

use super::{Fresh, StatedProof, Subject, event, timed};
use crate::machine::median;
use crate::report::{Row, progress};
use crate::run::Bench;

pub fn measure(bench: &mut Bench, random: &mut Fresh) -> Result<()> {
    progress("many compliance proofs at once");
    let now = TimestampMs(0);
    let (count, rounds) = (bench.count(64, 8), bench.count(41, 3));
    let proved: Vec<(Statement, Vec<u8>)> = (0..count)
        .map(|amount| {
            let (statement, opening) = event(random, SuiteId::Standard, amount)?;
            let proof = prove_one_event(&statement, &opening, random)?;
            Ok((Statement::Amount(statement), proof))
        })
        .collect::<Result<_>>()?;
    let proofs: Vec<StatedProof<'_>> = proved
        .iter()
        .map(|(statement, proof)| StatedProof { subject: Subject::Event(statement), proof })
        .collect();

    let (mut singly, mut serially, mut in_parallel, mut on_clock) = (vec![], vec![], vec![], vec![]);
    let all = NonZeroUsize::new(bench.cores).unwrap_or(NonZeroUsize::MIN);
    for _ in 0..rounds {
        let each = |time: f64| time * 1e6 / count as f64;
        let (time, held) =
            timed(|| proved.iter().all(|(of, proof)| verify_statement(of, now, proof).is_ok()));
        ensure!(held, "a proof of ours verifies");
        singly.push(each(time.as_secs_f64()));
        for (threads, cpu, clock) in
            [(NonZeroUsize::MIN, &mut serially, &mut Vec::new()), (all, &mut on_clock, &mut in_parallel)]
        {
            let started = Instant::now();
            let (time, verdicts) = timed(|| verify_many(&proofs, now, threads));
            clock.push(each(started.elapsed().as_secs_f64()));
            cpu.push(each(time.as_secs_f64()));
            ensure!(verdicts.iter().all(Result::is_ok), "a proof of ours verifies");
        }
    }
    let single = median(&mut singly);
    let row = |what: &str, value: f64| {
        Row::new(format!("proofs: verify_many, {count} of one event, {what}"), value, "us")
    };
    bench.rows.extend([
        row("one core / each by itself", median(&mut serially)).floor(single),
        row(&format!("{all} cores, on the clock / each by itself"), median(&mut in_parallel)).floor(single),
    ]);
    Ok(())
}
