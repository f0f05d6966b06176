// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Governed} from "./Governed.sol";

/// @title Who may write which stream
/// @notice Each stream has an admin of its own, and the admin decides who writes. Neither the owner nor the admin or
/// writer of another stream can write it or give the right away. To rotate a key add the new writer, then remove the old.
abstract contract StreamRoles is Governed {
    mapping(bytes32 stream => address) private _admins;
    mapping(bytes32 stream => address) private _proposed;
    mapping(bytes32 stream => mapping(address writer => bool)) private _writers;

    /// @notice `writer` may, or may no longer, write the stream.
    event StreamWriterSet(bytes32 indexed stream, address indexed writer, bool allowed);
    /// @notice `proposed` may now take over as the stream's admin; zero withdraws an offer.
    event StreamAdminProposed(bytes32 indexed stream, address indexed proposed);
    /// @notice The stream's admin changed.
    event StreamAdminSet(bytes32 indexed stream, address indexed admin);

    /// @notice The caller is not the stream's admin.
    error NotStreamAdmin();
    /// @notice The caller was not proposed as the stream's admin.
    error NotProposedAdmin();
    /// @notice The caller is no writer of the stream, or the stream was never opened.
    error NotAuthorizedSequencer();

    /// @notice The stream's admin; zero for a stream that was never opened.
    function streamAdmin(bytes32 stream) external view returns (address) {
        return _admins[stream];
    }

    /// @notice Whether `writer` may write the stream.
    function isWriter(bytes32 stream, address writer) public view returns (bool) {
        return _writers[stream][writer];
    }

    /// @notice Lets `writer` write the stream, or no longer.
    function setWriter(bytes32 stream, address writer, bool allowed) external {
        _onlyAdmin(stream);
        _setWriter(stream, writer, allowed);
    }

    /// @notice Offers the place of the stream's admin; it changes when `proposed` accepts.
    function proposeStreamAdmin(bytes32 stream, address proposed) external {
        _onlyAdmin(stream);
        _proposed[stream] = proposed;
        emit StreamAdminProposed(stream, proposed);
    }

    /// @notice Takes over as the stream's admin.
    function acceptStreamAdmin(bytes32 stream) external {
        if (msg.sender != _proposed[stream]) revert NotProposedAdmin();
        _proposed[stream] = address(0);
        _setAdmin(stream, msg.sender);
    }

    function _openRoles(bytes32 stream, address admin, address[] calldata writers) internal {
        if (admin == address(0)) revert InvalidAddress();
        _setAdmin(stream, admin);
        for (uint256 i = 0; i < writers.length; ++i) {
            _setWriter(stream, writers[i], true);
        }
    }

    function _setWriter(bytes32 stream, address writer, bool allowed) private {
        if (writer == address(0)) revert InvalidAddress();
        _writers[stream][writer] = allowed;
        emit StreamWriterSet(stream, writer, allowed);
    }

    function _setAdmin(bytes32 stream, address admin) private {
        _admins[stream] = admin;
        emit StreamAdminSet(stream, admin);
    }

    function _onlyAdmin(bytes32 stream) private view {
        if (msg.sender != _admins[stream]) revert NotStreamAdmin();
    }
}
