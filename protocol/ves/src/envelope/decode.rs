//! From the members of a request to an [`Envelope`], in the order of section 10, steps 3 to 7.

use std::borrow::Cow;

use super::object::{self, Fault, Object, json_fault, schema};
use super::raw::{Member, RawEnvelope, parse_uuid};
use super::{DecodeError, Undecodable};
use crate::event::{
    ENTITY_ID_BYTES_MAX, ENTITY_TYPE_BYTES_MAX, EVENT_TYPE_BYTES_MAX, EncryptedPayload, Envelope, Payload,
    RecipientWrap,
};
use crate::hash::Digest;
use crate::hex::{self, Format};
use crate::ids::{AgentId, CommandId, EventId, KeyId, RecipientKeyId, StoreId, StreamKey, TenantId};
use crate::keys::{MlDsaSignature, SignatureScheme};
use crate::reject::Rejection;
use crate::{json, time};

/// Decodes one event out of a request that was already split into members.
///
/// # Errors
/// [`DecodeError::TooDeep`] when a value in it is nested deeper than [`json::DEPTH_MAX`]; otherwise the first
/// failure of section 10, steps 3 to 7, then the signature scheme, then the signatures' own texts.
pub fn decode<'a>(raw: RawEnvelope<'a>, format: Format) -> Result<Envelope<'a>, DecodeError> {
    Decoder { raw: &raw, format }.envelope().map_err(|fault| match fault {
        Fault::TooDeep => DecodeError::TooDeep,
        // The step that failed may stand before the value that refuses the whole request.
        Fault::Rejected(_) if raw.is_too_deep() => DecodeError::TooDeep,
        Fault::Rejected(rejection) => {
            DecodeError::Event(Undecodable { event_id: raw.event_id(), stream: raw.stream(), rejection })
        }
    })
}

/// Decodes one event from its JSON text.
///
/// # Errors
/// As [`decode`]; a text that is no JSON object is a `schema_validation` of the whole event.
pub fn decode_text(text: &str, format: Format) -> Result<Envelope<'_>, DecodeError> {
    match serde_json::from_str::<RawEnvelope<'_>>(text) {
        Ok(raw) => decode(raw, format),
        Err(_) if json::is_too_deep(text) => Err(DecodeError::TooDeep),
        Err(error) if error.is_data() => Err(unreadable("must be a JSON object")),
        Err(_) => match json::canonicalize(text) {
            Err(json::JsonError::TooDeep) => Err(DecodeError::TooDeep),
            Err(error) => Err(unreadable(&error.to_string())),
            Ok(_) => Err(unreadable("is not an event")),
        },
    }
}

fn unreadable(problem: &str) -> DecodeError {
    DecodeError::Event(Undecodable {
        event_id: None,
        stream: None,
        rejection: Rejection::schema("event", problem),
    })
}

/// Section 5: `1..=bytes_max` bytes of UTF-8, and no NUL, which the stores behind could not keep apart.
pub(crate) fn check_text(field: &str, text: &str, bytes_max: usize) -> Result<(), Rejection> {
    match text.len() {
        0 => Err(Rejection::schema(field, "must not be empty")),
        found if found > bytes_max => Err(Rejection::schema(
            field,
            format!("must be at most {bytes_max} bytes of UTF-8, found {found}"),
        )),
        _ if text.as_bytes().contains(&0) => {
            Err(Rejection::schema(field, "must not contain a NUL character"))
        }
        _ => Ok(()),
    }
}

/// Step 7 of section 10.
pub(crate) fn check_created_at(text: &str) -> Result<(), Rejection> {
    if time::is_rfc3339(text) {
        return Ok(());
    }
    Err(Rejection::schema("created_at", "must be an RFC 3339 date and time with an offset"))
}

struct Decoder<'r, 'a> {
    raw: &'r RawEnvelope<'a>,
    format: Format,
}

impl<'a> Decoder<'_, 'a> {
    fn envelope(&self) -> Result<Envelope<'a>, Fault> {
        self.check_version()?;
        self.check_members()?;
        let event_id = EventId(self.uuid(Member::EventId)?);
        let tenant_id = TenantId(self.uuid(Member::TenantId)?);
        let store_id = StoreId(self.uuid(Member::StoreId)?);
        let source_agent_id = AgentId(self.uuid(Member::SourceAgentId)?);
        let agent_key_id = KeyId(self.integer(Member::AgentKeyId, "must be an integer below 2^32")?);
        let entity_type = self.bounded_text(Member::EntityType, ENTITY_TYPE_BYTES_MAX)?;
        let entity_id = self.bounded_text(Member::EntityId, ENTITY_ID_BYTES_MAX)?;
        let event_type = self.bounded_text(Member::EventType, EVENT_TYPE_BYTES_MAX)?;
        let payload_plain_hash = Digest(self.hex(Member::PayloadPlainHash)?);
        let payload_cipher_hash = Digest(self.hex(Member::PayloadCipherHash)?);
        let payload = self.payload(&payload_cipher_hash)?;
        let created_at = self.text(Member::CreatedAt)?;
        check_created_at(&created_at)?;
        let command_id = self.optional_uuid(Member::CommandId)?.map(CommandId);
        let base_version = self.base_version()?;
        let kernel = self.kernel()?;
        let (agent_signature, ml_dsa_65_signature) = self.signatures()?;
        Ok(Envelope {
            event_id,
            stream: StreamKey { tenant_id, store_id },
            source_agent_id,
            agent_key_id,
            entity_type,
            entity_id,
            event_type,
            created_at,
            payload,
            payload_plain_hash,
            payload_cipher_hash,
            agent_signature,
            command_id,
            base_version,
            kernel,
            ml_dsa_65_signature,
        })
    }

    /// Step 3. It precedes everything else: the members of another version are not ours to judge.
    fn check_version(&self) -> Result<(), Fault> {
        if self.raw.repeated == Some(Member::VesVersion) {
            return Err(schema(Member::VesVersion.name(), "the member is repeated"));
        }
        match self.integer::<u64>(Member::VesVersion, "must be an integer")? {
            1 => Ok(()),
            found => Err(Rejection::UnsupportedVersion { found }.into()),
        }
    }

    /// No member may be repeated, known or not; unknown ones are ignored after that.
    fn check_members(&self) -> Result<(), Fault> {
        if self.raw.ignored_is_too_deep() {
            return Err(Fault::TooDeep);
        }
        if let Some(member) = self.raw.repeated {
            return Err(schema(member.name(), "the member is repeated"));
        }
        let others = &self.raw.others;
        if others.is_empty() {
            return Ok(());
        }
        let mut names: Vec<&str> = others.iter().map(|(name, _)| name.as_ref()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(schema(pair[0], "the member is repeated"));
        }
        for (name, text) in others {
            json::canonicalize(text).map_err(|error| json_fault(name, &error))?;
        }
        Ok(())
    }

    fn required(&self, member: Member) -> Result<&'a str, Fault> {
        self.raw.get(member).ok_or_else(|| schema(member.name(), "is missing"))
    }

    fn text(&self, member: Member) -> Result<Cow<'a, str>, Fault> {
        json::string_value(self.required(member)?).ok_or_else(|| schema(member.name(), "must be a string"))
    }

    fn bounded_text(&self, member: Member, bytes_max: usize) -> Result<Cow<'a, str>, Fault> {
        let text = self.text(member)?;
        check_text(member.name(), &text, bytes_max)?;
        Ok(text)
    }

    fn uuid(&self, member: Member) -> Result<uuid::Uuid, Fault> {
        // No escape can stand in a text that parses as it is, so it need not be looked for first.
        if let Some(id) = json::quoted(self.required(member)?).and_then(parse_uuid) {
            return Ok(id);
        }
        parse_uuid(&self.text(member)?).ok_or_else(|| schema(member.name(), "must be a hyphenated UUID"))
    }

    fn optional_uuid(&self, member: Member) -> Result<Option<uuid::Uuid>, Fault> {
        self.raw.get(member).map(|_| self.uuid(member)).transpose()
    }

    fn integer<T: std::str::FromStr>(&self, member: Member, problem: &str) -> Result<T, Fault> {
        object::integer(self.required(member)?).ok_or_else(|| schema(member.name(), problem))
    }

    fn hex<const N: usize>(&self, member: Member) -> Result<[u8; N], Fault> {
        if let Some(Ok(bytes)) =
            json::quoted(self.required(member)?).map(|digits| hex::decode(digits, self.format))
        {
            return Ok(bytes);
        }
        hex::decode(&self.text(member)?, self.format)
            .map_err(|error| schema(member.name(), error.to_string()))
    }

    /// Steps 5 and 6.
    fn payload(&self, cipher_hash: &Digest) -> Result<Payload<'a>, Fault> {
        let plain = self.raw.get(Member::Payload);
        let encrypted = self.raw.get(Member::PayloadEncrypted);
        match self.integer::<u64>(Member::PayloadKind, "must be 0 (plaintext) or 1 (encrypted)")? {
            0 => match plain {
                None if self.raw.is_null(Member::Payload) => {
                    Err(schema("payload", "is null, which reads as missing"))
                }
                None => Err(schema("payload", "is missing")),
                Some(_) if encrypted.is_some() => {
                    Err(schema("payload_encrypted", "must be absent for payload_kind 0"))
                }
                Some(_) if *cipher_hash != Digest::ZERO => {
                    Err(schema("payload_cipher_hash", "must be zero for payload_kind 0"))
                }
                Some(text) => json::canonicalize(text)
                    .map(Payload::Plain)
                    .map_err(|error| json_fault("payload", &error)),
            },
            1 => match encrypted {
                _ if plain.is_some() => Err(schema("payload", "must be absent for payload_kind 1")),
                None => Err(schema("payload_encrypted", "is missing")),
                Some(text) => encrypted_payload(text, self.format).map(Payload::Encrypted),
            },
            _ => Err(schema("payload_kind", "must be 0 (plaintext) or 1 (encrypted)")),
        }
    }

    fn base_version(&self) -> Result<Option<u64>, Fault> {
        let member = Member::BaseVersion;
        self.raw.get(member).map(|_| self.integer(member, "must be an integer below 2^64")).transpose()
    }

    fn kernel(&self) -> Result<Option<Cow<'a, str>>, Fault> {
        match self.raw.get(Member::Kernel) {
            None => Ok(None),
            Some(text) if !text.starts_with('{') => Err(schema("kernel", "must be an object")),
            Some(text) => json::canonicalize(text).map(Some).map_err(|error| json_fault("kernel", &error)),
        }
    }

    /// Section 21. Every signature has one place or two that agree; none is dropped unseen.
    fn signatures(&self) -> Result<([u8; 64], Option<Box<MlDsaSignature>>), Fault> {
        let scheme = self.scheme()?;
        let bundle = self.bundle()?;
        let Some(bundle) = bundle else {
            return match scheme {
                SignatureScheme::Ed25519 => Ok((self.hex(Member::AgentSignature)?, None)),
                _ => Err(schema(Member::SignatureBundle.name(), "is missing, the scheme asks for it")),
            };
        };
        let (classical, quantum) = ("ed25519_signature", "ml_dsa_65_signature");
        if scheme == SignatureScheme::MlDsa65 {
            self.check_no_ed25519(&bundle, classical)?;
            return Ok(([0; 64], Some(Box::new(bundle.hex(quantum, self.format)?))));
        }
        let signature = match (self.raw.get(Member::AgentSignature), scheme) {
            (None, SignatureScheme::Ed25519MlDsa65) => bundle.hex(classical, self.format)?,
            _ => self.hex(Member::AgentSignature)?,
        };
        if scheme == SignatureScheme::Ed25519 {
            if bundle.optional(quantum).is_some() {
                return Err(schema(bundle.path_of(quantum), "needs agent_signature_scheme 2 or 3"));
            }
            self.check_same(&bundle, classical, &signature)?;
            return Ok((signature, None));
        }
        if bundle.optional(classical).is_some() {
            self.check_same(&bundle, classical, &signature)?;
        }
        if signature == [0; 64] {
            return Err(schema(Member::AgentSignature.name(), "is zero, scheme 3 needs both signatures"));
        }
        Ok((signature, Some(Box::new(bundle.hex(quantum, self.format)?))))
    }

    fn scheme(&self) -> Result<SignatureScheme, Fault> {
        let member = Member::SignatureScheme;
        let Some(text) = self.raw.get(member) else { return Ok(SignatureScheme::Ed25519) };
        object::integer::<u64>(text)
            .and_then(SignatureScheme::from_number)
            .ok_or_else(|| schema(member.name(), "must be 0 or 1 (Ed25519), 2 (ML-DSA-65) or 3 (both)"))
    }

    fn bundle(&self) -> Result<Option<Object<'a>>, Fault> {
        const MEMBERS: [&str; 2] = ["ed25519_signature", "ml_dsa_65_signature"];
        let member = Member::SignatureBundle;
        self.raw.get(member).map(|text| Object::read(text, member.name().to_owned(), &MEMBERS)).transpose()
    }

    fn check_same(&self, bundle: &Object<'_>, name: &str, signature: &[u8; 64]) -> Result<(), Fault> {
        if bundle.hex::<64>(name, self.format)? == *signature {
            return Ok(());
        }
        Err(schema(bundle.path_of(name), "differs from agent_signature"))
    }

    /// The 64-byte field of an event signed by ML-DSA-65 alone is zero (13.1): another value would be in the leaf
    /// and be checked by nobody.
    fn check_no_ed25519(&self, bundle: &Object<'_>, name: &str) -> Result<(), Fault> {
        let member = Member::AgentSignature;
        if self.raw.get(member).is_some() && self.hex::<64>(member)? != [0; 64] {
            return Err(schema(member.name(), "must be zero or absent for scheme 2"));
        }
        match bundle.optional(name) {
            None => Ok(()),
            Some(_) => Err(schema(bundle.path_of(name), "must be absent for scheme 2")),
        }
    }
}

/// The shape of section 7.1, which a sequencer checks without any key.
fn encrypted_payload(text: &str, format: Format) -> Result<EncryptedPayload, Fault> {
    const MEMBERS: [&str; 7] =
        ["enc_version", "aead", "nonce_b64u", "ciphertext_b64u", "tag_b64u", "hpke", "recipients"];
    let sealed = Object::read(text, "payload_encrypted".to_owned(), &MEMBERS)?;
    if sealed.u32("enc_version")? != 1 {
        // VES-PQC-1 names the versions 2 and 3 and leaves the bytes of their wraps and hashes open.
        let problem = "must be 1: sealing to post-quantum keys (2 and 3) has no specified bytes yet";
        return Err(schema(sealed.path_of("enc_version"), problem));
    }
    sealed.fixed("aead", "AES-256-GCM")?;
    let hpke =
        Object::read(sealed.required("hpke")?, sealed.path_of("hpke"), &["mode", "kem", "kdf", "aead"])?;
    hpke.fixed("mode", "base")?;
    hpke.fixed("kem", "X25519-HKDF-SHA256")?;
    hpke.fixed("kdf", "HKDF-SHA256")?;
    hpke.fixed("aead", "AES-256-GCM")?;
    Ok(EncryptedPayload {
        nonce: sealed.array("nonce_b64u", format)?,
        ciphertext: sealed.bytes("ciphertext_b64u", format)?,
        tag: sealed.array("tag_b64u", format)?,
        recipients: recipients(&sealed, format)?,
    })
}

fn recipients(sealed: &Object<'_>, format: Format) -> Result<Vec<RecipientWrap>, Fault> {
    let path = sealed.path_of("recipients");
    let items = object::items(sealed.required("recipients")?)
        .ok_or_else(|| schema(path.as_str(), "must be an array"))?;
    if items.is_empty() {
        return Err(schema(path, "must hold at least one recipient"));
    }
    let mut recipients: Vec<RecipientWrap> = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let entry =
            Object::read(item, format!("{path}[{index}]"), &["recipient_kid", "enc_b64u", "ct_b64u"])?;
        let recipient_kid = RecipientKeyId(entry.u32("recipient_kid")?);
        if recipients.last().is_some_and(|last| last.recipient_kid >= recipient_kid) {
            return Err(schema(entry.path_of("recipient_kid"), "must be greater than the one before it"));
        }
        let enc = entry.array("enc_b64u", format)?;
        let ct = entry.array("ct_b64u", format)?;
        recipients.push(RecipientWrap { recipient_kid, enc, ct });
    }
    Ok(recipients)
}
