// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IErc1271} from "../interfaces/IErc1271.sol";

/// @title A contract wallet for tests and local devnets
/// @notice It signs as wallets in use do (ERC-1271): a signature names which of its owners made it, and is over the hash
/// together with this wallet and chain, so that it is worth nothing at another wallet of the same owner. It can move nothing
/// by itself: never put money into it.
contract TestWallet is IErc1271 {
    address private immutable _first;
    address private immutable _second;

    /// @param first Owner 0.
    /// @param second Owner 1; zero for none.
    constructor(address first, address second) {
        _first = first;
        _second = second;
    }

    /// @notice What an owner signs for `hash`.
    function boundHash(bytes32 hash) public view returns (bytes32) {
        return keccak256(abi.encode(hash, address(this), block.chainid));
    }

    /// @inheritdoc IErc1271
    /// @param signature `abi.encode(owner, r, s, v)`: number of the owner, and his signature over {boundHash}.
    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        if (signature.length != 128) return 0xffffffff;
        (uint256 number, bytes32 r, bytes32 s, uint8 v) = abi.decode(signature, (uint256, bytes32, bytes32, uint8));
        address owner = number == 0 ? _first : number == 1 ? _second : address(0);
        if (owner == address(0) || ecrecover(boundHash(hash), v, r, s) != owner) return 0xffffffff;
        return IErc1271.isValidSignature.selector;
    }
}
