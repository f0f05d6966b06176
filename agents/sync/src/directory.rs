//! Keys of agents, believed only as the sequencer signed them.
//!
//! A directory names its agent and its time and lists every key, so an absent key is said to be absent. What was once
//! seen is kept: a revoked key that is active again, or a key that is gone or has other bytes, is a server that shows
//! the past or lies.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, params};
use stateset_client::{DIRECTORY_AGE_MS_MAX, Identity, KnownKey};
use ves::directory::{DirectoryError, DirectoryKey, Expected, KeyDirectory, SignedKeyDirectory};
use ves::keys::{KeyAlgorithm, KeyStatus};
use ves::seal::Recipient;
use ves::{AgentId, AgentKey, KeyId, RecipientKeyId, SequenceNumber, TenantId, TimestampMs};

use crate::outbox::database;
use crate::transport::Transport;
use crate::{Fault, Store, SyncError};

/// What a key is for; its number in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Signing = 0,
    Encryption = 1,
}

/// Keys of one agent by kind and number.
pub type Known = BTreeMap<(u8, u32), DirectoryKey>;

impl Store {
    /// Fetches the keys of `agent`, checks them, and keeps them.
    ///
    /// # Errors
    /// [`Fault::DirectoryForged`], [`Fault::DirectoryStale`], [`SyncError::Behind`]; nothing of such an answer is kept.
    pub fn refresh_keys(
        &mut self,
        transport: &mut dyn Transport,
        identity: &Identity,
        agent: &AgentId,
        now: TimestampMs,
    ) -> Result<KeyDirectory, SyncError> {
        let text = transport.directory(&self.stream, agent)?;
        let seen = self.head_seen()?.head;
        let known = self.known_keys(agent)?;
        match verified(&text, self, identity, agent, seen, &known, now) {
            Ok(directory) => {
                self.write("writing", |connection| keep(connection, agent, &directory))?;
                Ok(directory)
            }
            Err(Refused::Behind { found }) => Err(self.behind(seen.get(), found.get(), now)),
            Err(Refused::Fault(fault)) => Err(self.caught(fault, now.0)),
        }
    }

    /// The keys of an agent as they were last signed; empty when it was never asked for.
    ///
    /// # Errors
    /// [`SyncError::Damaged`].
    pub fn known_keys(&self, agent: &AgentId) -> Result<Known, SyncError> {
        let failed = self.failed("reading");
        let mut statement = self
            .connection
            .prepare_cached("SELECT kind, key_id, key FROM agent_keys WHERE agent_id = ?")
            .map_err(&failed)?;
        let mut rows = statement.query([agent.as_bytes()]).map_err(&failed)?;
        let mut known = Known::new();
        while let Some(row) = rows.next().map_err(&failed)? {
            let text: String = row.get(2).map_err(&failed)?;
            let key = serde_json::from_str(&text)
                .map_err(|error| SyncError::damaged(&self.path, format!("a key: {error}")))?;
            known.insert((row.get(0).map_err(&failed)?, row.get(1).map_err(&failed)?), key);
        }
        Ok(known)
    }

    /// The signing key of an agent as it was last signed; revoked ones too, since what they signed stays signed.
    pub(crate) fn signing_key(&self, agent: AgentId, key: KeyId) -> Result<Option<KnownKey>, SyncError> {
        let known = self.known_keys(&agent)?;
        let tenant = self.stream.tenant_id;
        Ok(known.get(&(Kind::Signing as u8, key.0)).and_then(|found| known_key(tenant, agent, found)))
    }

    /// The keys of an agent that payloads may be sealed for at `now`, as they were last signed.
    ///
    /// # Errors
    /// [`SyncError::Recipient`] when there is none.
    pub fn recipients_of(&self, agent: &AgentId, now: TimestampMs) -> Result<Vec<Recipient>, SyncError> {
        let known = self.known_keys(agent)?;
        let usable: Vec<Recipient> = known
            .iter()
            .filter(|((kind, _), key)| *kind == Kind::Encryption as u8 && key.check_at(now).is_ok())
            .filter_map(|((_, kid), key)| recipient(*kid, key))
            .collect();
        if usable.is_empty() {
            let problem = "no encryption key of it is known that may be used now: pull its keys first";
            return Err(SyncError::Recipient { who: agent.to_string(), problem: problem.to_owned() });
        }
        Ok(usable)
    }

    /// The encryption key of this number, as it was last signed: a number is of one agent of the tenant.
    pub(crate) fn recipient_by_kid(&self, kid: RecipientKeyId) -> Result<Option<Recipient>, SyncError> {
        let text: Option<String> = self
            .connection
            .prepare_cached("SELECT key FROM agent_keys WHERE kind = ? AND key_id = ?")
            .and_then(|mut statement| {
                statement.query_row((Kind::Encryption as u8, kid.0), |row| row.get(0)).optional()
            })
            .map_err(self.failed("reading"))?;
        let Some(text) = text else { return Ok(None) };
        let key = serde_json::from_str(&text)
            .map_err(|error| SyncError::damaged(&self.path, format!("a key: {error}")))?;
        Ok(recipient(kid.0, &key))
    }
}

/// Why a directory is not believed.
enum Refused {
    Fault(Fault),
    /// It is of this end of the stream, before the one that was seen: it may be of a replica that lags.
    Behind {
        found: SequenceNumber,
    },
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

fn verified(
    text: &str,
    store: &Store,
    identity: &Identity,
    agent: &AgentId,
    seen: SequenceNumber,
    known: &Known,
    now: TimestampMs,
) -> Result<KeyDirectory, Refused> {
    let expected = Expected {
        tenant_id: store.stream.tenant_id,
        agent_id: *agent,
        stream: Some((store.stream.store_id, seen)),
        now,
        age_ms_max: DIRECTORY_AGE_MS_MAX,
    };
    let forged = |problem: String| Fault::DirectoryForged { agent: *agent, problem };
    let key = identity.current_key().map_err(|problem| forged(problem.to_string()))?;
    let directory = ves::directory::verify(text, key, &expected).map_err(|problem| match problem {
        // Signed by another key than is believed, and it says so: told apart from one that was tampered with.
        DirectoryError::InvalidSignature => match named_version(text) {
            Some(version) if !identity.keys.contains_key(&version) => {
                Refused::Fault(Fault::SequencerKeyUnknown { named: format!("version {version}") })
            }
            _ => Fault::directory(*agent, &problem).into(),
        },
        DirectoryError::Behind { found, .. } => Refused::Behind { found },
        problem => Fault::directory(*agent, &problem).into(),
    })?;
    compare(agent, known, &keys_of(&directory))?;
    Ok(directory)
}

/// The version of the sequencer's key that a directory names.
fn named_version(text: &str) -> Option<u32> {
    let signed: SignedKeyDirectory = serde_json::from_str(text).ok()?;
    Some(signed.directory.sequencer_key_version)
}

/// Whether `new` can follow `known`: keys are added and revoked, and nothing else happens to them.
fn compare(agent: &AgentId, known: &Known, new: &Known) -> Result<(), Fault> {
    let stale = |problem: String| Fault::DirectoryStale { agent: *agent, problem };
    for ((kind, number), old) in known {
        let what = if *kind == Kind::Signing as u8 { "signing key" } else { "encryption key" };
        let Some(key) = new.get(&(*kind, *number)) else {
            return Err(stale(format!("its {what} {number} is not in it, and was seen before")));
        };
        if (&key.public_key, key.key_algorithm) != (&old.public_key, old.key_algorithm) {
            let problem = format!("its {what} {number} has other bytes than were seen before");
            return Err(Fault::DirectoryForged { agent: *agent, problem });
        }
        let is_revoked = |key: &DirectoryKey| KeyStatus::from_text(&key.status) == Some(KeyStatus::Revoked);
        if is_revoked(old) && !is_revoked(key) {
            return Err(stale(format!("its {what} {number} is {}, and was seen revoked", key.status)));
        }
    }
    Ok(())
}

fn keys_of(directory: &KeyDirectory) -> Known {
    let of = |kind: Kind, keys: &[DirectoryKey]| -> Vec<((u8, u32), DirectoryKey)> {
        keys.iter().map(|key| ((kind as u8, key.key_id), key.clone())).collect()
    };
    let signing = of(Kind::Signing, &directory.signing_keys);
    signing.into_iter().chain(of(Kind::Encryption, &directory.encryption_keys)).collect()
}

fn keep(connection: &Connection, agent: &AgentId, directory: &KeyDirectory) -> Result<(), SyncError> {
    for ((kind, number), key) in keys_of(directory) {
        let text = serde_json::to_string(&key).expect("a key serialises to JSON");
        connection
            .prepare_cached(
                "INSERT INTO agent_keys VALUES (?, ?, ?, ?)
                 ON CONFLICT (agent_id, kind, key_id) DO UPDATE SET key = excluded.key",
            )
            .and_then(|mut statement| statement.execute(params![agent.as_bytes(), kind, number, text]))
            .map_err(database)?;
    }
    Ok(())
}

/// An X25519 key that a payload can be sealed for; hybrid keys have no specified bytes yet.
fn recipient(kid: u32, key: &DirectoryKey) -> Option<Recipient> {
    if key.algorithm() != Some(KeyAlgorithm::X25519) {
        return None;
    }
    let public_key = ves::hex::decode_lenient(&key.public_key).ok()?;
    Some(Recipient { kid: RecipientKeyId(kid), public_key })
}

/// The key as the checks of events use it; `None` when it signs nothing or its bytes are not those of a key.
fn known_key(tenant_id: TenantId, agent_id: AgentId, key: &DirectoryKey) -> Option<KnownKey> {
    let algorithm = key.algorithm()?;
    let text = key.public_key.trim_start_matches("0x");
    let (classical, quantum) = match algorithm {
        KeyAlgorithm::Ed25519 => (text, None),
        KeyAlgorithm::MlDsa65 => ("", Some(text)),
        KeyAlgorithm::Ed25519MlDsa65 => text.split_at_checked(64).map(|(one, other)| (one, Some(other)))?,
        _ => return None,
    };
    let public_key = match classical {
        "" => [0; 32],
        text => ves::hex::decode_lenient(text).ok()?,
    };
    let ml_dsa_65 = match quantum {
        Some(text) => Some(Box::new(ves::hex::decode_lenient(text).ok()?)),
        None => None,
    };
    KnownKey::of_record(&AgentKey {
        tenant_id,
        agent_id,
        key_id: KeyId(key.key_id),
        public_key,
        algorithm,
        ml_dsa_65,
        status: KeyStatus::Active,
        valid_from: None,
        valid_to: None,
        revoked_at: None,
        created_at: TimestampMs(0),
        metadata: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use stateset_fixtures::{Agent, stream};

    fn key(bytes: u8, status: &str) -> DirectoryKey {
        DirectoryKey {
            key_id: 1,
            key_algorithm: 1,
            public_key: ves::hex::encode(&[bytes; 32]),
            status: status.to_owned(),
            valid_from: None,
            valid_to: None,
            revoked_at: None,
        }
    }

    #[test]
    fn keys_are_added_and_revoked_and_nothing_else() {
        let agent = AgentId::from_bytes([1; 16]);
        let of = |keys: &[(u32, DirectoryKey)]| -> Known {
            keys.iter().map(|(number, key)| ((0, *number), key.clone())).collect()
        };
        let code = |old: &Known, new: &Known| compare(&agent, old, new).err().map(|fault| fault.code());
        let (active, revoked) = (of(&[(1, key(1, "active"))]), of(&[(1, key(1, "revoked"))]));
        let more = of(&[(1, key(1, "active")), (2, key(2, "active"))]);
        assert_eq!(code(&Known::new(), &active), None);
        assert_eq!((code(&active, &revoked), code(&active, &more)), (None, None));
        assert_eq!(code(&active, &of(&[(1, key(1, "expired"))])), None, "time goes on");
        assert_eq!(code(&revoked, &active), Some("directory_stale"));
        assert_eq!(code(&more, &active), Some("directory_stale"), "a key that was seen is gone");
        assert_eq!(code(&active, &of(&[(1, key(9, "active"))])), Some("directory_forged"));
    }

    #[test]
    fn a_key_of_a_directory_checks_what_its_agent_signed() {
        let stream = stream(1);
        let agent = Agent::new(&stream, 1);
        let event = stateset_fixtures::plain_event(&agent, &stream, 1);
        let listed = DirectoryKey::from(&agent.registered_key());
        let known = known_key(stream.tenant_id, agent.agent_id, &listed).expect("a signing key");
        assert!(known.verifies(&event, &event.signing_hash()));
        let other = DirectoryKey::from(&agent.with_key(KeyId(2)).registered_key());
        let known = known_key(stream.tenant_id, agent.agent_id, &other).expect("a signing key");
        assert!(!known.verifies(&event, &event.signing_hash()));
        for bad in ["", "zz", &"ab".repeat(31), &"ab".repeat(64)] {
            let listed = DirectoryKey { public_key: bad.to_owned(), ..listed.clone() };
            assert!(known_key(stream.tenant_id, agent.agent_id, &listed).is_none(), "{bad}");
        }
    }
}
