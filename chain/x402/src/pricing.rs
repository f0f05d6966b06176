//! What costs what: routes and their offers.

use crate::offer::Offer;

/// What a route costs, and what it sells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// In the order of preference; not empty.
    pub offers: Vec<Offer>,
    pub description: String,
    pub mime_type: String,
    /// Asks clients of version 2 to name their payments.
    pub needs_identifier: bool,
}

/// Routes by path. A pattern that ends in `/*` is every path below it; an exact path stands above it, then the longest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PriceTable(Vec<(String, Price)>);

impl PriceTable {
    /// Puts a price on a pattern, such as `/reports/today` or `/reports/*`.
    ///
    /// # Panics
    /// On a pattern that does not begin with `/`, or a price without an offer: both are slips in the program.
    pub fn put(&mut self, pattern: &str, price: Price) {
        assert!(pattern.starts_with('/'), "a pattern is a path: {pattern:?}");
        assert!(!price.offers.is_empty(), "{pattern:?} has a price without an offer");
        let pattern = plain(pattern);
        self.0.retain(|(held, _)| *held != pattern);
        self.0.push((pattern, price));
    }

    /// What this path costs; `None` is free. A path written in another way, such as `/%70aid` or `//paid`, costs the same: a
    /// route may read it as the same.
    pub fn of(&self, path: &str) -> Option<&Price> {
        let path = &*plain(path);
        let exact = self.0.iter().find(|(pattern, _)| pattern == path);
        let below = || {
            let fits = |pattern: &str| {
                pattern.strip_suffix('*').is_some_and(|start| start.ends_with('/') && path.starts_with(start))
            };
            self.0.iter().filter(|(pattern, _)| fits(pattern)).max_by_key(|(pattern, _)| pattern.len())
        };
        exact.or_else(below).map(|(_, price)| price)
    }

    /// Every price.
    pub fn prices(&self) -> impl Iterator<Item = &Price> {
        self.0.iter().map(|(_, price)| price)
    }
}

/// Percent signs decoded, empty and `.` segments left out.
fn plain(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let decoded =
            digits.filter(|_| *first == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(decoded.unwrap_or(*first));
        rest = if decoded.is_some() { &after[2..] } else { after };
    }
    let text = String::from_utf8_lossy(&bytes);
    let segments: Vec<&str> = text.split('/').filter(|segment| !matches!(*segment, "" | ".")).collect();
    let end = if text.ends_with('/') && !segments.is_empty() { "/" } else { "" };
    format!("/{}{end}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, U256};

    use super::*;
    use crate::offer::Token;

    fn price(amount: u64) -> Price {
        let token =
            Token { address: Address::repeat_byte(1), name: "USDC".to_owned(), version: "2".to_owned() };
        let offer = Offer {
            chain_id: 1,
            token,
            amount: U256::from(amount),
            pay_to: Address::repeat_byte(2),
            timeout_s: 60,
        };
        Price {
            offers: vec![offer],
            description: String::new(),
            mime_type: String::new(),
            needs_identifier: false,
        }
    }

    #[test]
    fn the_closest_pattern_sets_the_price() {
        let mut table = PriceTable::default();
        table.put("/a/*", price(1));
        table.put("/a/b/*", price(2));
        table.put("/a/b/c", price(3));
        let amount = |path| table.of(path).map(|price| price.offers[0].amount);
        assert_eq!(amount("/a/x"), Some(U256::from(1)));
        assert_eq!(amount("/a/b/x/y"), Some(U256::from(2)));
        assert_eq!(amount("/a/b/c"), Some(U256::from(3)));
        assert_eq!(amount("/a/b/c/"), Some(U256::from(2)));
        for (spelled, price) in
            [("/a/%62/c", 3), ("//a//b/./c", 3), ("/%61/x", 1), ("/a%2fb/x", 2), ("/%61%2Fb%2Fx", 2)]
        {
            assert_eq!(amount(spelled), Some(U256::from(price)), "{spelled}");
        }
        for free in ["/a", "/ab/c", "/", "/%", "/%zz", "/%6"] {
            assert_eq!(amount(free), None, "{free}");
        }
    }
}
