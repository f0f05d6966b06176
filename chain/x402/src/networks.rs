//! Names of chains: `eip155:<id>` in version 2 (CAIP-2), a word of a fixed list in version 1.

use std::collections::BTreeMap;

const CAIP2_PREFIX: &str = "eip155:";

/// The words that clients of version 1 know; a body with another is refused by them whole (x402 B.2).
const KNOWN_TO_VERSION_1: &[(&str, u64)] = &[
    ("avalanche", 43_114),
    ("avalanche-fuji", 43_113),
    ("base", 8_453),
    ("base-sepolia", 84_532),
    ("iotex", 4_689),
    ("peaq", 3_338),
    ("polygon", 137),
    ("polygon-amoy", 80_002),
    ("sei", 1_329),
    ("sei-testnet", 1_328),
];

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    #[error("{0:?} is no network here: expected eip155:<chain id>, or in version 1 one of its names")]
    Unknown(String),
    #[error("{name:?} is already chain {held}")]
    Taken { name: String, held: u64 },
}

/// Which word of version 1 means which chain. Others are configuration, for clients that are configured alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainTable(BTreeMap<String, u64>);

impl Default for ChainTable {
    fn default() -> Self {
        Self(KNOWN_TO_VERSION_1.iter().map(|(name, id)| ((*name).to_owned(), *id)).collect())
    }
}

impl ChainTable {
    /// Lets `name` mean a chain in version 1.
    ///
    /// # Errors
    /// [`NetworkError::Taken`] when it means another chain.
    pub fn name(&mut self, name: &str, chain_id: u64) -> Result<(), NetworkError> {
        match self.0.get(name).copied() {
            Some(held) if held != chain_id => Err(NetworkError::Taken { name: name.to_owned(), held }),
            _ => {
                self.0.insert(name.to_owned(), chain_id);
                Ok(())
            }
        }
    }

    /// The word of a chain in version 1, if it has one.
    pub fn v1_name(&self, chain_id: u64) -> Option<&str> {
        self.0.iter().find(|(_, id)| **id == chain_id).map(|(name, _)| name.as_str())
    }

    /// The chain that a word of version 1 means.
    ///
    /// # Errors
    /// [`NetworkError::Unknown`].
    pub fn of_v1(&self, name: &str) -> Result<u64, NetworkError> {
        self.0.get(name).copied().ok_or_else(|| NetworkError::Unknown(name.to_owned()))
    }
}

/// `eip155:84532`
pub fn caip2(chain_id: u64) -> String {
    format!("{CAIP2_PREFIX}{chain_id}")
}

/// The number in `eip155:<number>`, written as CAIP-2 has it: decimal, without leading zeros.
///
/// # Errors
/// [`NetworkError::Unknown`].
pub fn of_caip2(text: &str) -> Result<u64, NetworkError> {
    let number = text.strip_prefix(CAIP2_PREFIX).and_then(|digits| digits.parse().ok());
    number
        .filter(|id| *id > 0 && caip2(*id) == text)
        .ok_or_else(|| NetworkError::Unknown(text.chars().take(64).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_has_one_name_in_each_version() {
        let mut table = ChainTable::default();
        assert_eq!(table.v1_name(84_532), Some("base-sepolia"));
        assert_eq!(table.of_v1("base"), Ok(8_453));
        assert_eq!(table.v1_name(84_532_001), None, "clients of version 1 know no Set Chain");
        assert_eq!(table.name("set-chain", 84_532_001), Ok(()));
        assert_eq!(table.of_v1("set-chain"), Ok(84_532_001));
        assert!(matches!(table.name("base", 1), Err(NetworkError::Taken { held: 8_453, .. })));
        assert_eq!(of_caip2(&caip2(84_532_001)), Ok(84_532_001));
        for spoiled in ["eip155:", "eip155:0", "eip155:01", "eip155:+1", "solana:1", "84532", "eip155:1 "] {
            assert!(of_caip2(spoiled).is_err(), "{spoiled}");
        }
    }
}
