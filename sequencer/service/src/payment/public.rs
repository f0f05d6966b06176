//! Payments of the public x402 protocol: settled on a chain before they come here, and put into the same history as
//! intents, with a number, a leaf and a receipt (x402, C).
//!
//! Who tells of one is trusted with it: the operator's own facilitator, which has seen the token's events. What makes it
//! one payment is the authorization (chain, token, payer, nonce), in the whole log: told again, it is answered with what is
//! stored, and where the chain has it in another transaction by now, that one is stored.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::json;
use stateset_event_log::{DocumentChange, LogReader, Table};
use ves::x402::{AMOUNT_MAX, Asset, Network, Party, TokenAddress};
use ves::{BatchId, Digest, Hasher, KeyId, StreamKey, TimestampMs};

use super::Payments;
use super::admission::{Admitted, PaymentSubmission, PreparedPayment};
use super::batch::{BatchPolicy, PAGE, batch_over};
use super::change::Change;
use super::error::PaymentError;
use super::hold::AuthorizationId;
use super::record::{BatchStatus, Payment, PaymentContent};
use super::stored::{
    NonceRow, Open, UNBATCHED, listed_payment, nonce_row, number_of, public_key, put_batch, put_payment,
    split_stream, unbatched_key,
};
use super::submit::{Keys, intent_id, look_up};
use super::tally::Tally;
use crate::error::ServiceError;
use crate::ingest::random_bytes;
use crate::reply::Reply;
use crate::turn::Command;

/// The key id of the sequencer's own agent where none is asked for.
const KEY_ID: KeyId = KeyId(1);

/// What a facilitator has seen on a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicPayment {
    /// The stream of the seller.
    pub stream: StreamKey,
    /// Version of the public protocol, 1 or 2.
    pub version: u8,
    pub chain_id: u64,
    pub token: TokenAddress,
    pub payer: [u8; 20],
    pub payee: [u8; 20],
    /// In the token's smallest unit.
    pub amount: u64,
    /// Of the authorization (EIP-3009).
    pub nonce: Digest,
    /// Unix seconds; when the authorization ended.
    pub valid_before: u64,
    /// What the payer signed (EIP-712).
    pub signing_hash: Digest,
    pub signature: Vec<u8>,
    pub transaction: Digest,
    pub block_number: u64,
    /// What was bought.
    pub resource: String,
}

/// What an intent has besides, where it was paid by the public protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicAuthorization {
    /// Of the token, instead of the intent's own nonce.
    pub nonce: Digest,
}

/// What is known of a payment that settled before it got its number.
#[derive(Debug, Clone, Copy)]
pub(super) struct SettledBefore {
    pub authorization: PublicAuthorization,
    pub transaction: Digest,
    pub block_number: u64,
}

/// Of a payment that was recorded as settled.
const LOST: &str =
    "the chain has undone it, and it can't be had again: its authorization has ended, or was used otherwise";

impl Payments<'_> {
    /// Gives a settled payment its number. It is durable when this returns; told again, it is answered with what is
    /// stored.
    ///
    /// # Errors
    /// [`PaymentError::Invalid`] names what cannot be in the history; nothing was changed unless it is
    /// [`ServiceError::Unclear`], after which the payment is told again.
    pub async fn record_settled(&self, payment: PublicPayment) -> Result<Payment, PaymentError> {
        let (network, asset) = self.token_of(payment.chain_id, &payment.token)?;
        let content = content(&payment, network, asset, self.agent_id())?;
        let keys = Keys {
            nonce: public_key(payment.chain_id, &payment.token, &payment.payer, &payment.nonce),
            old_form: None,
            idempotency: None,
            authorization: None,
        };
        let as_of = self.service.shared().payments.ticks.load(Ordering::Acquire);
        let asked = keys.clone();
        let facts = self.service.read::<_, ServiceError>(move |reader| look_up(reader, &asked)).await?;
        let (transaction, block_number) = (payment.transaction, payment.block_number);
        if facts.nonce_used {
            let recorded = self.recorded(keys.nonce).await?;
            return self.moved_to(recorded, transaction, block_number).await;
        }
        let settled = SettledBefore {
            authorization: PublicAuthorization { nonce: payment.nonce },
            transaction: payment.transaction,
            block_number: payment.block_number,
        };
        let prepared = PreparedPayment {
            intent_id: intent_id(self.service)?,
            content_hash: content.hash()?,
            content,
            version: payment.version,
            token: Some(payment.token),
            keys: keys.clone(),
            settled: Some(settled),
        };
        let service = self.service;
        let (reply, answer) = Reply::new(service.place(1).await?);
        service.put(Command::Payment(Box::new(PaymentSubmission { prepared, as_of, facts, reply })))?;
        match service.answer::<_, ServiceError>(answer).await? {
            Admitted::Sequenced(payment) => Ok(*payment),
            Admitted::NonceUsed | Admitted::AuthorizationUsed | Admitted::Repeated { .. } => {
                let recorded = self.recorded(keys.nonce).await?;
                self.moved_to(recorded, transaction, block_number).await
            }
            Admitted::Full => Err(ServiceError::StreamFull.into()),
            Admitted::ReplayedOldForm | Admitted::Expired => {
                let problem = "a settled payment was refused as if it were an intent".to_owned();
                Err(ServiceError::Internal(problem).into())
            }
        }
    }

    /// A recorded payment that stands in another transaction or block than it was told with: the chain has undone that one. Its
    /// record names where it stands now; the event that told of it stays as it is.
    async fn moved_to(
        &self,
        recorded: Payment,
        transaction: Digest,
        block_number: u64,
    ) -> Result<Payment, PaymentError> {
        let place = (Some(transaction), Some(block_number));
        let is_there = (recorded.tx_hash, recorded.block_number) == place && recorded.reason.is_none();
        // An intent that carries the same authorization has its own batch, which looks after it.
        if is_there || recorded.is_intent() {
            return Ok(recorded);
        }
        let (stream, number) = (recorded.stream(), recorded.sequence_number);
        let clock = self.service.inner.clock.clone();
        self.change(stream, move |reader, _| {
            let now = clock.now();
            let mut payment = listed_payment(reader, &stream, number)?;
            (payment.tx_hash, payment.block_number) = place;
            payment.reason = None;
            payment.updated_at = now.max(payment.updated_at);
            let mut change = Change::at(now);
            change.documents.push(put_payment(&payment)?);
            Ok((Some(change), payment))
        })
        .await
    }

    /// Says of a recorded payment that the chain has undone it, and that it can't be had again: its `reason` does. Its status and the
    /// event that told of it stay as they are; told as settled once more, it is without that again. Does nothing for an
    /// authorization that no payment of the public protocol was recorded with.
    ///
    /// # Errors
    /// [`PaymentError::Service`]; it is told again.
    pub async fn note_lost(&self, authorization: &AuthorizationId) -> Result<(), PaymentError> {
        self.filed().await?;
        let recorded = self.taken_by(authorization.key()).await?;
        let Some(recorded) = recorded.filter(|held| !held.is_intent() && held.reason.is_none()) else {
            return Ok(());
        };
        let (stream, number) = (recorded.stream(), recorded.sequence_number);
        let clock = self.service.inner.clock.clone();
        self.change(stream, move |reader, _| {
            let now = clock.now();
            let mut payment = listed_payment(reader, &stream, number)?;
            payment.reason = Some(LOST.to_owned());
            payment.updated_at = now.max(payment.updated_at);
            let mut change = Change::at(now);
            change.documents.push(put_payment(&payment)?);
            Ok((Some(change), ()))
        })
        .await
    }

    /// Which asset a contract is, so that history speaks of one asset by one name.
    fn token_of(&self, chain_id: u64, token: &TokenAddress) -> Result<(Network, Asset), PaymentError> {
        let found = self
            .tokens()
            .entries()
            .find(|(network, _, held)| network.chain_id() == chain_id && held == token);
        found.map(|(network, asset, _)| (network, asset)).ok_or_else(|| {
            let problem =
                format!("no asset is {token} on chain {chain_id} here; the operator sets it in X402_TOKENS");
            PaymentError::invalid("token", problem)
        })
    }

    async fn recorded(&self, key: Vec<u8>) -> Result<Payment, PaymentError> {
        let problem =
            || ServiceError::Read("an authorization is taken, and its payment is missing".to_owned());
        self.filed().await?;
        Ok(self.taken_by(key).await?.ok_or_else(problem)?)
    }

    /// The payment that a public authorization is of, by its key.
    async fn taken_by(&self, key: Vec<u8>) -> Result<Option<Payment>, PaymentError> {
        let found = self.service.read::<_, ServiceError>(move |reader| match nonce_row(reader, &key)? {
            Some(NonceRow::Payment(stream, number)) => listed_payment(reader, &stream, number).map(Some),
            Some(NonceRow::Held { .. }) | None => Ok(None),
        });
        Ok(found.await?)
    }

    /// Whether an intent carries this authorization: then it pays for what that intent says, and for nothing else. An intent
    /// may come right after the answer: [`Payments::hold`] decides.
    ///
    /// # Errors
    /// [`PaymentError::Service`].
    pub async fn is_of_intent(&self, authorization: &AuthorizationId) -> Result<bool, PaymentError> {
        self.filed().await?;
        let found = self.taken_by(authorization.key()).await?;
        Ok(found.is_some_and(|payment| payment.is_intent()))
    }

    /// Puts settled payments that are under no root yet under one; how many batches. They need no chain any more, so their
    /// batch is settled as soon as it is committed.
    pub(super) async fn batch_public(&self, policy: &BatchPolicy) -> Result<usize, PaymentError> {
        let (waiting, mut made) = (self.unbatched().await?, Tally::default());
        let now = self.service.now();
        let wait_ms_max = i64::try_from(policy.wait_max.as_millis()).unwrap_or(i64::MAX);
        for ((stream, network, asset), waiting) in waiting {
            for chunk in waiting.chunks(policy.size_max.max(1)) {
                let oldest = chunk.iter().map(|(_, at)| at.0).min().unwrap_or(now.0);
                if chunk.len() >= policy.size_min || now.0.saturating_sub(oldest) >= wait_ms_max {
                    let numbers = chunk.iter().map(|(number, _)| *number).collect();
                    made.add(self.commit_public(stream, network, asset, numbers).await);
                }
            }
        }
        made.end()
    }

    async fn unbatched(&self) -> Result<Unbatched, PaymentError> {
        self.filed().await?;
        self.service
            .read_much(|reader| {
                let (mut waiting, mut after) = (Unbatched::new(), None::<Vec<u8>>);
                loop {
                    let page = reader.documents(Table::PaymentLists, &[UNBATCHED], after.as_deref(), PAGE)?;
                    for found in &page {
                        let (stream, number) = split_stream(&found.key[1..])?;
                        let open = Open::read(&found.content)?;
                        let group = waiting.entry((stream, open.network, open.asset)).or_default();
                        group.push((number_of(number)?, open.sequenced_at));
                    }
                    match page.into_iter().last() {
                        Some(last) => after = Some(last.key),
                        None => return Ok(waiting),
                    }
                }
            })
            .await
    }

    async fn commit_public(
        &self,
        stream: StreamKey,
        network: Network,
        asset: Asset,
        numbers: Vec<u64>,
    ) -> Result<usize, PaymentError> {
        let batch_id = BatchId::random(random_bytes()?);
        let clock = self.service.inner.clock.clone();
        self.change(stream, move |reader, chain| {
            let now = clock.now();
            let mut members = members(reader, &stream, network, asset, &numbers)?;
            // The table of tokens may have been changed between two payments.
            let token = members.first().map(|payment| payment.token_address);
            members.retain(|payment| Some(payment.token_address) == token);
            if members.is_empty() {
                return Ok((None, 0));
            }
            let (mut batch, leaves) = batch_over(chain, batch_id, &members, now)?;
            batch.status = BatchStatus::Settled;
            (batch.submitted_at_ms, batch.settled_at_ms) = (Some(now.0), Some(now.0));
            let mut change = Change::at(now);
            change.state_root = Some(batch.new_state_root);
            change.tell.batch = Some(batch_id);
            change.tell.batch_statuses =
                vec![BatchStatus::Pending, BatchStatus::Committed, BatchStatus::Settled];
            change.documents.extend(put_batch(None, &batch, leaves)?);
            for (index, mut payment) in (0u32..).zip(members) {
                payment.batch_id = Some(batch_id);
                payment.leaf_index = Some(index);
                payment.updated_at = now.max(payment.updated_at);
                let place = unbatched_key(&stream, payment.sequence_number);
                change.documents.push(DocumentChange::Remove(Table::PaymentLists, place));
                change.documents.push(put_payment(&payment)?);
            }
            Ok((Some(change), 1))
        })
        .await
    }
}

/// Settled payments that are under no root, with the times of their numbers.
type Unbatched = BTreeMap<(StreamKey, Network, Asset), Vec<(u64, TimestampMs)>>;

fn members(
    reader: &dyn LogReader,
    stream: &StreamKey,
    network: Network,
    asset: Asset,
    numbers: &[u64],
) -> Result<Vec<Payment>, ServiceError> {
    let found = numbers.iter().map(|number| listed_payment(reader, stream, *number));
    let mut found = found.collect::<Result<Vec<_>, _>>()?;
    found.retain(|payment| {
        payment.batch_id.is_none() && payment.content.network == network && payment.content.asset == asset
    });
    Ok(found)
}

fn content(
    payment: &PublicPayment,
    network: Network,
    asset: Asset,
    agent_id: ves::AgentId,
) -> Result<PaymentContent, PaymentError> {
    if !(1..=AMOUNT_MAX).contains(&payment.amount) {
        return Err(PaymentError::invalid("amount", format!("expected 1 to {AMOUNT_MAX}")));
    }
    if payment.payer == payment.payee {
        return Err(PaymentError::invalid("payee", "payer and payee must differ"));
    }
    let StreamKey { tenant_id, store_id } = payment.stream;
    let wallet = |bytes: &[u8; 20]| ves::hex::encode_0x(Party::Wallet(*bytes).as_bytes());
    let metadata = json!({
        "x402Version": payment.version, "scheme": "exact", "authorizationNonce": payment.nonce.to_0x(),
        "signature": ves::hex::encode_0x(&payment.signature),
    });
    Ok(PaymentContent {
        tenant_id,
        store_id,
        agent_id,
        agent_key_id: KEY_ID,
        payer_address: wallet(&payment.payer),
        payee_address: wallet(&payment.payee),
        amount: payment.amount,
        asset,
        network,
        valid_until: payment.valid_before,
        // Not set: the authorization has its own.
        nonce: 0,
        signing_hash: payment.signing_hash,
        payer_signature: signature_bytes(&payment.signature),
        payer_public_key: None,
        idempotency_key: None,
        resource_uri: Some(payment.resource.clone()),
        description: None,
        order_id: None,
        merchant_id: None,
        metadata: Some(metadata),
        authorization: None,
    })
}

/// The 64 bytes that the leaf holds: `r ‖ s` of an account's signature; of a wallet's, SHA-256 and 32 zeros.
fn signature_bytes(signature: &[u8]) -> [u8; 64] {
    let mut bytes = [0; 64];
    match signature.len() {
        65 => bytes.copy_from_slice(&signature[..64]),
        _ => bytes[..32].copy_from_slice(&Hasher::bare().bytes(signature).finish().0),
    }
    bytes
}
