//! Payment intents (sequencer API, section 3.8). Of these answers nothing is signed: what they say is the server's word.

use uuid::Uuid;
use ves_wire::payments::{PaymentAnswer, PaymentNetworks, PaymentReceiptBody, SubmitPayment};

use crate::{Client, ClientError};

impl Client {
    /// What a payer has to sign, by network and asset.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn payment_networks(&self) -> Result<PaymentNetworks, ClientError> {
        self.http.get("/api/v1/x402/networks")
    }

    /// Submits a signed intent. The same one with the same idempotency key again gets the first answer.
    ///
    /// # Errors
    /// [`ClientError`]; after `Unreachable` nobody knows whether it has its number.
    pub fn submit_payment(&self, intent: &SubmitPayment) -> Result<PaymentAnswer, ClientError> {
        self.http.post_json("/api/v1/x402/payments", intent)
    }

    /// Where an intent stands.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::is_not_found`] where there is none.
    pub fn payment(&self, intent: &Uuid) -> Result<PaymentAnswer, ClientError> {
        self.http.get(&format!("/api/v1/x402/payments/{intent}"))
    }

    /// Proof that an intent is in its batch.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::is_not_found`] where there is none, or it is in no batch yet.
    pub fn payment_receipt(&self, intent: &Uuid) -> Result<PaymentReceiptBody, ClientError> {
        let answer: ves_wire::payments::PaymentReceiptAnswer =
            self.http.get(&format!("/api/v1/x402/payments/{intent}/receipt"))?;
        Ok(answer.receipt)
    }
}
