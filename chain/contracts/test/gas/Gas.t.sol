// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ves} from "../../src/libraries/Ves.sol";
import {SetPaymentBatch} from "../../src/SetPaymentBatch.sol";
import {SetRegistry} from "../../src/SetRegistry.sol";
import {StateSetAnchor} from "../../src/StateSetAnchor.sol";
import {PaymentTest} from "../base/PaymentTest.sol";
import {ReferenceTree} from "../base/ReferenceTree.sol";
import {RegistryTest} from "../base/RegistryTest.sol";

/// Gas of whole transactions (run with `isolate`): with their base price, calldata and its floor, on cold storage. Each
/// figure is a line of the golden files in `golden/gas`, and has its bound here.
contract RegistryGasTest is RegistryTest {
    bytes32 private last;

    function measured(string memory name, uint256 each, uint256 max) private {
        uint256 gas = vm.snapshotGasLastCall("SetRegistry", name);
        isTrue(gas / each <= max, string.concat(name, ": ", vm.toString(gas / each)));
    }

    function test_gas_of_single_commits() public {
        SetRegistry.Batch memory b = batch(1, 100, 0);
        commit(b);
        measured("commitBatch, first of its stream", 1, 100_000);
        b = batch(101, 200, b.newStateRoot);
        commit(b);
        measured("commitBatch, later", 1, 65_000);
        vm.prank(WRITER);
        registry.commitStarkProof(b.batchId, keccak256("proof"), keccak256("policy"), 10_000, true, 53_074, 25);
        measured("commitStarkProof", 1, 58_500);
        b = batch(201, 300, b.newStateRoot);
        vm.prank(WRITER);
        registry.commitBatchWithStarkProof(
            b, SetRegistry.StarkClaim(keccak256("proof"), keccak256("policy"), 10_000, true, 53_074, 25)
        );
        measured("commitBatchWithStarkProof", 1, 110_000);
    }

    function test_gas_of_many_streams() public {
        many(10, 45_000, "commitBatches, 10 later ones, all");
        many(50, 43_000, "commitBatches, 50 later ones, all");
    }

    function many(uint256 count, uint256 max, string memory name) private {
        SetRegistry.Batch[] memory list = new SetRegistry.Batch[](count);
        for (uint256 i = 0; i < count; ++i) {
            bytes32 own = uuid(1000 * count + i);
            open(own, store, 1);
            list[i] = batchOf(own, store, 1, 100, 0);
        }
        vm.prank(WRITER);
        registry.commitBatches(list);
        for (uint256 i = 0; i < count; ++i) {
            list[i] = batchOf(list[i].tenantId, store, 101, 200, list[i].newStateRoot);
        }
        vm.prank(WRITER);
        registry.commitBatches(list);
        measured(name, count, max);
    }

    function test_gas_of_an_inclusion_check_at_depth_10() public {
        bytes32[] memory leaves = new bytes32[](1000);
        for (uint256 i = 0; i < 1000; ++i) {
            leaves[i] = keccak256(abi.encode("leaf", i));
        }
        (bytes32 root, bytes32[] memory path) = ReferenceTree.build(leaves, 700);
        SetRegistry.Batch memory b = batch(1, 1000, 0);
        b.eventsRoot = root;
        commit(b);
        // A call that may change state, so that it is a transaction here.
        (, bytes memory answer) = address(registry)
            .call(abi.encodeCall(registry.verifyInclusion, (b.batchId, leaves[700], path, 700, facts(b))));
        isTrue(abi.decode(answer, (bool)), "included");
        measured("verifyInclusion as a transaction, depth 10", 1, 40_000);
    }
}

contract AnchorGasTest is RegistryTest {
    function test_gas_of_roots_and_chains() public {
        StateSetAnchor target = StateSetAnchor(deploy("StateSetAnchor", abi.encode(OWNER, PAUSER)));
        vm.prank(OWNER);
        target.setAnchorer(WRITER, true);
        vm.prank(WRITER);
        target.anchorRoot(keccak256("root"), 50);
        isTrue(vm.snapshotGasLastCall("StateSetAnchor", "anchorRoot, any number of batches") <= 52_000, "root");

        StateSetAnchor.Link[] memory links = new StateSetAnchor.Link[](50);
        for (uint256 i = 0; i < 50; ++i) {
            vm.prank(OWNER);
            target.openChain(uuid(100 + i), store, 1, ADMIN, one(WRITER));
            bytes32 stream = Ves.streamId(uuid(100 + i), store);
            links[i] = StateSetAnchor.Link(stream, keccak256(abi.encode("first", i)), 0, 1, 100);
        }
        vm.prank(WRITER);
        target.extendChains(links);
        for (uint256 i = 0; i < 50; ++i) {
            bytes32 state = Ves.stateRoot(links[i].streamId, 0, links[i].eventsRoot, 1, 100);
            links[i] = StateSetAnchor.Link(links[i].streamId, keccak256(abi.encode("later", i)), state, 101, 200);
        }
        vm.prank(WRITER);
        equal(target.extendChains(links), 50, "extended");
        uint256 gas = vm.snapshotGasLastCall("StateSetAnchor", "extendChains, 50 later ones, all");
        isTrue(gas / 50 <= 15_000, string.concat("chains: ", vm.toString(gas / 50)));
    }
}

contract PaymentGasTest is PaymentTest {
    function test_gas_of_settled_payments() public {
        settleAll(1, 140_000, "settleBatch, 1 payment, all");
        settleAll(100, 40_500, "settleBatch, 100 payments, all");
        settleAll(250, 40_000, "settleBatch, 250 payments, all");
    }

    function settleAll(uint256 count, uint256 max, string memory name) private {
        SetPaymentBatch.Payment[] memory list = payers(count);
        for (uint256 i = 0; i < count; ++i) {
            list[i].nonce = keccak256(abi.encode(count, i));
            sign(KEY + i, list[i]);
        }
        // The merchant has been paid before.
        dollar.mint(MERCHANT, 1);
        SetPaymentBatch.BatchTerms memory t = terms(count, uint32(count));
        settle(t, list);
        uint256 gas = vm.snapshotGasLastCall("SetPaymentBatch", name);
        equal(target.getSettlement(SETTLER, t.batchId).settledCount, count, "settled");
        isTrue(gas / count <= max, string.concat(name, ": ", vm.toString(gas / count)));
        isTrue(gas <= 16_000_000, "below the cap of a transaction");
    }
}
