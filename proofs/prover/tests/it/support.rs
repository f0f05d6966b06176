//! Statements, openings and a generator that repeats itself.

use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};
use ves_stark_primitives::commitment::FieldDescription;
use ves_stark_primitives::{EventStatement, Opening, SuiteId};
use ves_stark_prover::prove_one_event;
use ves_stark_verifier::BatchStatement;

/// A generator that a test can repeat: BLAKE3's output for a seed.
pub struct Seeded(blake3::OutputReader);

impl Seeded {
    pub fn new(seed: u64) -> Self {
        Self(blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof())
    }
}

impl TryRng for Seeded {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut word = [0; 4];
        self.0.fill(&mut word);
        Ok(u32::from_le_bytes(word))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut word = [0; 8];
        self.0.fill(&mut word);
        Ok(u64::from_le_bytes(word))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}

pub fn amount_field() -> FieldDescription {
    FieldDescription::new("amount", "total", "amount", "USD", 2).unwrap()
}

/// An opening of `amount`, the same for the same seed.
pub fn opening(amount: u64, seed: u64) -> Opening {
    let mut random = Seeded::new(seed ^ 0x0be4);
    Opening::draw(amount, |bytes| random.try_fill_bytes(bytes)).unwrap()
}

/// The statement that `opening` satisfies when its amount is at most `limit`.
pub fn statement(suite: SuiteId, limit: u64, opening: &Opening) -> EventStatement {
    let field = amount_field();
    EventStatement {
        suite,
        digest: digest(b"a statement"),
        limit,
        capacity: field.capacity(),
        commitment: opening.commit(&field),
    }
}

/// Any digest.
pub fn digest(of: &[u8]) -> ves::Digest {
    ves::Digest(*blake3::hash(of).as_bytes())
}

/// A statement with its proof.
pub fn proved(suite: SuiteId, amount: u64, limit: u64, seed: u64) -> (EventStatement, Vec<u8>) {
    let opening = opening(amount, seed);
    let statement = statement(suite, limit, &opening);
    let proof = prove_one_event(&statement, &opening, &mut Seeded::new(seed)).unwrap();
    (statement, proof)
}

/// Openings of these amounts with the statement that every one is at most `limit`.
pub fn batch(suite: SuiteId, amounts: &[u64], limit: u64) -> (BatchStatement, Vec<Opening>) {
    let openings = amounts.iter().enumerate().map(|(i, &amount)| opening(amount, i as u64)).collect();
    batch_of(suite, openings, limit)
}

/// The same of openings that are there.
pub fn batch_of(suite: SuiteId, openings: Vec<Opening>, limit: u64) -> (BatchStatement, Vec<Opening>) {
    let field = amount_field();
    let statement = BatchStatement {
        suite,
        digest: digest(b"a batch"),
        limit,
        capacity: field.capacity(),
        commitments: openings.iter().map(|opening| opening.commit(&field)).collect(),
    };
    (statement, openings)
}
