//! Where batches come from, and who is told where they stand.

use std::time::Duration;

use serde::Deserialize;
use set_registry::{B256, BatchRecord};
use ves::{Digest, StreamKey};
use ves_wire::anchor::{AnchoredNotice, PendingCommitment, PendingCommitments};
use zeroize::Zeroizing;

use crate::flight::PendingBatch;

/// Batches asked for in one page.
const PAGE: usize = 1_000;
/// Batches taken in one go; the rest comes when these are anchored.
pub const PENDING_MAX: usize = 5_000;
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Where a batch stands, as the sequencer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub transaction: B256,
    pub chain_id: u64,
    pub block_number: u64,
    /// Of the whole transaction; `None` where it is not ours.
    pub gas_used: Option<u64>,
    /// What the sequencer was told before, where that was undone by a reorganisation: the caller corrects it.
    pub replaces: Option<B256>,
}

/// Why the sequencer did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Asked again later.
    #[error("the sequencer {url} can't be reached: {problem}: check SEQUENCER_API_URL and that it runs")]
    Unreachable { url: String, problem: String },
    /// Of no use to ask again.
    #[error("the sequencer refuses with HTTP {status}: {message}{}", cure(*.status))]
    Refused { status: u16, message: String },
    /// It knows another transaction for the batch.
    #[error("the sequencer holds another transaction for the batch: {0}")]
    OtherTransaction(String),
    #[error("the sequencer's answer can't be read: {0}")]
    Unreadable(String),
}

fn cure(status: u16) -> &'static str {
    match status {
        401 | 403 => ": set SEQUENCER_API_KEY to its bootstrap key, or ANCHOR_COMPAT_OPEN=true there",
        _ => "",
    }
}

/// A sequencer, as the anchor service sees it.
pub trait Source: Send {
    /// Batches that are not anchored, at most [`PENDING_MAX`]; of each stream in order and from its first on.
    ///
    /// # Errors
    /// [`SourceError`].
    fn pending(&mut self) -> Result<Vec<PendingBatch>, SourceError>;

    /// Says where a batch stands. Saying it again changes nothing.
    ///
    /// # Errors
    /// [`SourceError`].
    fn anchored(&mut self, batch: &BatchRecord, standing: &Standing) -> Result<(), SourceError>;
}

/// A sequencer behind its REST interface (`/v1/commitments/…`).
pub struct HttpSource {
    agent: ureq::Agent,
    base: String,
    api_key: Option<Zeroizing<String>>,
}

impl HttpSource {
    /// `base` without a path, such as `http://127.0.0.1:8080`.
    pub fn new(base: &str, api_key: Option<Zeroizing<String>>) -> Self {
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(TIMEOUT))
            .user_agent(concat!("set-anchor/", env!("CARGO_PKG_VERSION")));
        if base.starts_with("https://") {
            config = config.tls_config(set_registry::tls_config());
        }
        Self { agent: config.build().new_agent(), base: base.trim_end_matches('/').to_owned(), api_key }
    }

    fn page(&self, after: Option<&str>) -> Result<PendingCommitments, SourceError> {
        let after = after.map(|id| format!("&after={id}")).unwrap_or_default();
        let mut request = self.agent.get(format!("{}/v1/commitments/pending?limit={PAGE}{after}", self.base));
        if let Some(key) = &self.api_key {
            request = request.header("x-api-key", key.as_str());
        }
        let (_, text) = self.answer(request.call())?;
        serde_json::from_str(&text).map_err(|problem| SourceError::Unreadable(problem.to_string()))
    }

    fn answer(
        &self,
        sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<(u16, String), SourceError> {
        let unreachable = |problem: ureq::Error| SourceError::Unreachable {
            url: self.base.clone(),
            problem: problem.to_string(),
        };
        let mut response = sent.map_err(unreachable)?;
        let status = response.status().as_u16();
        let text = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_string()
            .map_err(unreachable)?;
        match status {
            200..300 => Ok((status, text)),
            409 => Err(SourceError::OtherTransaction(message_of(&text))),
            429 | 500.. => {
                let problem = format!("HTTP {status}: {}", message_of(&text));
                Err(SourceError::Unreachable { url: self.base.clone(), problem })
            }
            _ => Err(SourceError::Refused { status, message: message_of(&text) }),
        }
    }
}

fn message_of(text: &str) -> String {
    #[derive(Deserialize)]
    struct Body {
        error: Message,
    }
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    match serde_json::from_str::<Body>(text) {
        Ok(body) => body.error.message,
        Err(_) => text.chars().take(200).collect(),
    }
}

fn batch_of(body: PendingCommitment) -> PendingBatch {
    let record = BatchRecord {
        batch_id: body.batch_id,
        stream: StreamKey { tenant_id: body.tenant_id, store_id: body.store_id },
        events_root: body.events_root.0,
        prev_state_root: body.prev_state_root.0,
        new_state_root: body.new_state_root.0,
        sequence_start: body.sequence_start,
        sequence_end: body.sequence_end,
        event_count: body.event_count,
    };
    PendingBatch { record, closed_at_ms: body.committed_at.0.0 }
}

impl Source for HttpSource {
    fn pending(&mut self) -> Result<Vec<PendingBatch>, SourceError> {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = self.page(after.as_deref())?;
            found.extend(page.commitments.into_iter().map(batch_of));
            after = page.next_after.map(|id| id.to_string());
            if after.is_none() || found.len() >= PENDING_MAX {
                return Ok(found);
            }
        }
    }

    fn anchored(&mut self, batch: &BatchRecord, standing: &Standing) -> Result<(), SourceError> {
        let chain_id = u32::try_from(standing.chain_id).map_err(|_| SourceError::Refused {
            status: 400,
            message: format!("it keeps chain ids of 32 bits, and {} has more", standing.chain_id),
        })?;
        let notice = AnchoredNotice {
            chain_tx_hash: Digest(standing.transaction.0),
            chain_id,
            block_number: Some(standing.block_number),
            gas_used: standing.gas_used,
            replaces: standing.replaces.map(|transaction| Digest(transaction.0)),
        };
        let mut request =
            self.agent.post(format!("{}/v1/commitments/{}/anchored", self.base, batch.batch_id));
        if let Some(key) = &self.api_key {
            request = request.header("x-api-key", key.as_str());
        }
        self.answer(request.send_json(&notice)).map(drop)
    }
}
