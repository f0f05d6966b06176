//! Which contract an asset is on a network.
//!
//! The second signing form names the contract, so that a payer who consents to a token on one chain consents to no
//! other. A pair that is not in the table cannot be paid with in that form.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::{Asset, Network};
use crate::hex;

/// The contract of a token: 20 bytes; zero for the network's own coin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenAddress(pub [u8; 20]);

impl TokenAddress {
    /// The coin that the network itself keeps.
    pub const NATIVE: Self = Self([0; 20]);
}

impl fmt::Display for TokenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode_0x(&self.0))
    }
}
impl fmt::Debug for TokenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenAddress({self})")
    }
}
impl FromStr for TokenAddress {
    type Err = TokenError;

    /// `0x` and 40 digits of either case.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let digits = text.starts_with("0x").then_some(text).ok_or(TokenError::Address)?;
        hex::decode_lenient(digits).map(Self).map_err(|_| TokenError::Address)
    }
}

impl serde::Serialize for TokenAddress {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de> serde::Deserialize<'de> for TokenAddress {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a line is no entry of the table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("expected network:asset=0x and 40 hex digits, such as set_chain:usdc=0x…")]
    Form,
    #[error("{0:?} is no network")]
    Network(String),
    #[error("{0:?} is no asset")]
    Asset(String),
    #[error("expected the contract as 0x and 40 hex digits")]
    Address,
}

/// Contracts that are known without a setting: the issuers' own deployments.
const KNOWN: &[(Network, Asset, &str)] = &[
    (Network::Ethereum, Asset::Usdc, "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48"),
    (Network::Ethereum, Asset::Usdt, "0xdac17f958d2ee523a2206206994597c13d831ec7"),
    (Network::Ethereum, Asset::Dai, "0x6b175474e89094c44da98b954eedeac495271d0f"),
    (Network::EthereumSepolia, Asset::Usdc, "0x1c7d4b196cb0c7b01d743fbc6116a902379c7238"),
    (Network::Base, Asset::Usdc, "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913"),
    (Network::BaseSepolia, Asset::Usdc, "0x036cbd53842c5426634e7929541ec2318f3dcf7e"),
    (Network::Arbitrum, Asset::Usdc, "0xaf88d065e77c8cc2239327c5edb3a432268e5831"),
    (Network::Optimism, Asset::Usdc, "0x0b2c639c533813f4aa9d7837caf62653d097ff85"),
];

/// Networks whose own coin is ether.
const ETHER: &[Network] = &[
    Network::SetChain,
    Network::SetChainTestnet,
    Network::Base,
    Network::BaseSepolia,
    Network::Ethereum,
    Network::EthereumSepolia,
    Network::Arbitrum,
    Network::Optimism,
];

/// The tokens of every network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenTable(BTreeMap<(Network, Asset), TokenAddress>);

impl Default for TokenTable {
    fn default() -> Self {
        let mut table = BTreeMap::new();
        for (network, asset, address) in KNOWN {
            table.insert((*network, *asset), address.parse().expect("40 digits"));
        }
        table.extend(ETHER.iter().map(|network| ((*network, Asset::Eth), TokenAddress::NATIVE)));
        Self(table)
    }
}

impl TokenTable {
    /// The contract of an asset on a network, where it is known.
    pub fn get(&self, network: Network, asset: Asset) -> Option<TokenAddress> {
        self.0.get(&(network, asset)).copied()
    }

    /// Every entry, by network, then asset.
    pub fn entries(&self) -> impl Iterator<Item = (Network, Asset, TokenAddress)> + '_ {
        self.0.iter().map(|((network, asset), address)| (*network, *asset, *address))
    }

    /// Adds or replaces one entry, written `network:asset=0x…`.
    ///
    /// # Errors
    /// [`TokenError`]; the table is unchanged.
    pub fn set(&mut self, line: &str) -> Result<(), TokenError> {
        let (place, address) = line.trim().split_once('=').ok_or(TokenError::Form)?;
        let (network, asset) = place.trim().split_once(':').ok_or(TokenError::Form)?;
        let network = Network::from_text(network).ok_or_else(|| TokenError::Network(network.to_owned()))?;
        let asset = Asset::from_name(asset).ok_or_else(|| TokenError::Asset(asset.to_owned()))?;
        self.0.insert((network, asset), address.trim().parse()?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_adds_a_token_and_a_wrong_one_says_what_is_wrong() {
        let mut table = TokenTable::default();
        assert_eq!(table.get(Network::SetChain, Asset::Usdc), None);
        let address = format!("0x{}", "aB".repeat(20));
        table.set(&format!("set_chain:ss_usd={address}")).unwrap();
        assert_eq!(table.get(Network::SetChain, Asset::SsUsd), Some(TokenAddress([0xab; 20])));
        for (line, problem) in [
            ("set_chain", TokenError::Form),
            ("set_chain=0x00", TokenError::Form),
            ("mars:usdc=0x00", TokenError::Network("mars".into())),
            ("base:gold=0x00", TokenError::Asset("gold".into())),
            ("base:usdc=0x00", TokenError::Address),
            ("base:usdc=0000000000000000000000000000000000000000", TokenError::Address),
        ] {
            assert_eq!(table.set(line), Err(problem), "{line}");
        }
    }

    #[test]
    fn every_known_contract_stands_once() {
        let table = TokenTable::default();
        assert_eq!(table.entries().count(), KNOWN.len() + ETHER.len());
        assert_eq!(table.get(Network::Arc, Asset::Eth), None, "Arc keeps no ether");
    }
}
