// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PrefixedTree} from "./PrefixedTree.sol";

/// @notice One closed batch of a stream, as an aggregated root holds it.
/// @param streamId SHA-256(`VES_STREAM_V1` ‖ tenant ‖ store).
/// @param eventsRoot Root of the batch's tree.
/// @param prevStateRoot State root before the batch; zero for a stream's first.
/// @param newStateRoot State root after it.
/// @param sequenceStart First sequence number.
/// @param sequenceEnd Last sequence number, inclusive.
struct BatchHeader {
    bytes32 streamId;
    bytes32 eventsRoot;
    bytes32 prevStateRoot;
    bytes32 newStateRoot;
    uint64 sequenceStart;
    uint64 sequenceEnd;
}

/// @title The tree over the batch headers of many streams
/// @notice Leaf SHA-256(`SET_AGG_LEAF_V1` ‖ header in 144 bytes), node SHA-256(`SET_AGG_NODE_V1` ‖ left ‖ right), padded
/// with SHA-256(`SET_AGG_PAD_V1`), headers in the order of their stream ids.
library AggregateTree {
    bytes32 private constant NODE = "SET_AGG_NODE_V1";
    uint256 private constant NODE_LENGTH = 15;

    /// @notice Leaf of one header.
    function leaf(BatchHeader calldata header) internal pure returns (bytes32) {
        return sha256(
            abi.encodePacked(
                "SET_AGG_LEAF_V1",
                header.streamId,
                header.eventsRoot,
                header.prevStateRoot,
                header.newStateRoot,
                header.sequenceStart,
                header.sequenceEnd
            )
        );
    }

    /// @notice The aggregated root that `leafHash` at `index` leads to; see {PrefixedTree-climb}.
    function climb(bytes32 leafHash, bytes32[] calldata path, uint256 index) internal view returns (bytes32) {
        return PrefixedTree.climb(leafHash, path, index, NODE, NODE_LENGTH);
    }
}
