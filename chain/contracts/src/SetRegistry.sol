// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Governed} from "./access/Governed.sol";
import {StreamRoles} from "./access/StreamRoles.sol";
import {PrefixedTree} from "./libraries/PrefixedTree.sol";
import {Ves} from "./libraries/Ves.sol";

/// @title The registry of closed event batches
/// @notice Each stream (a tenant's store) is one chain of batches: no gap, no overlap, one history of state roots, written
/// only by the stream's own writers. Roots are those of the sequencer, so a proof from it verifies here unchanged.
///
/// What is kept: a head of two slots for each stream, and one slot for each batch, which holds a hash of the batch's roots
/// and range. Whoever asks brings roots and range along (they stand in the event and in the sequencer's answer).
///
/// Not upgradeable: what was anchored must not depend on who holds a key today. A new version is a new address, whose
/// streams start from a checkpoint of the old one ({openCheckpoint}).
///
/// Ids of tenants, stores and batches are UUIDs: 16 bytes, then 16 zero bytes. Sequence numbers are 0 to 2^63 - 1.
contract SetRegistry is StreamRoles {
    /// @notice The end of a stream's chain.
    /// @param stateRoot State root after the last batch; zero before the first.
    /// @param nextSequence Number that the next batch has to start with.
    /// @param batchCount Batches committed here.
    /// @param anchoredAt Time of the last commit in Unix seconds; 0 before the first.
    /// @param number The stream's place among the streams of this contract, from 1; 0 when it was never opened.
    /// @param fromCheckpoint Whether the history before this contract has to be taken from elsewhere.
    struct Head {
        bytes32 stateRoot;
        uint64 nextSequence;
        uint32 batchCount;
        uint40 anchoredAt;
        uint32 number;
        bool fromCheckpoint;
    }

    /// A {Head} as it is stored. Below each other in `rest`, from the lowest bit: 64 bits of `nextSequence`, 32 of
    /// `batchCount`, 40 of `anchoredAt`, 32 of `number`, 1 of `fromCheckpoint`. By hand, since a commit then reads and
    /// writes each slot once.
    struct PackedHead {
        bytes32 stateRoot;
        uint256 rest;
    }

    /// What is kept of a batch. Upper 224 bits: those of the hash of root and facts. Lower 32 bits: number of the stream.
    struct Record {
        bytes32 fixedBytes;
    }

    /// @notice A batch to commit; the arguments of {commitBatch}.
    struct Batch {
        bytes32 batchId;
        bytes32 tenantId;
        bytes32 storeId;
        bytes32 eventsRoot;
        bytes32 prevStateRoot;
        bytes32 newStateRoot;
        uint64 sequenceStart;
        uint64 sequenceEnd;
        uint32 eventCount;
    }

    /// @notice What somebody says of a batch by a STARK proof; the arguments of {commitStarkProof}.
    struct StarkClaim {
        bytes32 proofHash;
        bytes32 policyHash;
        uint64 policyLimit;
        bool allCompliant;
        uint64 proofSize;
        uint64 provingTimeMs;
    }

    /// @notice What a batch's slot fixes besides its tree.
    /// @param newStateRoot State root after the batch.
    /// @param sequenceStart First sequence number.
    /// @param sequenceEnd Last sequence number, inclusive.
    struct BatchFacts {
        bytes32 newStateRoot;
        uint64 sequenceStart;
        uint64 sequenceEnd;
    }

    /// @notice An event as its leaf commits to it (VES 13.1).
    /// @param sequence The event's number in its stream.
    /// @param signingHash Hash that the agent signed.
    /// @param signature The stored signature field, 64 bytes.
    struct EventLeaf {
        bytes32 tenantId;
        bytes32 storeId;
        uint64 sequence;
        bytes32 signingHash;
        bytes signature;
    }

    /// @notice Number of streams ever opened.
    uint32 public streamCount;

    mapping(bytes32 streamKey => PackedHead) private _heads;
    mapping(uint32 number => bytes32) private _streamKeys;
    mapping(bytes32 batchId => Record) private _records;
    mapping(bytes32 batchId => bytes32) private _claims;

    /// @notice A stream begins, with its first batch to come.
    event StreamOpened(
        bytes32 indexed tenantStoreKey,
        bytes32 indexed tenantId,
        bytes32 indexed storeId,
        uint32 number,
        uint64 firstSequence,
        address admin
    );
    /// @notice A stream begins in the middle: what came before is not proven by this contract.
    event StreamOpenedAtCheckpoint(
        bytes32 indexed tenantStoreKey,
        bytes32 indexed tenantId,
        bytes32 indexed storeId,
        uint32 number,
        uint64 nextSequence,
        bytes32 stateRoot,
        address admin
    );
    /// @notice A batch is anchored. Its `prevStateRoot` is the `newStateRoot` of the stream's event before.
    event BatchCommitted(
        bytes32 indexed batchId,
        bytes32 indexed tenantStoreKey,
        bytes32 eventsRoot,
        bytes32 newStateRoot,
        uint64 sequenceStart,
        uint64 sequenceEnd,
        uint32 eventCount
    );
    /// @notice Another stream had used this batch id before, so the batch is kept under `scopedId`.
    event BatchIdTaken(bytes32 indexed batchId, bytes32 indexed tenantStoreKey, bytes32 scopedId);
    /// @notice A batch of {commitBatches} was left out; `reason` is the error that {commitBatch} would have given.
    /// Anybody can have batches refused, so look at `sender`.
    event BatchSkipped(bytes32 indexed batchId, bytes32 indexed tenantStoreKey, address indexed sender, bytes reason);
    /// @notice A claim about a batch was recorded. The proof itself was not verified on chain.
    event StarkProofClaimed(
        bytes32 indexed batchId,
        bytes32 proofHash,
        bytes32 policyHash,
        uint64 policyLimit,
        bool allCompliant,
        uint64 proofSize,
        uint64 provingTimeMs
    );

    /// @notice Not a UUID: 16 bytes that are not all zero, then 16 zero bytes.
    error InvalidUuid(bytes32 id);
    /// @notice A stream starts at 0 or at 1; elsewhere only by {openCheckpoint}.
    error InvalidFirstSequence(uint64 provided);
    /// @notice The stream is open already.
    error StreamAlreadyOpen(bytes32 tenantStoreKey);
    /// @notice The range ends before it starts, or beyond 2^63 - 1, or holds 2^32 numbers or more.
    error InvalidSequenceRange();
    /// @notice The range holds `expected` events, not `provided`.
    error InvalidEventCount(uint64 expected, uint32 provided);
    /// @notice The events root is zero.
    error EmptyEventsRoot();
    /// @notice A state root that must not be zero is zero.
    error EmptyStateRoot();
    /// @notice The stream has another batch under this id.
    error BatchAlreadyCommitted();
    /// @notice The stream's state root is `expected`, the batch continues `provided`.
    error StateRootMismatch(bytes32 expected, bytes32 provided);
    /// @notice The stream goes on at `expected`; the batch leaves a gap or overlaps.
    error SequenceGap(uint64 expected, uint64 provided);
    /// @notice No batch is kept under this id.
    error BatchNotCommitted();
    /// @notice The batch has a claim already, and it says something else.
    error StarkProofAlreadyCommitted();
    /// @notice The list is empty.
    error EmptyArray();

    /// @param owner_ Opens streams and unpauses; a timelock or multisig.
    /// @param pauser_ May pause; zero for nobody besides the owner.
    constructor(address owner_, address pauser_) Governed(owner_, pauser_) {}

    // Opening

    /// @notice Opens a stream: fixes its first number, its admin and its first writers.
    /// @param firstSequence 1 for streams of the sequencer, 0 for those that count from zero.
    /// @dev Errors: NotOwner, InvalidUuid, InvalidFirstSequence, StreamAlreadyOpen, InvalidAddress.
    function openStream(
        bytes32 tenantId,
        bytes32 storeId,
        uint64 firstSequence,
        address admin,
        address[] calldata writers
    ) external onlyOwner {
        if (firstSequence > 1) revert InvalidFirstSequence(firstSequence);
        (bytes32 key, uint32 number) = _open(tenantId, storeId, Head(0, firstSequence, 0, 0, 0, false), admin, writers);
        emit StreamOpened(key, tenantId, storeId, number, firstSequence, admin);
    }

    /// @notice Opens a stream whose earlier batches are anchored elsewhere; visible in the head for ever.
    /// @param nextSequence Number that the first batch here has to start with.
    /// @param stateRoot State root after the last batch elsewhere, not zero.
    /// @dev Errors: NotOwner, InvalidUuid, InvalidSequenceRange, EmptyStateRoot, StreamAlreadyOpen, InvalidAddress.
    function openCheckpoint(
        bytes32 tenantId,
        bytes32 storeId,
        uint64 nextSequence,
        bytes32 stateRoot,
        address admin,
        address[] calldata writers
    ) external onlyOwner {
        if (nextSequence > Ves.SEQUENCE_MAX) revert InvalidSequenceRange();
        if (stateRoot == 0) revert EmptyStateRoot();
        (bytes32 key, uint32 number) =
            _open(tenantId, storeId, Head(stateRoot, nextSequence, 0, 0, 0, true), admin, writers);
        emit StreamOpenedAtCheckpoint(key, tenantId, storeId, number, nextSequence, stateRoot, admin);
    }

    function _open(bytes32 tenantId, bytes32 storeId, Head memory head, address admin, address[] calldata writers)
        private
        returns (bytes32 key, uint32 number)
    {
        if (!Ves.isUuid(tenantId)) revert InvalidUuid(tenantId);
        if (!Ves.isUuid(storeId)) revert InvalidUuid(storeId);
        key = streamKey(tenantId, storeId);
        PackedHead storage kept = _heads[key];
        if (kept.rest != 0) revert StreamAlreadyOpen(key);
        number = ++streamCount;
        kept.stateRoot = head.stateRoot;
        kept.rest = uint256(number) << 136 | (head.fromCheckpoint ? 1 << 168 : 0) | head.nextSequence;
        _streamKeys[number] = key;
        _openRoles(key, admin, writers);
    }

    // Writing

    /// @notice Anchors one closed batch.
    /// @param batchId Id of the batch, unique in its stream.
    /// @param eventsRoot Root of the batch's tree (VES 13.2), not zero.
    /// @param prevStateRoot State root before the batch: that of the head; zero for a stream's first.
    /// @param newStateRoot State root after it, not zero. Not computed here, since streams of the older form have another
    /// rule; {Ves-stateRoot} is the rule of signed events, and readers check it from the events of this contract.
    /// @param eventCount `sequenceEnd - sequenceStart + 1`.
    /// @dev Sending the same batch again changes nothing and emits nothing, so a lost answer can be repeated; the state
    /// root before it is not asked for then. Errors in this order: WritingPaused, NotAuthorizedSequencer, InvalidUuid,
    /// InvalidSequenceRange, InvalidEventCount, EmptyEventsRoot, EmptyStateRoot, BatchAlreadyCommitted,
    /// StateRootMismatch, SequenceGap.
    function commitBatch(
        bytes32 batchId,
        bytes32 tenantId,
        bytes32 storeId,
        bytes32 eventsRoot,
        bytes32 prevStateRoot,
        bytes32 newStateRoot,
        uint64 sequenceStart,
        uint64 sequenceEnd,
        uint32 eventCount
    ) external whenWriting {
        Batch calldata batch;
        assembly ("memory-safe") {
            // The arguments are the members of a batch, one after another behind the selector. Named, they were checked.
            batch := 4
            pop(or(batchId, or(tenantId, or(storeId, or(eventsRoot, prevStateRoot)))))
            pop(or(newStateRoot, or(sequenceStart, or(sequenceEnd, eventCount))))
        }
        _commitOrRevert(batch);
    }

    /// @notice Anchors batches of any number of streams. One that is refused is left out with {BatchSkipped} and does not
    /// hold up the others.
    /// @dev Batches of one stream go in order. Errors: WritingPaused, EmptyArray.
    function commitBatches(Batch[] calldata batches) external whenWriting {
        if (batches.length == 0) revert EmptyArray();
        for (uint256 i = 0; i < batches.length; ++i) {
            Batch calldata batch = batches[i];
            (, bytes memory refusal) = _commit(batch);
            if (refusal.length != 0) {
                emit BatchSkipped(batch.batchId, streamKey(batch.tenantId, batch.storeId), msg.sender, refusal);
            }
        }
    }

    /// @notice Records what a STARK proof of the batch is said to show. A claim of the stream's writer: the proof is not
    /// verified on chain. Whoever relies on it fetches the proof, checks its hash and verifies it.
    /// @param batchId The batch's id, or its {scopedBatchId} where another stream had used the id before.
    /// @param proofHash Hash of the proof (VES 17.4).
    /// @param policyHash Hash of the policy (VES 17.1).
    /// @param policyLimit The policy's limit, in its own unit.
    /// @param proofSize Bytes; told by the event only.
    /// @param provingTimeMs Milliseconds; told by the event only.
    /// @dev One claim a batch; the same one again changes nothing. Errors: WritingPaused, BatchNotCommitted,
    /// NotAuthorizedSequencer, StarkProofAlreadyCommitted.
    function commitStarkProof(
        bytes32 batchId,
        bytes32 proofHash,
        bytes32 policyHash,
        uint64 policyLimit,
        bool allCompliant,
        uint64 proofSize,
        uint64 provingTimeMs
    ) external whenWriting {
        bytes32 record = _records[batchId].fixedBytes;
        if (record == 0) revert BatchNotCommitted();
        if (!isWriter(_streamKeys[uint32(uint256(record))], msg.sender)) revert NotAuthorizedSequencer();
        _claim(batchId, record, StarkClaim(proofHash, policyHash, policyLimit, allCompliant, proofSize, provingTimeMs));
    }

    /// @notice {commitBatch} and {commitStarkProof} in one: both or nothing.
    function commitBatchWithStarkProof(Batch calldata batch, StarkClaim calldata claim) external whenWriting {
        bytes32 kept = _commitOrRevert(batch);
        _claim(kept, _records[kept].fixedBytes, claim);
    }

    function _commitOrRevert(Batch calldata batch) private returns (bytes32 kept) {
        bytes memory refusal;
        (kept, refusal) = _commit(batch);
        if (refusal.length != 0) {
            assembly ("memory-safe") {
                revert(add(refusal, 32), mload(refusal))
            }
        }
    }

    /// Written for gas: members of `batch` are read where they lie, and what is wrong is asked only when something is.
    /// @return kept Id under which the batch is kept.
    /// @return refusal Error why it is not anchored; empty when it is.
    function _commit(Batch calldata batch) private returns (bytes32 kept, bytes memory refusal) {
        bytes32 key = streamKey(batch.tenantId, batch.storeId);
        if (!isWriter(key, msg.sender)) return (kept, abi.encodeWithSelector(NotAuthorizedSequencer.selector));
        if (!_isSound(batch)) return (kept, _faultOf(batch));
        PackedHead storage head = _heads[key];
        uint256 rest = head.rest;
        (uint256 told, bytes32 fixedBytes) = _toldOf(batch, uint32(rest >> 136));
        Record storage record;
        bytes32 found;
        (kept, record, found) = _place(batch.batchId, key, uint32(rest >> 136));
        if (found == fixedBytes) return (kept, refusal);
        if (found != 0) return (kept, abi.encodeWithSelector(BatchAlreadyCommitted.selector));
        bytes32 stateRoot = head.stateRoot;
        if (!_continues(batch, stateRoot, rest)) return (kept, _breakOf(batch, stateRoot, uint64(rest)));
        record.fixedBytes = fixedBytes;
        _advance(head, rest, batch);
        if (kept != batch.batchId) emit BatchIdTaken(batch.batchId, key, kept);
        _announce(batch, key, told);
    }

    /// Whether a sound batch begins where the stream ends.
    function _continues(Batch calldata batch, bytes32 stateRoot, uint256 rest) private pure returns (bool) {
        uint256 differs;
        assembly ("memory-safe") {
            differs := or(
                xor(stateRoot, calldataload(add(batch, 0x80))),
                xor(and(rest, 0xffffffffffffffff), calldataload(add(batch, 0xc0)))
            )
        }
        return differs == 0;
    }

    /// How a batch fails to continue its chain.
    function _breakOf(Batch calldata batch, bytes32 stateRoot, uint64 nextSequence)
        private
        pure
        returns (bytes memory refusal)
    {
        if (stateRoot != batch.prevStateRoot) {
            return abi.encodeWithSelector(StateRootMismatch.selector, stateRoot, batch.prevStateRoot);
        }
        return abi.encodeWithSelector(SequenceGap.selector, nextSequence, batch.sequenceStart);
    }

    function _advance(PackedHead storage head, uint256 rest, Batch calldata batch) private {
        head.stateRoot = batch.newStateRoot;
        assembly ("memory-safe") {
            // The count wraps after 2^32 batches; the end was checked to be below 2^63.
            let batchCount := and(add(shr(64, rest), 1), 0xffffffff)
            let moved := or(shl(96, timestamp()), or(shl(64, batchCount), add(calldataload(add(batch, 0xe0)), 1)))
            sstore(add(head.slot, 1), or(shl(136, shr(136, rest)), moved))
        }
    }

    /// What {BatchCommitted} tells of a batch, as it lies in memory, and what its record holds: the hash over all of that but
    /// the count.
    function _toldOf(Batch calldata batch, uint32 streamNumber)
        private
        pure
        returns (uint256 told, bytes32 fixedBytes)
    {
        bytes32 hash;
        assembly ("memory-safe") {
            told := mload(0x40)
            mstore(0x40, add(told, 0xa0))
            mstore(told, calldataload(add(batch, 0x60)))
            calldatacopy(add(told, 0x20), add(batch, 0xa0), 0x80)
            hash := keccak256(told, 0x80)
        }
        fixedBytes = _numbered(hash, streamNumber);
    }

    /// {BatchCommitted}.
    function _announce(Batch calldata batch, bytes32 key, uint256 told) private {
        bytes32 topic = BatchCommitted.selector;
        assembly ("memory-safe") {
            log3(told, 0xa0, topic, calldataload(batch), key)
        }
    }

    /// Whether {_faultOf} finds nothing.
    function _isSound(Batch calldata batch) private pure returns (bool sound) {
        uint256 sequenceMax = Ves.SEQUENCE_MAX;
        assembly ("memory-safe") {
            let id := calldataload(batch)
            let start := calldataload(add(batch, 0xc0))
            let end := calldataload(add(batch, 0xe0))
            let count := calldataload(add(batch, 0x100))
            // The count is below 2^32 and equal to that of the range, so the range is in order and not too long.
            let wrong := or(xor(sub(add(end, 1), start), count), shr(32, count))
            wrong := or(wrong, or(gt(start, end), gt(end, sequenceMax)))
            wrong := or(wrong, or(iszero(id), shl(128, id)))
            wrong := or(wrong, or(iszero(calldataload(add(batch, 0x60))), iszero(calldataload(add(batch, 0xa0)))))
            sound := iszero(wrong)
        }
    }

    /// What can be said against a batch by itself.
    function _faultOf(Batch calldata batch) private pure returns (bytes memory refusal) {
        if (!Ves.isUuid(batch.batchId)) return abi.encodeWithSelector(InvalidUuid.selector, batch.batchId);
        if (!Ves.isRange(batch.sequenceStart, batch.sequenceEnd)) {
            return abi.encodeWithSelector(InvalidSequenceRange.selector);
        }
        uint64 count;
        unchecked {
            count = batch.sequenceEnd - batch.sequenceStart + 1;
        }
        if (count != batch.eventCount) {
            return abi.encodeWithSelector(InvalidEventCount.selector, count, batch.eventCount);
        }
        if (batch.eventsRoot == 0) return abi.encodeWithSelector(EmptyEventsRoot.selector);
        if (batch.newStateRoot == 0) return abi.encodeWithSelector(EmptyStateRoot.selector);
        // Nothing else is wrong: what {_isSound} and this say of a batch must not differ.
        assert(false);
    }

    /// Where a batch of this stream is kept, and what is there. A batch id is a UUID, a scoped id ends in other bytes than
    /// zeros: so no stream can take an id from another, neither this one nor that.
    function _place(bytes32 batchId, bytes32 key, uint32 number)
        private
        view
        returns (bytes32 kept, Record storage record, bytes32 found)
    {
        kept = batchId;
        record = _records[batchId];
        found = record.fixedBytes;
        // Kept under the scoped id before, if at all; only then was the plain one taken, and it still is.
        if (found != 0 && uint32(uint256(found)) != number) {
            kept = _hashOfPair(key, batchId);
            record = _records[kept];
            found = record.fixedBytes;
        }
    }

    function _claim(bytes32 batchId, bytes32 record, StarkClaim memory claim) private {
        bytes32 hash = _claimHash(record, claim.proofHash, claim.policyHash, claim.policyLimit, claim.allCompliant);
        bytes32 found = _claims[batchId];
        if (found == hash) return;
        if (found != 0) revert StarkProofAlreadyCommitted();
        _claims[batchId] = hash;
        emit StarkProofClaimed(
            batchId,
            claim.proofHash,
            claim.policyHash,
            claim.policyLimit,
            claim.allCompliant,
            claim.proofSize,
            claim.provingTimeMs
        );
    }

    // Checking

    /// @notice Whether `leaf` stands at `index` of the batch's tree. True only for a leaf of a real event: not for
    /// padding, an inner node, another index or a path of another length. False for an unknown batch.
    /// @param batchId The batch's id, or its {scopedBatchId}.
    /// @param leaf Leaf hash. Compute it from the event, never take it from the sender of the proof: which tenant, store
    /// and sequence number it belongs to is not proven here. {verifyEvent} computes it.
    /// @param proof `proof_path` of the sequencer's answer: siblings from the bottom up.
    /// @param index `leaf_index`: sequence number minus the batch's first.
    /// @param facts State root and range of the batch, from its event or from the sequencer.
    function verifyInclusion(
        bytes32 batchId,
        bytes32 leaf,
        bytes32[] calldata proof,
        uint256 index,
        BatchFacts calldata facts
    ) external view returns (bool) {
        return _includes(batchId, leaf, proof, index, facts);
    }

    /// @notice Whether this very event, of this tenant, store and sequence number, is in the batch.
    /// @param proof `proof_path` of the sequencer's answer.
    /// @param facts State root and range of the batch.
    function verifyEvent(bytes32 batchId, EventLeaf calldata leaf, bytes32[] calldata proof, BatchFacts calldata facts)
        external
        view
        returns (bool)
    {
        if (!Ves.isUuid(leaf.tenantId) || !Ves.isUuid(leaf.storeId) || leaf.signature.length != 64) return false;
        if (leaf.sequence < facts.sequenceStart || leaf.sequence > facts.sequenceEnd) return false;
        if (_streamKeys[uint32(uint256(_records[batchId].fixedBytes))] != streamKey(leaf.tenantId, leaf.storeId)) {
            return false;
        }
        bytes32 hash = Ves.leaf(leaf.tenantId, leaf.storeId, leaf.sequence, leaf.signingHash, leaf.signature);
        return _includes(batchId, hash, proof, leaf.sequence - facts.sequenceStart, facts);
    }

    function _includes(
        bytes32 batchId,
        bytes32 leaf,
        bytes32[] calldata proof,
        uint256 index,
        BatchFacts calldata facts
    ) private view returns (bool) {
        if (!Ves.isRange(facts.sequenceStart, facts.sequenceEnd)) return false;
        uint256 count = facts.sequenceEnd - facts.sequenceStart + 1;
        if (!PrefixedTree.hasShape(count, index, proof.length)) return false;
        return verifyBatch(batchId, Ves.climb(leaf, proof, index), facts);
    }

    /// @notice Whether exactly this batch is anchored under this id. False for an unknown one.
    function verifyBatch(bytes32 batchId, bytes32 eventsRoot, BatchFacts memory facts) public view returns (bool) {
        bytes32 record = _records[batchId].fixedBytes;
        return record != 0
            && record
                == _record(
                uint32(uint256(record)), eventsRoot, facts.newStateRoot, facts.sequenceStart, facts.sequenceEnd
            );
    }

    /// @notice Whether exactly this claim was recorded for the batch. Says nothing of the proof itself.
    function verifyStarkClaim(
        bytes32 batchId,
        bytes32 proofHash,
        bytes32 policyHash,
        uint64 policyLimit,
        bool allCompliant
    ) external view returns (bool) {
        bytes32 claim = _claims[batchId];
        return claim != 0
            && claim == _claimHash(_records[batchId].fixedBytes, proofHash, policyHash, policyLimit, allCompliant);
    }

    // Reading

    /// @notice Whether a batch is kept under this id.
    function batchExists(bytes32 batchId) external view returns (bool) {
        return _records[batchId].fixedBytes != 0;
    }

    /// @notice Whether a claim is recorded for the batch.
    function hasStarkProof(bytes32 batchId) external view returns (bool) {
        return _claims[batchId] != 0;
    }

    /// @notice Stream of the batch; zero when no batch is kept under this id.
    function streamOfBatch(bytes32 batchId) external view returns (bytes32 tenantStoreKey) {
        return _streamKeys[uint32(uint256(_records[batchId].fixedBytes))];
    }

    /// @notice The end of a stream's chain; `number` is 0 when the stream was never opened.
    function getHead(bytes32 tenantId, bytes32 storeId) external view returns (Head memory) {
        PackedHead storage head = _heads[streamKey(tenantId, storeId)];
        uint256 rest = head.rest;
        return Head({
            stateRoot: head.stateRoot,
            nextSequence: uint64(rest),
            batchCount: uint32(rest >> 64),
            anchoredAt: uint40(rest >> 96),
            number: uint32(rest >> 136),
            fromCheckpoint: rest >> 168 != 0
        });
    }

    /// @notice State root after the stream's last batch; zero before the first.
    function getLatestStateRoot(bytes32 tenantId, bytes32 storeId) external view returns (bytes32) {
        return _heads[streamKey(tenantId, storeId)].stateRoot;
    }

    /// @notice Name of a stream in this contract: Keccak-256 of both ids.
    function streamKey(bytes32 tenantId, bytes32 storeId) public pure returns (bytes32) {
        return _hashOfPair(tenantId, storeId);
    }

    /// @notice Id under which a stream's batch is kept where another stream had used its id before ({BatchIdTaken}).
    function scopedBatchId(bytes32 tenantId, bytes32 storeId, bytes32 batchId) external pure returns (bytes32) {
        return _hashOfPair(streamKey(tenantId, storeId), batchId);
    }

    function _record(
        uint32 streamNumber,
        bytes32 eventsRoot,
        bytes32 newStateRoot,
        uint64 sequenceStart,
        uint64 sequenceEnd
    ) private pure returns (bytes32) {
        bytes32 hash = keccak256(abi.encode(eventsRoot, newStateRoot, sequenceStart, sequenceEnd));
        return _numbered(hash, streamNumber);
    }

    function _numbered(bytes32 hash, uint32 streamNumber) private pure returns (bytes32) {
        return bytes32((uint256(hash) >> 32 << 32) | streamNumber);
    }

    /// Keccak-256 of two words.
    function _hashOfPair(bytes32 left, bytes32 right) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            mstore(0x00, left)
            mstore(0x20, right)
            hash := keccak256(0x00, 0x40)
        }
    }

    function _claimHash(bytes32 record, bytes32 proofHash, bytes32 policyHash, uint64 policyLimit, bool allCompliant)
        private
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(record, proofHash, policyHash, policyLimit, allCompliant));
    }
}
