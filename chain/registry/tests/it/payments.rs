//! The test dollar and the settlement of payments, by their bindings.

use alloy_sol_types::{SolStruct, eip712_domain};
use set_registry::abi::{SetPaymentBatch, TestDollar, TransferWithAuthorization};
use set_registry::artifact::Contract;
use set_registry::devnet::DEVNET_CHAIN_ID;
use set_registry::{B256, BlockAt, U256};

use crate::chain::{account, address, start};

#[test]
fn an_authorization_signed_here_moves_the_dollar_there() {
    let Some(chain) = start() else { return };
    let owner = &chain.owner;
    let dollar = owner.deploy(Contract::TestDollar).unwrap();
    let settlement = owner.deploy(Contract::SetPaymentBatch).unwrap();
    owner.call(dollar, &TestDollar::mintCall { to: address(1), value: U256::from(5_000_000) }).unwrap();
    owner
        .call(settlement, &SetPaymentBatch::setSettlerCall { settler: owner.address(), allowed: true })
        .unwrap();
    let bounds = SetPaymentBatch::configureAssetCall {
        token: dollar,
        enabled: true,
        minAmount: "1".parse().unwrap(),
        maxAmount: "1000000000".parse().unwrap(),
        dailyLimit: "1000000000".parse().unwrap(),
    };
    owner.call(settlement, &bounds).unwrap();

    let signed = TransferWithAuthorization {
        from: address(1),
        to: address(2),
        value: U256::from(1_250_000),
        validAfter: U256::ZERO,
        validBefore: U256::from(u64::MAX),
        nonce: B256::repeat_byte(7),
    };
    let domain = eip712_domain! {
        name: "USDC", version: "2", chain_id: DEVNET_CHAIN_ID, verifying_contract: dollar,
    };
    let signature = account(1).sign(&signed.eip712_signing_hash(&domain));
    let payment = SetPaymentBatch::Payment {
        intentId: B256::repeat_byte(3),
        from: signed.from,
        to: signed.to,
        value: signed.value,
        validAfter: signed.validAfter,
        validBefore: signed.validBefore,
        nonce: signed.nonce,
        v: 27 + u8::from(signature.v()),
        r: signature.r().into(),
        s: signature.s().into(),
    };
    let terms = SetPaymentBatch::BatchTerms {
        batchId: B256::repeat_byte(1),
        merkleRoot: B256::repeat_byte(2),
        tenantStoreKey: B256::ZERO,
        token: dollar,
        sequenceStart: 1,
        sequenceEnd: 1,
        intentCount: 1,
    };
    owner.call(settlement, &SetPaymentBatch::settleBatchCall { terms, payments: vec![payment] }).unwrap();
    let node = chain.anvil.node();
    let balance =
        node.view(dollar, &TestDollar::balanceOfCall { account: address(2) }, BlockAt::Latest).unwrap();
    assert_eq!(balance, U256::from(1_250_000));
}
