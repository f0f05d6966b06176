// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PrefixedTree} from "./PrefixedTree.sol";

/// @title Hashes of the VES protocol
/// @notice Leaf, node, stream id and state root exactly as the sequencer computes them, so that a proof from
/// `GET /api/v1/ves/proofs/{sequence}` verifies here unchanged (sections 13 and 14).
/// @dev A UUID is a bytes32 whose first 16 bytes are the id and whose last 16 are zero. Numbers are big-endian.
library Ves {
    /// @notice Largest sequence number of a stream: 2^63 - 1.
    uint64 internal constant SEQUENCE_MAX = uint64(type(int64).max);

    bytes32 private constant NODE = "VES_NODE_V1";
    uint256 private constant NODE_LENGTH = 11;

    /// @notice Whether `id` is a UUID as it goes on a chain: 16 bytes, not all zero, and 16 zero bytes after them.
    function isUuid(bytes32 id) internal pure returns (bool) {
        return id != 0 && uint128(uint256(id)) == 0;
    }

    /// @notice Name of a stream in the protocol's hashes (14.1).
    function streamId(bytes32 tenantId, bytes32 storeId) internal pure returns (bytes32) {
        return sha256(abi.encodePacked("VES_STREAM_V1", bytes16(tenantId), bytes16(storeId)));
    }

    /// @notice Leaf of one event (13.1).
    /// @param signature The stored 64 bytes of the agent's signature; the caller has checked the length.
    function leaf(bytes32 tenantId, bytes32 storeId, uint64 sequence, bytes32 signingHash, bytes calldata signature)
        internal
        pure
        returns (bytes32)
    {
        return
            sha256(
                abi.encodePacked("VES_LEAF_V1", bytes16(tenantId), bytes16(storeId), sequence, signingHash, signature)
            );
    }

    /// @notice State root after a batch (14.2): it fixes stream, history, root, range and count.
    /// @dev `sequenceStart <= sequenceEnd`, and the count fits 32 bits: the caller has checked the range.
    function stateRoot(
        bytes32 stream,
        bytes32 prevStateRoot,
        bytes32 eventsRoot,
        uint64 sequenceStart,
        uint64 sequenceEnd
    ) internal pure returns (bytes32) {
        uint32 count = uint32(sequenceEnd - sequenceStart + 1);
        return sha256(
            abi.encodePacked("VES_STATE_ROOT_V1", stream, prevStateRoot, eventsRoot, sequenceStart, sequenceEnd, count)
        );
    }

    /// @notice Root of the batch tree that `leafHash` at `index` leads to; see {PrefixedTree-climb}.
    function climb(bytes32 leafHash, bytes32[] calldata path, uint256 index) internal view returns (bytes32) {
        return PrefixedTree.climb(leafHash, path, index, NODE, NODE_LENGTH);
    }

    /// @notice Whether `start..=end` is a range of sequence numbers whose count fits 32 bits.
    function isRange(uint64 start, uint64 end) internal pure returns (bool) {
        return end >= start && end <= SEQUENCE_MAX && end - start < type(uint32).max;
    }
}
