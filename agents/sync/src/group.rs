//! Groups of recipients, and opening what was sealed for one of them.
//!
//! Which agents are in a group is the server's word; which keys they have is not: each key is one that the sequencer
//! signed in the directory of its agent.

use rusqlite::OptionalExtension as _;
use serde::{Deserialize, Serialize};
use stateset_client::Identity;
use ves::draft::Draft;
use ves::keys::KeyAlgorithm;
use ves::seal::{DecryptionKey, OpenError, OpenedPayload, Recipient};
use ves::{Envelope, Payload, RecipientKeyId};
use ves_wire::Hex;

use crate::draft::{Author, draw};
use crate::outbox::{self, BATCH_EVENTS_MAX, Entry, database};
use crate::transport::Transport;
use crate::{Clock, Fault, Store, SyncError};

/// Members of one group that are looked at.
const MEMBERS_MAX: usize = 256;

/// A group as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub id: uuid::Uuid,
    pub name: String,
    /// Ascending by number.
    pub recipients: Vec<Recipient>,
}

/// A decryption key that is held, with its number.
pub struct Held {
    pub kid: RecipientKeyId,
    pub key: DecryptionKey,
}

#[derive(Serialize, Deserialize)]
struct RecipientText {
    kid: u32,
    public_key: Hex<32>,
}

/// The payload of a sealed event, with whichever of the keys opens it. Keys of before a rotation open what was sealed
/// for them then.
///
/// # Errors
/// [`SyncError::NoKeyOpens`] when it is sealed for none of them; [`SyncError::Open`] when it is and does not open.
pub fn open_with_any(event: &Envelope<'_>, held: &[Held]) -> Result<OpenedPayload, SyncError> {
    let Payload::Encrypted(sealed) = &event.payload else {
        return Err(SyncError::Open(OpenError::NotEncrypted));
    };
    let kids = sealed.recipients.iter().map(|wrap| wrap.recipient_kid);
    let mut last = None;
    for held in held.iter().filter(|held| kids.clone().any(|kid| kid == held.kid)) {
        match held.key.open_with_salt(event, held.kid) {
            Ok(opened) => return Ok(opened),
            Err(problem) => last = Some(problem),
        }
    }
    Err(match last {
        Some(problem) => SyncError::Open(problem),
        None => SyncError::NoKeyOpens { kids: kids.collect() },
    })
}

impl Store {
    /// Fetches a group by its id or name, and the keys of its members from their signed directories.
    ///
    /// # Errors
    /// [`Fault::DirectoryForged`] when the server names a key that the directory of its agent does not have;
    /// [`SyncError::Recipient`] when there is no such group, or nobody in it can read.
    pub fn refresh_group(
        &mut self,
        transport: &mut dyn Transport,
        identity: &Identity,
        name: &str,
        clock: impl Clock,
    ) -> Result<Group, SyncError> {
        let wrong =
            |problem: &str| SyncError::Recipient { who: name.to_owned(), problem: problem.to_owned() };
        let found =
            transport.group(&self.stream.tenant_id, name)?.ok_or_else(|| wrong("there is no such group"))?;
        if found.members.len() > MEMBERS_MAX {
            return Err(wrong("the group has more members than a payload can be sealed for"));
        }
        let mut recipients = Vec::new();
        for member in &found.members {
            let now = clock.now();
            self.refresh_keys(transport, identity, &member.agent_id, now)?;
            match self.recipients_of(&member.agent_id, now) {
                Ok(keys) => recipients.extend(keys),
                // A member without a key can read nothing, whoever seals.
                Err(SyncError::Recipient { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        recipients.sort_unstable_by_key(|recipient| recipient.kid);
        for named in &found.recipients {
            let is_signed = named.key_algorithm != u32::from(KeyAlgorithm::X25519.number())
                || recipients
                    .iter()
                    .any(|held| (held.kid.0, held.public_key) == (named.recipient_kid, named.public_key.0));
            if !is_signed {
                let problem = format!(
                    "the group {name} names the encryption key {}, which the signed directory does not have",
                    named.recipient_kid
                );
                return Err(
                    self.caught(Fault::DirectoryForged { agent: named.agent_id, problem }, clock.now().0)
                );
            }
        }
        if recipients.is_empty() {
            return Err(wrong("no member has an encryption key"));
        }
        let group = Group { id: found.group.group_id, name: found.group.name, recipients };
        self.keep_group(&group)?;
        Ok(group)
    }

    fn keep_group(&mut self, group: &Group) -> Result<(), SyncError> {
        let recipients: Vec<RecipientText> = group
            .recipients
            .iter()
            .map(|one| RecipientText { kid: one.kid.0, public_key: Hex(one.public_key) })
            .collect();
        let text = serde_json::to_string(&recipients).expect("recipients serialise to JSON");
        self.write("writing", |connection| {
            connection
                .execute(
                    "INSERT INTO recipient_groups VALUES (?, ?, ?) ON CONFLICT (group_id)
                     DO UPDATE SET name = excluded.name, recipients = excluded.recipients",
                    (group.id.as_bytes(), &group.name, &text),
                )
                .map(drop)
                .map_err(database)
        })
    }

    /// A group by its id or name as it was last seen; `None` when it never was.
    ///
    /// # Errors
    /// [`SyncError::Damaged`].
    pub fn known_group(&self, name: &str) -> Result<Option<Group>, SyncError> {
        let id = name.parse::<uuid::Uuid>().ok().map(|id| *id.as_bytes());
        let found: Option<([u8; 16], String, String)> = self
            .connection
            .query_row(
                "SELECT group_id, name, recipients FROM recipient_groups WHERE name = ?1 OR group_id = ?2",
                (name, id),
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .optional()
            .map_err(self.failed("reading"))?;
        let Some((id, name, text)) = found else { return Ok(None) };
        let recipients: Vec<RecipientText> = serde_json::from_str(&text)
            .map_err(|error| SyncError::damaged(&self.path, format!("group {name}: {error}")))?;
        let recipients = recipients
            .into_iter()
            .map(|one| Recipient { kid: RecipientKeyId(one.kid), public_key: one.public_key.0 })
            .collect();
        Ok(Some(Group { id: uuid::Uuid::from_bytes(id), name, recipients }))
    }

    /// Groups that events which wait were sealed for.
    ///
    /// # Errors
    /// [`SyncError::File`].
    pub fn groups_that_wait(&self) -> Result<Vec<uuid::Uuid>, SyncError> {
        let failed = self.failed("reading");
        let mut statement = self
            .connection
            .prepare_cached("SELECT DISTINCT group_id FROM outbox WHERE state = 0 AND group_id IS NOT NULL")
            .map_err(&failed)?;
        let rows = statement.query_map([], |row| row.get::<_, [u8; 16]>(0)).map_err(&failed)?;
        rows.map(|row| row.map(uuid::Uuid::from_bytes).map_err(&failed)).collect()
    }

    /// Seals what waits for `group` anew where it was sealed for others than `recipients`: who left the group can't
    /// read what was not sent yet, and who joined it can. Only what one of the `held` keys opens. Returns how many.
    ///
    /// # Errors
    /// [`SyncError::Signing`], [`SyncError::NoRandomness`].
    pub fn seal_anew(
        &mut self,
        group: uuid::Uuid,
        recipients: &[Recipient],
        author: &Author,
        held: &[Held],
    ) -> Result<u64, SyncError> {
        assert_eq!(author.agent_id, self.agent, "the file belongs to another agent");
        let (mut position, mut changed) = (0, 0);
        loop {
            let entries = self.entries(position, BATCH_EVENTS_MAX, Some("pending"))?;
            let Some(last) = entries.last() else { return Ok(changed) };
            position = last.position;
            let mut sealed = Vec::new();
            for mut entry in entries.into_iter().filter(|entry| entry.group == Some(group)) {
                if !is_sealed_for(&entry, recipients)
                    && let Ok(opened) = open_with_any(&entry.envelope, held)
                {
                    entry.envelope = seal(&entry, &opened, recipients, author)?;
                    sealed.push(entry);
                }
            }
            changed += sealed.len() as u64;
            self.write("writing", |connection| {
                sealed.iter().try_for_each(|entry| outbox::replace(connection, entry))
            })?;
        }
    }
}

impl Store {
    /// A sealed event under another signing key, sealed again for whom it was sealed; `None` where it can't be.
    pub(crate) fn sealed_anew(
        &self,
        entry: &Entry,
        author: &Author,
        held: &[Held],
    ) -> Result<Option<Envelope<'static>>, SyncError> {
        let Payload::Encrypted(sealed) = &entry.envelope.payload else { return Ok(None) };
        let mut recipients = Vec::with_capacity(sealed.recipients.len());
        for wrap in &sealed.recipients {
            let own = held.iter().find(|held| held.kid == wrap.recipient_kid);
            let own = own.map(|held| Recipient { kid: held.kid, public_key: held.key.public_key() });
            match own.map_or_else(|| self.recipient_by_kid(wrap.recipient_kid), |own| Ok(Some(own)))? {
                Some(recipient) => recipients.push(recipient),
                None => return Ok(None),
            }
        }
        match open_with_any(&entry.envelope, held) {
            Ok(opened) => seal(entry, &opened, &recipients, author).map(Some),
            Err(_) => Ok(None),
        }
    }
}

fn is_sealed_for(entry: &Entry, recipients: &[Recipient]) -> bool {
    let Payload::Encrypted(sealed) = &entry.envelope.payload else { return false };
    let mut wanted: Vec<RecipientKeyId> = recipients.iter().map(|recipient| recipient.kid).collect();
    wanted.sort_unstable();
    sealed.recipients.iter().map(|wrap| wrap.recipient_kid).eq(wanted)
}

/// The same event, sealed with fresh keys and signed again.
fn seal(
    entry: &Entry,
    opened: &OpenedPayload,
    recipients: &[Recipient],
    author: &Author,
) -> Result<Envelope<'static>, SyncError> {
    let event = &entry.envelope;
    let draft = Draft {
        stream: event.stream,
        event_id: event.event_id,
        source_agent_id: author.agent_id,
        agent_key_id: author.key_id,
        entity_type: event.entity_type.clone(),
        entity_id: event.entity_id.clone(),
        event_type: event.event_type.clone(),
        created_at: event.created_at.clone(),
        command_id: event.command_id,
        base_version: event.base_version,
    };
    let drawn = draw(recipients.len())?;
    draft
        .seal_and_sign(&opened.canonical, recipients, drawn, author.signer.as_ref())
        .map_err(|problem| SyncError::Draft { index: 0, problem })
}
