//! The public x402 protocol, versions 1 and 2: HTTP 402, a signed EIP-3009 authorization in a header, settled at once.
//!
//! ```text
//! request ─► X402Gate: price? ─► header ─► claim ─► verify (pure, then the chain) ─► settle ─► answer
//!                                                                                   └─► PaymentLog (a port)
//! ```
//!
//! - Forms on the wire are in [`forms`] and [`header`]; inside there is one [`Claim`] for both versions.
//! - What is decided without a chain is in [`verify`]; what a chain says comes through [`ChainFacts`].
//! - No payment is sent before its [`Record`] is durable, so none is sent twice ([`Facilitator`]).
//! - The payer's authorization moves the money inside the token. Nothing here ever holds any.
//!
//! Amounts are in the token's smallest unit, times in Unix seconds, chains by their EIP-155 number.

mod answers;
mod authorization;
pub mod batch;
mod buyer;
mod chain;
mod claim;
mod covered;
mod facilitator;
mod follow;
pub mod forms;
mod gate;
pub mod header;
mod look_back;
mod networks;
mod offer;
mod payment_log;
mod pricing;
mod reason;
mod recall;
mod record;
mod reverts;
mod rounds;
mod routes;
mod rpc_chain;
mod sender;
mod sending;
mod settle;
mod signature;
mod token;
pub mod verify;

pub use authorization::{Authorization, Domain};
pub use buyer::{Bill, BuyError, Buyer, Choice, receipt as settlement_of};
pub use chain::{Chain, ChainError, ChainFacts, ContractChain, Estimate, Fees, Later};
pub use claim::{Claim, ClaimError, Version};
pub use facilitator::{ChainSetup, Clock, Facilitator, FacilitatorError, Requirements};
pub use gate::{GateSettings, X402Gate};
pub use networks::{ChainTable, NetworkError};
pub use offer::{Offer, Resource, Token};
pub use payment_log::{LogReceipt, NoLog, PaymentLog, PaymentLogError, Sale, SettledPayment};
pub use pricing::{Price, PriceTable};
pub use reason::{Reason, Refusal};
pub use record::{Hold, OpenError, PaymentKey, Record, Records, Stage};
pub use routes::router;
pub use rpc_chain::RpcChain;
pub use sender::{Message, Outgoing, STUCK_BLOCKS, SendError, Sender, Standing};
pub use settle::{SettleError, Settlement};
pub use signature::PayerSignature;
pub use verify::VerifyError;
