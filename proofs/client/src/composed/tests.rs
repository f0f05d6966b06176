//! Bundles under composed policies, from openings to a verdict (sections 2.3 and 11).

use ves::compliance::{Bindings, EventFacts, Policy};
use ves::ed25519::SigningKey;
use ves::{Digest, EventId, SequenceNumber, StoreId, StreamKey, TenantId};
use ves_stark_primitives::bundle::Refusal;
use ves_stark_primitives::clauses::evaluate::Unsatisfied;
use ves_stark_primitives::clauses::tree::{Path, Root, build, leaf};
use ves_stark_primitives::clauses::{Clause, Number, Relation, Unproved};
use ves_stark_primitives::{
    BindingError, ClausePolicy, FieldDescription, InputsError, PayloadTable, ProofError,
};

use super::*;
use crate::{Proposal, check, prove, system_random};

const NOW: TimestampMs = TimestampMs(1_000_000);
/// The list ends in the second that ends with this.
const LIST_ENDS: TimestampMs = TimestampMs(1_500_999);
const KEY: KeyId = KeyId(1);

fn agent() -> SigningKey {
    SigningKey::from_seed([7; 32])
}

fn event(policy: &Policy) -> EventInputs {
    let facts = EventFacts {
        event_id: EventId::from_bytes([1; 16]),
        stream: StreamKey {
            tenant_id: TenantId::from_bytes([2; 16]),
            store_id: StoreId::from_bytes([3; 16]),
        },
        sequence_number: SequenceNumber(4),
        payload_kind: 1,
        payload_plain_hash: Digest([5; 32]),
        payload_cipher_hash: Digest([6; 32]),
        event_signing_hash: Digest([7; 32]),
    };
    EventInputs { facts, policy: policy.clone(), bindings: Bindings::default(), witness_commitment: None }
}

fn opening(name: &str, value: u64) -> FieldOpening {
    let field = FieldDescription::new(name, name, "amount", "", 0).unwrap();
    FieldOpening { field, opening: Opening::draw(value, getrandom::fill).unwrap() }
}

/// Currencies 756, 840 and 978, valid until [`LIST_ENDS`].
fn currencies() -> (Root, Vec<Path>) {
    let (top, paths) = build(&[756, 840, 978].map(|code| leaf(code, 0)), 2).unwrap();
    (Root::new(&top, 2, "2026-11", 500, 1_500), paths)
}

/// Two lines and their total, which is at most `cap`, in a currency of the list.
fn policy(cap: u64) -> ClausePolicy {
    let clauses = vec![
        Clause::Sum { xs: vec![0, 1], relation: Relation::Equal, y: 2 },
        Clause::Range { x: 2, lo: None, hi: Some(Number(cap)) },
        Clause::Member { x: 3, root: 0 },
    ];
    ClausePolicy::new(4, clauses, vec![currencies().0]).unwrap()
}

fn openings() -> Vec<FieldOpening> {
    [("first", 4_350), ("second", 1_200), ("total", 5_550), ("currency", 978)]
        .map(|(name, value)| opening(name, value))
        .into()
}

fn made(policy: &Policy, openings: &[FieldOpening], now: TimestampMs) -> Result<Bundle, ProposalError> {
    let proposal = ComposedProposal {
        event: event(policy),
        suite: SuiteId::Standard,
        chain_context: "test".to_owned(),
        valid_until: None,
        openings,
        evidence: &[None, None, Some(Evidence::At(currencies().1[2].clone()))],
        now,
    };
    prove_composed(proposal, Some((KEY, &agent())), &mut system_random().unwrap())
}

/// Whether the agent's signature is found to be over the bundle's commitments.
fn bound(bundle: &Bundle, key: &SigningKey) -> Result<(), Refusal> {
    let hash = bundle.inputs.event.facts.event_signing_hash;
    let key = ves::ed25519::PublicKey::from_bytes(&key.public_key()).unwrap();
    bundle.check_binding(|binding| binding.verify(&hash, &bundle.inputs.commitments, &key))
}

#[test]
fn a_composed_bundle_is_made_read_back_checked_and_bound() {
    let policy = policy(6_000).policy();
    let bundle = made(&policy, &openings(), NOW).unwrap();
    let read = Bundle::parse(&bundle.to_json()).unwrap();
    assert_eq!(read, bundle);
    let report = check(&read, &event(&policy), NOW).unwrap();
    assert_eq!(report, bundle.security);
    assert!(report.conjectured_bits >= 100);
    assert_eq!(bound(&read, &agent()), Ok(()));
    let other = SigningKey::from_seed([8; 32]);
    assert_eq!(bound(&read, &other), Err(Refusal::Binding(BindingError::Signature)));
}

/// Item 3: as asked for, and where the bundle itself is rewritten.
#[test]
fn a_proof_under_another_composed_policy_is_refused() {
    let (own, other) = (policy(6_000).policy(), policy(6_001).policy());
    let mut bundle = made(&own, &openings(), NOW).unwrap();
    assert!(check(&bundle, &event(&own), NOW).is_ok());
    assert!(matches!(check(&bundle, &event(&other), NOW), Err(Refusal::OtherStatement { .. })));
    bundle.inputs.event.policy = other.clone();
    assert!(matches!(
        check(&bundle, &event(&other), NOW),
        Err(Refusal::Proof(ProofError::Invalid { .. } | ProofError::Parameters { .. }))
    ));
}

/// Items 2 and 4: neither whole commitments nor their values change places.
#[test]
fn exchanged_commitments_are_refused_and_not_bound() {
    let policy = policy(6_000).policy();
    let bundle = made(&policy, &openings(), NOW).unwrap();
    let mut places = bundle.clone();
    places.inputs.commitments.swap(0, 1);
    let mut values = bundle.clone();
    values.inputs.commitments[0].commitment = bundle.inputs.commitments[1].commitment;
    values.inputs.commitments[1].commitment = bundle.inputs.commitments[0].commitment;
    let mut foreign = bundle.clone();
    foreign.inputs.commitments[2] = opening("total", 5_550).committed();
    for (what, exchanged) in [("places", places), ("values", values), ("a foreign one", foreign)] {
        let refused = check(&exchanged, &event(&policy), NOW);
        assert!(matches!(refused, Err(Refusal::Proof(ProofError::Invalid { .. }))), "{what}: {refused:?}");
        assert_eq!(bound(&exchanged, &agent()), Err(Refusal::Binding(BindingError::Signature)), "{what}");
    }
}

#[test]
fn another_number_of_commitments_is_no_statement() {
    let policy = policy(6_000).policy();
    let openings = openings();
    let mut bundle = made(&policy, &openings, NOW).unwrap();
    let count = |found| InputsError::CommitmentOfEach { inputs: 4, found };
    assert_eq!(made(&policy, &openings[..3], NOW), Err(ProposalError::Inputs(count(3))));
    bundle.inputs.commitments.pop();
    assert_eq!(check(&bundle, &event(&policy), NOW), Err(Refusal::Inputs(count(3))));
    bundle
        .inputs
        .commitments
        .extend([opening("currency", 978), opening("more", 1)].map(|one| one.committed()));
    assert_eq!(check(&bundle, &event(&policy), NOW), Err(Refusal::Inputs(count(5))));
}

#[test]
fn level_circuit_is_not_for_composed_policies() {
    let policy = policy(6_000).policy();
    let mut bundle = made(&policy, &openings(), NOW).unwrap();
    bundle.inputs.binding_level = BindingLevel::Circuit { table: PayloadTable::LARGEST };
    assert_eq!(check(&bundle, &event(&policy), NOW), Err(Refusal::Inputs(InputsError::CircuitClauses)));
}

/// Item 18.
#[test]
fn a_list_that_has_ended_ends_the_bundles_that_name_it() {
    let policy = policy(6_000).policy();
    let openings = openings();
    let bundle = made(&policy, &openings, NOW).unwrap();
    assert!(check(&bundle, &event(&policy), LIST_ENDS).is_ok());
    let after = TimestampMs(LIST_ENDS.0 + 1);
    let refused = check(&bundle, &event(&policy), after);
    assert!(matches!(refused, Err(Refusal::Proof(ProofError::Invalid { .. }))), "{refused:?}");
    let unproved = ProposalError::Unproved(Unproved::RootNotValid { root: 0 });
    assert_eq!(made(&policy, &openings, after), Err(unproved));
}

#[test]
fn what_does_not_hold_is_named_by_its_clause_and_not_proved() {
    let clause = |clause| Err(ProposalError::Unproved(Unproved::Unsatisfied(Unsatisfied::Clause { clause })));
    let with = |place: usize, value: u64| {
        let mut openings = openings();
        openings[place] = opening(openings[place].field.name(), value);
        made(&policy(6_000).policy(), &openings, NOW)
    };
    assert_eq!(with(0, 4_351), clause(0));
    assert_eq!(with(3, 840), clause(2), "the evidence is of another entry");
    assert_eq!(made(&policy(5_549).policy(), &openings(), NOW), clause(1));
}

#[test]
fn policies_of_one_amount_and_composed_ones_are_not_mixed_up() {
    let cap = Policy::new("order_total.cap", Some(r#"{"cap":10}"#)).unwrap();
    let openings = [opening("amount", 5)];
    assert_eq!(made(&cap, &openings, NOW), Err(ProposalError::OneAmount));
    let range = Clause::Range { x: 0, lo: None, hi: Some(Number(10)) };
    let composed = ClausePolicy::new(1, vec![range], Vec::new()).unwrap().policy();
    let proposal = Proposal {
        event: event(&composed),
        suite: SuiteId::Standard,
        chain_context: "test".to_owned(),
        valid_until: None,
        opening: &openings[0],
    };
    assert_eq!(prove(proposal, None, &mut system_random().unwrap()), Err(ProposalError::Composed));
}
