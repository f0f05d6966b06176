//! How large a regular expression becomes when it is compiled, estimated from above by its text.
//!
//! Patterns run in linear time, but each byte may cost as much as the pattern has states: `(a{100}){100}` is short and
//! has ten thousand.

use std::iter::Peekable;
use std::str::Chars;

/// States of the largest pattern that is admitted.
pub(super) const STATES_MAX: u64 = 1_000;
/// States of a class of Unicode, such as `\p{L}`.
const UNICODE_CLASS: u64 = 400;

/// A group that is open: what stands in it so far, and its last atom.
#[derive(Default, Clone, Copy)]
struct Open {
    before: u64,
    last: u64,
}

impl Open {
    fn atom(&mut self, states: u64) {
        self.before = self.before.saturating_add(self.last);
        self.last = states;
    }

    fn sum(self) -> u64 {
        self.before.saturating_add(self.last).saturating_add(1)
    }
}

/// An upper bound, as far as the pattern is sound; one that is not is refused when it is compiled.
pub(super) fn states(pattern: &str) -> u64 {
    let mut open = vec![Open::default()];
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        let is_inner = open.len() > 1;
        let group = open.last_mut().expect("the outermost is never closed");
        match c {
            '\\' => group.atom(escaped(&mut chars)),
            '[' => group.atom(class(&mut chars)),
            '(' => open.push(Open::default()),
            ')' if is_inner => {
                let states = open.pop().map_or(0, Open::sum);
                if let Some(outer) = open.last_mut() {
                    outer.atom(states);
                }
            }
            '{' => {
                let text = braced(&mut chars);
                let counts = text.split(',').filter_map(|count| count.trim().parse::<u64>().ok());
                // A pair of numbers that can't be read is text; it is no less than that.
                let times = counts.max().unwrap_or(text.len() as u64).saturating_add(1);
                group.last = group.last.saturating_mul(times);
            }
            '*' | '+' | '?' | '|' | '^' | '$' => group.last = group.last.saturating_add(1),
            '.' => group.atom(8),
            c => group.atom(c.len_utf8() as u64),
        }
    }
    open.into_iter().map(Open::sum).fold(0, u64::saturating_add)
}

/// The states of what follows a backslash.
fn escaped(chars: &mut Peekable<Chars<'_>>) -> u64 {
    let is_class = matches!(chars.next(), Some('p' | 'P'));
    if is_class && chars.next_if_eq(&'{').is_some() {
        braced(chars);
    }
    if is_class { UNICODE_CLASS } else { 4 }
}

/// What stands before the closing brace, which is read too.
fn braced(chars: &mut Peekable<Chars<'_>>) -> String {
    chars.by_ref().take_while(|c| *c != '}').collect()
}

/// The states of a class whose `[` was read.
fn class(chars: &mut Peekable<Chars<'_>>) -> u64 {
    let (mut states, mut depth) = (1u64, 1);
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                states += escaped(chars);
            }
            '[' => depth += 1,
            ']' => depth -= 1,
            // What is excluded leaves the rest of Unicode.
            '^' => states += 8,
            c if c.is_ascii() => {}
            _ => states += 4,
        }
        if depth == 0 {
            break;
        }
    }
    states
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_repetitions_multiply() {
        for pattern in [r"^[A-Z]{3}$", r"^\d{4}-\d{2}-\d{2}$", r"^[^@]+@[^@]+\.[a-z]+$", r"^ORD-[0-9]{1,12}$"]
        {
            assert!(states(pattern) <= 200, "{pattern}: {}", states(pattern));
        }
        for pattern in
            ["(a{100}){100}", "((a{10}){10}){10}", r"\p{L}{100}", "(a|b)*c(a|b){1000}", "a{4000000000}"]
        {
            assert!(states(pattern) > STATES_MAX, "{pattern}: {}", states(pattern));
        }
        for odd in ["", ")", "(", "[", "{", "a{", r"\", "a{,}", "{99999999999999999999}"] {
            states(odd);
        }
    }
}
