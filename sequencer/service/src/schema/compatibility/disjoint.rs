//! Whether two lists of parts have no value in common.

use std::collections::BTreeSet;

use super::known::Known;
use super::sides::{Part, Types};
use super::{Comparison, DEPTH_MAX};

impl<'a> Comparison<'a> {
    /// True only where it is certain.
    pub(super) fn are_disjoint(&mut self, a: &[Part<'a>], b: &[Part<'a>]) -> bool {
        if self.left == 0 || self.depth >= DEPTH_MAX {
            return false;
        }
        self.left -= 1;
        let (a, b) = (self.known(a), self.known(b));
        if a.is_impossible() || b.is_impossible() {
            return true;
        }
        let common = a.types.and(b.types);
        if common.is_empty() || self.no_value_fits(&a, &b) || self.no_value_fits(&b, &a) {
            return true;
        }
        if !common.without(Types::OBJECT).is_empty() {
            return false;
        }
        // A member that one of them asks for would have to be admitted by both.
        let names: BTreeSet<&str> = a.required().chain(b.required()).collect();
        self.depth += 1;
        let found = names.into_iter().any(|name| self.are_disjoint(&a.member(name), &b.member(name)));
        self.depth -= 1;
        found
    }

    /// `listed` admits only certain values, and `other` none of them.
    fn no_value_fits(&self, listed: &Known<'a>, other: &Known<'a>) -> bool {
        let Some(values) = listed.values() else { return false };
        values.iter().all(|value| {
            !other.types.has(Types::of(value))
                || other.objects.iter().any(|part| self.admits(*part, value) == Some(false))
        })
    }
}
