//! The port to whoever keeps the history of payments: each settled one is told, and gets its number there (x402 C).

use alloy_primitives::{Address, B256, Bytes};
use uuid::Uuid;

use crate::authorization::Authorization;
use crate::chain::Later;
use crate::claim::Version;
use crate::record::PaymentKey;

/// A payment that settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledPayment {
    pub version: Version,
    pub chain_id: u64,
    pub token: Address,
    pub authorization: Authorization,
    pub signature: Bytes,
    /// The 32 bytes that were signed.
    pub digest: B256,
    pub transaction: B256,
    pub block_number: u64,
    /// What was bought.
    pub resource: String,
}

/// Where it stands in the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogReceipt {
    pub intent_id: Uuid,
    pub sequence_number: u64,
}

/// Who asks for an authorization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sale {
    /// Of this sale alone.
    pub id: Uuid,
    /// It had settled, in a block that the chain has undone since: then the history may have it as a payment.
    pub was_settled: bool,
}

/// Why it stands nowhere yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PaymentLogError {
    /// It is told again.
    #[error("the log of payments can't be reached: {0}")]
    Unavailable(String),
    /// It is told again too, since the money has moved; but a person has to mend something first.
    #[error("the log of payments refuses a settled payment: {0}")]
    Refused(String),
}

/// Takes settled payments in. The same payment told again gets the same receipt; it is told again where the chain has undone its
/// block, with the transaction and the block that it stands in then.
pub trait PaymentLog: Send + Sync {
    fn record<'a>(
        &'a self,
        payment: &'a SettledPayment,
    ) -> Later<'a, Result<Option<LogReceipt>, PaymentLogError>>;

    /// Whether the history has this authorization for what was not bought here: an intent that carries it, and is settled by
    /// it. A history without intents promises nothing. Asked before a payment is put down.
    fn is_promised<'a>(&'a self, _key: &'a PaymentKey) -> Later<'a, Result<bool, PaymentLogError>> {
        Box::pin(async { Ok(false) })
    }

    /// Keeps this authorization for a sale; `false` where an intent carries it, or another sale has it. Asked when the sale is
    /// durable here, and before anything is sent; nothing is settled without an answer. The same sale asks again after a crash.
    ///
    /// What is kept is durable when this returns, and counts for every process that ever writes the history: from then on it takes
    /// no intent and no other sale with this authorization, until that is [released](Self::release). A history that takes
    /// neither has nothing to keep.
    fn hold<'a>(&'a self, key: &'a PaymentKey, _sale: Sale) -> Later<'a, Result<bool, PaymentLogError>> {
        Box::pin(async { self.is_promised(key).await.map(|is_promised| !is_promised) })
    }

    /// The sale failed, and holds the authorization no more. Does nothing where another holds it, or it is that of a settled
    /// payment.
    fn release<'a>(&'a self, _key: &'a PaymentKey, _sale: Uuid) -> Later<'a, Result<(), PaymentLogError>> {
        Box::pin(async { Ok(()) })
    }

    /// A payment that was [recorded](Self::record) was undone by the chain, and can't be had again. Told until it is taken in, and
    /// again after a crash.
    fn lost<'a>(&'a self, _key: &'a PaymentKey) -> Later<'a, Result<(), PaymentLogError>> {
        Box::pin(async { Ok(()) })
    }
}

/// Keeps no history beside the facilitator's own records.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLog;

impl PaymentLog for NoLog {
    fn record<'a>(&'a self, _: &'a SettledPayment) -> Later<'a, Result<Option<LogReceipt>, PaymentLogError>> {
        Box::pin(async { Ok(None) })
    }
}
