//! The audit log: each act of an administrator is one record, written in the one transaction of the act itself, so that
//! neither is there without the other. The turn loop alone gives records their place in the chain.
//!
//! Acts are recorded where they are made durable and not where they are asked for: no door can forget one. A door only
//! says who acts ([`Sequencer::acting`]); where none does, the service itself did it.

mod action;
mod chain;
mod configuration;
mod logbook;

use std::net::IpAddr;

use serde_json::Value;
use stateset_event_log::{ApiKeyRecord, DocumentChange, KeyChange, Table};
use ves::TenantId;
use ves::audit::{ActorType, AuditHead, AuditRecord, STATEMENT_KEY, SignedAuditStatement};
use ves::keys::{AgentKey, EncryptionKey};

use crate::error::ServiceError;
use crate::sequencer::{Sequencer, uncancelled};
use crate::turn::Command;
use crate::unchanged::Unchanged;

pub use action::Action;
pub use chain::AuditChain;
pub(crate) use logbook::Logbook;

/// Bytes of a text that a caller chose and that is kept, such as its user agent.
const TEXT_BYTES_MAX: usize = 256;
/// Hex digits of a hash by which an API key is named.
const HASH_PREFIX_BYTES: usize = 8;

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Beginning of an API key's hash, an id, or the name of a program; never a secret.
    pub name: String,
    pub kind: ActorType,
    pub request_id: Option<String>,
    pub address: Option<IpAddr>,
    pub user_agent: Option<String>,
}

impl Actor {
    pub fn new(kind: ActorType, name: impl Into<String>) -> Self {
        Self { name: name.into(), kind, request_id: None, address: None, user_agent: None }
    }

    /// The service itself.
    pub fn system() -> Self {
        Self::new(ActorType::System, "stateset-sequencer")
    }
}

/// What is done.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    action: Action,
    actor: Option<Actor>,
    tenant_id: Option<TenantId>,
    resource: Option<(&'static str, String)>,
    details: Value,
    failure: Option<String>,
}

impl Act {
    pub fn new(action: Action) -> Self {
        Self { action, actor: None, tenant_id: None, resource: None, details: Value::Null, failure: None }
    }
    /// In whose tenant; the nil tenant is none.
    pub fn in_tenant(mut self, tenant_id: TenantId) -> Self {
        self.tenant_id = (!tenant_id.is_nil()).then_some(tenant_id);
        self
    }
    /// To what.
    pub fn on(mut self, kind: &'static str, id: impl ToString) -> Self {
        self.resource = Some((kind, id.to_string()));
        self
    }
    /// What else is worth knowing. No secrets: everyone who administrates reads it.
    pub fn with(self, details: Value) -> Self {
        Self { details, ..self }
    }
    /// It was refused.
    pub fn failed(mut self, problem: impl Into<String>) -> Self {
        self.failure = Some(problem.into());
        self
    }
    /// By whom, where that is not who holds the handle.
    pub fn by(mut self, actor: Actor) -> Self {
        self.actor.get_or_insert(actor);
        self
    }

    /// What becomes of a signing key.
    pub fn of_agent_key(action: Action, key: &AgentKey) -> Self {
        Self::new(action)
            .in_tenant(key.tenant_id)
            .on("agent_signing_key", format_args!("{}/{}", key.agent_id, key.key_id))
            .with(serde_json::json!({ "key_algorithm": key.algorithm.number(), "status": key.status.text() }))
    }

    pub(crate) fn of_encryption_key(action: Action, key: &EncryptionKey) -> Self {
        Self::new(action)
            .in_tenant(key.tenant_id)
            .on("agent_encryption_key", format_args!("{}/{}", key.agent_id, key.kid))
            .with(serde_json::json!({ "key_algorithm": key.algorithm.number(), "status": key.status.text() }))
    }

    /// What becomes of an API key: made, revoked, or given other rights.
    pub fn of_api_key(before: Option<&ApiKeyRecord>, key: &ApiKeyRecord) -> Self {
        let action = match before {
            None => Action::ApiKeyCreated,
            Some(before) if before.active && !key.active => Action::ApiKeyRevoked,
            Some(_) => Action::ApiKeyUpdated,
        };
        Self::new(action)
            .in_tenant(key.tenant_id)
            .on("api_key", ves::hex::encode(&key.key_hash.as_bytes()[..HASH_PREFIX_BYTES]))
            .with(serde_json::json!({
                "agent_id": key.agent_id, "store_ids": key.store_ids, "can_read": key.can_read,
                "can_write": key.can_write, "can_admin": key.can_admin, "active": key.active,
                "rate_limit": key.rate_limit,
            }))
    }
}

/// What is written with the record.
pub(crate) enum Work {
    Key(KeyChange),
    Documents(Vec<DocumentChange>),
    DocumentsIf(Unchanged, Vec<DocumentChange>),
}

/// At most `TEXT_BYTES_MAX` bytes, cut between characters; control characters become spaces.
fn bounded(text: &str) -> String {
    let mut kept = String::new();
    for character in text.chars() {
        let character = if character.is_control() { ' ' } else { character };
        if kept.len() + character.len_utf8() > TEXT_BYTES_MAX {
            break;
        }
        kept.push(character);
    }
    kept
}

impl Sequencer {
    /// This service in the hands of `actor`: what is done through the handle is recorded as done by it.
    pub fn acting(&self, actor: Actor) -> Self {
        Self { inner: self.inner.clone(), actor: Some(actor.into()) }
    }

    /// Records acts that change nothing by themselves, all in one write. Does nothing where the audit log is off.
    pub async fn record(&self, acts: Vec<Act>) -> Result<(), ServiceError> {
        if !self.inner.config.audit || acts.is_empty() {
            return Ok(());
        }
        let service = self.clone();
        uncancelled(async move { service.act_all(acts, Work::Documents(Vec::new())).await.map(drop) }).await
    }

    /// [`Self::put_documents`] and the record of it, in one write.
    pub async fn put_documents_as(&self, act: Act, changes: Vec<DocumentChange>) -> Result<(), ServiceError> {
        let service = self.clone();
        uncancelled(async move { service.act(act, Work::Documents(changes)).await.map(drop) }).await
    }

    /// [`Self::put_documents_if`] and the record of it, in one write; nothing is recorded where nothing was made.
    pub async fn put_documents_if_as(
        &self,
        act: Act,
        unchanged: Unchanged,
        changes: Vec<DocumentChange>,
    ) -> Result<bool, ServiceError> {
        let service = self.clone();
        uncancelled(async move { service.act(act, Work::DocumentsIf(unchanged, changes)).await }).await
    }

    /// Records after number `after`, ascending, at most `limit`.
    ///
    /// # Errors
    /// [`ServiceError::Read`] also where a row is no record.
    pub async fn audit_records(&self, after: u64, limit: usize) -> Result<Vec<AuditRecord>, ServiceError> {
        let rows = self.documents(Table::AuditLog, &[], Some(&after.to_be_bytes()), limit).await?;
        let records = rows.iter().filter(|row| row.key.len() == ves::audit::RECORD_KEY_BYTES);
        records
            .map(|row| AuditRecord::read(&row.text).map_err(|error| ServiceError::Read(error.to_string())))
            .collect()
    }

    /// The newest signed word on how far the audit log reaches.
    pub async fn audit_statement(&self) -> Result<Option<SignedAuditStatement>, ServiceError> {
        let found = self.document(Table::AuditLog, STATEMENT_KEY).await?;
        let read = |text: &str| {
            serde_json::from_str(text)
                .map_err(|_| ServiceError::Read("the audit statement is broken".to_owned()))
        };
        found.map(|document| read(&document.text)).transpose()
    }

    /// Whether acts are recorded.
    pub fn is_audited(&self) -> bool {
        self.inner.config.audit
    }

    /// Where the audit log ends now.
    pub fn audit_head(&self) -> AuditHead {
        *self.shared().audit_head.borrow()
    }

    pub(crate) async fn act(&self, act: Act, work: Work) -> Result<bool, ServiceError> {
        self.act_all(vec![act], work).await
    }

    async fn act_all(&self, acts: Vec<Act>, work: Work) -> Result<bool, ServiceError> {
        let acts = acts.into_iter().map(|act| self.signed_by_actor(act)).collect();
        self.ask(|reply| Command::Act(acts, Box::new(work), reply)).await
    }

    pub(crate) fn signed_by_actor(&self, act: Act) -> Act {
        match &self.actor {
            Some(actor) => act.by(Actor::clone(actor)),
            None => act,
        }
    }

    /// [`Self::put_documents`], recorded where it is an administrator's act: the service's own rounds are none.
    pub(crate) async fn put_documents_by_actor(
        &self,
        act: Act,
        changes: Vec<DocumentChange>,
    ) -> Result<(), ServiceError> {
        match self.actor.is_some() {
            true => self.put_documents_as(act, changes).await,
            false => self.put_documents(changes).await,
        }
    }

    /// [`Self::put_documents_if`] in the same way.
    pub(crate) async fn put_documents_if_by_actor(
        &self,
        act: Act,
        unchanged: Unchanged,
        changes: Vec<DocumentChange>,
    ) -> Result<bool, ServiceError> {
        match self.actor.is_some() {
            true => self.put_documents_if_as(act, unchanged, changes).await,
            false => self.put_documents_if(unchanged, changes).await,
        }
    }
}
