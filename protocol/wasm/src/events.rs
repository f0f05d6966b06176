//! The writer's side and the reader's: canonical JSON, keys, signing, sealing, opening, checking.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use ves::ed25519::{Signer, SignerError};
use ves::envelope::{DecodeError, decode_text, encode};
use ves::hex::{self, Format};
use ves::keys::{SignatureScheme, possession_challenge_bound};
use ves::{
    AgentId, CommandId, DecryptionKey, Digest, Draft, Envelope, EventId, KeyId, Recipient, RecipientKeyId,
    Rejection, SealingRandomness, SigningKey, StoreId, StreamKey, TenantId, json, seal,
};
use zeroize::Zeroizing;

use crate::calls::{Outcome, bytes, id, output, public_key, read, secret};
use crate::refusal::Refusal;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
    /// Refuse integers that no double holds, as a signer does.
    #[serde(default)]
    strict: bool,
}

#[derive(Serialize)]
struct Canonical<'a> {
    canonical: &'a str,
}

/// Section 3.
pub fn canonicalize(input: &str) -> Outcome {
    let Text { text, strict } = read(input)?;
    let canonical = if strict { json::canonicalize_strict(&text) } else { json::canonicalize(&text) }?;
    output(&Canonical { canonical: &canonical })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seed<'a> {
    #[serde(borrow)]
    seed: Cow<'a, str>,
}

#[derive(Serialize)]
struct PublicKeys {
    ed25519: String,
    x25519: String,
}

/// The public halves that 32 secret bytes have, as a signing key and as a key to open payloads. One secret serves one of
/// the two, never both (section 9.4).
pub fn public_keys(input: &str) -> Outcome {
    let Seed { seed } = read(input)?;
    let seed = secret::<32>("seed", &seed)?;
    let (signing, opening) = (SigningKey::from_seed(*seed), DecryptionKey::from_bytes(*seed));
    output(&PublicKeys {
        ed25519: hex::encode(&signing.public_key()),
        x25519: hex::encode(&opening.public_key()),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToSign<'a> {
    #[serde(borrow)]
    seed: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
}

#[derive(Serialize)]
struct Signature {
    signature: String,
}

/// Ed25519 over the bytes of `message`, given in hex.
pub fn sign(input: &str) -> Outcome {
    let ToSign { seed, message } = read(input)?;
    let key = SigningKey::from_seed(*secret::<32>("seed", &seed)?);
    let message = hex::decode_vec(&message).map_err(|problem| Refusal::input("message", problem))?;
    output(&Signature { signature: hex::encode(&key.sign(&message)) })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Possession<'a> {
    tenant_id: TenantId,
    agent_id: AgentId,
    key_id: KeyId,
    #[serde(borrow)]
    public_key: Cow<'a, str>,
}

#[derive(Serialize)]
struct Challenge {
    challenge: Digest,
}

/// What the owner of a signing key signs to prove it, bound to tenant, agent and key id (section 22).
pub fn possession_challenge(input: &str) -> Outcome {
    let asked: Possession<'_> = read(input)?;
    let key = bytes::<32>("public_key", &asked.public_key)?;
    let challenge = possession_challenge_bound(&asked.tenant_id, &asked.agent_id, asked.key_id, &key);
    output(&Challenge { challenge })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DraftInput<'a> {
    #[serde(borrow)]
    tenant_id: Cow<'a, str>,
    #[serde(borrow)]
    store_id: Cow<'a, str>,
    #[serde(borrow)]
    event_id: Cow<'a, str>,
    #[serde(borrow)]
    source_agent_id: Cow<'a, str>,
    agent_key_id: KeyId,
    #[serde(borrow)]
    entity_type: Cow<'a, str>,
    #[serde(borrow)]
    entity_id: Cow<'a, str>,
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    created_at: Cow<'a, str>,
    /// Any JSON text: members may repeat or numbers be inexact in it, and that is refused.
    #[serde(borrow)]
    payload_json: Cow<'a, str>,
    #[serde(borrow, default)]
    command_id: Option<Cow<'a, str>>,
    #[serde(default)]
    base_version: Option<u64>,
}

impl<'a> DraftInput<'a> {
    fn split(self) -> Result<(Draft<'a>, Cow<'a, str>), Refusal> {
        let tenant_id: TenantId = id("tenant_id", &self.tenant_id)?;
        let store_id: StoreId = id("store_id", &self.store_id)?;
        let event_id: EventId = id("event_id", &self.event_id)?;
        let source_agent_id: AgentId = id("source_agent_id", &self.source_agent_id)?;
        let command_id: Option<CommandId> =
            self.command_id.as_deref().map(|text| id("command_id", text)).transpose()?;
        let draft = Draft {
            stream: StreamKey { tenant_id, store_id },
            event_id,
            source_agent_id,
            agent_key_id: self.agent_key_id,
            entity_type: self.entity_type,
            entity_id: self.entity_id,
            event_type: self.event_type,
            created_at: self.created_at,
            command_id,
            base_version: self.base_version,
        };
        Ok((draft, self.payload_json))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainInput<'a> {
    #[serde(borrow)]
    draft: DraftInput<'a>,
    /// Left out where the key is elsewhere: then the signature is zero, and the caller signs `event_signing_hash`.
    #[serde(borrow, default)]
    seed: Option<Cow<'a, str>>,
}

/// Who signs later.
struct SignsLater;

impl Signer for SignsLater {
    fn public_key(&self) -> [u8; 32] {
        [0; 32]
    }
    fn sign(&self, _: &[u8]) -> Result<[u8; 64], SignerError> {
        Ok([0; 64])
    }
}

fn signer(seed: Option<&str>) -> Result<Box<dyn Signer>, Refusal> {
    Ok(match seed {
        Some(seed) => Box::new(SigningKey::from_seed(*secret::<32>("seed", seed)?)),
        None => Box::new(SignsLater),
    })
}

#[derive(Serialize)]
struct Event<'a> {
    event: &'a RawValue,
    event_signing_hash: Digest,
}

fn event(envelope: &Envelope<'_>) -> Outcome {
    let mut text = String::new();
    encode(envelope, None, &mut text);
    let event = RawValue::from_string(text).expect("an encoded envelope is JSON");
    output(&Event { event: &event, event_signing_hash: envelope.signing_hash() })
}

/// Sections 6 and 8.
pub fn sign_event(input: &str) -> Outcome {
    let PlainInput { draft, seed } = read(input)?;
    let (draft, payload) = draft.split()?;
    event(&draft.sign(&payload, signer(seed.as_deref())?.as_ref())?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecipientInput<'a> {
    recipient_kid: RecipientKeyId,
    #[serde(borrow)]
    public_key: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RandomnessInput<'a> {
    #[serde(borrow)]
    salt: Cow<'a, str>,
    #[serde(borrow)]
    dek: Cow<'a, str>,
    #[serde(borrow)]
    nonce: Cow<'a, str>,
    /// One for each recipient, in their order.
    #[serde(borrow)]
    ephemeral_secrets: Vec<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SealInput<'a> {
    #[serde(borrow)]
    draft: DraftInput<'a>,
    #[serde(borrow)]
    recipients: Vec<RecipientInput<'a>>,
    /// Of a secure generator, and never used twice.
    #[serde(borrow)]
    randomness: RandomnessInput<'a>,
    #[serde(borrow, default)]
    seed: Option<Cow<'a, str>>,
}

/// Sections 7 and 8.
pub fn seal_event(input: &str) -> Outcome {
    let asked: SealInput<'_> = read(input)?;
    let (draft, payload) = asked.draft.split()?;
    let recipients = asked.recipients.iter().map(|recipient| {
        let public_key = bytes("recipients.public_key", &recipient.public_key)?;
        Ok(Recipient { kid: recipient.recipient_kid, public_key })
    });
    let recipients = recipients.collect::<Result<Vec<_>, Refusal>>()?;
    let given = &asked.randomness;
    let secrets = given.ephemeral_secrets.iter();
    let randomness = SealingRandomness {
        salt: bytes("randomness.salt", &given.salt)?,
        dek: bytes("randomness.dek", &given.dek)?,
        nonce: bytes("randomness.nonce", &given.nonce)?,
        ephemeral_secrets: secrets
            .map(|secret| bytes("randomness.ephemeral_secrets", secret))
            .collect::<Result<_, _>>()?,
    };
    let signer = signer(asked.seed.as_deref())?;
    event(&draft.seal_and_sign(&payload, &recipients, randomness, signer.as_ref())?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenInput<'a> {
    #[serde(borrow)]
    event: &'a RawValue,
    recipient_kid: RecipientKeyId,
    #[serde(borrow)]
    secret_key: Cow<'a, str>,
}

#[derive(Serialize)]
struct Opened<'a> {
    payload_json: &'a str,
}

/// Section 7.6. The signature is not looked at: see [`check_event`].
pub fn open_event(input: &str) -> Outcome {
    let OpenInput { event, recipient_kid, secret_key } = read(input)?;
    let (envelope, key) = (decoded(event)?, secret::<32>("secret_key", &secret_key)?);
    let payload = Zeroizing::new(seal::open(&envelope, recipient_kid, &key)?);
    output(&Opened { payload_json: &payload })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckInput<'a> {
    #[serde(borrow)]
    event: &'a RawValue,
    /// Of the agent's signing key; without it the signature is not checked.
    #[serde(borrow, default)]
    public_key: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct Checked {
    event_signing_hash: Digest,
}

/// Steps 3 to 8 of section 10, and 10 where the key is given.
pub fn check_event(input: &str) -> Outcome {
    let CheckInput { event, public_key: key } = read(input)?;
    let envelope = decoded(event)?;
    envelope.check_payload_hash()?;
    let event_signing_hash = envelope.signing_hash();
    if let Some(key) = key {
        let key = public_key("public_key", &key)?;
        let scheme = envelope.signature_scheme();
        if scheme != SignatureScheme::Ed25519 {
            return Err(Rejection::UnsupportedSignatureScheme { scheme: scheme.number().into() }.into());
        }
        if !key.verify(&event_signing_hash.0, &envelope.agent_signature) {
            return Err(Rejection::InvalidSignature.into());
        }
    }
    output(&Checked { event_signing_hash })
}

/// The shape of an event, steps 3 to 7 of section 10.
pub(crate) fn decoded(event: &RawValue) -> Result<Envelope<'_>, Refusal> {
    decode_text(event.get(), Format::Lenient).map_err(|error| match error {
        DecodeError::TooDeep => Refusal::new("too_deep", error.to_string()),
        DecodeError::Event(undecodable) => undecodable.rejection.into(),
    })
}
