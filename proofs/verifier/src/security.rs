//! What a parameter set is worth, computed from the parameters (section 7).
//!
//! Two numbers, each the minimum over every round. `proven`: list decoding up to the Johnson bound, without
//! conjecture. `conjectured`: a committed word of a cheating prover is no closer to the code than a random word.
//!
//! Sources. Query round and list size: Haboeck, "A summary on the FRI low degree test", eprint 2022/1216, theorem 8.
//! Combining round and folds: Ben-Sasson, Carmon, Haboeck, Kopparty and Saraf, "On proximity gaps for Reed-Solomon
//! codes", eprint 2025/2055, theorem 4.2. Random words: Diamond and Gruen, eprint 2025/2010, section 1.5.
//! All of them hold for any rate, so the rate here is that of the parameters, not a power of two.

use ves_stark_primitives::SecurityReport;

use crate::backend::extension;
use crate::backend::shape::Shape;

/// No circuit has more equations than the report counts.
pub(crate) const CONSTRAINTS_MAX: usize = 1 << 11;

/// Bits that a collision costs: of the commitment, whose sponge has a capacity of 8 elements of 31 bits. A 32-byte hash
/// costs more.
const COLLISION_BITS: f64 = 124.0;

/// Largest multiplicity that the search for the best proven level tries.
const MULTIPLICITY_MAX: usize = 1000;

/// Security of a parameter set in whole bits, rounded down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels {
    /// Without a conjecture on codes; BLAKE3 is modelled as a random oracle.
    pub proven_bits: u32,
    /// Under the random-words model.
    pub conjectured_bits: u32,
}

/// The report that goes with a verdict.
pub(crate) fn report(levels: Levels) -> SecurityReport {
    SecurityReport {
        proven_bits: levels.proven_bits,
        conjectured_bits: levels.conjectured_bits,
        zk: true,
        assumptions: vec![
            "proven bits: BLAKE3 is a random oracle".to_owned(),
            "conjectured bits: also, a committed word is no nearer to the code than a random word (eprint 2025/2010)"
                .to_owned(),
            "the commitment binds and hides as far as Poseidon2-16 over KoalaBear does".to_owned(),
        ],
    }
}

/// The levels of proofs of this shape.
pub fn levels(shape: &Shape) -> Levels {
    // Dividing by X - z leaves a word that is near the code where a polynomial of one coefficient more is near: the
    // bound holds while the radius has room for that, which is up to a multiplicity of the degree bound.
    let multiplicities = 3..=MULTIPLICITY_MAX.min(shape.parameters.degree_bound);
    let proven = multiplicities.map(|m| proven(shape, m as f64)).fold(0.0, f64::max);
    Levels { proven_bits: proven as u32, conjectured_bits: conjectured(shape) as u32 }
}

/// Logarithm of the extension's order.
fn field_bits() -> f64 {
    f64::from(extension::DEGREE as u32) * base_field_bits()
}

/// Logarithm of the base field's order.
fn base_field_bits() -> f64 {
    f64::from(2_130_706_433u32).log2()
}

/// Points of the commitments' domain, and the rate.
fn code(shape: &Shape) -> (f64, f64) {
    let points = (1u64 << shape.parameters.log_domain) as f64;
    (points, shape.parameters.degree_bound as f64 / points)
}

/// Rounds that do not depend on how near a word is to the code: equations combined by powers of `alpha`, and the
/// identity of polynomials checked at `zeta`; a list of `list` candidates multiplies both.
fn algebraic(shape: &Shape, list: f64) -> f64 {
    let identity = shape.constraint_degree * shape.parameters.degree_bound
        + shape.chunks * shape.parameters.degree_bound
        + 2 * shape.rows();
    let combined = field_bits() - (CONSTRAINTS_MAX as f64).log2() - list.log2();
    let point = field_bits() - (identity as f64).log2() - list.log2();
    combined.min(point)
}

/// Degree of the curves in the combining round and in each fold.
fn curve_degrees(shape: &Shape) -> impl Iterator<Item = f64> {
    let folds = shape.parameters.folds.iter().map(|&fold| ((1u32 << fold) - 1) as f64);
    std::iter::once(shape.combined() as f64).chain(folds)
}

fn proven(shape: &Shape, m: f64) -> f64 {
    let (points, rate) = code(shape);
    let half = m + 0.5;
    let agreement = rate.sqrt() * (1.0 + 0.5 / m);
    let distance = 1.0 - agreement;
    if distance <= 0.0 {
        return 0.0;
    }
    let exceptional = (2.0 * half.powi(5) + 3.0 * half * distance * rate) * points / (3.0 * rate.powf(1.5))
        + half / rate.sqrt();
    let gaps = curve_degrees(shape)
        .map(|degree| field_bits() - exceptional.log2() - degree.log2())
        .fold(f64::INFINITY, f64::min);
    let queries =
        f64::from(shape.parameters.grinding_bits) - shape.parameters.queries as f64 * agreement.log2();
    gaps.min(queries).min(algebraic(shape, half / rate.sqrt())).min(COLLISION_BITS)
}

fn conjectured(shape: &Shape) -> f64 {
    let (points, rate) = code(shape);
    // Committed words are over the base field: a random one of those is nearer to the code than one over the extension,
    // near enough to let more than 2^155 polynomials through, of which one suits any challenge.
    let excess = (std::f64::consts::E / rate).log2() * rate / base_field_bits();
    let queries =
        f64::from(shape.parameters.grinding_bits) - shape.parameters.queries as f64 * (rate + excess).log2();
    let gaps = curve_degrees(shape)
        .map(|degree| field_bits() - (degree * (points + 1.0)).log2())
        .fold(f64::INFINITY, f64::min);
    gaps.min(queries).min(algebraic(shape, 1.0)).min(COLLISION_BITS)
}

#[cfg(test)]
mod tests {
    use ves_stark_air::{Batch, Payload};

    use super::*;
    use crate::backend::parameters::{Parameters, Profile};
    use crate::one_event::shape;
    use crate::{batch, clauses, payload};

    const PAGE: &str = include_str!("../../../docs/protocol/proof-system.md");

    /// The page's row of a shape, from the domain on.
    fn row(shape: &Shape) -> String {
        let (p, levels) = (&shape.parameters, levels(shape));
        let degree = match p.degree_bound {
            small @ ..1000 => small.to_string(),
            large => format!("{},{:03}", large / 1000, large % 1000),
        };
        format!(
            "2^{} | {degree} | {}, {} | {} | {} | {} | {} |",
            p.log_domain,
            p.trace_masks,
            p.quotient_masks,
            p.queries,
            p.grinding_bits,
            levels.conjectured_bits,
            levels.proven_bits
        )
    }

    /// Levels are those of the widest tables, as verdicts state them.
    #[test]
    fn the_page_states_the_parameters_that_are_compiled_in() {
        use Profile::{Proven, Standard};
        let batch = |profile, rows| batch::batch_shape(profile, &Batch::of_shape(rows, 4));
        let payload = |profile| payload::payload_shape(profile, 3, Payload::KEY_BYTES_MAX);
        let clauses = |profile, rows| clauses::clauses_shape(profile, rows, clauses::HELD_MAX);
        for (label, shape) in [
            ("one event, `p3.kb5.p2.b3.zk.v1`", shape(Standard)),
            ("one event, `…zk.proven.v1`", shape(Proven)),
            ("batch of up to 64, `p3.kb5.p2.b3.zk.v1`", batch(Standard, 6)),
            ("batch of 4,096, same", batch(Standard, 12)),
            ("batch of 4,096, `…zk.proven.v1`", batch(Proven, 12)),
            ("payload up to 339 bytes, `p3.kb5.p2.b3.zk.v1`", payload(Standard)),
            ("payload up to 339 bytes, `…zk.proven.v1`", payload(Proven)),
            ("clauses in 64 rows, `p3.kb5.p2.b3.zk.v1`", clauses(Standard, 6)),
            ("clauses in 256 rows, same", clauses(Standard, 8)),
            ("clauses in 4,096 rows, same", clauses(Standard, 12)),
            ("clauses in 64 rows, `…zk.proven.v1`", clauses(Proven, 6)),
        ] {
            let row = format!("\n| {label} | {}\n", row(&shape));
            assert!(PAGE.contains(&row), "the page lacks {row}");
        }
    }

    /// Section 7 says 108 and 128 conjectured bits: it takes committed words for words over the extension, and leaves
    /// out collisions of the commitment.
    #[test]
    fn levels_are_no_higher_than_those_of_the_specification() {
        let standard = levels(&shape(Profile::Standard));
        assert_eq!((standard.conjectured_bits, standard.proven_bits), (104, 59));
        let proven = levels(&shape(Profile::Proven));
        assert_eq!((proven.conjectured_bits, proven.proven_bits), (124, 110));
    }

    #[test]
    fn fewer_queries_less_grinding_or_a_higher_rate_lower_the_level() {
        let base = shape(Profile::Standard);
        let level = |change: fn(&mut Parameters)| {
            let mut shape = base.clone();
            change(&mut shape.parameters);
            levels(&shape)
        };
        let own = levels(&base);
        for weaker in
            [level(|p| p.queries -= 1), level(|p| p.grinding_bits -= 3), level(|p| p.log_domain -= 1)]
        {
            assert!(weaker.proven_bits < own.proven_bits && weaker.conjectured_bits < own.conjectured_bits);
        }
    }
}
