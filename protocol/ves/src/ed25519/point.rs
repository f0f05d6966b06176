//! Points of the curve for sums of table entries: extended coordinates plus affine ones, seven products a sum.
//!
//! Formulas: Hisil, Wong, Carter, Dawson, "Twisted Edwards Curves Revisited" (2008), sections 3.1 and 3.3. They hold
//! for every pair of points on this curve, equal and neutral ones included, since -1 is a square and d is not.

use super::field::{Field, invert_all};

/// `x = X/Z`, `y = Y/Z`, `x·y = T/Z`; Z is never zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    x: Field,
    y: Field,
    z: Field,
    t: Field,
}

/// An affine point as sums need it: `y + x`, `y - x`, `2d·x·y`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    plus: Field,
    minus: Field,
    product: Field,
}

impl Term {
    pub const NEUTRAL: Self = Self { plus: Field::ONE, minus: Field::ONE, product: Field::ZERO };

    fn affine(x: &Field, y: &Field) -> Self {
        Self { plus: y.add(x), minus: y.sub(x), product: x.mul(y).mul(&Field::D2) }
    }
}

impl Point {
    pub const NEUTRAL: Self = Self { x: Field::ZERO, y: Field::ONE, z: Field::ONE, t: Field::ZERO };

    /// Decodes (RFC 8032, section 5.1.3). `None` when `bytes` are not a point; a non-canonical y is taken modulo p,
    /// which callers have ruled out.
    pub fn decode(bytes: &[u8; 32]) -> Option<Self> {
        let y = Field::from_bytes(bytes);
        let yy = y.square();
        let (u, v) = (yy.sub(&Field::ONE), yy.mul(&Field::D).add(&Field::ONE));
        let v3 = v.square().mul(&v);
        let mut x = u.mul(&v3).mul(&u.mul(&v3.square()).mul(&v).power_p58());
        if v.mul(&x.square()) != u {
            x = x.mul(&Field::I);
            if v.mul(&x.square()) != u {
                return None;
            }
        }
        if x.is_odd() != (bytes[31] >> 7 == 1) {
            x = x.neg();
        }
        Some(Self { x, y, z: Field::ONE, t: x.mul(&y) })
    }

    pub fn neg(&self) -> Self {
        Self { x: self.x.neg(), t: self.t.neg(), ..*self }
    }

    #[inline(always)]
    pub fn add(&self, term: &Term) -> Self {
        let a = self.y.add(&self.x).mul(&term.plus);
        let b = self.y.sub(&self.x).mul(&term.minus);
        self.complete(a, b, self.t.mul(&term.product))
    }

    #[inline(always)]
    pub fn sub(&self, term: &Term) -> Self {
        let a = self.y.add(&self.x).mul(&term.minus);
        let b = self.y.sub(&self.x).mul(&term.plus);
        self.complete(a, b, self.t.mul(&term.product).neg())
    }

    #[inline(always)]
    fn complete(&self, a: Field, b: Field, c: Field) -> Self {
        let zz = self.z.add(&self.z);
        let (e, h, f, g) = (a.sub(&b), a.add(&b), zz.sub(&c), zz.add(&c));
        Self { x: e.mul(&f), y: g.mul(&h), z: f.mul(&g), t: e.mul(&h) }
    }

    pub fn double(&self) -> Self {
        let (a, b) = (self.x.square(), self.y.square());
        let c = self.z.square();
        let h = a.add(&b);
        let e = h.sub(&self.x.add(&self.y).square());
        let g = a.sub(&b);
        let f = c.add(&c).add(&g);
        Self { x: e.mul(&f), y: g.mul(&h), z: f.mul(&g), t: e.mul(&h) }
    }
}

/// `(x, y)` of each, by one inversion.
fn affine(points: &[Point]) -> impl Iterator<Item = (Field, Field)> + '_ {
    let mut inverses: Vec<Field> = points.iter().map(|point| point.z).collect();
    invert_all(&mut inverses);
    points.iter().zip(inverses).map(|(point, inverse)| (point.x.mul(&inverse), point.y.mul(&inverse)))
}

/// Each point as a term, by one inversion.
pub(super) fn terms(points: &[Point]) -> Vec<Term> {
    affine(points).map(|(x, y)| Term::affine(&x, &y)).collect()
}

/// The canonical encoding of each point (RFC 8032, section 5.1.2), by one inversion.
pub(super) fn encode_all(points: &[Point]) -> Vec<[u8; 32]> {
    let encode = |(x, y): (Field, Field)| {
        let mut bytes = y.to_bytes();
        bytes[31] |= u8::from(x.is_odd()) << 7;
        bytes
    };
    affine(points).map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
    use curve25519_dalek::scalar::Scalar;
    use proptest::prelude::*;

    fn own(point: &EdwardsPoint) -> Point {
        Point::decode(point.compress().as_bytes()).unwrap()
    }

    /// Any point of the curve, those with torsion and the small ones included.
    fn any_point() -> impl Strategy<Value = EdwardsPoint> {
        (prop_oneof![Just([0; 64]), any::<[u8; 64]>()], 0..8usize).prop_map(|(scalar, torsion)| {
            ED25519_BASEPOINT_POINT * Scalar::from_bytes_mod_order_wide(&scalar) + EIGHT_TORSION[torsion]
        })
    }

    proptest! {
        #[test]
        fn sums_differences_and_doubles_are_those_of_the_curve(a in any_point(), b in any_point()) {
            let (x, y) = (own(&a), own(&b));
            // Not affine any more, so that Z takes part.
            let moved = x.double().sub(&terms(&[x])[0]);
            let term = terms(&[y.double().sub(&terms(&[y])[0])])[0];
            let own = encode_all(&[moved.add(&term), moved.sub(&term), moved.double(), moved.neg(), moved.add(&Term::NEUTRAL)]);
            let expected = [a + b, a - b, a + a, -a, a].map(|point| point.compress().0);
            prop_assert_eq!(own, expected);
        }

        #[test]
        fn a_sum_with_itself_is_the_double_and_with_its_negative_nothing(a in any_point()) {
            let (x, term) = (own(&a), terms(&[own(&a)])[0]);
            let own = encode_all(&[x.add(&term), x.sub(&term)]);
            prop_assert_eq!(own, [(a + a).compress().0, (a - a).compress().0]);
        }

        #[test]
        fn what_decodes_is_what_the_curve_library_decodes(bytes: [u8; 32]) {
            let expected = CompressedEdwardsY(bytes).decompress().map(|point| point.compress().0);
            let zero_x = expected.is_some_and(|bytes| EIGHT_TORSION.iter().any(|t| t.compress().0 == bytes));
            prop_assume!(!zero_x);
            prop_assert_eq!(Point::decode(&bytes).map(|point| encode_all(&[point])[0]), expected);
        }
    }

    #[test]
    fn nothing_is_encoded_as_nothing() {
        assert!(encode_all(&[]).is_empty());
        assert_eq!(encode_all(&[Point::NEUTRAL])[0], EdwardsPoint::default().compress().0);
    }
}
