// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TestDollar} from "../src/devnet/TestDollar.sol";
import {SetPaymentBatch} from "../src/SetPaymentBatch.sol";
import {PaymentTest} from "./base/PaymentTest.sol";

/// What holds after any batches of good, spoiled and repeated payments.
contract PaymentsInvariantTest is PaymentTest {
    uint256 private constant PAYERS = 4;
    uint256 private constant FUNDS = 1e9;

    mapping(bytes32 nonce => bool) private settledOnce;
    uint256 private nextBatch;
    uint256 private paid;
    SetPaymentBatch.Payment[] private made;

    function setUp() public override {
        super.setUp();
        for (uint256 i = 0; i < PAYERS; ++i) {
            dollar.mint(vm.addr(KEY + i), FUNDS);
        }
    }

    function targetContracts() external view returns (address[] memory) {
        return one(address(this));
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(this);
        targets[0].selectors = new bytes4[](1);
        targets[0].selectors[0] = this.settleSome.selector;
    }

    /// A batch of a new payment, perhaps spoiled, and an old one again; 40 batches are enough.
    function settleSome(uint8 payer, uint32 value, uint8 spoil, uint16 old) external {
        if (made.length == 40) return;
        SetPaymentBatch.Payment[] memory list = new SetPaymentBatch.Payment[](2);
        uint256 key = KEY + payer % PAYERS;
        list[0] = pay(key, made.length, uint256(value) % 1e8 + 1e4);
        made.push(list[0]);
        if (spoil % 4 == 0) list[0].value += 1;
        if (spoil % 4 == 1) list[0].to = STRANGER;
        list[1] = made[old % made.length];
        SetPaymentBatch.BatchTerms memory t = terms(++nextBatch, 2);
        settle(t, list);
        SetPaymentBatch.Settlement memory s = target.getSettlement(SETTLER, t.batchId);
        uint256 sum;
        for (uint256 i = 0; i < 2; ++i) {
            bytes32 nonce = list[i].nonce;
            if (dollar.authorizationState(list[i].from, nonce) && !settledOnce[nonce]) {
                settledOnce[nonce] = true;
                // An original whose copy was spoiled in the same batch settles as the original.
                sum += original(nonce).value;
            }
        }
        equal(s.totalSettled, sum, "what the batch says it moved");
        paid += sum;
    }

    function original(bytes32 nonce) private view returns (SetPaymentBatch.Payment memory) {
        for (uint256 i = 0; i < made.length; ++i) {
            if (made[i].nonce == nonce) return made[i];
        }
        revert NotTrue("a payment that nobody made");
    }

    function invariant_tokens_are_conserved_and_go_where_their_payers_said() external view {
        uint256 held = dollar.balanceOf(MERCHANT);
        equal(held, paid, "the merchant holds what settled");
        equal(dollar.balanceOf(STRANGER), 0, "nobody else was paid");
        equal(dollar.balanceOf(address(target)), 0, "the contract holds nothing");
        for (uint256 i = 0; i < PAYERS; ++i) {
            held += dollar.balanceOf(vm.addr(KEY + i));
        }
        equal(held, PAYERS * FUNDS, "none made, none lost");
        equal(dollar.totalSupply(), PAYERS * FUNDS, "supply");
    }

    function invariant_an_authorization_settles_once() external view {
        uint256 sum;
        for (uint256 i = 0; i < made.length; ++i) {
            if (dollar.authorizationState(made[i].from, made[i].nonce)) sum += made[i].value;
        }
        equal(sum, paid, "each used authorization once");
    }
}
