// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// The streams of `protocol/ves/tests/chain/cases.rs`, made of a seed.
library SeededStream {
    function tenant(bytes32 seed) internal pure returns (bytes32) {
        return bytes32(bytes16(sha256(abi.encodePacked(seed, "tenant"))));
    }

    function store(bytes32 seed) internal pure returns (bytes32) {
        return bytes32(bytes16(sha256(abi.encodePacked(seed, "store"))));
    }

    function prevStateRoot(bytes32 seed) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(seed, "state"));
    }

    function signingHash(bytes32 seed, uint64 n) internal pure returns (bytes32) {
        return sha256(abi.encodePacked(seed, "event", n));
    }

    function signature(bytes32 seed, uint64 n) internal pure returns (bytes memory) {
        return bytes.concat(sha256(abi.encodePacked(seed, "sig0", n)), sha256(abi.encodePacked(seed, "sig1", n)));
    }

    function leaf(bytes32 seed, uint64 n) internal pure returns (bytes32) {
        return sha256(
            bytes.concat(
                "VES_LEAF_V1",
                bytes16(tenant(seed)),
                bytes16(store(seed)),
                bytes8(n),
                signingHash(seed, n),
                signature(seed, n)
            )
        );
    }

    function leaves(bytes32 seed, uint64 start, uint32 count) internal pure returns (bytes32[] memory list) {
        list = new bytes32[](count);
        for (uint32 i = 0; i < count; ++i) {
            list[i] = leaf(seed, start + i);
        }
    }
}
