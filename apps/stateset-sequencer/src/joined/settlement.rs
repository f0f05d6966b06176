//! The chain behind the port `Settlement`: batches go through `SetPaymentBatch`, and what became of them is what its events
//! and the token's tell.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use set_registry::fees::CEILING_DEFAULT;
use set_registry::{Address, B256, ChainKey, Node, U256, words};
use stateset_sequencer::{
    Attempt, BatchSettlement, Followed, ItemOutcome, Note, PayerAuthorization, Payment, PaymentBatch,
    Settlement, SettlementError, SettlementReport, SettlementState,
};
use stateset_x402::batch::{
    BatchError, BatchFate, BatchPayment, BatchSettler, BatchTerms, Expected, Gap, ItemFate, Outbound,
    Progress, batch_payment, check_signature,
};
use stateset_x402::{Authorization, Chain, ChainError, ChainFacts as _, Outgoing, RpcChain, Sender};
use tokio::runtime::Handle;
use ves::Digest;
use ves::x402::{Network, TokenAddress};

/// How long before an intent got its number others may have brought its authorization, in seconds.
const BROUGHT_BEFORE_S: u64 = 3_600;

/// One contract at one endpoint. The endpoint is asked once at the start, and then when there is something to ask.
pub struct ChainSettlement {
    node: Node,
    contract: Address,
    /// Networks whose batches are made here, so that the operator means them to be settled here.
    networks: Vec<Network>,
    /// Blocks until an outcome counts.
    confirmations: u64,
    /// Most that is offered for a unit of gas, in wei.
    fee_ceiling: Option<u128>,
    settles: bool,
    /// Until the endpoint is first reached.
    key: Mutex<Option<ChainKey>>,
    lane: OnceLock<Lane>,
    /// Hashes of the domains that tokens sign in.
    domains: Mutex<BTreeMap<Address, B256>>,
}

struct Lane {
    chain: Arc<RpcChain>,
    settler: BatchSettler,
    /// `None` where outcomes are told and nothing is sent.
    sender: Option<Sender>,
}

impl ChainSettlement {
    /// `networks`: whose batches are made here. `key` is of the account that sends; without one, batches are sent by somebody
    /// else.
    pub fn new(
        node: Node,
        contract: Address,
        networks: Vec<Network>,
        confirmations: u64,
        key: Option<ChainKey>,
    ) -> Self {
        Self {
            node,
            contract,
            networks,
            confirmations,
            fee_ceiling: Some(CEILING_DEFAULT),
            settles: key.is_some(),
            key: Mutex::new(key),
            lane: OnceLock::new(),
            domains: Mutex::default(),
        }
    }

    /// Most that is offered for a unit of gas, in wei, instead of 500 gwei; `None`: as much as the endpoint says blocks take.
    #[must_use]
    pub fn with_fee_ceiling(self, fee_ceiling: Option<u128>) -> Self {
        Self { fee_ceiling, ..self }
    }

    /// The chain, if it is that of the network.
    fn lane(&self, network: Network) -> Result<&Lane, SettlementError> {
        let lane = match self.lane.get() {
            Some(lane) => lane,
            None => self.connect(network)?,
        };
        self.check_chain(lane.chain.chain_id(), network)?;
        Ok(lane)
    }

    /// Whether the endpoint's chain is that of the network. Where the operator means the network to be settled here, the
    /// endpoint is the wrong one; else the payer has chosen another network.
    fn check_chain(&self, found: u64, network: Network) -> Result<(), SettlementError> {
        let (name, chain_id) = (network.text(), network.chain_id());
        match (found == chain_id, self.networks.contains(&network)) {
            (true, _) => Ok(()),
            (false, true) => Err(SettlementError::Misset(format!(
                "the endpoint is of chain {found}, and {name} is chain {chain_id}; look at X402_SETTLEMENT_RPC_URL, or take {name} \
                 out of X402_BATCH_NETWORKS"
            ))),
            (false, false) => Err(SettlementError::OtherNetwork(format!(
                "this service settles on chain {found}, and {name} is chain {chain_id}"
            ))),
        }
    }

    fn connect(&self, network: Network) -> Result<&Lane, SettlementError> {
        let mut key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = self.lane.get() {
            return Ok(lane);
        }
        let account = key.as_ref().map_or(Address::ZERO, ChainKey::address);
        let chain = RpcChain::connect(self.node.clone(), None, account).map_err(unavailable)?;
        let chain = Arc::new(chain.with_fee_ceiling(self.fee_ceiling));
        // First: on another chain there is nothing at the address either.
        self.check_chain(chain.chain_id(), network)?;
        let code = Handle::current().block_on(chain.code(self.contract)).map_err(unavailable)?;
        if code.is_empty() {
            return Err(SettlementError::Misset(format!(
                "there is no contract at {} on chain {}; look at X402_SETTLEMENT_CONTRACT",
                self.contract,
                chain.chain_id()
            )));
        }
        let settler = BatchSettler::new(chain.clone(), self.contract, self.confirmations);
        if Handle::current().block_on(settler.is_settler(account)).map_err(unavailable)?.is_none() {
            return Err(SettlementError::Misset(format!(
                "the contract at {} on chain {} is no SetPaymentBatch; look at X402_SETTLEMENT_CONTRACT",
                self.contract,
                chain.chain_id()
            )));
        }
        let sender = key.take().map(|key| Sender::new(chain.clone(), key));
        Ok(self.lane.get_or_init(|| Lane { chain, settler, sender }))
    }

    fn domain(&self, lane: &Lane, token: Address) -> Result<B256, SettlementError> {
        let mut domains = self.domains.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = domains.get(&token) {
            return Ok(*known);
        }
        let told = Handle::current().block_on(lane.chain.domain_separator(token));
        let domain = told.map_err(|error| match error {
            ChainError::Unreachable(problem) => SettlementError::Unavailable(problem),
            other => SettlementError::Refused(format!("the token {token} takes no authorizations: {other}")),
        })?;
        domains.insert(token, domain);
        Ok(domain)
    }
}

impl Settlement for ChainSettlement {
    fn outcome(
        &self,
        settlement: &BatchSettlement,
        tx_hash: &Digest,
    ) -> Result<SettlementReport, SettlementError> {
        let lane = self.lane(settlement.batch.network)?;
        let expected = expected(settlement)?;
        let asked = lane.settler.fate(words::of_digest(tx_hash), &expected);
        Handle::current().block_on(asked).map(|fate| report(fate, None)).map_err(|error| match error {
            // The caller's word for it is not enough.
            other @ BatchError::OtherContract { .. } => SettlementError::Refused(other.to_string()),
            error => problem(error),
        })
    }

    fn settles(&self) -> bool {
        self.settles
    }

    fn probe(&self) -> Result<(), SettlementError> {
        for network in &self.networks {
            let lane = self.lane(*network)?;
            let Some(account) = lane.sender.as_ref().map(Sender::address) else { continue };
            let asked = lane.settler.is_settler(account);
            if Handle::current().block_on(asked).map_err(unavailable)? == Some(false) {
                return Err(SettlementError::Misset(format!(
                    "account {account} of X402_SETTLEMENT_KEY is no settler of {}: the contract's owner has to call setSettler \
                     for it",
                    self.contract
                )));
            }
        }
        Ok(())
    }

    fn check(
        &self,
        network: Network,
        token: &TokenAddress,
        authorization: &PayerAuthorization,
    ) -> Result<(), SettlementError> {
        let domain = self.domain(self.lane(network)?, token.0.into())?;
        check_signature(&signed(authorization), &authorization.signature, domain)
            .map_err(SettlementError::Refused)
    }

    fn ended(&self, payment: &Payment) -> Result<Option<ItemOutcome>, SettlementError> {
        let lane = self.lane(payment.content.network)?;
        let (Some(authorization), Some(token)) = (&payment.content.authorization, payment.token_address)
        else {
            let problem = "it carries no authorization of a token";
            return Err(SettlementError::Refused(problem.to_owned()));
        };
        let authorization = signed(authorization);
        let asked = lane.settler.ended(token.0.into(), &authorization, brought_since(payment));
        Handle::current().block_on(asked).map(|fate| fate.map(late)).map_err(problem)
    }

    fn advance(
        &self,
        settlement: &BatchSettlement,
        note: Note,
        followed: Followed,
    ) -> Result<SettlementReport, SettlementError> {
        let lane = self.lane(settlement.batch.network)?;
        let Some(sender) = &lane.sender else {
            return Err(SettlementError::Refused("there is no key to send it with".to_owned()));
        };
        let outbound = outbound(settlement)?;
        let note = |outgoing: Outgoing| note_of(&note, outgoing);
        let network = settlement.batch.network;
        let is_followed =
            |gap: Gap| followed(Box::new(move |batch| batch.network == network && fills(batch, &gap)));
        let asked = lane.settler.advance(sender, &outbound, note, is_followed);
        let progress = Handle::current().block_on(asked).map_err(problem)?;
        Ok(match progress {
            Progress::Underway => SettlementReport {
                state: SettlementState::Pending,
                tx_hash: None,
                block_number: None,
                gas_used: None,
            },
            Progress::Done { transaction, fate } => report(fate, Some(words::to_digest(&transaction))),
            Progress::Over(items) => in_no_block(items.into_iter().map(late).collect()),
            Progress::Unsent(items) => in_no_block(items.into_iter().map(outcome).collect()),
        })
    }
}

/// Whether the batch is sent again with that number of the account where the chain loses it.
fn fills(batch: &PaymentBatch, gap: &Gap) -> bool {
    let last = batch.attempts.last().and_then(|last| serde_json::from_value(last.detail.clone()).ok());
    last.is_some_and(|last: Outgoing| gap.is_of(&last, batch.valid_until))
}

fn note_of(note: &Note, outgoing: Outgoing) -> impl Future<Output = Result<(), String>> + Send + use<> {
    let attempt = serde_json::to_value(outgoing).map_err(|error| error.to_string());
    let noted =
        attempt.map(|detail| note(Attempt { tx_hash: words::to_digest(&outgoing.transaction), detail }));
    async move { noted?.await }
}

fn outbound(settlement: &BatchSettlement) -> Result<Outbound, SettlementError> {
    let (batch, expected) = (&settlement.batch, expected(settlement)?);
    let payments = settlement.payments.iter().filter_map(batch_item).collect::<Result<Vec<_>, _>>();
    let attempts = batch.attempts.iter().map(|attempt| serde_json::from_value(attempt.detail.clone()));
    let attempts = attempts.collect::<Result<Vec<Outgoing>, _>>().map_err(|error| {
        SettlementError::Refused(format!("its transactions were put down by another program: {error}"))
    })?;
    Ok(Outbound {
        terms: BatchTerms {
            batchId: expected.batch_id,
            merkleRoot: expected.merkle_root,
            tenantStoreKey: words::stream_key(&batch.stream()),
            token: expected.token,
            sequenceStart: batch.sequence_start(),
            sequenceEnd: batch.sequence_end(),
            intentCount: u32::try_from(batch.members.len()).unwrap_or(u32::MAX),
        },
        payments: payments.map_err(SettlementError::Refused)?,
        valid_until_s: batch.valid_until,
        attempts,
        expected,
    })
}

fn batch_item(payment: &Payment) -> Option<Result<BatchPayment, String>> {
    let authorization = payment.content.authorization.as_ref()?;
    Some(batch_payment(intent(payment), &signed(authorization), &authorization.signature))
}

fn expected(settlement: &BatchSettlement) -> Result<Expected, SettlementError> {
    let batch = &settlement.batch;
    let Some(token) = batch.token_address else {
        let problem = "its token has no contract here; the operator sets it in X402_TOKENS";
        return Err(SettlementError::Refused(problem.to_owned()));
    };
    let item = |payment: &Payment| (intent(payment), payment.content.authorization.as_ref().map(signed));
    Ok(Expected {
        batch_id: words::of_batch(&batch.batch_id),
        merkle_root: words::of_digest(&batch.merkle_root),
        token: token.0.into(),
        items: settlement.payments.iter().map(item).collect(),
        since_s: settlement.payments.iter().map(brought_since).min().unwrap_or(0),
    })
}

/// Since when others may have brought its authorization, in Unix seconds.
fn brought_since(payment: &Payment) -> u64 {
    u64::try_from(payment.sequenced_at.0 / 1000).unwrap_or(0).saturating_sub(BROUGHT_BEFORE_S)
}

fn signed(authorization: &PayerAuthorization) -> Authorization {
    Authorization {
        from: authorization.from.into(),
        to: authorization.to.into(),
        value: U256::from(authorization.value),
        valid_after: U256::from(authorization.valid_after),
        valid_before: U256::from(authorization.valid_before),
        nonce: words::of_digest(&authorization.nonce),
    }
}

fn report(fate: BatchFate, tx_hash: Option<Digest>) -> SettlementReport {
    let (state, block_number, gas_used) = match fate {
        BatchFate::Pending => (SettlementState::Pending, None, None),
        BatchFate::Reverted { block_number, gas_used } => {
            (SettlementState::Reverted, Some(block_number), Some(gas_used))
        }
        BatchFate::Done { block_number, block_time_s, gas_used, items } => {
            let outcomes = items.into_iter().map(outcome).collect();
            (SettlementState::Done { block_time_s, outcomes }, Some(block_number), Some(gas_used))
        }
    };
    SettlementReport { state, tx_hash, block_number, gas_used }
}

/// Of a batch of which nothing stands in a block: what moved did so while its own authorization was valid.
fn in_no_block(outcomes: Vec<ItemOutcome>) -> SettlementReport {
    let state = SettlementState::Done { block_time_s: 0, outcomes };
    SettlementReport { state, tx_hash: None, block_number: None, gas_used: None }
}

fn outcome(fate: ItemFate) -> ItemOutcome {
    match fate {
        ItemFate::Paid => ItemOutcome::Paid,
        ItemFate::PaidElsewhere(transaction) => ItemOutcome::PaidElsewhere(words::to_digest(&transaction)),
        ItemFate::Failed(reason) => ItemOutcome::Failed(reason),
    }
}

/// Of a batch whose time is over.
fn late(fate: ItemFate) -> ItemOutcome {
    match outcome(fate) {
        ItemOutcome::Failed(reason) => ItemOutcome::Expired(reason),
        other => other,
    }
}

fn intent(payment: &Payment) -> B256 {
    words::of_uuid(payment.intent_id.as_bytes())
}

fn problem(error: BatchError) -> SettlementError {
    match error {
        BatchError::Chain(error) => unavailable(error),
        BatchError::OtherBatch(problem) | BatchError::Hindered(problem) => SettlementError::Refused(problem),
        // Its block stands: a setting was changed, and nothing was undone.
        other @ BatchError::OtherContract { .. } => SettlementError::Misset(other.to_string()),
    }
}

fn unavailable(error: ChainError) -> SettlementError {
    SettlementError::Unavailable(error.to_string())
}
