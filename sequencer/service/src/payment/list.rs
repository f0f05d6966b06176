//! Lists of intents: driven by the narrowest index that the filter names, never by a walk through all of a stream.

use std::sync::PoisonError;

use stateset_event_log::{Document, LogReader, Table};
use ves::x402::{Asset, Network, Party};
use ves::{BatchId, StoreId, StreamKey, TenantId, TimestampMs};

use super::Payments;
use super::error::PaymentError;
use super::record::{Payment, PaymentStatus};
use super::stored::{
    Open, PAYEES, PAYERS, batch_of, listed_payment, number_of, party_prefix, payment_at, read, status_prefix,
    stream_key,
};

pub const LIST_LIMIT_MAX: usize = 1_000;
pub const LIST_OFFSET_MAX: usize = 10_000;
/// Intents that one call looks at. A filter that needs more is refused rather than answered in part.
const LOOKED_AT_MAX: usize = 20_000;
const PAGE: usize = 512;

/// Which intents are listed; what is `None` does not narrow.
#[derive(Debug, Clone)]
pub struct PaymentFilter {
    pub tenant_id: TenantId,
    pub store_id: Option<StoreId>,
    pub payer: Option<Party>,
    pub payee: Option<Party>,
    pub status: Option<PaymentStatus>,
    pub network: Option<Network>,
    pub asset: Option<Asset>,
    pub batch_id: Option<BatchId>,
    /// Of `sequenced_at`, both inclusive.
    pub from: Option<TimestampMs>,
    pub to: Option<TimestampMs>,
    pub limit: usize,
    pub offset: usize,
}

impl Payments<'_> {
    /// Intents by store, then by number.
    ///
    /// # Errors
    /// [`PaymentError::TooWide`] where too many intents would have to be looked at.
    pub async fn list(&self, filter: PaymentFilter) -> Result<Vec<Payment>, PaymentError> {
        self.filed().await?;
        let heads: Vec<(StreamKey, u64)> = {
            let heads = self.service.shared().payments.heads.read().unwrap_or_else(PoisonError::into_inner);
            let of_tenant = heads.iter().filter(|(stream, _)| {
                stream.tenant_id == filter.tenant_id
                    && filter.store_id.is_none_or(|store| store == stream.store_id)
            });
            of_tenant.map(|(stream, head)| (*stream, *head)).collect()
        };
        self.service
            .read_much(move |reader| {
                let mut found = Found { filter, skipped: 0, looked_at: 0, payments: Vec::new() };
                match found.filter.batch_id {
                    Some(batch_id) => found.of_batch(reader, &batch_id)?,
                    None => {
                        for (stream, head) in heads {
                            found.of_stream(reader, &stream, head)?;
                        }
                    }
                }
                Ok(found.payments)
            })
            .await
    }
}

struct Found {
    filter: PaymentFilter,
    skipped: usize,
    looked_at: usize,
    payments: Vec<Payment>,
}

impl Found {
    fn is_full(&self) -> bool {
        self.payments.len() >= self.filter.limit
    }

    fn look(&mut self) -> Result<(), PaymentError> {
        self.looked_at += 1;
        if self.looked_at > LOOKED_AT_MAX { Err(PaymentError::TooWide) } else { Ok(()) }
    }

    fn of_batch(&mut self, reader: &dyn LogReader, batch_id: &BatchId) -> Result<(), PaymentError> {
        let Some((batch, _)) = batch_of(reader, batch_id)? else { return Ok(()) };
        let (stream, filter) = (batch.stream(), &self.filter);
        let is_asked = stream.tenant_id == filter.tenant_id
            && filter.store_id.is_none_or(|store| store == stream.store_id);
        if !is_asked {
            return Ok(());
        }
        for member in &batch.members {
            if self.is_full() {
                break;
            }
            self.look()?;
            let payment = listed_payment(reader, &stream, member.sequence_number)?;
            self.take(payment);
        }
        Ok(())
    }

    fn of_stream(
        &mut self,
        reader: &dyn LogReader,
        stream: &StreamKey,
        head: u64,
    ) -> Result<(), PaymentError> {
        if self.is_full() {
            return Ok(());
        }
        // Times rise with numbers, so dates are a range of numbers.
        let first = match self.filter.from {
            Some(from) => first_where(reader, stream, head, |at| at >= from)?,
            None => 1,
        };
        let last = match self.filter.to {
            Some(to) => first_where(reader, stream, head, |at| at > to)? - 1,
            None => head,
        };
        let (table, prefix) = match &self.filter {
            PaymentFilter { payer: Some(payer), .. } => {
                (Table::PaymentLists, party_prefix(PAYERS, stream, payer))
            }
            PaymentFilter { payee: Some(payee), .. } => {
                (Table::PaymentLists, party_prefix(PAYEES, stream, payee))
            }
            PaymentFilter { status: Some(status), .. } => {
                let prefix = [&status_prefix(*status)[..], &stream_key(stream)].concat();
                (Table::PaymentLists, prefix)
            }
            _ => (Table::PaymentIntents, stream_key(stream).to_vec()),
        };
        let mut after = [&prefix[..], &(first - 1).to_be_bytes()].concat();
        loop {
            let page = reader.documents(table, &prefix, Some(&after), PAGE)?;
            for entry in &page {
                let number = number_of(&entry.key[prefix.len()..])?;
                if number > last || self.is_full() {
                    return Ok(());
                }
                self.look()?;
                if let Some(payment) = self.load(reader, stream, table, entry, number)? {
                    self.take(payment);
                }
            }
            match page.into_iter().last() {
                Some(last) => after = last.key,
                None => return Ok(()),
            }
        }
    }

    /// The intent of an entry, unless the entry itself says that it does not fit.
    fn load(
        &self,
        reader: &dyn LogReader,
        stream: &StreamKey,
        table: Table,
        entry: &Document,
        number: u64,
    ) -> Result<Option<Payment>, PaymentError> {
        if table == Table::PaymentIntents {
            return Ok(Some(read(entry)?));
        }
        if !entry.content.is_empty() {
            let open = Open::read(&entry.content)?;
            let fits = self.filter.network.is_none_or(|network| network == open.network)
                && self.filter.asset.is_none_or(|asset| asset == open.asset);
            if !fits {
                return Ok(None);
            }
        }
        Ok(Some(listed_payment(reader, stream, number)?))
    }

    fn take(&mut self, payment: Payment) {
        if !self.fits(&payment) {
            return;
        }
        if self.skipped < self.filter.offset {
            self.skipped += 1;
        } else {
            self.payments.push(payment);
        }
    }

    fn fits(&self, payment: &Payment) -> bool {
        let (filter, content) = (&self.filter, &payment.content);
        let is_party =
            |asked: &Option<Party>, text: &str| asked.is_none_or(|asked| Party::parse(text) == Some(asked));
        is_party(&filter.payer, &content.payer_address)
            && is_party(&filter.payee, &content.payee_address)
            && filter.status.is_none_or(|status| status == payment.status)
            && filter.network.is_none_or(|network| network == content.network)
            && filter.asset.is_none_or(|asset| asset == content.asset)
            && filter.from.is_none_or(|from| payment.sequenced_at >= from)
            && filter.to.is_none_or(|to| payment.sequenced_at <= to)
    }
}

/// The first number whose time is so, `head + 1` where there is none.
fn first_where(
    reader: &dyn LogReader,
    stream: &StreamKey,
    head: u64,
    is_so: impl Fn(TimestampMs) -> bool,
) -> Result<u64, PaymentError> {
    let (mut low, mut high) = (1, head + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        match payment_at(reader, stream, middle)? {
            Some(payment) if !is_so(payment.sequenced_at) => low = middle + 1,
            _ => high = middle,
        }
    }
    Ok(low)
}
