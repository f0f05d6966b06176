//! Tables of multiples: a scalar product by additions alone, no doublings.
//!
//! A scalar is written in signed digits of radix 2^W, each in `-2^(W-1)..=2^(W-1)`. Row `i` of a table holds
//! `1..=2^(W-1)` times `2^(W·i)·P`, so each digit costs one addition or subtraction. Look-ups take variable
//! time: the tables are for verification, where everything is public, and never for signing.

use std::sync::LazyLock;

use curve25519_dalek::constants::ED25519_BASEPOINT_COMPRESSED;
use curve25519_dalek::scalar::Scalar;

use super::PublicKey;
use super::point::{Point, Term, terms};

/// Window of a key's table: 37 additions, 222 KiB.
const KEY_WINDOW: usize = 7;
/// Window of the base point's one table: 29 additions, 696 KiB.
const BASE_WINDOW: usize = 9;

/// Multiples of one point by signed windows of `W` bits.
struct Multiples<const W: usize>(Vec<Term>);

impl<const W: usize> Multiples<W> {
    /// Multiples in a row: the largest digit.
    const HALF: usize = 1 << (W - 1);
    /// Digits of a scalar below 2^253, with one bit to spare for the last carry.
    const ROWS: usize = 254usize.div_ceil(W);

    fn new(point: Point) -> Self {
        let first = |point: &Point| Some((0..W).fold(*point, |point, _| point.double()));
        let bases: Vec<Point> = std::iter::successors(Some(point), first).take(Self::ROWS).collect();
        let mut points = Vec::with_capacity(Self::ROWS * Self::HALF);
        for base in terms(&bases) {
            let multiples =
                std::iter::successors(Some(Point::NEUTRAL.add(&base)), |point| Some(point.add(&base)));
            points.extend(multiples.take(Self::HALF));
        }
        Self(terms(&points))
    }

    /// Adds the terms of `scalar` times the point to `sum`. `scalar` is reduced.
    fn collect<'a>(&'a self, scalar: &Scalar, sum: &mut Sum<'a>) {
        let words = words(scalar);
        let mut carry = 0;
        for (row, multiples) in self.0.chunks_exact(Self::HALF).enumerate() {
            let (word, shift) = (row * W / 64, row * W % 64);
            let low = words[word] >> shift;
            let high = if shift + W > 64 { words[word + 1] << (64 - shift) } else { 0 };
            let digit = ((low | high) as usize & ((1 << W) - 1)) + carry;
            carry = usize::from(digit > Self::HALF);
            let size = if carry == 1 { (1 << W) - digit } else { digit };
            if size != 0 {
                sum.push(carry, &multiples[size - 1]);
            }
        }
        debug_assert_eq!(carry, 0, "a reduced scalar fits its rows");
    }
}

/// Most terms of one sum.
const TERMS_MAX: usize = Multiples::<KEY_WINDOW>::ROWS + Multiples::<BASE_WINDOW>::ROWS;

/// Terms to add and terms to subtract. Kept apart, since a branch on each random sign would be mispredicted
/// half the time.
struct Sum<'a> {
    terms: [[&'a Term; TERMS_MAX]; 2],
    counts: [usize; 2],
}

impl<'a> Sum<'a> {
    fn new() -> Self {
        Self { terms: [[&Term::NEUTRAL; TERMS_MAX]; 2], counts: [0; 2] }
    }

    /// `sign`: 0 adds, 1 subtracts.
    fn push(&mut self, sign: usize, term: &'a Term) {
        self.terms[sign][self.counts[sign]] = term;
        self.counts[sign] += 1;
    }

    fn total(&self) -> Point {
        let [plus, minus] = [0, 1].map(|sign| &self.terms[sign][..self.counts[sign]]);
        let sum = plus.iter().fold(Point::NEUTRAL, |sum, term| sum.add(term));
        minus.iter().fold(sum, |sum, term| sum.sub(term))
    }
}

/// Little-endian words and one word of zeros behind them.
fn words(scalar: &Scalar) -> [u64; 5] {
    let mut words = [0; 5];
    for (word, bytes) in words.iter_mut().zip(scalar.as_bytes().chunks_exact(8)) {
        *word = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    }
    words
}

/// Multiples of the base point, one for the process.
pub struct BaseTable(Multiples<BASE_WINDOW>);

impl BaseTable {
    /// The table; built on first use in one or two milliseconds.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<BaseTable> = LazyLock::new(|| {
            let base =
                Point::decode(ED25519_BASEPOINT_COMPRESSED.as_bytes()).expect("the base point decodes");
            BaseTable(Multiples::new(base))
        });
        &SHARED
    }
}

/// Multiples of `-A` for one key; takes as long to build as some 20 plain checks.
pub struct KeyTable {
    key: PublicKey,
    multiples: Multiples<KEY_WINDOW>,
}

impl KeyTable {
    /// Memory of one table in bytes.
    pub const BYTES: usize =
        Multiples::<KEY_WINDOW>::ROWS * Multiples::<KEY_WINDOW>::HALF * size_of::<Term>();

    pub fn new(key: &PublicKey) -> Self {
        let point = Point::decode(key.as_bytes()).expect("a registered key decodes");
        Self { key: *key, multiples: Multiples::new(point.neg()) }
    }

    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// `[s]B - [k]A`.
    pub(super) fn recompute(&self, s: &Scalar, k: &Scalar) -> Point {
        let mut sum = Sum::new();
        BaseTable::shared().0.collect(s, &mut sum);
        self.multiples.collect(k, &mut sum);
        sum.total()
    }
}

#[cfg(test)]
mod tests {
    use super::super::point::encode_all;
    use super::*;
    use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
    use proptest::prelude::*;

    fn product<const W: usize>(table: &Multiples<W>, scalar: &Scalar) -> [u8; 32] {
        let mut sum = Sum::new();
        table.collect(scalar, &mut sum);
        encode_all(&[sum.total()])[0]
    }

    fn base<const W: usize>() -> Multiples<W> {
        Multiples::new(Point::decode(ED25519_BASEPOINT_COMPRESSED.as_bytes()).unwrap())
    }

    static WINDOWS: LazyLock<(Multiples<6>, Multiples<7>, Multiples<8>, Multiples<9>)> =
        LazyLock::new(|| (base(), base(), base(), base()));

    fn check(scalar: &Scalar) {
        let expected = (ED25519_BASEPOINT_POINT * scalar).compress().0;
        let (six, seven, eight, nine) = &*WINDOWS;
        let products =
            [product(six, scalar), product(seven, scalar), product(eight, scalar), product(nine, scalar)];
        assert_eq!(products, [expected; 4], "{scalar:?}");
    }

    #[test]
    fn edge_scalars_have_the_right_product() {
        let mut edges = vec![Scalar::ZERO, Scalar::ONE, -Scalar::ONE, -Scalar::from(2u8)];
        for bit in 0..252usize {
            let mut bytes = [0; 32];
            bytes[bit / 8] = 1 << (bit % 8);
            let power = Scalar::from_bytes_mod_order(bytes);
            edges.extend([power, power - Scalar::ONE, -power]);
        }
        for byte in 0..=255 {
            edges.push(Scalar::from_bytes_mod_order([byte; 32]));
            let mut low = [byte; 32];
            low[31] &= 0x0f;
            edges.push(Scalar::from_bytes_mod_order(low));
        }
        edges.iter().for_each(check);
    }

    proptest! {
        #[test]
        fn every_window_has_the_right_product(bytes: [u8; 64]) {
            check(&Scalar::from_bytes_mod_order_wide(&bytes));
        }
    }
}
