//! Compliance proofs: bytes against one fixed statement.

use std::convert::Infallible;
use std::sync::LazyLock;

use rand_core::{TryCryptoRng, TryRng};
use stateset_fixtures::Seed;
use ves::Digest;
use ves_stark_primitives::{EventStatement, FieldDescription, Opening, SuiteId};
use ves_stark_prover::prove_one_event;
use ves_stark_verifier::{decode, verify_one_event};

use crate::Input;

/// A statement with its proof, made once.
static PROVED: LazyLock<(EventStatement, Vec<u8>)> = LazyLock::new(|| {
    let field = FieldDescription::new("amount", "total", "amount", "USD", 2).expect("a field");
    let opening = Opening::new(5_000, [1, 2, 3, 4]).expect("small elements");
    let statement = EventStatement {
        suite: SuiteId::Standard,
        digest: Digest(Seed::new("statement", 0).bytes()),
        limit: 9_999,
        capacity: field.capacity(),
        commitment: opening.commit(&field),
    };
    let proof = prove_one_event(&statement, &opening, &mut Repeating(0)).expect("it satisfies the limit");
    (statement, proof)
});

/// Gives the same masks in every run, so that a failing input fails again.
struct Repeating(u64);

impl TryRng for Repeating {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|word| word as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 += 1;
        Ok(self.0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0 += 1;
        bytes.fill(self.0 as u8);
        Ok(())
    }
}

impl TryCryptoRng for Repeating {}

/// The bytes as they are, then the valid proof with one change that they name.
pub fn proof(data: &[u8]) -> bool {
    let (statement, valid) = &*PROVED;
    let read = decode(data);
    if let Ok(outline) = &read {
        assert_eq!(outline.bytes, data.len());
    }
    assert_eq!(
        verify_one_event(statement, data).is_ok(),
        data == valid,
        "only the proof that was made verifies"
    );

    let mut input = Input::new(data);
    let mut changed = valid.clone();
    let at = input.below(changed.len());
    match input.below(3) {
        0 => changed[at] ^= input.byte(),
        1 => changed.truncate(at),
        _ => changed.insert(at, input.byte()),
    }
    assert_eq!(verify_one_event(statement, &changed).is_ok(), changed == *valid, "changed at byte {at}");
    read.is_ok()
}

pub fn seeds() -> Vec<Vec<u8>> {
    let valid = &PROVED.1;
    vec![valid.clone(), valid[..32].to_vec(), valid[..valid.len() / 2].to_vec(), b"VSTK".to_vec()]
}
