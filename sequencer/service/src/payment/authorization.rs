//! The authorization of a payer's wallet that an intent carries: with it the chain moves the money (x402, C).
//!
//! What needs no chain is compared here, member by member; whether the wallet signed it in the token's own domain is asked of
//! the port [`Settlement`](super::Settlement).

use serde::{Deserialize, Serialize};
use ves::Digest;
use ves::x402::{Party, TokenAddress, authorization_nonce};

use super::Payments;
use super::error::PaymentError;
use super::record::PaymentContent;
use super::settle::SettlementError;
use super::submit::seconds;
use crate::outside::SETTLEMENT;

/// EIP-3009 `TransferWithAuthorization`, signed by an account with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayerAuthorization {
    #[serde(with = "hex_bytes")]
    pub from: [u8; 20],
    #[serde(with = "hex_bytes")]
    pub to: [u8; 20],
    /// In the token's smallest unit.
    pub value: u64,
    /// Unix seconds: the token asks `valid_after < block time < valid_before`.
    pub valid_after: u64,
    pub valid_before: u64,
    /// [`authorization_nonce`] of the intent.
    pub nonce: Digest,
    /// `r ‖ s ‖ v`.
    #[serde(with = "hex_bytes")]
    pub signature: [u8; 65],
}

impl Payments<'_> {
    /// The authorization is of this intent, and its wallet signed it. `key` is the one that signed the intent.
    pub(super) async fn check_authorization(
        &self,
        content: &PaymentContent,
        payer: &Party,
        key: &[u8; 32],
        token: Option<TokenAddress>,
    ) -> Result<(), PaymentError> {
        let Some(authorization) = content.authorization else { return Ok(()) };
        check_members(content, payer, key, &authorization, seconds(self.service.now()))?;
        let network = content.network;
        let token = token.filter(|token| *token != TokenAddress::NATIVE).ok_or_else(|| {
            let problem =
                format!("{} on {} has no contract that takes one", content.asset.text(), network.text());
            PaymentError::invalid("authorization", problem)
        })?;
        let Some(port) = self.config().settlement.clone().filter(|port| port.settles()) else {
            let problem = "this service settles no payments; leave it out, or have the operator set X402_SETTLEMENT_KEY";
            return Err(PaymentError::invalid("authorization", problem));
        };
        let ask = move || port.check(network, &token, &authorization);
        let is_gone = |error: &SettlementError| matches!(error, SettlementError::Unavailable(_));
        let asked = self.service.outside(SETTLEMENT, ask, is_gone, SettlementError::Unavailable);
        asked.await?.map_err(|error| match error {
            SettlementError::Refused(problem) => PaymentError::invalid("authorization.signature", problem),
            SettlementError::OtherNetwork(problem) => PaymentError::invalid("network", problem),
            ours @ (SettlementError::Unavailable(_) | SettlementError::Misset(_)) => ours.into(),
        })
    }
}

fn check_members(
    content: &PaymentContent,
    payer: &Party,
    key: &[u8; 32],
    authorization: &PayerAuthorization,
    now_s: u64,
) -> Result<(), PaymentError> {
    let refused = |member, problem: String| Err(PaymentError::invalid(member, problem));
    if matches!(payer, Party::Wallet(wallet) if *wallet != authorization.from) {
        return refused("authorization.from", "it is not payer_address".to_owned());
    }
    match Party::parse(&content.payee_address) {
        Some(Party::Wallet(payee)) if payee == authorization.to => {}
        Some(Party::Wallet(_)) => return refused("authorization.to", "it is not payee_address".to_owned()),
        _ => {
            let problem =
                "money moves to a wallet: the payee of an intent with an authorization has 20 bytes";
            return refused("payee_address", problem.to_owned());
        }
    }
    if authorization.from == authorization.to || authorization.from == [0; 20] {
        return refused(
            "authorization.from",
            "expected the payer's wallet, which is not the payee's".to_owned(),
        );
    }
    if authorization.value != content.amount {
        return refused("authorization.value", format!("it is not amount, {}", content.amount));
    }
    if authorization.valid_before != content.valid_until {
        return refused(
            "authorization.valid_before",
            format!("it is not valid_until, {}", content.valid_until),
        );
    }
    if authorization.valid_after >= now_s {
        return refused("authorization.valid_after", format!("it is to come; here it is {now_s}"));
    }
    let nonce = authorization_nonce(&content.signing_hash, &content.agent_id, key);
    match authorization.nonce == nonce {
        true => Ok(()),
        false => refused(
            "authorization.nonce",
            format!("it is not that of this intent and the key that signs it, {}", nonce.to_0x()),
        ),
    }
}

mod hex_bytes {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&ves::hex::encode(bytes))
    }
    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        ves::hex::decode_lenient(&text).map_err(de::Error::custom)
    }
}
