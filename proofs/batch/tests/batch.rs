//! Batches from the outside (section 11, items 2, 9, 10 and 15), each refusal beside an accepted twin.

use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};
use ves::{Digest, KeyId, SequenceNumber, StreamKey, TimestampMs};
use ves_stark_batch::{
    BatchBundle, BatchError, BatchFacts, BatchInputs, BatchTerms, BundleError, ChainError, EVENTS_MAX,
    InputsError, check_chain, prove, verify,
};
use ves_stark_primitives::policy::AmountPolicy;
use ves_stark_primitives::{
    BindingError, CommitmentBinding, FieldCommitment, FieldDescription, Opening, SuiteId,
};

/// A generator that repeats itself.
struct Seeded(blake3::OutputReader);

impl Seeded {
    fn new(seed: u8) -> Self {
        Self(blake3::Hasher::new().update(&[seed]).finalize_xof())
    }
}

impl TryRng for Seeded {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|word| word as u32)
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut word = [0; 8];
        self.0.fill(&mut word);
        Ok(u64::from_le_bytes(word))
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}

fn batch(start: u64, amounts: &[u64]) -> (BatchInputs, Vec<FieldCommitment>, Vec<Opening>) {
    let field = FieldDescription::new("amount", "total", "amount", "USD", 2).unwrap();
    let mut random = Seeded::new(start as u8);
    let openings: Vec<Opening> = amounts
        .iter()
        .map(|&amount| Opening::draw(amount, |bytes| random.try_fill_bytes(bytes)).unwrap())
        .collect();
    let commitments: Vec<FieldCommitment> = openings.iter().map(|opening| opening.commit(&field)).collect();
    let text = |digit: char| digit.to_string().repeat(8) + "-0000-4000-8000-000000000000";
    let inputs = BatchInputs {
        suite: SuiteId::Standard,
        stream: StreamKey { tenant_id: text('1').parse().unwrap(), store_id: text('2').parse().unwrap() },
        batch_root: Digest([1; 32]),
        sequence_start: SequenceNumber(start),
        sequence_end: SequenceNumber(start + amounts.len() as u64 - 1),
        prev_state_root: Digest([start as u8; 32]),
        new_state_root: Digest([(start + amounts.len() as u64) as u8; 32]),
        policy: AmountPolicy::AmlThreshold { threshold: 10_000 },
        field,
        excluded: Vec::new(),
        commitments_digest: BatchInputs::digest_of(&commitments),
        chain_context: "test".to_owned(),
        valid_until: None,
    };
    (inputs, commitments, openings)
}

fn proved(start: u64, amounts: &[u64]) -> BatchBundle {
    let (inputs, commitments, openings) = batch(start, amounts);
    let proofs = prove(&inputs, &commitments, &openings, &mut Seeded::new(7), &mut |_| ()).unwrap();
    let security = verify(&inputs, &commitments, &proofs).unwrap();
    BatchBundle { inputs, commitments, bindings: None, proofs, security }
}

#[test]
fn a_batch_is_proved_carried_as_json_and_checked() {
    let bundle = proved(5, &[1, 9_999, 3]);
    let read = BatchBundle::parse(&bundle.to_json()).unwrap();
    assert_eq!(read, bundle);
    assert_eq!(read.check().unwrap(), bundle.security);
    assert!(bundle.security.conjectured_bits >= 100 && bundle.security.zk);
}

/// Items 2 and 9: nothing in the statement can be changed.
#[test]
fn every_member_of_the_statement_is_bound() {
    let bundle = proved(5, &[1, 9_999, 3]);
    type Change = fn(&mut BatchInputs);
    let changes: [(&str, Change); 12] = [
        ("tenantId", |i| i.stream.tenant_id = "33333333-0000-4000-8000-000000000000".parse().unwrap()),
        ("storeId", |i| i.stream.store_id = "33333333-0000-4000-8000-000000000000".parse().unwrap()),
        ("batchRoot", |i| i.batch_root.0[0] ^= 1),
        ("range", |i| (i.sequence_start, i.sequence_end) = (SequenceNumber(6), SequenceNumber(8))),
        ("prevStateRoot", |i| i.prev_state_root.0[0] ^= 1),
        ("newStateRoot", |i| i.new_state_root.0[0] ^= 1),
        ("policy of the same limit", |i| i.policy = AmountPolicy::OrderTotalCap { cap: 9_999 }),
        ("policy", |i| i.policy = AmountPolicy::AmlThreshold { threshold: 10_001 }),
        ("field", |i| i.field = FieldDescription::new("amount", "total", "amount", "EUR", 2).unwrap()),
        ("path", |i| i.field = FieldDescription::new("amount", "sum", "amount", "USD", 2).unwrap()),
        ("chainContext", |i| i.chain_context = "other".to_owned()),
        ("validUntil", |i| i.valid_until = Some(1)),
    ];
    for (member, change) in changes {
        let mut other = bundle.inputs.clone();
        change(&mut other);
        let refused = verify(&other, &bundle.commitments, &bundle.proofs);
        assert!(matches!(refused, Err(BatchError::Proof { shard: 0, .. })), "{member}: {refused:?}");
    }
    assert!(verify(&bundle.inputs, &bundle.commitments, &bundle.proofs).is_ok());
}

/// Item 9.
#[test]
fn the_list_of_commitments_is_the_statements() {
    let bundle = proved(5, &[1, 9_999, 3]);
    let mut swapped = bundle.commitments.clone();
    swapped.swap(0, 1);
    let refused = verify(&bundle.inputs, &swapped, &bundle.proofs);
    assert_eq!(refused, Err(BatchError::Inputs(InputsError::CommitmentsDigest)));
    let refused = verify(&bundle.inputs, &bundle.commitments[..2], &bundle.proofs);
    assert_eq!(refused, Err(BatchError::Inputs(InputsError::CommitmentCount { expected: 3, found: 2 })));
    // Also when the statement is changed with the list.
    let inputs =
        BatchInputs { commitments_digest: BatchInputs::digest_of(&swapped), ..bundle.inputs.clone() };
    assert!(matches!(verify(&inputs, &swapped, &bundle.proofs), Err(BatchError::Proof { .. })));
}

#[test]
fn events_left_out_are_listed() {
    let (mut inputs, mut commitments, mut openings) = batch(5, &[1, 20_000, 3]);
    assert!(prove(&inputs, &commitments, &openings, &mut Seeded::new(7), &mut |_| ()).is_err());
    commitments.remove(1);
    openings.remove(1);
    inputs.excluded = vec![SequenceNumber(6)];
    inputs.commitments_digest = BatchInputs::digest_of(&commitments);
    let proofs = prove(&inputs, &commitments, &openings, &mut Seeded::new(7), &mut |_| ()).unwrap();
    assert!(verify(&inputs, &commitments, &proofs).is_ok());
    for excluded in [vec![], vec![5], vec![4], vec![8], vec![6, 6], vec![7, 6], vec![5, 6, 7]] {
        let excluded = excluded.into_iter().map(SequenceNumber).collect();
        let other = BatchInputs { excluded, ..inputs.clone() };
        assert!(verify(&other, &commitments, &proofs).is_err(), "{:?}", other.excluded);
    }
}

#[test]
fn more_events_than_one_proof_holds_are_proved_in_shards() {
    let amounts: Vec<u64> = (0..4_100).map(|i| i % 10_000).collect();
    let (inputs, commitments, openings) = batch(1, &amounts);
    let mut seen = Vec::new();
    let mut proofs =
        prove(&inputs, &commitments, &openings, &mut Seeded::new(7), &mut |done| seen.push(done)).unwrap();
    assert_eq!((proofs.len(), seen), (2, vec![4_096, 4_100]));
    assert!(verify(&inputs, &commitments, &proofs).is_ok());
    let missing = verify(&inputs, &commitments, &proofs[..1]);
    assert_eq!(missing, Err(BatchError::ProofCount { expected: 2, found: 1 }));
    proofs.swap(0, 1);
    assert!(matches!(verify(&inputs, &commitments, &proofs), Err(BatchError::Proof { shard: 0, .. })));
}

/// Item 10.
#[test]
fn batches_make_a_chain_only_when_ranges_and_states_meet() {
    let chain: Vec<BatchInputs> =
        [(1, 3), (4, 2), (6, 4)].map(|(start, events)| batch(start, &vec![1; events]).0).to_vec();
    assert_eq!(check_chain(&chain), Ok(()));
    let with = |change: fn(&mut Vec<BatchInputs>)| {
        let mut other = chain.clone();
        change(&mut other);
        check_chain(&other)
    };
    assert_eq!(with(|c| c[1].prev_state_root.0[0] ^= 1), Err(ChainError::StateRoot { place: 1 }));
    assert_eq!(with(|c| c[1].new_state_root.0[0] ^= 1), Err(ChainError::StateRoot { place: 2 }));
    assert_eq!(with(|c| drop(c.remove(1))), Err(ChainError::SequenceGap { place: 1 }));
    assert_eq!(with(|c| c[2].sequence_start.0 -= 1), Err(ChainError::SequenceGap { place: 2 }));
    assert_eq!(
        with(|c| c[0].sequence_end = SequenceNumber(u64::MAX)),
        Err(ChainError::SequenceGap { place: 1 })
    );
    assert_eq!(
        with(|c| c[2].stream.store_id = "33333333-0000-4000-8000-000000000000".parse().unwrap()),
        Err(ChainError::OtherStream { place: 2 })
    );
    assert_eq!(with(|c| c[2].chain_context.push('x')), Err(ChainError::OtherDeployment { place: 2 }));
}

/// Item 10: ranges that overflow or are too long.
#[test]
fn ranges_are_bounded() {
    let (inputs, commitments, _) = batch(5, &[1, 2, 3]);
    assert_eq!(inputs.check(&commitments), Ok(()));
    for (start, end) in [
        (0, 2),
        (5, 4),
        (0, u64::MAX),
        (u64::MAX - 2, u64::MAX),
        (1, EVENTS_MAX as u64 + 1),
        (i64::MAX as u64 - 1, i64::MAX as u64 + 1),
    ] {
        let other = BatchInputs {
            sequence_start: SequenceNumber(start),
            sequence_end: SequenceNumber(end),
            ..inputs.clone()
        };
        assert_eq!(other.check(&commitments), Err(InputsError::Range), "{start} to {end}");
    }
}

/// Item 15.
#[test]
fn bundles_are_read_strictly() {
    let text = proved(5, &[1, 9_999, 3]).to_json();
    assert!(BatchBundle::parse(&text).is_ok());
    let with = |from: &str, to: &str| {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        BatchBundle::parse(&changed).unwrap_err()
    };
    assert!(matches!(with(r#""kind":"batch","#, r#""kind":"batch","kind":"batch","#), BundleError::Json(_)));
    assert!(matches!(with(r#""kind":"batch","#, r#""kind":"batch","more":1,"#), BundleError::Shape(_)));
    assert!(matches!(with(r#""bundleVersion":2"#, r#""bundleVersion":3"#), BundleError::Version));
    assert!(matches!(
        with(r#""eventCount":3"#, r#""eventCount":4"#),
        BundleError::Inputs(InputsError::EventCount { expected: 3 })
    ));
    assert!(matches!(with(r#""threshold":10000"#, r#""threshold":10001"#), BundleError::Inputs(_)));
    assert!(matches!(
        with(r#""chainContext":"test""#, r#""chainContext":"text""#),
        BundleError::StatementDigest
    ));
    assert!(matches!(
        with(r#""proofs":[""#, r#""proofs":["AA"#),
        BundleError::ProofHash | BundleError::Encoding { .. }
    ));
    let bundle = BatchBundle::parse(&text).unwrap();
    let mut boasting = bundle.clone();
    boasting.security.proven_bits += 1;
    assert_eq!(boasting.check(), Err(BundleError::SecurityClaim));
    assert!(bundle.check().is_ok());
}

/// Made-up signatures: what they are worth is for whoever knows the keys.
fn signed(bundle: BatchBundle) -> BatchBundle {
    let binding =
        |n: usize| CommitmentBinding { agent_key_id: KeyId(n as u32 + 1), signature: [n as u8; 64] };
    let bindings = Some((0..bundle.commitments.len()).map(binding).collect());
    BatchBundle { bindings, ..bundle }
}

/// Items 7 and 13: each commitment has its own event and its own signature.
#[test]
fn every_commitment_is_asked_about_with_its_event() {
    let bundle = signed(proved(5, &[1, 9_999, 3]));
    let mut inputs = bundle.inputs.clone();
    inputs.sequence_end = SequenceNumber(9);
    inputs.excluded = vec![SequenceNumber(5), SequenceNumber(8)];
    let bundle = BatchBundle { inputs, ..bundle };
    let mut seen = Vec::new();
    let checked = bundle.check_bindings(|event, binding, list| {
        assert_eq!((list.len(), &list[0].field), (1, &bundle.inputs.field));
        seen.push((event.get(), binding.agent_key_id.0, list[0].commitment));
        Ok(())
    });
    assert_eq!(checked, Ok(()));
    let expected: Vec<_> = [(6, 1), (7, 2), (9, 3)]
        .into_iter()
        .zip(&bundle.commitments)
        .map(|((n, key), c)| (n, key, *c))
        .collect();
    assert_eq!(seen, expected);

    let one_wrong = bundle.check_bindings(|event, _, _| match event.get() {
        7 => Err(BindingError::Signature),
        _ => Ok(()),
    });
    let problem = BindingError::Signature;
    assert_eq!(one_wrong, Err(BundleError::Binding { event: SequenceNumber(7), problem }));
    let unsigned = BatchBundle { bindings: None, ..bundle.clone() };
    assert_eq!(unsigned.check_bindings(|_, _, _| Ok(())), Err(BundleError::NotBound));
    let mut short = bundle;
    short.bindings.as_mut().unwrap().pop();
    let missing = BundleError::BindingCount { expected: 3, found: 2 };
    assert_eq!(short.check_bindings(|_, _, _| Ok(())), Err(missing));
}

#[test]
fn signatures_are_carried_whole_or_not_at_all() {
    let unsigned = proved(5, &[1, 9_999, 3]);
    assert!(!unsigned.to_json().contains("commitmentBindings"));
    let bundle = signed(unsigned);
    let text = bundle.to_json();
    assert_eq!(BatchBundle::parse(&text), Ok(bundle.clone()));
    let member = text.split(r#""commitmentBindings":""#).nth(1).unwrap().split('"').next().unwrap();
    let with = |other: &str| BatchBundle::parse(&text.replacen(member, other, 1)).unwrap_err();
    let two = BundleError::BindingCount { expected: 3, found: 2 };
    let mut short = bundle;
    short.bindings.as_mut().unwrap().pop();
    assert_eq!(BatchBundle::parse(&short.to_json()), Err(two));
    assert!(matches!(with("AAAA"), BundleError::Encoding { member: "commitmentBindings", .. }));
    assert!(matches!(with("*"), BundleError::Encoding { member: "commitmentBindings", .. }));
}

/// The sequencer's own statement of the batch that `batch` makes.
fn facts_text(inputs: &BatchInputs) -> String {
    let policy = inputs.policy.policy();
    format!(
        r#"{{"batchId":"44444444-0000-4000-8000-000000000000","tenantId":"{}","storeId":"{}","merkleRoot":"{}","prevStateRoot":"{}","newStateRoot":"{}","sequenceStart":{},"sequenceEnd":{},"leafCount":3,"policyId":"{}","policyParams":{},"policyHash":"{}"}}"#,
        inputs.stream.tenant_id,
        inputs.stream.store_id,
        inputs.batch_root,
        inputs.prev_state_root,
        inputs.new_state_root,
        inputs.sequence_start,
        inputs.sequence_end,
        policy.id(),
        policy.params(),
        policy.hash()
    )
}

/// Item 10: a bundle is about the batch that the verifier knows.
#[test]
fn a_bundle_is_held_against_the_sequencers_own_statement() {
    let bundle = proved(5, &[1, 9_999, 3]);
    let text = facts_text(&bundle.inputs);
    let facts = BatchFacts::parse(&text).unwrap();
    assert_eq!(bundle.check_facts(&facts), Ok(()));
    let terms = BatchTerms {
        suite: SuiteId::Standard,
        field: bundle.inputs.field.clone(),
        excluded: Vec::new(),
        chain_context: "test".to_owned(),
        valid_until: None,
    };
    assert_eq!(facts.statement(terms.clone(), &bundle.commitments), Ok(bundle.inputs.clone()));
    let cut = facts.statement(terms.clone(), &bundle.commitments[..2]);
    assert_eq!(cut, Err(InputsError::CommitmentCount { expected: 3, found: 2 }));

    type Change = fn(&mut BatchFacts);
    let changes: [(&str, Change); 8] = [
        ("tenantId", |f| f.stream.tenant_id = "33333333-0000-4000-8000-000000000000".parse().unwrap()),
        ("storeId", |f| f.stream.store_id = "33333333-0000-4000-8000-000000000000".parse().unwrap()),
        ("sequenceStart", |f| f.sequence_start.0 -= 1),
        ("sequenceEnd", |f| f.sequence_end.0 += 1),
        ("batchRoot", |f| f.batch_root.0[0] ^= 1),
        ("prevStateRoot", |f| f.prev_state_root.0[0] ^= 1),
        ("newStateRoot", |f| f.new_state_root.0[0] ^= 1),
        ("policyParams", |f| f.policy = Some(AmountPolicy::AmlThreshold { threshold: 10_001 })),
    ];
    for (member, change) in changes {
        let mut other = facts.clone();
        change(&mut other);
        assert_eq!(bundle.check_facts(&other), Err(BundleError::OtherStatement { member }));
    }
    let none = BatchFacts { policy: None, ..facts.clone() };
    assert_eq!(bundle.check_facts(&none), Err(BundleError::Inputs(InputsError::NoPolicy)));
    assert_eq!(none.statement(terms, &bundle.commitments), Err(InputsError::NoPolicy));

    let with = |from: &str, to: &str| {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        BatchFacts::parse(&changed).unwrap_err()
    };
    assert_eq!(with("10000", "10001"), InputsError::PolicyHash);
    assert!(matches!(with(r#""policyId":"aml.threshold","#, ""), InputsError::Shape(_)));
    assert!(matches!(
        with(r#""sequenceStart":5,"#, r#""sequenceStart":5,"sequenceStart":5,"#),
        InputsError::Json(_)
    ));
    assert!(matches!(with(r#""merkleRoot""#, r#""root""#), InputsError::Shape(_)));
}

#[test]
fn a_batch_statement_is_for_one_deployment_and_ends_with_its_second() {
    let mut bundle = proved(5, &[1]);
    bundle.inputs.valid_until = Some(10);
    assert_eq!(bundle.check_context("test", TimestampMs(10_999)), Ok(()));
    assert_eq!(bundle.check_context("test", TimestampMs(11_000)), Err(BundleError::Ended));
    assert_eq!(bundle.check_context("other", TimestampMs(0)), Err(BundleError::OtherDeployment));
}
