// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title An owner that changes in two steps, and a pause
/// @notice The owner is meant to be a timelock or a multisig. The pauser is a quick key that can stop writing and can do
/// nothing else: it cannot write, and it cannot unpause.
/// @dev Owner and pause share one slot, so that a write reads one slot for the pause.
abstract contract Governed {
    /// @notice Who configures this contract.
    address public owner;
    /// @notice Whether writing is stopped. Reading never is.
    bool public paused;
    /// @notice Who may take over as owner by {acceptOwnership}; zero when nobody may.
    address public pendingOwner;
    /// @notice Who may pause besides the owner; zero when nobody may.
    address public pauser;

    /// @notice `proposed` may now take over from `owner`; zero withdraws an offer.
    event OwnershipTransferStarted(address indexed owner, address indexed proposed);
    /// @notice The owner changed.
    event OwnershipTransferred(address indexed previousOwner, address indexed newOwner);
    /// @notice The pauser changed.
    event PauserSet(address indexed pauser);
    /// @notice Writing is stopped.
    event Paused(address indexed by);
    /// @notice Writing goes on.
    event Unpaused(address indexed by);

    /// @notice The caller is not the owner.
    error NotOwner();
    /// @notice The caller was not proposed as owner.
    error NotPendingOwner();
    /// @notice The caller is neither owner nor pauser.
    error NotPauser();
    /// @notice Writing is stopped; the owner can unpause.
    error WritingPaused();
    /// @notice An address that must not be zero is zero.
    error InvalidAddress();

    constructor(address owner_, address pauser_) {
        if (owner_ == address(0)) revert InvalidAddress();
        owner = owner_;
        pauser = pauser_;
        emit OwnershipTransferred(address(0), owner_);
        emit PauserSet(pauser_);
    }

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner();
        _;
    }

    modifier whenWriting() {
        if (paused) revert WritingPaused();
        _;
    }

    /// @notice Offers ownership. Nothing changes until `proposed` accepts, so a wrong address loses nothing.
    function transferOwnership(address proposed) external onlyOwner {
        pendingOwner = proposed;
        emit OwnershipTransferStarted(msg.sender, proposed);
    }

    /// @notice Takes over as owner.
    function acceptOwnership() external {
        if (msg.sender != pendingOwner) revert NotPendingOwner();
        emit OwnershipTransferred(owner, msg.sender);
        owner = msg.sender;
        pendingOwner = address(0);
    }

    /// @notice Sets who may pause besides the owner; zero for nobody.
    function setPauser(address pauser_) external onlyOwner {
        pauser = pauser_;
        emit PauserSet(pauser_);
    }

    /// @notice Stops writing. Pausing twice changes nothing.
    function pause() external {
        if (msg.sender != pauser && msg.sender != owner) revert NotPauser();
        paused = true;
        emit Paused(msg.sender);
    }

    /// @notice Lets writing go on.
    function unpause() external onlyOwner {
        paused = false;
        emit Unpaused(msg.sender);
    }
}
