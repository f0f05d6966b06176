//! Whether a claim pays an offer: first what needs no chain, then what the chain says, cheap questions first (x402 B.4).

use alloy_primitives::{Address, U256};

use crate::authorization::Authorization;
use crate::chain::{ChainError, ChainFacts};
use crate::claim::{Answered, Claim};
use crate::forms::{EXACT, PaymentRequirements};
use crate::networks::{ChainTable, of_caip2};
use crate::offer::Offer;
use crate::reason::{Reason, Refusal};
use crate::signature::{PayerSignature, SignatureError, is_undeployed};
use crate::token;

/// An authorization has to last this long from now, in seconds: it has to reach a block.
pub const SECONDS_LEFT_MIN: u64 = 6;
/// Seconds that an authorization may still be valid at most, as of an intent: what is kept of a payment, an answer for its
/// payer among it, is kept until it ends.
const SECONDS_LEFT_MAX: u64 = 86_400;

/// Why a payment does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nothing is said about the payment; ask again.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

fn refused<T>(reason: Reason, detail: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(reason, detail))
}

/// The rules that need neither key nor chain: the claim answers this offer, in this version, with exactly its terms, and
/// is valid now. `now_s` in Unix seconds.
///
/// # Errors
/// The first rule that is broken.
pub fn check_terms(claim: &Claim, offer: &Offer, chains: &ChainTable, now_s: u64) -> Result<(), Refusal> {
    check_answer(&claim.answered, offer, chains)?;
    let Authorization { to, value, valid_after, valid_before, from, .. } = claim.authorization;
    if to != offer.pay_to {
        return refused(Reason::Recipient, format!("authorization.to is {to}; pay {}", offer.pay_to));
    }
    // The text of version 1 allows more than asked; nobody is helped by overpaying.
    if offer.amount.is_zero() {
        return refused(Reason::Requirements, "the amount is 0, which pays nothing; ask for at least 1");
    }
    if value != offer.amount {
        return refused(
            Reason::Value,
            format!("authorization.value is {value}; pay exactly {}", offer.amount),
        );
    }
    if from == Address::ZERO || from == to {
        return refused(Reason::Payload, "authorization.from: expected the payer, who is not the payee");
    }
    if valid_after > U256::from(now_s) {
        return refused(
            Reason::ValidAfter,
            format!("validAfter {valid_after} is to come; here it is {now_s}"),
        );
    }
    if valid_before < U256::from(now_s.saturating_add(SECONDS_LEFT_MIN)) {
        let detail = format!(
            "validBefore {valid_before} leaves less than {SECONDS_LEFT_MIN} s; here it is {now_s}; sign a new one"
        );
        return refused(Reason::ValidBefore, detail);
    }
    if valid_before > U256::from(now_s.saturating_add(SECONDS_LEFT_MAX)) {
        let detail = format!(
            "validBefore {valid_before} is more than {SECONDS_LEFT_MAX} s ahead; here it is {now_s}; sign one that ends sooner"
        );
        return refused(Reason::ValidBefore, detail);
    }
    Ok(())
}

/// Whether a claim answers this offer.
///
/// # Errors
/// The first member in which it differs.
pub fn check_answer(answered: &Answered, offer: &Offer, chains: &ChainTable) -> Result<(), Refusal> {
    match answered {
        Answered::Named { scheme, network } => {
            check_scheme(scheme)?;
            let chain_id =
                chains.of_v1(network).or_else(|error| refused(Reason::Network, error.to_string()))?;
            check_chain(chain_id, offer)
        }
        Answered::Echo(accepted) => {
            check_scheme(&accepted.scheme)?;
            let chain_id =
                of_caip2(&accepted.network).or_else(|error| refused(Reason::Network, error.to_string()))?;
            check_chain(chain_id, offer)?;
            check_echo(accepted, &offer.requirements())
        }
    }
}

fn check_scheme(scheme: &str) -> Result<(), Refusal> {
    match scheme {
        EXACT => Ok(()),
        other => refused(Reason::Scheme, format!("the scheme {:?}; {EXACT:?} is settled here", shown(other))),
    }
}

fn check_chain(chain_id: u64, offer: &Offer) -> Result<(), Refusal> {
    match chain_id == offer.chain_id {
        true => Ok(()),
        false => refused(
            Reason::NetworkMismatch,
            format!("it is of chain {chain_id}; the offer is of chain {}", offer.chain_id),
        ),
    }
}

/// The echo of an offer is the offer, member by member.
fn check_echo(echo: &PaymentRequirements, own: &PaymentRequirements) -> Result<(), Refusal> {
    let member = match () {
        () if echo.asset != own.asset => "asset",
        () if echo.pay_to != own.pay_to => {
            return refused(Reason::Recipient, "accepted.payTo is not the offer's");
        }
        () if echo.amount != own.amount => {
            return refused(Reason::Value, "accepted.amount is not the offer's");
        }
        () if echo.max_timeout_seconds != own.max_timeout_seconds => "maxTimeoutSeconds",
        () if echo.extra.get("name") != own.extra.get("name") => {
            return refused(Reason::TokenName, "accepted.extra.name is not the offer's");
        }
        () if echo.extra.get("version") != own.extra.get("version") => {
            return refused(Reason::TokenVersion, "accepted.extra.version is not the offer's");
        }
        () if echo.extra != own.extra => "extra",
        () => return Ok(()),
    };
    refused(
        Reason::Requirements,
        format!("accepted.{member} is not the offer's; send the offer back unchanged"),
    )
}

fn shown(text: &str) -> String {
    text.chars().take(32).collect()
}

/// Whose word decides about a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// Checked: the account of the key signed.
    Account,
    /// Only the contract at the payer's address can tell (ERC-1271).
    Wallet,
}

/// Checks the signature as far as that goes without a chain.
///
/// # Errors
/// A signature that neither an account nor a wallet can have made, or one with a twin.
pub fn check_signature(claim: &Claim, offer: &Offer) -> Result<Signer, Refusal> {
    let refuse = |error: SignatureError| Refusal::new(Reason::Signature, format!("the signature: {error}"));
    if is_undeployed(&claim.signature) {
        return Err(refuse(SignatureError::Undeployed));
    }
    match PayerSignature::parse(&claim.signature) {
        Ok(signature) => {
            let digest = claim.authorization.digest(&offer.domain());
            match signature.check(&digest, claim.authorization.from) {
                Ok(()) => Ok(Signer::Account),
                // A wallet may take the signature of its owner.
                Err(_) => Ok(Signer::Wallet),
            }
        }
        Err(error @ (SignatureError::HighS | SignatureError::Recovery(_))) => Err(refuse(error)),
        Err(SignatureError::Length(0)) => Err(refuse(SignatureError::Length(0))),
        Err(_) => Ok(Signer::Wallet),
    }
}

/// What only the chain knows: a wallet's signature, whether the authorization was used, the balance, and whether the
/// transfer would go through.
///
/// # Errors
/// [`VerifyError`].
pub async fn check_on_chain(
    claim: &Claim,
    offer: &Offer,
    signer: Signer,
    facts: &dyn ChainFacts,
) -> Result<(), VerifyError> {
    let (authorization, asset) = (&claim.authorization, offer.token.address);
    if signer == Signer::Wallet {
        check_wallet(claim, offer, facts).await?;
    }
    let (used, balance, outcome) = tokio::join!(
        facts.authorization_used(asset, authorization.from, authorization.nonce),
        facts.balance(asset, authorization.from),
        facts.simulate(token::transfer_message(asset, authorization, &claim.signature)),
    );
    if used? {
        let detail = "the authorization was used or taken back; sign a new one";
        return Err(Refusal::new(Reason::NonceUsed, detail).into());
    }
    let balance = balance?;
    if balance < authorization.value {
        let detail = format!("{} has {balance}, the price is {}", authorization.from, authorization.value);
        return Err(Refusal::new(Reason::Balance, detail).into());
    }
    match outcome? {
        Ok(()) => Ok(()),
        Err(reason) => {
            Err(Refusal::new(Reason::Simulation, format!("the token would refuse it: {reason}")).into())
        }
    }
}

async fn check_wallet(claim: &Claim, offer: &Offer, facts: &dyn ChainFacts) -> Result<(), VerifyError> {
    let from = claim.authorization.from;
    let digest = claim.authorization.digest(&offer.domain());
    let refuse = |detail: String| VerifyError::Refused(Refusal::new(Reason::Signature, detail));
    if facts.code(from).await?.is_empty() {
        let why = match PayerSignature::parse(&claim.signature) {
            Ok(signature) => signature.check(&digest, from).err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        let why = why.unwrap_or_default();
        return Err(refuse(format!("the signature is not of {from} over this token and chain: {why}")));
    }
    match facts.takes_signature(from, digest, claim.signature.clone()).await? {
        true => Ok(()),
        false => Err(refuse(format!("the wallet {from} does not take the signature"))),
    }
}

#[cfg(test)]
mod tests;
