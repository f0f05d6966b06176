//! What a seller asks for, in the one form that both versions are written from.

use alloy_primitives::{Address, B256, Bytes, U256};
use serde_json::{Map, Value};

use crate::authorization::Domain;
use crate::chain::{ChainError, ContractChain};
use crate::forms::{EXACT, PaymentRequirements, PaymentRequirementsV1, ResourceInfo};
use crate::networks::{ChainTable, caip2};
use crate::token;

/// A token with EIP-3009, and what it signs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub address: Address,
    /// Of the token's EIP-712 domain: `USDC` on Base Sepolia, `USD Coin` on most main networks.
    pub name: String,
    pub version: String,
}

impl Token {
    /// Asks a contract for its name and version, and whether it takes authorizations that are signed under these.
    ///
    /// # Errors
    /// [`ChainError::Answer`] or [`ChainError::Refused`] where it is no token with EIP-3009, or signs in another domain.
    pub async fn of_contract(chain: &impl ContractChain, address: Address) -> Result<Self, ChainError> {
        let wrong = |what: &str| ChainError::Answer(format!("{address}: {what}"));
        let told = async |member: &str, input: Bytes| {
            let answer = chain.view(address, input).await?;
            token::text(&answer).ok_or_else(|| wrong(&format!("its {member} is no text")))
        };
        let (name, version) = (told("name", token::name()).await?, told("version", token::version()).await?);
        let domain = Domain { name: &name, version: &version, chain_id: chain.chain_id(), token: address };
        if chain.domain_separator(address).await? != domain.separator() {
            return Err(wrong("it signs in another EIP-712 domain than its name and version say"));
        }
        // What a token without EIP-3009 does not answer.
        chain.authorization_used(address, Address::ZERO, B256::ZERO).await?;
        Ok(Self { address, name, version })
    }
}

/// One way to pay for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub chain_id: u64,
    pub token: Token,
    /// In the token's smallest unit.
    pub amount: U256,
    pub pay_to: Address,
    /// How long an authorization should be valid, in seconds.
    pub timeout_s: u64,
}

/// What is sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// As the client sees it.
    pub url: String,
    pub description: String,
    pub mime_type: String,
}

impl Resource {
    pub fn info(&self) -> ResourceInfo {
        ResourceInfo {
            url: self.url.clone(),
            description: Some(self.description.clone()),
            mime_type: Some(self.mime_type.clone()),
        }
    }
}

impl Offer {
    pub fn domain(&self) -> Domain<'_> {
        Domain {
            name: &self.token.name,
            version: &self.token.version,
            chain_id: self.chain_id,
            token: self.token.address,
        }
    }

    /// In version 2.
    pub fn requirements(&self) -> PaymentRequirements {
        PaymentRequirements {
            scheme: EXACT.to_owned(),
            network: caip2(self.chain_id),
            amount: self.amount,
            asset: self.token.address,
            pay_to: self.pay_to,
            max_timeout_seconds: self.timeout_s,
            extra: self.extra(),
        }
    }

    /// In version 1, where the chain has a name there.
    pub fn requirements_v1(&self, chains: &ChainTable, resource: &Resource) -> Option<PaymentRequirementsV1> {
        Some(PaymentRequirementsV1 {
            scheme: EXACT.to_owned(),
            network: chains.v1_name(self.chain_id)?.to_owned(),
            max_amount_required: self.amount,
            resource: resource.url.clone(),
            description: resource.description.clone(),
            mime_type: resource.mime_type.clone(),
            output_schema: None,
            pay_to: self.pay_to,
            max_timeout_seconds: self.timeout_s,
            asset: self.token.address,
            extra: self.extra(),
        })
    }

    fn extra(&self) -> Map<String, Value> {
        [("name", &self.token.name), ("version", &self.token.version)]
            .into_iter()
            .map(|(member, text)| (member.to_owned(), Value::String(text.clone())))
            .collect()
    }
}
