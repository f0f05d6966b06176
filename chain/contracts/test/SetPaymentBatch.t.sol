// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Governed} from "../src/access/Governed.sol";
import {TestDollar} from "../src/devnet/TestDollar.sol";
import {SetPaymentBatch} from "../src/SetPaymentBatch.sol";
import {PaymentTest} from "./base/PaymentTest.sol";
import {ReferenceTree} from "./base/ReferenceTree.sol";
import {Vm} from "./base/Vm.sol";

/// Settlement: only what payers signed, once, and each for itself.
contract SetPaymentBatchTest is PaymentTest {
    function test_a_batch_settles_and_tells_all() public {
        SetPaymentBatch.Payment[] memory list = payers(3);
        SetPaymentBatch.BatchTerms memory t = terms(1, 5);
        bytes32[] memory ids = new bytes32[](3);
        for (uint256 i = 0; i < 3; ++i) {
            ids[i] = list[i].intentId;
        }
        vm.expectEmit(address(target));
        emit SetPaymentBatch.BatchSettled(
            t.batchId, t.tenantStoreKey, t.token, SETTLER, t.merkleRoot, 1, 5, 5, 3e6 + 3, 7, ids
        );
        settle(t, list);
        equal(dollar.balanceOf(MERCHANT), 3e6 + 3, "merchant");
        equal(dollar.balanceOf(list[1].from), 1e9 - 1e6 - 1, "payer");
        SetPaymentBatch.Settlement memory s = target.getSettlement(SETTLER, t.batchId);
        equal(s.merkleRoot, t.merkleRoot, "root");
        equal(s.totalSettled, 3e6 + 3, "total");
        equal(s.intentCount, 5, "intents");
        equal(s.paymentCount, 3, "payments");
        equal(s.settledCount, 3, "settled");
        equal(s.settledAt, block.timestamp, "time");
        equal(target.getAssetConfig(t.token).dailyVolume, 3e6 + 3, "volume of the day");
    }

    function test_a_payment_that_fails_leaves_the_rest_settled_and_is_reported() public {
        SetPaymentBatch.Payment[] memory list = payers(8);
        list[0].value += 1;
        list[1].to = STRANGER;
        list[2].validBefore = block.timestamp;
        sign(KEY + 2, list[2]);
        list[3].validAfter = block.timestamp;
        sign(KEY + 3, list[3]);
        list[4].value = 2e9;
        sign(KEY + 4, list[4]);
        list[5].nonce = list[7].nonce;
        list[5].from = list[7].from;
        list[5].value = 1e6;
        sign(KEY + 7, list[5]);
        bytes[8] memory reasons = [
            abi.encodeWithSelector(TestDollar.InvalidSignature.selector),
            abi.encodeWithSelector(TestDollar.InvalidSignature.selector),
            abi.encodeWithSelector(TestDollar.AuthorizationExpired.selector, block.timestamp),
            abi.encodeWithSelector(TestDollar.AuthorizationNotYetValid.selector, block.timestamp),
            abi.encodeWithSelector(TestDollar.InsufficientBalance.selector, 1e9, 2e9),
            bytes(""),
            bytes(""),
            abi.encodeWithSelector(TestDollar.AuthorizationAlreadyUsed.selector, list[7].from, list[7].nonce)
        ];
        SetPaymentBatch.BatchTerms memory t = terms(1, 8);
        for (uint256 i = 0; i < 8; ++i) {
            if (reasons[i].length == 0) continue;
            vm.expectEmit(address(target));
            emit SetPaymentBatch.PaymentFailed(t.batchId, list[i].intentId, list[i].from, list[i].nonce, reasons[i]);
        }
        settle(t, list);
        equal(dollar.balanceOf(MERCHANT), 1e6 + 1e6 + 6, "two of eight");
        equal(dollar.balanceOf(STRANGER), 0, "a changed payee gets nothing");
        equal(target.getSettlement(SETTLER, t.batchId).settledCount, 2, "settled");
        // What failed for a passing reason settles in a later batch.
        dollar.mint(list[4].from, 1e9);
        settle(terms(2, 1), single(list[4]));
        equal(dollar.balanceOf(MERCHANT), 2e9 + 2e6 + 6, "later");
    }

    function test_nothing_settles_twice() public {
        SetPaymentBatch.Payment[] memory list = payers(2);
        SetPaymentBatch.BatchTerms memory t = terms(1, 2);
        settle(t, list);
        vm.prank(SETTLER);
        vm.expectRevert(abi.encodeWithSelector(SetPaymentBatch.BatchAlreadySettled.selector, t.batchId));
        target.settleBatch(t, list);
        settle(terms(2, 2), list);
        equal(dollar.balanceOf(MERCHANT), 2e6 + 1, "as after the first");
        equal(target.getSettlement(SETTLER, terms(2, 2).batchId).settledCount, 0, "none in the second");
    }

    /// A settler cannot take a batch id away from another.
    function test_a_batch_id_is_each_settlers_own() public {
        vm.prank(OWNER);
        target.setSettler(STRANGER, true);
        SetPaymentBatch.Payment[] memory list = payers(2);
        SetPaymentBatch.BatchTerms memory t = terms(1, 1);
        vm.prank(STRANGER);
        target.settleBatch(t, single(list[0]));
        settle(t, single(list[1]));
        equal(target.getSettlement(SETTLER, t.batchId).settledCount, 1, "settled");
    }

    function test_an_authorization_that_came_another_way_is_reported_as_used() public {
        SetPaymentBatch.Payment memory p = payers(1)[0];
        dollar.transferWithAuthorization(p.from, p.to, p.value, p.validAfter, p.validBefore, p.nonce, p.v, p.r, p.s);
        SetPaymentBatch.BatchTerms memory t = terms(1, 1);
        vm.expectEmit(address(target));
        emit SetPaymentBatch.PaymentFailed(
            t.batchId,
            p.intentId,
            p.from,
            p.nonce,
            abi.encodeWithSelector(TestDollar.AuthorizationAlreadyUsed.selector, p.from, p.nonce)
        );
        settle(t, single(p));
        equal(dollar.balanceOf(MERCHANT), p.value, "moved once");
    }

    function test_a_batch_is_refused_for_each_rule_that_it_breaks() public {
        SetPaymentBatch.Payment[] memory list = payers(2);
        vm.prank(STRANGER);
        refused(SetPaymentBatch.NotSettler.selector);
        target.settleBatch(terms(1, 2), list);
        vm.startPrank(SETTLER);
        SetPaymentBatch.BatchTerms memory t = terms(1, 2);
        t.merkleRoot = 0;
        refused(SetPaymentBatch.EmptyRoot.selector);
        target.settleBatch(t, list);
        vm.expectRevert(abi.encodeWithSelector(SetPaymentBatch.InvalidPaymentCount.selector, 0));
        target.settleBatch(terms(1, 2), new SetPaymentBatch.Payment[](0));
        vm.expectRevert(abi.encodeWithSelector(SetPaymentBatch.InvalidPaymentCount.selector, 2));
        target.settleBatch(terms(1, 1), list);
        vm.expectRevert(abi.encodeWithSelector(SetPaymentBatch.InvalidPaymentCount.selector, 251));
        target.settleBatch(terms(1, 251), new SetPaymentBatch.Payment[](251));
        t = terms(1, 2);
        t.sequenceEnd = 1;
        refused(SetPaymentBatch.InvalidSequenceRange.selector);
        target.settleBatch(t, list);
        t.sequenceEnd = 0;
        refused(SetPaymentBatch.InvalidSequenceRange.selector);
        target.settleBatch(t, list);
        t.sequenceEnd = 1 << 63;
        refused(SetPaymentBatch.InvalidSequenceRange.selector);
        target.settleBatch(t, list);
        t = terms(1, 2);
        t.token = address(target);
        vm.expectRevert(abi.encodeWithSelector(SetPaymentBatch.AssetNotEnabled.selector, address(target)));
        target.settleBatch(t, list);
        vm.expectRevert(abi.encodeWithSelector(SetPaymentBatch.GasTooLow.selector, 0));
        target.settleBatch{gas: 195_000}(terms(1, 2), list);
        // Enough for the first payment alone: then neither settles.
        vm.expectRevert(abi.encodeWithSelector(SetPaymentBatch.GasTooLow.selector, 1));
        target.settleBatch{gas: 230_000}(terms(1, 2), list);
        vm.stopPrank();
        vm.prank(PAUSER);
        target.pause();
        vm.prank(SETTLER);
        refused(Governed.WritingPaused.selector);
        target.settleBatch(terms(1, 2), list);
        equal(dollar.balanceOf(MERCHANT), 0, "nothing moved");
    }

    function test_amounts_and_days_have_bounds() public {
        vm.prank(OWNER);
        target.configureAsset(address(dollar), true, 1e6, 2e6, 3e6);
        SetPaymentBatch.Payment[] memory list = payers(4);
        uint256[4] memory values = [uint256(1e6) - 1, 2e6 + 1, 2e6, 1e6 + 1];
        for (uint256 i = 0; i < 4; ++i) {
            list[i].value = values[i];
            sign(KEY + i, list[i]);
        }
        SetPaymentBatch.BatchTerms memory t = terms(1, 4);
        bytes4[4] memory reasons = [
            SetPaymentBatch.AmountOutOfBounds.selector,
            SetPaymentBatch.AmountOutOfBounds.selector,
            bytes4(0),
            SetPaymentBatch.DailyLimitReached.selector
        ];
        for (uint256 i = 0; i < 4; ++i) {
            if (reasons[i] == 0) continue;
            vm.expectEmit(address(target));
            emit SetPaymentBatch.PaymentFailed(
                t.batchId, list[i].intentId, list[i].from, list[i].nonce, abi.encodeWithSelector(reasons[i], values[i])
            );
        }
        settle(t, list);
        equal(dollar.balanceOf(MERCHANT), 2e6, "one of four");
        settle(terms(2, 1), single(list[3]));
        equal(dollar.balanceOf(MERCHANT), 2e6, "the limit is that of the day, not of the batch");
        vm.warp(block.timestamp + 1 days);
        list[3].validBefore = block.timestamp + 600;
        sign(KEY + 3, list[3]);
        settle(terms(3, 1), single(list[3]));
        equal(dollar.balanceOf(MERCHANT), 3e6 + 1, "the next day has room");
    }

    function test_only_the_owner_names_settlers_and_tokens() public {
        refused(Governed.NotOwner.selector);
        target.setSettler(STRANGER, true);
        refused(Governed.NotOwner.selector);
        target.configureAsset(address(dollar), true, 1, 1, 1);
        vm.startPrank(OWNER);
        refused(Governed.InvalidAddress.selector);
        target.setSettler(address(0), true);
        address[4] memory tokens = [STRANGER, address(dollar), address(dollar), address(dollar)];
        uint112[3][4] memory bounds = [[uint112(1), 2, 3], [uint112(0), 2, 3], [uint112(3), 2, 3], [uint112(1), 4, 3]];
        for (uint256 i = 0; i < 4; ++i) {
            vm.expectRevert(abi.encodeWithSelector(SetPaymentBatch.InvalidAsset.selector, tokens[i]));
            target.configureAsset(tokens[i], true, bounds[i][0], bounds[i][1], bounds[i][2]);
        }
        vm.expectEmit(address(target));
        emit SetPaymentBatch.AssetConfigured(address(dollar), false, 1, 2, 3);
        target.configureAsset(address(dollar), false, 1, 2, 3);
        vm.expectEmit(address(target));
        emit SetPaymentBatch.SettlerSet(STRANGER, true);
        target.setSettler(STRANGER, true);
        vm.stopPrank();
        SetPaymentBatch.Payment[] memory list = payers(1);
        vm.prank(SETTLER);
        vm.expectRevert(abi.encodeWithSelector(SetPaymentBatch.AssetNotEnabled.selector, address(dollar)));
        target.settleBatch(terms(1, 1), list);
    }

    function test_a_token_that_calls_back_settles_nothing_in_between() public {
        CallingBack token = new CallingBack(target);
        vm.startPrank(OWNER);
        target.configureAsset(address(token), true, 1, 1e12, 1e14);
        target.setSettler(address(token), true);
        vm.stopPrank();
        SetPaymentBatch.BatchTerms memory t = terms(1, 1);
        t.token = address(token);
        settle(t, payers(1));
        equal(target.getSettlement(address(token), t.batchId).settledAt, 0, "not in between");
        equal(bytes32(token.answer()), bytes32(SetPaymentBatch.Reentered.selector), "refused as re-entry");
        settle(terms(2, 1), payers(1));
        equal(dollar.balanceOf(MERCHANT), 1e6, "the next batch settles");
    }

    function test_a_token_that_eats_its_gas_or_says_much_stops_no_other_payment() public {
        Hostile token = new Hostile();
        vm.prank(OWNER);
        target.configureAsset(address(token), true, 1, 1e12, 1e14);
        SetPaymentBatch.BatchTerms memory t = terms(1, 4);
        t.token = address(token);
        vm.recordLogs();
        settle(t, payers(4));
        Vm.Log[] memory logs = vm.getRecordedLogs();
        // Three failures, then the batch; the second failure is the talker's.
        Vm.Log memory talker = logs[logs.length - 3];
        (, bytes memory reason) = abi.decode(talker.data, (bytes32, bytes));
        equal(reason.length, 164, "a long reason is cut");
        equal(target.getSettlement(SETTLER, t.batchId).settledCount, 1, "the fourth settles");
    }

    function test_an_intent_is_proven_in_the_recorded_tree() public {
        bytes32[] memory leaves = new bytes32[](5);
        for (uint256 i = 0; i < 5; ++i) {
            leaves[i] = keccak256(abi.encode("intent", i));
        }
        SetPaymentBatch.BatchTerms memory t = terms(1, 5);
        bytes32[] memory path;
        (t.merkleRoot, path) = ReferenceTree.build(leaves, 3);
        settle(t, payers(2));
        isTrue(target.verifyPaymentInclusion(SETTLER, t.batchId, leaves[3], path, 3), "the intent");
        isFalse(target.verifyPaymentInclusion(SETTLER, t.batchId, leaves[3], path, 2), "another place");
        isFalse(target.verifyPaymentInclusion(STRANGER, t.batchId, leaves[3], path, 3), "another settler");
        (, path) = ReferenceTree.build(leaves, 5);
        bytes32 pad = sha256(ReferenceTree.PAD);
        isFalse(target.verifyPaymentInclusion(SETTLER, t.batchId, pad, path, 5), "padding");
    }

    /// Whatever a settler changes in a payment, no money moves otherwise than its payer signed.
    function testFuzz_a_changed_payment_moves_nothing(uint8 member, uint256 change) public {
        SetPaymentBatch.Payment[] memory list = payers(1);
        SetPaymentBatch.Payment memory p = list[0];
        change = change == 0 ? 1 : change;
        member = member % 9;
        if (member == 0) p.from = address(uint160(p.from) ^ (uint160(change) | 1));
        if (member == 1) p.to = address(uint160(p.to) ^ (uint160(change) | 1));
        if (member == 2) p.value = p.value ^ ((change % 1e5) + 1);
        if (member == 3) p.validAfter ^= (change % 500) + 1;
        if (member == 4) p.validBefore += (change % 500) + 1;
        if (member == 5) p.nonce ^= bytes32(change);
        if (member == 6) p.v = p.v == 27 ? 28 : 27;
        if (member == 7) p.r ^= bytes32(change);
        if (member == 8) p.s ^= bytes32(change);
        settle(terms(1, 1), list);
        equal(dollar.balanceOf(MERCHANT), 0, "merchant");
        equal(dollar.balanceOf(vm.addr(KEY)), 1e9, "payer");
    }
}

/// A token that tries to settle a batch while it is asked to move money.
contract CallingBack {
    SetPaymentBatch private immutable target;
    bytes4 public answer;

    constructor(SetPaymentBatch target_) {
        target = target_;
    }

    fallback() external {
        SetPaymentBatch.BatchTerms memory t;
        (t.batchId, t.merkleRoot, t.intentCount) = (bytes32(uint256(1)), bytes32(uint256(1)), 1);
        try target.settleBatch(t, new SetPaymentBatch.Payment[](1)) {
            answer = 0xffffffff;
        } catch (bytes memory reason) {
            answer = bytes4(reason);
        }
    }
}

/// A token that burns all its gas, says too much, says nothing or behaves, by the last digit of the amount.
contract Hostile {
    fallback() external {
        uint256 digit = uint256(bytes32(msg.data[68:100])) % 10;
        if (digit == 0) while (true) {}
        if (digit == 1) {
            assembly ("memory-safe") {
                revert(0, 100000)
            }
        }
        require(digit != 2, Refused());
    }

    error Refused();
}
