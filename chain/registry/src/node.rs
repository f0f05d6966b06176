//! What is asked of a node, typed. Numbers come as hex quantities and become integers here.

use alloy_primitives::{Address, B256, Bytes, U64, U128, U256};
use alloy_sol_types::SolCall;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::refusal::Refusal;
use crate::rpc::{Rpc, RpcError, RpcSettings};

/// One EVM endpoint. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Node {
    rpc: Rpc,
}

/// Which state of the chain is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockAt {
    Number(u64),
    /// The newest block.
    Latest,
    /// The newest block and what waits for the next.
    Pending,
    /// Not undone but by a fault of the chain's first layer.
    Safe,
    /// Never undone.
    Finalized,
}

impl BlockAt {
    fn text(self) -> String {
        match self {
            Self::Number(number) => format!("{number:#x}"),
            Self::Latest => "latest".to_owned(),
            Self::Pending => "pending".to_owned(),
            Self::Safe => "safe".to_owned(),
            Self::Finalized => "finalized".to_owned(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    pub number: u64,
    pub hash: B256,
    pub parent_hash: B256,
    /// Unix seconds.
    pub timestamp: u64,
    /// Wei for a unit of gas; 0 on chains without EIP-1559.
    pub base_fee: u128,
}

/// Who calls what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub from: Address,
    pub to: Address,
    pub input: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    pub address: Address,
    pub topics: Vec<B256>,
    pub data: Bytes,
    pub block_number: u64,
    pub block_hash: B256,
    pub transaction_hash: B256,
}

/// A transaction as the node has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Transaction {
    pub from: Address,
    /// `None` where it deploys something.
    pub to: Option<Address>,
    pub input: Bytes,
}

/// What a block says of a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InBlock {
    /// The node has no such block, or not yet.
    NoBlock,
    /// The nonce was not used in it.
    None,
    Sent(B256),
}

/// What became of a transaction that is in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub transaction_hash: B256,
    pub block_number: u64,
    pub block_hash: B256,
    /// `false` where it was reverted.
    pub succeeded: bool,
    pub gas_used: u64,
    /// Wei for a unit of gas, paid.
    pub gas_price: u128,
    /// What an OP Stack chain took for its first layer, in wei; 0 elsewhere.
    pub l1_fee: u128,
    /// Where it deployed something.
    pub contract: Option<Address>,
    pub logs: Vec<Log>,
}

/// Fees of recent blocks, oldest first, in wei for a unit of gas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeeHistory {
    /// One more than the blocks asked for: the last is that of the next block.
    pub base_fees: Vec<u128>,
    /// The median priority fee of each block; empty where the node tells none.
    pub priority_fees: Vec<u128>,
}

/// Which events are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter {
    pub address: Address,
    /// `None` for any topic at that place.
    pub topics: Vec<Option<B256>>,
    pub from_block: u64,
    pub to_block: u64,
}

/// Why a view has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    #[error(transparent)]
    Rpc(#[from] RpcError),
    #[error(transparent)]
    Refused(Refusal),
    /// Another contract, or none.
    #[error("the contract at {address} does not answer {function}: is it the right address?")]
    Interface { address: Address, function: &'static str },
}

impl ViewError {
    /// Of a view that the contract which is meant never refuses: one that does is another.
    pub(crate) fn of_another_contract(self, address: Address, function: &'static str) -> Self {
        match self {
            Self::Refused(_) => Self::Interface { address, function },
            other => other,
        }
    }
}

impl Node {
    /// A client for `http://` and `https://` endpoints. Nothing is asked yet.
    ///
    /// # Errors
    /// [`RpcError::Address`].
    pub fn new(url: &str, settings: RpcSettings) -> Result<Self, RpcError> {
        Ok(Self { rpc: Rpc::new(url, settings)? })
    }

    /// Scheme and host, to be shown.
    pub fn endpoint(&self) -> &str {
        self.rpc.endpoint()
    }

    /// Any other method, such as those of a devnet.
    pub fn request<T: DeserializeOwned>(&self, method: &str, params: &Value) -> Result<T, RpcError> {
        self.rpc.call(method, params)
    }

    pub fn chain_id(&self) -> Result<u64, RpcError> {
        self.rpc.call::<U64>("eth_chainId", &json!([])).map(|id| id.to())
    }

    /// The block, without its transactions; `None` where the chain has none there.
    pub fn block(&self, at: BlockAt) -> Result<Option<Block>, RpcError> {
        let found: Option<WireBlock> = self.rpc.call("eth_getBlockByNumber", &json!([at.text(), false]))?;
        Ok(found.and_then(WireBlock::into_block))
    }

    /// How many transactions of the account are in blocks up to `at`: the next nonce.
    pub fn nonce(&self, account: Address, at: BlockAt) -> Result<u64, RpcError> {
        self.rpc.call::<U64>("eth_getTransactionCount", &json!([account, at.text()])).map(|n| n.to())
    }

    /// In wei.
    pub fn balance(&self, account: Address, at: BlockAt) -> Result<U256, RpcError> {
        self.rpc.call("eth_getBalance", &json!([account, at.text()]))
    }

    /// Empty where there is no contract.
    pub fn code(&self, address: Address, at: BlockAt) -> Result<Bytes, RpcError> {
        self.rpc.call("eth_getCode", &json!([address, at.text()]))
    }

    /// Runs a call without sending it.
    ///
    /// # Errors
    /// [`ViewError::Refused`] where it is reverted.
    pub fn call(&self, call: &Call, at: BlockAt) -> Result<Bytes, ViewError> {
        let asked = json!([wire_call(call), at.text()]);
        self.rpc.call("eth_call", &asked).map_err(refused)
    }

    /// A view of a contract.
    pub fn view<C: SolCall>(&self, to: Address, call: &C, at: BlockAt) -> Result<C::Return, ViewError> {
        let input = Bytes::from(call.abi_encode());
        let returned = self.call(&Call { from: Address::ZERO, to, input }, at)?;
        let function = C::SIGNATURE.split('(').next().unwrap_or(C::SIGNATURE);
        C::abi_decode_returns(&returned).map_err(|_| ViewError::Interface { address: to, function })
    }

    /// Gas that a call would take now, waiting transactions counted in.
    pub fn estimate_gas(&self, call: &Call) -> Result<u64, ViewError> {
        let asked = json!([wire_call(call), "pending"]);
        self.rpc.call::<U64>("eth_estimateGas", &asked).map(|gas| gas.to()).map_err(refused)
    }

    /// Fees of the last `blocks` blocks.
    pub fn fee_history(&self, blocks: u64) -> Result<FeeHistory, RpcError> {
        let asked = json!([format!("{blocks:#x}"), "latest", [50]]);
        let found: WireFees = self.rpc.call("eth_feeHistory", &asked)?;
        let rewards = found.reward.unwrap_or_default();
        Ok(FeeHistory {
            base_fees: found.base_fee_per_gas.into_iter().map(|fee| fee.to()).collect(),
            priority_fees: rewards.into_iter().filter_map(|of_block| Some(of_block.first()?.to())).collect(),
        })
    }

    /// Hands a signed transaction to the node.
    pub fn send(&self, raw: &Bytes) -> Result<B256, RpcError> {
        self.rpc.call("eth_sendRawTransaction", &json!([raw]))
    }

    /// `None` while it is in no block.
    pub fn receipt(&self, transaction: &B256) -> Result<Option<Receipt>, RpcError> {
        let found: Option<WireReceipt> = self.rpc.call("eth_getTransactionReceipt", &json!([transaction]))?;
        Ok(found.and_then(WireReceipt::into_receipt))
    }

    /// Whether the node knows the transaction, in a block or waiting for one.
    pub fn knows(&self, transaction: &B256) -> Result<bool, RpcError> {
        let found: Option<Value> = self.rpc.call("eth_getTransactionByHash", &json!([transaction]))?;
        Ok(found.is_some())
    }

    /// With which transaction the account used the nonce in this block.
    pub fn sender_in(&self, number: u64, account: Address, nonce: u64) -> Result<InBlock, RpcError> {
        let at = BlockAt::Number(number).text();
        let found: Option<WireSenders> = self.rpc.call("eth_getBlockByNumber", &json!([at, true]))?;
        let Some(block) = found else { return Ok(InBlock::NoBlock) };
        let is_it = |sent: &&WireSender| (sent.from, sent.nonce.to::<u64>()) == (account, nonce);
        Ok(block.transactions.iter().find(is_it).map_or(InBlock::None, |sent| InBlock::Sent(sent.hash)))
    }

    /// `None` where the node does not know it.
    pub fn transaction(&self, transaction: &B256) -> Result<Option<Transaction>, RpcError> {
        self.rpc.call("eth_getTransactionByHash", &json!([transaction]))
    }

    pub fn logs(&self, filter: &LogFilter) -> Result<Vec<Log>, RpcError> {
        let asked = json!([{
            "address": filter.address,
            "topics": filter.topics,
            "fromBlock": format!("{:#x}", filter.from_block),
            "toBlock": format!("{:#x}", filter.to_block),
        }]);
        let found: Vec<WireLog> = self.rpc.call("eth_getLogs", &asked)?;
        Ok(found.into_iter().filter_map(WireLog::into_log).collect())
    }
}

fn wire_call(call: &Call) -> Value {
    json!({ "from": call.from, "to": call.to, "input": call.input })
}

/// A reverted call is an answer of the contract, and no failure of the node.
fn refused(error: RpcError) -> ViewError {
    match error {
        RpcError::Refused { data: Some(data), .. } => ViewError::Refused(Refusal::decode(&data)),
        // Nodes agree on the word and not on the number.
        RpcError::Refused { code, message, .. } if code == 3 || message.contains("revert") => {
            ViewError::Refused(Refusal::Words(message))
        }
        other => ViewError::Rpc(other),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireBlock {
    /// `null` in a block that is not made yet.
    number: Option<U64>,
    hash: Option<B256>,
    parent_hash: B256,
    timestamp: U64,
    #[serde(default)]
    base_fee_per_gas: Option<U128>,
}

impl WireBlock {
    fn into_block(self) -> Option<Block> {
        Some(Block {
            number: self.number?.to(),
            hash: self.hash?,
            parent_hash: self.parent_hash,
            timestamp: self.timestamp.to(),
            base_fee: self.base_fee_per_gas.map_or(0, |fee| fee.to()),
        })
    }
}

#[derive(Deserialize)]
struct WireSenders {
    transactions: Vec<WireSender>,
}

#[derive(Deserialize)]
struct WireSender {
    hash: B256,
    from: Address,
    nonce: U64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireFees {
    base_fee_per_gas: Vec<U128>,
    #[serde(default)]
    reward: Option<Vec<Vec<U128>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireReceipt {
    transaction_hash: B256,
    block_number: Option<U64>,
    block_hash: Option<B256>,
    status: Option<U64>,
    gas_used: U64,
    #[serde(default)]
    effective_gas_price: Option<U128>,
    #[serde(default)]
    l1_fee: Option<U128>,
    #[serde(default)]
    contract_address: Option<Address>,
    logs: Vec<WireLog>,
}

impl WireReceipt {
    fn into_receipt(self) -> Option<Receipt> {
        Some(Receipt {
            transaction_hash: self.transaction_hash,
            block_number: self.block_number?.to(),
            block_hash: self.block_hash?,
            succeeded: self.status.is_some_and(|status| status.to::<u64>() == 1),
            gas_used: self.gas_used.to(),
            gas_price: self.effective_gas_price.map_or(0, |price| price.to()),
            l1_fee: self.l1_fee.map_or(0, |fee| fee.to()),
            contract: self.contract_address,
            logs: self.logs.into_iter().filter_map(WireLog::into_log).collect(),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireLog {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
    block_number: Option<U64>,
    block_hash: Option<B256>,
    transaction_hash: Option<B256>,
    /// Of a block that is no longer in the chain.
    #[serde(default)]
    removed: bool,
}

impl WireLog {
    fn into_log(self) -> Option<Log> {
        let log = Log {
            address: self.address,
            topics: self.topics,
            data: self.data,
            block_number: self.block_number?.to(),
            block_hash: self.block_hash?,
            transaction_hash: self.transaction_hash?,
        };
        (!self.removed).then_some(log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a node of the OP Stack writes it.
    #[test]
    fn a_receipt_is_read_with_its_numbers() {
        let text = r#"{
            "transactionHash": "0x0101010101010101010101010101010101010101010101010101010101010101",
            "blockNumber": "0x10", "blockHash": "0x0202020202020202020202020202020202020202020202020202020202020202",
            "status": "0x1", "gasUsed": "0xff96", "effectiveGasPrice": "0x3b9aca07", "l1Fee": "0x9",
            "contractAddress": null, "type": "0x2", "logs": []
        }"#;
        let receipt = serde_json::from_str::<WireReceipt>(text).unwrap().into_receipt().unwrap();
        assert_eq!((receipt.block_number, receipt.gas_used), (16, 65_430));
        assert_eq!((receipt.gas_price, receipt.l1_fee), (1_000_000_007, 9));
        assert!(receipt.succeeded);
    }

    #[test]
    fn a_reverted_call_is_an_answer_of_the_contract() {
        let reverted = |data: Option<Bytes>| RpcError::Refused {
            method: "eth_call".to_owned(),
            code: 3,
            message: "execution reverted".to_owned(),
            data,
        };
        let with_words = refused(reverted(None));
        assert_eq!(with_words, ViewError::Refused(Refusal::Words("execution reverted".to_owned())));
        let unknown = refused(reverted(Some(Bytes::from(vec![1, 2, 3, 4]))));
        assert_eq!(unknown, ViewError::Refused(Refusal::Unknown(vec![1, 2, 3, 4])));
        let limit = RpcError::Refused {
            method: "eth_call".to_owned(),
            code: -32005,
            message: "limit exceeded".to_owned(),
            data: None,
        };
        assert!(matches!(refused(limit), ViewError::Rpc(_)));
    }
}
