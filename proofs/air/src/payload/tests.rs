use p3_field::PrimeCharacteristicRing;

use super::*;
use crate::broken::broken;
use crate::fingerprint;
use crate::poseidon;

const SALT: [u8; 16] = *b"sixteen of salt!";

fn randomness() -> [Felt; 4] {
    std::array::from_fn(|i| Felt::from_usize(7_000_000 + i))
}

/// The statement that `payload` holds `amount` under "total", whatever it holds, and its table.
fn table(payload: &str, amount: u64, salt: &[u8]) -> (Payload, Vec<Felt>) {
    let message = [PREFIX, salt, payload.as_bytes()].concat();
    let mut circuit = Payload {
        is_salted: !salt.is_empty(),
        key: "total".to_owned(),
        hash: *ves_hash(&message),
        ..Payload::template()
    };
    circuit.amount.limit = u64::MAX;
    let limbs = one_event::limbs(amount);
    let input = std::array::from_fn(|k| match k {
        0..4 => limbs[k],
        4..8 => randomness()[k - 4],
        _ => circuit.amount.capacity[k - 8],
    });
    circuit.amount.commitment.copy_from_slice(&poseidon::permute::<Felt>(input)[..8]);
    let trace = circuit.trace(amount, randomness(), salt, payload.as_bytes());
    (circuit, trace)
}

fn ves_hash(message: &[u8]) -> Box<[u8; 32]> {
    use sha2::Digest as _;
    Box::new(sha2::Sha256::digest(message).into())
}

fn holds(payload: &str, amount: u64) -> bool {
    let (circuit, trace) = table(payload, amount, &SALT);
    broken(&circuit, &trace).is_empty()
}

#[test]
fn the_number_at_the_key_is_the_amount() {
    for (payload, amount) in [
        (r#"{"total":5000}"#, 5_000),
        (r#"{"total":0}"#, 0),
        (r#"{"a":1,"total":18446744073709551615,"z":2}"#, u64::MAX),
        (r#"{"items":[{"total":7},{"total":8}],"note":"\"total\":9, {","total":12345}"#, 12_345),
        (r#"{"subtotal":3,"total":10,"totals":4}"#, 10),
        (r#"{"a":"ü\\","total":1000000007}"#, 1_000_000_007),
        ("{\"a b\":\" \\t \",\"total\":7,\"z\":\" : \"}", 7),
    ] {
        let (circuit, trace) = table(payload, amount, &SALT);
        assert_eq!(broken(&circuit, &trace), [], "{payload}");
        let (circuit, trace) = table(payload, amount, &[]);
        assert_eq!(broken(&circuit, &trace), [], "{payload} without salt");
    }
}

/// Around the edges of blocks, where terminator and length move to the next one.
#[test]
fn payloads_of_every_length_are_hashed() {
    for length in 0..140 {
        let payload = format!(r#"{{"note":"{}","total":42}}"#, "x".repeat(length));
        let (circuit, trace) = table(&payload, 42, &SALT);
        assert_eq!(broken(&circuit, &trace), [], "{length}");
    }
    let longest = Payload::payload_bytes_max(3, true);
    let payload = format!(r#"{{"note":"{}","total":42}}"#, "x".repeat(longest - 22));
    assert_eq!(payload.len(), longest);
    assert!(holds(&payload, 42));
}

/// Section 11, item 17.
#[test]
fn other_numbers_and_other_spellings_are_refused() {
    assert!(holds(r#"{"total":5}"#, 5), "the accepted twin");
    for (payload, amount) in [
        (r#"{"total":6}"#, 5),
        (r#"{"total":5,"total":5}"#, 5),
        (r#"{"a":{"total":5}}"#, 5),
        (r#"{"a":["total",5]}"#, 5),
        (r#"{"a":"\"total\":5"}"#, 5),
        (r#"{"tot\u0061l":5}"#, 5),
        (r#"{"tot\u0061l":6,"total":5}"#, 5),
        (r#"{"total":05}"#, 5),
        (r#"{"total":5e0}"#, 5),
        (r#"{"total":-5}"#, 5),
        (r#"{"total":5.0}"#, 5),
        (r#"{"total": 5}"#, 5),
        (r#"{"total" :5}"#, 5),
        (r#"{"total":"5"}"#, 5),
        (r#"{"total":5 }"#, 5),
        (r#"{"totale":5}"#, 5),
        (r#"{"Total":5}"#, 5),
        (r#"["total",5]"#, 5),
        (r#"{"a":"total","b":5}"#, 5),
        (r#"{"total":5"#, 5),
        (r#"{"total":18446744073709551616}"#, 0),
        (r#"{"total":018446744073709551621}"#, 5),
        (r#"{"total":5,"total" :9}"#, 5),
        (r#"{"total" :9,"total":5}"#, 5),
        (r#"{ "total" :9,"total":5}"#, 5),
        ("{\"total\"\t:9,\"total\":5}", 5),
        ("{\"total\"\n:9,\"total\":5}", 5),
        ("{\"total\":5,\"total\"\r:9}", 5),
        (r#"{"a":1, "total":5}"#, 5),
        (r#"{"total":5} "#, 5),
        (r#"{"total":5]garbage"#, 5),
        (r#"{"total":5}garbage"#, 5),
        (r#"{"total":5}{"total":9}"#, 5),
        (r#"{}{"total":5}"#, 5),
        (r#"{"a":1}{,"total":5}"#, 5),
    ] {
        assert!(!holds(payload, amount), "{payload}");
    }
}

#[test]
fn another_hash_is_refused() {
    let (circuit, trace) = table(r#"{"total":5}"#, 5, &SALT);
    assert_eq!(broken(&circuit, &trace), []);
    for byte in 0..32 {
        let mut other = circuit.clone();
        other.hash[byte] ^= 1;
        assert!(!broken(&other, &trace).is_empty(), "byte {byte}");
    }
}

/// One cell of every column, in a row in the middle of the message, changed.
#[test]
fn cells_are_bound() {
    let payload = r#"{"note":"something that is long enough to need three blocks","total":4711,"z":[1,2]}"#;
    let (circuit, honest) = table(payload, 4_711, &SALT);
    let width = circuit.columns();
    assert_eq!(broken(&circuit, &honest), []);
    for row in [70, 100, 127, 128, 190] {
        for column in 0..width {
            // At depth 1 there is no inverse to give.
            if column == circuit.layout().depth_inverse {
                continue;
            }
            let mut trace = honest.clone();
            trace[row * width + column] += Felt::TWO;
            assert!(!broken(&circuit, &trace).is_empty(), "row {row}, column {column}");
        }
    }
}

#[test]
fn the_digest_is_that_of_the_equations() {
    assert_eq!(fingerprint(&Payload::template(), Payload::STATEMENT_COLUMNS), Payload::DIGEST);
}

/// Whoever proves is given bytes by somebody else: what is no JSON makes a table that breaks equations, and no panic.
#[test]
fn any_bytes_make_a_table() {
    const PIECES: [&str; 16] = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\",
        ",",
        ":",
        "\"total\":",
        "0",
        "99999999999999999999999",
        "-",
        "e",
        " ",
        "\n",
        "\u{ff}",
    ];
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for case in 0..150 {
        let mut payload = String::new();
        while payload.len() < case * 2 {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            payload.push_str(PIECES[(state >> 60) as usize]);
        }
        payload.truncate(payload.floor_char_boundary(330));
        let (circuit, trace) = table(&payload, u64::MAX, &SALT);
        assert!(!broken(&circuit, &trace).is_empty(), "{payload}");
    }
    assert!(holds(r#"{"total":18446744073709551615}"#, u64::MAX));
}
