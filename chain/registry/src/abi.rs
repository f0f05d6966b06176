//! Bindings of the contracts, made by the compiler from the golden interfaces: they can't differ from them.

#![allow(missing_docs, clippy::too_many_arguments)]

use alloy_sol_types::sol;

sol!(
    #[derive(Debug, PartialEq, Eq)]
    SetRegistry,
    "../contracts/golden/abi/SetRegistry.json"
);
sol!(
    #[derive(Debug, PartialEq, Eq)]
    StateSetAnchor,
    "../contracts/golden/abi/StateSetAnchor.json"
);
sol!(
    #[derive(Debug, PartialEq, Eq)]
    SetPaymentBatch,
    "../contracts/golden/abi/SetPaymentBatch.json"
);
sol!(
    #[derive(Debug, PartialEq, Eq)]
    TestDollar,
    "../contracts/golden/abi/TestDollar.json"
);

sol! {
    /// What payments need of a token: EIP-3009, ERC-20's balance, and the EIP-712 domain.
    #[derive(Debug, PartialEq, Eq)]
    interface Eip3009Token {
        event Transfer(address indexed from, address indexed to, uint256 value);
        event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);

        function name() external view returns (string);
        function version() external view returns (string);
        function decimals() external view returns (uint8);
        function balanceOf(address account) external view returns (uint256);
        function DOMAIN_SEPARATOR() external view returns (bytes32);
        function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
        function transferWithAuthorization(
            address from,
            address to,
            uint256 value,
            uint256 validAfter,
            uint256 validBefore,
            bytes32 nonce,
            uint8 v,
            bytes32 r,
            bytes32 s
        ) external;
    }

    /// What a payer signs by EIP-712.
    #[derive(Debug, PartialEq, Eq)]
    struct TransferWithAuthorization {
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use alloy_sol_types::{SolEvent, SolInterface, SolStruct};
    use serde_json::Value;

    use super::*;

    fn count(golden: &str, kind: &str) -> usize {
        let entries: Vec<Value> = serde_json::from_str(golden).unwrap();
        entries.iter().filter(|entry| entry["type"] == kind).count()
    }

    /// The bindings are of the golden interfaces, whole.
    #[test]
    fn bindings_hold_every_call_and_error_of_the_golden_interfaces() {
        macro_rules! holds {
            ($file:literal, $calls:ty, $errors:ty) => {
                let golden = include_str!(concat!("../../contracts/golden/abi/", $file));
                assert_eq!(<$calls as SolInterface>::COUNT, count(golden, "function"), $file);
                assert_eq!(<$errors as SolInterface>::COUNT, count(golden, "error"), $file);
            };
        }
        holds!("SetRegistry.json", SetRegistry::SetRegistryCalls, SetRegistry::SetRegistryErrors);
        holds!(
            "StateSetAnchor.json",
            StateSetAnchor::StateSetAnchorCalls,
            StateSetAnchor::StateSetAnchorErrors
        );
        holds!(
            "SetPaymentBatch.json",
            SetPaymentBatch::SetPaymentBatchCalls,
            SetPaymentBatch::SetPaymentBatchErrors
        );
        holds!("TestDollar.json", TestDollar::TestDollarCalls, TestDollar::TestDollarErrors);
    }

    /// Written by hand, since it is of tokens that are not ours; ours is one of them.
    #[test]
    fn the_token_interface_is_that_of_the_test_dollar() {
        let of_dollar: BTreeSet<[u8; 4]> = TestDollar::TestDollarCalls::selectors().collect();
        for selector in Eip3009Token::Eip3009TokenCalls::selectors() {
            assert!(of_dollar.contains(&selector), "{selector:02x?}");
        }
        assert_eq!(Eip3009Token::Transfer::SIGNATURE_HASH, TestDollar::Transfer::SIGNATURE_HASH);
        assert_eq!(
            Eip3009Token::AuthorizationUsed::SIGNATURE_HASH,
            TestDollar::AuthorizationUsed::SIGNATURE_HASH
        );
        assert_eq!(
            TransferWithAuthorization::eip712_encode_type(),
            "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 \
             validBefore,bytes32 nonce)"
        );
    }
}
