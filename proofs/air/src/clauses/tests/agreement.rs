//! Random policies: the equations hold exactly where the policy's meaning in clear does.

use ves_stark_primitives::clauses::tree::Path;

use super::*;

struct Random(blake3::OutputReader);

impl Random {
    fn new(seed: u64) -> Self {
        Self(blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof())
    }

    fn word(&mut self) -> u64 {
        let mut word = [0; 8];
        self.0.fill(&mut word);
        u64::from_le_bytes(word)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.word() % bound as u64) as usize
    }

    /// Small numbers meet often; large ones carry.
    fn number(&mut self) -> u64 {
        match self.below(6) {
            0..3 => self.word() % 8,
            3 => self.word() % 20_000,
            4 => self.word() >> self.below(64),
            _ => u64::MAX - self.word() % 3,
        }
    }

    fn clause(&mut self, inputs: usize) -> Clause {
        let mut input = || self.below(inputs) as u8;
        let (x, y, z) = (input(), input(), input());
        let mode = [Rounding::Floor, Rounding::HalfUp, Rounding::HalfEven][self.below(3)];
        match self.below(8) {
            0 => {
                let (a, b) = (self.number(), self.number());
                range(x, Some(a.min(b)), Some(a.max(b)))
            }
            1 => Clause::Sum { xs: vec![x, z], relation: Relation::Equal, y },
            2 => Clause::Sum { xs: vec![x, z, x], relation: Relation::AtMost, y },
            3 => Clause::MulLe { q: x, p: z, y },
            4 => {
                Clause::Rate { base: x, bps: Some(self.below(100_001) as u32), bps_input: None, tax: y, mode }
            }
            5 => Clause::Rate { base: x, bps: None, bps_input: Some(z), tax: y, mode },
            6 => Clause::PrevTotal { prev: x, x: z, new: y, limit: Some(Number(self.number())) },
            _ => {
                let root = 0;
                [
                    Clause::Member { x, root },
                    Clause::NonMember { x, root },
                    Clause::Lookup { key: x, root, y },
                ][self.below(3)]
                .clone()
            }
        }
    }

    /// A clause that may stand inside `one_of`.
    fn branch(&mut self, inputs: usize) -> Clause {
        loop {
            match self.clause(inputs) {
                Clause::PrevTotal { .. } => (),
                clause => return clause,
            }
        }
    }

    /// Inputs that make the clause true more often than chance does.
    fn mend(&mut self, clause: &Clause, values: &mut [u64]) {
        let of = |values: &[u64], x: &u8| values[usize::from(*x)];
        match clause {
            Clause::Sum { xs, y, .. } => {
                values[usize::from(*y)] = xs.iter().fold(0, |sum: u64, x| sum.wrapping_add(of(values, x)));
            }
            Clause::MulLe { q, p, y } => {
                values[usize::from(*y)] = of(values, q).wrapping_mul(of(values, p));
            }
            Clause::Rate { base, bps, bps_input, tax, .. } => {
                let bps = bps.map_or_else(|| of(values, &bps_input.unwrap()), u64::from);
                let up = u128::from(self.below(2) as u64) * 5_000;
                values[usize::from(*tax)] =
                    ((u128::from(of(values, base)) * u128::from(bps) + up) / 10_000) as u64;
            }
            Clause::PrevTotal { prev, x, new, .. } => {
                values[usize::from(*new)] = of(values, prev).wrapping_add(of(values, x));
            }
            _ => (),
        }
    }
}

const PAIRS: [(u64, u64); 6] = [(0, 0), (2, 0), (3, 0), (5, 1), (6, 3), (u64::MAX, 0)];

fn drawn(seed: u64) -> Case {
    let mut random = Random::new(seed);
    let inputs = 1 + random.below(4);
    let mut values: Vec<u64> = (0..inputs).map(|_| random.number()).collect();
    let mut clauses: Vec<Clause> = (0..1 + random.below(3)).map(|_| random.clause(inputs)).collect();
    if random.below(2) == 0 {
        clauses.push(Clause::OneOf { clauses: vec![random.branch(inputs), random.branch(inputs)] });
    }
    for clause in clauses.iter().rev() {
        let inner: &[Clause] = if let Clause::OneOf { clauses } = clause { clauses } else { &[] };
        inner.iter().for_each(|clause| random.mend(clause, &mut values));
        random.mend(clause, &mut values);
    }
    let (root, paths) = lists::table(&PAIRS, 3);
    let flat: Vec<&Clause> = clauses
        .iter()
        .flat_map(|clause| {
            let inner: &[Clause] = if let Clause::OneOf { clauses } = clause { clauses } else { &[] };
            std::iter::once(clause).chain(inner)
        })
        .collect();
    let is_listed = |clause: &&Clause| {
        matches!(clause, Clause::Member { .. } | Clause::NonMember { .. } | Clause::Lookup { .. })
    };
    let roots = if flat.iter().any(is_listed) { vec![root] } else { Vec::new() };
    let evidence = flat.iter().map(|clause| evidence(clause, &values, &paths)).collect();
    Case::with_lists(clauses, &values, roots, evidence)
}

/// The right evidence where there is one, and some evidence elsewhere.
fn evidence(clause: &Clause, values: &[u64], paths: &[Path]) -> Option<Evidence> {
    let at = |pair: (u64, u64)| PAIRS.iter().position(|of| *of == pair).unwrap_or(1);
    match clause {
        Clause::Member { x, .. } => Some(Evidence::At(paths[at((values[usize::from(*x)], 0))].clone())),
        Clause::Lookup { key, y, .. } => {
            Some(Evidence::At(paths[at((values[usize::from(*key)], values[usize::from(*y)]))].clone()))
        }
        Clause::NonMember { x, .. } => {
            let low = PAIRS.partition_point(|of| of.0 < values[usize::from(*x)]).clamp(1, 5) - 1;
            let of = |n: usize| (PAIRS[n].0, paths[n].clone());
            Some(Evidence::Between { left: of(low), right: of(low + 1) })
        }
        _ => None,
    }
}

#[test]
fn random_policies_hold_in_the_table_exactly_where_they_are_true() {
    let mut counts = [0; 2];
    for seed in 0..800 {
        counts[usize::from(drawn(seed).holds())] += 1;
    }
    assert!(counts[0] > 80 && counts[1] > 80, "both answers are met: {counts:?}");
}

/// A false policy stays false when the cells that equations leave open are changed at random.
#[test]
fn no_change_of_free_cells_makes_a_false_policy_hold() {
    let mut tried = 0;
    for seed in 0..200 {
        let case = drawn(seed);
        if case.is_true() {
            continue;
        }
        let mut random = Random::new(!seed);
        for _ in 0..4 {
            let rows = case.circuit().rows.len();
            let (at, kind, bit) = (random.below(rows), random.below(4), random.below(64));
            let mut change = |row: usize, choices: &mut Choices| {
                if row != at {
                    return;
                }
                match kind {
                    0 => choices.number ^= 1 << bit,
                    1 => choices.number = choices.number.wrapping_add(1),
                    2 => choices.carries = Some(1 << (bit % 27)),
                    _ => choices.sibling[bit % 8] += Felt::ONE,
                }
            };
            for branches in case.choices_of_branches() {
                let (circuit, trace) = case.table(&branches, &mut change);
                assert!(!broken(&circuit, &trace).is_empty(), "seed {seed}, row {at}");
                tried += 1;
            }
        }
    }
    assert!(tried > 300, "{tried} forgeries");
}
