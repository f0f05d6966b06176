//! How far an agent is in a stream, kept for operators and for the agent's next session. Written at most once a second
//! and when a session ends; a crash loses the last second, which the agent's own record makes good.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stateset_sequencer::{Document, DocumentChange, Sequencer, ServiceError, Table};
use ves::{AgentId, StoreId, StreamKey, TenantId};
use ves_wire::Rfc3339;

use crate::router::App;

/// Places that a session keeps in mind beyond those that are to be written.
const SEEN_MAX: usize = 1000;

/// The document's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    agent_id: AgentId,
    tenant_id: TenantId,
    store_id: StoreId,
    last_pushed_sequence: u64,
    last_pulled_sequence: u64,
    last_sync_at: Rfc3339,
}

#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    pushed: u64,
    pulled: u64,
    saved: bool,
}

pub(super) struct Progress {
    sequencer: Sequencer,
    /// Who acknowledges: the agent of the credential, or else the one that pushed last.
    agent: Option<AgentId>,
    seen: BTreeMap<(StreamKey, AgentId), Seen>,
}

impl Progress {
    pub fn new(app: &App, agent: Option<AgentId>) -> Self {
        Self { sequencer: app.sequencer.clone(), agent, seen: BTreeMap::new() }
    }

    /// `agent` pushed up to `number`; 0 when nothing was accepted.
    pub fn pushed(&mut self, stream: StreamKey, agent: AgentId, number: u64) {
        self.agent = Some(agent);
        let seen = self.seen.entry((stream, agent)).or_default();
        seen.saved &= number <= seen.pushed;
        seen.pushed = seen.pushed.max(number);
    }

    /// The agent has every event up to `number`.
    pub fn has(&mut self, stream: StreamKey, number: u64) {
        let Some(agent) = self.agent else { return };
        let seen = self.seen.entry((stream, agent)).or_default();
        seen.saved &= number <= seen.pulled;
        seen.pulled = seen.pulled.max(number);
    }

    fn unsaved(&mut self) -> Vec<((StreamKey, AgentId), Seen)> {
        let unsaved = self.seen.iter_mut().filter(|(_, seen)| !seen.saved);
        unsaved
            .map(|(place, seen)| (*place, std::mem::replace(seen, Seen { saved: true, ..*seen })))
            .collect()
    }

    /// Writes what is new. A failure is logged and no reason to end a session: it is only a note.
    pub async fn save(&mut self, app: &App) {
        let unsaved = self.unsaved();
        if !unsaved.is_empty()
            && let Err(problem) = write(&app.sequencer, unsaved).await
        {
            tracing::warn!(%problem, "the progress of an agent was not written");
        }
        // What is written is known to the store.
        if self.seen.len() > SEEN_MAX {
            self.seen.retain(|_, seen| !seen.saved);
        }
    }
}

impl Drop for Progress {
    /// The connection broke off.
    fn drop(&mut self) {
        let unsaved = self.unsaved();
        if unsaved.is_empty() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let sequencer = self.sequencer.clone();
            runtime.spawn(async move {
                if let Err(problem) = write(&sequencer, unsaved).await {
                    tracing::debug!(%problem, "the progress of an agent was not written");
                }
            });
        }
    }
}

async fn write(
    sequencer: &Sequencer,
    unsaved: Vec<((StreamKey, AgentId), Seen)>,
) -> Result<(), ServiceError> {
    let mut changes = Vec::with_capacity(unsaved.len());
    for ((stream, agent_id), seen) in unsaved {
        let key = [*stream.tenant_id.as_bytes(), *stream.store_id.as_bytes(), *agent_id.as_bytes()].concat();
        let held = sequencer.document(Table::AgentSyncState, &key).await?;
        let held = held.and_then(|held| serde_json::from_str::<Stored>(&held.text).ok());
        let (pushed, pulled) =
            held.map_or((0, 0), |held| (held.last_pushed_sequence, held.last_pulled_sequence));
        let stored = Stored {
            agent_id,
            tenant_id: stream.tenant_id,
            store_id: stream.store_id,
            last_pushed_sequence: pushed.max(seen.pushed),
            last_pulled_sequence: pulled.max(seen.pulled),
            last_sync_at: Rfc3339(sequencer.now()),
        };
        let text =
            serde_json::to_string(&stored).map_err(|problem| ServiceError::Internal(problem.to_string()))?;
        changes.push(DocumentChange::Put(Table::AgentSyncState, Document { key, text, content: Vec::new() }));
    }
    sequencer.put_documents(changes).await
}
