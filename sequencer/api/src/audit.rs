//! What was done to keys and agents, as one line of the log each (section 9, audit).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ves::{AgentId, TenantId};

/// Counts what was written: `audit.events_logged`.
#[derive(Default)]
pub(crate) struct Audit {
    logged: AtomicU64,
}

impl Audit {
    /// `action` is one of section 9. `about` says what is not a secret.
    pub fn log(&self, action: &str, tenant_id: &TenantId, agent_id: &AgentId, about: &str) {
        self.logged.fetch_add(1, Relaxed);
        tracing::info!(target: "audit", action, tenant = %tenant_id, agent = %agent_id, about);
    }

    pub fn logged(&self) -> u64 {
        self.logged.load(Relaxed)
    }
}
