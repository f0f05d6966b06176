// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Governed} from "./access/Governed.sol";
import {StreamRoles} from "./access/StreamRoles.sol";
import {AggregateTree, BatchHeader} from "./libraries/AggregateTree.sol";
import {PrefixedTree} from "./libraries/PrefixedTree.sol";
import {Ves} from "./libraries/Ves.sol";

/// @title Many streams anchored cheaply
/// @notice Two forms besides the registry's slot for each batch:
///
/// - *Aggregated roots*: one root over the headers of all batches closed in an interval, one slot for any number of
///   streams. Continuity of a stream is then for readers to check, header by header; the contract fixes who anchored what,
///   and when.
/// - *Chains*: one slot for each stream, whatever the number of batches. The state root is computed here by the protocol's
///   rule, so the slot fixes the whole history, and no gap, overlap or other history passes.
///
/// Not upgradeable, for the registry's reason. Ids are UUIDs, numbers 0 to 2^63 - 1, as there.
contract StateSetAnchor is StreamRoles {
    /// @notice When a root was anchored, and over how many headers.
    /// @param headerCount Headers below the root, without padding; 0 when the root is unknown.
    /// @param anchoredAt Unix seconds.
    struct AnchoredRoot {
        uint32 headerCount;
        uint40 anchoredAt;
    }

    /// @notice One batch of a chain; its state root follows from it.
    /// @param streamId SHA-256(`VES_STREAM_V1` ‖ tenant ‖ store).
    /// @param sequenceEnd Inclusive.
    struct Link {
        bytes32 streamId;
        bytes32 eventsRoot;
        bytes32 prevStateRoot;
        uint64 sequenceStart;
        uint64 sequenceEnd;
    }

    /// @notice Who may anchor aggregated roots.
    mapping(address => bool) public isAnchorer;

    mapping(bytes32 anchorerAndRoot => AnchoredRoot) private _roots;
    /// Keccak-256 of state root and next number; 0 when the chain was never opened.
    mapping(bytes32 streamId => bytes32) private _heads;

    /// @notice `anchorer` may, or may no longer, anchor aggregated roots.
    event AnchorerSet(address indexed anchorer, bool allowed);
    /// @notice A root over `headerCount` headers is anchored.
    event RootAnchored(bytes32 indexed root, address indexed anchorer, uint32 headerCount);
    /// @notice A chain begins. A state root that is not zero is a checkpoint: what came before is not proven here.
    event ChainOpened(
        bytes32 indexed streamId,
        bytes32 indexed tenantId,
        bytes32 indexed storeId,
        uint64 nextSequence,
        bytes32 stateRoot,
        address admin
    );
    /// @notice A chain has one more batch.
    event ChainExtended(
        bytes32 indexed streamId, bytes32 eventsRoot, bytes32 newStateRoot, uint64 sequenceStart, uint64 sequenceEnd
    );
    /// @notice A link of {extendChains} was left out; `reason` is the selector of an error of this contract. Anybody can
    /// have links refused, so look at `sender`.
    event LinkSkipped(bytes32 indexed streamId, address indexed sender, uint64 sequenceStart, bytes4 reason);

    /// @notice The caller may not anchor aggregated roots.
    error NotAnchorer();
    /// @notice A root, state root or count that must not be zero is zero.
    error EmptyRoot();
    /// @notice The root is anchored, over `headerCount` headers.
    error AlreadyAnchored(uint32 headerCount);
    /// @notice Not a UUID: 16 bytes that are not all zero, then 16 zero bytes.
    error InvalidUuid(bytes32 id);
    /// @notice A chain starts at 0 or at 1; elsewhere only from a checkpoint.
    error InvalidFirstSequence(uint64 provided);
    /// @notice The chain is open already.
    error ChainAlreadyOpen(bytes32 streamId);
    /// @notice The range ends before it starts, or beyond 2^63 - 1, or holds 2^32 numbers or more.
    error InvalidSequenceRange();
    /// @notice State root and number before the link are not those of the head: a gap, an overlap or another history.
    error HeadMismatch();
    /// @notice The list is empty.
    error EmptyArray();

    /// @param owner_ Opens chains, names anchorers and unpauses; a timelock or multisig.
    /// @param pauser_ May pause; zero for nobody besides the owner.
    constructor(address owner_, address pauser_) Governed(owner_, pauser_) {}

    // Aggregated roots

    /// @notice Lets `anchorer` anchor aggregated roots, or no longer.
    function setAnchorer(address anchorer, bool allowed) external onlyOwner {
        if (anchorer == address(0)) revert InvalidAddress();
        isAnchorer[anchorer] = allowed;
        emit AnchorerSet(anchorer, allowed);
    }

    /// @notice Anchors one root over batch headers of many streams. Roots are kept for each anchorer, so none can take
    /// another's place. The same root again changes nothing.
    /// @param root Root of the tree of {AggregateTree}, headers in the order of their stream ids; not zero.
    /// @param headerCount Headers, without padding; at least 1.
    /// @dev Errors: WritingPaused, NotAnchorer, EmptyRoot, AlreadyAnchored (with another count).
    function anchorRoot(bytes32 root, uint32 headerCount) external whenWriting {
        if (!isAnchorer[msg.sender]) revert NotAnchorer();
        if (root == 0 || headerCount == 0) revert EmptyRoot();
        AnchoredRoot storage anchored = _roots[_rootKey(msg.sender, root)];
        uint32 found = anchored.headerCount;
        if (found == headerCount) return;
        if (found != 0) revert AlreadyAnchored(found);
        anchored.headerCount = headerCount;
        anchored.anchoredAt = uint40(block.timestamp);
        emit RootAnchored(root, msg.sender, headerCount);
    }

    /// @notice When `anchorer` anchored the root, and over how many headers; zeros for an unknown one.
    function anchoredRoot(address anchorer, bytes32 root) external view returns (AnchoredRoot memory) {
        return _roots[_rootKey(anchorer, root)];
    }

    /// @notice Whether the header stands at `index` below a root that `anchorer` anchored.
    /// @param path Siblings from the bottom up.
    function verifyHeader(
        address anchorer,
        bytes32 root,
        BatchHeader calldata header,
        bytes32[] calldata path,
        uint256 index
    ) public view returns (bool) {
        uint256 count = _roots[_rootKey(anchorer, root)].headerCount;
        return PrefixedTree.hasShape(count, index, path.length)
            && AggregateTree.climb(AggregateTree.leaf(header), path, index) == root;
    }

    /// @notice Whether a leaf stands in a batch whose header stands below a root that `anchorer` anchored.
    /// @param leaf Leaf hash of an event (VES 13.1), computed by the caller from the event.
    /// @param proof `proof_path` of the sequencer's answer; its `leaf_index` is `sequence` minus the batch's first.
    function verifyInclusion(
        address anchorer,
        bytes32 root,
        BatchHeader calldata header,
        bytes32[] calldata path,
        uint256 index,
        bytes32 leaf,
        bytes32[] calldata proof,
        uint64 sequence
    ) external view returns (bool) {
        return _stands(leaf, proof, sequence, header.eventsRoot, header.sequenceStart, header.sequenceEnd)
            && verifyHeader(anchorer, root, header, path, index);
    }

    // Chains

    /// @notice Opens a chain from its beginning: fixes its first number, its admin and its first writers.
    /// @param firstSequence 1 for streams of the sequencer, 0 for those that count from zero.
    /// @dev Errors: NotOwner, InvalidFirstSequence, InvalidUuid, ChainAlreadyOpen, InvalidAddress.
    function openChain(
        bytes32 tenantId,
        bytes32 storeId,
        uint64 firstSequence,
        address admin,
        address[] calldata writers
    ) external onlyOwner {
        if (firstSequence > 1) revert InvalidFirstSequence(firstSequence);
        _open(tenantId, storeId, firstSequence, 0, admin, writers);
    }

    /// @notice Opens a chain whose earlier batches are anchored elsewhere.
    /// @param stateRoot State root after the last batch elsewhere, not zero.
    /// @dev Errors: NotOwner, EmptyRoot, InvalidSequenceRange, InvalidUuid, ChainAlreadyOpen, InvalidAddress.
    function openCheckpoint(
        bytes32 tenantId,
        bytes32 storeId,
        uint64 nextSequence,
        bytes32 stateRoot,
        address admin,
        address[] calldata writers
    ) external onlyOwner {
        if (stateRoot == 0) revert EmptyRoot();
        if (nextSequence > Ves.SEQUENCE_MAX) revert InvalidSequenceRange();
        _open(tenantId, storeId, nextSequence, stateRoot, admin, writers);
    }

    function _open(
        bytes32 tenantId,
        bytes32 storeId,
        uint64 nextSequence,
        bytes32 stateRoot,
        address admin,
        address[] calldata writers
    ) private {
        if (!Ves.isUuid(tenantId)) revert InvalidUuid(tenantId);
        if (!Ves.isUuid(storeId)) revert InvalidUuid(storeId);
        bytes32 stream = Ves.streamId(tenantId, storeId);
        if (_heads[stream] != 0) revert ChainAlreadyOpen(stream);
        _heads[stream] = _head(stateRoot, nextSequence);
        emit ChainOpened(stream, tenantId, storeId, nextSequence, stateRoot, admin);
        _openRoles(stream, admin, writers);
    }

    /// @notice Extends chains by one batch each, or by several in order. A link that is refused is left out with
    /// {LinkSkipped} and does not hold up the others. A link that is the last of its chain already changes nothing.
    /// @return extended Number of links that are now, or were already, the last of their chain when it was their turn.
    /// @dev Errors: WritingPaused, EmptyArray. Reasons of links: NotAuthorizedSequencer, InvalidSequenceRange, EmptyRoot,
    /// HeadMismatch.
    function extendChains(Link[] calldata links) external whenWriting returns (uint256 extended) {
        if (links.length == 0) revert EmptyArray();
        for (uint256 i = 0; i < links.length; ++i) {
            Link calldata link = links[i];
            bytes4 refusal = _extend(link);
            if (refusal == 0) ++extended;
            else emit LinkSkipped(link.streamId, msg.sender, link.sequenceStart, refusal);
        }
    }

    function _extend(Link calldata link) private returns (bytes4 refusal) {
        bytes32 stream = link.streamId;
        if (!isWriter(stream, msg.sender)) return NotAuthorizedSequencer.selector;
        (uint64 start, uint64 end) = (link.sequenceStart, link.sequenceEnd);
        if (!Ves.isRange(start, end)) return InvalidSequenceRange.selector;
        if (link.eventsRoot == 0) return EmptyRoot.selector;
        bytes32 stateRoot = _stateRootAfter(link);
        bytes32 next = _head(stateRoot, end + 1);
        bytes32 head = _heads[stream];
        if (head == next) return 0;
        if (head != _head(link.prevStateRoot, start)) return HeadMismatch.selector;
        _heads[stream] = next;
        emit ChainExtended(stream, link.eventsRoot, stateRoot, start, end);
    }

    /// @notice Whether the chain ends with this state root and goes on at this number.
    function isHead(bytes32 stream, bytes32 stateRoot, uint64 nextSequence) external view returns (bool) {
        return _heads[stream] == _head(stateRoot, nextSequence);
    }

    /// @notice Whether a leaf stands in the first of `links`, where the links lead from that batch to the chain's head.
    /// The chain needs no slot for the batch: the head's state root fixes every link before it.
    /// @param leaf Leaf hash of an event (VES 13.1), computed by the caller from the event.
    /// @param proof `proof_path` of the sequencer's answer; its `leaf_index` is `sequence` minus the batch's first.
    function verifyChained(Link[] calldata links, bytes32 leaf, bytes32[] calldata proof, uint64 sequence)
        external
        view
        returns (bool)
    {
        if (links.length == 0) return false;
        Link calldata first = links[0];
        if (!_stands(leaf, proof, sequence, first.eventsRoot, first.sequenceStart, first.sequenceEnd)) return false;
        bytes32 stateRoot = first.prevStateRoot;
        uint64 next = first.sequenceStart;
        for (uint256 i = 0; i < links.length; ++i) {
            Link calldata link = links[i];
            if (link.streamId != first.streamId || link.prevStateRoot != stateRoot) return false;
            if (link.sequenceStart != next || !Ves.isRange(next, link.sequenceEnd)) return false;
            stateRoot = _stateRootAfter(link);
            next = link.sequenceEnd + 1;
        }
        return _heads[first.streamId] == _head(stateRoot, next);
    }

    /// Whether the leaf of `sequence` leads to the root of a batch of this range.
    function _stands(
        bytes32 leaf,
        bytes32[] calldata proof,
        uint64 sequence,
        bytes32 eventsRoot,
        uint64 start,
        uint64 end
    ) private view returns (bool) {
        if (!Ves.isRange(start, end) || sequence < start) return false;
        uint256 count = end - start + 1;
        uint256 index = sequence - start;
        return PrefixedTree.hasShape(count, index, proof.length) && Ves.climb(leaf, proof, index) == eventsRoot;
    }

    function _stateRootAfter(Link calldata link) private pure returns (bytes32) {
        return Ves.stateRoot(link.streamId, link.prevStateRoot, link.eventsRoot, link.sequenceStart, link.sequenceEnd);
    }

    function _head(bytes32 stateRoot, uint64 nextSequence) private pure returns (bytes32) {
        return keccak256(abi.encode(stateRoot, nextSequence));
    }

    function _rootKey(address anchorer, bytes32 root) private pure returns (bytes32) {
        return keccak256(abi.encode(anchorer, root));
    }
}
