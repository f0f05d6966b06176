//! Calls and events of a token with EIP-3009, and of a contract wallet.

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall as _, SolEvent as _, sol};
use set_registry::Log;

use crate::authorization::Authorization;
use crate::sender::Message;
use crate::signature::PayerSignature;

sol! {
    interface Eip3009 {
        event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce);
        event AuthorizationCanceled(address indexed authorizer, bytes32 indexed nonce);
        event Transfer(address indexed from, address indexed to, uint256 value);

        function name() external view returns (string);
        function version() external view returns (string);
        function DOMAIN_SEPARATOR() external view returns (bytes32);
        function balanceOf(address owner) external view returns (uint256);
        function authorizationState(address authorizer, bytes32 nonce) external view returns (bool);
        function transferWithAuthorization(
            address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce,
            uint8 v, bytes32 r, bytes32 s
        ) external;
        function transferWithAuthorization(
            address from, address to, uint256 value, uint256 validAfter, uint256 validBefore, bytes32 nonce,
            bytes signature
        ) external;
    }

    interface Erc1271 {
        function isValidSignature(bytes32 hash, bytes signature) external view returns (bytes4);
    }
}

/// Gas of one transfer. Tokens need about 80,000, a contract wallet's signature more. What is asked of a chain beforehand gets no
/// more: a wallet may see how much there is.
pub const TRANSFER_GAS: u64 = 300_000;

/// What a wallet answers to a signature that it takes (ERC-1271).
pub const TAKEN: [u8; 4] = [0x16, 0x26, 0xba, 0x7e];

pub fn name() -> Bytes {
    Eip3009::nameCall {}.abi_encode().into()
}

pub fn version() -> Bytes {
    Eip3009::versionCall {}.abi_encode().into()
}

/// The text that `name` or `version` returned.
pub fn text(answer: &[u8]) -> Option<String> {
    Eip3009::nameCall::abi_decode_returns_validate(answer).ok()
}

pub fn balance_of(owner: Address) -> Bytes {
    Eip3009::balanceOfCall { owner }.abi_encode().into()
}

pub fn domain_separator() -> Bytes {
    Eip3009::DOMAIN_SEPARATORCall {}.abi_encode().into()
}

pub fn authorization_state(authorizer: Address, nonce: B256) -> Bytes {
    Eip3009::authorizationStateCall { authorizer, nonce }.abi_encode().into()
}

pub fn is_valid_signature(hash: B256, signature: Bytes) -> Bytes {
    Erc1271::isValidSignatureCall { hash, signature }.abi_encode().into()
}

/// The transfer that an authorization allows: with `r`, `s`, `v` of an account, else with the bytes for a wallet.
pub fn transfer(authorization: &Authorization, signature: &Bytes) -> Bytes {
    let Authorization { from, to, value, valid_after, valid_before, nonce } = *authorization;
    match PayerSignature::parse(signature) {
        Ok(PayerSignature { r, s, v }) => Eip3009::transferWithAuthorization_0Call {
            from,
            to,
            value,
            validAfter: valid_after,
            validBefore: valid_before,
            nonce,
            v,
            r,
            s,
        }
        .abi_encode()
        .into(),
        Err(_) => Eip3009::transferWithAuthorization_1Call {
            from,
            to,
            value,
            validAfter: valid_after,
            validBefore: valid_before,
            nonce,
            signature: signature.clone(),
        }
        .abi_encode()
        .into(),
    }
}

/// The transaction that brings an authorization to its token: the same one is simulated and sent.
pub fn transfer_message(token: Address, authorization: &Authorization, signature: &Bytes) -> Message {
    Message { to: token, data: transfer(authorization, signature), gas: TRANSFER_GAS }
}

/// Topics that find the use of an authorization.
pub fn use_topics(from: Address, nonce: B256) -> Vec<B256> {
    vec![Eip3009::AuthorizationUsed::SIGNATURE_HASH, from.into_word(), nonce]
}

/// Topics that find that an authorization was taken back.
pub fn cancel_topics(from: Address, nonce: B256) -> Vec<B256> {
    vec![Eip3009::AuthorizationCanceled::SIGNATURE_HASH, from.into_word(), nonce]
}

/// Whether the token itself says in these events that this authorization moved this money (x402 B.4: the events are
/// checked, not only the status).
///
/// One transaction may bring several authorizations, and one transfer counts for one of them: the first that the token tells
/// of after the use. Where there is one use and one transfer their order is free, since EIP-3009 does not fix it.
pub fn moved(logs: &[Log], token: Address, authorization: &Authorization) -> bool {
    let is = |log: &Log, event: B256| log.topics.first() == Some(&event);
    let (mut uses, mut transfers) = (Vec::new(), Vec::new());
    for (place, log) in logs.iter().enumerate().filter(|(_, log)| log.address == token) {
        match () {
            () if is(log, Eip3009::AuthorizationUsed::SIGNATURE_HASH) => uses.push((place, log)),
            () if is(log, Eip3009::Transfer::SIGNATURE_HASH) => transfers.push((place, log)),
            () => {}
        }
    }
    let used = use_topics(authorization.from, authorization.nonce);
    let Some((place, _)) = uses.iter().find(|(_, log)| log.topics == used) else { return false };
    let its_own = match (&uses[..], &transfers[..]) {
        ([_], [transfer]) => Some(transfer),
        _ => transfers.iter().find(|(after, _)| after > place),
    };
    let parties =
        [Eip3009::Transfer::SIGNATURE_HASH, authorization.from.into_word(), authorization.to.into_word()];
    let value = authorization.value.to_be_bytes::<32>();
    its_own.is_some_and(|(_, log)| log.topics == parties && log.data[..] == value)
}

/// The word that a call returned.
pub fn word(answer: &[u8]) -> Option<U256> {
    answer.get(..32).map(U256::from_be_slice)
}

/// Why a contract reverted, as far as its data tells: a text, the panic's number, or the first bytes.
pub fn revert_text(data: &[u8]) -> String {
    use alloy_sol_types::{GenericContractError, SolInterface as _};
    match GenericContractError::abi_decode(data) {
        Ok(error) => error.to_string(),
        Err(_) => match data.get(..4) {
            Some(selector) => {
                match KNOWN_ERRORS.iter().find(|(text, _)| keccak256(text.as_bytes())[..4] == *selector) {
                    Some((text, "")) => (*text).to_owned(),
                    Some((text, cure)) => format!("{text}: {cure}"),
                    None => format!("error {}", alloy_primitives::hex::encode_prefixed(selector)),
                }
            }
            None => "no reason given".to_owned(),
        },
    }
}

/// Whether a batch was refused since its gas would not do.
pub fn is_too_little_gas(data: &[u8]) -> bool {
    data.get(..4).is_some_and(|selector| keccak256(b"GasTooLow(uint256)")[..4] == *selector)
}

/// Errors of `TestDollar` and of `SetPaymentBatch`, so that a person reads a name, and what to do where there is something.
const KNOWN_ERRORS: &[(&str, &str)] = &[
    ("InsufficientBalance(uint256,uint256)", ""),
    ("InvalidReceiver(address)", ""),
    ("AuthorizationNotYetValid(uint256)", ""),
    ("AuthorizationExpired(uint256)", ""),
    ("AuthorizationAlreadyUsed(address,bytes32)", ""),
    ("InvalidSignature()", ""),
    (
        "NotSettler()",
        "the account that sends may not settle batches; the contract's owner names it with setSettler",
    ),
    ("WritingPaused()", "the contract is paused; its owner can unpause it"),
    ("BatchAlreadySettled(bytes32)", "this account has settled the batch before"),
    ("AssetNotEnabled(address)", "the contract's owner enables the token with configureAsset"),
    ("GasTooLow(uint256)", "send more gas or fewer payments"),
    ("AmountOutOfBounds(uint256)", ""),
    ("DailyLimitReached(uint256)", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Address = Address::repeat_byte(0xaa);
    const PAYER: Address = Address::repeat_byte(1);
    const SHOP: Address = Address::repeat_byte(2);

    fn authorization(nonce: u8) -> Authorization {
        let (from, to, value) = (PAYER, SHOP, U256::from(10_000));
        let (valid_after, valid_before) = (U256::ZERO, U256::MAX);
        Authorization { from, to, value, valid_after, valid_before, nonce: B256::repeat_byte(nonce) }
    }

    fn log(address: Address, topics: Vec<B256>, data: Bytes) -> Log {
        let (block_hash, transaction_hash) = (B256::ZERO, B256::ZERO);
        Log { address, topics, data, block_number: 1, block_hash, transaction_hash }
    }

    fn used(nonce: u8) -> Log {
        log(TOKEN, use_topics(PAYER, B256::repeat_byte(nonce)), Bytes::new())
    }

    fn transfer(to: Address, value: u64) -> Log {
        let parties = vec![Eip3009::Transfer::SIGNATURE_HASH, PAYER.into_word(), to.into_word()];
        log(TOKEN, parties, B256::from(U256::from(value)).0.into())
    }

    /// A payer could bring two authorizations of two purchases in one transaction of his, one of them signed anew to himself.
    #[test]
    fn one_transfer_counts_for_one_authorization() {
        let (paid, own) = (transfer(SHOP, 10_000), transfer(PAYER, 10_000));
        let counts = |logs: &[Log]| [1, 2].map(|nonce| moved(logs, TOKEN, &authorization(nonce)));
        let both = [used(1), paid.clone(), used(2), paid.clone()];
        assert_eq!(counts(&both), [true, true]);
        assert_eq!(counts(&[used(1), paid.clone(), used(2), own.clone()]), [true, false]);
        assert_eq!(counts(&[used(2), own.clone(), used(1), paid.clone()]), [true, false]);
        assert_eq!(counts(&[used(1), own, used(2), paid.clone()]), [false, true]);
        assert_eq!(counts(&[paid.clone(), used(2), transfer(PAYER, 1), paid.clone()]), [false, false]);
    }

    #[test]
    fn only_this_transfer_of_this_token_counts() {
        let moves = |logs: &[Log]| moved(logs, TOKEN, &authorization(1));
        let paid = transfer(SHOP, 10_000);
        assert!(moves(&[used(1), paid.clone()]));
        assert!(moves(&[paid.clone(), used(1)]), "the order of a single pair is the token's");
        let elsewhere = Log { address: Address::repeat_byte(0xbb), ..paid.clone() };
        for logs in [
            vec![used(1)],
            vec![paid.clone()],
            vec![used(2), paid],
            vec![used(1), elsewhere],
            vec![used(1), transfer(SHOP, 9_999)],
            vec![used(1), transfer(PAYER, 10_000)],
        ] {
            assert!(!moves(&logs), "{logs:?}");
        }
    }
}
