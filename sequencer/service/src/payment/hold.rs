//! Holds: an authorization that pays for something by the public protocol, kept for that sale before its money moves.
//!
//! A hold is the row that the payment takes once it is settled, so an intent that carries the authorization finds it in
//! use, whichever process writes the log by then. Written and taken away by the turn loop alone, in one order with the
//! intents that it admits: of an intent and a sale one counts, the one that is on disk first.

use stateset_event_log::{DocumentChange, Table};
use uuid::Uuid;
use ves::Digest;
use ves::x402::TokenAddress;

use super::Payments;
use super::error::PaymentError;
use super::stored::{NonceRow, json, listed_payment, nonce_row, public_key, put};
use crate::error::ServiceError;
use crate::reply::Reply;
use crate::turn::{Command, TurnLoop};

/// An authorization of a token (EIP-3009): it moves money once, whoever brings it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthorizationId {
    /// EIP-155.
    pub chain_id: u64,
    pub token: TokenAddress,
    /// The wallet that signed it.
    pub payer: [u8; 20],
    pub nonce: Digest,
}

impl AuthorizationId {
    pub(super) fn key(&self) -> Vec<u8> {
        public_key(self.chain_id, &self.token, &self.payer, &self.nonce)
    }
}

/// What a sale wants of an authorization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// To be paid by it. One that had settled, before the chain undid that, may find its own payment there.
    Hold {
        was_settled: bool,
    },
    Release,
}

/// A question to the writer.
pub(crate) struct HoldRequest {
    key: Vec<u8>,
    sale: Uuid,
    wish: Wish,
    reply: Reply<bool, ServiceError>,
}

impl Payments<'_> {
    /// Keeps an authorization for a sale by the public protocol: from then on no intent that carries it is taken and no
    /// other sale gets it, by whichever process writes the log. `false` where one of these has it already. The same sale may
    /// ask again. Durable when it returns; [`Payments::record_settled`] makes it final, and [`Payments::release`] ends it.
    ///
    /// - `sale`: an id of this sale alone, which stays the same over a crash of whoever sells.
    /// - `was_settled`: the sale was recorded as settled, and the chain has undone that.
    ///
    /// # Errors
    /// [`PaymentError::Service`]. It may be held then: the same sale asks again.
    pub async fn hold(
        &self,
        authorization: &AuthorizationId,
        sale: Uuid,
        was_settled: bool,
    ) -> Result<bool, PaymentError> {
        self.ask_for(authorization, sale, Wish::Hold { was_settled }).await
    }

    /// The sale has failed: its authorization may pay for something else. Does nothing where this sale does not hold it, or
    /// its payment was recorded as settled.
    ///
    /// # Errors
    /// [`PaymentError::Service`]. It may be held still: it is released again.
    pub async fn release(&self, authorization: &AuthorizationId, sale: Uuid) -> Result<(), PaymentError> {
        self.ask_for(authorization, sale, Wish::Release).await.map(drop)
    }

    async fn ask_for(
        &self,
        authorization: &AuthorizationId,
        sale: Uuid,
        wish: Wish,
    ) -> Result<bool, PaymentError> {
        let key = authorization.key();
        let asked = |reply| Command::Hold(Box::new(HoldRequest { key, sale, wish, reply }));
        Ok(self.service.ask(asked).await?)
    }
}

impl TurnLoop {
    pub(crate) fn hold_authorization(&mut self, request: HoldRequest) {
        let HoldRequest { key, sale, wish, reply } = request;
        let answer = match wish {
            Wish::Hold { was_settled } => self.hold_for(key, sale, was_settled),
            Wish::Release => self.release_from(key, sale),
        };
        // A caller that went away does not need its answer.
        drop(reply.send(answer));
    }

    fn hold_for(&mut self, key: Vec<u8>, sale: Uuid, was_settled: bool) -> Result<bool, ServiceError> {
        match self.nonce_row_now(&key)? {
            Some(NonceRow::Held { sale: holder }) => Ok(holder == sale),
            Some(NonceRow::Payment(stream, number)) => {
                Ok(was_settled && !listed_payment(self.reader.as_ref(), &stream, number)?.is_intent())
            }
            None => {
                let row = put(Table::PaymentNonces, key.clone(), json(&NonceRow::held(sale))?, Vec::new());
                self.write(|log| log.put_documents(&[row]))?;
                self.payments.note_hold(key);
                self.tick_if_filed();
                Ok(true)
            }
        }
    }

    fn release_from(&mut self, key: Vec<u8>, sale: Uuid) -> Result<bool, ServiceError> {
        if self.nonce_row_now(&key)? != Some(NonceRow::Held { sale }) {
            return Ok(false);
        }
        let row = DocumentChange::Remove(Table::PaymentNonces, key.clone());
        self.write(|log| log.put_documents(&[row]))?;
        self.payments.note_release(&key);
        Ok(true)
    }

    /// Who has an authorization, of all that was answered before.
    fn nonce_row_now(&mut self, key: &[u8]) -> Result<Option<NonceRow>, ServiceError> {
        let stored = nonce_row(self.reader.as_ref(), key)?;
        if matches!(stored, Some(NonceRow::Payment(..))) || !self.payments.has_taken(key) {
            return Ok(stored);
        }
        // It waits in the journal.
        self.file_payments()?;
        nonce_row(self.reader.as_ref(), key)
    }
}
