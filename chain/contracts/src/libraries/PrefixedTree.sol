// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Paths through a padded binary tree of SHA-256 nodes with a domain in front
/// @notice The tree of VES section 13: leaves in order, padded to the next power of two, each node
/// SHA-256(domain ‖ left ‖ right). The domain is the caller's, so that one walk serves every such tree.
/// @dev Bit for bit the tree of the sequencer: SHA-256 through the precompile at 0x02, not Keccak-256.
library PrefixedTree {
    /// @notice SHA-256 failed: only where the chain has no precompile at 0x02, or gas ran out inside.
    error Sha256Failed();

    /// @notice Length of every path in a tree of `leafCount` leaves: ceil(log2(leafCount)); 0 for none and for one.
    function depth(uint256 leafCount) internal pure returns (uint256 levels) {
        unchecked {
            for (uint256 rest = leafCount > 0 ? leafCount - 1 : 0; rest != 0; rest >>= 1) {
                ++levels;
            }
        }
    }

    /// @notice Whether a path of `length` siblings can be that of `index` in a tree of `leafCount` leaves (13.3).
    /// @dev Pins index and depth: padding is never below `leafCount`, an inner node never has a path of full length.
    function hasShape(uint256 leafCount, uint256 index, uint256 length) internal pure returns (bool) {
        return index < leafCount && length == depth(leafCount);
    }

    /// @notice The root that `leaf` at `index` leads to.
    /// @param path Siblings from the bottom up.
    /// @param index Place of the leaf from 0; bit d tells on which side the running hash stands at height d (0: left).
    /// @param domain ASCII bytes in front of each node, left-aligned.
    /// @param domainLength Number of those bytes, at most 32.
    /// @dev Checks no shape: see {hasShape}. Works in the free memory and leaves the pointer where it was.
    function climb(bytes32 leaf, bytes32[] calldata path, uint256 index, bytes32 domain, uint256 domainLength)
        internal
        view
        returns (bytes32 hash)
    {
        bool failed;
        assembly ("memory-safe") {
            let preimage := mload(0x40)
            let left := add(preimage, domainLength)
            let right := add(left, 32)
            let size := add(domainLength, 64)
            // The pair goes over what follows the domain in its word.
            mstore(preimage, domain)
            hash := leaf
            let end := add(path.offset, shl(5, path.length))
            for { let at := path.offset } lt(at, end) { at := add(at, 32) } {
                switch and(index, 1)
                case 0 {
                    mstore(left, hash)
                    mstore(right, calldataload(at))
                }
                default {
                    mstore(left, calldataload(at))
                    mstore(right, hash)
                }
                if iszero(staticcall(gas(), 2, preimage, size, 0x00, 32)) {
                    failed := 1
                    break
                }
                hash := mload(0x00)
                index := shr(1, index)
            }
        }
        if (failed) revert Sha256Failed();
    }
}
