//! The two agents of the story and their keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use stateset_client::{KeyRegistration, PushOutcome, PushResult};
use stateset_keystore::{AgreementKey, Algorithm, FileKeystore, Keystore as _, Passphrase};
use stateset_sequencer::{Clock as _, SystemClock};
use ves::draft::Draft;
use ves::ed25519::{Signer, SignerError};
use ves::receipt::Receipt;
use ves::seal::{Recipient, SealingRandomness};
use ves::{AgentId, Envelope, EventId, KeyId, RecipientKeyId, StreamKey};
use ves_stark_primitives::{FieldDescription, FieldOpening, Opening};
use ves_wire::ingest::RejectionBody;

use super::super::World;
use super::super::story::Story;
use crate::commands::compliance::prove::no_randomness;
use crate::error::CliError;
use crate::installation::{name, random};

/// One agent with its signing key.
pub struct Agent {
    id: AgentId,
    stream: StreamKey,
    signer: Arc<dyn Signer>,
}

pub struct People {
    pub buyer: Agent,
    pub seller: Agent,
    /// The seller's key for sealed payloads.
    pub inbox: AgreementKey,
    pub inbox_kid: RecipientKeyId,
    /// A key to which nothing is sealed.
    pub stranger: AgreementKey,
}

/// A sealed order, and the secrets that its buyer proves things about.
pub struct SealedOrder {
    pub order: Envelope<'static>,
    pub quantity: FieldOpening,
    pub unit_price: FieldOpening,
    /// The order's total.
    pub amount: FieldOpening,
}

/// Claims a public key that belongs to someone else.
struct Thief<'a>(&'a dyn Signer, [u8; 32]);

impl Signer for Thief<'_> {
    fn public_key(&self) -> [u8; 32] {
        self.1
    }
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerError> {
        self.0.sign(message)
    }
}

impl People {
    /// Makes the keys of both agents and registers them.
    pub fn arrive(story: &mut Story, world: &World) -> Result<Self, CliError> {
        story.chapter("Two agents make keys and register them with proof that they hold them");
        let keys = FileKeystore::open(&world.agents, Passphrase::random()?)?;
        let stream = world.installation.profile.stream();
        let agent = |title: &str| -> Result<Agent, CliError> {
            keys.generate(&name(title), Algorithm::Ed25519, &BTreeMap::new())?;
            Ok(Agent { id: AgentId::random(random()?), stream, signer: keys.signer(&name(title))? })
        };
        let (buyer, seller) = (agent("buyer")?, agent("seller")?);
        for (agent, title) in [(&buyer, "buyer"), (&seller, "seller")] {
            let answer = world.client.register_signing_key(&agent.registration(), agent.signer.as_ref());
            story.check(
                format!("the {title}, agent {}, proves its key and is registered", agent.id),
                answer.is_ok(),
            );
        }
        let thief = Thief(buyer.signer.as_ref(), seller.signer.public_key());
        let claim = KeyRegistration { key_id: KeyId(2), ..buyer.registration() };
        let stolen = world.client.register_signing_key(&claim, &thief);
        story.check("someone else's key cannot be claimed", stolen.is_err());

        let agreement = |title: &str| -> Result<AgreementKey, CliError> {
            keys.generate(&name(title), Algorithm::X25519, &BTreeMap::new())?;
            Ok(keys.agreement_key(&name(title))?)
        };
        let (inbox, stranger, inbox_kid) = (agreement("inbox")?, agreement("stranger")?, RecipientKeyId(1));
        let answer = world.client.register_encryption_key(
            stream.tenant_id,
            seller.id,
            inbox_kid.0,
            inbox.public_key(),
        );
        story.check("the seller also registers a key to which orders can be sealed", answer.is_ok());
        Ok(Self { buyer, seller, inbox, inbox_kid, stranger })
    }

    /// An order of the buyer that only the seller can read, with what opens commitments to its numbers.
    pub fn seal_order(&self, note: &str) -> Result<SealedOrder, CliError> {
        let quantity = hidden("quantity", "quantity", ("count", "", 0), 40)?;
        let unit_price = hidden("unit_price", "unit_price", ("amount", "EUR", 2), 1_450)?;
        let amount = hidden("amount", "total.amount", ("amount", "EUR", 2), 58_000)?;
        let openings: Result<Vec<Box<serde_json::value::RawValue>>, _> = [&amount, &quantity, &unit_price]
            .into_iter()
            .map(|opening| serde_json::from_str(&opening.to_json()))
            .collect();
        let internal = |error: serde_json::Error| CliError::failure("INTERNAL", error.to_string());
        let payload = serde_json::to_string(&serde_json::json!({
            "product": "TEA-1",
            "quantity": 40,
            "unit_price": 1_450,
            "total": {"amount": 58_000, "currency": "EUR", "exponent": 2},
            "note": note,
            "_ves": {"openings": openings.map_err(internal)?},
        }))
        .map_err(internal)?;
        let to = [Recipient { kid: self.inbox_kid, public_key: self.inbox.public_key() }];
        let drawn = SealingRandomness::draw(to.len(), getrandom::fill);
        let drawn = drawn.map_err(|error| CliError::failure("NO_RANDOMNESS", error.to_string()))?;
        let draft = self.buyer.draft("order", "ORD-2", "order.created")?;
        let order =
            draft.seal_and_sign(&payload, &to, drawn, self.buyer.signer.as_ref()).map_err(bad_draft)?;
        Ok(SealedOrder { order, quantity, unit_price, amount })
    }

    pub fn fresh_event_id(&self) -> Result<EventId, CliError> {
        Ok(EventId::random(random()?))
    }
}

impl Agent {
    pub fn signer(&self) -> &dyn Signer {
        self.signer.as_ref()
    }

    fn registration(&self) -> KeyRegistration {
        KeyRegistration { tenant_id: self.stream.tenant_id, agent_id: self.id, key_id: KeyId(1) }
    }

    fn draft(
        &self,
        entity_type: &'static str,
        entity_id: &'static str,
        event_type: &'static str,
    ) -> Result<Draft<'static>, CliError> {
        Ok(Draft {
            stream: self.stream,
            event_id: EventId::random(random()?),
            source_agent_id: self.id,
            agent_key_id: KeyId(1),
            entity_type: entity_type.into(),
            entity_id: entity_id.into(),
            event_type: event_type.into(),
            created_at: SystemClock.now().to_string().into(),
            command_id: None,
            base_version: None,
        })
    }

    pub fn sign(
        &self,
        entity_type: &'static str,
        entity_id: &'static str,
        event_type: &'static str,
        payload: &str,
    ) -> Result<Envelope<'static>, CliError> {
        self.draft(entity_type, entity_id, event_type)?.sign(payload, self.signer.as_ref()).map_err(bad_draft)
    }
}

/// A number with the randomness of its one commitment; the field's type, unit and exponent.
pub fn hidden(
    name: &str,
    path: &str,
    (kind, unit, exponent): (&str, &str, u8),
    value: u64,
) -> Result<FieldOpening, CliError> {
    let field = FieldDescription::new(name, path, kind, unit, exponent)
        .map_err(|error| CliError::failure("INTERNAL", error.to_string()))?;
    let opening = Opening::draw(value, getrandom::fill).map_err(no_randomness)?;
    Ok(FieldOpening { field, opening })
}

fn bad_draft(error: ves::draft::DraftError) -> CliError {
    CliError::failure("INTERNAL", error.to_string())
}

pub fn receipts(outcome: &PushOutcome) -> impl Iterator<Item = &Receipt> {
    outcome.results.iter().filter_map(|(_, result)| match result {
        PushResult::Stored(receipt) => Some(receipt),
        PushResult::Rejected(_) => None,
    })
}

pub fn rejections(outcome: &PushOutcome) -> impl Iterator<Item = &RejectionBody> {
    outcome.results.iter().filter_map(|(_, result)| match result {
        PushResult::Rejected(rejection) => Some(rejection),
        PushResult::Stored(_) => None,
    })
}
