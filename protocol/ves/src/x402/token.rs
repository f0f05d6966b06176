//! Which contract an asset is on a network.
//!
//! The second signing form names the contract, so that a payer who consents to a token on one chain consents to no
//! other. A pair that is not in the table cannot be paid with in that form.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use sha3::{Digest as _, Keccak256};

use super::{Asset, Network};
use crate::hex;

/// The contract of a token: 20 bytes; zero for the network's own coin.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenAddress(pub [u8; 20]);

impl TokenAddress {
    /// The coin that the network itself keeps.
    pub const NATIVE: Self = Self([0; 20]);

    /// As issuers publish it: a letter is upper case where the digit of the Keccak-256 of the lower-case digits is 8 or
    /// more (ERC-55).
    pub fn checksummed(&self) -> String {
        let digits = hex::encode(&self.0);
        let hash = Keccak256::digest(digits.as_bytes());
        let nibble = |at: usize| hash[at / 2] >> (if at.is_multiple_of(2) { 4 } else { 0 }) & 0xf;
        let cased = digits.chars().enumerate().map(|(at, digit)| match nibble(at) >= 8 {
            true => digit.to_ascii_uppercase(),
            false => digit,
        });
        "0x".chars().chain(cased).collect()
    }
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

    /// `0x` and 40 digits of one case, or of both as the checksum has them.
    fn from_str(text: &str) -> Result<Self, TokenError> {
        let digits = text.strip_prefix("0x").ok_or(TokenError::Address)?;
        let address = hex::decode_lenient(digits).map(Self).map_err(|_| TokenError::Address)?;
        let has = |case: fn(&u8) -> bool| digits.as_bytes().iter().any(case);
        let is_mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase);
        let checksummed = address.checksummed();
        match is_mixed && checksummed != text {
            true => Err(TokenError::Checksum(checksummed)),
            false => Ok(address),
        }
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
    /// Mixed case is a checksum (ERC-55).
    #[error(
        "the upper and lower case of the contract is not its checksum: a digit may be wrong; it would be {0}"
    )]
    Checksum(String),
    #[error("eth is the network's own coin: its address is zero, and no other asset's is")]
    Native,
    #[error("this contract is {} on the same network", .0.text())]
    Taken(Asset),
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
    // The coin that pays for transactions there, by its ERC-20 face of 6 decimals.
    (Network::ArcTestnet, Asset::Usdc, "0x3600000000000000000000000000000000000000"),
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
        let token: TokenAddress = address.trim().parse()?;
        if (asset == Asset::Eth) != (token == TokenAddress::NATIVE) {
            return Err(TokenError::Native);
        }
        let others = self.entries().filter(|(of, other, _)| *of == network && *other != asset);
        if let Some((_, other, _)) = others.into_iter().find(|(.., held)| *held == token) {
            return Err(TokenError::Taken(other));
        }
        self.0.insert((network, asset), token);
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
        let address = format!("0x{}", "ab".repeat(20));
        table.set(&format!("set_chain:ss_usd={address}")).unwrap();
        assert_eq!(table.get(Network::SetChain, Asset::SsUsd), Some(TokenAddress([0xab; 20])));
        for (line, problem) in [
            ("set_chain", TokenError::Form),
            ("set_chain=0x00", TokenError::Form),
            ("mars:usdc=0x00", TokenError::Network("mars".into())),
            ("base:gold=0x00", TokenError::Asset("gold".into())),
            ("base:usdc=0x00", TokenError::Address),
            ("base:usdc=0000000000000000000000000000000000000000", TokenError::Address),
            ("base:dai=0x0000000000000000000000000000000000000000", TokenError::Native),
            ("base:eth=0x833589fcd6edb6e08f4c7c32d4f71b54bda02913", TokenError::Native),
            // What is known to be another asset there.
            ("base:usdt=0x833589fcd6edb6e08f4c7c32d4f71b54bda02913", TokenError::Taken(Asset::Usdc)),
        ] {
            assert_eq!(table.set(line), Err(problem), "{line}");
        }
    }

    /// As their issuers publish them.
    #[test]
    fn published_spellings_pass_and_a_wrong_letter_does_not() {
        let published = [
            "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48",
            "0xdAC17F958D2ee523a2206206994597C13D831ec7",
            "0x6B175474E89094C44Da98b954EedeAC495271d0F",
            "0x1c7D4B196Cb0C7B01d743Fbc6116a902379C7238",
            "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
            "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            "0xaf88d065e77c8cC2239327C5EDb3A432268e5831",
            "0x0b2C639c533813f4Aa9D7837CAf62653d097Ff85",
            "0x3600000000000000000000000000000000000000",
        ];
        assert_eq!(published.len(), KNOWN.len());
        for (text, (network, asset, _)) in published.iter().zip(KNOWN) {
            let address: TokenAddress = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(address.checksummed(), *text);
            assert_eq!(TokenTable::default().get(*network, *asset), Some(address), "{text}");
        }
        let slip = published[0].replacen("Eb0c", "eb0c", 1);
        assert_eq!(slip.parse::<TokenAddress>(), Err(TokenError::Checksum(published[0].to_owned())));
    }

    #[test]
    fn every_known_contract_stands_once() {
        let table = TokenTable::default();
        assert_eq!(table.entries().count(), KNOWN.len() + ETHER.len());
        assert_eq!(table.get(Network::Arc, Asset::Eth), None, "Arc keeps no ether");
    }
}
