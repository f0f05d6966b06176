//! The signed key directory (ours, section 9.4): which keys of an agent a sequencer knows, at a time and at a head of
//! a stream, signed by the key that signs its receipts.
//!
//! A directory names its tenant, its agent and its time, and lists every key. A key that is not there is therefore
//! said to be absent, and an old answer is known by its age and by a head below one that was seen before.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::ed25519::{PublicKey, Signer, SignerError};
use crate::hash::{Digest, Domain, Hasher};
use crate::hex;
use crate::ids::{AgentId, KeyId, RecipientKeyId, SequenceNumber, SequencerId, StoreId, TenantId};
use crate::json::{self, JsonError};
use crate::keys::{AgentKey, EncryptionKey, KeyAlgorithm, KeyStatus, check_window_of};
use crate::reject::KeyProblem;
use crate::time::TimestampMs;

/// How far the clock of a sequencer may be ahead of the reader's, in milliseconds.
pub const CLOCK_SKEW_MS_MAX: i64 = 60_000;

/// All keys of one agent, as one sequencer knows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyDirectory {
    pub tenant_id: TenantId,
    pub agent_id: AgentId,
    pub sequencer_id: SequencerId,
    /// Of the key that signs.
    pub sequencer_key_version: u32,
    /// When the registry was read; RFC 3339 in UTC.
    #[serde(with = "rfc3339")]
    pub as_of: TimestampMs,
    /// The stream that the reader named, as it stood then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<DirectoryHead>,
    /// By number.
    pub signing_keys: Vec<DirectoryKey>,
    /// By number, which is the `recipient_kid`.
    pub encryption_keys: Vec<DirectoryKey>,
}

/// Head and state of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectoryHead {
    pub store_id: StoreId,
    /// Decimal text: a JSON number would lose digits beyond 2^53.
    #[serde(with = "decimal")]
    pub head_sequence: SequenceNumber,
    /// `new_state_root` of the newest commitment, zero before the first.
    pub state_root: Digest,
}

/// One key with its window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectoryKey {
    pub key_id: u32,
    /// Number of section 21.
    pub key_algorithm: u8,
    /// Hex of all parts in the order of section 9.3: the classical key, then the post-quantum one.
    pub public_key: String,
    /// `active`, `revoked` or `expired`.
    pub status: String,
    #[serde(default, with = "rfc3339_option", skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<TimestampMs>,
    #[serde(default, with = "rfc3339_option", skip_serializing_if = "Option::is_none")]
    pub valid_to: Option<TimestampMs>,
    #[serde(default, with = "rfc3339_option", skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<TimestampMs>,
}

/// A directory and the signature over the hash of its canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedKeyDirectory {
    pub directory: KeyDirectory,
    /// `ed25519`
    pub signature_alg: String,
    /// 128 hex digits.
    pub signature: String,
}

/// Why a directory is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    #[error("the key directory can't be read: {0}")]
    Unreadable(String),
    #[error("the key directory's signature does not verify under the sequencer's key")]
    InvalidSignature,
    #[error("the key directory is of another tenant, agent or stream than was asked for")]
    OtherSubject,
    #[error("the key directory is of {as_of}, which is too old at {now}")]
    Stale { as_of: TimestampMs, now: TimestampMs },
    #[error("the key directory is of {as_of}, which lies in the future at {now}")]
    FromTheFuture { as_of: TimestampMs, now: TimestampMs },
    #[error("the key directory stands at {found}, behind {seen}, which was seen before")]
    Behind { found: SequenceNumber, seen: SequenceNumber },
}

/// What a reader asked for and already knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    pub tenant_id: TenantId,
    pub agent_id: AgentId,
    /// The store that was named, and the highest head of it seen before.
    pub stream: Option<(StoreId, SequenceNumber)>,
    pub now: TimestampMs,
    /// Oldest age that is believed, in milliseconds.
    pub age_ms_max: i64,
}

impl KeyDirectory {
    /// What is signed: the hash of the canonical JSON of the body.
    ///
    /// # Errors
    /// [`JsonError`] when the body can't be written, which no value of this type causes.
    pub fn hash(&self) -> Result<Digest, JsonError> {
        let text = serde_json::to_string(self).map_err(|_| JsonError::TooDeep)?;
        Ok(hash_of(&json::canonicalize(&text)?))
    }

    /// Signs the directory.
    ///
    /// # Errors
    /// [`SignerError`] when the key is out of reach.
    pub fn sign(self, signer: &dyn Signer) -> Result<SignedKeyDirectory, SignerError> {
        let hash = self.hash().map_err(|problem| SignerError(problem.to_string()))?;
        let signature = hex::encode(&signer.sign(hash.as_bytes())?);
        Ok(SignedKeyDirectory { directory: self, signature_alg: "ed25519".to_owned(), signature })
    }

    /// The signing key of this number; `None`: the sequencer says that there is none.
    pub fn signing_key(&self, key_id: KeyId) -> Option<&DirectoryKey> {
        self.signing_keys.iter().find(|key| key.key_id == key_id.0)
    }

    /// The encryption key of this number; `None`: the sequencer says that there is none.
    pub fn encryption_key(&self, kid: RecipientKeyId) -> Option<&DirectoryKey> {
        self.encryption_keys.iter().find(|key| key.key_id == kid.0)
    }
}

/// Reads an answer and believes it only when all of `expected` holds and `key` signed it.
///
/// The text that was signed is what counts: members that this version does not know are under the signature too.
///
/// # Errors
/// [`DirectoryError`], the signature first.
pub fn verify(text: &str, key: &PublicKey, expected: &Expected) -> Result<KeyDirectory, DirectoryError> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        directory: &'a RawValue,
        signature: String,
    }
    let unreadable = |problem: String| DirectoryError::Unreadable(problem);
    let answer: Answer<'_> = serde_json::from_str(text).map_err(|problem| unreadable(problem.to_string()))?;
    let canonical =
        json::canonicalize(answer.directory.get()).map_err(|problem| unreadable(problem.to_string()))?;
    let signature = hex::decode_lenient(&answer.signature)
        .map_err(|problem| unreadable(format!("signature: {problem}")))?;
    if !key.verify(hash_of(&canonical).as_bytes(), &signature) {
        return Err(DirectoryError::InvalidSignature);
    }
    let directory: KeyDirectory =
        serde_json::from_str(&canonical).map_err(|problem| unreadable(problem.to_string()))?;
    expected.check(&directory)?;
    Ok(directory)
}

impl Expected {
    fn check(&self, directory: &KeyDirectory) -> Result<(), DirectoryError> {
        let (as_of, now) = (directory.as_of, self.now);
        if (directory.tenant_id, directory.agent_id) != (self.tenant_id, self.agent_id) {
            return Err(DirectoryError::OtherSubject);
        }
        if now.0.saturating_sub(as_of.0) > self.age_ms_max {
            return Err(DirectoryError::Stale { as_of, now });
        }
        if as_of.0.saturating_sub(now.0) > CLOCK_SKEW_MS_MAX {
            return Err(DirectoryError::FromTheFuture { as_of, now });
        }
        let Some((store_id, seen)) = self.stream else { return Ok(()) };
        match &directory.stream {
            Some(head) if head.store_id == store_id && head.head_sequence >= seen => Ok(()),
            Some(head) if head.store_id == store_id => {
                Err(DirectoryError::Behind { found: head.head_sequence, seen })
            }
            _ => Err(DirectoryError::OtherSubject),
        }
    }
}

fn hash_of(canonical: &str) -> Digest {
    Hasher::new(Domain::KeyDirectory).bytes(canonical.as_bytes()).finish()
}

impl DirectoryKey {
    /// Whether the key may be used at `now`, by the rule of the registry (9.2).
    ///
    /// # Errors
    /// [`KeyProblem`], in the order of section 9.2; a status that this version does not know is a revocation.
    pub fn check_at(&self, now: TimestampMs) -> Result<(), KeyProblem> {
        let status = KeyStatus::from_text(&self.status).unwrap_or(KeyStatus::Revoked);
        check_window_of(status, self.valid_from, self.valid_to, self.revoked_at, now)
    }

    pub fn algorithm(&self) -> Option<KeyAlgorithm> {
        KeyAlgorithm::from_number(self.key_algorithm.into())
    }
}

impl From<&AgentKey> for DirectoryKey {
    fn from(key: &AgentKey) -> Self {
        let quantum = key.ml_dsa_65.as_deref().map(|key| key.as_slice());
        Self {
            key_id: key.key_id.0,
            key_algorithm: key.algorithm.number(),
            public_key: joined(&key.public_key, key.algorithm != KeyAlgorithm::MlDsa65, quantum),
            status: key.status.text().to_owned(),
            valid_from: key.valid_from,
            valid_to: key.valid_to,
            revoked_at: key.revoked_at,
        }
    }
}

impl From<&EncryptionKey> for DirectoryKey {
    fn from(key: &EncryptionKey) -> Self {
        let quantum = key.ml_kem_768.as_deref().map(|key| key.as_slice());
        Self {
            key_id: key.kid.0,
            key_algorithm: key.algorithm.number(),
            public_key: joined(&key.public_key, key.algorithm != KeyAlgorithm::MlKem768, quantum),
            status: key.status.text().to_owned(),
            valid_from: key.valid_from,
            valid_to: key.valid_to,
            revoked_at: key.revoked_at,
        }
    }
}

fn joined(classical: &[u8; 32], has_classical: bool, quantum: Option<&[u8]>) -> String {
    let classical = if has_classical { &classical[..] } else { &[] };
    hex::encode(&[classical, quantum.unwrap_or_default()].concat())
}

mod rfc3339 {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::time::TimestampMs;

    pub fn serialize<S: Serializer>(at: &TimestampMs, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(at)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimestampMs, D::Error> {
        let text = String::deserialize(deserializer)?;
        TimestampMs::parse_rfc3339(&text).ok_or_else(|| de::Error::custom("expected an RFC 3339 time"))
    }
}

mod rfc3339_option {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::time::TimestampMs;

    pub fn serialize<S: Serializer>(at: &Option<TimestampMs>, serializer: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => serializer.collect_str(at),
            None => serializer.serialize_none(),
        }
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TimestampMs>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let read = TimestampMs::parse_rfc3339(&text);
        read.map(Some).ok_or_else(|| de::Error::custom("expected an RFC 3339 time"))
    }
}

mod decimal {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::ids::SequenceNumber;

    pub fn serialize<S: Serializer>(n: &SequenceNumber, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&n.0)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SequenceNumber, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(SequenceNumber).map_err(|_| de::Error::custom("expected a decimal number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ed25519::SigningKey;

    const NOW: TimestampMs = TimestampMs(1_766_253_070_243);

    fn directory() -> KeyDirectory {
        let key = |key_id, status: &str| DirectoryKey {
            key_id,
            key_algorithm: 1,
            public_key: hex::encode(&[key_id as u8; 32]),
            status: status.to_owned(),
            valid_from: Some(TimestampMs(5)),
            valid_to: None,
            revoked_at: None,
        };
        KeyDirectory {
            tenant_id: TenantId::from_bytes([1; 16]),
            agent_id: AgentId::from_bytes([2; 16]),
            sequencer_id: SequencerId::from_bytes([3; 16]),
            sequencer_key_version: 1,
            as_of: NOW,
            stream: Some(DirectoryHead {
                store_id: StoreId::from_bytes([4; 16]),
                head_sequence: SequenceNumber(u64::MAX >> 1),
                state_root: Digest([5; 32]),
            }),
            signing_keys: vec![key(1, "revoked"), key(2, "active")],
            encryption_keys: vec![],
        }
    }

    fn expected() -> Expected {
        Expected {
            tenant_id: TenantId::from_bytes([1; 16]),
            agent_id: AgentId::from_bytes([2; 16]),
            stream: Some((StoreId::from_bytes([4; 16]), SequenceNumber(7))),
            now: TimestampMs(NOW.0 + 1_000),
            age_ms_max: 5_000,
        }
    }

    fn signed(directory: KeyDirectory) -> String {
        let signed = directory.sign(&SigningKey::from_seed([9; 32])).unwrap();
        serde_json::to_string(&signed).unwrap()
    }

    fn check(text: &str, expected: Expected) -> Result<KeyDirectory, DirectoryError> {
        let key = PublicKey::from_bytes(&SigningKey::from_seed([9; 32]).public_key()).unwrap();
        verify(text, &key, &expected)
    }

    #[test]
    fn a_signed_directory_is_read_back_and_says_which_keys_are_absent() {
        let read = check(&signed(directory()), expected()).unwrap();
        assert_eq!(read, directory());
        assert_eq!(read.signing_key(KeyId(2)).unwrap().check_at(NOW), Ok(()));
        assert_eq!(read.signing_key(KeyId(1)).unwrap().check_at(NOW), Err(KeyProblem::Revoked));
        assert_eq!(read.signing_key(KeyId(3)), None);
        assert_eq!(read.encryption_key(RecipientKeyId(1)), None);
    }

    #[test]
    fn any_change_of_the_body_or_its_signer_is_noticed() {
        let text = signed(directory());
        for (from, to) in [
            ("\"revoked\"", "\"active\""),
            ("\"keyId\":2", "\"keyId\":3"),
            ("\"encryptionKeys\":[]", "\"encryptionKeys\":[],\"more\":1"),
        ] {
            let forged = text.replacen(from, to, 1);
            assert_ne!(forged, text);
            assert_eq!(check(&forged, expected()), Err(DirectoryError::InvalidSignature), "{to}");
        }
        let other = directory().sign(&SigningKey::from_seed([8; 32])).unwrap();
        let other = serde_json::to_string(&other).unwrap();
        assert_eq!(check(&other, expected()), Err(DirectoryError::InvalidSignature));
        // A receipt of the same key is no directory: the domain differs.
        let mut reused = directory().sign(&SigningKey::from_seed([9; 32])).unwrap();
        reused.signature = hex::encode(
            &SigningKey::from_seed([9; 32]).sign(Hasher::new(Domain::Receipt).finish().as_bytes()),
        );
        assert_eq!(
            check(&serde_json::to_string(&reused).unwrap(), expected()),
            Err(DirectoryError::InvalidSignature)
        );
        for bad in ["", "{}", "[]", "{\"directory\":{},\"signature\":\"00\"}"] {
            assert!(matches!(check(bad, expected()), Err(DirectoryError::Unreadable(_))), "{bad}");
        }
    }

    #[test]
    fn a_directory_of_another_subject_time_or_past_is_not_believed() {
        let text = signed(directory());
        let other = AgentId::from_bytes([7; 16]);
        assert_eq!(
            check(&text, Expected { agent_id: other, ..expected() }),
            Err(DirectoryError::OtherSubject)
        );
        let other = TenantId::from_bytes([7; 16]);
        assert_eq!(
            check(&text, Expected { tenant_id: other, ..expected() }),
            Err(DirectoryError::OtherSubject)
        );
        let other = Some((StoreId::from_bytes([7; 16]), SequenceNumber(0)));
        assert_eq!(check(&text, Expected { stream: other, ..expected() }), Err(DirectoryError::OtherSubject));
        let unnamed = signed(KeyDirectory { stream: None, ..directory() });
        assert_eq!(check(&unnamed, expected()), Err(DirectoryError::OtherSubject));
        assert!(check(&unnamed, Expected { stream: None, ..expected() }).is_ok());

        let at = |now| Expected { now: TimestampMs(now), ..expected() };
        assert!(check(&text, at(NOW.0 + 5_000)).is_ok());
        assert!(matches!(check(&text, at(NOW.0 + 5_001)), Err(DirectoryError::Stale { .. })));
        assert!(check(&text, at(NOW.0 - CLOCK_SKEW_MS_MAX)).is_ok());
        let early = check(&text, at(NOW.0 - CLOCK_SKEW_MS_MAX - 1));
        assert!(matches!(early, Err(DirectoryError::FromTheFuture { .. })));

        let seen = SequenceNumber((u64::MAX >> 1) + 1);
        let store = StoreId::from_bytes([4; 16]);
        let behind = check(&text, Expected { stream: Some((store, seen)), ..expected() });
        assert_eq!(behind, Err(DirectoryError::Behind { found: SequenceNumber(u64::MAX >> 1), seen }));
    }
}
