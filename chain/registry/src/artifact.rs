//! Compiled contracts, as `cargo xtask contracts` holds them: what is deployed here is what was tested there.

use alloy_primitives::{Address, Bytes, hex};
use alloy_sol_types::SolValue;

/// A contract that can be deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contract {
    SetRegistry,
    StateSetAnchor,
    SetPaymentBatch,
    /// For tests and devnets only: anybody can mint it.
    TestDollar,
    /// For tests and devnets only: a wallet that signs by ERC-1271, and moves nothing by itself.
    TestWallet,
}

impl Contract {
    /// The file of `chain/contracts/golden/bytecode`: `0x` and hex, one line.
    fn text(self) -> &'static str {
        match self {
            Self::SetRegistry => include_str!("../../contracts/golden/bytecode/SetRegistry.hex"),
            Self::StateSetAnchor => include_str!("../../contracts/golden/bytecode/StateSetAnchor.hex"),
            Self::SetPaymentBatch => include_str!("../../contracts/golden/bytecode/SetPaymentBatch.hex"),
            Self::TestDollar => include_str!("../../contracts/golden/bytecode/TestDollar.hex"),
            Self::TestWallet => include_str!("../../contracts/golden/bytecode/TestWallet.hex"),
        }
    }

    /// Input of the transaction that deploys it, without an address to send to. `owner` and `pauser` are those of the
    /// constructor, zero for no pauser; of the test wallet its owners; the test dollar has neither.
    pub fn creation(self, owner: Address, pauser: Address) -> Bytes {
        let mut input = hex::decode(self.text().trim()).expect("a golden file is hex");
        if self != Self::TestDollar {
            input.extend((owner, pauser).abi_encode_params());
        }
        input.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contract_is_bytecode_with_its_constructor_arguments() {
        let (owner, pauser) = (Address::repeat_byte(1), Address::repeat_byte(2));
        for contract in [Contract::SetRegistry, Contract::StateSetAnchor, Contract::SetPaymentBatch] {
            let input = contract.creation(owner, pauser);
            assert!(input.len() > 5_000, "{contract:?}");
            assert_eq!(input[input.len() - 52..input.len() - 32], owner[..], "{contract:?}");
            assert_eq!(input[input.len() - 20..], pauser[..], "{contract:?}");
        }
        assert_eq!(
            Contract::TestDollar.creation(owner, pauser),
            Contract::TestDollar.creation(Address::ZERO, Address::ZERO)
        );
    }
}
