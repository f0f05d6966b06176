// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Governed} from "../src/access/Governed.sol";
import {StreamRoles} from "../src/access/StreamRoles.sol";
import {SetRegistry} from "../src/SetRegistry.sol";
import {RegistryTest} from "./base/RegistryTest.sol";

/// Each error and each event of the registry, by the rule that it stands for.
contract SetRegistryTest is RegistryTest {
    // Opening

    function test_opening_fixes_the_first_number_and_tells_of_it() public {
        (bytes32 t, bytes32 s) = (uuid(10), uuid(11));
        vm.expectEmit(address(registry));
        emit StreamRoles.StreamAdminSet(registry.streamKey(t, s), ADMIN);
        vm.expectEmit(address(registry));
        emit StreamRoles.StreamWriterSet(registry.streamKey(t, s), WRITER, true);
        vm.expectEmit(address(registry));
        emit SetRegistry.StreamOpened(registry.streamKey(t, s), t, s, 2, 0, ADMIN);
        open(t, s, 0);
        SetRegistry.Head memory head = registry.getHead(t, s);
        equal(head.number, 2, "number");
        equal(head.nextSequence, 0, "next");
        isFalse(head.fromCheckpoint, "from its beginning");
        equal(registry.streamCount(), 2, "streams");
        SetRegistry.Batch memory b = batchOf(t, s, 1, 1, 0);
        sendRefused(b, abi.encodeWithSelector(SetRegistry.SequenceGap.selector, 0, 1));
        commit(batchOf(t, s, 0, 3, 0));
    }

    function test_a_stream_is_opened_once_by_the_owner_from_0_or_1_with_uuids() public {
        vm.expectRevert(abi.encodeWithSelector(Governed.NotOwner.selector));
        registry.openStream(uuid(10), uuid(11), 1, ADMIN, one(WRITER));
        vm.startPrank(OWNER);
        bytes32 key = registry.streamKey(tenant, store);
        vm.expectRevert(abi.encodeWithSelector(SetRegistry.StreamAlreadyOpen.selector, key));
        registry.openStream(tenant, store, 1, ADMIN, one(WRITER));
        vm.expectRevert(abi.encodeWithSelector(SetRegistry.InvalidFirstSequence.selector, 2));
        registry.openStream(uuid(10), uuid(11), 2, ADMIN, one(WRITER));
        bytes32 long = bytes32(uint256(uuid(10)) | 1);
        vm.expectRevert(abi.encodeWithSelector(SetRegistry.InvalidUuid.selector, long));
        registry.openStream(long, uuid(11), 1, ADMIN, one(WRITER));
        vm.expectRevert(abi.encodeWithSelector(SetRegistry.InvalidUuid.selector, bytes32(0)));
        registry.openStream(uuid(10), 0, 1, ADMIN, one(WRITER));
        refused(Governed.InvalidAddress.selector);
        registry.openStream(uuid(10), uuid(11), 1, address(0), one(WRITER));
        refused(Governed.InvalidAddress.selector);
        registry.openStream(uuid(10), uuid(11), 1, ADMIN, one(address(0)));
    }

    function test_a_checkpoint_continues_a_history_elsewhere_and_shows_it() public {
        (bytes32 t, bytes32 s, bytes32 root) = (uuid(10), uuid(11), keccak256("elsewhere"));
        vm.startPrank(OWNER);
        refused(SetRegistry.EmptyStateRoot.selector);
        registry.openCheckpoint(t, s, 501, 0, ADMIN, one(WRITER));
        refused(SetRegistry.InvalidSequenceRange.selector);
        registry.openCheckpoint(t, s, 1 << 63, root, ADMIN, one(WRITER));
        bytes32 key = registry.streamKey(t, s);
        vm.expectEmit(address(registry));
        emit SetRegistry.StreamOpenedAtCheckpoint(key, t, s, 2, 501, root, ADMIN);
        registry.openCheckpoint(t, s, 501, root, ADMIN, one(WRITER));
        vm.stopPrank();
        isTrue(registry.getHead(t, s).fromCheckpoint, "visible in the head");
        sendRefused(batchOf(t, s, 501, 502, 0), abi.encodeWithSelector(SetRegistry.StateRootMismatch.selector, root, 0));
        commit(batchOf(t, s, 501, 502, root));
        vm.prank(STRANGER);
        refused(Governed.NotOwner.selector);
        registry.openCheckpoint(uuid(20), s, 501, root, ADMIN, one(WRITER));
    }

    // Committing

    function test_a_commit_moves_the_head_and_tells_all() public {
        SetRegistry.Batch memory b = batch(1, 5, 0);
        bytes32 key = registry.streamKey(tenant, store);
        vm.expectEmit(address(registry));
        emit SetRegistry.BatchCommitted(b.batchId, key, b.eventsRoot, b.newStateRoot, 1, 5, 5);
        commit(b);
        SetRegistry.Head memory head = registry.getHead(tenant, store);
        equal(head.stateRoot, b.newStateRoot, "state root");
        equal(head.nextSequence, 6, "next");
        equal(head.batchCount, 1, "batches");
        equal(head.anchoredAt, block.timestamp, "time");
        equal(registry.getLatestStateRoot(tenant, store), b.newStateRoot, "latest state root");
        isTrue(registry.batchExists(b.batchId), "exists");
        equal(registry.streamOfBatch(b.batchId), key, "stream");
        isTrue(registry.verifyBatch(b.batchId, b.eventsRoot, facts(b)), "verifies");
    }

    function test_a_batch_is_refused_for_each_rule_that_it_breaks() public {
        SetRegistry.Batch memory good = batch(1, 5, 0);
        vm.prank(STRANGER);
        refused(StreamRoles.NotAuthorizedSequencer.selector);
        send(good);

        SetRegistry.Batch memory b = copy(good);
        b.tenantId = uuid(99);
        sendRefused(b, abi.encodeWithSelector(StreamRoles.NotAuthorizedSequencer.selector));
        b = copy(good);
        b.batchId = bytes32(uint256(b.batchId) | 1);
        sendRefused(b, abi.encodeWithSelector(SetRegistry.InvalidUuid.selector, b.batchId));
        b = copy(good);
        b.sequenceEnd = 0;
        sendRefused(b, abi.encodeWithSelector(SetRegistry.InvalidSequenceRange.selector));
        b.sequenceEnd = 1 << 63;
        sendRefused(b, abi.encodeWithSelector(SetRegistry.InvalidSequenceRange.selector));
        b.sequenceEnd = 1 << 32;
        sendRefused(b, abi.encodeWithSelector(SetRegistry.InvalidSequenceRange.selector));
        b = copy(good);
        b.eventCount = 4;
        sendRefused(b, abi.encodeWithSelector(SetRegistry.InvalidEventCount.selector, 5, 4));
        b = copy(good);
        b.eventsRoot = 0;
        sendRefused(b, abi.encodeWithSelector(SetRegistry.EmptyEventsRoot.selector));
        b = copy(good);
        b.newStateRoot = 0;
        sendRefused(b, abi.encodeWithSelector(SetRegistry.EmptyStateRoot.selector));
        b = copy(good);
        b.prevStateRoot = bytes32(uint256(1));
        sendRefused(b, abi.encodeWithSelector(SetRegistry.StateRootMismatch.selector, 0, 1));
        sendRefused(batch(2, 5, 0), abi.encodeWithSelector(SetRegistry.SequenceGap.selector, 1, 2));
        sendRefused(batch(0, 5, 0), abi.encodeWithSelector(SetRegistry.SequenceGap.selector, 1, 0));
        commit(good);
    }

    function test_the_chain_has_no_gap_no_overlap_and_one_history() public {
        SetRegistry.Batch memory first = batch(1, 5, 0);
        commit(first);
        bytes32 head = first.newStateRoot;
        sendRefused(batch(7, 9, head), abi.encodeWithSelector(SetRegistry.SequenceGap.selector, 6, 7));
        sendRefused(batch(5, 9, head), abi.encodeWithSelector(SetRegistry.SequenceGap.selector, 6, 5));
        sendRefused(batch(1, 9, head), abi.encodeWithSelector(SetRegistry.SequenceGap.selector, 6, 1));
        sendRefused(batch(6, 9, 0), abi.encodeWithSelector(SetRegistry.StateRootMismatch.selector, head, 0));
        commit(batch(6, 9, head));
        equal(registry.getHead(tenant, store).nextSequence, 10, "next");
    }

    function test_a_stream_ends_at_the_largest_number() public {
        (bytes32 t, bytes32 s, bytes32 root) = (uuid(10), uuid(11), keccak256("elsewhere"));
        uint64 max = uint64(type(int64).max);
        vm.prank(OWNER);
        registry.openCheckpoint(t, s, max - 1, root, ADMIN, one(WRITER));
        bytes memory outside = abi.encodeWithSelector(SetRegistry.InvalidSequenceRange.selector);
        sendRefused(batchOf(t, s, max - 1, max + 1, root), outside);
        SetRegistry.Batch memory last = batchOf(t, s, max - 1, max, root);
        commit(last);
        sendRefused(batchOf(t, s, max + 1, max + 1, last.newStateRoot), outside);
        equal(registry.getHead(t, s).nextSequence, max + 1, "full");
    }

    function test_the_same_batch_again_changes_and_emits_nothing() public {
        SetRegistry.Batch memory first = batch(1, 5, 0);
        commit(first);
        commit(batch(6, 9, first.newStateRoot));
        vm.recordLogs();
        commit(first);
        equal(vm.getRecordedLogs().length, 0, "events");
        equal(registry.getHead(tenant, store).batchCount, 2, "batches");
    }

    function test_another_batch_under_a_used_id_is_refused() public {
        SetRegistry.Batch memory first = batch(1, 5, 0);
        commit(first);
        SetRegistry.Batch memory b = copy(first);
        b.eventsRoot = keccak256("another history");
        sendRefused(b, abi.encodeWithSelector(SetRegistry.BatchAlreadyCommitted.selector));
        b = batch(6, 9, first.newStateRoot);
        b.batchId = first.batchId;
        sendRefused(b, abi.encodeWithSelector(SetRegistry.BatchAlreadyCommitted.selector));
    }

    /// Defect 4 of the deployed contract: one sequencer could block another's batch id.
    function test_a_batch_id_that_another_stream_used_does_not_block() public {
        (bytes32 t, bytes32 s) = (uuid(10), uuid(11));
        open(t, s, 1);
        SetRegistry.Batch memory squatter = batchOf(t, s, 1, 3, 0);
        SetRegistry.Batch memory ours = batch(1, 5, 0);
        squatter.batchId = ours.batchId;
        commit(squatter);
        bytes32 scoped = registry.scopedBatchId(tenant, store, ours.batchId);
        bytes32 key = registry.streamKey(tenant, store);
        vm.expectEmit(address(registry));
        emit SetRegistry.BatchIdTaken(ours.batchId, key, scoped);
        vm.expectEmit(address(registry));
        emit SetRegistry.BatchCommitted(ours.batchId, key, ours.eventsRoot, ours.newStateRoot, 1, 5, 5);
        commit(ours);
        isTrue(registry.verifyBatch(scoped, ours.eventsRoot, facts(ours)), "kept under the scoped id");
        isFalse(registry.verifyBatch(ours.batchId, ours.eventsRoot, facts(ours)), "the plain id is the other's");
        vm.recordLogs();
        commit(ours);
        equal(vm.getRecordedLogs().length, 0, "again changes nothing");
        // A scoped id is no UUID, so nobody can take it beforehand.
        squatter.batchId = scoped;
        sendRefused(squatter, abi.encodeWithSelector(SetRegistry.InvalidUuid.selector, scoped));
        vm.prank(WRITER);
        registry.commitStarkProof(scoped, keccak256("proof"), keccak256("policy"), 1, true, 2, 3);
        isFalse(registry.hasStarkProof(ours.batchId), "a claim under the scoped id is ours alone");
    }

    /// Members are read as words: bits beyond a number's own must not pass as that number.
    function test_a_number_with_bits_beyond_its_own_is_refused_by_each_way_in() public {
        SetRegistry.Batch memory b = batch(1, 5, 0);
        for (uint256 member = 6; member < 9; ++member) {
            uint256[3] memory beyond = [uint256(1) << 64, 1 << 255, type(uint256).max << 64];
            for (uint256 i = 0; i < beyond.length; ++i) {
                bytes memory words = abi.encode(b);
                assembly ("memory-safe") {
                    let place := add(add(words, 32), mul(member, 32))
                    mstore(place, or(mload(place), mload(add(beyond, mul(i, 32)))))
                }
                refusedWhole(abi.encodePacked(registry.commitBatch.selector, words));
                bytes memory list = abi.encodePacked(uint256(32), uint256(1), words);
                refusedWhole(abi.encodePacked(registry.commitBatches.selector, list));
                bytes memory claim = abi.encode(SetRegistry.StarkClaim(0, 0, 1, true, 2, 3));
                refusedWhole(abi.encodePacked(registry.commitBatchWithStarkProof.selector, words, claim));
            }
        }
        equal(registry.getHead(tenant, store).batchCount, 0, "nothing was anchored");
        commit(b);
        equal(registry.getHead(tenant, store).batchCount, 1, "as it is it fits");
    }

    function refusedWhole(bytes memory input) private {
        vm.prank(WRITER);
        (bool done,) = address(registry).call(input);
        isFalse(done, "taken");
    }

    function test_one_bad_batch_does_not_sink_the_others() public {
        (bytes32 t, bytes32 s) = (uuid(10), uuid(11));
        open(t, s, 1);
        SetRegistry.Batch[] memory list = new SetRegistry.Batch[](4);
        list[0] = batch(1, 5, 0);
        list[1] = batchOf(t, s, 2, 3, 0);
        list[2] = batch(6, 6, list[0].newStateRoot);
        list[3] = batchOf(uuid(98), s, 1, 1, 0);
        bytes32 key = registry.streamKey(t, s);
        bytes32 unknown = registry.streamKey(uuid(98), s);
        vm.expectEmit(address(registry));
        emit SetRegistry.BatchSkipped(
            list[1].batchId, key, WRITER, abi.encodeWithSelector(SetRegistry.SequenceGap.selector, 1, 2)
        );
        vm.expectEmit(address(registry));
        emit SetRegistry.BatchSkipped(
            list[3].batchId, unknown, WRITER, abi.encodeWithSelector(StreamRoles.NotAuthorizedSequencer.selector)
        );
        vm.prank(WRITER);
        registry.commitBatches(list);
        equal(registry.getHead(tenant, store).nextSequence, 7, "both of ours");
        equal(registry.getHead(t, s).batchCount, 0, "none of the other");
        refused(SetRegistry.EmptyArray.selector);
        registry.commitBatches(new SetRegistry.Batch[](0));
    }

    // Claims

    function test_a_claim_is_recorded_once_and_bound_to_the_batch() public {
        SetRegistry.Batch memory b = batch(1, 5, 0);
        commit(b);
        (bytes32 proof, bytes32 policy) = (keccak256("proof"), keccak256("policy"));
        vm.expectEmit(address(registry));
        emit SetRegistry.StarkProofClaimed(b.batchId, proof, policy, 10_000, true, 53_074, 25);
        vm.prank(WRITER);
        registry.commitStarkProof(b.batchId, proof, policy, 10_000, true, 53_074, 25);
        isTrue(registry.hasStarkProof(b.batchId), "recorded");
        isTrue(registry.verifyStarkClaim(b.batchId, proof, policy, 10_000, true), "verifies");
        isFalse(registry.verifyStarkClaim(b.batchId, policy, policy, 10_000, true), "another proof");
        isFalse(registry.verifyStarkClaim(b.batchId, proof, proof, 10_000, true), "another policy");
        isFalse(registry.verifyStarkClaim(b.batchId, proof, policy, 10_001, true), "another limit");
        isFalse(registry.verifyStarkClaim(b.batchId, proof, policy, 10_000, false), "not compliant");
        isFalse(registry.verifyStarkClaim(uuid(5), proof, policy, 10_000, true), "another batch");
        vm.recordLogs();
        vm.prank(WRITER);
        registry.commitStarkProof(b.batchId, proof, policy, 10_000, true, 1, 1);
        equal(vm.getRecordedLogs().length, 0, "the same again changes nothing");
        vm.prank(WRITER);
        refused(SetRegistry.StarkProofAlreadyCommitted.selector);
        registry.commitStarkProof(b.batchId, proof, policy, 10_000, false, 1, 1);
    }

    function test_a_claim_needs_a_batch_and_its_writer() public {
        SetRegistry.Batch memory b = batch(1, 5, 0);
        vm.prank(WRITER);
        refused(SetRegistry.BatchNotCommitted.selector);
        registry.commitStarkProof(b.batchId, 0, 0, 0, true, 0, 0);
        commit(b);
        vm.prank(STRANGER);
        refused(StreamRoles.NotAuthorizedSequencer.selector);
        registry.commitStarkProof(b.batchId, 0, 0, 0, true, 0, 0);
    }

    function test_batch_and_claim_are_committed_both_or_neither() public {
        SetRegistry.Batch memory b = batch(1, 5, 0);
        SetRegistry.StarkClaim memory claim =
            SetRegistry.StarkClaim(keccak256("proof"), keccak256("policy"), 10_000, true, 53_074, 25);
        b.eventCount = 4;
        vm.prank(WRITER);
        vm.expectRevert(abi.encodeWithSelector(SetRegistry.InvalidEventCount.selector, 5, 4));
        registry.commitBatchWithStarkProof(b, claim);
        b.eventCount = 5;
        vm.prank(WRITER);
        registry.commitBatchWithStarkProof(b, claim);
        isTrue(registry.verifyBatch(b.batchId, b.eventsRoot, facts(b)), "batch");
        isTrue(registry.verifyStarkClaim(b.batchId, claim.proofHash, claim.policyHash, 10_000, true), "claim");
    }

    // Roles

    function test_only_the_admin_of_a_stream_says_who_writes_it() public {
        bytes32 key = registry.streamKey(tenant, store);
        (bytes32 t, bytes32 s) = (uuid(10), uuid(11));
        vm.prank(OWNER);
        registry.openStream(t, s, 1, STRANGER, one(STRANGER));
        address[3] memory others = [OWNER, WRITER, STRANGER];
        for (uint256 i = 0; i < others.length; ++i) {
            vm.prank(others[i]);
            refused(StreamRoles.NotStreamAdmin.selector);
            registry.setWriter(key, others[i], true);
        }
        vm.prank(STRANGER);
        refused(StreamRoles.NotAuthorizedSequencer.selector);
        send(batch(1, 5, 0));
        // A key is rotated: the new one is added, then the old one removed.
        vm.prank(ADMIN);
        vm.expectEmit(address(registry));
        emit StreamRoles.StreamWriterSet(key, address(0xB1), true);
        registry.setWriter(key, address(0xB1), true);
        vm.prank(ADMIN);
        registry.setWriter(key, WRITER, false);
        isFalse(registry.isWriter(key, WRITER), "removed");
        sendRefused(batch(1, 5, 0), abi.encodeWithSelector(StreamRoles.NotAuthorizedSequencer.selector));
        vm.prank(address(0xB1));
        send(batch(1, 5, 0));
    }

    function test_an_admin_changes_in_two_steps() public {
        bytes32 key = registry.streamKey(tenant, store);
        vm.prank(STRANGER);
        refused(StreamRoles.NotStreamAdmin.selector);
        registry.proposeStreamAdmin(key, STRANGER);
        vm.expectEmit(address(registry));
        emit StreamRoles.StreamAdminProposed(key, STRANGER);
        vm.prank(ADMIN);
        registry.proposeStreamAdmin(key, STRANGER);
        equal(registry.streamAdmin(key), ADMIN, "not before it is accepted");
        vm.prank(ADMIN);
        refused(StreamRoles.NotProposedAdmin.selector);
        registry.acceptStreamAdmin(key);
        vm.prank(STRANGER);
        registry.acceptStreamAdmin(key);
        equal(registry.streamAdmin(key), STRANGER, "accepted");
        vm.prank(STRANGER);
        refused(StreamRoles.NotProposedAdmin.selector);
        registry.acceptStreamAdmin(key);
    }

    function test_the_owner_changes_in_two_steps() public {
        vm.prank(STRANGER);
        refused(Governed.NotOwner.selector);
        registry.transferOwnership(STRANGER);
        vm.expectEmit(address(registry));
        emit Governed.OwnershipTransferStarted(OWNER, STRANGER);
        vm.prank(OWNER);
        registry.transferOwnership(STRANGER);
        equal(registry.owner(), OWNER, "not before it is accepted");
        vm.prank(OWNER);
        refused(Governed.NotPendingOwner.selector);
        registry.acceptOwnership();
        vm.expectEmit(address(registry));
        emit Governed.OwnershipTransferred(OWNER, STRANGER);
        vm.prank(STRANGER);
        registry.acceptOwnership();
        equal(registry.owner(), STRANGER, "accepted");
        equal(registry.pendingOwner(), address(0), "used up");
        (bool deployed,) = address(this).call(abi.encodeCall(this.deployFor, (address(0))));
        isFalse(deployed, "not without an owner");
        isTrue(this.deployFor(OWNER) != address(0), "with one");
    }

    function deployFor(address owner) external returns (address) {
        return deploy("SetRegistry", abi.encode(owner, PAUSER));
    }

    function test_a_pauser_stops_writing_and_nothing_else() public {
        SetRegistry.Batch memory b = batch(1, 5, 0);
        commit(b);
        vm.prank(STRANGER);
        refused(Governed.NotPauser.selector);
        registry.pause();
        vm.expectEmit(address(registry));
        emit Governed.Paused(PAUSER);
        vm.prank(PAUSER);
        registry.pause();
        sendRefused(batch(6, 7, b.newStateRoot), abi.encodeWithSelector(Governed.WritingPaused.selector));
        vm.startPrank(WRITER);
        refused(Governed.WritingPaused.selector);
        registry.commitBatches(new SetRegistry.Batch[](1));
        refused(Governed.WritingPaused.selector);
        registry.commitStarkProof(b.batchId, 0, 0, 0, true, 0, 0);
        refused(Governed.WritingPaused.selector);
        registry.commitBatchWithStarkProof(b, SetRegistry.StarkClaim(0, 0, 0, true, 0, 0));
        vm.stopPrank();
        isTrue(registry.verifyBatch(b.batchId, b.eventsRoot, facts(b)), "reading goes on");
        vm.prank(PAUSER);
        refused(Governed.NotOwner.selector);
        registry.unpause();
        vm.expectEmit(address(registry));
        emit Governed.Unpaused(OWNER);
        vm.prank(OWNER);
        registry.unpause();
        commit(batch(6, 7, b.newStateRoot));
        vm.expectEmit(address(registry));
        emit Governed.PauserSet(STRANGER);
        vm.prank(OWNER);
        registry.setPauser(STRANGER);
        vm.prank(PAUSER);
        refused(Governed.NotPauser.selector);
        registry.pause();
    }

    // Fuzz

    /// Whatever a batch says, only the exact next one is taken, and only from the writer.
    /// @param kept One bit for each member of the next batch that stays as it should be.
    function testFuzz_only_the_next_batch_is_taken(SetRegistry.Batch memory b, address sender, uint8 kept) public {
        SetRegistry.Batch memory first = batch(1, 5, 0);
        commit(first);
        SetRegistry.Batch memory next = batch(6, 9, first.newStateRoot);
        b.tenantId = tenant;
        b.storeId = store;
        if (kept & 1 != 0) b.batchId = next.batchId;
        if (kept & 2 != 0) b.eventsRoot = next.eventsRoot;
        if (kept & 4 != 0) b.prevStateRoot = next.prevStateRoot;
        if (kept & 8 != 0) b.newStateRoot = next.newStateRoot;
        if (kept & 16 != 0) b.sequenceStart = 6;
        if (kept & 32 != 0) b.sequenceEnd = 9;
        if (kept & 64 != 0) b.eventCount = 4;
        if (kept & 128 != 0) sender = WRITER;
        bool isNext = sender == WRITER && b.batchId != 0 && uint128(uint256(b.batchId)) == 0
            && b.prevStateRoot == first.newStateRoot && b.sequenceStart == 6 && b.sequenceEnd >= 6
            && b.sequenceEnd - 5 == b.eventCount && b.eventsRoot != 0 && b.newStateRoot != 0;
        vm.prank(sender);
        (bool taken,) = address(registry).call(abi.encodeWithSelector(registry.commitBatch.selector, b));
        isTrue(taken == isNext, "taken");
        equal(registry.getHead(tenant, store).nextSequence, isNext ? b.sequenceEnd + 1 : 6, "head");
    }

    /// One commit or many in one transaction: the same head, the same records.
    function testFuzz_commitBatches_means_commitBatch_for_each(uint8[6] memory sizes) public {
        SetRegistry other = SetRegistry(deploy("SetRegistry", abi.encode(OWNER, PAUSER)));
        vm.prank(OWNER);
        other.openStream(tenant, store, 1, ADMIN, one(WRITER));
        SetRegistry.Batch[] memory list = new SetRegistry.Batch[](sizes.length);
        uint64 next = 1;
        bytes32 state;
        for (uint256 i = 0; i < sizes.length; ++i) {
            list[i] = batch(next, next + sizes[i], state);
            (next, state) = (list[i].sequenceEnd + 1, list[i].newStateRoot);
            commit(list[i]);
        }
        vm.prank(WRITER);
        other.commitBatches(list);
        equal(
            keccak256(abi.encode(other.getHead(tenant, store))),
            keccak256(abi.encode(registry.getHead(tenant, store))),
            "head"
        );
        for (uint256 i = 0; i < list.length; ++i) {
            isTrue(other.verifyBatch(list[i].batchId, list[i].eventsRoot, facts(list[i])), "record");
        }
    }

    function copy(SetRegistry.Batch memory b) private pure returns (SetRegistry.Batch memory) {
        return abi.decode(abi.encode(b), (SetRegistry.Batch));
    }
}
