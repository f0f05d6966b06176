//! A payment that was signed: whoever holds it can bring it to the token until it ends. What became of it, the token knows.

use serde_json::{Value, json};
use set_registry::abi::Eip3009Token;
use set_registry::{Address, B256, BlockAt, Node, ViewError};
use stateset_x402::Bill;
use ves::TimestampMs;

use crate::error::{CliError, printable};

/// First bytes of a call of EIP-3009's `authorizationState(address,bytes32)`.
const AUTHORIZATION_STATE: &str = "0xe94a0102";

pub struct Signed<'a> {
    pub bill: &'a Bill,
    pub payer: Address,
    pub nonce: B256,
    /// Unix seconds: the token takes it in blocks before that.
    pub valid_before_s: u64,
}

/// What the token says of an authorization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSays {
    /// It was taken: the money moved.
    Taken { block: u64 },
    /// It was not taken, and can be.
    Open { block: u64 },
    /// It was not taken and never will be.
    Over { block: u64 },
    /// It was not asked, and why.
    Nothing(String),
}

impl Signed<'_> {
    /// Asks the token, as of the newest block.
    pub fn look_up(&self, node: Option<&Node>) -> TokenSays {
        let Some(node) = node else {
            return TokenSays::Nothing("no endpoint of the chain is named, by --rpc-url".to_owned());
        };
        self.asked(node).unwrap_or_else(|error| TokenSays::Nothing(error.to_string()))
    }

    fn asked(&self, node: &Node) -> Result<TokenSays, ViewError> {
        let Some(newest) = node.block(BlockAt::Latest)? else {
            return Ok(TokenSays::Nothing(format!("{} has no block", node.endpoint())));
        };
        let call = Eip3009Token::authorizationStateCall { authorizer: self.payer, nonce: self.nonce };
        let is_taken = node.view(self.bill.token, &call, BlockAt::Number(newest.number))?;
        let block = newest.number;
        // Blocks get no older: one that has passed the end is followed by none that takes it.
        Ok(match is_taken {
            true => TokenSays::Taken { block },
            false if newest.timestamp >= self.valid_before_s => TokenSays::Over { block },
            false => TokenSays::Open { block },
        })
    }

    /// Nobody has said for certain what became of it. `why`: what the seller answered.
    pub fn unknown(&self, why: &str, says: &TokenSays) -> CliError {
        let until_ms = self.valid_before_s.saturating_mul(1_000);
        let until = TimestampMs(i64::try_from(until_ms).unwrap_or(i64::MAX));
        let token = match says {
            TokenSays::Nothing(problem) => format!("the token was not asked: {}", printable(problem)),
            TokenSays::Open { block } | TokenSays::Over { block } | TokenSays::Taken { block } => {
                format!("the token says that it was not taken up to block {block}")
            }
        };
        let message = format!(
            "{}, so it is not known whether the payment was taken\n  it can be taken until {until}, and never after\n  {token}\n  \
             payer {}, authorization {}, token {} on chain {}",
            printable(why),
            self.payer,
            self.nonce,
            self.bill.token,
            self.bill.chain_id,
        );
        CliError::failure("PAYMENT_UNKNOWN", message).hint(format!(
            "ask the token by any RPC endpoint of chain {} before you pay again; a result that ends in 1 says that it was taken:\n  \
             curl -H 'content-type: application/json' RPC_URL -d '{}'",
            self.bill.chain_id,
            self.question()
        ))
    }

    /// The JSON-RPC request whose answer says whether the authorization was used.
    fn question(&self) -> Value {
        // An address is the end of a word of 32 bytes.
        let (payer, nonce) =
            (ves::hex::encode(self.payer.as_slice()), ves::hex::encode(self.nonce.as_slice()));
        let data = format!("{AUTHORIZATION_STATE}{:024}{payer}{nonce}", 0);
        let call = json!([{"to": self.bill.token, "data": data}, "latest"]);
        json!({"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": call})
    }
}
