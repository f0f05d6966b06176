//! Proposals (network.md 6.4): the state machine chooses, CometBFT's own bound on the bytes of a block is kept here.

use bytes::Bytes;
use stateset_ledger_app::application::{Block, Proposal};
use tendermint::abci::{request, response};

use crate::convert::milliseconds;
use crate::{EngineError, Node};

/// Bytes that a transaction takes in a block: its own, its tag and its length (as CometBFT counts).
fn bytes_in_block(transaction: usize) -> u64 {
    let length = transaction as u64;
    let bits = 64 - u64::from(length.leading_zeros());
    1 + bits.div_ceil(7).max(1) + length
}

impl Node {
    pub(crate) fn prepare_proposal(
        &self,
        request: request::PrepareProposal,
    ) -> Result<response::PrepareProposal, EngineError> {
        let view = self.latest()?;
        let mut left = u64::try_from(request.max_tx_bytes).unwrap_or(0);
        let proposal = Proposal {
            height: request.height.value(),
            time_ms: milliseconds(request.time),
            transactions: request.txs.iter().map(AsRef::as_ref).collect(),
            bytes_max: left,
        };
        let chosen = self.application.prepare_proposal(&*view, &proposal)?;
        let mut txs: Vec<Bytes> = Vec::with_capacity(chosen.len());
        for place in chosen {
            let transaction = request.txs.get(place).ok_or_else(|| {
                EngineError::Order(format!("the proposal names transaction {place}, which was not offered"))
            })?;
            // What does not fit waits for the next block with all after it: they may build on it.
            match left.checked_sub(bytes_in_block(transaction.len())) {
                Some(rest) => left = rest,
                None => break,
            }
            txs.push(transaction.clone());
        }
        Ok(response::PrepareProposal { txs })
    }

    pub(crate) fn process_proposal(
        &self,
        request: &request::ProcessProposal,
    ) -> Result<response::ProcessProposal, EngineError> {
        let view = self.latest()?;
        let block = Block {
            height: request.height.value(),
            time_ms: milliseconds(request.time),
            transactions: request.txs.iter().map(AsRef::as_ref).collect(),
        };
        Ok(match self.application.process_proposal(&*view, &block)? {
            true => response::ProcessProposal::Accept,
            false => response::ProcessProposal::Reject,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::bytes_in_block;

    #[test]
    fn transactions_are_counted_with_their_frame() {
        assert_eq!([0, 1, 127].map(bytes_in_block), [2, 3, 129]);
        assert_eq!([128, 16_383, 16_384].map(bytes_in_block), [131, 16_386, 16_388]);
    }
}
