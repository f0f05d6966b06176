//! The chain behind the port `Settlement`: what became of a batch at `SetPaymentBatch`, as its events and the token's tell.

use set_registry::{Address, Node, words};
use stateset_sequencer::{
    BatchSettlement, ItemOutcome, Payment, Settlement, SettlementError, SettlementReport, SettlementState,
};
use stateset_x402::batch::{BatchError, BatchFate, BatchSettler, Expected, ItemFate};
use stateset_x402::{ChainError, RpcChain};
use ves::Digest;

/// One contract at one endpoint. The endpoint is first asked when there is a batch.
pub struct ChainSettlement {
    node: Node,
    contract: Address,
    /// Blocks until an outcome counts.
    confirmations: u64,
}

impl ChainSettlement {
    pub fn new(node: Node, contract: Address, confirmations: u64) -> Self {
        Self { node, contract, confirmations }
    }
}

impl Settlement for ChainSettlement {
    fn outcome(
        &self,
        settlement: &BatchSettlement,
        tx_hash: &Digest,
    ) -> Result<SettlementReport, SettlementError> {
        let batch = &settlement.batch;
        let Some(token) = batch.token_address else {
            let problem = "its token has no contract here; the operator sets it in X402_TOKENS";
            return Err(SettlementError::Refused(problem.to_owned()));
        };
        let chain = RpcChain::connect(self.node.clone(), Some(batch.network.chain_id()), Address::ZERO);
        let settler = BatchSettler::new(
            std::sync::Arc::new(chain.map_err(unavailable)?),
            self.contract,
            self.confirmations,
        );
        let expected = Expected {
            batch_id: words::of_batch(&batch.batch_id),
            merkle_root: words::of_digest(&batch.merkle_root),
            token: token.0.into(),
            // An intent of today names no authorization that its payer signed, so nobody else can have brought it.
            items: settlement.payments.iter().map(|payment| (intent(payment), None)).collect(),
            from_block: 0,
        };
        let fate =
            tokio::runtime::Handle::current().block_on(settler.fate(words::of_digest(tx_hash), &expected));
        fate.map(report).map_err(|error| match error {
            BatchError::Chain(error) => unavailable(error),
            BatchError::OtherBatch(problem) => SettlementError::Refused(problem),
        })
    }
}

fn report(fate: BatchFate) -> SettlementReport {
    match fate {
        BatchFate::Pending => {
            SettlementReport { state: SettlementState::Pending, block_number: None, gas_used: None }
        }
        BatchFate::Reverted { block_number, gas_used } => SettlementReport {
            state: SettlementState::Reverted,
            block_number: Some(block_number),
            gas_used: Some(gas_used),
        },
        BatchFate::Done { block_number, block_time_s, gas_used, items } => SettlementReport {
            state: SettlementState::Done { block_time_s, outcomes: items.into_iter().map(outcome).collect() },
            block_number: Some(block_number),
            gas_used: Some(gas_used),
        },
    }
}

fn outcome(fate: ItemFate) -> ItemOutcome {
    match fate {
        ItemFate::Paid | ItemFate::PaidElsewhere(_) => ItemOutcome::Paid,
        ItemFate::Failed(reason) => ItemOutcome::Failed(reason),
    }
}

fn intent(payment: &Payment) -> set_registry::B256 {
    words::of_uuid(payment.intent_id.as_bytes())
}

fn unavailable(error: ChainError) -> SettlementError {
    SettlementError::Unavailable(error.to_string())
}
