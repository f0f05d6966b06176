// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TestDollar} from "../../src/devnet/TestDollar.sol";
import {SetPaymentBatch} from "../../src/SetPaymentBatch.sol";
import {Test} from "./Test.sol";

/// A settlement contract with one token, and payers that sign.
abstract contract PaymentTest is Test {
    address internal constant OWNER = address(0xA0);
    address internal constant PAUSER = address(0xA1);
    address internal constant SETTLER = address(0xA3);
    address internal constant STRANGER = address(0xA4);
    address internal constant MERCHANT = address(0xC0);
    uint256 internal constant KEY = 0x5E771E;

    SetPaymentBatch internal target;
    TestDollar internal dollar;

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        target = SetPaymentBatch(deploy("SetPaymentBatch", abi.encode(OWNER, PAUSER)));
        dollar = TestDollar(deploy("TestDollar", ""));
        vm.startPrank(OWNER);
        target.setSettler(SETTLER, true);
        target.configureAsset(address(dollar), true, 1e4, 1e12, 1e14);
        vm.stopPrank();
    }

    /// Payment `n` of the payer with this key, signed as it stands.
    function pay(uint256 key, uint256 n, uint256 value) internal view returns (SetPaymentBatch.Payment memory p) {
        p.intentId = uuid(n);
        p.from = vm.addr(key);
        p.to = MERCHANT;
        p.value = value;
        p.validAfter = block.timestamp - 600;
        p.validBefore = block.timestamp + 600;
        p.nonce = keccak256(abi.encode("nonce", n));
        sign(key, p);
    }

    function sign(uint256 key, SetPaymentBatch.Payment memory p) internal view {
        bytes32 content = keccak256(
            abi.encode(
                dollar.TRANSFER_WITH_AUTHORIZATION_TYPEHASH(),
                p.from,
                p.to,
                p.value,
                p.validAfter,
                p.validBefore,
                p.nonce
            )
        );
        (p.v, p.r, p.s) = vm.sign(key, keccak256(abi.encodePacked(hex"1901", dollar.DOMAIN_SEPARATOR(), content)));
    }

    function terms(uint256 n, uint32 count) internal view returns (SetPaymentBatch.BatchTerms memory) {
        return SetPaymentBatch.BatchTerms({
            batchId: uuid(n + 1_000_000),
            merkleRoot: keccak256(abi.encode("intents", n)),
            tenantStoreKey: keccak256("stream"),
            token: address(dollar),
            sequenceStart: 1,
            sequenceEnd: count,
            intentCount: count
        });
    }

    /// `count` payers with funds, one payment each.
    function payers(uint256 count) internal returns (SetPaymentBatch.Payment[] memory list) {
        list = new SetPaymentBatch.Payment[](count);
        for (uint256 i = 0; i < count; ++i) {
            dollar.mint(vm.addr(KEY + i), 1e9);
            list[i] = pay(KEY + i, i, 1e6 + i);
        }
    }

    function settle(SetPaymentBatch.BatchTerms memory t, SetPaymentBatch.Payment[] memory list) internal {
        vm.prank(SETTLER);
        target.settleBatch(t, list);
    }

    function single(SetPaymentBatch.Payment memory p) internal pure returns (SetPaymentBatch.Payment[] memory list) {
        list = new SetPaymentBatch.Payment[](1);
        list[0] = p;
    }
}
