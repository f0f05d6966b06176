//! Nothing that tells an amount stays in memory behind a proof. The test reads its own process, free memory included, so it
//! has one for itself.

#![cfg(target_os = "linux")]

#[path = "it/support.rs"]
#[allow(dead_code, reason = "of the other tests")]
mod support;

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use ves_stark_primitives::SuiteId;
use ves_stark_prover::hiding::Absent;
use ves_stark_prover::prove_batch_with;
use ves_stark_verifier::backend::batch_circuit;
use ves_stark_verifier::verify_batch;

use support::batch;

/// No other test has this amount.
const AMOUNT: u64 = 0x9d3c_55a1_7e42_b86f;
/// How the field library keeps the element 1: 2^32 modulo the order.
const ONE: u32 = 0x01ff_fffe;
/// Cells of a row that are the amount's bits.
const BITS: usize = 64;

/// Where memory is read to. Made before anything else, so that looking does not overwrite what is looked for.
struct Buffers {
    cells: Vec<u8>,
    maps: String,
}

/// How often the amount's bits stand in writable memory as a table has them: one cell a bit.
fn tables_in_memory(Buffers { cells: buffer, maps }: &mut Buffers) -> usize {
    let own = buffer.as_ptr().addr()..buffer.as_ptr().addr() + buffer.len();
    let memory = File::open("/proc/self/mem").unwrap();
    maps.clear();
    File::open("/proc/self/maps").unwrap().read_to_string(maps).unwrap();
    let mut found = 0;
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        if !rest.starts_with("rw") || rest.ends_with("[stack]") {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|text| usize::from_str_radix(text, 16).unwrap());
        let mut at = start;
        while at < end {
            // A mapping may have gone since; then there is nothing to see in it.
            let Ok(read) = memory.read_at(buffer, at as u64) else { break };
            let read = read.min(end - at);
            let words: &[[u8; 4]] = buffer[..read].as_chunks().0;
            let is_ours = |place: &usize| !own.contains(&(at + 4 * place));
            found += (0..words.len()).filter(is_ours).filter(|&place| is_amount(&words[place..])).count();
            // The next piece begins where a row that this one cuts off begins.
            at += if read < buffer.len() { read.max(4) } else { read - 4 * BITS };
        }
    }
    buffer.fill(0);
    found
}

fn is_amount(words: &[[u8; 4]]) -> bool {
    words.len() >= BITS
        && words[..BITS].iter().enumerate().all(|(i, &word)| {
            let expected = if AMOUNT >> (BITS - 1 - i) & 1 == 1 { ONE } else { 0 };
            u32::from_ne_bytes(word) == expected
        })
}

/// Eight events of one amount, and no masks: then every column is a constant, and the amount's bits stand in the table,
/// in its coefficients and in every one of the committed rows.
#[test]
fn no_table_stays_in_memory_behind_a_proof() {
    // The allocator gives large blocks back to the system, where nothing is seen any more, until it has met a larger one.
    drop(std::hint::black_box(vec![1u8; 16 << 20]));
    let mut buffer = Buffers { cells: vec![0; 1 << 20], maps: String::with_capacity(1 << 20) };
    let (statement, openings) = batch(SuiteId::Standard, &[AMOUNT; 8], u64::MAX);
    assert_eq!(tables_in_memory(&mut buffer), 0, "before");
    let proof = prove_batch_with(&statement, &openings, &mut Absent).unwrap();
    assert_eq!(tables_in_memory(&mut buffer), 0, "after");
    // A table that nobody wipes is seen while it is there, and in free memory as well.
    let randomness = |opening: &ves_stark_primitives::Opening| {
        opening.blinding().map(|word| ves_stark_air::felt_from_canonical(word).unwrap())
    };
    let circuit = batch_circuit(&statement).unwrap();
    let table = circuit.trace(openings.iter().map(|opening| (opening.value(), randomness(opening))));
    let behind_it = vec![1u8; 4096];
    assert_eq!(tables_in_memory(&mut buffer), 8, "while it is there");
    drop(table);
    assert!(tables_in_memory(&mut buffer) > 0, "when it is gone");
    drop(behind_it);
    assert!(verify_batch(&statement, &proof).is_ok());
}
