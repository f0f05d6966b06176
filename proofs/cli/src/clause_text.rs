//! Clauses of a composed policy as a person reads them, with the names of its commitments.

use ves_stark_primitives::ClausePolicy;
use ves_stark_primitives::clauses::{Clause, Input, Number, Relation, Rounding};

/// One line for each clause, numbered as errors number them; those of `one_of` stand after it, indented.
pub fn lines(policy: &ClausePolicy, names: &[&str]) -> Vec<String> {
    let words = Words { policy, names };
    let clauses = policy.flat().enumerate();
    clauses
        .map(|(place, (clause, is_inside))| {
            format!("{place}: {}{}", if is_inside { "  or " } else { "" }, words.clause(clause))
        })
        .collect()
}

struct Words<'a> {
    policy: &'a ClausePolicy,
    names: &'a [&'a str],
}

impl Words<'_> {
    fn name(&self, input: Input) -> String {
        self.names.get(usize::from(input)).map_or_else(|| format!("input {input}"), |name| (*name).to_owned())
    }

    fn list(&self, root: u8) -> String {
        self.policy.roots().get(usize::from(root)).map_or_else(String::new, |root| {
            let (from, until) = root.validity();
            format!("version {}, valid from {from} to {until} (Unix seconds)", root.version())
        })
    }

    fn clause(&self, clause: &Clause) -> String {
        let name = |input: &Input| self.name(*input);
        let number = |number: &Number| number.0.to_string();
        match clause {
            Clause::Range { x, lo, hi } => {
                let low = lo.as_ref().map(|lo| format!("{} <= ", number(lo))).unwrap_or_default();
                let high = hi.as_ref().map(|hi| format!(" <= {}", number(hi))).unwrap_or_default();
                format!("{low}{}{high}", name(x))
            }
            Clause::Sum { xs, relation, y } => {
                let sum: Vec<String> = xs.iter().map(name).collect();
                let relation = match relation {
                    Relation::Equal => "=",
                    Relation::AtMost => "<=",
                };
                format!("{} {relation} {}", sum.join(" + "), name(y))
            }
            Clause::MulLe { q, p, y } => format!("{} x {} = {}", name(q), name(p), name(y)),
            Clause::Rate { base, bps, bps_input, tax, mode } => {
                let rate =
                    bps.map(|bps| bps.to_string()).or(bps_input.as_ref().map(name)).unwrap_or_default();
                let rounded = match mode {
                    Rounding::Floor => "rounded down",
                    Rounding::HalfUp => "a half rounded up",
                    Rounding::HalfEven => "a half rounded to even",
                };
                format!("{} x {rate} / 10000 = {}, {rounded}", name(base), name(tax))
            }
            Clause::Member { x, root } => format!("{} is on a list: {}", name(x), self.list(*root)),
            Clause::NonMember { x, root } => format!("{} is not on a list: {}", name(x), self.list(*root)),
            Clause::Lookup { key, root, y } => {
                format!("{} stands beside {} in a table: {}", name(y), name(key), self.list(*root))
            }
            Clause::PrevTotal { prev, x, new, limit } => {
                let limit = limit.as_ref().map(|limit| format!(" <= {}", number(limit))).unwrap_or_default();
                format!("{} + {} = {}{limit}, a running total", name(prev), name(x), name(new))
            }
            Clause::TimeIn { t, from, until } => {
                format!("{} <= {} <= {} (Unix seconds)", number(from), name(t), number(until))
            }
            Clause::OneOf { .. } => "at least one of these, which one is hidden:".to_owned(),
        }
    }
}
