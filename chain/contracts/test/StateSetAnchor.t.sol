// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Governed} from "../src/access/Governed.sol";
import {StreamRoles} from "../src/access/StreamRoles.sol";
import {BatchHeader} from "../src/libraries/AggregateTree.sol";
import {Ves} from "../src/libraries/Ves.sol";
import {StateSetAnchor} from "../src/StateSetAnchor.sol";
import {ReferenceTree} from "./base/ReferenceTree.sol";
import {Test} from "./base/Test.sol";

/// Aggregated roots and chains.
contract StateSetAnchorTest is Test {
    address private constant OWNER = address(0xA0);
    address private constant PAUSER = address(0xA1);
    address private constant ADMIN = address(0xA2);
    address private constant WRITER = address(0xA3);
    address private constant STRANGER = address(0xA4);

    bytes32 private tenant;
    bytes32 private store;
    bytes32 private stream;
    StateSetAnchor private target;

    function setUp() public {
        (tenant, store) = (uuid(1), uuid(2));
        vm.warp(1_800_000_000);
        target = StateSetAnchor(deploy("StateSetAnchor", abi.encode(OWNER, PAUSER)));
        stream = Ves.streamId(tenant, store);
        vm.startPrank(OWNER);
        target.setAnchorer(WRITER, true);
        target.openChain(tenant, store, 1, ADMIN, one(WRITER));
        vm.stopPrank();
    }

    // Aggregated roots

    function test_a_root_is_anchored_once_for_each_anchorer() public {
        bytes32 root = keccak256("root");
        vm.expectEmit(address(target));
        emit StateSetAnchor.RootAnchored(root, WRITER, 50);
        vm.prank(WRITER);
        target.anchorRoot(root, 50);
        equal(target.anchoredRoot(WRITER, root).headerCount, 50, "headers");
        equal(target.anchoredRoot(WRITER, root).anchoredAt, block.timestamp, "time");
        vm.recordLogs();
        vm.prank(WRITER);
        target.anchorRoot(root, 50);
        equal(vm.getRecordedLogs().length, 0, "again changes nothing");
        vm.prank(WRITER);
        vm.expectRevert(abi.encodeWithSelector(StateSetAnchor.AlreadyAnchored.selector, 50));
        target.anchorRoot(root, 51);
        // Nobody takes another's place.
        equal(target.anchoredRoot(STRANGER, root).headerCount, 0, "another anchorer");
        vm.prank(OWNER);
        target.setAnchorer(STRANGER, true);
        vm.prank(STRANGER);
        target.anchorRoot(root, 7);
        equal(target.anchoredRoot(WRITER, root).headerCount, 50, "still ours");
    }

    function test_a_root_needs_an_anchorer_a_root_and_headers() public {
        vm.prank(STRANGER);
        refused(StateSetAnchor.NotAnchorer.selector);
        target.anchorRoot(keccak256("root"), 1);
        vm.startPrank(WRITER);
        refused(StateSetAnchor.EmptyRoot.selector);
        target.anchorRoot(0, 1);
        refused(StateSetAnchor.EmptyRoot.selector);
        target.anchorRoot(keccak256("root"), 0);
        refused(Governed.NotOwner.selector);
        target.setAnchorer(STRANGER, true);
        vm.stopPrank();
        vm.startPrank(OWNER);
        refused(Governed.InvalidAddress.selector);
        target.setAnchorer(address(0), true);
        vm.expectEmit(address(target));
        emit StateSetAnchor.AnchorerSet(WRITER, false);
        target.setAnchorer(WRITER, false);
        vm.stopPrank();
        vm.prank(WRITER);
        refused(StateSetAnchor.NotAnchorer.selector);
        target.anchorRoot(keccak256("root"), 1);
    }

    /// An event, its batch, and the root over many batches.
    struct Story {
        bytes32 leaf;
        bytes32[] proof;
        uint64 sequence;
        BatchHeader header;
        bytes32[] path;
        uint256 index;
        bytes32 root;
    }

    /// From an event to the one root over all streams: two paths, and nothing else passes.
    function testFuzz_an_event_is_proven_through_an_aggregated_root(uint8 streams, uint8 place, uint8 events, uint8 n)
        public
    {
        uint32 count = uint32(streams) % 40 + 1;
        Story memory story = tell(count, place % count, uint64(events) % 30 + 1, n);
        vm.prank(WRITER);
        target.anchorRoot(story.root, count);

        isTrue(headerHolds(WRITER, story), "the header");
        isTrue(eventHolds(story), "the event");
        isFalse(headerHolds(STRANGER, story), "another anchorer");
        ++story.index;
        isFalse(headerHolds(WRITER, story), "another place");
        isFalse(eventHolds(story), "another place of the header");
        --story.index;
        ++story.sequence;
        isFalse(eventHolds(story), "another number");
        story.sequence = 99;
        isFalse(eventHolds(story), "before the batch");
        ++story.header.sequenceEnd;
        isFalse(headerHolds(WRITER, story), "another range");
    }

    function tell(uint32 count, uint256 index, uint64 size, uint8 n) private view returns (Story memory story) {
        story.sequence = 100 + n % size;
        bytes32[] memory leaves = list("event", size);
        story.leaf = leaves[story.sequence - 100];
        story.header = BatchHeader(stream, 0, keccak256("prev"), keccak256("new"), 100, 100 + size - 1);
        (story.header.eventsRoot, story.proof) = ReferenceTree.build(leaves, story.sequence - 100);
        bytes32[] memory headers = list("header", count);
        headers[index] = headerLeaf(story.header);
        story.index = index;
        (story.root, story.path) = ReferenceTree.build(headers, index, "SET_AGG_NODE_V1", "SET_AGG_PAD_V1");
    }

    function headerHolds(address anchorer, Story memory s) private view returns (bool) {
        return target.verifyHeader(anchorer, s.root, s.header, s.path, s.index);
    }

    function eventHolds(Story memory s) private view returns (bool) {
        return target.verifyInclusion(WRITER, s.root, s.header, s.path, s.index, s.leaf, s.proof, s.sequence);
    }

    // Chains

    function test_a_chain_is_extended_without_gap_or_overlap_and_computes_its_state() public {
        StateSetAnchor.Link memory first = link(1, 5, 0);
        bytes32 state = Ves.stateRoot(stream, 0, first.eventsRoot, 1, 5);
        vm.expectEmit(address(target));
        emit StateSetAnchor.ChainExtended(stream, first.eventsRoot, state, 1, 5);
        equal(extend(first), 1, "extended");
        isTrue(target.isHead(stream, state, 6), "head");
        skipped(link(7, 9, state), StateSetAnchor.HeadMismatch.selector);
        skipped(link(5, 9, state), StateSetAnchor.HeadMismatch.selector);
        skipped(link(6, 9, 0), StateSetAnchor.HeadMismatch.selector);
        equal(extend(link(6, 9, state)), 1, "the next one");
        skipped(first, StateSetAnchor.HeadMismatch.selector);
    }

    function test_the_last_link_again_changes_nothing() public {
        extend(link(1, 5, 0));
        vm.recordLogs();
        equal(extend(link(1, 5, 0)), 1, "counted");
        equal(vm.getRecordedLogs().length, 0, "events");
    }

    function test_a_link_is_refused_for_each_rule_and_holds_up_no_other() public {
        StateSetAnchor.Link[] memory links = new StateSetAnchor.Link[](4);
        links[0] = link(5, 4, 0);
        links[1] = link(1, 5, 0);
        links[1].eventsRoot = 0;
        links[2] = link(1, 5, 0);
        links[2].streamId = keccak256("never opened");
        links[3] = link(1, 5, 0);
        bytes4[3] memory reasons = [
            StateSetAnchor.InvalidSequenceRange.selector,
            StateSetAnchor.EmptyRoot.selector,
            StreamRoles.NotAuthorizedSequencer.selector
        ];
        for (uint256 i = 0; i < 3; ++i) {
            vm.expectEmit(address(target));
            emit StateSetAnchor.LinkSkipped(links[i].streamId, WRITER, links[i].sequenceStart, reasons[i]);
        }
        vm.prank(WRITER);
        equal(target.extendChains(links), 1, "the good one");
        refused(StateSetAnchor.EmptyArray.selector);
        target.extendChains(new StateSetAnchor.Link[](0));
        vm.prank(STRANGER);
        links = new StateSetAnchor.Link[](1);
        links[0] = link(6, 7, Ves.stateRoot(stream, 0, link(1, 5, 0).eventsRoot, 1, 5));
        equal(target.extendChains(links), 0, "not by a stranger");
    }

    function test_a_chain_is_opened_once_by_the_owner_with_uuids() public {
        refused(Governed.NotOwner.selector);
        target.openChain(uuid(5), store, 1, ADMIN, one(WRITER));
        refused(Governed.NotOwner.selector);
        target.openCheckpoint(uuid(5), store, 9, keccak256("state"), ADMIN, one(WRITER));
        vm.startPrank(OWNER);
        vm.expectRevert(abi.encodeWithSelector(StateSetAnchor.ChainAlreadyOpen.selector, stream));
        target.openChain(tenant, store, 1, ADMIN, one(WRITER));
        vm.expectRevert(abi.encodeWithSelector(StateSetAnchor.InvalidFirstSequence.selector, 2));
        target.openChain(uuid(5), store, 2, ADMIN, one(WRITER));
        vm.expectRevert(abi.encodeWithSelector(StateSetAnchor.InvalidUuid.selector, stream));
        target.openChain(stream, store, 1, ADMIN, one(WRITER));
        refused(StateSetAnchor.EmptyRoot.selector);
        target.openCheckpoint(uuid(5), store, 9, 0, ADMIN, one(WRITER));
        refused(StateSetAnchor.InvalidSequenceRange.selector);
        target.openCheckpoint(uuid(5), store, 1 << 63, keccak256("state"), ADMIN, one(WRITER));
        bytes32 other = Ves.streamId(uuid(5), store);
        vm.expectEmit(address(target));
        emit StateSetAnchor.ChainOpened(other, uuid(5), store, 9, keccak256("state"), ADMIN);
        target.openCheckpoint(uuid(5), store, 9, keccak256("state"), ADMIN, one(WRITER));
        isTrue(target.isHead(other, keccak256("state"), 9), "head");
    }

    function test_a_pause_stops_writing_and_not_reading() public {
        vm.prank(PAUSER);
        target.pause();
        StateSetAnchor.Link[] memory links = new StateSetAnchor.Link[](1);
        links[0] = link(1, 5, 0);
        vm.startPrank(WRITER);
        refused(Governed.WritingPaused.selector);
        target.extendChains(links);
        refused(Governed.WritingPaused.selector);
        target.anchorRoot(keccak256("root"), 1);
        vm.stopPrank();
        isTrue(target.isHead(stream, 0, 1), "reading goes on");
    }

    /// A batch long ago is proven by the links from it to the head, though no slot was kept for it.
    function testFuzz_an_old_event_is_proven_by_the_links_after_it(uint8 size, uint8 place, uint8 later) public {
        uint64 count = uint64(size) % 30 + 1;
        uint64 sequence = 1 + place % count;
        bytes32[] memory leaves = list("event", count);
        (bytes32 root, bytes32[] memory proof) = ReferenceTree.build(leaves, sequence - 1);
        StateSetAnchor.Link[] memory links = new StateSetAnchor.Link[](1 + later % 5);
        (bytes32 state, uint64 next) = (0, 1);
        for (uint256 i = 0; i < links.length; ++i) {
            links[i] = link(next, i == 0 ? count : next + uint64(i), state);
            if (i == 0) links[i].eventsRoot = root;
            state = Ves.stateRoot(stream, state, links[i].eventsRoot, links[i].sequenceStart, links[i].sequenceEnd);
            next = links[i].sequenceEnd + 1;
        }
        vm.prank(WRITER);
        equal(target.extendChains(links), links.length, "extended");
        bytes32 leaf = leaves[sequence - 1];
        isTrue(target.verifyChained(links, leaf, proof, sequence), "the event");
        isFalse(target.verifyChained(links, leaf, proof, sequence + 1), "another number");
        isFalse(target.verifyChained(links, keccak256("other"), proof, sequence), "another leaf");
        isFalse(target.verifyChained(new StateSetAnchor.Link[](0), leaf, proof, sequence), "no link");
        StateSetAnchor.Link memory last = links[links.length - 1];
        last.sequenceEnd += 1;
        isFalse(target.verifyChained(links, leaf, proof, sequence), "another range at the end");
        last.sequenceEnd -= 1;
        extend(link(next, next, state));
        isFalse(target.verifyChained(links, leaf, proof, sequence), "links that stop before the head");
    }

    /// A made-up batch before the true last link is no history: each link has to follow from the one before.
    function test_a_forged_batch_before_a_true_link_proves_nothing() public {
        StateSetAnchor.Link[] memory links = new StateSetAnchor.Link[](2);
        links[0] = link(1, 1, 0);
        links[1] = link(2, 3, Ves.stateRoot(stream, 0, links[0].eventsRoot, 1, 1));
        vm.prank(WRITER);
        target.extendChains(links);
        bytes32[] memory noPath = new bytes32[](0);
        isTrue(target.verifyChained(links, links[0].eventsRoot, noPath, 1), "the true batch of one event");
        bytes32 forged = keccak256("forged");
        links[0].eventsRoot = forged;
        isFalse(target.verifyChained(links, forged, noPath, 1), "another root");
        links[0] = link(1, 1, 0);
        links[0].streamId = keccak256("another stream");
        isFalse(target.verifyChained(links, links[0].eventsRoot, noPath, 1), "another stream");
        links[0] = link(0, 0, 0);
        isFalse(target.verifyChained(links, links[0].eventsRoot, noPath, 0), "a gap");
    }

    // Helpers

    function link(uint64 start, uint64 end, bytes32 prev) private view returns (StateSetAnchor.Link memory) {
        return StateSetAnchor.Link(stream, keccak256(abi.encode("root", start, end)), prev, start, end);
    }

    function extend(StateSetAnchor.Link memory one_) private returns (uint256) {
        StateSetAnchor.Link[] memory links = new StateSetAnchor.Link[](1);
        links[0] = one_;
        vm.prank(WRITER);
        return target.extendChains(links);
    }

    function skipped(StateSetAnchor.Link memory one_, bytes4 reason) private {
        vm.expectEmit(address(target));
        emit StateSetAnchor.LinkSkipped(one_.streamId, WRITER, one_.sequenceStart, reason);
        equal(extend(one_), 0, "skipped");
    }

    function list(string memory tag, uint256 count) private pure returns (bytes32[] memory words) {
        words = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            words[i] = keccak256(abi.encode(tag, i));
        }
    }

    function headerLeaf(BatchHeader memory h) private pure returns (bytes32) {
        return sha256(
            bytes.concat(
                "SET_AGG_LEAF_V1",
                h.streamId,
                h.eventsRoot,
                h.prevStateRoot,
                h.newStateRoot,
                bytes8(h.sequenceStart),
                bytes8(h.sequenceEnd)
            )
        );
    }
}
