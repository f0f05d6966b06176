// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PrefixedTree} from "../../src/libraries/PrefixedTree.sol";
import {Ves} from "../../src/libraries/Ves.sol";
import {SetRegistry} from "../../src/SetRegistry.sol";
import {RegistryTest} from "../base/RegistryTest.sol";
import {SeededStream} from "../base/SeededStream.sol";

/// The same cases on both sides: forge makes them, the Rust crate `ves` (its example `tree_oracle`) and the registry judge
/// them. Needs `TREE_ORACLE`, the path of the built example; `cargo xtask contracts` gives it.
contract TreeOracleTest is RegistryTest {
    /// Rust builds the tree, the registry takes the proof; hashes are equal on the way.
    function testFuzz_what_rust_proves_the_registry_accepts(bytes32 seed, uint16 size, uint64 from, uint16 place)
        public
    {
        uint32 count = size % 1500 + 1;
        uint64 start = from % (Ves.SEQUENCE_MAX - 2000);
        uint64 n = start + place % count;
        bytes32[] memory words = batchOfRust(seed, start, count, n - start);
        (tenant, store) = (SeededStream.tenant(seed), SeededStream.store(seed));
        equal(Ves.streamId(tenant, store), words[0], "stream id");
        equal(SeededStream.leaf(seed, n), words[1], "leaf");
        equal(PrefixedTree.depth(count), words.length - 4, "depth");
        bytes32 prev = SeededStream.prevStateRoot(seed);
        equal(Ves.stateRoot(words[0], prev, words[2], start, start + count - 1), words[3], "state root");

        vm.prank(OWNER);
        registry.openCheckpoint(tenant, store, start, prev, ADMIN, one(WRITER));
        SetRegistry.Batch memory b = batch(start, start + count - 1, prev);
        (b.eventsRoot, b.newStateRoot) = (words[2], words[3]);
        commit(b);
        isTrue(registry.verifyEvent(b.batchId, eventOf(seed, n), tail(words, 4), facts(b)), "the proof of Rust");
    }

    function eventOf(bytes32 seed, uint64 n) private view returns (SetRegistry.EventLeaf memory) {
        bytes32 signingHash = SeededStream.signingHash(seed, n);
        return SetRegistry.EventLeaf(tenant, store, n, signingHash, SeededStream.signature(seed, n));
    }

    /// One judgement for good and spoiled proofs alike: leaf, root, index, count and path changed in any way.
    function testFuzz_both_sides_judge_alike(bytes32 seed, uint8 size, uint8 place, uint8 how, uint256 change) public {
        uint32 count = uint32(size) % 40 + 1;
        bytes32[] memory words = batchOfRust(seed, 1, count, place % count);
        (bytes32 leaf, bytes32 root, bytes32[] memory path) = (words[1], words[2], tail(words, 4));
        uint64 index = place % count;
        how = how % 9;
        if (how == 1) leaf ^= bytes32(1 << (change % 256));
        if (how == 2) root ^= bytes32(1 << (change % 256));
        if (how == 3) index = uint64(change % 64);
        if (how == 4) count = uint32(change % 64) + 1;
        if (how == 5 && path.length > 0) path[change % path.length] ^= bytes32(1 << (change % 256));
        if (how == 6 && path.length > 0) path = tail(path, 1);
        if (how == 7) path = pushed(path, bytes32(change));
        if (how == 8) index = uint64(change % type(uint64).max);
        bool ours = PrefixedTree.hasShape(count, index, path.length) && this.climb(leaf, path, index) == root;
        isTrue(ours == verdictOfRust(leaf, root, count, index, path), "one judgement");
        if (how == 0) isTrue(ours, "an unspoiled proof");
    }

    function climb(bytes32 leaf, bytes32[] calldata path, uint256 index) external view returns (bytes32) {
        return Ves.climb(leaf, path, index);
    }

    function batchOfRust(bytes32 seed, uint64 start, uint32 count, uint256 index) private returns (bytes32[] memory) {
        string[] memory command = new string[](6);
        command[0] = vm.envString("TREE_ORACLE");
        command[1] = "batch";
        command[2] = vm.toString(seed);
        command[3] = vm.toString(uint256(start));
        command[4] = vm.toString(uint256(count));
        command[5] = vm.toString(index);
        return words32(vm.ffi(command));
    }

    function verdictOfRust(bytes32 leaf, bytes32 root, uint32 count, uint64 index, bytes32[] memory path)
        private
        returns (bool)
    {
        string[] memory command = new string[](6 + path.length);
        command[0] = vm.envString("TREE_ORACLE");
        command[1] = "verify";
        command[2] = vm.toString(leaf);
        command[3] = vm.toString(root);
        command[4] = vm.toString(uint256(count));
        command[5] = vm.toString(uint256(index));
        for (uint256 i = 0; i < path.length; ++i) {
            command[6 + i] = vm.toString(path[i]);
        }
        bytes32[] memory words = words32(vm.ffi(command));
        equal(words.length, 1, "one word");
        return words[0] == bytes32(uint256(1));
    }

    function words32(bytes memory raw) private pure returns (bytes32[] memory words) {
        isTrue(raw.length > 0 && raw.length % 32 == 0, "words of the oracle");
        words = new bytes32[](raw.length / 32);
        for (uint256 i = 0; i < words.length; ++i) {
            bytes32 word;
            assembly ("memory-safe") {
                word := mload(add(add(raw, 32), mul(i, 32)))
            }
            words[i] = word;
        }
    }

    function tail(bytes32[] memory list, uint256 from) private pure returns (bytes32[] memory part) {
        part = new bytes32[](list.length - from);
        for (uint256 i = 0; i < part.length; ++i) {
            part[i] = list[from + i];
        }
    }

    function pushed(bytes32[] memory list, bytes32 word) private pure returns (bytes32[] memory whole) {
        whole = new bytes32[](list.length + 1);
        for (uint256 i = 0; i < list.length; ++i) {
            whole[i] = list[i];
        }
        whole[list.length] = word;
    }
}
