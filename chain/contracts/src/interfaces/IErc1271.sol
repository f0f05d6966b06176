// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What a contract answers about a signature that is said to be its own (ERC-1271)
interface IErc1271 {
    /// @param hash The 32 bytes that were signed.
    /// @return magic The selector of this function where the contract takes the signature; anything else where it does not.
    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4 magic);
}
