//! A committed batch, proved to a running service under a policy: verified, kept once, and still valid after a crash.

use serde_json::Value;
use stateset_acceptance::Service;
use stateset_acceptance::events::{orders, receipts, register};
use stateset_acceptance::service::run_on;
use stateset_fixtures::{Agent, plain_event};
use ves::SequenceNumber;
use ves::compliance::Policy;
use ves_stark_batch::{BatchBundle, BatchTerms, prove, verify};
use ves_stark_client::{ClientError, ComplianceClient, ValidityClient, system_random};
use ves_stark_primitives::{
    CommitmentBinding, CommittedField, FieldCommitment, FieldDescription, Opening, SuiteId,
};

const EVENTS: u64 = 6;
/// The policy forbids it: this event is left out.
const ABOVE: u64 = 3;

#[test]
fn a_committed_batch_is_proved_to_a_running_service() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let service = Service::start(&data);
    let stream = service.default_stream();
    let agent = Agent::new(&stream, 1);
    register(&service.rest(), &agent).unwrap();
    let (status, answer) =
        service.rest().post("/api/v1/ves/events/ingest", &orders(&agent, &stream, 1, EVENTS)).unwrap();
    assert!(receipts(status, &answer).unwrap().is_some(), "{answer}");
    let (code, out, error) = run_on(&data, &["commit", "--json"]);
    assert_eq!(code, Some(0), "{out}{error}");
    let query = format!("tenant_id={}&store_id={}", stream.tenant_id, stream.store_id);
    let listed: Value = service.rest().get_json(&format!("/api/v1/ves/commitments?{query}")).unwrap();
    let batch = listed["commitments"][0]["batch_id"].as_str().expect(&out).parse().unwrap();

    let key = Some(service.api_key.clone());
    let client = ValidityClient::new(&service.url, key.clone()).unwrap();
    let context = ComplianceClient::new(&service.url, key.clone(), None).unwrap().chain_context().unwrap();
    let cap = Policy::new("order_total.cap", Some(r#"{"cap":10000}"#)).unwrap();
    let facts = client.facts(&batch, &cap).unwrap();
    let field = FieldDescription::new("amount", "total_minor", "amount", "EUR", 2).unwrap();
    let numbers: Vec<u64> = (1..=EVENTS).filter(|n| *n != ABOVE).collect();
    let openings: Vec<Opening> =
        numbers.iter().map(|n| Opening::draw(n * 1_000, getrandom::fill).unwrap()).collect();
    let commitments: Vec<FieldCommitment> = openings.iter().map(|opening| opening.commit(&field)).collect();
    let terms = BatchTerms {
        suite: SuiteId::Standard,
        field: field.clone(),
        excluded: vec![SequenceNumber(ABOVE)],
        chain_context: context,
        valid_until: None,
    };
    let inputs = facts.statement(terms, &commitments).unwrap();
    let binding = |(n, commitment): (&u64, &FieldCommitment)| {
        let hash = plain_event(&agent, &stream, *n).signing_hash();
        let list = [CommittedField { field: field.clone(), commitment: *commitment }];
        CommitmentBinding::sign(&hash, agent.key_id, &list, &agent.signing_key()).unwrap()
    };
    let bindings: Vec<_> = numbers.iter().zip(&commitments).map(binding).collect();
    let bundle = || {
        let random = &mut system_random().unwrap();
        let proofs = prove(&inputs, &commitments, &openings, random, &mut |_| ()).unwrap();
        let security = verify(&inputs, &commitments, &proofs).unwrap();
        let (inputs, commitments) = (inputs.clone(), commitments.clone());
        BatchBundle { inputs, commitments, bindings: Some(bindings.clone()), proofs, security }
    };

    let mut unsigned = bundle();
    unsigned.bindings = None;
    match client.submit(&batch, &unsigned) {
        Err(ClientError::Refused { status: 400, message, .. }) => {
            assert!(message.contains("signed"), "{message}")
        }
        other => panic!("{other:?}"),
    }
    let stored = client.submit(&batch, &bundle()).unwrap();
    assert_eq!((stored.verified, stored.events_left_out), (true, Some(1)));
    assert_eq!(client.submit(&batch, &bundle()).unwrap().proof_id, stored.proof_id, "the same statement");
    service.kill();

    let service = Service::start(&data);
    let client = ValidityClient::new(&service.url, key).unwrap();
    assert_eq!(client.list(&batch).unwrap().count, 1);
    let found = client.verify(&stored.proof_id).unwrap();
    assert!(found.outcome.valid, "{found:?}");
    assert_eq!((found.events_left_out, found.policy_hash), (Some(1), Some(cap.hash())));
    assert!(service.stop().success());
}
