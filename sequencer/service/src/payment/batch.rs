//! Batches: sequenced intents of one stream, network and token under one root, chained to the batch before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use stateset_event_log::{LogReader, Table};
use uuid::Uuid;
use ves::x402::{Asset, BATCH_INTENTS_DEFAULT, BATCH_INTENTS_MAX, BatchTree, Network, chained_state_root};
use ves::{BatchId, Digest, SequenceNumber, StreamKey, TimestampMs};

use super::Payments;
use super::change::Change;
use super::error::PaymentError;
use super::record::{BatchMember, BatchStatus, Payment, PaymentBatch, PaymentStatus};
use super::stored::{
    ChainText, Open, listed_payment, number_of, place_of, put_batch, split_stream, status_prefix, stream_key,
};
use super::submit::seconds;
use super::tally::Tally;
use crate::audit::{Act, Action};
use crate::ingest::random_bytes;

/// An intent that ends sooner than this is not batched: it could not be settled in time (x402, A.5).
const MARGIN_S: u64 = 30;
/// Most intents of a batch that is sent to a chain: one transaction holds no more.
const SENT_INTENTS_MAX: usize = 250;
/// Entries of the list of open intents read at once.
pub(super) const PAGE: usize = 1_024;

/// Which intents a batch takes.
#[derive(Debug, Clone)]
pub struct BatchChoice {
    pub stream: StreamKey,
    pub network: Network,
    /// `None`: that of the oldest open intent. A batch never mixes tokens.
    pub asset: Option<Asset>,
    /// Of intents that carry an authorization, or of those that do not; `None`: as the oldest open intent. A batch never mixes
    /// them: the one kind is sent to the chain, the other waits for somebody who pays.
    pub is_authorized: Option<bool>,
    /// `None`: the oldest ones.
    pub intents: Option<Vec<Uuid>>,
    /// 1 to [`BATCH_INTENTS_MAX`].
    pub size_max: usize,
}

/// When the worker closes a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchPolicy {
    /// Networks that it batches for.
    pub networks: Vec<Network>,
    /// Intents from which a batch is made; fewer wait.
    pub size_min: usize,
    pub size_max: usize,
    /// After this time fewer than `size_min` make a batch too.
    pub wait_max: Duration,
}

impl Default for BatchPolicy {
    fn default() -> Self {
        Self {
            networks: vec![Network::SetChain],
            size_min: 1,
            size_max: BATCH_INTENTS_DEFAULT,
            wait_max: Duration::from_secs(300),
        }
    }
}

/// Open intents by stream, in the order of their numbers.
pub(super) type OpenIntents = BTreeMap<StreamKey, Vec<(u64, Open)>>;

impl Payments<'_> {
    /// Puts intents under one root: claim, root and commit are one transaction.
    ///
    /// # Errors
    /// [`PaymentError::Invalid`] names what cannot be batched; [`PaymentError::NothingToBatch`].
    pub async fn commit_batch(&self, choice: BatchChoice) -> Result<PaymentBatch, PaymentError> {
        if !(1..=BATCH_INTENTS_MAX).contains(&choice.size_max) {
            let problem = format!("expected 1 to {BATCH_INTENTS_MAX}");
            return Err(PaymentError::invalid("max_size", problem));
        }
        self.filed().await?;
        let batch_id = BatchId::random(random_bytes()?);
        let (stream, clock) = (choice.stream, self.service.inner.clock.clone());
        self.change(stream, move |reader, chain| {
            let now = clock.now();
            let members = match &choice.intents {
                Some(intents) => chosen(reader, &choice, intents, now)?,
                None => oldest(reader, &choice, now)?,
            };
            let (mut change, batch) = committed(chain, batch_id, members, now)?;
            change.act = Some(
                Act::new(Action::PaymentBatchCommitted)
                    .in_tenant(batch.tenant_id)
                    .on("x402_batch", batch_id)
                    .with(serde_json::json!({
                        "store_id": batch.store_id, "network": batch.network, "asset": batch.asset,
                        "payment_count": batch.members.len(), "total_amount": batch.total_amount.to_string(),
                        "merkle_root": batch.merkle_root,
                    })),
            );
            Ok((Some(change), batch))
        })
        .await
    }

    /// Makes every batch that is due of these open intents; how many it made.
    pub(super) async fn batch_due(
        &self,
        open: &OpenIntents,
        policy: &BatchPolicy,
    ) -> Result<usize, PaymentError> {
        let (now, mut made) = (self.service.now(), Tally::default());
        for (stream, intents) in open {
            for Group { network, asset, is_authorized } in due(intents, policy, now) {
                let choice = BatchChoice {
                    stream: *stream,
                    network,
                    asset: Some(asset),
                    is_authorized: Some(is_authorized),
                    intents: None,
                    size_max: policy.size_max,
                };
                made.add(match self.commit_batch(choice).await {
                    Ok(_) => Ok(1),
                    // They were batched or expired meanwhile.
                    Err(PaymentError::NothingToBatch) => Ok(0),
                    Err(error) => Err(error),
                });
            }
        }
        made.end()
    }

    /// Every intent that waits for a batch, in all streams. None is valid for more than a day, which bounds them.
    pub(super) async fn open_intents(&self) -> Result<OpenIntents, PaymentError> {
        self.filed().await?;
        self.service
            .read_much(|reader| {
                let mut open = OpenIntents::new();
                let prefix = status_prefix(PaymentStatus::Sequenced);
                let mut after: Option<Vec<u8>> = None;
                loop {
                    let page = reader.documents(Table::PaymentLists, &prefix, after.as_deref(), PAGE)?;
                    for found in &page {
                        let (stream, number) = split_stream(&found.key[prefix.len()..])?;
                        let entry = (number_of(number)?, Open::read(&found.content)?);
                        open.entry(stream).or_default().push(entry);
                    }
                    match page.into_iter().last() {
                        Some(last) => after = Some(last.key),
                        None => return Ok(open),
                    }
                }
            })
            .await
    }
}

/// Intents that can be in one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    network: Network,
    asset: Asset,
    is_authorized: bool,
}

fn size_max(policy: usize, is_authorized: bool) -> usize {
    if is_authorized { policy.min(SENT_INTENTS_MAX) } else { policy }
}

/// What there is a batch to make of, each as often as there are batches.
fn due(intents: &[(u64, Open)], policy: &BatchPolicy, now: TimestampMs) -> Vec<Group> {
    let mut groups: BTreeMap<Group, (usize, TimestampMs)> = BTreeMap::new();
    let lasting = intents.iter().map(|(_, open)| open).filter(|open| lasts(open.valid_until, now));
    for open in lasting.filter(|open| policy.networks.contains(&open.network)) {
        let Open { network, asset, is_authorized, .. } = *open;
        let group = Group { network, asset, is_authorized };
        let (count, oldest) = groups.entry(group).or_insert((0, open.sequenced_at));
        *count += 1;
        *oldest = open.sequenced_at.min(*oldest);
    }
    let wait_ms_max = i64::try_from(policy.wait_max.as_millis()).unwrap_or(i64::MAX);
    let mut due = Vec::new();
    for (group, (count, oldest)) in groups {
        let size_max = size_max(policy.size_max, group.is_authorized);
        let rest = count % size_max;
        let is_rest_due = rest >= policy.size_min || now.0.saturating_sub(oldest.0) >= wait_ms_max;
        let batches = count / size_max + usize::from(rest > 0 && is_rest_due);
        due.extend(std::iter::repeat_n(group, batches));
    }
    due
}

fn lasts(valid_until: u64, now: TimestampMs) -> bool {
    valid_until >= seconds(now).saturating_add(MARGIN_S)
}

/// The named intents, each of which has to be one that can be batched here.
fn chosen(
    reader: &dyn LogReader,
    choice: &BatchChoice,
    intents: &[Uuid],
    now: TimestampMs,
) -> Result<Vec<Payment>, PaymentError> {
    let refused = |problem: String| Err(PaymentError::invalid("intent_ids", problem));
    if intents.len() > choice.size_max {
        return refused(format!("{} intents, max_size is {}", intents.len(), choice.size_max));
    }
    let mut members = BTreeMap::new();
    for id in intents.iter().collect::<BTreeSet<_>>() {
        let place = place_of(reader, id)?.filter(|(stream, _)| *stream == choice.stream);
        let Some((stream, number)) = place else {
            return refused(format!("{id} is no intent of this store"));
        };
        let payment = listed_payment(reader, &stream, number)?;
        if payment.status != PaymentStatus::Sequenced {
            return refused(format!("{id} is {}, only sequenced intents are batched", payment.status));
        }
        if payment.content.network != choice.network {
            return refused(format!("{id} is on {}", payment.content.network.text()));
        }
        if !lasts(payment.content.valid_until, now) {
            return refused(format!("{id} is not valid for another {MARGIN_S} s"));
        }
        members.insert(number, payment);
    }
    let members: Vec<Payment> = members.into_values().collect();
    let first = members.first().map(token_of);
    if members.iter().any(|payment| Some(token_of(payment)) != first) {
        return refused(
            "they are in different tokens, and a batch is settled in one; make a batch of each".into(),
        );
    }
    let authorized = members.iter().filter(|payment| payment.content.authorization.is_some()).count();
    if authorized > 0 && authorized < members.len() {
        return refused("some carry an authorization and some do not; make a batch of each kind".into());
    }
    if authorized > SENT_INTENTS_MAX {
        return refused(format!(
            "{authorized} with an authorization; a transaction holds {SENT_INTENTS_MAX}"
        ));
    }
    Ok(members)
}

/// The oldest open intents of one token.
fn oldest(
    reader: &dyn LogReader,
    choice: &BatchChoice,
    now: TimestampMs,
) -> Result<Vec<Payment>, PaymentError> {
    let prefix = [&status_prefix(PaymentStatus::Sequenced)[..], &stream_key(&choice.stream)].concat();
    let (mut members, mut asset, mut token) = (Vec::new(), choice.asset, None);
    let mut kind = choice.is_authorized;
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = reader.documents(Table::PaymentLists, &prefix, after.as_deref(), PAGE)?;
        for found in &page {
            let open = Open::read(&found.content)?;
            let fits = open.network == choice.network
                && asset.is_none_or(|asset| asset == open.asset)
                && kind.is_none_or(|kind| kind == open.is_authorized)
                && lasts(open.valid_until, now);
            if !fits {
                continue;
            }
            let number = number_of(&found.key[prefix.len()..])?;
            let payment = listed_payment(reader, &choice.stream, number)?;
            (asset, kind) = (Some(open.asset), Some(open.is_authorized));
            if *token.get_or_insert(token_of(&payment)) == token_of(&payment) {
                members.push(payment);
            }
            if members.len() == size_max(choice.size_max, open.is_authorized) {
                return Ok(members);
            }
        }
        match page.into_iter().last() {
            Some(last) => after = Some(last.key),
            None => return Ok(members),
        }
    }
}

/// What a batch is settled in: the contract too, since a setting may have changed it between two intents.
fn token_of(payment: &Payment) -> (Asset, Option<ves::x402::TokenAddress>) {
    (payment.content.asset, payment.token_address)
}

/// The batch of these members, and all that is written with it.
pub(super) fn committed(
    chain: &ChainText,
    batch_id: BatchId,
    members: Vec<Payment>,
    now: TimestampMs,
) -> Result<(Change, PaymentBatch), PaymentError> {
    let (batch, content) = batch_over(chain, batch_id, &members, now)?;
    let mut change = Change::at(now);
    change.state_root = Some(batch.new_state_root);
    change.tell.batch = Some(batch_id);
    change.tell.batch_statuses = vec![BatchStatus::Pending, BatchStatus::Committed];
    change.documents.extend(put_batch(None, &batch, content)?);
    for (index, mut payment) in (0u32..).zip(members) {
        payment.batch_id = Some(batch_id);
        payment.leaf_index = Some(index);
        change.move_payment(payment, PaymentStatus::Batched, now)?;
    }
    Ok((change, batch))
}

/// A committed batch over these members, and its leaves one after the other.
pub(super) fn batch_over(
    chain: &ChainText,
    batch_id: BatchId,
    members: &[Payment],
    now: TimestampMs,
) -> Result<(PaymentBatch, Vec<u8>), PaymentError> {
    let leaves: Vec<Digest> = members.iter().map(|payment| payment.sequenced().batch_leaf()).collect();
    let content = leaves.iter().flat_map(|leaf| leaf.0).collect();
    let (Some(tree), Some(first), Some(last)) = (BatchTree::new(leaves), members.first(), members.last())
    else {
        return Err(PaymentError::NothingToBatch);
    };
    let merkle_root = tree.root();
    let (start, end) = (SequenceNumber(first.sequence_number), SequenceNumber(last.sequence_number));
    let new_state_root = chained_state_root(&chain.state_root, &batch_id, &merkle_root, start, end);
    let batch = PaymentBatch {
        batch_id,
        status: BatchStatus::Committed,
        tenant_id: first.content.tenant_id,
        store_id: first.content.store_id,
        network: first.content.network,
        asset: first.content.asset,
        token_address: first.token_address,
        members: members
            .iter()
            .map(|p| BatchMember { sequence_number: p.sequence_number, intent_id: p.intent_id })
            .collect(),
        total_amount: members.iter().map(|payment| u128::from(payment.content.amount)).sum(),
        merkle_root,
        prev_state_root: chain.state_root,
        new_state_root,
        valid_until: members.iter().map(|payment| payment.content.valid_until).max().unwrap_or(0),
        tx_hash: None,
        block_number: None,
        gas_used: None,
        created_at: now,
        committed_at: now,
        submitted_at_ms: None,
        settled_at_ms: None,
        undone_at_ms: None,
        is_authorized: members.iter().all(|payment| payment.content.authorization.is_some()),
        attempts: Vec::new(),
    };
    Ok((batch, content))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(asset: Asset, network: Network, valid_until: u64, at_s: i64) -> (u64, Open) {
        (
            1,
            Open {
                network,
                asset,
                valid_until,
                sequenced_at: TimestampMs(at_s * 1000),
                is_authorized: false,
            },
        )
    }

    #[test]
    fn a_batch_is_due_by_size_or_age_and_never_for_what_ends_too_soon() {
        let policy = BatchPolicy { size_min: 2, size_max: 3, ..BatchPolicy::default() };
        let now = TimestampMs(1_000_000);
        let usdc = |valid_until, at_s| open(Asset::Usdc, Network::SetChain, valid_until, at_s);
        let group = Group { network: Network::SetChain, asset: Asset::Usdc, is_authorized: false };
        assert_eq!(due(&[usdc(2_000, 900)], &policy, now), [], "too few, too young");
        assert_eq!(due(&[usdc(2_000, 700)], &policy, now), [group], "old enough");
        assert_eq!(due(&[usdc(1_029, 700)], &policy, now), [], "ends within the margin");
        assert_eq!(due(&[usdc(2_000, 900); 2], &policy, now), [group]);
        assert_eq!(due(&[usdc(2_000, 900); 7], &policy, now), [group; 2], "one is left to wait");
        let elsewhere = open(Asset::Usdc, Network::Base, 2_000, 0);
        assert_eq!(due(&[elsewhere; 9], &policy, now), [], "a network that is not batched for");
        let mixed = [usdc(2_000, 900), open(Asset::Dai, Network::SetChain, 2_000, 900)];
        assert_eq!(due(&mixed, &policy, now), [], "tokens are counted apart");
        let sent = |(n, open): (u64, Open)| (n, Open { is_authorized: true, ..open });
        let mixed = [usdc(2_000, 900), sent(usdc(2_000, 900))];
        assert_eq!(due(&mixed, &policy, now), [], "what is sent is counted apart");
        let policy = BatchPolicy { size_max: 1_000, ..policy };
        let many = [sent(usdc(2_000, 900)); SENT_INTENTS_MAX + 2];
        assert_eq!(due(&many, &policy, now), [Group { is_authorized: true, ..group }; 2]);
    }

    #[test]
    fn what_batching_looks_at_reads_back() {
        let (_, open) = open(Asset::Eth, Network::Optimism, 77, 5);
        let read = Open::read(&[9, 5, 0, 0, 0, 0, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0x13, 0x88]);
        assert_eq!(read.unwrap(), open);
        assert!(Open::read(&[99; 18]).is_err());
        let sent = Open { is_authorized: true, ..open };
        assert_eq!(Open::read(&sent.bytes()).unwrap(), sent);
    }
}
