//! Transactions of EIP-1559: the only kind that is sent.

use alloy_primitives::{Address, B256, Bytes, Signature, U256, keccak256};
use alloy_rlp::{EMPTY_LIST_CODE, EMPTY_STRING_CODE, Encodable, Header};

use crate::key::ChainKey;

/// First byte of the encoding (EIP-2718).
const TYPE: u8 = 2;

/// A transaction before it is signed. Fees are in wei for one unit of gas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eip1559 {
    pub chain_id: u64,
    pub nonce: u64,
    pub max_priority_fee_per_gas: u128,
    pub max_fee_per_gas: u128,
    pub gas_limit: u64,
    /// `None` deploys `input`.
    pub to: Option<Address>,
    pub value: U256,
    pub input: Bytes,
}

/// A transaction as it goes to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedTransaction {
    /// Its name on the chain.
    pub hash: B256,
    pub raw: Bytes,
}

impl Eip1559 {
    /// Signs; the same transaction gives the same bytes each time.
    pub fn sign(&self, key: &ChainKey) -> SignedTransaction {
        self.with_signature(&key.sign(&self.signature_hash()))
    }

    /// What is signed: Keccak-256(2 ‖ the members as a list).
    pub fn signature_hash(&self) -> B256 {
        keccak256(self.encode(&[]))
    }

    fn with_signature(&self, signature: &Signature) -> SignedTransaction {
        let mut members = Vec::new();
        signature.v().encode(&mut members);
        signature.r().encode(&mut members);
        signature.s().encode(&mut members);
        let raw = self.encode(&members);
        SignedTransaction { hash: keccak256(&raw), raw: raw.into() }
    }

    /// The members in the order of EIP-1559, then `more`, encoded already.
    fn encode(&self, more: &[u8]) -> Vec<u8> {
        let mut members = Vec::with_capacity(self.input.len() + 128);
        self.chain_id.encode(&mut members);
        self.nonce.encode(&mut members);
        self.max_priority_fee_per_gas.encode(&mut members);
        self.max_fee_per_gas.encode(&mut members);
        self.gas_limit.encode(&mut members);
        match &self.to {
            Some(to) => to.encode(&mut members),
            None => members.push(EMPTY_STRING_CODE),
        }
        self.value.encode(&mut members);
        self.input.encode(&mut members);
        // No access list.
        members.push(EMPTY_LIST_CODE);
        members.extend_from_slice(more);
        let mut raw = vec![TYPE];
        Header { list: true, payload_length: members.len() }.encode(&mut raw);
        raw.extend(members);
        raw
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{address, b256, hex};

    use super::*;

    /// A transaction of Ethereum's main chain.
    #[test]
    fn a_transaction_of_the_main_chain_has_its_hash() {
        let transaction = Eip1559 {
            chain_id: 1,
            nonce: 0x42,
            max_priority_fee_per_gas: 0x3b9a_ca00,
            max_fee_per_gas: 0x4_a817_c800,
            gas_limit: 44_386,
            to: Some(address!("6069a6c32cf691f5982febae4faf8a6f3ab2f0f6")),
            value: U256::ZERO,
            input: hex!(
                "a22cb4650000000000000000000000005eee75727d804a2b13038928d36f8b188945a57a0000000000000000000000000000000000000000000000000000000000000000"
            )
            .into(),
        };
        let signature = Signature::from_scalars_and_parity(
            b256!("840cfc572845f5786e702984c2a582528cad4b49b2a10b9db1be7fca90058565"),
            b256!("25e7109ceb98168d95b09b18bbf6b685130e0562f233877d492b94eee0c5b6d1"),
            false,
        );
        assert_eq!(
            transaction.signature_hash(),
            b256!("0d5688ac3897124635b6cf1bc0e29d6dfebceebdc10a54d74f2ef8b56535b682")
        );
        assert_eq!(
            transaction.with_signature(&signature).hash,
            b256!("0ec0b6a2df4d87424e5f6ad2a654e27aaeb7dac20ae9e8385cc09087ad532ee0")
        );
        assert_eq!(
            signature.recover_address_from_prehash(&transaction.signature_hash()).unwrap(),
            address!("dd6b8b3dc6b7ad97db52f08a275ff4483e024cea")
        );
    }
}
