//! The caller's side of a submission: rules, look-ups and the signature; the writer only admits and numbers.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use serde_json::Value;
use stateset_event_log::{LogReader, Table};
use uuid::Uuid;
use ves::ed25519::PublicKey;
use ves::x402::{Binding, IntentError, Party, TokenAddress};
use ves::{Digest, hex::Format, x402};

use super::admission::{Admitted, Facts, PaymentSubmission, PreparedPayment};
use super::error::PaymentError;
use super::journal::authorization_key;
use super::record::{Payment, PaymentContent};
use super::stored::{NonceText, idempotency_key, listed_payment, nonce_key, old_form_key, read, unreadable};
use super::{DECODED_KEYS_MAX, Payments};
use crate::error::ServiceError;
use crate::ingest::random_bytes;
use crate::reply::Reply;
use crate::sequencer::Sequencer;
use crate::turn::Command;

/// Longest texts, in bytes (sequencer API, section 3.8).
const RESOURCE_BYTES_MAX: usize = 4_096;
const DESCRIPTION_BYTES_MAX: usize = 8_192;
const MERCHANT_BYTES_MAX: usize = 1_024;
const IDEMPOTENCY_BYTES_MAX: usize = 255;
/// Longest metadata, as compact JSON.
const METADATA_BYTES_MAX: usize = 16_384;
/// Deepest metadata: it is stored and answered inside other values, and readers of JSON give up at a depth of about 128.
const METADATA_LEVELS_MAX: usize = 32;

/// Who pays whom, and by which form the payer consented.
struct Consent {
    version: u8,
    token: Option<TokenAddress>,
}

impl Payments<'_> {
    /// Gives an intent its number. It is durable when this returns; a repeat of a request with an idempotency key gets
    /// the stored intent.
    ///
    /// # Errors
    /// [`PaymentError`]; nothing was changed unless it is [`ServiceError::Unclear`], after which the same request again
    /// is answered or carried out.
    pub async fn submit(&self, content: PaymentContent) -> Result<Payment, PaymentError> {
        let stream = content.stream();
        check_texts(&content)?;
        let payer = payer(&content)?;
        let content_hash = content.hash()?;
        let old_form = self.config().old_intents.then(|| old_form_key(&content.signing_hash));
        let keys = Keys {
            nonce: nonce_key(&stream, &payer, content.nonce),
            old_form,
            idempotency: content.idempotency_key.as_deref().map(|key| idempotency_key(&stream, key)),
            authorization: authorization_key(&content, self.tokens().get(content.network, content.asset)),
        };
        // A repeat is answered after its time too: what was accepted stays accepted.
        let checked = self.check_terms(&content);
        if checked.is_err() {
            self.filed().await?;
        }
        // Before anything is looked up: what is found is at least as new.
        let as_of = self.service.shared().payments.ticks.load(Ordering::Acquire);
        let asked = keys.clone();
        let facts = self.service.read::<_, ServiceError>(move |reader| look_up(reader, &asked)).await?;
        if let Some((number, hash)) = facts.key {
            return self.repeated(number, hash == content_hash, stream).await;
        }
        checked?;
        let (Consent { version, token }, key) = self.check_consent(&content, &payer)?;
        self.check_authorization(&content, &payer, &key, token).await?;
        let prepared = PreparedPayment {
            intent_id: intent_id(self.service)?,
            content,
            content_hash,
            version,
            token,
            // The first form binds no store: what was signed in it is admitted once in the whole log.
            keys: Keys { old_form: keys.old_form.filter(|_| version == 1), ..keys },
            settled: None,
        };
        let service = self.service;
        let (reply, answer) = Reply::new(service.place(1).await?);
        service.put(Command::Payment(Box::new(PaymentSubmission { prepared, as_of, facts, reply })))?;
        match service.answer::<_, ServiceError>(answer).await? {
            Admitted::Sequenced(payment) => Ok(*payment),
            Admitted::Repeated { number, is_same } => self.repeated(number, is_same, stream).await,
            Admitted::NonceUsed => Err(PaymentError::NonceUsed),
            Admitted::ReplayedOldForm => Err(PaymentError::ReplayedOldForm),
            Admitted::AuthorizationUsed => Err(PaymentError::AuthorizationUsed),
            Admitted::Expired => Err(expired()),
            Admitted::Full => Err(ServiceError::StreamFull.into()),
        }
    }

    /// The stored intent of an idempotency key, for whoever repeats its request; nothing of it for others.
    async fn repeated(
        &self,
        number: u64,
        is_same: bool,
        stream: ves::StreamKey,
    ) -> Result<Payment, PaymentError> {
        if !is_same {
            return Err(PaymentError::KeyTaken);
        }
        self.filed().await?;
        self.service.read(move |reader| Ok(listed_payment(reader, &stream, number)?)).await
    }

    fn check_terms(&self, content: &PaymentContent) -> Result<(), PaymentError> {
        let now_s = seconds(self.service.now());
        content.terms().check(now_s, Format::Lenient).map_err(of_intent)?;
        match content.valid_until <= self.service.shared().payments.forgotten_s.load(Ordering::Acquire) {
            true => Err(expired()),
            false => Ok(()),
        }
    }

    /// The hash is that of the terms, the key is the payer's, and it signed the hash; with the consent that key.
    fn check_consent(
        &self,
        content: &PaymentContent,
        payer: &Party,
    ) -> Result<(Consent, [u8; 32]), PaymentError> {
        let consent = self.check_hash(content)?;
        match self.signer(content, payer)? {
            Some(key) => Ok((consent, key)),
            None => Err(PaymentError::Signature),
        }
    }

    fn check_hash(&self, content: &PaymentContent) -> Result<Consent, PaymentError> {
        let terms = content.terms();
        let token = self.tokens().get(content.network, content.asset);
        let binding = token.map(|token| Binding {
            stream: content.stream(),
            token,
            resource_uri: content.resource_uri.as_deref(),
            order_id: content.order_id,
        });
        let newer = binding.and_then(|binding| terms.signing_hash_v2(&binding));
        if newer == Some(content.signing_hash) {
            return Ok(Consent { version: 2, token });
        }
        let is_old = terms.signing_hash() == content.signing_hash;
        let problem = match (is_old, self.config().old_intents, token) {
            (true, true, _) if ![&terms.payer, &terms.payee].iter().all(|text| text.starts_with("0x")) => {
                return Err(PaymentError::invalid(
                    "payer_address",
                    "in the first form both addresses begin with 0x, else its bytes are ambiguous",
                ));
            }
            (true, true, _) => return Ok(Consent { version: 1, token }),
            (true, false, _) => {
                "it is of the older form X402_PAYMENT_V1, which binds neither store nor token and is not admitted here; \
                 sign X402_PAYMENT_V2, or have the operator set X402_OLD_INTENTS=true"
                    .to_owned()
            }
            (false, _, None) => format!(
                "X402_PAYMENT_V2 names the contract of {} on {}, and this service knows none; the operator sets it in \
                 X402_TOKENS",
                content.asset.text(),
                content.network.text()
            ),
            (false, _, Some(token)) => format!(
                "it is not the X402_PAYMENT_V2 hash of these terms (tenant, store, token {token}, resource_uri and \
                 order_id included)"
            ),
        };
        Err(PaymentError::invalid("signing_hash", problem))
    }

    /// The key that speaks for the payer, where it signed. One that only the request names never does (x402, A.5).
    fn signer(&self, content: &PaymentContent, payer: &Party) -> Result<Option<[u8; 32]>, PaymentError> {
        let given = content.payer_public_key;
        let (message, signature) = (&content.signing_hash.0, &content.payer_signature);
        let keys = self.service.keys();
        let held = keys.get(&content.tenant_id, &content.agent_id, content.agent_key_id);
        match payer {
            Party::Key(bytes) => {
                if given.is_some_and(|given| given.0 != *bytes) {
                    let problem = "it is not payer_address: an address of 32 bytes is the payer's key itself";
                    return Err(PaymentError::invalid("payer_public_key", problem));
                }
                // The same key by its registration has a table once it is hot: same verdict, a third of the work.
                let is_signed = match held.filter(|held| held.key().ed25519() == Some(bytes)) {
                    Some(held) => keys.verify(&held, message, signature),
                    None => self.decoded(bytes)?.verify(message, signature),
                };
                Ok(is_signed.then_some(*bytes))
            }
            // A key of the agent says nothing of a wallet; what the wallet itself signs names that key.
            Party::Wallet(_) if content.authorization.is_some() => {
                let held = held.filter(|held| held.key().check_at(self.service.now()).is_ok());
                let Some((held, key)) = held.and_then(|held| Some((held.clone(), *held.key().ed25519()?)))
                else {
                    let problem = "the agent has no such key that is valid now; register it, or name another";
                    return Err(PaymentError::invalid("agent_key_id", problem));
                };
                if given.is_some_and(|given| given.0 != key) {
                    let problem = "it is not the key that the agent registered under agent_key_id";
                    return Err(PaymentError::invalid("payer_public_key", problem));
                }
                Ok(keys.verify(&held, message, signature).then_some(key))
            }
            Party::Wallet(_) => {
                let problem = "an address of 20 bytes is a wallet, which speaks by its own signature: send its authorization, or \
                               pay from the payer's Ed25519 public key: 0x and its 64 hex digits";
                Err(PaymentError::invalid("payer_address", problem))
            }
        }
    }

    fn decoded(&self, bytes: &[u8; 32]) -> Result<PublicKey, PaymentError> {
        let decoded = &self.service.shared().payments.decoded;
        if let Some(key) = decoded.lock().unwrap_or_else(PoisonError::into_inner).get(bytes) {
            return Ok(*key);
        }
        let key = PublicKey::from_bytes(bytes).map_err(|error| {
            PaymentError::invalid("payer_address", format!("as an Ed25519 key it {error}"))
        })?;
        let mut decoded = decoded.lock().unwrap_or_else(PoisonError::into_inner);
        if decoded.len() >= DECODED_KEYS_MAX {
            decoded.clear();
        }
        decoded.insert(*bytes, key);
        Ok(key)
    }
}

/// Where what must not be there yet would lie.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub nonce: Vec<u8>,
    /// Of the first form alone.
    pub old_form: Option<Vec<u8>>,
    pub idempotency: Option<Vec<u8>>,
    /// Of an intent that carries an authorization.
    pub authorization: Option<Vec<u8>>,
}

/// What the store says about these keys now.
pub(super) fn look_up(reader: &dyn LogReader, keys: &Keys) -> Result<Facts, ServiceError> {
    let row = |key: &Vec<u8>| {
        let found = reader.document(Table::PaymentNonces, key)?;
        found.as_ref().map(read::<NonceText>).transpose()
    };
    let is_there = |key: &Vec<u8>| Ok::<_, ServiceError>(row(key)?.is_some());
    let key = match &keys.idempotency {
        Some(key) => reader.document(Table::PaymentKeys, key)?,
        None => None,
    };
    let key = key.map(|found| {
        let hash = found.content.as_slice().try_into().map_err(|_| unreadable())?;
        Ok::<_, ServiceError>((read(&found)?, Digest(hash)))
    });
    Ok(Facts {
        // A settled payment takes the place of its own hold.
        nonce_used: matches!(row(&keys.nonce)?, Some(NonceText::Number(_))),
        old_form_used: keys.old_form.as_ref().map(is_there).transpose()?.unwrap_or(false),
        authorization_used: keys.authorization.as_ref().map(is_there).transpose()?.unwrap_or(false),
        key: key.transpose()?,
    })
}

/// Who pays, where who asks and both parties are named soundly.
fn payer(content: &PaymentContent) -> Result<Party, PaymentError> {
    x402::check_ids(&content.stream(), &content.agent_id, content.agent_key_id).map_err(of_intent)?;
    let party = |field, text: &str| {
        Party::parse(text).ok_or_else(|| PaymentError::invalid(field, "expected 0x and 40 or 64 hex digits"))
    };
    party("payee_address", &content.payee_address)?;
    party("payer_address", &content.payer_address)
}

fn check_texts(content: &PaymentContent) -> Result<(), PaymentError> {
    let texts = [
        ("resource_uri", &content.resource_uri, RESOURCE_BYTES_MAX),
        ("description", &content.description, DESCRIPTION_BYTES_MAX),
        ("merchant_id", &content.merchant_id, MERCHANT_BYTES_MAX),
        ("idempotency_key", &content.idempotency_key, IDEMPOTENCY_BYTES_MAX),
    ];
    for (field, text, max) in texts {
        if text.as_ref().is_some_and(|text| text.len() > max) {
            return Err(PaymentError::invalid(field, format!("expected at most {max} bytes")));
        }
    }
    if content.idempotency_key.as_deref() == Some("") {
        return Err(PaymentError::invalid(
            "idempotency_key",
            "it is empty; leave it out or send 1 to 255 bytes",
        ));
    }
    let Some(metadata) = &content.metadata else { return Ok(()) };
    let problem = match () {
        () if is_deeper(metadata, METADATA_LEVELS_MAX) => {
            format!("expected at most {METADATA_LEVELS_MAX} levels of lists and objects")
        }
        () if metadata.to_string().len() > METADATA_BYTES_MAX => {
            format!("expected at most {METADATA_BYTES_MAX} bytes")
        }
        () => return Ok(()),
    };
    Err(PaymentError::invalid("metadata", problem))
}

/// Whether lists and objects lie deeper in one another than so many levels.
fn is_deeper(value: &Value, levels: usize) -> bool {
    let goes_deeper = |inner: &Value| is_deeper(inner, levels - 1);
    match value {
        Value::Array(_) | Value::Object(_) if levels == 0 => true,
        Value::Array(values) => values.iter().any(goes_deeper),
        Value::Object(members) => members.values().any(goes_deeper),
        _ => false,
    }
}

fn of_intent(error: IntentError) -> PaymentError {
    let field = match &error {
        IntentError::NilId { field } | IntentError::Address { field } => field,
        IntentError::KeyIdZero => "agent_key_id",
        IntentError::Amount => "amount",
        IntentError::SameParty => "payee_address",
        IntentError::Expired | IntentError::TooFarAhead => "valid_until",
        IntentError::HashMismatch => "signing_hash",
        IntentError::InvalidSignature => "payer_signature",
    };
    PaymentError::invalid(field, error.to_string())
}

pub(super) fn expired() -> PaymentError {
    of_intent(IntentError::Expired)
}

/// Unix seconds of an instant.
pub(super) fn seconds(at: ves::TimestampMs) -> u64 {
    u64::try_from(at.0.div_euclid(1000)).unwrap_or(0)
}

/// A version 7 UUID: ids that rise with time are found in the store side by side.
pub(super) fn intent_id(service: &Sequencer) -> Result<Uuid, ServiceError> {
    let [a, b, c, d, e, f, g, h, i, j, ..] = random_bytes()?;
    let millis = u64::try_from(service.now().0).unwrap_or(0);
    Ok(uuid::Builder::from_unix_timestamp_millis(millis, &[a, b, c, d, e, f, g, h, i, j]).into_uuid())
}
