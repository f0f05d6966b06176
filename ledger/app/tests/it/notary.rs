//! Section 5.1: C4, C5, C6, and every code of the notary commit.

use proptest::prelude::*;
use stateset_ledger_app::application::{Application, Block, Proposal};
use stateset_ledger_app::state::{ReadFault, Row, StateReader};
use stateset_ledger_app::{Fault, Ledger, MemoryState};
use stateset_ledger_types::body::{Header, TimeWindow};
use stateset_ledger_types::codec::{List, Set};
use stateset_ledger_types::ids::TxId;
use stateset_ledger_types::notary::{CapsuleEntry, ConflictData, NotaryRecord};
use stateset_ledger_types::tree::Mode;
use stateset_ledger_types::{Code, Decode, Encode, Envelope, Request, StateKey, Substore};

use crate::world::{World, chain, code, id, private_body, sign, spent_key, submit_private};

#[test]
fn a_good_request_is_written_with_everything_it_consumes() {
    let mut world = World::new();
    let tx = world.private(1, 1, &[10, 11], &[12]);
    let result = world.run(tx);
    assert_eq!(code(&result), None, "{}", result.log);
    let record = NotaryRecord::from_sce(&result.data).unwrap();
    assert_eq!(record, NotaryRecord { height: 1, index: 0, mode: Mode::Private, inputs: 2 });
    let consumer: TxId = world.get(&StateKey::spent(&spent_key(10))).unwrap();
    assert_eq!(world.get(&StateKey::tx(&consumer)), Some(record));
    assert_eq!(world.get::<u64>(&StateKey::seq(&id(1))), Some(1));
    assert_eq!(world.get::<CapsuleEntry>(&StateKey::capsule(1, 0, 0)).unwrap().tx_id, consumer);
    assert_eq!(world.get::<TxId>(&StateKey::spent(&spent_key(12))), None, "a reference is not consumed");
}

#[test]
fn c4_of_two_requests_for_one_state_the_first_wins() {
    // In one block.
    let mut world = World::new();
    let (first, second) = (world.private(1, 1, &[10], &[]), world.private(2, 2, &[9, 10], &[]));
    let outcome = world.block(&[first, second]);
    assert_eq!(code(&outcome.results[0]), None);
    assert_eq!(code(&outcome.results[1]), Some(Code::Conflict));
    let consumer: TxId = world.get(&StateKey::spent(&spent_key(10))).unwrap();
    let data = ConflictData::from_sce(&outcome.results[1].data).unwrap();
    assert_eq!(data, ConflictData { index: 1, consumer });
    assert_eq!(world.get::<TxId>(&StateKey::spent(&spent_key(9))), None, "all or nothing");
    // In another block.
    let third = world.private(2, 3, &[10], &[]);
    assert_eq!(code(&world.run(third)), Some(Code::Conflict));
}

#[test]
fn c5_a_reference_to_what_the_block_consumed_is_refused() {
    let mut world = World::new();
    let (consume, refer) = (world.private(1, 1, &[10], &[]), world.private(2, 2, &[], &[10]));
    let outcome = world.block(&[consume, refer.clone()]);
    assert_eq!(code(&outcome.results[1]), Some(Code::ReferenceSpent));
    let mut world = World::new();
    let (refer, consume) = (world.private(2, 2, &[], &[10]), world.private(1, 1, &[10], &[]));
    let outcome = world.block(&[refer, consume]);
    assert_eq!(outcome.results.iter().map(code).collect::<Vec<_>>(), [None, None]);
}

#[test]
fn c6_an_observer_cannot_consume_with_what_it_saw() {
    let mut world = World::new();
    let seen = world.private(1, 1, &[10], &[]);
    // The same openings under another body, submitted by the observer itself.
    let (mine, theirs) = (private_body(world.header(), 2, &[10], &[], None), seen.clone());
    let request = stateset_ledger_types::Envelope::from_bytes(theirs).unwrap();
    let stateset_ledger_types::Request::Notarise(request) = request.request().clone() else {
        panic!("is one")
    };
    let mut stolen = request.clone();
    stolen.content = stateset_ledger_types::envelope::NotariseContent::of(&mine, Mode::Private);
    stolen.submission = crate::world::submission(2, 1);
    let stolen = stateset_ledger_types::Envelope::signed(
        stateset_ledger_types::Request::Notarise(stolen),
        &crate::world::chain(),
        |message| crate::world::sign(2, message),
    );
    assert_eq!(code(&world.run(stolen.bytes().to_vec())), Some(Code::BadSignature));
    assert_eq!(code(&world.run(seen)), None);
}

#[test]
fn a_second_submission_is_answered_with_the_record() {
    let mut world = World::new();
    let whole = private_body(world.header(), 1, &[10], &[], None);
    let first = submit_private(&whole, Mode::Private, 1, 1, &[10], &[]);
    let again = submit_private(&whole, Mode::Private, 2, 1, &[10], &[]);
    let done = world.run(first);
    let result = world.run(again);
    assert_eq!(code(&result), Some(Code::AlreadyNotarised));
    assert_eq!(result.data, done.data);
    assert_eq!(world.get::<u64>(&StateKey::seq(&id(2))), None, "step 1 writes nothing");
}

#[test]
fn a_refused_request_cannot_be_replayed() {
    let mut world = World::new();
    let (first, conflict) = (world.private(1, 1, &[10], &[]), world.private(2, 2, &[10], &[]));
    world.block(&[first, conflict.clone()]);
    assert_eq!(world.get::<u64>(&StateKey::seq(&id(2))), Some(1));
    assert_eq!(code(&world.run(conflict)), Some(Code::BadSequence));
}

#[test]
fn headers_and_windows_are_checked_at_their_edges() {
    let at = |change: &dyn Fn(&mut Header), window: Option<TimeWindow>| {
        let mut world = World::new();
        world.empty_blocks(4);
        let mut header = world.header();
        change(&mut header);
        let whole = private_body(header, 1, &[10], &[], window);
        // Height 5, at 1 005 000 ms.
        code(&world.run(submit_private(&whole, Mode::Private, 1, 1, &[10], &[])))
    };
    assert_eq!(at(&|header| header.not_before_height = 5, None), None);
    assert_eq!(at(&|header| header.not_before_height = 6, None), Some(Code::WindowNotOpen));
    assert_eq!(at(&|header| header.expires_height = 5, None), None);
    assert_eq!(at(&|header| header.expires_height = 4, None), Some(Code::Expired));
    assert_eq!(at(&|header| header.params_hash = ves::Digest::ZERO, None), Some(Code::ParamsMismatch));
    let window = |from_ms, until_ms| at(&|_| {}, Some(TimeWindow { from_ms, until_ms }));
    assert_eq!(window(Some(1_005_000), Some(1_005_001)), None);
    assert_eq!(window(Some(1_005_001), None), Some(Code::WindowNotOpen));
    assert_eq!(window(None, Some(1_005_000)), Some(Code::WindowClosed));
}

#[test]
fn an_attested_transaction_needs_its_quorum() {
    let attested = |policy, attesters: &[u8]| {
        let mut world = World::new();
        let header = Header { attester_policy: Some(policy), ..world.header() };
        let whole = private_body(header, 1, &[10], &[], None);
        code(&world.run(submit_private(&whole, Mode::Attested, 1, 1, &[10], attesters)))
    };
    assert_eq!(attested(7, &[3]), None);
    assert_eq!(attested(7, &[]), Some(Code::AttestationMissing));
    assert_eq!(attested(7, &[1, 2]), Some(Code::AttestationMissing), "not in the policy");
    assert_eq!(attested(8, &[3]), Some(Code::AttestationMissing), "no such policy");
}

#[test]
fn an_attestation_counts_for_one_live_attester_of_this_transaction_and_policy() {
    use stateset_ledger_types::entity::{EntityStatus, Role};
    use stateset_ledger_types::envelope::Attestation;
    use stateset_ledger_types::keys::attest_message;
    let policies = |genesis: &mut stateset_ledger_types::Genesis| {
        let mut policies = genesis.attester_policies.clone().into_vec();
        policies[0].policy.threshold = 2;
        policies[0].policy.entities = Set::new([id(2), id(3)]).unwrap();
        genesis.attester_policies = List::new(policies).unwrap();
        let mut entities = genesis.entities.clone().into_vec();
        entities[1].roles = entities[1].roles.with(Role::Attester);
        genesis.entities = List::new(entities).unwrap();
    };
    let judged = |change: &dyn Fn(&mut Vec<Attestation>)| {
        let mut genesis = crate::world::genesis();
        policies(&mut genesis);
        let header = Header { attester_policy: Some(7), ..World::of(&genesis).header() };
        let whole = private_body(header, 1, &[10], &[], None);
        let signed = submit_private(&whole, Mode::Attested, 1, 1, &[10], &[2, 3]);
        let Request::Notarise(mut request) = Envelope::from_bytes(signed).unwrap().request().clone() else {
            panic!("is one")
        };
        let mut attestations = request.attestations.clone().into_vec();
        change(&mut attestations);
        request.attestations = List::new(attestations).unwrap();
        let again = Envelope::signed(Request::Notarise(request), &chain(), |message| sign(1, message));
        code(&World::of(&genesis).run(again.bytes().to_vec()))
    };
    assert_eq!(judged(&|_| {}), None);
    assert_eq!(judged(&|all| all.truncate(1)), Some(Code::AttestationMissing));
    // One of them twice, or not in their order.
    assert_eq!(judged(&|all| all[1] = all[0].clone()), Some(Code::Malformed));
    assert_eq!(judged(&|all| all.swap(0, 1)), Some(Code::Malformed));
    // Signed by another key, and said to be so or not.
    assert_eq!(judged(&|all| all[0].signature = all[1].signature), Some(Code::BadSignature));
    assert_eq!(judged(&|all| all[0].key = all[1].key), Some(Code::BadSignature));
    let swapped = |all: &mut Vec<Attestation>| {
        (all[0].key, all[0].signature) = (all[1].key, all[1].signature);
    };
    assert_eq!(judged(&swapped), Some(Code::AttestationMissing), "a good signature of someone else");
    // Over another transaction, another policy, another set of contracts.
    let good = {
        let header = Header { attester_policy: Some(7), ..World::new().header() };
        private_body(header, 1, &[10], &[], None).tx_id(Mode::Attested)
    };
    let over = |tx_id: &TxId, policy, set: u8| {
        sign(2, &attest_message(&chain(), tx_id, policy, &ves::Digest([set; 32])))
    };
    let signed: Vec<_> = [(good, 7, 0), (TxId([1; 32]), 7, 0), (good, 8, 0), (good, 7, 1)]
        .iter()
        .map(|(tx_id, policy, set)| judged(&|all| all[0].signature = over(tx_id, *policy, *set)))
        .collect();
    assert_eq!(signed, [None, Some(Code::BadSignature), Some(Code::BadSignature), Some(Code::BadSignature)]);
    // Without the role, suspended, or with a key that was revoked.
    let entity = |change: fn(&mut stateset_ledger_types::entity::Entity)| {
        let mut genesis = crate::world::genesis();
        policies(&mut genesis);
        let mut world = World::of(&genesis);
        // As governance would: a genesis names no attester without the role.
        let key = StateKey::entity(&id(3));
        let mut record = world.get(&key).unwrap();
        change(&mut record);
        world.state.apply(&[((key.substore, key.path), Some(record.to_sce()))].into());
        let header = Header { attester_policy: Some(7), ..world.header() };
        let whole = private_body(header, 1, &[10], &[], None);
        code(&world.run(submit_private(&whole, Mode::Attested, 1, 1, &[10], &[2, 3])))
    };
    assert_eq!(entity(|_| {}), None);
    assert_eq!(entity(|it| it.roles = it.roles.without(Role::Attester)), Some(Code::AttestationMissing));
    assert_eq!(entity(|it| it.status = EntityStatus::Suspended), Some(Code::AttestationMissing));
    let revoked = |it: &mut stateset_ledger_types::entity::Entity| {
        let mut keys = it.keys.clone().into_vec();
        keys[0].revoked_at = Some(0);
        it.keys = List::new(keys).unwrap();
    };
    assert_eq!(entity(revoked), Some(Code::AttestationMissing));
    // A private transaction has none, and an attested one names its policy.
    let none = private_body(World::new().header(), 1, &[10], &[], None);
    let private = submit_private(&none, Mode::Private, 1, 1, &[10], &[3]);
    assert_eq!(code(&World::new().run(private)), Some(Code::Malformed));
    let nameless = submit_private(&none, Mode::Attested, 1, 1, &[10], &[3]);
    assert_eq!(code(&World::new().run(nameless)), Some(Code::Malformed));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whoever attests besides: the quorum is met by enough of those whom the policy names, each once and in order.
    #[test]
    fn a_quorum_is_met_by_those_it_names_and_by_nobody_else(
        named in proptest::collection::btree_set(1u8..=4, 1..=4),
        signing in proptest::collection::vec(1u8..=4, 0..6),
        sorts in any::<bool>(),
        threshold in 1u32..=4,
    ) {
        let mut genesis = crate::world::genesis();
        let threshold = threshold.min(named.len() as u32);
        let mut policies = genesis.attester_policies.clone().into_vec();
        policies[0].policy.threshold = threshold;
        policies[0].policy.entities = Set::new(named.iter().map(|n| id(*n))).unwrap();
        genesis.attester_policies = List::new(policies).unwrap();
        let mut entities = genesis.entities.clone().into_vec();
        entities.iter_mut().for_each(|it| it.roles = it.roles.with(stateset_ledger_types::entity::Role::Attester));
        genesis.entities = List::new(entities).unwrap();
        let mut world = World::of(&genesis);
        let header = Header { attester_policy: Some(7), ..world.header() };
        let whole = private_body(header, 1, &[10], &[], None);
        let mut signing = signing;
        if sorts {
            signing.sort_unstable();
        }
        let found = code(&world.run(submit_private(&whole, Mode::Attested, 1, 1, &[10], &signing)));
        let in_order = signing.windows(2).all(|two| two[0] < two[1]);
        let enough = signing.iter().filter(|n| named.contains(n)).count() >= threshold as usize;
        let expected = match (in_order, enough) {
            (false, _) => Some(Code::Malformed),
            (true, false) => Some(Code::AttestationMissing),
            (true, true) => None,
        };
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn quotas_hold_within_a_block() {
    let mut genesis = crate::world::genesis();
    genesis.params.set("quota_tx_per_block", 2).unwrap();
    let mut world = World::of(&genesis);
    let txs: Vec<Vec<u8>> = (1..=3).map(|n| world.private(1, n, &[n], &[])).collect();
    let outcome = world.block(&txs);
    let codes: Vec<_> = outcome.results.iter().map(code).collect();
    assert_eq!(codes, [None, None, Some(Code::Quota)]);
    // What was over the quota wrote nothing, so it is good in the next block.
    assert_eq!(code(&world.run(txs[2].clone())), None);
}

#[test]
fn a_block_that_changes_nothing_writes_nothing() {
    let mut world = World::new();
    assert!(world.block(&[]).writes.is_empty());
    assert!(world.block(&[b"junk".to_vec()]).writes.is_empty());
}

/// A state that breaks in the code above it, for one key.
struct Breaks<'a>(&'a MemoryState, Vec<u8>, bool);

impl StateReader for Breaks<'_> {
    fn get(&self, substore: Substore, key: &[u8]) -> Result<Option<Vec<u8>>, ReadFault> {
        if key == self.1 {
            assert!(!self.2, "a mistake of our own");
            return Err(ReadFault("the disk is gone".to_owned()));
        }
        self.0.get(substore, key)
    }
    fn range(&self, substore: Substore, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Row>, ReadFault> {
        self.0.range(substore, from, to, limit)
    }
}

#[test]
fn a_panic_is_contained_in_its_transaction_and_a_fault_is_not() {
    let mut world = World::new();
    let (bad, good) = (world.private(1, 1, &[10], &[]), world.private(2, 2, &[11], &[]));
    let key = StateKey::spent(&spent_key(10)).path;
    let block = Block { height: 1, time_ms: 2_000_000, transactions: vec![&bad, &good] };
    let outcome = world.ledger.finalize_block(&Breaks(&world.state, key.clone(), true), &block).unwrap();
    assert_eq!(code(&outcome.results[0]), Some(Code::Internal));
    assert_eq!(code(&outcome.results[1]), None);
    assert_eq!(outcome.panicked, [0]);
    let wrote = |key: StateKey| outcome.writes.contains_key(&(key.substore, key.path));
    assert!(wrote(StateKey::spent(&spent_key(11))) && wrote(StateKey::seq(&id(1))));
    assert!(!wrote(StateKey::spent(&spent_key(10))));
    let fault = world.ledger.finalize_block(&Breaks(&world.state, key, false), &block);
    assert_eq!(fault, Err(Fault::Read(ReadFault("the disk is gone".to_owned()))));
}

#[test]
fn proposals_keep_the_first_of_conflicts_and_drop_what_cannot_pass() {
    let mut world = World::new();
    let done = world.private(1, 1, &[10], &[]);
    world.run(done.clone());
    let txs = [
        world.private(1, 2, &[11], &[]),
        world.private(2, 3, &[11], &[]),
        done,
        b"junk".to_vec(),
        world.private(2, 4, &[12], &[]),
    ];
    let transactions: Vec<&[u8]> = txs.iter().map(Vec::as_slice).collect();
    let mut proposal =
        Proposal { height: 2, time_ms: 2_000_000, transactions: transactions.clone(), bytes_max: u64::MAX };
    let chosen = world.ledger.prepare_proposal(&world.state, &proposal).unwrap();
    assert_eq!(chosen, [0, 4]);
    proposal.bytes_max = txs[0].len() as u64;
    assert_eq!(world.ledger.prepare_proposal(&world.state, &proposal), Ok(vec![0]));
    let votes = |transactions: Vec<&[u8]>| {
        let block = Block { height: 2, time_ms: 2_000_000, transactions };
        world.ledger.process_proposal(&world.state, &block).unwrap()
    };
    // Conflicts are for execution; what does not decode is not for blocks.
    assert!(votes(vec![transactions[0], transactions[1]]));
    assert!(!votes(vec![transactions[0], transactions[3]]));
}

#[test]
fn a_request_that_must_wait_is_not_overtaken_by_its_submitters_next() {
    let mut world = World::new();
    let txs = [
        world.private(2, 1, &[10], &[]),
        world.private(1, 2, &[11, 12, 13], &[]),
        world.private(1, 3, &[14], &[]),
    ];
    let other = world.private(3, 4, &[15], &[]);
    assert!(txs[2].len() < txs[1].len() && other.len() <= txs[2].len());
    let transactions = txs.iter().chain([&other]).map(Vec::as_slice).collect();
    // Room for the first and one more, but not for the large one.
    let bytes_max = (txs[0].len() + txs[2].len()) as u64;
    let proposal = Proposal { height: 1, time_ms: 2_000_000, transactions, bytes_max };
    assert_eq!(world.ledger.prepare_proposal(&world.state, &proposal), Ok(vec![0, 3]));
}

#[test]
fn requests_that_overtook_each_other_are_proposed_by_their_sequences() {
    let mut world = World::new();
    let first = world.private(1, 1, &[10], &[]);
    let txs =
        [world.private(1, 2, &[11], &[]), world.private(2, 3, &[12], &[]), world.private(1, 4, &[13], &[])];
    // As a pool may hold them: the second of a member, another member's, the member's third, and its first.
    let transactions = txs.iter().chain([&first]).map(Vec::as_slice).collect();
    let proposal = Proposal { height: 1, time_ms: 2_000_000, transactions, bytes_max: u64::MAX };
    assert_eq!(world.ledger.prepare_proposal(&world.state, &proposal), Ok(vec![3, 1, 0, 2]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// C4 and C10 in small: whatever order, each state is consumed once; another node, with nothing remembered, writes the
    /// same.
    #[test]
    fn every_state_is_consumed_once_and_every_node_agrees(
        requests in prop::collection::vec((1u8..4, prop::collection::btree_set(0u8..6, 0..3), 0u8..6), 1..12),
        cut in 0usize..12,
    ) {
        let mut world = World::new();
        let txs: Vec<Vec<u8>> = (1..).zip(&requests).map(|(salt, (by, inputs, reference))| {
            let inputs: Vec<u8> = inputs.iter().copied().collect();
            let references: Vec<u8> = Some(*reference).filter(|r| !inputs.contains(r)).into_iter().collect();
            world.private(*by, salt, &inputs, &references)
        }).collect();
        let cut = cut.min(txs.len());
        let mut consumed = Vec::new();
        for part in [&txs[..cut], &txs[cut..]] {
            let from = txs.len() - part.len();
            let from = if part.as_ptr() == txs.as_ptr() { 0 } else { from };
            let transactions: Vec<&[u8]> = part.iter().map(Vec::as_slice).collect();
            let block = Block { height: world.height + 1, time_ms: world.time_ms + 1_000, transactions };
            let other = Ledger::new().finalize_block(&world.state, &block).unwrap();
            let outcome = world.block(part);
            prop_assert_eq!(&other, &outcome);
            for (place, result) in outcome.results.iter().enumerate() {
                if code(result).is_none() {
                    consumed.extend(requests[from + place].1.iter().copied());
                }
            }
        }
        let count = consumed.len();
        consumed.sort_unstable();
        consumed.dedup();
        prop_assert_eq!(count, consumed.len());
        for n in 0..6 {
            let spent = world.get::<TxId>(&StateKey::spent(&spent_key(n))).is_some();
            prop_assert_eq!(spent, consumed.contains(&n));
        }
    }
}
