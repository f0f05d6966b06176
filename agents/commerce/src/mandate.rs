//! AP2 mandates: whether the buyer agreed to this checkout and to this payment, checked before money moves.
//!
//! ```text
//! checkout mandate ── checkout_hash ──► our signed checkout ◄── transaction_id ── payment mandate
//!   constraints met                      id, lines, totals = now                   amount, payee, payer
//! ```
//!
//! Direct (a person saw the checkout): one token, signed by the platform. Autonomous: a platform-signed open mandate and a
//! closed one that the agent signed with the key in `cnf`. This module reads no clock and keeps nothing: what may be used
//! once is named in [`Accepted`], and remembered by the caller.

use serde_json::{Map, Value};
use ves::TimestampMs;

use crate::constraint::{Facts, Merchant, Unmet, check_all, is_merchant};
use crate::jose::{Jws, PublicKey, hash_text};
use crate::sd_jwt::{Expected, Hop, SdJwtError, verify_chain};

/// Types of mandates, with their version: no other is taken.
pub const CHECKOUT: &str = "mandate.checkout.1";
pub const CHECKOUT_OPEN: &str = "mandate.checkout.open.1";
pub const PAYMENT: &str = "mandate.payment.1";
pub const PAYMENT_OPEN: &str = "mandate.payment.open.1";
/// `payment_instrument.type` of a payment by x402; its `id` is the account that pays.
pub const INSTRUMENT: &str = "x402";

/// What is being completed.
#[derive(Debug, Clone, Copy)]
pub struct Purchase<'a> {
    pub merchant: &'a Merchant,
    /// The checkout as it stands now, without `ap2`.
    pub checkout: &'a Value,
    /// Item and quantity of each line.
    pub lines: &'a [(String, u64)],
    /// Minor units.
    pub total: u64,
    pub currency: &'a str,
    /// The account that the payment takes the money from, as `0x` text.
    pub payer: &'a str,
    /// The key that signs checkouts.
    pub own_key: &'a PublicKey,
    /// Keys of the platform.
    pub platform_keys: &'a [PublicKey],
    pub now: TimestampMs,
}

/// Which mandate of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Checkout,
    Payment,
}

/// What a refusal means, in the words of UCP and of AP2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    Required,
    MissingKey,
    Signature,
    Expired,
    /// Bound to another checkout, payee, amount or payer.
    Scope,
    /// The embedded checkout was not signed here.
    MerchantAuthorization,
    Constraint,
    Unresolved,
    Unsupported,
    Replayed,
}

impl Code {
    /// As UCP's `messages[].code` names it; where UCP has no word, as AP2 does.
    pub fn ucp(self) -> &'static str {
        match self {
            Self::Required => "mandate_required",
            Self::MissingKey => "agent_missing_key",
            Self::Signature => "mandate_invalid_signature",
            Self::Expired => "mandate_expired",
            Self::Scope | Self::Replayed => "mandate_scope_mismatch",
            Self::MerchantAuthorization => "merchant_authorization_invalid",
            Self::Constraint | Self::Unsupported => "invalid_mandate",
            Self::Unresolved => "unresolved_constraint",
        }
    }

    /// As a receipt's `error` names it.
    pub fn ap2(self) -> &'static str {
        match self {
            Self::MissingKey | Self::Signature | Self::Expired => "invalid_credential",
            Self::Unresolved => "unresolved_constraint",
            _ => "invalid_mandate",
        }
    }
}

/// Why a mandate is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} mandate: {detail}", match .which { Which::Checkout => "checkout", Which::Payment => "payment" })]
pub struct Refused {
    pub which: Which,
    pub code: Code,
    pub detail: String,
    /// Hash of the refused mandate, for its receipt; `None` where it can't be read.
    pub reference: Option<String>,
}

/// Both mandates hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Hash of the signed checkout that both name.
    pub checkout_hash: String,
    /// Hashes of the closed mandates, for receipts.
    pub checkout_reference: String,
    pub payment_reference: String,
    /// What authorises one checkout and no second: the first token of each chain.
    pub used_once: Vec<String>,
}

/// Verifies both mandates against what is being completed.
///
/// # Errors
/// [`Refused`], of the first rule that is broken.
///
/// # Source
/// AP2 0.2, Verification (Merchant, Merchant Payment Processor); UCP, AP2 Mandates Extension, Business Verification.
pub fn verify(checkout_mandate: &str, payment_mandate: &str, of: &Purchase<'_>) -> Result<Accepted, Refused> {
    if of.platform_keys.is_empty() {
        return Err(refused(
            Which::Checkout,
            Code::MissingKey,
            "the platform's profile has no key in keys[]",
        ));
    }
    let checkout = Chain::read(Which::Checkout, checkout_mandate, of)?;
    let payment = Chain::read(Which::Payment, payment_mandate, of)?;
    let checkout_hash = check_checkout(&checkout, of).map_err(|refused| refused.of(&checkout))?;
    let instrument = check_payment(&payment, &checkout_hash, of).map_err(|refused| refused.of(&payment))?;
    let open_checkouts: Vec<String> = checkout.open.iter().map(|(hash, _)| hash.clone()).collect();
    let facts = Facts {
        merchant: of.merchant,
        lines: of.lines,
        total: of.total,
        currency: of.currency,
        instrument,
        execution: execution(&payment).map_err(|refused| refused.of(&payment))?,
        now: of.now,
        open_checkouts: &open_checkouts,
    };
    for chain in [&checkout, &payment] {
        check_open(chain, &facts).map_err(|refused| refused.of(chain))?;
    }
    let mut used_once = vec![checkout.identity, payment.identity];
    // One token may hold both mandates.
    used_once.dedup();
    Ok(Accepted {
        checkout_hash,
        checkout_reference: checkout.reference,
        payment_reference: payment.reference,
        used_once,
    })
}

fn refused(which: Which, code: Code, detail: impl Into<String>) -> Refused {
    Refused { which, code, detail: detail.into(), reference: None }
}

impl Refused {
    fn of(mut self, chain: &Chain) -> Self {
        self.reference = Some(chain.reference.clone());
        self
    }
}

/// A verified chain of one family of mandates.
struct Chain {
    which: Which,
    /// Hash of each open mandate's token, and its content.
    open: Vec<(String, Map<String, Value>)>,
    closed: Map<String, Value>,
    reference: String,
    /// Of the first token.
    identity: String,
}

impl Chain {
    fn read(which: Which, text: &str, of: &Purchase<'_>) -> Result<Self, Refused> {
        let audiences = [of.merchant.id.as_str(), of.merchant.website.as_str()];
        let now_s = u64::try_from(of.now.0 / 1000).unwrap_or(0);
        let expected = Expected { keys: of.platform_keys, audiences: &audiences, now_s };
        let hops = verify_chain(text, &expected).map_err(|error| of_token(which, &error))?;
        let (open_type, closed_type) = match which {
            Which::Checkout => (CHECKOUT_OPEN, CHECKOUT),
            Which::Payment => (PAYMENT_OPEN, PAYMENT),
        };
        let (last, before) = hops.split_last().expect("a chain has a token");
        let open = before.iter().map(|hop| Ok((hop.hash.clone(), content(which, hop, open_type)?)));
        Ok(Self {
            which,
            open: open.collect::<Result<_, _>>()?,
            closed: content(which, last, closed_type)?,
            reference: last.hash.clone(),
            identity: hops[0].identity.clone(),
        })
    }

    fn text(&self, name: &str) -> Result<&str, Refused> {
        self.closed
            .get(name)
            .and_then(Value::as_str)
            .ok_or_else(|| refused(self.which, Code::Scope, format!("{name} is missing or not text")))
    }
}

fn of_token(which: Which, error: &SdJwtError) -> Refused {
    let code = match error {
        SdJwtError::Expired { .. } | SdJwtError::NotYet { .. } => Code::Expired,
        SdJwtError::Audience { .. } => Code::Scope,
        _ => Code::Signature,
    };
    refused(which, code, error.to_string())
}

/// The one content of a token that is of this type.
fn content(which: Which, hop: &Hop, wanted: &str) -> Result<Map<String, Value>, Refused> {
    let types: Vec<&str> = hop
        .contents
        .iter()
        .map(|content| content.get("vct").and_then(Value::as_str).unwrap_or("none"))
        .collect();
    let mut found = hop.contents.iter().filter(|c| c.get("vct").and_then(Value::as_str) == Some(wanted));
    match (found.next(), found.next()) {
        (Some(content), None) => Ok(content.clone()),
        (Some(_), Some(_)) => Err(refused(which, Code::Unsupported, format!("{wanted} is there twice"))),
        (None, _) => Err(refused(
            which,
            Code::Unsupported,
            format!("vct is {}; expected {wanted}, the version taken here", types.join(", ")),
        )),
    }
}

/// The checkout mandate names our own signature of this very checkout. Gives the hash that both mandates name.
fn check_checkout(chain: &Chain, of: &Purchase<'_>) -> Result<String, Refused> {
    let refuse = |code, detail: String| refused(chain.which, code, detail);
    let jwt = chain.text("checkout_jwt")?;
    let hash = hash_text(jwt);
    if chain.text("checkout_hash")? != hash {
        return Err(refuse(Code::Scope, "checkout_hash is not the hash of checkout_jwt".to_owned()));
    }
    let signed = Jws::parse(jwt)
        .map_err(|error| refuse(Code::MerchantAuthorization, format!("checkout_jwt: {error}")))?;
    signed.verify(of.own_key).map_err(|error| {
        refuse(Code::MerchantAuthorization, format!("checkout_jwt was not signed by this business: {error}"))
    })?;
    for name in ["id", "currency", "line_items", "totals"] {
        if signed.payload.get(name) != of.checkout.get(name) {
            let detail = format!("{name} of the checkout it approves is not that of this session now");
            return Err(refuse(Code::Scope, detail));
        }
    }
    Ok(hash)
}

/// The payment mandate pays for that checkout: payee, amount, and the account that pays. Gives the instrument.
fn check_payment<'c>(chain: &'c Chain, checkout_hash: &str, of: &Purchase<'_>) -> Result<&'c Value, Refused> {
    let refuse = |detail: String| Err(refused(chain.which, Code::Scope, detail));
    if chain.text("transaction_id")? != checkout_hash {
        return refuse("transaction_id is of another checkout".to_owned());
    }
    let payee = chain.closed.get("payee").unwrap_or(&Value::Null);
    if payee.get("id").and_then(Value::as_str) != Some(&of.merchant.id) || !is_merchant(payee, of.merchant) {
        return refuse(format!("payee is not {}", of.merchant.id));
    }
    let amount = chain.closed.get("payment_amount").unwrap_or(&Value::Null);
    let (given, currency) = (amount.get("amount").and_then(Value::as_u64), amount.get("currency"));
    if given != Some(of.total) || currency.and_then(Value::as_str) != Some(of.currency) {
        let wanted = format!("{} minor units of {}", of.total, of.currency);
        return refuse(format!("payment_amount is {amount}, the checkout costs {wanted}"));
    }
    let instrument = chain.closed.get("payment_instrument").unwrap_or(&Value::Null);
    let text = |name: &str| instrument.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("type") != INSTRUMENT || !text("id").eq_ignore_ascii_case(of.payer) {
        return refuse(format!("payment_instrument is not {INSTRUMENT} from {}", of.payer));
    }
    Ok(instrument)
}

fn execution(chain: &Chain) -> Result<Option<TimestampMs>, Refused> {
    match chain.closed.get("execution_date") {
        None => Ok(None),
        Some(value) => value
            .as_str()
            .and_then(TimestampMs::parse_rfc3339)
            .map(Some)
            .ok_or_else(|| refused(chain.which, Code::Scope, "execution_date is not an RFC 3339 time")),
    }
}

/// What the open mandates say stands unchanged in the closed one, and their constraints are met.
fn check_open(chain: &Chain, facts: &Facts<'_>) -> Result<(), Refused> {
    for (_, open) in &chain.open {
        for (name, value) in open {
            let is_of_the_token = ["vct", "cnf", "constraints", "iat", "exp", "nbf", "iss", "sub", "jti"]
                .contains(&name.as_str());
            if !is_of_the_token && chain.closed.get(name) != Some(value) {
                let detail = format!("{name} is not as the open mandate has it");
                return Err(refused(chain.which, Code::Constraint, detail));
            }
        }
        check_all(open, facts).map_err(|unmet| {
            let code = match unmet {
                Unmet::Unresolved(_) => Code::Unresolved,
                Unmet::Failed { .. } => Code::Constraint,
            };
            refused(chain.which, code, unmet.to_string())
        })?;
    }
    Ok(())
}
