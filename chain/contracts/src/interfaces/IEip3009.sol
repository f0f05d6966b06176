// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What a settlement needs of a token: EIP-3009
interface IEip3009 {
    /// @notice Moves `value` from `from` to `to` by the signature of `from` over these very arguments (EIP-712). Each
    /// (from, nonce) is used once. Times are Unix seconds: `validAfter < now < validBefore`.
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external;

    /// @notice Whether the authorization was used or cancelled.
    function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
}
