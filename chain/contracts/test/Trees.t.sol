// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AggregateTree, BatchHeader} from "../src/libraries/AggregateTree.sol";
import {PrefixedTree} from "../src/libraries/PrefixedTree.sol";
import {Ves} from "../src/libraries/Ves.sol";
import {SetRegistry} from "../src/SetRegistry.sol";
import {ReferenceTree} from "./base/ReferenceTree.sol";
import {RegistryTest} from "./base/RegistryTest.sol";
import {SeededStream} from "./base/SeededStream.sol";

/// Trees and hashes against the vectors that the Rust crate `ves` wrote, and against the definition written down naively.
/// Every verdict is that of the deployed registry, not of a library alone.
contract TreesTest is RegistryTest {
    struct Proof {
        uint256 count;
        uint256 index;
        bytes32 leaf;
        bytes32[] path;
    }

    struct Aggregated {
        bytes32 root;
        uint256 count;
        uint256 index;
        bytes32 leaf;
        bytes32[] path;
        BatchHeader header;
    }

    string private vectors;
    bytes32 private seed;
    bytes32[] private roots;

    function setUp() public override {
        super.setUp();
        vectors = vm.readFile("../../testing/vectors/chain_trees.json");
        seed = vm.parseJsonBytes32(vectors, ".seed");
        roots = vm.parseJsonBytes32Array(vectors, ".roots_by_count_from_1");
    }

    // Vectors

    function test_streams_leaves_and_padding_hash_as_in_rust() public view {
        bytes32 tenantId = vm.parseJsonBytes32(vectors, ".tenant_id");
        bytes32 storeId = vm.parseJsonBytes32(vectors, ".store_id");
        equal(SeededStream.tenant(seed), tenantId, "tenant");
        equal(SeededStream.store(seed), storeId, "store");
        equal(Ves.streamId(tenantId, storeId), vm.parseJsonBytes32(vectors, ".stream_id"), "stream id");
        equal(sha256(ReferenceTree.PAD), vm.parseJsonBytes32(vectors, ".pad_leaf"), "pad leaf");
        bytes32 signingHash = vm.parseJsonBytes32(vectors, ".signing_hash_of_event_1");
        bytes memory signature = vm.parseJsonBytes(vectors, ".signature_of_event_1");
        // A batch of one event has its leaf as its root.
        equal(this.leaf(tenantId, storeId, 1, signingHash, signature), roots[0], "leaf");
        equal(SeededStream.leaf(seed, 1), roots[0], "leaf, written down naively");
    }

    function test_state_roots_of_every_count_are_those_of_rust() public view {
        bytes32[] memory expected = vm.parseJsonBytes32Array(vectors, ".state_roots_by_count_from_1");
        bytes32 streamId = vm.parseJsonBytes32(vectors, ".stream_id");
        bytes32 prev = SeededStream.prevStateRoot(seed);
        equal(expected.length, 1025, "counts");
        for (uint64 count = 1; count <= expected.length; ++count) {
            equal(Ves.stateRoot(streamId, prev, roots[count - 1], 1, count), expected[count - 1], "state root");
        }
    }

    function test_roots_of_rust_are_those_of_the_definition() public view {
        bytes32[] memory leaves = SeededStream.leaves(seed, 1, 1025);
        for (uint256 count = 1; count <= 1025; count += count < 70 ? 1 : 191) {
            (bytes32 root,) = ReferenceTree.build(first(leaves, count), 0);
            equal(root, roots[count - 1], "root");
        }
    }

    function test_every_path_of_rust_verifies_and_no_spoiled_one_does() public {
        Proof[] memory proofs = abi.decode(vm.parseJson(vectors, ".proofs"), (Proof[]));
        isTrue(proofs.length > 240, "proofs");
        uint256 committed;
        bytes32 batchId;
        for (uint256 i = 0; i < proofs.length; ++i) {
            if (proofs[i].count != committed) {
                committed = proofs[i].count;
                batchId = anchor(roots[committed - 1], uint64(committed));
            }
            checkProof(batchId, proofs[i]);
        }
    }

    function checkProof(bytes32 batchId, Proof memory p) private view {
        SetRegistry.BatchFacts memory f = factsOf(uint64(p.count));
        bytes32[] memory path = p.path;
        isTrue(registry.verifyInclusion(batchId, p.leaf, path, p.index, f), "the proof");
        for (uint256 other = 0; other < 20; ++other) {
            if (other != p.index) isFalse(registry.verifyInclusion(batchId, p.leaf, path, other, f), "other index");
        }
        uint256 beyond = p.index + (1 << path.length);
        isFalse(registry.verifyInclusion(batchId, p.leaf, path, beyond, f), "index beyond the depth");
        isFalse(registry.verifyInclusion(batchId, flip(p.leaf, p.index), path, p.index, f), "spoiled leaf");
        isFalse(registry.verifyInclusion(batchId, p.leaf, longer(path), p.index, f), "long path");
        for (uint256 place = 0; place < path.length; ++place) {
            path[place] = flip(path[place], p.index + place);
            isFalse(registry.verifyInclusion(batchId, p.leaf, path, p.index, f), "spoiled sibling");
            path[place] = flip(path[place], p.index + place);
        }
        if (path.length > 0) {
            bool isRight = p.index & 1 == 1;
            bytes32 inner = isRight
                ? ReferenceTree.node(ReferenceTree.NODE, path[0], p.leaf)
                : ReferenceTree.node(ReferenceTree.NODE, p.leaf, path[0]);
            bytes32[] memory above = shorter(path);
            isFalse(registry.verifyInclusion(batchId, inner, above, p.index >> 1, f), "inner node");
            isFalse(registry.verifyInclusion(batchId, p.leaf, above, p.index, f), "short path");
        }
        // Another range for the same root is another batch.
        f.sequenceEnd += 1;
        isFalse(registry.verifyInclusion(batchId, p.leaf, path, p.index, f), "longer range");
        f = factsOf(uint64(p.count));
        f.newStateRoot = flip(f.newStateRoot, 0);
        isFalse(registry.verifyInclusion(batchId, p.leaf, path, p.index, f), "other state root");
    }

    function test_padding_is_no_event() public {
        bytes32 pad = sha256(ReferenceTree.PAD);
        uint32[5] memory counts = [uint32(3), 5, 6, 7, 9];
        for (uint256 i = 0; i < counts.length; ++i) {
            uint32 count = counts[i];
            bytes32[] memory leaves = SeededStream.leaves(seed, 1, count);
            bytes32 batchId = anchor(roots[count - 1], count);
            SetRegistry.BatchFacts memory f = factsOf(count);
            for (uint256 index = count; index < 16; ++index) {
                if (index >= 1 << PrefixedTree.depth(count)) break;
                (bytes32 root, bytes32[] memory path) = ReferenceTree.build(leaves, index);
                equal(root, roots[count - 1], "root");
                isFalse(registry.verifyInclusion(batchId, pad, path, index, f), "pad leaf");
            }
        }
    }

    function test_aggregated_roots_are_those_of_rust() public view {
        Aggregated[] memory all = readAggregated();
        equal(all.length, 6, "trees");
        for (uint256 i = 0; i < all.length; ++i) {
            Aggregated memory a = all[i];
            equal(this.aggregateLeaf(a.header), a.leaf, "leaf");
            equal(this.aggregateClimb(a.leaf, a.path, a.index), a.root, "root");
            equal(PrefixedTree.depth(a.count), a.path.length, "depth");
        }
    }

    // The published vectors of the protocol

    function test_the_published_events_verify_with_all_their_members() public {
        string memory core = vm.readFile("../../testing/vectors/ves_core.json");
        (tenant, store) = (uuidText(core, ".merkle.tenant_id"), uuidText(core, ".merkle.store_id"));
        open(tenant, store, 1);
        uint32 count = 5;
        bytes32[] memory leaves = new bytes32[](count);
        SetRegistry.EventLeaf[] memory events = new SetRegistry.EventLeaf[](count);
        for (uint32 i = 0; i < count; ++i) {
            string memory place = string.concat(".merkle.leaves[", vm.toString(uint256(i)), "]");
            leaves[i] = digest(core, string.concat(place, ".leaf_hash"));
            events[i] = SetRegistry.EventLeaf({
                tenantId: tenant,
                storeId: store,
                sequence: uint64(vm.parseJsonUint(core, string.concat(place, ".sequence_number"))),
                signingHash: digest(core, string.concat(place, ".event_signing_hash")),
                signature: vm.parseBytes(
                    string.concat("0x", vm.parseJsonString(core, string.concat(place, ".agent_signature")))
                )
            });
        }
        (bytes32 root,) = ReferenceTree.build(leaves, 0);
        equal(root, digest(core, ".merkle_rejects[0].root"), "published root of five leaves");
        SetRegistry.Batch memory b = batch(1, count, 0);
        b.eventsRoot = root;
        commit(b);
        for (uint32 i = 0; i < count; ++i) {
            (, bytes32[] memory path) = ReferenceTree.build(leaves, i);
            checkEvent(b, events[i], path);
        }
    }

    function checkEvent(SetRegistry.Batch memory b, SetRegistry.EventLeaf memory e, bytes32[] memory path)
        private
        view
    {
        SetRegistry.BatchFacts memory f = facts(b);
        isTrue(registry.verifyEvent(b.batchId, e, path, f), "the event");
        uint64 own = e.sequence;
        e.sequence = own + 1;
        isFalse(registry.verifyEvent(b.batchId, e, path, f), "another number");
        e.sequence = 0;
        isFalse(registry.verifyEvent(b.batchId, e, path, f), "before the batch");
        e.sequence = b.sequenceEnd + 1;
        isFalse(registry.verifyEvent(b.batchId, e, path, f), "after the batch");
        e.sequence = own;
        e.signature = bytes.concat(e.signature, bytes1(0));
        isFalse(registry.verifyEvent(b.batchId, e, path, f), "65 bytes of signature");
        e.signature = cutTo64(e.signature);
        isTrue(registry.verifyEvent(b.batchId, e, path, f), "the event again");
        // The ids' last 16 bytes do not enter the leaf, so they have to be zeros.
        e.tenantId = bytes32(uint256(e.tenantId) | 1);
        isFalse(registry.verifyEvent(b.batchId, e, path, f), "no UUID");
    }

    /// A leaf of one stream proves nothing in another, though roots and ranges are equal.
    function test_an_event_is_proven_for_its_own_stream_only() public {
        SetRegistry.EventLeaf memory e = SetRegistry.EventLeaf({
            tenantId: SeededStream.tenant(seed),
            storeId: SeededStream.store(seed),
            sequence: 1,
            signingHash: SeededStream.signingHash(seed, 1),
            signature: SeededStream.signature(seed, 1)
        });
        bytes32 foreign = anchor(roots[0], 1);
        isFalse(registry.verifyEvent(foreign, e, new bytes32[](0), factsOf(1)), "in another stream");
        open(e.tenantId, e.storeId, 1);
        SetRegistry.Batch memory b = batchOf(e.tenantId, e.storeId, 1, 1, 0);
        b.eventsRoot = roots[0];
        commit(b);
        isTrue(registry.verifyEvent(b.batchId, e, new bytes32[](0), facts(b)), "in its own");
        isFalse(registry.verifyEvent(uuid(77), e, new bytes32[](0), facts(b)), "in an unknown batch");
    }

    // Fuzz: contracts against the definition

    function testFuzz_a_tree_of_any_size_proves_its_leaves_and_nothing_else(
        bytes32 salt,
        uint16 size,
        uint16 place,
        uint16 claimed,
        uint8 cut
    ) public {
        uint32 count = uint32(size) % 300 + 1;
        uint256 index = place % count;
        bytes32[] memory leaves = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            leaves[i] = keccak256(abi.encode(salt, i));
        }
        (bytes32 root, bytes32[] memory path) = ReferenceTree.build(leaves, index);
        bytes32 batchId = anchor(root, count);
        SetRegistry.BatchFacts memory f = factsOf(count);
        isTrue(registry.verifyInclusion(batchId, leaves[index], path, index, f), "its leaf");
        if (claimed != index) {
            isFalse(registry.verifyInclusion(batchId, leaves[index], path, claimed, f), "another place");
        }
        // Every node on the way, with the rest of its path, and with the whole one.
        bytes32 node = leaves[index];
        bytes32[] memory rest = path;
        for (uint256 height = 0; height < path.length && height <= cut; ++height) {
            node = (index >> height) & 1 == 0
                ? ReferenceTree.node(ReferenceTree.NODE, node, path[height])
                : ReferenceTree.node(ReferenceTree.NODE, path[height], node);
            rest = shorter(rest);
            isFalse(registry.verifyInclusion(batchId, node, rest, index >> (height + 1), f), "inner node");
            isFalse(registry.verifyInclusion(batchId, node, path, index, f), "inner node, whole path");
        }
    }

    function testFuzz_depth_is_the_ceiling_of_the_logarithm(uint64 count) public pure {
        uint256 depth = PrefixedTree.depth(count);
        if (count <= 1) {
            equal(depth, 0, "none or one");
        } else {
            isTrue(1 << depth >= uint256(count) && 1 << (depth - 1) < uint256(count), "depth");
        }
    }

    // Calls from outside, for arguments in calldata

    function leaf(bytes32 t, bytes32 s, uint64 n, bytes32 hash, bytes calldata signature)
        external
        pure
        returns (bytes32)
    {
        return Ves.leaf(t, s, n, hash, signature);
    }

    function aggregateLeaf(BatchHeader calldata header) external pure returns (bytes32) {
        return AggregateTree.leaf(header);
    }

    function aggregateClimb(bytes32 hash, bytes32[] calldata path, uint256 index) external view returns (bytes32) {
        return AggregateTree.climb(hash, path, index);
    }

    // Helpers

    /// Anchors a root of `count` events in a stream of its own.
    function anchor(bytes32 root, uint64 count) private returns (bytes32) {
        bytes32 own = uuid(uint256(keccak256(abi.encode(root, count))));
        open(own, store, 1);
        SetRegistry.Batch memory b = batchOf(own, store, 1, count, 0);
        b.eventsRoot = root;
        b.newStateRoot = factsOf(count).newStateRoot;
        commit(b);
        return b.batchId;
    }

    function factsOf(uint64 count) private pure returns (SetRegistry.BatchFacts memory) {
        return SetRegistry.BatchFacts(keccak256(abi.encode("state after", count)), 1, count);
    }

    function readAggregated() private view returns (Aggregated[] memory all) {
        all = new Aggregated[](6);
        for (uint256 i = 0; i < all.length; ++i) {
            string memory place = string.concat(".aggregated[", vm.toString(i), "]");
            all[i].root = vm.parseJsonBytes32(vectors, string.concat(place, ".root"));
            all[i].count = vm.parseJsonUint(vectors, string.concat(place, ".count"));
            all[i].index = vm.parseJsonUint(vectors, string.concat(place, ".index"));
            all[i].leaf = vm.parseJsonBytes32(vectors, string.concat(place, ".leaf"));
            all[i].path = vm.parseJsonBytes32Array(vectors, string.concat(place, ".path"));
            all[i].header = BatchHeader({
                streamId: vm.parseJsonBytes32(vectors, string.concat(place, ".stream_id")),
                eventsRoot: vm.parseJsonBytes32(vectors, string.concat(place, ".events_root")),
                prevStateRoot: vm.parseJsonBytes32(vectors, string.concat(place, ".prev_state_root")),
                newStateRoot: vm.parseJsonBytes32(vectors, string.concat(place, ".new_state_root")),
                sequenceStart: uint64(vm.parseJsonUint(vectors, string.concat(place, ".sequence_start"))),
                sequenceEnd: uint64(vm.parseJsonUint(vectors, string.concat(place, ".sequence_end")))
            });
        }
    }

    function uuidText(string memory json, string memory key) private pure returns (bytes32 id) {
        bytes memory text = bytes(vm.parseJsonString(json, key));
        uint256 digits;
        for (uint256 i = 0; i < text.length; ++i) {
            uint8 c = uint8(text[i]);
            if (c == 0x2d) continue;
            id = bytes32((uint256(id) << 4) | (c >= 0x61 ? c - 0x57 : c - 0x30));
            ++digits;
        }
        equal(digits, 32, "digits of a UUID");
        id = bytes32(uint256(id) << 128);
    }

    /// A digest that the file writes without `0x`.
    function digest(string memory json, string memory key) private pure returns (bytes32) {
        return vm.parseBytes32(string.concat("0x", vm.parseJsonString(json, key)));
    }

    function first(bytes32[] memory list, uint256 count) private pure returns (bytes32[] memory part) {
        part = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            part[i] = list[i];
        }
    }

    function cutTo64(bytes memory signature) private pure returns (bytes memory part) {
        part = new bytes(64);
        for (uint256 i = 0; i < 64; ++i) {
            part[i] = signature[i];
        }
    }

    function flip(bytes32 word, uint256 n) private pure returns (bytes32) {
        return word ^ bytes32(1 << ((n * 37) % 256));
    }

    function shorter(bytes32[] memory path) private pure returns (bytes32[] memory part) {
        part = new bytes32[](path.length - 1);
        for (uint256 i = 0; i < part.length; ++i) {
            part[i] = path[i + 1];
        }
    }

    function longer(bytes32[] memory path) private pure returns (bytes32[] memory whole) {
        whole = new bytes32[](path.length + 1);
        for (uint256 i = 0; i < path.length; ++i) {
            whole[i] = path[i];
        }
        whole[path.length] = sha256(ReferenceTree.PAD);
    }
}
