// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SetRegistry} from "../src/SetRegistry.sol";
import {RegistryTest} from "./base/RegistryTest.sol";
import {Test} from "./base/Test.sol";

/// Calls the registry as writers, strangers and administrators do, well and badly, and keeps its own books.
contract RegistryHandler is Test {
    struct Book {
        bytes32 tenant;
        bytes32 store;
        address writer;
        uint64 next;
        uint32 batches;
        bytes32 state;
        bytes32[] ids;
        bytes32[] roots;
        SetRegistry.BatchFacts[] facts;
    }

    SetRegistry private immutable registry;
    Book[] private books;

    constructor(SetRegistry registry_) {
        registry = registry_;
    }

    function add(bytes32 tenant, bytes32 store, address writer, uint64 first) external {
        Book storage book = books.push();
        (book.tenant, book.store, book.writer, book.next) = (tenant, store, writer, first);
    }

    function streams() external view returns (uint256) {
        return books.length;
    }

    function bookOf(uint256 place) external view returns (Book memory) {
        return books[place];
    }

    /// The next batch of a stream; by its writer it is taken, by another's writer it is not.
    function commitNext(uint8 which, uint16 size, uint8 by) external {
        Book storage book = books[which % books.length];
        address sender = books[by % books.length].writer;
        SetRegistry.Batch memory b = next(book, uint64(size % 64));
        bool taken = send(b, sender);
        isTrue(taken == (sender == book.writer), "only the stream's own writer");
        if (taken) write(book, b);
    }

    /// A batch that leaves a gap, overlaps or tells another history is never taken.
    function commitWrong(uint8 which, uint64 shift, bytes32 prev, bool wrongHistory) external {
        Book storage book = books[which % books.length];
        SetRegistry.Batch memory b = next(book, 3);
        if (wrongHistory) {
            if (prev == b.prevStateRoot) return;
            b.prevStateRoot = prev;
        } else {
            shift = shift % 1000 + 1;
            b.sequenceStart = b.sequenceStart > shift ? b.sequenceStart - shift : b.sequenceStart + shift;
            b.sequenceEnd = b.sequenceStart + 3;
        }
        isFalse(send(b, book.writer), "a wrong batch");
    }

    /// A batch sent again changes nothing.
    function commitAgain(uint8 which, uint8 place) external {
        Book storage book = books[which % books.length];
        if (book.ids.length == 0) return;
        uint256 i = place % book.ids.length;
        SetRegistry.Batch memory b = next(book, 0);
        b.batchId = book.ids[i];
        b.eventsRoot = book.roots[i];
        b.newStateRoot = book.facts[i].newStateRoot;
        b.sequenceStart = book.facts[i].sequenceStart;
        b.sequenceEnd = book.facts[i].sequenceEnd;
        b.eventCount = uint32(b.sequenceEnd - b.sequenceStart + 1);
        isTrue(send(b, book.writer), "the same again");
    }

    /// Nobody without the role gets anywhere: this contract has none.
    function meddle(uint8 which, address who, uint8 how) external {
        Book storage book = books[which % books.length];
        bytes32 key = registry.streamKey(book.tenant, book.store);
        bytes memory call;
        if (how % 6 == 0) call = abi.encodeCall(registry.setWriter, (key, who, true));
        if (how % 6 == 1) call = abi.encodeCall(registry.proposeStreamAdmin, (key, who));
        if (how % 6 == 2) call = abi.encodeCall(registry.acceptStreamAdmin, (key));
        if (how % 6 == 3) call = abi.encodeCall(registry.transferOwnership, (who));
        if (how % 6 == 4) call = abi.encodeCall(registry.pause, ());
        if (how % 6 == 5) call = abi.encodeCall(registry.openStream, (uuid(how), book.store, 1, who, one(who)));
        (bool done,) = address(registry).call(call);
        isFalse(done, "without a role");
    }

    function next(Book storage book, uint64 more) private view returns (SetRegistry.Batch memory) {
        bytes32 salt = keccak256(abi.encode(book.tenant, book.next, more));
        return SetRegistry.Batch({
            batchId: bytes32(bytes16(salt)),
            tenantId: book.tenant,
            storeId: book.store,
            eventsRoot: keccak256(abi.encode(salt, "root")),
            prevStateRoot: book.state,
            newStateRoot: keccak256(abi.encode(salt, "state")),
            sequenceStart: book.next,
            sequenceEnd: book.next + more,
            eventCount: uint32(more + 1)
        });
    }

    function write(Book storage book, SetRegistry.Batch memory b) private {
        (book.next, book.state) = (b.sequenceEnd + 1, b.newStateRoot);
        ++book.batches;
        book.ids.push(b.batchId);
        book.roots.push(b.eventsRoot);
        book.facts.push(SetRegistry.BatchFacts(b.newStateRoot, b.sequenceStart, b.sequenceEnd));
    }

    function send(SetRegistry.Batch memory b, address sender) private returns (bool taken) {
        vm.prank(sender);
        (taken,) = address(registry).call(abi.encodeWithSelector(registry.commitBatch.selector, b));
    }
}

/// What holds after any calls in any order.
contract RegistryInvariantTest is RegistryTest {
    RegistryHandler private handler;

    function setUp() public override {
        super.setUp();
        handler = new RegistryHandler(registry);
        handler.add(tenant, store, WRITER, 1);
        for (uint256 i = 0; i < 2; ++i) {
            address writer = address(uint160(0xD0 + i));
            vm.prank(OWNER);
            registry.openStream(uuid(40 + i), store, uint64(i), ADMIN, one(writer));
            handler.add(uuid(40 + i), store, writer, uint64(i));
        }
    }

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function targetContracts() external view returns (address[] memory) {
        return one(address(handler));
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        targets = new FuzzSelector[](1);
        targets[0].addr = address(handler);
        targets[0].selectors = new bytes4[](4);
        targets[0].selectors[0] = handler.commitNext.selector;
        targets[0].selectors[1] = handler.commitWrong.selector;
        targets[0].selectors[2] = handler.commitAgain.selector;
        targets[0].selectors[3] = handler.meddle.selector;
    }

    /// The head is the end of the last batch and one more, its state root that of the last batch, its count theirs.
    function invariant_each_head_is_the_end_of_its_chain() external view {
        for (uint256 i = 0; i < handler.streams(); ++i) {
            RegistryHandler.Book memory book = handler.bookOf(i);
            SetRegistry.Head memory head = registry.getHead(book.tenant, book.store);
            equal(head.nextSequence, book.next, "next");
            equal(head.stateRoot, book.state, "state root");
            equal(head.batchCount, book.batches, "batches");
            for (uint256 place = 0; place < book.ids.length; ++place) {
                isTrue(registry.verifyBatch(book.ids[place], book.roots[place], book.facts[place]), "record");
                uint64 expected = place == 0 ? uint64(i == 1 ? 0 : 1) : book.facts[place - 1].sequenceEnd + 1;
                equal(book.facts[place].sequenceStart, expected, "no gap, no overlap");
            }
        }
    }

    function invariant_roles_stay_where_they_were() external view {
        equal(registry.owner(), OWNER, "owner");
        isFalse(registry.paused(), "not paused");
        equal(registry.streamCount(), 3, "streams");
        for (uint256 i = 0; i < handler.streams(); ++i) {
            RegistryHandler.Book memory book = handler.bookOf(i);
            bytes32 key = registry.streamKey(book.tenant, book.store);
            equal(registry.streamAdmin(key), ADMIN, "admin");
            isFalse(registry.isWriter(key, address(handler)), "no new writer");
        }
    }
}
