// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// The padded tree written down naively, with other code than the contracts': the judge of what they accept.
library ReferenceTree {
    bytes internal constant NODE = "VES_NODE_V1";
    bytes internal constant PAD = "VES_PAD_LEAF_V1";

    function node(bytes memory domain, bytes32 left, bytes32 right) internal pure returns (bytes32) {
        return sha256(bytes.concat(domain, left, right));
    }

    /// The padded leaves.
    function padded(bytes32[] memory leaves, bytes memory pad) internal pure returns (bytes32[] memory row) {
        uint256 size = 1;
        while (size < leaves.length) size *= 2;
        row = new bytes32[](size);
        bytes32 filler = sha256(pad);
        for (uint256 i = 0; i < size; ++i) {
            row[i] = i < leaves.length ? leaves[i] : filler;
        }
    }

    /// Root, and the path of `index`, which may be that of a padding leaf.
    function build(bytes32[] memory leaves, uint256 index) internal pure returns (bytes32 root, bytes32[] memory path) {
        return build(leaves, index, NODE, PAD);
    }

    function build(bytes32[] memory leaves, uint256 index, bytes memory domain, bytes memory pad)
        internal
        pure
        returns (bytes32 root, bytes32[] memory path)
    {
        bytes32[] memory row = padded(leaves, pad);
        uint256 levels;
        for (uint256 size = row.length; size > 1; size /= 2) {
            ++levels;
        }
        path = new bytes32[](levels);
        for (uint256 height = 0; height < levels; ++height) {
            path[height] = row[(index >> height) ^ 1];
            bytes32[] memory above = new bytes32[](row.length / 2);
            for (uint256 i = 0; i < above.length; ++i) {
                above[i] = node(domain, row[2 * i], row[2 * i + 1]);
            }
            row = above;
        }
        root = row[0];
    }
}
