// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IEip3009} from "../interfaces/IEip3009.sol";
import {IErc1271} from "../interfaces/IErc1271.sol";

/// @title A dollar for tests and local devnets
/// @notice ERC-20 with six decimals and EIP-3009, as public x402 clients expect it. Anybody can mint any amount, so it is
/// worth nothing: never deploy it where money matters.
contract TestDollar is IEip3009 {
    string public constant name = "USDC";
    string public constant symbol = "USDC";
    /// @notice Version of the EIP-712 domain.
    string public constant version = "2";
    uint8 public constant decimals = 6;

    bytes32 public constant TRANSFER_WITH_AUTHORIZATION_TYPEHASH = keccak256(
        "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    bytes32 public constant RECEIVE_WITH_AUTHORIZATION_TYPEHASH = keccak256(
        "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
    );
    bytes32 public constant CANCEL_AUTHORIZATION_TYPEHASH =
        keccak256("CancelAuthorization(address authorizer,bytes32 nonce)");
    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    /// Half the order of secp256k1: a signature with a larger s has a twin and is refused.
    uint256 private constant HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;

    uint256 private immutable _chainId = block.chainid;
    bytes32 private immutable _separator = _separatorNow();

    /// What an address has, and which authorizations of it are used or canceled: a whole word each, since a bool is read
    /// before it is written.
    struct Account {
        uint256 balance;
        mapping(bytes32 nonce => uint256) used;
    }

    uint256 public totalSupply;
    mapping(address owner => mapping(address spender => uint256)) public allowance;
    mapping(address => Account) private _accounts;

    event Transfer(address indexed from, address indexed to, uint256 value);
    event Approval(address indexed owner, address indexed spender, uint256 value);
    event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
    event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);

    error InsufficientBalance(uint256 balance, uint256 value);
    error InsufficientAllowance(uint256 allowance, uint256 value);
    error InvalidReceiver(address to);
    error AuthorizationNotYetValid(uint256 validAfter);
    error AuthorizationExpired(uint256 validBefore);
    error AuthorizationAlreadyUsed(address authorizer, bytes32 nonce);
    error InvalidSignature();
    error CallerIsNotPayee(address caller);

    function balanceOf(address account) external view returns (uint256) {
        return _accounts[account].balance;
    }

    /// @inheritdoc IEip3009
    function authorizationState(address authorizer, bytes32 nonce) external view returns (bool) {
        return _accounts[authorizer].used[nonce] != 0;
    }

    /// @notice Makes `value` out of nothing.
    function mint(address to, uint256 value) external {
        if (to == address(0)) revert InvalidReceiver(to);
        totalSupply += value;
        _accounts[to].balance += value;
        emit Transfer(address(0), to, value);
    }

    function transfer(address to, uint256 value) external returns (bool) {
        _move(_accounts[msg.sender], msg.sender, to, value);
        return true;
    }

    function approve(address spender, uint256 value) external returns (bool) {
        allowance[msg.sender][spender] = value;
        emit Approval(msg.sender, spender, value);
        return true;
    }

    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        uint256 allowed = allowance[from][msg.sender];
        if (allowed < value) revert InsufficientAllowance(allowed, value);
        if (allowed != type(uint256).max) allowance[from][msg.sender] = allowed - value;
        _move(_accounts[from], from, to, value);
        return true;
    }

    /// @inheritdoc IEip3009
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
    ) external {
        bytes32 digest = _digest(TRANSFER_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce);
        _checkSigner(from, digest, v, r, s);
        _useAndMove(from, to, value, validAfter, validBefore, nonce);
    }

    /// @notice The same with the signature as bytes: 65 of an account, or whatever the wallet at `from` takes (ERC-1271).
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        bytes32 digest = _digest(TRANSFER_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce);
        if (from.code.length > 0) {
            if (IErc1271(from).isValidSignature(digest, signature) != IErc1271.isValidSignature.selector) {
                revert InvalidSignature();
            }
        } else {
            if (signature.length != 65) revert InvalidSignature();
            _checkSigner(from, digest, uint8(signature[64]), bytes32(signature[0:32]), bytes32(signature[32:64]));
        }
        _useAndMove(from, to, value, validAfter, validBefore, nonce);
    }

    /// @notice As {transferWithAuthorization}, but only the payee may bring it.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) external {
        if (to != msg.sender) revert CallerIsNotPayee(msg.sender);
        bytes32 digest = _digest(RECEIVE_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce);
        _checkSigner(from, digest, v, r, s);
        _useAndMove(from, to, value, validAfter, validBefore, nonce);
    }

    /// @notice Takes an authorization back before it is used.
    function cancelAuthorization(address authorizer, bytes32 nonce, uint8 v, bytes32 r, bytes32 s) external {
        bytes32 content = keccak256(abi.encode(CANCEL_AUTHORIZATION_TYPEHASH, authorizer, nonce));
        _checkSigner(authorizer, _typed(content), v, r, s);
        _use(_accounts[authorizer], authorizer, nonce);
        emit AuthorizationCanceled(authorizer, nonce);
    }

    /// @notice EIP-712 domain separator, of the chain that this runs on now.
    function DOMAIN_SEPARATOR() public view returns (bytes32) {
        return block.chainid == _chainId ? _separator : _separatorNow();
    }

    function _separatorNow() private view returns (bytes32) {
        return keccak256(
            abi.encode(DOMAIN_TYPEHASH, keccak256(bytes(name)), keccak256(bytes(version)), block.chainid, address(this))
        );
    }

    function _useAndMove(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce
    ) private {
        if (block.timestamp <= validAfter) revert AuthorizationNotYetValid(validAfter);
        if (block.timestamp >= validBefore) revert AuthorizationExpired(validBefore);
        Account storage payer = _accounts[from];
        _use(payer, from, nonce);
        emit AuthorizationUsed(from, nonce);
        _move(payer, from, to, value);
    }

    function _use(Account storage account, address authorizer, bytes32 nonce) private {
        if (account.used[nonce] != 0) revert AuthorizationAlreadyUsed(authorizer, nonce);
        account.used[nonce] = 1;
    }

    function _move(Account storage payer, address from, address to, uint256 value) private {
        if (to == address(0)) revert InvalidReceiver(to);
        uint256 balance = payer.balance;
        if (balance < value) revert InsufficientBalance(balance, value);
        // All balances together are the supply, which was checked when it was made.
        unchecked {
            payer.balance = balance - value;
            _accounts[to].balance += value;
        }
        emit Transfer(from, to, value);
    }

    function _digest(
        bytes32 typehash,
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce
    ) private view returns (bytes32) {
        bytes32 content;
        // In free memory that is not kept: `abi.encode` would keep a copy of each authorization.
        assembly ("memory-safe") {
            let words := mload(0x40)
            mstore(words, typehash)
            mstore(add(words, 32), from)
            mstore(add(words, 64), to)
            mstore(add(words, 96), value)
            mstore(add(words, 128), validAfter)
            mstore(add(words, 160), validBefore)
            mstore(add(words, 192), nonce)
            content := keccak256(words, 224)
        }
        return _typed(content);
    }

    /// EIP-712: 1901, domain and content.
    function _typed(bytes32 content) private view returns (bytes32 digest) {
        bytes32 separator = DOMAIN_SEPARATOR();
        assembly ("memory-safe") {
            let bytes66 := mload(0x40)
            mstore(bytes66, hex"1901")
            mstore(add(bytes66, 2), separator)
            mstore(add(bytes66, 34), content)
            digest := keccak256(bytes66, 66)
        }
    }

    function _checkSigner(address signer, bytes32 digest, uint8 v, bytes32 r, bytes32 s) private pure {
        if (uint256(s) > HALF_ORDER) revert InvalidSignature();
        address recovered = ecrecover(digest, v, r, s);
        if (recovered == address(0) || recovered != signer) revert InvalidSignature();
    }
}
