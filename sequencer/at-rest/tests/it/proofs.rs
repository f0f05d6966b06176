//! What lies in documents: events of older streams, and the bytes of proofs.

use std::sync::Arc;
use std::time::Duration;

use stateset_at_rest::{Kind, Mode, Plan, Run};
use stateset_event_log::{Document, DocumentChange, LogErrorKind, LogReader, Table};
use stateset_fixtures::stream;
use stateset_sequencer::{
    ComplianceVerifier, LegacyResult, NewProof, ProofClaim, ProofSubject, Proved, Statement, Verdict,
    VerifierError,
};
use ves::compliance::{EventFacts, Policy};
use ves::legacy::{LegacyEvent, payload_hash};
use ves::{AgentId, EventId, SequenceNumber};

use crate::world::{STREAM, World, open, raw, ring, rotate, stores};

const PAYLOAD: &str = "{\"name\":\"a payload that is long enough to be looked for\"}";
const PROOF: &[u8] = b"the bytes of a proof, which nobody has to understand here";

fn older(n: u8) -> LegacyEvent {
    LegacyEvent {
        event_id: EventId::from_bytes([n; 16]),
        command_id: None,
        stream: STREAM(),
        entity_type: "order".to_owned(),
        entity_id: "\"quoted\" \\ ü".to_owned(),
        event_type: "order.changed".to_owned(),
        payload: PAYLOAD.to_owned(),
        payload_hash: payload_hash(PAYLOAD),
        base_version: None,
        created_at: "2026-01-02T03:04:05Z".to_owned(),
        source_agent: AgentId::from_bytes([9; 16]),
        signature: Some(vec![1, 2, 3]),
    }
}

fn contains(document: &Document, needle: &[u8]) -> bool {
    let inside = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    inside(document.text.as_bytes()) || inside(&document.content)
}

fn all(reader: &dyn LogReader) -> Vec<(Table, Document)> {
    let of = |table| {
        let documents = reader.documents(table, b"", None, 1000).expect("documents");
        documents.into_iter().map(move |document| (table, document)).collect::<Vec<_>>()
    };
    Table::ALL.into_iter().flat_map(of).collect()
}

async fn fill(world: &World) -> Vec<[u8; 16]> {
    let service = &world.service;
    let legacy = service.legacy();
    let events = (1..=3).map(|n| Ok(older(n).check().expect("a sound event"))).collect();
    let outcome = legacy.ingest(STREAM(), events).await.expect("taken");
    assert!(outcome.results.iter().all(|result| matches!(result, LegacyResult::Accepted(_))), "{outcome:?}");
    legacy.commit(&STREAM(), SequenceNumber(1), SequenceNumber(2)).await.expect("a batch of older events");

    world.ingest(0, 4).await;
    let batch = service.commit(&STREAM(), SequenceNumber(1), SequenceNumber(4)).await.expect("a batch");
    let event = service.events(&STREAM(), SequenceNumber(2), 1).await.expect("read").remove(0);
    let facts = EventFacts::of(&event.record().expect("a record").head, event.sequence_number);
    let policy = Policy::new("a.policy", None).expect("a policy");
    let mut ids = Vec::new();
    for statement in
        [Statement::of_batch(&batch, None).expect("a statement"), Statement::of_event(&facts, policy)]
    {
        let proof = NewProof {
            proof_type: "plain".to_owned(),
            proof_version: 1,
            bytes: PROOF.to_vec(),
            witness_commitment: None,
            public_inputs: None,
        };
        ids.push(service.submit_proof(statement, proof).await.expect("stored").proof_id);
    }
    ids
}

async fn check(world: &World, proofs: &[[u8; 16]]) {
    let legacy = world.service.legacy();
    let events = legacy.events(&STREAM(), SequenceNumber(1), 10).await.expect("read");
    for (event, n) in events.iter().zip(1..) {
        assert_eq!(event.event, older(n));
    }
    assert_eq!(events.len(), 3);
    for id in proofs {
        let (record, bytes) = world.service.proof(None, id).await.expect("read").expect("stored");
        assert_eq!((record.proof_id, &bytes[..]), (*id, PROOF));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn older_events_and_proofs_lie_sealed_and_come_back_also_after_a_rotation() {
    let stores = stores();
    for store in &stores.all {
        let world = World::start(store, &ring(Mode::Required, &[1])).await;
        let proofs = fill(&world).await;
        check(&world, &proofs).await;
        world.stop().await;
        let lies = all(raw(store).reader().as_ref());
        assert!(!lies.iter().any(|(_, document)| contains(document, PAYLOAD.as_bytes())), "{}", store.name());
        assert!(!lies.iter().any(|(_, document)| contains(document, PROOF)), "{}", store.name());

        let tally = rotate(store, &ring(Mode::Required, &[2, 1]));
        assert_eq!((tally.seen, tally.rewritten, tally.unopened), (4 + 3 + 2, 4 + 3 + 2, 0));
        let world = World::start(store, &ring(Mode::Required, &[2])).await;
        check(&world, &proofs).await;
        world.stop().await;
        // Out of it again, byte for byte as it would have been without any of this.
        assert_eq!(rotate(store, &ring(Mode::Disabled, &[2])).rewritten, 9);
        let lies = all(raw(store).reader().as_ref());
        assert_eq!(lies.iter().filter(|(_, document)| contains(document, PAYLOAD.as_bytes())).count(), 3);
        assert_eq!(lies.iter().filter(|(_, document)| document.content == PROOF).count(), 2);
        let world = World::on(raw(store)).await;
        check(&world, &proofs).await;
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_or_an_older_event_that_was_moved_or_has_no_key_is_an_error() {
    let stores = stores();
    let store = &stores.all[0];
    let at_rest = ring(Mode::Required, &[1]);
    let world = World::start(store, &at_rest).await;
    let proofs = fill(&world).await;
    world.stop().await;

    // Without a key at all, read as the service reads: never the blob in the place of the bytes.
    let world = World::on(raw(store)).await;
    for id in &proofs {
        assert!(world.service.proof(None, id).await.is_err());
    }
    assert!(world.service.legacy().events(&stream(1), SequenceNumber(1), 1).await.is_err());
    world.stop().await;

    let mut log = raw(store);
    let reader = log.reader();
    let sealed = |reader: &dyn LogReader, table, key: &[u8]| {
        at_rest
            .opening(log.reader())
            .document(table, key)
            .map_err(|error| (error.kind(), reader.head(&STREAM())))
    };
    assert!(sealed(reader.as_ref(), Table::ProofIds, &proofs[0]).is_ok());
    let other = ring(Mode::Optional, &[3]).opening(log.reader());
    let error = other.document(Table::ProofIds, &proofs[0]).expect_err("no key");
    assert_eq!(error.kind(), LogErrorKind::Sealed);

    let blob = reader.document(Table::ProofIds, &proofs[1]).expect("read").expect("stored").content;
    let mut moved = reader.document(Table::ProofIds, &proofs[0]).expect("read").expect("stored");
    moved.content = blob;
    let mut events = reader.documents(Table::LegacyEvents, b"", None, 10).expect("read");
    events.retain(|document| document.key.len() == 40);
    let mut swapped = events[0].clone();
    swapped.content.clone_from(&events[1].content);
    let changes = [
        DocumentChange::Put(Table::ProofIds, moved),
        DocumentChange::Put(Table::LegacyEvents, swapped.clone()),
    ];
    log.put_documents(&changes).expect("whoever can write the database can do this");
    let reader = at_rest.opening(log.reader());
    for (table, key) in [(Table::ProofIds, &proofs[0][..]), (Table::LegacyEvents, &swapped.key[..])] {
        assert_eq!(reader.document(table, key).expect_err("moved").kind(), LogErrorKind::Sealed);
    }
}

const ENDING: &[u8] = b"accepted! and soon over";
const LASTING: &[u8] = b"accepted for good";

/// Accepts what begins so. With `!` after it the statement ends with the next second.
struct Accepting;

impl ComplianceVerifier for Accepting {
    fn proof_types(&self) -> Vec<String> {
        vec!["plain".to_owned()]
    }
    fn version_of(&self, _: &ProofSubject, proof_type: &str) -> Option<u32> {
        (proof_type == "plain").then_some(1)
    }
    fn verify(&self, claim: &ProofClaim<'_>) -> Result<Verdict, VerifierError> {
        let Some(rest) = claim.proof.strip_prefix(b"accepted") else {
            return Ok(Verdict::Invalid("it does not begin well".to_owned()));
        };
        let now = u64::try_from(claim.setting.now.0 / 1000).expect("after 1970");
        let valid_until = rest.starts_with(b"!").then_some(now + 1);
        Ok(Verdict::Valid(Proved { valid_until, ..Proved::default() }))
    }
}

/// The record moves within one table and its bytes stay at its id, so that a rotation of keys finds both.
#[tokio::test(flavor = "multi_thread")]
async fn proofs_that_left_their_places_lie_sealed_on_every_store_and_come_back_after_a_rotation() {
    let stores = stores();
    for store in &stores.all {
        let world = World::start(store, &ring(Mode::Required, &[1])).await;
        let unverified = fill(&world).await;
        world.stop().await;

        let log = open(store, &ring(Mode::Required, &[1])).expect("the key is right");
        let world = World::configured(log, |config| {
            config.verify_on_submit = true;
            config.verifier = Some(Arc::new(Accepting));
        })
        .await;
        let submit = async |id: &[u8; 16], bytes: &[u8]| {
            let (record, _) = world.service.proof(None, id).await.expect("read").expect("stored");
            let statement = match record.subject {
                ProofSubject::Batch(batch) => {
                    let batch = world.service.commitment(None, &batch).await.expect("read").expect("a batch");
                    Statement::of_batch(&batch, None).expect("a statement")
                }
                ProofSubject::Event(_) => {
                    let event = world.service.events(&STREAM(), SequenceNumber(2), 1).await.expect("read");
                    let facts = EventFacts::of(&event[0].record().expect("a record").head, SequenceNumber(2));
                    Statement::of_event(&facts, record.policy.clone().expect("a policy"))
                }
            };
            let proof = NewProof {
                proof_type: "plain".to_owned(),
                proof_version: 1,
                bytes: bytes.to_vec(),
                witness_commitment: None,
                public_inputs: None,
            };
            (world.service.submit_proof(statement.clone(), proof).await, statement)
        };
        let mut ending = Vec::new();
        for id in &unverified {
            ending.push(submit(id, ENDING).await.0.expect("takes the place").proof_id);
        }
        tokio::time::sleep(Duration::from_millis(2_010)).await;
        let mut replaced = Vec::new();
        for (id, ending) in unverified.iter().zip(ending) {
            let (last, statement) = submit(id, LASTING).await;
            let last = last.expect("takes the place");
            let standing = world.service.proofs_of(&statement).await.expect("read");
            assert_eq!(standing, std::slice::from_ref(&last));
            assert!(submit(id, b"accepted as another").await.0.is_err(), "{}", store.name());
            replaced.push([*id, ending, last.proof_id]);
        }
        world.stop().await;

        let both = ring(Mode::Required, &[2, 1]);
        let tally = rotate(store, &both);
        assert_eq!((tally.seen, tally.rewritten, tally.unopened), (4 + 3 + 6, 4 + 3 + 6, 0));
        let world = World::start(store, &ring(Mode::Required, &[2])).await;
        for [unverified, ending, last] in replaced {
            for (id, by, bytes) in
                [(unverified, Some(ending), PROOF), (ending, Some(last), ENDING), (last, None, LASTING)]
            {
                let (record, found) = world.service.proof(None, &id).await.expect("read").expect("stored");
                assert_eq!((record.proof_id, &found[..]), (id, bytes), "{}", store.name());
                assert_eq!(record.superseded.map(|superseded| superseded.by), by);
            }
        }
        world.stop().await;
    }
}

/// A proof may leave its place while keys rotate: its record must not be put back by a step that read it before.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_rewrites_proofs_between_two_writes_of_others() {
    let store = &stores().all[0];
    let world = World::start(store, &ring(Mode::Required, &[1])).await;
    fill(&world).await;
    world.stop().await;
    let both = ring(Mode::Required, &[2, 1]);
    let _log = open(store, &both).expect("the keys are right");
    let raw = both.raw().expect("a sealed log");
    for (kind, is_changing) in
        [(Kind::ValidityProofs, true), (Kind::ComplianceProofs, true), (Kind::LegacyEvents, false)]
    {
        let run = Run::new(both.clone(), raw.as_ref(), Plan { kinds: vec![kind], ..Plan::everything() });
        assert_eq!(run.expect("a run").is_next_changing(), is_changing, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_are_listed_in_the_order_in_which_they_came_in_on_every_store() {
    let stores = stores();
    for store in &stores.all {
        let world = World::start(store, &ring(Mode::Required, &[1])).await;
        world.ingest(0, 4).await;
        let batch = world.service.commit(&STREAM(), SequenceNumber(1), SequenceNumber(4)).await;
        let statement = Statement::of_batch(&batch.expect("a batch"), None).expect("a statement");
        for (kind, version) in [("c", 2), ("a", 1), ("c", 1), ("b", 1)] {
            let proof = NewProof {
                proof_type: kind.to_owned(),
                proof_version: version,
                bytes: PROOF.to_vec(),
                witness_commitment: None,
                public_inputs: None,
            };
            world.service.submit_proof(statement.clone(), proof).await.expect("stored");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let listed = world.service.proofs_of(&statement).await.expect("read");
        let listed: Vec<_> =
            listed.iter().map(|proof| (proof.proof_type.as_str(), proof.proof_version)).collect();
        assert_eq!(listed, [("c", 2), ("a", 1), ("c", 1), ("b", 1)], "{}", store.name());
        world.stop().await;
    }
}
