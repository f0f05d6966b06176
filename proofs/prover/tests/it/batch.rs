//! Batches (section 11, items 1, 4, 5, 8, 9, 12 and 16), each refusal beside an accepted twin.

use ves_stark_air::{Circuit, felt_from_canonical};
use ves_stark_primitives::{Opening, ProofError, ProveError, SuiteId};
use ves_stark_prover::hiding::Drawn;
use ves_stark_prover::{engine, prove_batch};
use ves_stark_verifier::backend::parameters::Profile;
use ves_stark_verifier::backend::{Claim, batch_circuit, batch_shape};
use ves_stark_verifier::{BatchStatement, Kind, batch_security, decode, verify_batch, verify_one_event};

use crate::support::{Seeded, batch, digest, opening, proved};

const AMOUNTS: [u64; 11] = [0, 1, 9_999, 10_000, 5, 77, 1_234, 4_000, 4_000, 10, 9];

fn proved_batch() -> (BatchStatement, Vec<Opening>, Vec<u8>) {
    let (statement, openings) = batch(SuiteId::Standard, &AMOUNTS, 10_000);
    let proof = prove_batch(&statement, &openings, &mut Seeded::new(1)).unwrap();
    (statement, openings, proof)
}

fn invalid(statement: &BatchStatement, proof: &[u8]) -> bool {
    matches!(verify_batch(statement, proof), Err(ProofError::Invalid { .. }))
}

#[test]
fn batches_of_every_table_size_are_proved() {
    for suite in [SuiteId::Standard, SuiteId::Proven] {
        for events in [1, 8, 9, 64, 100, 200, 600] {
            let amounts: Vec<u64> = (0..events).map(|i| i * 3).collect();
            let (statement, openings) = batch(suite, &amounts, 3_000);
            let proof = prove_batch(&statement, &openings, &mut Seeded::new(events)).unwrap();
            let security = verify_batch(&statement, &proof).unwrap();
            assert_eq!(security, batch_security(suite, amounts.len()).unwrap());
            let outline = decode(&proof).unwrap();
            assert_eq!((outline.kind, outline.suite, outline.bytes), (Kind::Batch, suite, proof.len()));
            assert_eq!(outline.rows, amounts.len().next_power_of_two().max(8));
        }
    }
}

/// A limit of more bits makes a wider table, and another one for each 16 of them.
#[test]
fn limits_of_every_width_are_proved() {
    let mut widths = Vec::new();
    for limit in [9, u64::from(u16::MAX), 1 << 20, 1 << 40, u64::MAX] {
        let (statement, openings) = batch(SuiteId::Standard, &[0, limit / 3, limit], limit);
        let proof = prove_batch(&statement, &openings, &mut Seeded::new(limit)).unwrap();
        verify_batch(&statement, &proof).unwrap();
        widths.push(decode(&proof).unwrap().columns);
        if let Some(limit) = limit.checked_add(1) {
            assert!(verify_batch(&BatchStatement { limit, ..statement }, &proof).is_err(), "{limit}");
        }
    }
    assert_eq!(widths, [159, 159, 183, 207, 231]);
}

/// Item 1, one bit of every 13th byte; `rejection` changes every byte of a proof of the same format.
#[test]
fn no_byte_can_be_changed() {
    let (statement, _, proof) = proved_batch();
    assert!(verify_batch(&statement, &proof).is_ok());
    let mut changed = proof.clone();
    for i in (0..proof.len()).step_by(13) {
        changed[i] ^= 1 << (i % 8);
        assert!(verify_batch(&statement, &changed).is_err(), "byte {i}");
        changed[i] = proof[i];
    }
    changed.push(0);
    assert!(verify_batch(&statement, &changed).is_err());
    assert!(verify_batch(&statement, &proof[..proof.len() - 1]).is_err());
}

/// Items 12 and 16: whatever table a header claims, the bytes are read or refused. Tables of 8 and of 16 rows have all lengths in
/// common, so a proof of one can be read as one of the other; it is none.
#[test]
fn a_header_of_any_table_is_read_or_refused() {
    let (statement, _, mut proof) = proved_batch();
    let honest = proof.clone();
    for log_rows in [0, 2, 3, 4, 5, 12, 13, 64, 255] {
        for columns in [0u16, 1, 158, 159, 160, 183, 207, 231, 255, u16::MAX] {
            proof[7] = log_rows;
            proof[12..14].copy_from_slice(&columns.to_le_bytes());
            let is_table = matches!(log_rows, 3 | 4) && columns == 159;
            assert_eq!(decode(&proof).is_ok(), is_table, "{log_rows} {columns}");
            assert_eq!(verify_batch(&statement, &proof).is_ok(), proof == honest, "{log_rows} {columns}");
        }
    }
}

/// Item 9.
#[test]
fn the_list_of_commitments_is_bound() {
    let (statement, _, proof) = proved_batch();
    assert!(verify_batch(&statement, &proof).is_ok());
    let with = |change: fn(&mut BatchStatement)| {
        let mut other = statement.clone();
        change(&mut other);
        other
    };
    let others = [
        ("two swapped", with(|s| s.commitments.swap(2, 5))),
        ("the last dropped", with(|s| s.commitments.truncate(10))),
        ("the first moved to the end", with(|s| s.commitments.rotate_left(1))),
        ("one duplicated over another", with(|s| s.commitments[3] = s.commitments[4])),
        ("one appended", with(|s| s.commitments.push(s.commitments[0]))),
        ("another digest", with(|s| s.digest = digest(b"another batch"))),
        ("a lower limit", with(|s| s.limit -= 1)),
        ("a higher limit", with(|s| s.limit += 1)),
        ("another unit", with(|s| s.capacity[0] ^= 1)),
    ];
    for (what, other) in others {
        assert!(invalid(&other, &proof), "{what}");
    }
    // Row eight of a table of eight rows and of sixteen are not the same statement.
    let more = with(|s| s.commitments.extend_from_within(..6));
    assert!(matches!(verify_batch(&more, &proof), Err(ProofError::Parameters { .. })), "another table");
}

/// Item 9: a row beyond the last event holds the known filler, not an event of the prover's choice.
#[test]
fn a_filling_row_cannot_carry_an_event() {
    let (statement, openings, _) = proved_batch();
    let (longer, mut longer_openings) = batch(SuiteId::Standard, &[&AMOUNTS[..], &[42]].concat(), 10_000);
    assert_eq!(longer.commitments[..11], statement.commitments[..]);
    let hidden = table(&longer, &longer_openings);
    assert!(invalid(&statement, &forge(&statement, hidden)));
    assert!(verify_batch(&statement, &forge(&statement, table(&statement, &openings))).is_ok());
    longer_openings.pop();
    assert_eq!(prove_batch(&longer, &longer_openings, &mut Seeded::new(1)), Err(ProveError::OtherCommitment));
}

/// Items 8 and 9: amounts moved between events so that any sum with fixed weights is unchanged.
#[test]
fn amounts_cannot_move_between_events() {
    let (statement, openings, _) = proved_batch();
    let honest = table(&statement, &openings);
    let width = batch_circuit(&statement).unwrap().columns();
    // Bits and comparison of two rows exchanged; their hashes stay.
    let mut moved = honest.clone();
    for column in 0..16 + 7 {
        moved.swap(2 * width + column, 6 * width + column);
    }
    assert!(invalid(&statement, &forge(&statement, moved)));
    // Whole rows exchanged.
    let mut moved = honest.clone();
    for column in 0..width {
        moved.swap(2 * width + column, 6 * width + column);
    }
    assert!(invalid(&statement, &forge(&statement, moved)));
    assert!(verify_batch(&statement, &forge(&statement, honest)).is_ok());
}

/// Item 5.
#[test]
fn one_amount_above_the_limit_spoils_the_batch() {
    for above in [10_001, u64::MAX, 1 << 32, 10_000 + 0x7f00_0001] {
        let mut amounts = AMOUNTS;
        amounts[7] = above;
        let (statement, openings) = batch(SuiteId::Standard, &amounts, 10_000);
        assert_eq!(
            prove_batch(&statement, &openings, &mut Seeded::new(1)),
            Err(ProveError::PolicyNotSatisfied)
        );
        assert!(invalid(&statement, &forge(&statement, table(&statement, &openings))), "{above}");
    }
    let (statement, openings, proof) = proved_batch();
    assert_eq!(AMOUNTS[3], statement.limit, "the accepted twin reaches the limit");
    assert!(verify_batch(&statement, &proof).is_ok());
    assert!(verify_batch(&statement, &forge(&statement, table(&statement, &openings))).is_ok());
}

#[test]
fn proofs_of_one_event_and_of_batches_are_not_exchanged() {
    let (statement, _, proof) = proved_batch();
    let (of_event, event_proof) = proved(SuiteId::Standard, 5, 10_000, 1);
    assert!(matches!(verify_batch(&statement, &event_proof), Err(ProofError::Parameters { .. })));
    assert!(matches!(
        verify_one_event(&of_event, &proof),
        Err(ProofError::Parameters { .. } | ProofError::TooLarge { .. })
    ));
}

#[test]
fn a_batch_has_at_least_one_event_and_at_most_4096() {
    let field = crate::support::amount_field();
    let one = opening(1, 1).commit(&field);
    for events in [0, 4_097] {
        let (mut statement, ..) = proved_batch();
        statement.commitments = vec![one; events];
        assert!(matches!(verify_batch(&statement, &[0; 100]), Err(ProofError::Malformed { .. })));
    }
}

fn table(statement: &BatchStatement, openings: &[Opening]) -> Vec<ves_stark_air::Felt> {
    batch_circuit(statement).unwrap().trace(
        openings
            .iter()
            .map(|opening| {
                (opening.value(), opening.blinding().map(|word| felt_from_canonical(word).unwrap()))
            })
            .collect::<Vec<_>>()
            .into_iter(),
    )
}

fn forge(statement: &BatchStatement, table: Vec<ves_stark_air::Felt>) -> Vec<u8> {
    let circuit = batch_circuit(statement).unwrap();
    let claim = Claim { circuit: &circuit, statement_digest: &statement.digest.0 };
    let mut masks = Drawn::new(&mut Seeded::new(9), b"forged");
    engine::forge(&claim, &batch_shape(Profile::Standard, &circuit), table, &mut masks)
}
