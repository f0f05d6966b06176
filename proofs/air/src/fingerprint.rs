//! A digest that changes when a circuit changes.

use std::ops::Range;

use p3_field::integers::QuotientMap;

use crate::circuit::{Circuit, Constraints, Felt, Frame, felt_bytes};

/// Points at which the equations are sampled. Two different equations of degree 3 agree at one random point with
/// probability at most 3/2^31, so four points tell any two layouts apart.
const SAMPLES: usize = 4;

/// Digest of a circuit: its shape, its fixed columns, and its equations evaluated at points drawn from the shape.
///
/// `template` holds fixed public elements, so that the digest does not depend on a statement; fixed columns enter by
/// value, but for those of `statement_columns`, which carry statement data.
pub fn fingerprint<C: Circuit>(template: &C, statement_columns: Range<usize>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("stateset ves-stark circuit fingerprint v1");
    let fixed = template.fixed_columns();
    hasher.update(template.name().as_bytes());
    for size in [template.log_rows(), template.columns(), template.next_columns(), C::DEGREE, fixed.len()] {
        hasher.update(&(size as u64).to_le_bytes());
    }
    let constant = fixed[..statement_columns.start].iter().chain(&fixed[statement_columns.end..]);
    for value in constant.flatten() {
        hasher.update(&felt_bytes(*value));
    }
    let mut points = hasher.finalize_xof();
    let mut draw = |count: usize| -> Vec<Felt> {
        let mut word = [0u8; 8];
        (0..count)
            .map(|_| {
                points.fill(&mut word);
                Felt::from_int(u64::from_le_bytes(word))
            })
            .collect()
    };
    for _ in 0..SAMPLES {
        let (local, next, fixed) =
            (draw(template.columns()), draw(template.next_columns()), draw(fixed.len()));
        let frame = Frame { local: &local, next: &next, fixed: &fixed };
        template.evaluate(&frame, &mut Absorb(&mut hasher));
    }
    *hasher.finalize().as_bytes()
}

/// Absorbs each equation's kind and value.
struct Absorb<'a>(&'a mut blake3::Hasher);

impl Absorb<'_> {
    fn take(&mut self, kind: u8, value: Felt) {
        self.0.update(&[kind]);
        self.0.update(&felt_bytes(value));
    }
}

impl Constraints<Felt> for Absorb<'_> {
    fn everywhere(&mut self, value: Felt) {
        self.take(0, value);
    }
    fn transition(&mut self, value: Felt) {
        self.take(1, value);
    }
    fn first(&mut self, value: Felt) {
        self.take(2, value);
    }
    fn last(&mut self, value: Felt) {
        self.take(3, value);
    }
}
