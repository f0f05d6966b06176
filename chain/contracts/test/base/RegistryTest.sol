// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SetRegistry} from "../../src/SetRegistry.sol";
import {Test} from "./Test.sol";

/// A registry with an owner, a pauser, and one open stream with its admin and writer.
abstract contract RegistryTest is Test {
    address internal constant OWNER = address(0xA0);
    address internal constant PAUSER = address(0xA1);
    address internal constant ADMIN = address(0xA2);
    address internal constant WRITER = address(0xA3);
    address internal constant STRANGER = address(0xA4);

    bytes32 internal tenant;
    bytes32 internal store;
    SetRegistry internal registry;

    function setUp() public virtual {
        (tenant, store) = (uuid(1), uuid(2));
        vm.warp(1_800_000_000);
        registry = SetRegistry(deploy("SetRegistry", abi.encode(OWNER, PAUSER)));
        open(tenant, store, 1);
    }

    function open(bytes32 tenantId, bytes32 storeId, uint64 first) internal {
        vm.prank(OWNER);
        registry.openStream(tenantId, storeId, first, ADMIN, one(WRITER));
    }

    /// A batch of the open stream; roots follow from the range.
    function batch(uint64 start, uint64 end, bytes32 prev) internal view returns (SetRegistry.Batch memory) {
        return batchOf(tenant, store, start, end, prev);
    }

    function batchOf(bytes32 tenantId, bytes32 storeId, uint64 start, uint64 end, bytes32 prev)
        internal
        pure
        returns (SetRegistry.Batch memory)
    {
        return SetRegistry.Batch({
            batchId: bytes32(bytes16(keccak256(abi.encode("batch", tenantId, storeId, start, end)))),
            tenantId: tenantId,
            storeId: storeId,
            eventsRoot: keccak256(abi.encode("root", tenantId, storeId, start, end)),
            prevStateRoot: prev,
            newStateRoot: keccak256(abi.encode("state", prev, start, end)),
            sequenceStart: start,
            sequenceEnd: end,
            eventCount: uint32(end - start + 1)
        });
    }

    function facts(SetRegistry.Batch memory b) internal pure returns (SetRegistry.BatchFacts memory) {
        return SetRegistry.BatchFacts(b.newStateRoot, b.sequenceStart, b.sequenceEnd);
    }

    function commit(SetRegistry.Batch memory b) internal {
        vm.prank(WRITER);
        send(b);
    }

    /// The call itself, so that it comes right after what is expected of it. A batch is the nine arguments in order.
    function send(SetRegistry.Batch memory b) internal {
        (bool done, bytes memory answer) =
            address(registry).call(abi.encodeWithSelector(registry.commitBatch.selector, b));
        if (done) return;
        assembly ("memory-safe") {
            revert(add(answer, 32), mload(answer))
        }
    }

    function sendRefused(SetRegistry.Batch memory b, bytes memory reason) internal {
        vm.prank(WRITER);
        vm.expectRevert(reason);
        send(b);
    }
}
