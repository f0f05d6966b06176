//! What a payer signs: EIP-3009 `TransferWithAuthorization`, hashed as EIP-712 says.

use alloy_primitives::{Address, B256, U256, keccak256};
use serde::{Deserialize, Serialize};

const DOMAIN_TYPE: &[u8] =
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";
const TRANSFER_TYPE: &[u8] = b"TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)";

/// Where an authorization counts: one token on one chain, by the name and version that the token signs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain<'a> {
    pub name: &'a str,
    pub version: &'a str,
    pub chain_id: u64,
    pub token: Address,
}

impl Domain<'_> {
    /// Keccak-256 of the domain's type and members.
    pub fn separator(&self) -> B256 {
        let words: [B256; 5] = [
            keccak256(DOMAIN_TYPE),
            keccak256(self.name.as_bytes()),
            keccak256(self.version.as_bytes()),
            U256::from(self.chain_id).into(),
            self.token.into_word(),
        ];
        keccak256(words.concat())
    }
}

/// A transfer that its payer allows once. Times in Unix seconds; the token asks `valid_after < block time < valid_before`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    pub from: Address,
    pub to: Address,
    pub value: U256,
    pub valid_after: U256,
    pub valid_before: U256,
    /// 32 bytes of the payer's choice, used once.
    pub nonce: B256,
}

impl Authorization {
    /// The 32 bytes that are signed.
    ///
    /// # Source
    /// EIP-712 ("\x19\x01" ‖ domain separator ‖ hash of the struct), EIP-3009.
    pub fn digest(&self, domain: &Domain<'_>) -> B256 {
        self.digest_in(domain.separator())
    }

    /// The same, where the token itself has told its domain's hash.
    pub fn digest_in(&self, separator: B256) -> B256 {
        let words: [B256; 7] = [
            keccak256(TRANSFER_TYPE),
            self.from.into_word(),
            self.to.into_word(),
            self.value.into(),
            self.valid_after.into(),
            self.valid_before.into(),
            self.nonce,
        ];
        let content = keccak256(words.concat());
        keccak256([&[0x19, 0x01][..], separator.as_slice(), content.as_slice()].concat())
    }

    /// The end of validity, as a number that clocks reach; beyond it is "for ever".
    pub fn valid_before_s(&self) -> u64 {
        u64::try_from(self.valid_before).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use alloy_sol_types::{SolStruct as _, eip712_domain, sol};
    use proptest::prelude::*;

    use super::*;

    sol! {
        struct TransferWithAuthorization {
            address from;
            address to;
            uint256 value;
            uint256 validAfter;
            uint256 validBefore;
            bytes32 nonce;
        }
    }

    proptest! {
        /// Alloy's own hashing of the same struct agrees, whatever is in it.
        #[test]
        fn the_digest_is_that_of_another_implementation(
            (from, to, nonce, token) in any::<([u8; 20], [u8; 20], [u8; 32], [u8; 20])>(),
            (value, after, before, chain_id) in any::<([u64; 4], u64, u64, u64)>(),
            (name, version) in (".{0,24}", ".{0,4}"),
        ) {
            let ours = Authorization {
                from: from.into(), to: to.into(), value: U256::from_limbs(value), valid_after: U256::from(after),
                valid_before: U256::from(before), nonce: nonce.into(),
            };
            let theirs = TransferWithAuthorization {
                from: ours.from, to: ours.to, value: ours.value, validAfter: ours.valid_after,
                validBefore: ours.valid_before, nonce: ours.nonce,
            };
            let domain = Domain { name: &name, version: &version, chain_id, token: token.into() };
            let their_domain = eip712_domain! {
                name: name.clone(), version: version.clone(), chain_id: chain_id, verifying_contract: token.into(),
            };
            prop_assert_eq!(ours.digest(&domain), theirs.eip712_signing_hash(&their_domain));
        }
    }
}
