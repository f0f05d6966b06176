//! What each row does: the policy's clauses one after another, after a row for each commitment.

use p3_field::PrimeCharacteristicRing;
use p3_field::integers::QuotientMap;
use ves_stark_primitives::clauses::tree::{self, Root};
use ves_stark_primitives::clauses::{BASIS_POINTS_MAX, Clause, ClausePolicy, Input, Relation, Rounding};

use super::layout::{Fixed, LIMBS, RATE};
use super::{CommittedInput, ROWS_MAX, TooManyRows};
use crate::circuit::Felt;

/// Basis points of the whole.
pub(super) const WHOLE: u32 = 10_000;
/// Levels of a tree whose turns the first scratch counts; the second counts those above.
const LOW_LEVELS: usize = 16;

/// When a row counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Gate {
    #[default]
    Never,
    Always,
    /// When the branch with that flag is the one shown.
    Flag(usize),
}

/// What the next row's registers are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Registers {
    #[default]
    Zero,
    /// The bytes of this row's number.
    Load,
    /// The same bytes, one place on.
    Rotate,
    Hold,
    /// The hash of this row.
    Lift,
}

/// The rounding of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Division {
    pub offset: u32,
    pub remainder_max: u32,
    pub half_even: bool,
}

impl Division {
    const fn of(mode: Rounding) -> Self {
        match mode {
            Rounding::Floor => Self { offset: 0, remainder_max: WHOLE - 1, half_even: false },
            Rounding::HalfUp => Self { offset: WHOLE / 2, remainder_max: WHOLE - 1, half_even: false },
            // In a tie both 0 and 10,000 are a remainder: the tax below and the tax above, one of which is even.
            Rounding::HalfEven => Self { offset: WHOLE / 2, remainder_max: WHOLE, half_even: true },
        }
    }
}

/// Where the cells come from that the equations leave open. It is for whoever fills a table, and no part of the circuit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Source {
    #[default]
    None,
    /// Randomness of a commitment.
    Opening(Input),
    /// How far the left neighbour is below x, less 1.
    BelowX { clause: usize, x: Input },
    /// How far the right neighbour is above x, less 1.
    AboveX { clause: usize, x: Input },
    /// `base / 10000`.
    Tenthousandth(Input),
    /// The parts of a division of `base`.
    Parts(Input),
    /// A turn of a path.
    Turn { clause: usize, is_right: bool, level: usize },
}

/// One row.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Row {
    pub gate: Gate,
    pub x: Option<Input>,
    pub x_constant: [i64; LIMBS],
    pub y: Option<Input>,
    pub takes_x: bool,
    pub is_step: bool,
    pub sign: i64,
    pub carries: bool,
    pub keeps: bool,
    pub adds: [bool; 2],
    pub registers: Registers,
    pub capacity: Option<[Felt; RATE]>,
    pub expected: Option<[Felt; RATE]>,
    pub number_in: bool,
    pub is_leaf: bool,
    pub is_lookup: bool,
    pub is_node: bool,
    pub weights: [i64; 2],
    pub holds_scratch: bool,
    pub is_adjacent: bool,
    pub division: Option<Division>,
    pub is_even: bool,
    pub source: Source,
}

impl Row {
    /// The cells of the fixed columns that are not zero.
    pub fn cells(&self, inputs: usize) -> Vec<(usize, Felt)> {
        let mut cells = Vec::new();
        let mut put = |column: usize, value: i64| {
            if value != 0 {
                cells.push((column, Felt::from_int(value)));
            }
        };
        put(Fixed::ALWAYS, (self.gate == Gate::Always).into());
        put(Fixed::SIGN, self.sign);
        put(Fixed::TAKES_X, self.takes_x.into());
        put(Fixed::STEP, self.is_step.into());
        put(Fixed::CARRIES, self.carries.into());
        put(Fixed::KEEPS, self.keeps.into());
        put(Fixed::ADDS, self.adds[0].into());
        put(Fixed::ADDS + 1, self.adds[1].into());
        put(Fixed::LOAD, (self.registers == Registers::Load).into());
        put(Fixed::ROTATE, (self.registers == Registers::Rotate).into());
        put(Fixed::HOLD, (self.registers == Registers::Hold).into());
        put(Fixed::LIFT, (self.registers == Registers::Lift).into());
        put(Fixed::FRESH, self.capacity.is_some().into());
        put(Fixed::EXPECTS, self.expected.is_some().into());
        put(Fixed::NUMBER_IN, self.number_in.into());
        put(Fixed::LEAF, self.is_leaf.into());
        put(Fixed::LOOKUP, self.is_lookup.into());
        put(Fixed::NODE, self.is_node.into());
        put(Fixed::WEIGHTS, self.weights[0]);
        put(Fixed::WEIGHTS + 1, self.weights[1]);
        put(Fixed::HOLD_SCRATCH, self.holds_scratch.into());
        put(Fixed::ADJACENT, self.is_adjacent.into());
        put(Fixed::EVEN, self.is_even.into());
        if let Some(division) = self.division {
            put(Fixed::DIVISION, 1);
            put(Fixed::OFFSET, division.offset.into());
            put(Fixed::REMAINDER_MAX, division.remainder_max.into());
            put(Fixed::HALF_EVEN, division.half_even.into());
        }
        for (k, &limb) in self.x_constant.iter().enumerate() {
            put(Fixed::X_CONSTANT + k, limb);
        }
        if let Some(x) = self.x {
            put(Fixed::SELECTORS + usize::from(x), 1);
        }
        if let Some(y) = self.y {
            put(Fixed::SELECTORS + inputs + usize::from(y), 1);
        }
        if let Gate::Flag(flag) = self.gate {
            put(Fixed::SELECTORS + 2 * inputs + flag, 1);
        }
        for (first, elements) in [(Fixed::CAPACITY, self.capacity), (Fixed::EXPECTED, self.expected)] {
            for (k, element) in elements.into_iter().flatten().enumerate() {
                cells.push((first + k, element));
            }
        }
        cells
    }
}

/// The four limbs of a number, most significant first.
pub(super) fn limbs(number: u64) -> [i64; LIMBS] {
    std::array::from_fn(|k| (number >> (48 - 16 * k) & 0xffff) as i64)
}

/// An operand: an input or a constant.
#[derive(Debug, Clone, Copy)]
enum Operand {
    Input(Input),
    Constant(u32),
}

/// A row whose X is this operand.
fn with_x(operand: Operand) -> Row {
    match operand {
        Operand::Input(x) => Row { x: Some(x), ..Row::default() },
        Operand::Constant(constant) => Row { x_constant: limbs(constant.into()), ..Row::default() },
    }
}

/// Rows of a policy, and the number of flags of each `one_of`.
pub(super) fn compile(
    policy: &ClausePolicy,
    inputs: &[CommittedInput],
) -> Result<(Vec<Row>, Vec<usize>), TooManyRows> {
    let mut compiler = Compiler { roots: policy.roots(), rows: Vec::new(), gate: Gate::Always, clause: 0 };
    for (input, of_statement) in inputs.iter().enumerate() {
        compiler.commitment(input as Input, of_statement);
    }
    let mut groups: Vec<usize> = Vec::new();
    for clause in policy.clauses() {
        match clause {
            Clause::OneOf { clauses } => {
                let first = groups.iter().sum::<usize>();
                compiler.clause += 1;
                for (branch, clause) in clauses.iter().enumerate() {
                    compiler.gate = Gate::Flag(first + branch);
                    compiler.clause(clause);
                }
                compiler.gate = Gate::Always;
                groups.push(clauses.len());
            }
            clause => compiler.clause(clause),
        }
    }
    let rows = compiler.rows.len();
    if rows > ROWS_MAX { Err(TooManyRows { rows }) } else { Ok((compiler.rows, groups)) }
}

struct Compiler<'a> {
    roots: &'a [Root],
    rows: Vec<Row>,
    gate: Gate,
    /// Number of the clause that is being compiled.
    clause: usize,
}

impl Compiler<'_> {
    fn push(&mut self, row: Row) {
        self.rows.push(Row { gate: self.gate, ..row });
    }

    /// The number is the input, and its hash the statement's.
    fn commitment(&mut self, input: Input, of_statement: &CommittedInput) {
        self.push(Row {
            y: Some(input),
            sign: 1,
            number_in: true,
            capacity: Some(of_statement.capacity),
            expected: Some(of_statement.commitment),
            source: Source::Opening(input),
            ..Row::default()
        });
    }

    fn clause(&mut self, clause: &Clause) {
        match clause {
            Clause::Range { x, lo, hi } => {
                if let Some(lo) = lo {
                    self.at_least(*x, lo.0);
                }
                if let Some(hi) = hi {
                    self.at_most(*x, hi.0);
                }
            }
            Clause::TimeIn { t, from, until } => {
                self.at_least(*t, from.0);
                self.at_most(*t, until.0);
            }
            Clause::Sum { xs, relation, y } => self.sum(xs, *relation, *y),
            Clause::PrevTotal { prev, x, new, limit } => {
                self.sum(&[*prev, *x], Relation::Equal, *new);
                if let Some(limit) = limit {
                    self.at_most(*new, limit.0);
                }
            }
            Clause::MulLe { q, p, y } => self.product(*q, *p, *y),
            Clause::Rate { base, bps, bps_input, tax, mode } => {
                let rate = match (bps, bps_input) {
                    (Some(bps), _) => Operand::Constant(*bps),
                    (None, Some(input)) => {
                        self.at_most(*input, BASIS_POINTS_MAX.into());
                        Operand::Input(*input)
                    }
                    (None, None) => unreachable!("a policy's rate has one of both"),
                };
                self.rate(*base, rate, *tax, Division::of(*mode));
            }
            Clause::Member { x, root } => self.member(*x, None, *root),
            Clause::Lookup { key, root, y } => self.member(*key, Some(*y), *root),
            Clause::NonMember { x, root } => self.non_member(*x, *root),
            Clause::OneOf { .. } => unreachable!("a policy's one_of does not nest"),
        }
        self.clause += 1;
    }

    /// x = lo + number.
    fn at_least(&mut self, x: Input, lo: u64) {
        self.push(Row {
            x_constant: limbs(lo),
            takes_x: true,
            sign: 1,
            y: Some(x),
            carries: true,
            ..Row::default()
        });
    }

    /// (x - hi) + number = 0.
    fn at_most(&mut self, x: Input, hi: u64) {
        let x_constant = limbs(hi).map(|limb| -limb);
        self.push(Row { x: Some(x), x_constant, takes_x: true, sign: 1, carries: true, ..Row::default() });
    }

    fn sum(&mut self, xs: &[Input], relation: Relation, y: Input) {
        let adding = |x: Input| Row { x: Some(x), takes_x: true, carries: true, ..Row::default() };
        for (place, &x) in xs.iter().enumerate() {
            let is_last = place + 1 == xs.len();
            self.push(match relation {
                Relation::Equal if is_last => Row { y: Some(y), ..adding(x) },
                _ => Row { sign: -1, keeps: true, ..adding(x) },
            });
        }
        if relation == Relation::AtMost {
            self.push(Row { sign: 1, y: Some(y), carries: true, ..Row::default() });
        }
    }

    fn product(&mut self, q: Input, p: Input, y: Input) {
        self.push(Row { sign: 1, y: Some(p), registers: Registers::Load, ..Row::default() });
        self.times(Operand::Input(q), false);
        self.push(Row { y: Some(y), ..Row::default() });
    }

    /// Eight steps from the most significant byte of the registers on: the last number is their product with X, and
    /// the sum of the row after.
    fn times(&mut self, operand: Operand, holds_scratch: bool) {
        for _ in 0..8 {
            self.push(Row {
                is_step: true,
                sign: -1,
                carries: true,
                keeps: true,
                registers: Registers::Rotate,
                holds_scratch,
                ..with_x(operand)
            });
        }
    }

    /// base = 10000 a + b, tax = a bps + t, and t is b bps / 10000 as the division's row rounds it.
    fn rate(&mut self, base: Input, rate: Operand, tax: Input, division: Division) {
        self.push(Row { division: Some(division), source: Source::Parts(base), ..with_x(rate) });
        let holding = Row { holds_scratch: true, ..Row::default() };
        self.push(Row { registers: Registers::Load, source: Source::Tenthousandth(base), ..holding });
        self.times(Operand::Constant(WHOLE), true);
        let adds = [true, false];
        self.push(Row { adds, y: Some(base), carries: true, registers: Registers::Hold, ..holding });
        self.times(rate, true);
        self.push(Row {
            adds: [false, true],
            sign: -1,
            carries: true,
            keeps: true,
            is_even: division.half_even,
            ..Row::default()
        });
        self.push(Row { y: Some(tax), ..Row::default() });
    }

    fn member(&mut self, x: Input, value: Option<Input>, root: u8) {
        let leaf = Row { sign: 1, y: Some(x), x: value, is_lookup: value.is_some(), ..leaf() };
        self.push(leaf);
        self.path(root, None);
    }

    /// x = left + number + 1 and right = x + number + 1, the leaves being neighbours.
    fn non_member(&mut self, x: Input, root: u8) {
        let (clause, one) = (self.clause, limbs(1));
        let counted = Row { takes_x: true, x_constant: one, carries: true, ..leaf() };
        self.push(Row { keeps: true, source: Source::BelowX { clause, x }, ..Row::default() });
        self.push(Row { sign: 1, y: Some(x), ..counted });
        self.path(root, Some(false));
        let holds_scratch = true;
        self.push(Row { keeps: true, holds_scratch, source: Source::AboveX { clause, x }, ..Row::default() });
        self.push(Row { sign: -1, x: Some(x), holds_scratch, ..counted });
        self.path(root, Some(true));
    }

    /// From the registers to the root, two rows a level. `side`: `None` for a path alone, else whether it is the right one
    /// of two whose places are compared.
    fn path(&mut self, root: u8, side: Option<bool>) {
        let root = &self.roots[usize::from(root)];
        let top = root.node().expect("a policy's roots are canonical").map(Felt::from_u32);
        let capacity = tree::node_capacity().map(Felt::from_u32);
        let (depth, holds_scratch, clause) = (usize::from(root.depth()), side.is_some(), self.clause);
        for level in 0..depth {
            let mut weights = [0; 2];
            if let Some(is_right) = side {
                let weight = 1 << (level % LOW_LEVELS);
                weights[level / LOW_LEVELS] = if is_right { weight } else { -weight };
            }
            self.push(Row {
                is_node: true,
                capacity: Some(capacity),
                weights,
                holds_scratch,
                source: Source::Turn { clause, is_right: side == Some(true), level },
                ..Row::default()
            });
            let is_last = level + 1 == depth;
            self.push(Row {
                registers: if is_last { Registers::Zero } else { Registers::Lift },
                expected: is_last.then_some(top),
                is_adjacent: is_last && side == Some(true),
                holds_scratch,
                ..Row::default()
            });
        }
    }
}

/// A row that hashes its number as a leaf; the path begins after it.
fn leaf() -> Row {
    Row {
        number_in: true,
        is_leaf: true,
        capacity: Some(tree::leaf_capacity().map(Felt::from_u32)),
        registers: Registers::Lift,
        ..Row::default()
    }
}
