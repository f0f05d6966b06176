//! What keeps batches from being anchored, as sentences that say what to do.

use set_registry::{Address, B256, BatchRecord, Refusal, U256};
use ves::{BatchId, StreamKey};

/// Something an operator may have to know. Waiting batches are never lost by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error("the chain can't be asked: {0}; what was sent is looked for when it answers again")]
    Chain(String),
    #[error(
        "the endpoint {endpoint} is of chain {found}, and chain {expected} is expected: set L2_RPC_URL to an endpoint of \
         chain {expected}, or EXPECTED_L2_CHAIN_ID to {found} if that chain is meant; nothing is sent until then"
    )]
    WrongChain { endpoint: String, expected: u64, found: u64 },
    #[error(
        "there is no SetRegistry at {address} ({problem}): check SET_REGISTRY_ADDRESS; where the node has lost its state, \
         bring it back; nothing is sent until then"
    )]
    NoRegistry { address: Address, problem: String },
    #[error(
        "there is no StateSetAnchor at {address} ({problem}): check STATESET_ANCHOR_ADDRESS; where the node has lost its \
         state, bring it back; nothing is sent until then"
    )]
    NoAnchor { address: Address, problem: String },
    #[error(
        "account {account} may not anchor roots in {contract}: its owner has to call setAnchorer for it; batches wait until \
         then"
    )]
    NotAnchorer { contract: Address, account: Address },
    #[error(
        "what the account has anchored is read from the chain first; set ANCHOR_FROM_BLOCK where that takes long"
    )]
    ReadingHistory,
    #[error(
        "transactions of account {account} that are not ours wait for blocks (nonces {from} to {to}): look for another \
         sender with this key, or wait until they are in blocks; nothing is sent until then"
    )]
    OthersWait { account: Address, from: u64, to: u64 },
    #[error("the contract {0} is paused: its owner has to call unpause(); batches wait until then")]
    Paused(Address),
    #[error(
        "stream {stream} is not open in the registry: its owner has to call openStream for it, with {account} among the \
         writers; its batches wait until then"
    )]
    NotOpen { stream: StreamKey, account: Address },
    #[error(
        "account {account} may not write stream {stream}: the stream's admin has to call setWriter for it; its batches \
         wait until then"
    )]
    NotWriter { stream: StreamKey, account: Address },
    #[error(
        "batch {batch} of stream {stream} does not fit the chain: {why}. Chain and sequencer have different histories: \
         compare them by `stateset anchor verify`, and restore the one that is wrong; nothing more of this stream is sent"
    )]
    Conflict { batch: BatchId, stream: StreamKey, why: Refusal },
    #[error(
        "batch {batch} of stream {stream} is malformed, and is not sent: {why}. Look at the sequencer's record of it; nothing \
         more of this stream is sent"
    )]
    Malformed { batch: BatchId, stream: StreamKey, why: String },
    #[error(
        "account {account} has {} ETH, and the next transaction may cost {} ETH: send it funds; batches wait until then",
        ether(.balance), ether(.needed)
    )]
    NoFunds { account: Address, balance: U256, needed: U256 },
    #[error(
        "fees are {} gwei, above the ceiling of {} gwei: raise MAX_GAS_PRICE_GWEI or wait; batches wait until then",
        gwei(*.needed), gwei(*.ceiling)
    )]
    FeesAboveCeiling { needed: u128, ceiling: u128 },
    #[error(
        "transaction {transaction} (nonce {nonce}) is in no block after {seconds} s, though its fees were raised as far as \
         is allowed: look whether the chain makes blocks, or raise MAX_GAS_PRICE_GWEI"
    )]
    Stuck { transaction: B256, nonce: u64, seconds: i64 },
    #[error("the node refuses transaction {transaction}: {message}; it is sent again, look at the node")]
    NodeRefuses { transaction: B256, message: String },
    #[error(
        "nonce {nonce} of account {account} was used by another sender: give this service a key of its own; its batches \
         are sent again"
    )]
    NonceTaken { account: Address, nonce: u64 },
    #[error(
        "the chain has forgotten transactions before nonce {nonce}: its state was set back; the batches of this \
         transaction are sent again"
    )]
    Stranded { nonce: u64 },
    #[error(
        "transaction {transaction} anchored nothing: it was reverted, or the registry held its batches; they are looked at \
         again"
    )]
    AnchoredNothing { transaction: B256 },
    #[error(
        "a confirmed transaction (nonce {nonce}) was undone by a reorganisation deeper than \
         ANCHOR_FINALITY_CONFIRMATIONS: it is sent again; raise that setting for this chain"
    )]
    ConfirmedUndone { nonce: u64 },
    #[error(
        "batch {batch} is on the chain, and the sequencer holds another transaction for it that was not told from here: \
         {message}; compare by `stateset anchor verify`, and look for another anchor service of this sequencer"
    )]
    OtherTransaction { batch: BatchId, message: String },
    #[error("the sequencer: {0}")]
    Source(String),
    #[error("{0}; nothing is sent without it")]
    Journal(String),
}

impl Trouble {
    /// Of a batch that no chain takes.
    pub fn malformed(batch: &BatchRecord, why: String) -> Self {
        Self::Malformed { batch: batch.batch_id, stream: batch.stream, why }
    }

    /// Of a batch that the chain will not take.
    pub fn conflict(batch: &BatchRecord, why: Refusal) -> Self {
        Self::Conflict { batch: batch.batch_id, stream: batch.stream, why }
    }
}

/// Wei as ether, to its last digit: on some chains a transaction costs less than a millionth.
fn ether(wei: &U256) -> String {
    let (whole, rest) = wei.div_rem(U256::from(1_000_000_000_000_000_000u64));
    let places = format!("{:018}", rest.to::<u64>());
    match places.trim_end_matches('0') {
        "" => whole.to_string(),
        places => format!("{whole}.{places}"),
    }
}

/// Wei as gwei with three places.
fn gwei(wei: u128) -> String {
    format!("{}.{:03}", wei / 1_000_000_000, wei % 1_000_000_000 / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_readable() {
        assert_eq!(ether(&U256::from(1_500_000_000_000_000_000u64)), "1.5");
        assert_eq!(ether(&U256::from(200_000_000_000u64)), "0.0000002");
        assert_eq!(ether(&U256::from(16)), "0.000000000000000016");
        assert_eq!(gwei(31_250_000_000), "31.250");
    }

    #[test]
    fn every_sentence_says_what_to_do() {
        let trouble = Trouble::WrongChain { endpoint: "http://x".to_owned(), expected: 1, found: 2 };
        assert!(trouble.to_string().contains("set L2_RPC_URL to an endpoint of chain 1"));
        let funds = Trouble::NoFunds { account: Address::ZERO, balance: U256::ZERO, needed: U256::from(1) };
        assert!(
            funds
                .to_string()
                .contains("has 0 ETH, and the next transaction may cost 0.000000000000000001 ETH"),
            "{funds}"
        );
        assert!(funds.to_string().contains("send it funds"));
    }
}
