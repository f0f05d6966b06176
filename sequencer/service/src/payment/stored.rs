//! Where payments lie in the tables of documents.
//!
//! | table | key | text | content |
//! |---|---|---|---|
//! | `PaymentIntents` | stream, number | the intent | |
//! | `PaymentIntentIds` | intent id | its number | its stream |
//! | `PaymentNonces` | `n`, stream, payer, nonce | the intent's number | |
//! | `PaymentNonces` | `e`, chain, token, payer, nonce of an authorization | the intent's number, or `{"sale": id}` while a sale holds it ([`super::hold`]) | its stream, or nothing |
//! | `PaymentNonces` | `1`, signing hash of the first form | the intent's number | its stream |
//! | `PaymentKeys` | stream, SHA-256 of the idempotency key | the intent's number | SHA-256 of the request |
//! | `PaymentLists` | `s`, stream | [`HeadText`] | |
//! | `PaymentLists` | `v`, stream | [`ChainText`] | |
//! | `PaymentLists` | `t`, status, stream, number | none | what batching looks at |
//! | `PaymentLists` | `u`, stream, number | none | a settled payment under no root: what batching looks at |
//! | `PaymentLists` | `p` or `q`, stream, payer or payee, number | none | |
//! | `PaymentLists` | `b`, status, batch id | none | |
//! | `PaymentLists` | `w`, batch id | none | until when a settled batch is looked at, in ms (8 bytes), and whether it is undone |
//! | `PaymentLists` | `x`, stream, count of changes | what to tell | |
//! | `PaymentLists` | `a`, stream | how far intents are told | |
//! | `PaymentLists` | `j`, count | intents that wait to be put in these places ([`super::journal`]) | |
//! | `PaymentLists` | `f` | until when nonces are forgotten | |
//! | `PaymentLists` | `k` | none | the secret of event ids |
//! | `PaymentBatches` | batch id | the batch | its leaves |
//!
//! A stream is its tenant's 16 bytes and its store's, a party its length and its bytes, a number 8 bytes, big-endian.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stateset_event_log::{Document, DocumentChange, LogReader, Table};
use uuid::Uuid;
use ves::x402::{Asset, Network, Party, TokenAddress};
use ves::{BatchId, Digest, Hasher, StoreId, StreamKey, TenantId, TimestampMs};

use super::record::{BatchStatus, Payment, PaymentBatch, PaymentStatus};
use crate::error::ServiceError;

/// The counter of a stream.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct HeadText {
    pub current_sequence: u64,
    /// Of that intent.
    pub sequenced_at_ms: i64,
}

/// What every change of a stream's intents and batches moves on.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct ChainText {
    pub changes: u64,
    /// After the newest batch.
    pub state_root: Digest,
}

/// What batching looks at, in 19 bytes, so that an open intent need not be read to be passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Open {
    pub network: Network,
    pub asset: Asset,
    pub valid_until: u64,
    pub sequenced_at: TimestampMs,
    /// Carries the authorization of its payer.
    pub is_authorized: bool,
}

impl Open {
    pub fn of(payment: &Payment) -> Self {
        Self {
            network: payment.content.network,
            asset: payment.content.asset,
            valid_until: payment.content.valid_until,
            sequenced_at: payment.sequenced_at,
            is_authorized: payment.content.authorization.is_some(),
        }
    }

    pub fn bytes(self) -> Vec<u8> {
        let mut bytes = vec![self.network as u8, self.asset as u8];
        bytes.extend(self.valid_until.to_be_bytes());
        bytes.extend(self.sequenced_at.0.to_be_bytes());
        bytes.push(self.is_authorized.into());
        bytes
    }

    pub fn read(content: &[u8]) -> Result<Self, ServiceError> {
        let parse = || {
            let [network, asset] = *content.first_chunk::<2>()?;
            let valid_until = u64::from_be_bytes(content.get(2..10)?.try_into().ok()?);
            let at = i64::from_be_bytes(content.get(10..18)?.try_into().ok()?);
            // Entries of before authorizations have 18 bytes.
            let is_authorized = content.get(18).is_some_and(|flag| *flag == 1);
            Some(Self {
                is_authorized,
                network: *Network::ALL.get(usize::from(network))?,
                asset: *Asset::ALL.get(usize::from(asset))?,
                valid_until,
                sequenced_at: TimestampMs(at),
            })
        };
        parse().ok_or_else(unreadable)
    }
}

pub(super) fn stream_key(stream: &StreamKey) -> [u8; 32] {
    let mut key = [0; 32];
    key[..16].copy_from_slice(stream.tenant_id.as_bytes());
    key[16..].copy_from_slice(stream.store_id.as_bytes());
    key
}

/// The stream that these bytes begin with, and what follows.
pub(super) fn split_stream(bytes: &[u8]) -> Result<(StreamKey, &[u8]), ServiceError> {
    let (tenant, rest) = bytes.split_first_chunk::<16>().ok_or_else(unreadable)?;
    let (store, rest) = rest.split_first_chunk::<16>().ok_or_else(unreadable)?;
    let stream =
        StreamKey { tenant_id: TenantId::from_bytes(*tenant), store_id: StoreId::from_bytes(*store) };
    Ok((stream, rest))
}

pub(super) fn number_of(bytes: &[u8]) -> Result<u64, ServiceError> {
    bytes.try_into().map(u64::from_be_bytes).map_err(|_| unreadable())
}

pub(super) fn intent_key(stream: &StreamKey, number: u64) -> Vec<u8> {
    [&stream_key(stream)[..], &number.to_be_bytes()].concat()
}

pub(super) fn nonce_key(stream: &StreamKey, payer: &Party, nonce: u64) -> Vec<u8> {
    [b"n", &stream_key(stream)[..], &party_bytes(payer), &nonce.to_be_bytes()].concat()
}

/// Who has an authorization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NonceRow {
    /// The payment of that number.
    Payment(StreamKey, u64),
    /// A sale that is not settled yet.
    Held { sale: Uuid },
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum NonceText {
    Number(u64),
    Held { sale: Uuid },
}

impl NonceRow {
    pub fn held(sale: Uuid) -> NonceText {
        NonceText::Held { sale }
    }
}

/// Who has the authorization of that key ([`public_key`]), of what is filed.
pub(super) fn nonce_row(reader: &dyn LogReader, key: &[u8]) -> Result<Option<NonceRow>, ServiceError> {
    let Some(found) = reader.document(Table::PaymentNonces, key)? else { return Ok(None) };
    match read(&found)? {
        NonceText::Held { sale } => Ok(Some(NonceRow::Held { sale })),
        NonceText::Number(number) => {
            let (stream, _) = split_stream(&found.content)?;
            Ok(Some(NonceRow::Payment(stream, number)))
        }
    }
}

/// What makes a payment of the public protocol one payment, in the whole log.
pub(super) fn public_key(chain_id: u64, token: &TokenAddress, payer: &[u8; 20], nonce: &Digest) -> Vec<u8> {
    [b"e", &chain_id.to_be_bytes()[..], &token.0, payer, &nonce.0].concat()
}

pub(super) fn old_form_key(signing_hash: &Digest) -> Vec<u8> {
    [b"1", &signing_hash.0[..]].concat()
}

pub(super) fn idempotency_key(stream: &StreamKey, key: &str) -> Vec<u8> {
    let hash = Hasher::bare().bytes(key.as_bytes()).finish();
    [&stream_key(stream)[..], &hash.0].concat()
}

/// The key of a list that has one entry for each stream.
pub(super) fn of_stream(list: u8, stream: &StreamKey) -> Vec<u8> {
    [&[list][..], &stream_key(stream)].concat()
}

pub(super) const HEADS: u8 = b's';
pub(super) const CHAINS: u8 = b'v';
pub(super) const STATUSES: u8 = b't';
pub(super) const PAYERS: u8 = b'p';
pub(super) const PAYEES: u8 = b'q';
pub(super) const BATCHES: u8 = b'b';
pub(super) const TO_TELL: u8 = b'x';
pub(super) const TOLD: u8 = b'a';
pub(super) const FORGOTTEN: u8 = b'f';
pub(super) const SECRET: u8 = b'k';
pub(super) const UNBATCHED: u8 = b'u';
pub(super) const WATCHED: u8 = b'w';

pub(super) fn watched_key(batch: &BatchId) -> Vec<u8> {
    [&[WATCHED][..], batch.as_bytes()].concat()
}

pub(super) fn unbatched_key(stream: &StreamKey, number: u64) -> Vec<u8> {
    [&[UNBATCHED][..], &intent_key(stream, number)].concat()
}

/// The beginning of the list of one status, over all streams.
pub(super) fn status_prefix(status: PaymentStatus) -> Vec<u8> {
    vec![STATUSES, status as u8]
}

pub(super) fn status_key(status: PaymentStatus, stream: &StreamKey, number: u64) -> Vec<u8> {
    [&status_prefix(status)[..], &intent_key(stream, number)].concat()
}

/// The beginning of the list of one party in a stream.
pub(super) fn party_prefix(list: u8, stream: &StreamKey, party: &Party) -> Vec<u8> {
    [&[list][..], &stream_key(stream), &party_bytes(party)].concat()
}

fn party_key(list: u8, stream: &StreamKey, party: &Party, number: u64) -> Vec<u8> {
    [&party_prefix(list, stream, party)[..], &number.to_be_bytes()].concat()
}

pub(super) fn batch_list_prefix(status: BatchStatus) -> Vec<u8> {
    vec![BATCHES, status as u8]
}

fn batch_list_key(status: BatchStatus, batch: &BatchId) -> Vec<u8> {
    [&batch_list_prefix(status)[..], batch.as_bytes()].concat()
}

fn party_bytes(party: &Party) -> Vec<u8> {
    let bytes = party.as_bytes();
    [&[bytes.len() as u8][..], bytes].concat()
}

pub(super) fn put(table: Table, key: Vec<u8>, text: String, content: Vec<u8>) -> DocumentChange {
    DocumentChange::Put(table, Document { key, text, content })
}

/// An entry of a list: all that it says is its key, and sometimes its content.
pub(super) fn entry(key: Vec<u8>, content: Vec<u8>) -> DocumentChange {
    put(Table::PaymentLists, key, "null".to_owned(), content)
}

/// Everything that a new intent is found by, but for nonce and idempotency key.
pub(super) fn put_new(
    payment: &Payment,
    payer: &Party,
    payee: &Party,
) -> Result<Vec<DocumentChange>, ServiceError> {
    let (stream, number) = (payment.stream(), payment.sequence_number);
    let id = payment.intent_id.as_bytes().to_vec();
    let mut changes = vec![
        put_payment(payment)?,
        put(Table::PaymentIntentIds, id, number.to_string(), stream_key(&stream).to_vec()),
        entry(status_key(payment.status, &stream, number), Open::of(payment).bytes()),
        entry(party_key(PAYERS, &stream, payer, number), Vec::new()),
        entry(party_key(PAYEES, &stream, payee, number), Vec::new()),
    ];
    if payment.authorization.is_some() {
        changes.push(entry(unbatched_key(&stream, number), Open::of(payment).bytes()));
    }
    Ok(changes)
}

pub(super) fn put_payment(payment: &Payment) -> Result<DocumentChange, ServiceError> {
    let key = intent_key(&payment.stream(), payment.sequence_number);
    Ok(put(Table::PaymentIntents, key, json(payment)?, Vec::new()))
}

/// An intent whose status changed.
pub(super) fn put_moved(
    before: PaymentStatus,
    payment: &Payment,
) -> Result<Vec<DocumentChange>, ServiceError> {
    let (stream, number) = (payment.stream(), payment.sequence_number);
    Ok(vec![
        put_payment(payment)?,
        DocumentChange::Remove(Table::PaymentLists, status_key(before, &stream, number)),
        entry(status_key(payment.status, &stream, number), Open::of(payment).bytes()),
    ])
}

/// A batch in its place, and in the list of its status.
pub(super) fn put_batch(
    before: Option<BatchStatus>,
    batch: &PaymentBatch,
    leaves: Vec<u8>,
) -> Result<Vec<DocumentChange>, ServiceError> {
    let key = batch.batch_id.as_bytes().to_vec();
    let mut changes = vec![put(Table::PaymentBatches, key, json(batch)?, leaves)];
    changes.extend(
        before.filter(|before| *before != batch.status).map(|before| {
            DocumentChange::Remove(Table::PaymentLists, batch_list_key(before, &batch.batch_id))
        }),
    );
    changes.push(entry(batch_list_key(batch.status, &batch.batch_id), Vec::new()));
    Ok(changes)
}

/// The intent of that number.
pub(super) fn payment_at(
    reader: &dyn LogReader,
    stream: &StreamKey,
    number: u64,
) -> Result<Option<Payment>, ServiceError> {
    let found = reader.document(Table::PaymentIntents, &intent_key(stream, number))?;
    found.as_ref().map(read).transpose()
}

/// An intent that something else names, so that it has to be there.
pub(super) fn listed_payment(
    reader: &dyn LogReader,
    stream: &StreamKey,
    number: u64,
) -> Result<Payment, ServiceError> {
    payment_at(reader, stream, number)?
        .ok_or_else(|| ServiceError::Read(format!("payment intent {number} of stream {stream} is missing")))
}

/// Where the intent of that id lies.
pub(super) fn place_of(
    reader: &dyn LogReader,
    intent_id: &Uuid,
) -> Result<Option<(StreamKey, u64)>, ServiceError> {
    let Some(found) = reader.document(Table::PaymentIntentIds, intent_id.as_bytes())? else {
        return Ok(None);
    };
    let (stream, _) = split_stream(&found.content)?;
    Ok(Some((stream, read(&found)?)))
}

/// The batch of that id and its leaves.
pub(super) fn batch_of(
    reader: &dyn LogReader,
    batch_id: &BatchId,
) -> Result<Option<(PaymentBatch, Vec<u8>)>, ServiceError> {
    let Some(found) = reader.document(Table::PaymentBatches, batch_id.as_bytes())? else { return Ok(None) };
    Ok(Some((read(&found)?, found.content)))
}

pub(super) fn json(value: &impl Serialize) -> Result<String, ServiceError> {
    serde_json::to_string(value).map_err(|error| ServiceError::Internal(error.to_string()))
}

pub(super) fn read<T: DeserializeOwned>(document: &Document) -> Result<T, ServiceError> {
    serde_json::from_str(&document.text).map_err(|_| unreadable())
}

pub(super) fn unreadable() -> ServiceError {
    ServiceError::Read("a document of a payment is none that this service wrote".to_owned())
}
