//! Proofs about payloads (section 11, items 1, 2, 5, 12, 16 and 17), each refusal beside an accepted twin.

use ves_stark_primitives::{Opening, ProofError, ProveError, Statement, SuiteId};
use ves_stark_prover::hiding::Drawn;
use ves_stark_prover::{Hashed, engine, prove_one_event, prove_payload};
use ves_stark_verifier::backend::parameters::Profile;
use ves_stark_verifier::backend::{Claim, payload_circuit, payload_shape};
use ves_stark_verifier::{Kind, PayloadStatement, decode, verify_payload, verify_statement};

use crate::support::{Seeded, opening, statement};

const SALT: [u8; 16] = *b"sixteen of salt!";
const PAYLOAD: &str = r#"{"items":[{"sku":"a\"b","total":3}],"note":"total","total":5000}"#;

fn of(suite: SuiteId, payload: &str, amount: u64) -> (PayloadStatement, Opening) {
    let opening = opening(amount, 1);
    let statement = PayloadStatement {
        event: statement(suite, 10_000, &opening),
        payload_hash: ves::hash::Hasher::bare()
            .bytes(b"VES_PAYLOAD_PLAIN_V1")
            .bytes(&SALT)
            .bytes(payload.as_bytes())
            .finish(),
        is_salted: true,
        key: "total".to_owned(),
        log_slots: PayloadStatement::log_slots_for(payload.len(), true).unwrap(),
    };
    (statement, opening)
}

fn prove(statement: &PayloadStatement, opening: &Opening, payload: &str) -> Result<Vec<u8>, ProveError> {
    prove_payload(
        statement,
        opening,
        &Hashed { salt: &SALT, payload: payload.as_bytes() },
        &mut Seeded::new(1),
    )
}

#[test]
fn payloads_of_every_size_are_proved() {
    for (suite, lengths) in
        [(SuiteId::Standard, &[0, 120, 600, 1_500][..]), (SuiteId::Proven, &[10, 250][..])]
    {
        for &length in lengths {
            let payload = format!(r#"{{"note":"{}","total":5000}}"#, "x".repeat(length));
            let (statement, opening) = of(suite, &payload, 5_000);
            let proof = prove(&statement, &opening, &payload).unwrap();
            let security = verify_payload(&statement, &proof).unwrap();
            assert!(security.conjectured_bits >= 100 && security.zk);
            let outline = decode(&proof).unwrap();
            assert_eq!((outline.kind, outline.suite, outline.bytes), (Kind::Payload, suite, proof.len()));
            assert_eq!(outline.security, security);
            assert!(suite == SuiteId::Proven || proof.len() <= 130_000, "{length}: {} bytes", proof.len());
        }
    }
}

/// BLAKE3 hashes of proofs made with a known generator; see `golden`.
#[test]
fn payload_proofs_of_a_known_generator_keep_their_bytes() {
    const GOLDEN: [(SuiteId, usize, &str); 2] = [
        (SuiteId::Standard, 88_508, "44a22c4a21d027a69cf24569d3b95fbdc2fbbb4660a60dd9b300f4dd1b7e090d"),
        (SuiteId::Proven, 142_100, "a899466a562b5577686ac7c4c3b50461c18b7dc84106e0f3c7c9c80d952fafef"),
    ];
    let found = GOLDEN.map(|(suite, _, _)| {
        let (statement, opening) = of(suite, PAYLOAD, 5_000);
        let proof = prove(&statement, &opening, PAYLOAD).unwrap();
        verify_payload(&statement, &proof).unwrap();
        (suite, proof.len(), blake3::hash(&proof).to_hex().to_string())
    });
    assert_eq!(found, GOLDEN.map(|(suite, bytes, hash)| (suite, bytes, hash.to_owned())));
}

#[test]
fn another_statement_is_not_proved() {
    let (statement, opening) = of(SuiteId::Standard, PAYLOAD, 5_000);
    let proof = prove(&statement, &opening, PAYLOAD).unwrap();
    assert!(verify_payload(&statement, &proof).is_ok());
    let with = |change: fn(&mut PayloadStatement)| {
        let mut other = statement.clone();
        change(&mut other);
        verify_payload(&other, &proof)
    };
    for (what, found) in [
        ("payload", with(|s| s.payload_hash.0[31] ^= 1)),
        ("key of the same length", with(|s| s.key = "notal".to_owned())),
        ("salt", with(|s| s.is_salted = false)),
        ("limit", with(|s| s.event.limit -= 1)),
        ("digest", with(|s| s.event.digest.0[0] ^= 1)),
        ("unit", with(|s| s.event.capacity[0] ^= 1)),
    ] {
        assert!(matches!(found, Err(ProofError::Invalid { .. })), "{what}: {found:?}");
    }
    for (what, found) in
        [("longer key", with(|s| s.key.push('s'))), ("larger table", with(|s| s.log_slots += 1))]
    {
        assert!(
            matches!(found, Err(ProofError::Parameters { .. } | ProofError::TooLarge { .. })),
            "{what}: {found:?}"
        );
    }
    for key in ["", "a\"b", "a\\b", "ü"] {
        let other = PayloadStatement { key: key.to_owned(), ..statement.clone() };
        assert!(matches!(verify_payload(&other, &proof), Err(ProofError::Malformed { .. })), "{key}");
    }
}

/// Item 1, one bit of every 97th byte; `rejection` changes every byte of a proof of the same format.
#[test]
fn no_byte_can_be_changed() {
    let (statement, opening) = of(SuiteId::Standard, r#"{"total":5000}"#, 5_000);
    let mut proof = prove(&statement, &opening, r#"{"total":5000}"#).unwrap();
    assert!(verify_payload(&statement, &proof).is_ok());
    for i in (0..proof.len()).step_by(97) {
        proof[i] ^= 1 << (i % 8);
        assert!(verify_payload(&statement, &proof).is_err(), "byte {i}");
        proof[i] ^= 1 << (i % 8);
    }
    assert!(verify_payload(&statement, &proof[..proof.len() - 1]).is_err());
    proof.push(0);
    assert!(verify_payload(&statement, &proof).is_err());
}

/// Items 12 and 16: whatever table a header claims, the bytes are read or refused.
#[test]
fn a_header_of_any_table_is_read_or_refused() {
    let (statement, opening) = of(SuiteId::Standard, r#"{"total":5000}"#, 5_000);
    let mut proof = prove(&statement, &opening, r#"{"total":5000}"#).unwrap();
    let honest = proof.clone();
    let columns = decode(&proof).unwrap().columns as u16;
    for log_rows in [0, 5, 6, 7, 8, 9, 12, 13, 64, 255] {
        for columns in [0, 1, columns - 5, columns - 1, columns, columns + 1, columns + 27, u16::MAX] {
            proof[7] = log_rows;
            proof[12..14].copy_from_slice(&columns.to_le_bytes());
            assert_eq!(decode(&proof).is_ok(), proof == honest, "{log_rows} {columns}");
            assert_eq!(verify_payload(&statement, &proof).is_ok(), proof == honest, "{log_rows} {columns}");
        }
    }
}

/// Item 5: the payload says what the commitment says, and that is above the limit.
#[test]
fn an_amount_above_the_limit_is_not_proved() {
    for above in [10_001, 1 << 32, 10_000 + 0x7f00_0001, u64::MAX] {
        let payload = format!(r#"{{"total":{above}}}"#);
        let (statement, opening) = of(SuiteId::Standard, &payload, above);
        assert_eq!(prove(&statement, &opening, &payload), Err(ProveError::PolicyNotSatisfied));
        let forged = forge(&statement, &opening, &payload);
        assert!(matches!(verify_payload(&statement, &forged), Err(ProofError::Invalid { .. })), "{above}");
    }
    let payload = r#"{"total":10000}"#;
    let (statement, opening) = of(SuiteId::Standard, payload, 10_000);
    assert!(verify_payload(&statement, &forge(&statement, &opening, payload)).is_ok(), "the accepted twin");
}

/// What a cheating prover makes of an opening and a payload, whether they fit the statement or not.
fn forge(statement: &PayloadStatement, opening: &Opening, payload: &str) -> Vec<u8> {
    let circuit = payload_circuit(statement).unwrap();
    let randomness = opening.blinding().map(|word| ves_stark_air::felt_from_canonical(word).unwrap());
    let table = circuit.trace(opening.value(), randomness, &SALT, payload.as_bytes());
    let claim = Claim { circuit: &circuit, statement_digest: &statement.event.digest.0 };
    let shape = payload_shape(Profile::Standard, statement.log_slots, statement.key.len());
    engine::forge(&claim, &shape, table, &mut Drawn::new(&mut Seeded::new(9), b"forged"))
}

/// The prover refuses, and what a cheating one makes is refused by the verifier.
#[test]
fn another_number_is_not_proved() {
    for (payload, amount) in [
        (r#"{"total":5001}"#, 5_000),
        (r#"{"total":5000,"total":5000}"#, 5_000),
        (r#"{"a":{"total":5000}}"#, 5_000),
        (r#"{"a":"\"total\":5000"}"#, 5_000),
        (r#"{"tot\u0061l":1,"total":5000}"#, 5_000),
        (r#"{"total":05000}"#, 5_000),
        (r#"{"total":5e3}"#, 5_000),
        (r#"{"total":5000.0}"#, 5_000),
        (r#"{"total":-5000}"#, 5_000),
        (r#"{"total": 5000}"#, 5_000),
    ] {
        let (statement, opening) = of(SuiteId::Standard, payload, amount);
        assert_eq!(prove(&statement, &opening, payload), Err(ProveError::OtherPayload), "{payload}");
        let forged = forge(&statement, &opening, payload);
        assert!(matches!(verify_payload(&statement, &forged), Err(ProofError::Invalid { .. })), "{payload}");
    }
    let (statement, opening) = of(SuiteId::Standard, r#"{"total":5000}"#, 5_000);
    let proof = prove(&statement, &opening, r#"{"total":5000}"#).unwrap();
    assert!(verify_payload(&statement, &proof).is_ok());
}

/// Section 11, item 17: a payload of another bucket is another statement, whichever way it is claimed.
#[test]
fn a_payload_of_another_bucket_is_not_proved() {
    let long = format!(r#"{{"note":"{}","total":5000}}"#, "x".repeat(100));
    let (statement, opening) = of(SuiteId::Standard, &long, 5_000);
    assert_eq!(statement.log_slots, 3);
    let proof = prove(&statement, &opening, &long).unwrap();
    assert!(verify_payload(&statement, &proof).is_ok());

    let smaller = PayloadStatement { log_slots: 2, ..statement.clone() };
    assert_eq!(prove(&smaller, &opening, &long), Err(ProveError::OtherPayload));
    let found = verify_payload(&smaller, &proof);
    assert!(matches!(found, Err(ProofError::Parameters { .. } | ProofError::TooLarge { .. })), "{found:?}");

    // A cheating prover fills the smaller table with a payload that fits it, under the hash of the longer one.
    let (short, _) = of(SuiteId::Standard, r#"{"total":5000}"#, 5_000);
    assert_eq!(short.log_slots, 2);
    let honest = payload_circuit(&short).unwrap();
    let randomness = opening.blinding().map(|word| ves_stark_air::felt_from_canonical(word).unwrap());
    let table = honest.trace(5_000, randomness, &SALT, br#"{"total":5000}"#);
    let circuit = payload_circuit(&smaller).unwrap();
    let claim = Claim { circuit: &circuit, statement_digest: &smaller.event.digest.0 };
    let shape = payload_shape(Profile::Standard, 2, smaller.key.len());
    let forged = engine::forge(&claim, &shape, table, &mut Drawn::new(&mut Seeded::new(9), b"forged"));
    assert!(matches!(verify_payload(&smaller, &forged), Err(ProofError::Invalid { .. })));

    // A larger bucket than needed only hides more.
    let roomy = PayloadStatement { log_slots: 4, ..statement };
    let proof = prove(&roomy, &opening, &long).unwrap();
    assert!(verify_payload(&roomy, &proof).is_ok());
}

/// Whatever a proof is of, the two circuits are told apart (section 4.2).
#[test]
fn a_proof_of_one_binding_level_is_none_of_the_other() {
    let (payload, opening) = of(SuiteId::Standard, PAYLOAD, 5_000);
    let about_payload = prove(&payload, &opening, PAYLOAD).unwrap();
    let about_amount = prove_one_event(&payload.event, &opening, &mut Seeded::new(2)).unwrap();
    let (amount, payload) = (Statement::Amount(payload.event.clone()), Statement::Payload(payload));
    assert!(verify_statement(&amount, ves::TimestampMs(0), &about_amount).is_ok());
    assert!(verify_statement(&payload, ves::TimestampMs(0), &about_payload).is_ok());
    for (statement, proof) in [(&amount, &about_payload), (&payload, &about_amount)] {
        let found = verify_statement(statement, ves::TimestampMs(0), proof);
        assert!(
            matches!(
                found,
                Err(ProofError::Parameters { .. }
                    | ProofError::TooLarge { .. }
                    | ProofError::Malformed { .. })
            ),
            "{found:?}"
        );
    }
}
