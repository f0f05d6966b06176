//! New intents wait in a journal, a row for each pass, until they are filed: put in the places where they are found.
//!
//! An intent has eight places, spread over the tables, and a pass holds a few intents: filed at once, each would have
//! most of a page written for itself. So a pass is made durable as one row, and what waits is filed together, in the
//! order of the places, before anything reads it: whoever reads intents asks for that first ([`Payments::filed`]), and
//! the worker does before it tells of them. After a crash the journal's rows are read back and filed.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use stateset_event_log::{DocumentChange, LogReader, Table};
use ves::x402::{Party, TokenAddress};
use ves::{Digest, StreamKey};

use super::Payments;
use super::admission::Desk;
use super::record::{Payment, PaymentContent};
use super::stored::{
    HEADS, idempotency_key, json, nonce_key, of_stream, old_form_key, public_key, put, put_new, read,
    stream_key, unreadable,
};
use super::submit::Keys;
use crate::error::ServiceError;
use crate::turn::{Command, TurnLoop};

/// The list that the journal is, in `PaymentLists`: its keys end with a count that rises.
const JOURNAL: u8 = b'j';
/// Intents that wait: with so many a pass files first. It bounds what a start reads back and how long filing takes.
const WAITING_MAX: usize = 512;
/// Rows read back at once.
const PAGE: usize = 256;

/// An intent that has its number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    pub payment: Payment,
    /// What a repeated idempotency key is compared by.
    pub content_hash: Digest,
}

/// Intents that are durable and not filed yet.
#[derive(Default)]
pub(super) struct Journal {
    waiting: Vec<Entry>,
    rows: Vec<u64>,
    next_row: u64,
}

impl Journal {
    /// What an ended term did not file.
    pub fn open(reader: &dyn LogReader) -> Result<Self, ServiceError> {
        let mut journal = Self::default();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = reader.documents(Table::PaymentLists, &[JOURNAL], after.as_deref(), PAGE)?;
            for found in &page {
                let row = found.key[1..].try_into().map_err(|_| unreadable())?;
                journal.keep(u64::from_be_bytes(row), read(found)?);
            }
            match page.into_iter().last() {
                Some(last) => after = Some(last.key),
                None => return Ok(journal),
            }
        }
    }

    pub fn waiting(&self) -> &[Entry] {
        &self.waiting
    }

    /// What makes these intents durable, and the row that it is.
    pub fn row(&self, entries: &[Entry]) -> Result<(u64, DocumentChange), ServiceError> {
        let row = self.next_row;
        Ok((row, put(Table::PaymentLists, row_key(row), json(&entries)?, Vec::new())))
    }

    /// The row is written.
    pub fn keep(&mut self, row: u64, entries: Vec<Entry>) {
        self.next_row = row + 1;
        self.rows.push(row);
        self.waiting.extend(entries);
    }

    /// All that filing writes, in the order in which it lies in the store.
    fn filing(&self, desk: &Desk) -> Result<Vec<DocumentChange>, ServiceError> {
        let mut changes = Vec::with_capacity(9 * self.waiting.len());
        for entry in &self.waiting {
            changes.extend(filed(entry)?);
        }
        for stream in self.streams() {
            let head = desk.heads.get(&stream).ok_or_else(unreadable)?;
            changes.push(put(Table::PaymentLists, of_stream(HEADS, &stream), json(head)?, Vec::new()));
        }
        let rows = self.rows.iter().map(|row| DocumentChange::Remove(Table::PaymentLists, row_key(*row)));
        changes.extend(rows);
        changes.sort_unstable_by(|a, b| place(a).cmp(&place(b)));
        Ok(changes)
    }

    fn streams(&self) -> BTreeSet<StreamKey> {
        self.waiting.iter().map(|entry| entry.payment.stream()).collect()
    }
}

fn row_key(row: u64) -> Vec<u8> {
    [&[JOURNAL][..], &row.to_be_bytes()].concat()
}

fn place(change: &DocumentChange) -> (u8, &[u8]) {
    match change {
        DocumentChange::Put(table, document) => (*table as u8, &document.key),
        DocumentChange::Remove(table, key) => (*table as u8, key),
    }
}

/// Everything that an intent is found by.
fn filed(entry: &Entry) -> Result<Vec<DocumentChange>, ServiceError> {
    let (payment, content) = (&entry.payment, &entry.payment.content);
    let party = |text: &str| Party::parse(text).ok_or_else(unreadable);
    let (payer, payee) = (party(&content.payer_address)?, party(&content.payee_address)?);
    let mut changes = put_new(payment, &payer, &payee)?;
    let keys = Keys::of(payment, &payer)?;
    let (number, stream) = (payment.sequence_number.to_string(), stream_key(&payment.stream()).to_vec());
    // The key of a public authorization names no stream.
    let of_nonce = if payment.authorization.is_some() { stream.clone() } else { Vec::new() };
    changes.push(put(Table::PaymentNonces, keys.nonce, number.clone(), of_nonce));
    for key in keys.old_form.into_iter().chain(keys.authorization) {
        changes.push(put(Table::PaymentNonces, key, number.clone(), stream.clone()));
    }
    if let Some(key) = keys.idempotency {
        changes.push(put(Table::PaymentKeys, key, number, entry.content_hash.0.to_vec()));
    }
    Ok(changes)
}

/// What makes the authorization of an intent one payment, whoever brings it.
pub(super) fn authorization_key(content: &PaymentContent, token: Option<TokenAddress>) -> Option<Vec<u8>> {
    let authorization = content.authorization.as_ref()?;
    let chain_id = content.network.chain_id();
    Some(public_key(chain_id, &token?, &authorization.from, &authorization.nonce))
}

impl Keys {
    /// The places that an intent took.
    pub fn of(payment: &Payment, payer: &Party) -> Result<Self, ServiceError> {
        let (stream, content) = (payment.stream(), &payment.content);
        if let Some(authorization) = &payment.authorization {
            let (Party::Wallet(wallet), Some(token)) = (payer, payment.token_address) else {
                return Err(unreadable());
            };
            let nonce = public_key(content.network.chain_id(), &token, wallet, &authorization.nonce);
            return Ok(Self { nonce, old_form: None, idempotency: None, authorization: None });
        }
        Ok(Self {
            authorization: authorization_key(content, payment.token_address),
            nonce: nonce_key(&stream, payer, content.nonce),
            // The first form binds no store: what was signed in it is admitted once in the whole log.
            old_form: (payment.x402_version == 1).then(|| old_form_key(&content.signing_hash)),
            idempotency: content.idempotency_key.as_deref().map(|key| idempotency_key(&stream, key)),
        })
    }
}

impl TurnLoop {
    /// Puts what waits in the places where it is found. Where that fails it waits on, and nothing is lost.
    pub(crate) fn file_payments(&mut self) -> Result<(), ServiceError> {
        // What is on disk is not known any more.
        if self.poisoned {
            return Err(ServiceError::Poisoned);
        }
        let journal = &self.payments.journal;
        if journal.waiting.is_empty() {
            return Ok(());
        }
        let (changes, streams) = (journal.filing(&self.payments)?, journal.streams());
        self.write(|log| log.put_documents(&changes))?;
        let (desk, shared) = (&mut self.payments, &self.shared.payments);
        let mut heads = shared.heads.write().unwrap_or_else(PoisonError::into_inner);
        heads.extend(
            streams.iter().filter_map(|stream| Some((*stream, desk.heads.get(stream)?.current_sequence))),
        );
        drop(heads);
        desk.journal.waiting.clear();
        desk.journal.rows.clear();
        shared.ticks.store(desk.ticks, Ordering::Release);
        shared.waiting.store(0, Ordering::Release);
        Ok(())
    }

    /// What a term began with, or ends with. What can't be filed now waits for a reader, or for the next term.
    pub(crate) fn file_rest(&mut self) {
        if !self.poisoned
            && let Err(error) = self.file_payments()
        {
            tracing::warn!(%error, "payment intents wait in the journal; nothing acknowledged is lost");
        }
    }

    /// Where nothing waits, all that was remembered so far lies in the store.
    pub(super) fn tick_if_filed(&self) {
        if self.payments.journal.waiting.is_empty() {
            self.shared.payments.ticks.store(self.payments.ticks, Ordering::Release);
        }
    }

    /// Room for a pass.
    pub(super) fn bound_journal(&mut self) -> Result<(), ServiceError> {
        match self.payments.journal.waiting.len() >= WAITING_MAX {
            true => self.file_payments(),
            false => Ok(()),
        }
    }
}

impl Payments<'_> {
    /// Returns when every intent that was answered before lies where it is read.
    pub(super) async fn filed(&self) -> Result<(), ServiceError> {
        match self.service.shared().payments.waiting.load(Ordering::Acquire) {
            0 => Ok(()),
            _ => self.service.ask(Command::FilePayments).await,
        }
    }
}
