//! The facilitator: chains with their accounts and tokens, the records, and the log that settled payments are told to.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use alloy_primitives::Address;
use serde_json::Value;
use set_registry::ChainKey;

use crate::chain::Chain;
use crate::claim::Claim;
use crate::covered::Promises;
use crate::forms::{EXACT, PaymentRequirements, PaymentRequirementsV1};
use crate::look_back::SeenStanding;
use crate::networks::{ChainTable, caip2, of_caip2};
use crate::offer::{Offer, Token};
use crate::payment_log::PaymentLog;
use crate::reason::{Reason, Refusal};
use crate::record::{PaymentKey, Records, Stage};
use crate::reverts::Reverts;
use crate::sender::Sender;
use crate::verify::{VerifyError, check_on_chain, check_signature, check_terms};

/// Payments whose locks are kept before unused ones are thrown away.
const SLOTS_KEPT: usize = 1_024;
/// Refused payments that are known; beyond it all are told anew.
const REFUSED_KEPT: usize = 10_000;
/// After the log has refused a payment, before it is asked again.
const REFUSED_PAUSE_S: u64 = 300;

/// A chain that is settled on.
pub struct ChainSetup {
    pub chain: Arc<dyn Chain>,
    /// Pays for gas; nothing else of value should lie on it.
    pub signer: ChainKey,
    /// Tokens that are settled; no other is.
    pub tokens: Vec<Token>,
}

/// Why a facilitator can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FacilitatorError {
    #[error("chain {0} is set up twice")]
    Twice(u64),
    #[error("chain {0} is set up without a token; name the tokens that are settled on it")]
    NoToken(u64),
}

/// One chain at work.
pub(crate) struct Lane {
    pub chain: Arc<dyn Chain>,
    pub sender: Sender,
    pub tokens: Vec<Token>,
    /// Blocks of settled payments that were seen standing.
    pub seen: tokio::sync::Mutex<SeenStanding>,
}

/// Unix seconds of now.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Verifies and settles payments of the scheme `exact`.
pub struct Facilitator {
    lanes: BTreeMap<u64, Lane>,
    pub(crate) names: ChainTable,
    pub(crate) records: Arc<Records>,
    pub(crate) log: Arc<dyn PaymentLog>,
    clock: Clock,
    slots: Mutex<HashMap<PaymentKey, Arc<tokio::sync::Mutex<()>>>>,
    /// Settled payments that the log refuses, and when it is asked again, in Unix seconds.
    refused: Mutex<HashMap<PaymentKey, u64>>,
    /// Whether the log could not be reached when it was told last.
    is_log_away: AtomicBool,
    /// Whether it is asked in the next round for what it has, since it may have been restored from an older copy.
    pub(crate) is_recall_due: AtomicBool,
    pub(crate) reverts: Reverts,
    pub(crate) promises: Promises,
    /// Where the next round begins among payments that were not sent.
    pub(crate) unsent_from: AtomicUsize,
}

impl Facilitator {
    /// # Errors
    /// [`FacilitatorError`].
    pub fn new(
        setups: Vec<ChainSetup>,
        names: ChainTable,
        records: impl Into<Arc<Records>>,
        log: Arc<dyn PaymentLog>,
        clock: Clock,
    ) -> Result<Self, FacilitatorError> {
        let mut lanes = BTreeMap::new();
        for ChainSetup { chain, signer, tokens } in setups {
            let chain_id = chain.chain_id();
            if tokens.is_empty() {
                return Err(FacilitatorError::NoToken(chain_id));
            }
            let lane = Lane {
                sender: Sender::new(chain.clone(), signer),
                chain,
                tokens,
                seen: tokio::sync::Mutex::default(),
            };
            if lanes.insert(chain_id, lane).is_some() {
                return Err(FacilitatorError::Twice(chain_id));
            }
        }
        Ok(Self {
            lanes,
            names,
            records: records.into(),
            log,
            clock,
            slots: Mutex::default(),
            refused: Mutex::default(),
            is_log_away: AtomicBool::new(false),
            reverts: Reverts::default(),
            promises: Promises::default(),
            unsent_from: AtomicUsize::new(0),
            is_recall_due: AtomicBool::new(true),
        })
    }

    /// Unix seconds.
    pub fn now_s(&self) -> u64 {
        (self.clock)()
    }

    /// Words of version 1 for chains.
    pub fn names(&self) -> &ChainTable {
        &self.names
    }

    /// What is settled: chains, tokens, and the account that pays for gas.
    pub fn settles(&self) -> impl Iterator<Item = (u64, &[Token], Address)> {
        self.lanes.iter().map(|(chain_id, lane)| (*chain_id, &lane.tokens[..], lane.sender.address()))
    }

    pub(crate) fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.values()
    }

    pub(crate) fn lane(&self, chain_id: u64) -> Result<&Lane, Refusal> {
        self.lanes.get(&chain_id).ok_or_else(|| {
            Refusal::new(
                Reason::Network,
                format!("{} is not settled on here; see /supported", caip2(chain_id)),
            )
        })
    }

    /// Whether this payment would settle now. Promises nothing: only settling does.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub async fn verify(&self, claim: &Claim, offer: &Offer) -> Result<(), VerifyError> {
        check_terms(claim, offer, &self.names, self.now_s())?;
        let lane = self.lane(offer.chain_id)?;
        let signer = check_signature(claim, offer)?;
        let key = key_of(claim, offer);
        if self.has_taken(&key) {
            let detail = "the authorization is being settled, or was; sign a new one";
            return Err(Refusal::new(Reason::NonceUsed, detail).into());
        }
        self.reverts.check(&key, self.now_s())?;
        check_on_chain(claim, offer, signer, lane.chain.as_ref()).await
    }

    /// Whether a payment with this key is being settled, or was.
    pub(crate) fn has_taken(&self, key: &PaymentKey) -> bool {
        self.records.has_taken(key)
    }

    /// Whether a payment with this key was sent to the chain, or settled.
    pub(crate) fn has_sent(&self, key: &PaymentKey) -> bool {
        let held = self.records.get(key);
        held.is_some_and(|record| match record.stage {
            Stage::Reserved => record.was_sent(),
            Stage::Sent { .. } | Stage::Settled { .. } => true,
            Stage::Failed { .. } => false,
        })
    }

    /// Whether the log has refused the payment a short while ago.
    pub(crate) fn is_refused(&self, key: &PaymentKey) -> bool {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.get(key).is_some_and(|again_s| self.now_s() < *again_s)
    }

    /// The log refuses the payment; whether that is news.
    pub(crate) fn note_refused(&self, key: &PaymentKey) -> bool {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= REFUSED_KEPT && !refused.contains_key(key) {
            refused.clear();
        }
        refused.insert(*key, self.now_s().saturating_add(REFUSED_PAUSE_S)).is_none()
    }

    /// The log can't be reached, or can; whether that is news.
    pub(crate) fn note_away(&self, is_away: bool) -> bool {
        if is_away {
            self.is_recall_due.store(true, Ordering::Relaxed);
        }
        self.is_log_away.swap(is_away, Ordering::Relaxed) != is_away
    }

    /// Whether this payment moved nothing, or was undone for good.
    pub(crate) fn has_failed(&self, key: &PaymentKey) -> bool {
        self.records.get(key).is_some_and(|record| record.stage.is_failed())
    }

    /// One payment is settled by one caller at a time.
    pub(crate) fn slot(&self, key: &PaymentKey) -> Arc<tokio::sync::Mutex<()>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= SLOTS_KEPT {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        slots.entry(*key).or_default().clone()
    }

    /// The offer that requirements from outside describe: of a chain and a token that are settled here, by the token's own
    /// name and version.
    ///
    /// # Errors
    /// [`Refusal`] naming what is wrong with `paymentRequirements`.
    pub fn offer(&self, requirements: &Requirements) -> Result<Offer, Refusal> {
        let network = |error: crate::networks::NetworkError| Refusal::new(Reason::Network, error.to_string());
        let (scheme, chain_id, asset, amount, pay_to, timeout_s, extra) = match requirements {
            Requirements::One(form) => {
                let chain_id = self.names.of_v1(&form.network).map_err(network)?;
                let PaymentRequirementsV1 { scheme, asset, max_amount_required, pay_to, extra, .. } = form;
                (scheme, chain_id, *asset, *max_amount_required, *pay_to, form.max_timeout_seconds, extra)
            }
            Requirements::Two(form) => {
                let chain_id = of_caip2(&form.network).map_err(network)?;
                let PaymentRequirements { scheme, asset, amount, pay_to, extra, .. } = form;
                (scheme, chain_id, *asset, *amount, *pay_to, form.max_timeout_seconds, extra)
            }
        };
        if scheme != EXACT {
            return Err(Refusal::new(Reason::Scheme, format!("only {EXACT:?} is settled here")));
        }
        let token = self.lane(chain_id)?.tokens.iter().find(|token| token.address == asset);
        let token = token.ok_or_else(|| {
            Refusal::new(Reason::Requirements, format!("asset {asset} is not settled here; see /supported"))
        })?;
        check_extra(extra, token)?;
        Ok(Offer { chain_id, token: token.clone(), amount, pay_to, timeout_s })
    }
}

/// What the caller of a facilitator asks for, in either version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirements {
    One(PaymentRequirementsV1),
    Two(PaymentRequirements),
}

fn check_extra(extra: &serde_json::Map<String, Value>, token: &Token) -> Result<(), Refusal> {
    let text = |member| extra.get(member).and_then(Value::as_str);
    let (Some(name), Some(version)) = (text("name"), text("version")) else {
        let detail = "extra.name and extra.version: expected those of the token's EIP-712 domain";
        return Err(Refusal::new(Reason::MissingDomain, detail));
    };
    match extra.get("assetTransferMethod").map(Value::as_str) {
        None | Some(Some("eip3009")) => {}
        _ => {
            let detail = "extra.assetTransferMethod: only eip3009 is settled here";
            return Err(Refusal::new(Reason::TransferMethod, detail));
        }
    }
    if name != token.name {
        return Err(Refusal::new(Reason::TokenName, format!("extra.name: the token's is {:?}", token.name)));
    }
    if version != token.version {
        let detail = format!("extra.version: the token's is {:?}", token.version);
        return Err(Refusal::new(Reason::TokenVersion, detail));
    }
    Ok(())
}

/// What makes it one payment.
pub(crate) fn key_of(claim: &Claim, offer: &Offer) -> PaymentKey {
    PaymentKey {
        chain_id: offer.chain_id,
        token: offer.token.address,
        from: claim.authorization.from,
        nonce: claim.authorization.nonce,
    }
}
