//! A chain behind a JSON-RPC endpoint. The client blocks, so each question is asked on a thread that may.

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use serde::Deserialize;
use serde_json::{Value, json};
use set_registry::fees;
use set_registry::{BlockAt, Call, Log, LogFilter, Node, Receipt, Refusal, RpcError, Transaction, ViewError};

use crate::chain::{Chain, ChainError, ChainFacts, ContractChain, Estimate, Fees, Later};
use crate::sender::Message;
use crate::token;

/// Blocks of one question about events: endpoints refuse longer ranges.
const LOG_BLOCKS: u64 = 2_000;

/// One endpoint of one chain.
pub struct RpcChain {
    node: Node,
    chain_id: u64,
    /// Whom calls come from that change nothing: a token may ask who calls.
    caller: Address,
    /// Of a unit of gas, in wei.
    fee_ceiling: Option<u128>,
}

impl RpcChain {
    /// Asks the endpoint for its chain. Blocks. `caller` is the account that will send.
    ///
    /// # Errors
    /// [`ChainError`]; [`ChainError::OtherChain`] when it is another chain than `expected`.
    pub fn connect(node: Node, expected: Option<u64>, caller: Address) -> Result<Self, ChainError> {
        let chain_id = node.chain_id().map_err(chain_error)?;
        match expected {
            Some(expected) if expected != chain_id => Err(ChainError::OtherChain(format!(
                "{} is chain {chain_id}, expected {expected}: give the endpoint of that chain",
                node.endpoint()
            ))),
            _ => Ok(Self { node, chain_id, caller, fee_ceiling: Some(fees::CEILING_DEFAULT) }),
        }
    }

    /// Most that is offered for a unit of gas, in wei, instead of 500 gwei; `None`: as much as the node says blocks take.
    #[must_use]
    pub fn with_fee_ceiling(self, fee_ceiling: Option<u128>) -> Self {
        Self { fee_ceiling, ..self }
    }

    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Node) -> Result<T, ChainError> + Send + 'static,
    ) -> Later<'_, Result<T, ChainError>> {
        let node = self.node.clone();
        Box::pin(async move {
            let asked = tokio::task::spawn_blocking(move || question(&node));
            asked.await.unwrap_or_else(|error| Err(ChainError::Unreachable(error.to_string())))
        })
    }

    fn asked(&self, to: Address, input: Bytes) -> Later<'_, Result<Bytes, ChainError>> {
        let call = Call { from: self.caller, to, input };
        self.ask(move |node| match node.call(&call, BlockAt::Latest) {
            Ok(answer) => Ok(answer),
            Err(ViewError::Rpc(error)) => Err(chain_error(error)),
            Err(error) => Err(ChainError::Refused(error.to_string())),
        })
    }

    /// What a message would bring, with no more gas than its own; inside, why the contract would refuse it.
    fn tried(&self, message: Message) -> Later<'_, Result<Result<Bytes, String>, ChainError>> {
        let call = self.wire(&message);
        self.ask(move |node| match node.request("eth_call", &json!([call, "latest"])) {
            Ok(answer) => Ok(Ok(answer)),
            Err(error) => match refused_by_contract(error)? {
                Some(why) => Ok(Err(why)),
                None => Ok(Err(format!("it takes more than {} gas", message.gas))),
            },
        })
    }

    fn wire(&self, message: &Message) -> Value {
        let gas = format!("{:#x}", message.gas);
        json!({"from": self.caller, "to": message.to, "input": message.data, "gas": gas})
    }
}

impl ChainFacts for RpcChain {
    fn authorization_used(
        &self,
        token: Address,
        from: Address,
        nonce: B256,
    ) -> Later<'_, Result<bool, ChainError>> {
        let answer = self.asked(token, token::authorization_state(from, nonce));
        Box::pin(async move { word(token, &answer.await?).map(|used| used != U256::ZERO) })
    }

    fn balance(&self, token: Address, owner: Address) -> Later<'_, Result<U256, ChainError>> {
        let answer = self.asked(token, token::balance_of(owner));
        Box::pin(async move { word(token, &answer.await?) })
    }

    fn code(&self, address: Address) -> Later<'_, Result<Bytes, ChainError>> {
        self.ask(move |node| node.code(address, BlockAt::Latest).map_err(chain_error))
    }

    fn takes_signature(
        &self,
        wallet: Address,
        digest: B256,
        signature: Bytes,
    ) -> Later<'_, Result<bool, ChainError>> {
        let data = token::is_valid_signature(digest, signature);
        let answer = self.tried(Message { to: wallet, data, gas: token::TRANSFER_GAS });
        Box::pin(async move {
            match answer.await {
                Ok(Ok(answer)) => Ok(answer.get(..4) == Some(&token::TAKEN[..])),
                // A contract that knows no such question takes no signature.
                Ok(Err(_)) | Err(ChainError::Refused(_)) => Ok(false),
                Err(error) => Err(error),
            }
        })
    }

    fn simulate(&self, message: Message) -> Later<'_, Result<Result<(), String>, ChainError>> {
        let answer = self.tried(message);
        Box::pin(async move { Ok(answer.await?.map(drop)) })
    }
}

impl Chain for RpcChain {
    fn chain_id(&self) -> u64 {
        self.chain_id
    }

    fn domain_separator(&self, token: Address) -> Later<'_, Result<B256, ChainError>> {
        let answer = self.asked(token, token::domain_separator());
        Box::pin(async move { word(token, &answer.await?).map(B256::from) })
    }

    fn head(&self) -> Later<'_, Result<u64, ChainError>> {
        self.ask(|node| block(node, BlockAt::Latest).map(|block| block.number))
    }

    fn block_time(&self, number: u64) -> Later<'_, Result<u64, ChainError>> {
        self.ask(move |node| block(node, BlockAt::Number(number)).map(|block| block.timestamp))
    }

    fn block_hash(&self, number: u64) -> Later<'_, Result<Option<B256>, ChainError>> {
        self.ask(move |node| {
            let block = node.block(BlockAt::Number(number)).map_err(chain_error)?;
            Ok(block.map(|block| block.hash))
        })
    }

    fn account_nonce(&self, account: Address, with_waiting: bool) -> Later<'_, Result<u64, ChainError>> {
        let at = if with_waiting { BlockAt::Pending } else { BlockAt::Latest };
        self.ask(move |node| node.nonce(account, at).map_err(chain_error))
    }

    fn fees(&self) -> Later<'_, Result<Fees, ChainError>> {
        let fee_ceiling = self.fee_ceiling;
        self.ask(move |node| {
            let history = node.fee_history(fees::HISTORY_BLOCKS).map_err(chain_error)?;
            let quoted = fees::quote(&history, fee_ceiling);
            let ceiling = fee_ceiling.unwrap_or(u128::MAX);
            quoted.map_err(|above| ChainError::TooDear { needed: above.needed, ceiling })
        })
    }

    fn fee_ceiling(&self) -> Option<u128> {
        self.fee_ceiling
    }

    fn send(&self, raw: Bytes) -> Later<'_, Result<(), ChainError>> {
        self.ask(move |node| node.send(&raw).map(drop).map_err(chain_error))
    }

    fn knows(&self, transaction: B256) -> Later<'_, Result<bool, ChainError>> {
        self.ask(move |node| node.knows(&transaction).map_err(chain_error))
    }

    fn receipt(&self, transaction: B256) -> Later<'_, Result<Option<Receipt>, ChainError>> {
        self.ask(move |node| node.receipt(&transaction).map_err(chain_error))
    }

    fn logs(
        &self,
        address: Address,
        topics: Vec<B256>,
        from_block: u64,
    ) -> Later<'_, Result<Vec<Log>, ChainError>> {
        self.ask(move |node| {
            let to_block = block(node, BlockAt::Latest)?.number;
            let topics: Vec<_> = topics.into_iter().map(Some).collect();
            let (mut found, mut from_block) = (Vec::new(), from_block);
            while from_block <= to_block {
                let last = to_block.min(from_block.saturating_add(LOG_BLOCKS - 1));
                let filter = LogFilter { address, topics: topics.clone(), from_block, to_block: last };
                found.extend(node.logs(&filter).map_err(chain_error)?);
                from_block = last.saturating_add(1);
            }
            Ok(found)
        })
    }
}

impl ContractChain for RpcChain {
    fn view(&self, to: Address, input: Bytes) -> Later<'_, Result<Bytes, ChainError>> {
        self.asked(to, input)
    }

    fn gas_limit(&self) -> Later<'_, Result<u64, ChainError>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Limit {
            gas_limit: U64,
        }
        self.ask(|node| {
            let found: Option<Limit> =
                node.request("eth_getBlockByNumber", &json!(["latest", false])).map_err(chain_error)?;
            let found = found
                .ok_or_else(|| ChainError::Answer(format!("{} has no newest block", node.endpoint())))?;
            Ok(found.gas_limit.to())
        })
    }

    fn estimate(&self, message: &Message) -> Later<'_, Result<Estimate, ChainError>> {
        let call = self.wire(message);
        self.ask(move |node| match node.request::<U64>("eth_estimateGas", &json!([call, "latest"])) {
            Ok(gas) => Ok(Estimate::Takes(gas.to())),
            Err(error) => Ok(refused_by_contract(error)?.map_or(Estimate::TooLittle, Estimate::Refused)),
        })
    }

    fn transaction(&self, transaction: B256) -> Later<'_, Result<Option<Transaction>, ChainError>> {
        self.ask(move |node| node.transaction(&transaction).map_err(chain_error))
    }
}

/// A call that does not pass is an answer of the contract, and no failure of the node: why, or `None` where it takes more gas.
fn refused_by_contract(error: RpcError) -> Result<Option<String>, ChainError> {
    let (code, message, data) = match &error {
        RpcError::Refused { code, message, data, .. } => {
            (*code, message.to_ascii_lowercase(), data.as_deref())
        }
        _ => return Err(chain_error(error)),
    };
    let short = ["out of gas", "outofgas", "gas required exceeds", "intrinsic gas"];
    match data.filter(|data| !data.is_empty()) {
        Some(data) if token::is_too_little_gas(data) => Ok(None),
        Some(data) => Ok(Some(refusal_text(Refusal::decode(data)))),
        None if short.iter().any(|words| message.contains(words)) => Ok(None),
        None if code == 3 || message.contains("revert") => Ok(Some(message)),
        None => Err(chain_error(error)),
    }
}

fn refusal_text(refusal: Refusal) -> String {
    match refusal {
        Refusal::Unknown(data) => token::revert_text(&data),
        other => other.to_string(),
    }
}

fn block(node: &Node, at: BlockAt) -> Result<set_registry::Block, ChainError> {
    let found = node.block(at).map_err(chain_error)?;
    found.ok_or_else(|| ChainError::Answer(format!("{} has no such block", node.endpoint())))
}

fn word(token: Address, answer: &[u8]) -> Result<U256, ChainError> {
    token::word(answer).ok_or_else(|| {
        ChainError::Answer(format!(
            "{token} does not answer as a token with EIP-3009: is it the right address?"
        ))
    })
}

fn chain_error(error: RpcError) -> ChainError {
    match error {
        RpcError::Refused { .. } => ChainError::Refused(error.to_string()),
        RpcError::Unreadable { .. } => ChainError::Answer(error.to_string()),
        _ => ChainError::Unreachable(error.to_string()),
    }
}
