// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TestDollar} from "../src/devnet/TestDollar.sol";
import {TestWallet} from "../src/devnet/TestWallet.sol";
import {Test} from "./base/Test.sol";

/// A wallet's authorization moves its dollars by what an owner signed for it, and by nothing else.
contract TestWalletTest is Test {
    uint256 private constant FIRST = 0xA11CE;
    uint256 private constant SECOND = 0xB0B;
    address private constant MERCHANT = address(0xC0);

    TestDollar private dollar;
    TestWallet private wallet;

    function setUp() public {
        vm.warp(1_800_000_000);
        dollar = TestDollar(deploy("TestDollar", ""));
        wallet = TestWallet(deploy("TestWallet", abi.encode(vm.addr(FIRST), vm.addr(SECOND))));
        dollar.mint(address(wallet), 10);
    }

    function digest(bytes32 nonce) private view returns (bytes32) {
        bytes32 content = keccak256(
            abi.encode(
                dollar.TRANSFER_WITH_AUTHORIZATION_TYPEHASH(), wallet, MERCHANT, 5, 0, block.timestamp + 60, nonce
            )
        );
        return keccak256(abi.encodePacked(hex"1901", dollar.DOMAIN_SEPARATOR(), content));
    }

    function signed(uint256 key, uint256 number, bytes32 hash) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, wallet.boundHash(hash));
        return abi.encode(number, r, s, v);
    }

    function bring(bytes32 nonce, bytes memory signature) private {
        dollar.transferWithAuthorization(address(wallet), MERCHANT, 5, 0, block.timestamp + 60, nonce, signature);
    }

    function test_each_owner_signs_for_the_wallet() public {
        bring("one", signed(FIRST, 0, digest("one")));
        bring("two", signed(SECOND, 1, digest("two")));
        equal(dollar.balanceOf(MERCHANT), 10, "paid twice");
    }

    function test_what_the_wallet_does_not_take_is_refused() public {
        bytes32 hash = digest("one");
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(FIRST, hash);
        bytes[4] memory wrong =
            [signed(SECOND, 0, hash), signed(FIRST, 2, hash), abi.encodePacked(r, s, v), abi.encode(0, r, s, v)];
        for (uint256 i = 0; i < wrong.length; ++i) {
            refused(TestDollar.InvalidSignature.selector);
            this.bringFromOutside("one", wrong[i]);
        }
        equal(dollar.balanceOf(MERCHANT), 0, "nothing moved");
    }

    function bringFromOutside(bytes32 nonce, bytes memory signature) external {
        bring(nonce, signature);
    }
}
