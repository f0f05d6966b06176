//! Payments of the public x402 protocol, told to the sequencer: each becomes an intent in the seller's stream.

use std::sync::{Arc, Mutex, PoisonError};

use stateset_sequencer::{AuthorizationId, ErrorKind, PaymentError, PublicPayment, Sequencer};
use stateset_x402::{Later, LogReceipt, PaymentKey, PaymentLog, PaymentLogError, Sale, SettledPayment};
use uuid::Uuid;
use ves::x402::TokenAddress;
use ves::{Digest, StreamKey};

/// The sequencer of the present term, where there is one.
#[derive(Clone, Default)]
pub struct Present(Arc<Mutex<Option<Sequencer>>>);

impl Present {
    /// A term begins, or all of them are over.
    pub fn set(&self, sequencer: Option<Sequencer>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sequencer;
    }

    /// That of the present term.
    pub fn get(&self) -> Option<Sequencer> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        held.filter(|sequencer| !sequencer.has_ended())
    }
}

/// The history of one seller's payments.
pub struct SequencedPayments {
    pub present: Present,
    pub stream: StreamKey,
}

impl PaymentLog for SequencedPayments {
    fn record<'a>(
        &'a self,
        payment: &'a SettledPayment,
    ) -> Later<'a, Result<Option<LogReceipt>, PaymentLogError>> {
        Box::pin(async move {
            let sequencer = self.writer()?;
            let told = public(payment, self.stream)?;
            let recorded =
                sequencer.payments().record_settled(told).await.map_err(|error| refused(&error))?;
            let (intent_id, sequence_number) = (recorded.intent_id, recorded.sequence_number);
            if recorded.is_intent() {
                tracing::error!(
                    intent = %intent_id, transaction = %payment.transaction, bought = payment.resource,
                    "one authorization has paid for an intent and for what was bought: the sale was made without a hold of this \
                     log, by an older version or in front of another log"
                );
            }
            Ok(Some(LogReceipt { intent_id, sequence_number }))
        })
    }

    fn is_promised<'a>(&'a self, key: &'a PaymentKey) -> Later<'a, Result<bool, PaymentLogError>> {
        Box::pin(async move {
            let found = self.writer()?.payments().is_of_intent(&authorization(key)).await;
            found.map_err(|error| refused(&error))
        })
    }

    fn hold<'a>(&'a self, key: &'a PaymentKey, sale: Sale) -> Later<'a, Result<bool, PaymentLogError>> {
        Box::pin(async move {
            let Sale { id, was_settled } = sale;
            let held = self.writer()?.payments().hold(&authorization(key), id, was_settled).await;
            held.map_err(|error| refused(&error))
        })
    }

    fn release<'a>(&'a self, key: &'a PaymentKey, sale: Uuid) -> Later<'a, Result<(), PaymentLogError>> {
        Box::pin(async move {
            let released = self.writer()?.payments().release(&authorization(key), sale).await;
            released.map_err(|error| refused(&error))
        })
    }

    fn lost<'a>(&'a self, key: &'a PaymentKey) -> Later<'a, Result<(), PaymentLogError>> {
        Box::pin(async move {
            let noted = self.writer()?.payments().note_lost(&authorization(key)).await;
            noted.map_err(|error| refused(&error))
        })
    }
}

fn authorization(key: &PaymentKey) -> AuthorizationId {
    let PaymentKey { chain_id, token, from, nonce } = *key;
    AuthorizationId {
        chain_id,
        token: TokenAddress(token.into()),
        payer: from.into(),
        nonce: Digest(nonce.0),
    }
}

impl SequencedPayments {
    fn writer(&self) -> Result<Sequencer, PaymentLogError> {
        self.present.get().ok_or_else(|| {
            PaymentLogError::Unavailable("another process writes the log, or none does".to_owned())
        })
    }
}

fn public(payment: &SettledPayment, stream: StreamKey) -> Result<PublicPayment, PaymentLogError> {
    let authorization = &payment.authorization;
    let amount = u64::try_from(authorization.value).map_err(|_| {
        PaymentLogError::Refused(format!("{} is more than an intent can hold", authorization.value))
    })?;
    Ok(PublicPayment {
        stream,
        version: payment.version.number(),
        chain_id: payment.chain_id,
        token: TokenAddress(payment.token.into()),
        payer: authorization.from.into(),
        payee: authorization.to.into(),
        amount,
        nonce: Digest(authorization.nonce.0),
        valid_before: authorization.valid_before_s(),
        signing_hash: Digest(payment.digest.0),
        signature: payment.signature.to_vec(),
        transaction: Digest(payment.transaction.0),
        block_number: payment.block_number,
        resource: payment.resource.clone(),
    })
}

fn refused(error: &PaymentError) -> PaymentLogError {
    match error.kind() {
        ErrorKind::Invalid | ErrorKind::Conflict | ErrorKind::NotFound => {
            PaymentLogError::Refused(error.to_string())
        }
        _ => PaymentLogError::Unavailable(error.to_string()),
    }
}
