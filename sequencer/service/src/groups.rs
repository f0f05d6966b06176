//! Encryption groups: named lists of agents that payloads are sealed to. A group holds agents, not keys, so that a
//! rotated key takes its place in every group by itself.

use serde::{Deserialize, Serialize};
use stateset_event_log::{Document, DocumentChange, LogReader, Table};
use uuid::Uuid;
use ves::{AgentId, BatchId, TenantId, TimestampMs};

use crate::audit::{Act, Action, Work};
use crate::error::{ErrorKind, ServiceError};
use crate::ingest::random_bytes;
use crate::sequencer::{Sequencer, blocking, uncancelled};

/// Agents of one group: what can be sealed to in one event.
pub const ENCRYPTION_GROUP_MEMBERS_MAX: usize = 1_000;
/// Groups of one tenant.
const GROUPS_MAX: usize = 1_000;
const NAME_BYTES_MAX: usize = 128;
const DESCRIPTION_BYTES_MAX: usize = 1_024;

/// A group without its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionGroup {
    pub tenant_id: TenantId,
    pub group_id: Uuid,
    /// Unique in the tenant.
    pub name: String,
    pub description: Option<String>,
    pub created_at: TimestampMs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupMember {
    pub agent_id: AgentId,
    pub added_at: TimestampMs,
}

/// Why a group was not changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum GroupError {
    #[error("the encryption group is unknown")]
    NotFound,
    #[error("the agent is no member of the encryption group")]
    NoMember,
    #[error("an encryption group of this name exists in the tenant")]
    NameTaken,
    #[error("name: expected 1 to {NAME_BYTES_MAX} bytes without control characters")]
    Name,
    #[error("description: expected at most {DESCRIPTION_BYTES_MAX} bytes")]
    Description,
    #[error("members: an encryption group holds at most {ENCRYPTION_GROUP_MEMBERS_MAX} agents")]
    TooManyMembers,
    #[error("a tenant has at most {GROUPS_MAX} encryption groups; delete one first")]
    TooManyGroups,
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl GroupError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound | Self::NoMember => ErrorKind::NotFound,
            Self::NameTaken | Self::TooManyGroups => ErrorKind::Conflict,
            Self::Name | Self::Description | Self::TooManyMembers => ErrorKind::Invalid,
            Self::Service(error) => error.kind(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct GroupText {
    name: String,
    description: Option<String>,
    created_at_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct MemberText {
    added_at_ms: i64,
}

impl Sequencer {
    /// Creates a group with these members; a repeated member counts once.
    ///
    /// # Errors
    /// [`GroupError`]; nothing was changed.
    pub async fn create_encryption_group(
        &self,
        tenant: &TenantId,
        name: String,
        description: Option<String>,
        mut members: Vec<AgentId>,
    ) -> Result<EncryptionGroup, GroupError> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(GroupError::Name);
        }
        if description.as_ref().is_some_and(|text| text.len() > DESCRIPTION_BYTES_MAX) {
            return Err(GroupError::Description);
        }
        members.sort_unstable();
        members.dedup();
        if members.len() > ENCRYPTION_GROUP_MEMBERS_MAX {
            return Err(GroupError::TooManyMembers);
        }
        let group = EncryptionGroup {
            tenant_id: *tenant,
            group_id: BatchId::random(random_bytes()?).0,
            name,
            description,
            created_at: self.now(),
        };
        let service = self.clone();
        uncancelled(async move {
            let _one_at_a_time = service.shared().registry.writing.lock().await;
            let held = service.encryption_groups(&group.tenant_id).await?;
            if held.len() >= GROUPS_MAX {
                return Err(GroupError::TooManyGroups);
            }
            if held.iter().any(|held| held.name == group.name) {
                return Err(GroupError::NameTaken);
            }
            let mut changes = vec![DocumentChange::Put(Table::EncryptionGroups, group_document(&group)?)];
            let act = act_on(Action::EncryptionGroupCreated, &group.tenant_id, &group.group_id)
                .with(serde_json::json!({ "name": group.name, "members": members }));
            for agent in members {
                changes.push(put_member(&group, &agent, group.created_at)?);
            }
            service.act(act, Work::Documents(changes)).await?;
            Ok(group)
        })
        .await
    }

    /// The groups of a tenant, by id.
    pub async fn encryption_groups(&self, tenant: &TenantId) -> Result<Vec<EncryptionGroup>, ServiceError> {
        let tenant = *tenant;
        self.read_groups(move |reader| {
            let documents = reader.documents(Table::EncryptionGroups, tenant.as_bytes(), None, GROUPS_MAX)?;
            documents.iter().map(read_group).collect()
        })
        .await
    }

    /// A group and its members by agent id; `None` when the tenant has no such group.
    pub async fn encryption_group(
        &self,
        tenant: &TenantId,
        group_id: &Uuid,
    ) -> Result<Option<(EncryptionGroup, Vec<GroupMember>)>, ServiceError> {
        let key = group_key(tenant, group_id);
        self.read_groups(move |reader| {
            let Some(group) = reader.document(Table::EncryptionGroups, &key)? else { return Ok(None) };
            let members =
                reader.documents(Table::EncryptionGroupMembers, &key, None, ENCRYPTION_GROUP_MEMBERS_MAX)?;
            let members = members.iter().map(read_member).collect::<Result<_, _>>()?;
            Ok(Some((read_group(&group)?, members)))
        })
        .await
    }

    /// Adds an agent, or leaves it where it is a member already.
    ///
    /// # Errors
    /// [`GroupError::NotFound`], [`GroupError::TooManyMembers`].
    pub async fn add_group_member(
        &self,
        tenant: &TenantId,
        group_id: &Uuid,
        agent: &AgentId,
    ) -> Result<(), GroupError> {
        let (service, tenant, group_id, agent) = (self.clone(), *tenant, *group_id, *agent);
        uncancelled(async move {
            let _one_at_a_time = service.shared().registry.writing.lock().await;
            let (group, members) =
                service.encryption_group(&tenant, &group_id).await?.ok_or(GroupError::NotFound)?;
            if members.iter().any(|member| member.agent_id == agent) {
                return Ok(());
            }
            if members.len() >= ENCRYPTION_GROUP_MEMBERS_MAX {
                return Err(GroupError::TooManyMembers);
            }
            let change = put_member(&group, &agent, service.now())?;
            let act = act_on(Action::EncryptionGroupMemberAdded, &tenant, &group_id)
                .with(serde_json::json!({ "agent_id": agent }));
            Ok(service.act(act, Work::Documents(vec![change])).await.map(drop)?)
        })
        .await
    }

    /// Takes an agent out. What was sealed to its keys before stays readable to it.
    ///
    /// # Errors
    /// [`GroupError::NotFound`], [`GroupError::NoMember`].
    pub async fn remove_group_member(
        &self,
        tenant: &TenantId,
        group_id: &Uuid,
        agent: &AgentId,
    ) -> Result<(), GroupError> {
        let (service, tenant, group_id, agent) = (self.clone(), *tenant, *group_id, *agent);
        uncancelled(async move {
            let _one_at_a_time = service.shared().registry.writing.lock().await;
            let (_, members) =
                service.encryption_group(&tenant, &group_id).await?.ok_or(GroupError::NotFound)?;
            if !members.iter().any(|member| member.agent_id == agent) {
                return Err(GroupError::NoMember);
            }
            let key = member_key(&tenant, &group_id, &agent);
            let change = DocumentChange::Remove(Table::EncryptionGroupMembers, key);
            let act = act_on(Action::EncryptionGroupMemberRemoved, &tenant, &group_id)
                .with(serde_json::json!({ "agent_id": agent }));
            Ok(service.act(act, Work::Documents(vec![change])).await.map(drop)?)
        })
        .await
    }

    /// Deletes a group with its list of members; keys and events stay.
    ///
    /// # Errors
    /// [`GroupError::NotFound`].
    pub async fn delete_encryption_group(
        &self,
        tenant: &TenantId,
        group_id: &Uuid,
    ) -> Result<(), GroupError> {
        let (service, tenant, group_id) = (self.clone(), *tenant, *group_id);
        uncancelled(async move {
            let _one_at_a_time = service.shared().registry.writing.lock().await;
            let (_, members) =
                service.encryption_group(&tenant, &group_id).await?.ok_or(GroupError::NotFound)?;
            let mut changes =
                vec![DocumentChange::Remove(Table::EncryptionGroups, group_key(&tenant, &group_id))];
            changes.extend(members.iter().map(|member| {
                let key = member_key(&tenant, &group_id, &member.agent_id);
                DocumentChange::Remove(Table::EncryptionGroupMembers, key)
            }));
            let act = act_on(Action::EncryptionGroupDeleted, &tenant, &group_id);
            Ok(service.act(act, Work::Documents(changes)).await.map(drop)?)
        })
        .await
    }

    async fn read_groups<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn LogReader) -> Result<T, ServiceError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let reader = self.inner.reader.clone();
        blocking(move || read(reader.as_ref())).await
    }
}

fn act_on(action: Action, tenant: &TenantId, group_id: &Uuid) -> Act {
    Act::new(action).in_tenant(*tenant).on("encryption_group", group_id)
}

fn group_key(tenant: &TenantId, group_id: &Uuid) -> Vec<u8> {
    [&tenant.as_bytes()[..], group_id.as_bytes()].concat()
}

fn member_key(tenant: &TenantId, group_id: &Uuid, agent: &AgentId) -> Vec<u8> {
    [&tenant.as_bytes()[..], group_id.as_bytes(), agent.as_bytes()].concat()
}

fn group_document(group: &EncryptionGroup) -> Result<Document, ServiceError> {
    let text = GroupText {
        name: group.name.clone(),
        description: group.description.clone(),
        created_at_ms: group.created_at.0,
    };
    Ok(Document {
        key: group_key(&group.tenant_id, &group.group_id),
        text: json(&text)?,
        content: Vec::new(),
    })
}

fn put_member(
    group: &EncryptionGroup,
    agent: &AgentId,
    added_at: TimestampMs,
) -> Result<DocumentChange, ServiceError> {
    let key = member_key(&group.tenant_id, &group.group_id, agent);
    let text = json(&MemberText { added_at_ms: added_at.0 })?;
    Ok(DocumentChange::Put(Table::EncryptionGroupMembers, Document { key, text, content: Vec::new() }))
}

fn json(value: &impl Serialize) -> Result<String, ServiceError> {
    serde_json::to_string(value).map_err(|error| ServiceError::Internal(error.to_string()))
}

fn read_group(document: &Document) -> Result<EncryptionGroup, ServiceError> {
    let broken = || ServiceError::Read("an encryption group is none that this service wrote".to_owned());
    let text: GroupText = serde_json::from_str(&document.text).map_err(|_| broken())?;
    let (tenant, group) = document.key.split_first_chunk::<16>().ok_or_else(broken)?;
    Ok(EncryptionGroup {
        tenant_id: TenantId::from_bytes(*tenant),
        group_id: Uuid::from_slice(group).map_err(|_| broken())?,
        name: text.name,
        description: text.description,
        created_at: TimestampMs(text.created_at_ms),
    })
}

fn read_member(document: &Document) -> Result<GroupMember, ServiceError> {
    let broken = || ServiceError::Read("a group member is none that this service wrote".to_owned());
    let text: MemberText = serde_json::from_str(&document.text).map_err(|_| broken())?;
    let agent = document.key.last_chunk::<16>().filter(|_| document.key.len() == 48).ok_or_else(broken)?;
    Ok(GroupMember { agent_id: AgentId::from_bytes(*agent), added_at: TimestampMs(text.added_at_ms) })
}
