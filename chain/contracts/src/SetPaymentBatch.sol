// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Governed} from "./access/Governed.sol";
import {IEip3009} from "./interfaces/IEip3009.sol";
import {PrefixedTree} from "./libraries/PrefixedTree.sol";
import {Ves} from "./libraries/Ves.sol";

/// @title Payments settled in batches, each by the payer's own authorization
/// @notice Money moves from payer to payee inside the token, on an EIP-3009 authorization that the payer signed. This
/// contract never holds money and needs no allowance; a settler can neither change a payee or an amount nor move anything
/// twice, since the token checks signature and nonce of each payment. A payment that fails is reported and leaves the rest
/// settled.
///
/// Not upgradeable: a payer who reads this code knows what it will do. Amounts are in the token's smallest unit, times in
/// Unix seconds. Payers are accounts with a key; authorizations of contract wallets are settled with the token directly.
contract SetPaymentBatch is Governed {
    /// @notice One payment as its payer authorized it.
    /// @param intentId Id of the intent in the sequencer; joined to the payment by the settler, not signed by the payer.
    /// @param nonce 32 bytes that the payer chose; used once.
    /// @param v Of the signature over EIP-712 `TransferWithAuthorization`, with `r` and `s`.
    struct Payment {
        bytes32 intentId;
        address from;
        address to;
        uint256 value;
        uint256 validAfter;
        uint256 validBefore;
        bytes32 nonce;
        uint8 v;
        bytes32 r;
        bytes32 s;
    }

    /// @notice Which batch of the sequencer the payments are of.
    /// @param batchId Id of the batch.
    /// @param merkleRoot Root of the tree over its intents, not zero. The settler's word: not computed from the payments.
    /// @param tenantStoreKey Keccak-256 of tenant id and store id.
    /// @param token The one token of the batch.
    /// @param sequenceStart First number among its intents.
    /// @param sequenceEnd Last, inclusive.
    /// @param intentCount Leaves of the tree; at least the number of payments, since some intents carry no authorization.
    struct BatchTerms {
        bytes32 batchId;
        bytes32 merkleRoot;
        bytes32 tenantStoreKey;
        address token;
        uint64 sequenceStart;
        uint64 sequenceEnd;
        uint32 intentCount;
    }

    /// @notice What became of a batch.
    /// @param totalSettled Sum of the payments that settled.
    /// @param intentCount Leaves of the tree.
    /// @param settledAt Unix seconds; 0 when the batch is unknown.
    struct Settlement {
        bytes32 merkleRoot;
        uint128 totalSettled;
        uint32 intentCount;
        uint16 paymentCount;
        uint16 settledCount;
        uint40 settledAt;
    }

    /// @notice Bounds for a token.
    /// @param minAmount Least amount of one payment.
    /// @param maxAmount Largest amount of one payment.
    /// @param dailyLimit Most that settles in one UTC day.
    /// @param dailyVolume What settled on `day`.
    /// @param day Days since 1970 of the last settlement.
    struct AssetConfig {
        bool enabled;
        uint112 minAmount;
        uint112 maxAmount;
        uint112 dailyLimit;
        uint112 dailyVolume;
        uint32 day;
    }

    /// @notice Most payments in a batch: one bit each in the event, and the whole below the gas cap of a transaction.
    uint256 public constant PAYMENTS_MAX = 250;
    /// @notice Gas that each payment gets, always all of it: so what settles does not depend on the settler's gas limit.
    uint256 public constant PAYMENT_GAS = 150_000;
    /// A call leaves 1/64 of the gas with its caller, so this much has to be there for a payment to get its share.
    uint256 private constant GAS_LEFT_MIN = PAYMENT_GAS * 64 / 63 + 40_000;
    /// Bytes of a payment in the calldata: ten words.
    uint256 private constant PAYMENT_BYTES = 320;
    /// Bytes of a token's refusal that are passed on.
    uint256 private constant REASON_BYTES_MAX = 164;

    /// @notice Who may settle batches.
    mapping(address => bool) public isSettler;

    mapping(bytes32 settlerAndBatch => Settlement) private _settlements;
    mapping(address token => AssetConfig) private _assets;
    /// Set while a batch is settled: a token that calls back must not settle another in between.
    bool private transient _settling;

    /// @notice `settler` may, or may no longer, settle batches.
    event SettlerSet(address indexed settler, bool allowed);
    /// @notice The bounds of a token changed.
    event AssetConfigured(
        address indexed token, bool enabled, uint256 minAmount, uint256 maxAmount, uint256 dailyLimit
    );
    /// @notice A payment did not settle and moved nothing. `reason` is the first bytes of the token's refusal, or an error
    /// of this contract; empty where the token gave none.
    event PaymentFailed(
        bytes32 indexed batchId, bytes32 indexed intentId, address indexed payer, bytes32 nonce, bytes reason
    );
    /// @notice A batch was settled as far as it could be.
    /// @param settled Bit i is set when payment i settled; `intentIds` are in the order of the payments. Amounts, payers
    /// and payees stand in the token's own events `Transfer` and `AuthorizationUsed`.
    event BatchSettled(
        bytes32 indexed batchId,
        bytes32 indexed tenantStoreKey,
        address indexed token,
        address settler,
        bytes32 merkleRoot,
        uint64 sequenceStart,
        uint64 sequenceEnd,
        uint32 intentCount,
        uint128 totalSettled,
        uint256 settled,
        bytes32[] intentIds
    );

    /// @notice The caller may not settle batches.
    error NotSettler();
    /// @notice This settler has settled the batch before.
    error BatchAlreadySettled(bytes32 batchId);
    /// @notice The token called back while a batch was being settled.
    error Reentered();
    /// @notice The root is zero.
    error EmptyRoot();
    /// @notice The range ends before it starts, or beyond 2^63 - 1, or holds fewer numbers than intents.
    error InvalidSequenceRange();
    /// @notice A batch has 1 to 250 payments, and no more than intents.
    error InvalidPaymentCount(uint256 provided);
    /// @notice The token is not enabled here.
    error AssetNotEnabled(address token);
    /// @notice A token is a contract, and its bounds are in order: 0 < least <= largest <= daily limit.
    error InvalidAsset(address token);
    /// @notice Too little gas to give payment `index` its share; nothing settled. Send fewer payments or more gas.
    error GasTooLow(uint256 index);
    /// @notice A payment's amount lies outside the token's bounds (reason of {PaymentFailed}).
    error AmountOutOfBounds(uint256 value);
    /// @notice The token's daily limit would be passed (reason of {PaymentFailed}).
    error DailyLimitReached(uint256 value);

    /// @param owner_ Names settlers and tokens and unpauses; a timelock or multisig.
    /// @param pauser_ May pause; zero for nobody besides the owner.
    constructor(address owner_, address pauser_) Governed(owner_, pauser_) {}

    /// @notice Lets `settler` settle batches, or no longer.
    function setSettler(address settler, bool allowed) external onlyOwner {
        if (settler == address(0)) revert InvalidAddress();
        isSettler[settler] = allowed;
        emit SettlerSet(settler, allowed);
    }

    /// @notice Sets the bounds of a token with EIP-3009; not enabled means that no batch of it settles. The day's volume
    /// goes on. Enable only tokens that revert when they do not move the money.
    /// @param minAmount Least amount of one payment, more than 0.
    /// @param maxAmount Largest amount of one payment.
    /// @param dailyLimit Most that settles in one UTC day.
    function configureAsset(address token, bool enabled, uint112 minAmount, uint112 maxAmount, uint112 dailyLimit)
        external
        onlyOwner
    {
        if (token.code.length == 0 || minAmount == 0 || minAmount > maxAmount || maxAmount > dailyLimit) {
            revert InvalidAsset(token);
        }
        AssetConfig storage asset = _assets[token];
        asset.enabled = enabled;
        asset.minAmount = minAmount;
        asset.maxAmount = maxAmount;
        asset.dailyLimit = dailyLimit;
        emit AssetConfigured(token, enabled, minAmount, maxAmount, dailyLimit);
    }

    /// @notice Settles the payments of one batch, each by its payer's authorization. Those that fail are reported and can
    /// be sent again in another batch; the rest stays settled.
    /// @dev Whether a payment settled is in {BatchSettled}, not in the transaction's status. An authorization that somebody
    /// else has brought to the token fails here with the token's reason, though its money has moved: look for the token's
    /// `AuthorizationUsed`. Errors: WritingPaused, NotSettler, EmptyRoot, InvalidPaymentCount, InvalidSequenceRange,
    /// AssetNotEnabled, BatchAlreadySettled, GasTooLow, Reentered.
    function settleBatch(BatchTerms calldata terms, Payment[] calldata payments) external whenWriting {
        if (!isSettler[msg.sender]) revert NotSettler();
        if (_settling) revert Reentered();
        _settling = true;
        _checkTerms(terms, payments.length);
        AssetConfig memory asset = _assets[terms.token];
        if (!asset.enabled) revert AssetNotEnabled(terms.token);
        Settlement storage settlement = _settlements[_settlementKey(msg.sender, terms.batchId)];
        if (settlement.settledAt != 0) revert BatchAlreadySettled(terms.batchId);
        uint32 day = uint32(block.timestamp / 1 days);
        uint256 room = asset.dailyLimit;
        if (asset.day == day) room -= asset.dailyVolume < room ? asset.dailyVolume : room;
        (uint256 settled, uint256 settledCount, uint256 left) = _payAll(terms, payments, asset, room);
        uint256 total = room - left;

        settlement.merkleRoot = terms.merkleRoot;
        settlement.totalSettled = uint128(total);
        settlement.intentCount = terms.intentCount;
        settlement.paymentCount = uint16(payments.length);
        settlement.settledCount = uint16(settledCount);
        settlement.settledAt = uint40(block.timestamp);
        if (total != 0) {
            AssetConfig storage kept = _assets[terms.token];
            kept.dailyVolume = uint112((asset.day == day ? asset.dailyVolume : 0) + total);
            kept.day = day;
        }
        _report(terms, payments, settled, total);
        _settling = false;
    }

    function _checkTerms(BatchTerms calldata terms, uint256 paymentCount) private pure {
        if (terms.merkleRoot == 0) revert EmptyRoot();
        if (paymentCount == 0 || paymentCount > PAYMENTS_MAX || paymentCount > terms.intentCount) {
            revert InvalidPaymentCount(paymentCount);
        }
        (uint64 start, uint64 end) = (terms.sequenceStart, terms.sequenceEnd);
        if (end < start || end > Ves.SEQUENCE_MAX || end - start < terms.intentCount - 1) {
            revert InvalidSequenceRange();
        }
    }

    function _payAll(BatchTerms calldata terms, Payment[] calldata payments, AssetConfig memory asset, uint256 room)
        private
        returns (uint256 settled, uint256 settledCount, uint256 left)
    {
        left = room;
        (address token, uint256 min, uint256 max) = (terms.token, asset.minAmount, asset.maxAmount);
        Payment calldata payment;
        // Step by step through the calldata: an index would be multiplied and compared at each use.
        assembly ("memory-safe") {
            payment := payments.offset
        }
        for (uint256 i = 0; i < payments.length; ++i) {
            uint256 value = payment.value;
            if (value < min || value > max) {
                _failed(terms, payment, abi.encodeWithSelector(AmountOutOfBounds.selector, value));
            } else if (value > left) {
                _failed(terms, payment, abi.encodeWithSelector(DailyLimitReached.selector, value));
            } else {
                if (gasleft() < GAS_LEFT_MIN) revert GasTooLow(i);
                if (_pay(token, payment)) {
                    // Of 250 payments at most, and no more than was left.
                    unchecked {
                        settled |= 1 << i;
                        ++settledCount;
                        left -= value;
                    }
                } else {
                    _failed(terms, payment, _refusal());
                }
            }
            assembly ("memory-safe") {
                payment := add(payment, PAYMENT_BYTES)
            }
        }
    }

    function _failed(BatchTerms calldata terms, Payment calldata payment, bytes memory reason) private {
        emit PaymentFailed(terms.batchId, payment.intentId, payment.from, payment.nonce, reason);
    }

    /// Asks the token. The words of a payment after its intent id are the arguments of `transferWithAuthorization`, in order.
    function _pay(address token, Payment calldata payment) private returns (bool paid) {
        bytes32 selector = IEip3009.transferWithAuthorization.selector;
        uint256 gasShare = PAYMENT_GAS;
        assembly ("memory-safe") {
            // In free memory that is not kept, so that the last payment of a batch costs what the first does.
            let input := mload(0x40)
            mstore(input, selector)
            calldatacopy(add(input, 4), add(payment, 32), 288)
            paid := call(gasShare, token, 0, input, 292, 0, 0)
        }
    }

    /// The first bytes of what the call before has returned.
    function _refusal() private pure returns (bytes memory reason) {
        uint256 reasonMax = REASON_BYTES_MAX;
        assembly ("memory-safe") {
            let size := returndatasize()
            if gt(size, reasonMax) { size := reasonMax }
            reason := mload(0x40)
            mstore(reason, size)
            returndatacopy(add(reason, 32), 0, size)
            mstore(0x40, add(add(reason, 32), and(add(size, 31), not(31))))
        }
    }

    function _report(BatchTerms calldata terms, Payment[] calldata payments, uint256 settled, uint256 total) private {
        bytes32[] memory intentIds = _intentIds(payments);
        emit BatchSettled(
            terms.batchId,
            terms.tenantStoreKey,
            terms.token,
            msg.sender,
            terms.merkleRoot,
            terms.sequenceStart,
            terms.sequenceEnd,
            terms.intentCount,
            uint128(total),
            settled,
            intentIds
        );
    }

    /// The first word of each payment.
    function _intentIds(Payment[] calldata payments) private pure returns (bytes32[] memory intentIds) {
        assembly ("memory-safe") {
            intentIds := mload(0x40)
            mstore(intentIds, payments.length)
            let to := add(intentIds, 32)
            let end := add(to, shl(5, payments.length))
            let from := payments.offset
            for {} lt(to, end) { to := add(to, 32) } {
                mstore(to, calldataload(from))
                from := add(from, PAYMENT_BYTES)
            }
            mstore(0x40, end)
        }
    }

    /// @notice What became of a settler's batch; zeros for an unknown one.
    function getSettlement(address settler, bytes32 batchId) external view returns (Settlement memory) {
        return _settlements[_settlementKey(settler, batchId)];
    }

    /// @notice Bounds of a token; `dailyVolume` is that of `day`.
    function getAssetConfig(address token) external view returns (AssetConfig memory) {
        return _assets[token];
    }

    /// @notice Whether `leaf` stands at `index` of the tree that the settler recorded for the batch.
    /// @param leaf Leaf of an intent in the sequencer's batch tree, computed by the caller from the intent.
    /// @param proof Siblings from the bottom up.
    /// @dev Shows that the intent was in the batch, not that its payment settled: that is in {BatchSettled}.
    function verifyPaymentInclusion(
        address settler,
        bytes32 batchId,
        bytes32 leaf,
        bytes32[] calldata proof,
        uint256 index
    ) external view returns (bool) {
        Settlement memory settlement = _settlements[_settlementKey(settler, batchId)];
        return PrefixedTree.hasShape(settlement.intentCount, index, proof.length)
            && Ves.climb(leaf, proof, index) == settlement.merkleRoot;
    }

    function _settlementKey(address settler, bytes32 batchId) private pure returns (bytes32) {
        return keccak256(abi.encode(settler, batchId));
    }
}
