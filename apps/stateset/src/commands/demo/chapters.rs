//! What happens in the story.

mod afterwards;
mod anchored;
mod companies;
mod compliance;
mod people;

use stateset_client::{EventProof, PushResult, Trusted};
use ves::checkpoint::Checkpoint;
use ves::event::plain_hash;
use ves::{BatchId, Envelope, Payload, RecipientKeyId, SequenceNumber};

pub use afterwards::{after_restart, audit_store};
pub use companies::{companies, outsider, within};

use super::World;
use super::story::Story;
use crate::data_dir::DataDir;
use crate::error::CliError;
use people::{People, SealedOrder, receipts, rejections};

/// A text that only the seller may read.
const SECRET: &str = "deliver to the back door, ask for Ines";

/// Everything up to the first stop of the service.
pub fn live(story: &mut Story, world: &World, data: &DataDir) -> Result<(), CliError> {
    story.chapter("Start the event service on a new folder");
    story.tell(&format!("it listens on {}, sequencer {}", world.client.url(), world.identity.sequencer_id));
    story.check("it says that it is healthy", world.client.health()?.status == "healthy");
    story.check("the new stream is empty", world.server.head(&world.installation.profile.stream()) == 0);

    let people = People::arrive(story, world)?;
    let first = open_events(story, world, &people)?;
    let sealed = sealed_order(story, world, &people)?;
    replay(story, world, &first)?;
    tampering(story, world, &people)?;
    let (checkpoint, proof) = commitment_and_proof(story, world, &first[1])?;
    let second = growth(story, world, &people, &checkpoint)?;
    anchored::anchored(story, world, data, &proof, second)?;
    compliance::hidden_amount(story, world, &people, &sealed)?;
    compliance::hidden_product(story, world, &people, &sealed)
}

fn open_events(
    story: &mut Story,
    world: &World,
    people: &People,
) -> Result<Vec<Envelope<'static>>, CliError> {
    story.chapter("Two open events: a product, and an order for it");
    let product = people.seller.sign(
        "product",
        "TEA-1",
        "product.created",
        r#"{"name":"Darjeeling","price":{"amount":1450,"currency":"EUR","exponent":2}}"#,
    )?;
    let order = people.buyer.sign(
        "order",
        "ORD-1",
        "order.created",
        r#"{"product":"TEA-1","quantity":3,"total":{"amount":4350,"currency":"EUR","exponent":2}}"#,
    )?;
    let (first, second) = (
        world.client.push(std::slice::from_ref(&product), |_| ())?,
        world.client.push(std::slice::from_ref(&order), |_| ())?,
    );
    let numbers: Vec<u64> =
        receipts(&first).chain(receipts(&second)).map(|receipt| receipt.sequence_number.get()).collect();
    story.check("they take numbers 1 and 2 of the stream", numbers == [1, 2]);
    story.check(
        "both receipts are signed by the sequencer's key",
        receipts(&first).chain(receipts(&second)).all(|r| r.signature.is_some()),
    );
    Ok(vec![product, order])
}

fn sealed_order(story: &mut Story, world: &World, people: &People) -> Result<SealedOrder, CliError> {
    story.chapter("A sealed order: only the seller can read it, the sequencer cannot");
    let sealed = people.seal_order(SECRET)?;
    let order = &sealed.order;
    let pushed = world.client.push(std::slice::from_ref(order), |_| ())?;
    story.check("the sequencer takes it without seeing inside", pushed.accepted == 1);
    let keys = world.client.signing_keys(&order.stream)?;
    let pulled = world.client.event(&order.stream, &order.event_id, &keys)?;
    story.check("pulled back, its hash, signature and receipt verify", pulled.signer_known);
    let opened = ves::seal::open(&pulled.envelope, people.inbox_kid, people.inbox.secret());
    story.check("the seller opens it and reads the secret", opened.is_ok_and(|text| text.contains(SECRET)));
    let stranger = ves::seal::open(&pulled.envelope, people.inbox_kid, people.stranger.secret());
    story.check("another key opens nothing", stranger.is_err());
    let other_kid = ves::seal::open(&pulled.envelope, RecipientKeyId(99), people.inbox.secret());
    story.check("nor does a key it was not sealed to", other_kid.is_err());
    Ok(sealed)
}

fn replay(story: &mut Story, world: &World, events: &[Envelope<'static>]) -> Result<(), CliError> {
    story.chapter("A replay: the network failed, the buyer sends the order again");
    let order = &events[1..2];
    let again = world.client.push(order, |_| ())?;
    story.check(
        "it takes no new number",
        again.accepted == 0 && again.replayed == 1 && again.head == SequenceNumber(3),
    );
    let receipt = receipts(&again).next();
    story.check(
        "the answer is the first one, number 2",
        receipt.is_some_and(|r| r.sequence_number == SequenceNumber(2)),
    );
    Ok(())
}

fn tampering(story: &mut Story, world: &World, people: &People) -> Result<(), CliError> {
    story.chapter("Tampering: someone on the way changes what the buyer signed");
    let honest = people.buyer.sign(
        "order",
        "ORD-3",
        "order.created",
        r#"{"total":{"amount":900,"currency":"EUR","exponent":2}}"#,
    )?;
    let mut cheaper = people.buyer.sign(
        "order",
        "ORD-4",
        "order.created",
        r#"{"total":{"amount":900,"currency":"EUR","exponent":2}}"#,
    )?;
    cheaper.payload = Payload::Plain(r#"{"total":{"amount":9,"currency":"EUR","exponent":2}}"#.into());
    let mut rehashed = cheaper.clone();
    rehashed.event_id = people.fresh_event_id()?;
    if let Payload::Plain(text) = &rehashed.payload {
        rehashed.payload_plain_hash = plain_hash(text);
    }
    let outcome = world.client.push(&[cheaper, honest, rehashed], |_| ())?;
    let codes: Vec<&str> = rejections(&outcome).map(|rejection| rejection.code.as_str()).collect();
    story.check(
        "the changed payload is refused: invalid_payload_hash",
        codes.first() == Some(&"invalid_payload_hash"),
    );
    story.check(
        "with the hash made to fit, the signature is not: invalid_signature",
        codes.get(1) == Some(&"invalid_signature"),
    );
    let honest_stored =
        matches!(outcome.results[1].1, PushResult::Stored(ref r) if r.sequence_number == SequenceNumber(4));
    story.check("the honest order beside them takes number 4", honest_stored);
    Ok(())
}

fn commitment_and_proof(
    story: &mut Story,
    world: &World,
    order: &Envelope<'static>,
) -> Result<(Checkpoint, String), CliError> {
    let (client, stream) = (&world.client, &order.stream);
    story.chapter("Commit the four events, prove the order offline");
    let commitment = client.commit(stream, SequenceNumber(1), SequenceNumber(4))?;
    story.tell(&format!("merkle root {}", commitment.merkle_root));
    story.tell(&format!("state root  {}", commitment.new_state_root));
    story.check("the commitment of 1..=4 is true to itself", commitment.check().is_ok());
    let (_, checkpoint) = client.checkpoint(stream, Some(4))?;
    story.check("its checkpoint of the log is signed by the sequencer", checkpoint.size == 4);

    let keys = client.signing_keys(stream)?;
    let event = client.event(stream, &order.event_id, &keys)?;
    let file = client.proof_of(&event, &keys)?.to_json();
    let trusted = Trusted {
        sequencer_key: Some(world.installation.profile.sequencer_public_key.0),
        agent_key: keys
            .get(order.source_agent_id, order.agent_key_id)
            .and_then(|key| key.ed25519_alone())
            .map(|key| *key.as_bytes()),
        state_root: Some(commitment.new_state_root),
        file_keys: false,
    };
    let holds =
        |text: &str| EventProof::parse(text).is_ok_and(|proof| proof.verify(&trusted).is_ok_and(|v| v.valid));
    story.tell(&format!("the proof is one file of {} bytes", file.len()));
    story.check("anyone can verify it without the server", holds(&file));
    let forged = file.replacen("4350", "4250", 1);
    story.check("changed by one digit, it proves nothing", forged != file && !holds(&forged));
    Ok((checkpoint, file))
}

/// The batch that is made of what was added.
fn growth(
    story: &mut Story,
    world: &World,
    people: &People,
    before: &Checkpoint,
) -> Result<BatchId, CliError> {
    story.chapter("The log grows, and can be shown never to have been rewritten");
    let shipped = people.seller.sign("order", "ORD-1", "order.shipped", r#"{"carrier":"Speedy Express"}"#)?;
    let stream = shipped.stream;
    world.client.push(&[shipped], |_| ())?;
    let second = world.client.commit(&stream, SequenceNumber(5), SequenceNumber(5))?;
    let (_, now) = world.client.checkpoint(&stream, None)?;
    let grew = world.client.verify_growth(&stream, before, &now);
    story.check(
        "the log of 5 begins with the log of 4: the consistency proof holds",
        now.size == 5 && grew.is_ok(),
    );
    let rewritten = Checkpoint { root: now.root, ..before.clone() };
    story
        .check("another past would not pass", world.client.verify_growth(&stream, &rewritten, &now).is_err());
    Ok(second.batch_id)
}
