//! Nothing that tells an amount stays in memory behind a proof. The tests read their own process, free memory included, so
//! they have one for themselves and run one at a time.

#![cfg(target_os = "linux")]

#[path = "it/support.rs"]
#[allow(dead_code, reason = "of the other tests")]
mod support;

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ves_stark_primitives::clauses::evaluate::Evidence;
use ves_stark_primitives::clauses::tree::{Node, Path, Root, leaf, node};
use ves_stark_primitives::clauses::{Clause, Number};
use ves_stark_primitives::{ClausePolicy, ClausesStatement, SuiteId, poseidon2};
use ves_stark_prover::hiding::Absent;
use ves_stark_prover::{prove_batch_with, prove_clauses};
use ves_stark_verifier::backend::batch_circuit;
use ves_stark_verifier::{verify_batch, verify_clauses};

use support::{Seeded, amount_field, batch, digest, opening};

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

impl Buffers {
    fn new() -> Self {
        // The allocator gives large blocks back to the system, where nothing is seen any more, until it has met a larger one.
        drop(std::hint::black_box(vec![1u8; 16 << 20]));
        Self { cells: vec![0; 1 << 20], maps: String::with_capacity(1 << 20) }
    }
}

/// A test sees what another has in memory, its buffer too.
fn alone() -> MutexGuard<'static, ()> {
    static TESTS: Mutex<()> = Mutex::new(());
    TESTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often something stands in writable memory: at how many words `is_there` finds it. Stacks are not looked at.
///
/// - `words_max`: so many words are enough to find it.
fn found_in_memory(
    Buffers { cells: buffer, maps }: &mut Buffers,
    words_max: usize,
    is_there: impl Fn(&[[u8; 4]]) -> bool,
) -> usize {
    let own = buffer.as_ptr().addr()..buffer.as_ptr().addr() + buffer.len();
    // A thread's stack of 2 MiB lies among other memory; this is near its upper end.
    let here = (&raw const own).addr();
    let stack = here.saturating_sub(2 << 20)..here + (64 << 10);
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
        let has_stack = (start..end).contains(&here);
        let mut at = start;
        while at < end {
            // A mapping may have gone since; then there is nothing to see in it.
            let Ok(read) = memory.read_at(buffer, at as u64) else { break };
            let read = read.min(end - at);
            let words: &[[u8; 4]] = buffer[..read].as_chunks().0;
            let is_looked_at = |place: &usize| {
                let at = at + 4 * place;
                let is_stack = has_stack && stack.contains(&at);
                !own.contains(&at) && !is_stack
            };
            found += (0..words.len()).filter(is_looked_at).filter(|&place| is_there(&words[place..])).count();
            // The next piece begins where something that this one cuts off begins.
            at += if read < buffer.len() { read.max(4) } else { read - 4 * words_max };
        }
    }
    buffer.fill(0);
    found
}

/// How often the amount's bits stand in memory as a table has them: one cell a bit.
fn tables_in_memory(buffers: &mut Buffers) -> usize {
    found_in_memory(buffers, BITS, is_amount)
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
    let _alone = alone();
    let mut buffer = Buffers::new();
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

/// The private number of the policy below, and its neighbours on a list that nobody else has.
const NUMBER: u64 = 0x3a91_6c07_d25e_48b3;
const NEIGHBOURS: [u64; 2] = [0x2b5e_91c8_604d_f713, 0x7c16_38da_95e0_2b4d];

/// Nodes beside the way to the neighbours, from the second level on.
fn sibling(level: u32) -> Node {
    std::array::from_fn(|k| 0x4d2f_9a61u32.wrapping_mul(8 * level + k as u32 + 3) % poseidon2::P)
}

/// How the field library keeps an element.
fn kept(element: u32) -> u32 {
    ((u64::from(element) << 32) % u64::from(poseidon2::P)) as u32
}

/// Whether words begin with something.
type IsThere = fn(&[[u8; 4]]) -> bool;

/// What would tell the number or its place on the list, in each form that it has on the way to a table.
const SECRETS: [(&str, IsThere); 5] = [
    ("a node beside the path", |words| {
        (1..3).any(|level| words.len() >= 8 && (0..8).all(|k| word(words, k) == sibling(level)[k]))
    }),
    ("a node beside the path in a table", |words| {
        (1..3).any(|level| words.len() >= 8 && (0..8).all(|k| word(words, k) == kept(sibling(level)[k])))
    }),
    ("a neighbour", |words| NEIGHBOURS.iter().any(|&neighbour| is_number(words, neighbour))),
    ("the number", |words| is_number(words, NUMBER)),
    ("the number's limbs in a table", |words| {
        let limb = |k: usize| (NUMBER >> (48 - 16 * k)) as u32 & 0xffff;
        words.len() >= 4 && (0..4).all(|k| word(words, k) == kept(limb(k)))
    }),
];

fn word(words: &[[u8; 4]], place: usize) -> u32 {
    u32::from_ne_bytes(words[place])
}

fn is_number(words: &[[u8; 4]], number: u64) -> bool {
    words.len() >= 2 && [number as u32, (number >> 32) as u32] == [word(words, 0), word(words, 1)]
}

fn secrets_in_memory(buffers: &mut Buffers) -> Vec<(&'static str, usize)> {
    let found = SECRETS.map(|(what, is_there)| (what, found_in_memory(buffers, 8, is_there)));
    found.into_iter().filter(|(_, count)| *count > 0).collect()
}

/// That the number is missing between its neighbours, at places 2 and 3 of a list of depth 3; and the list's root.
fn absence() -> (Evidence, Root) {
    let [low, high] = NEIGHBOURS.map(|neighbour| leaf(neighbour, 0));
    let below = node(&sibling(1), &node(&low, &high));
    let root = Root::new(&node(&below, &sibling(2)), 3, "v", 0, 2_000);
    let path = |place, other| Path { place, siblings: vec![other, sibling(1), sibling(2)] };
    let evidence =
        Evidence::Between { left: (NEIGHBOURS[0], path(2, high)), right: (NEIGHBOURS[1], path(3, low)) };
    (evidence, root)
}

/// Of a composed policy: evidence of lists, hidden branches, and the cells that every row repeats.
#[test]
fn no_evidence_stays_in_memory_behind_a_proof_of_clauses() {
    let _alone = alone();
    let mut buffers = Buffers::new();
    assert_eq!(secrets_in_memory(&mut buffers), [], "before");
    let (statement, proof) = {
        let (evidence, root) = absence();
        let range = |hi| Clause::Range { x: 0, lo: None, hi: Some(Number(hi)) };
        let either = Clause::OneOf { clauses: vec![range(1), Clause::NonMember { x: 0, root: 0 }] };
        let opening = opening(NUMBER, 1);
        let statement = ClausesStatement {
            suite: SuiteId::Standard,
            digest: digest(b"clauses"),
            policy: ClausePolicy::new(1, vec![range(u64::MAX), either], vec![root]).unwrap(),
            capacities: vec![amount_field().capacity()],
            commitments: vec![opening.commit(&amount_field())],
        };
        let of_clause = |clause: usize| (clause == 3).then(|| evidence.clone());
        let proof = prove_clauses(&statement, &[opening], &of_clause, 1_000, &mut Seeded::new(1)).unwrap();
        (statement, proof)
    };
    assert_eq!(secrets_in_memory(&mut buffers), [], "after");
    assert!(verify_clauses(&statement, 1_000, &proof).is_ok());

    // What nobody wipes is seen while it is there, and in free memory as well.
    let evidence = Box::new(absence().0);
    let kinds: Vec<&str> = secrets_in_memory(&mut buffers).into_iter().map(|(what, _)| what).collect();
    assert_eq!(kinds, ["a node beside the path", "a neighbour"], "while it is there");
    drop(evidence);
    assert_eq!(secrets_in_memory(&mut buffers), [], "when it is gone");
    let unwiped = vec![[0; 8], sibling(1)];
    let behind_it = vec![1u8; 4096];
    drop(unwiped);
    assert_eq!(secrets_in_memory(&mut buffers), [("a node beside the path", 1)], "when nobody wiped it");
    drop(behind_it);
}
