//! C17: each kind of proposal, sponsors, deadlines, bounds, and that execution is all or nothing.

use std::collections::BTreeMap;

use stateset_ledger_app::Fault;
use stateset_ledger_app::application::{Application, Block};
use stateset_ledger_types::codec::{List, Set, Text};
use stateset_ledger_types::entity::{Entity, EntityStatus, Role};
use stateset_ledger_types::envelope::Kind;
use stateset_ledger_types::genesis::GenesisValidator;
use stateset_ledger_types::governance::GovernanceMessage as Message;
use stateset_ledger_types::governance::{
    Action, CircuitBreak, CircuitReset, CommitterChange, ContractRecord, ContractStatus, ContractVersion,
    EntityRecord, EntityRevoke, EntitySuspend, MerchantRate, ParamChange, ParamChanges, Proposal,
    ProposalStatus, RecordBases, RootChange, SoftwareUpgrade, Sponsor, Submit, TextAction, ValidatorChange,
    Vote, VoteChoice,
};
use stateset_ledger_types::ids::{ContractId, EntityId};
use stateset_ledger_types::params::ParamName;
use stateset_ledger_types::{Code, StateKey};
use ves::Digest;

use crate::world::{World, certificate, code, entity, id, key_of, root_certificate};

fn submit(actions: Vec<Action>, expedited: bool) -> Message {
    let actions = List::new(actions).unwrap();
    Message::Submit(Box::new(Submit { title: Text::new("title").unwrap(), actions, expedited }))
}

fn text() -> Action {
    Action::Text(TextAction { hash: Digest::ZERO })
}

fn params(changes: &[(&str, u64)]) -> Action {
    let changes: Vec<ParamChange> = changes
        .iter()
        .map(|(name, value)| ParamChange { name: ParamName::new(*name).unwrap(), value: *value })
        .collect();
    Action::ParamChange(ParamChanges { changes: List::new(changes).unwrap() })
}

fn run(world: &mut World, by: u8, message: Message) -> Option<Code> {
    let tx = world.govern(by, message);
    code(&world.run(tx))
}

fn vote(world: &mut World, by: u8, proposal: u64, choice: VoteChoice) -> Option<Code> {
    run(world, by, Message::Vote(Vote { proposal, choice }))
}

fn status(world: &World, id: u64) -> ProposalStatus {
    world.get::<Proposal>(&StateKey::proposal(id)).unwrap().status
}

pub fn member(world: &World, n: u8) -> Entity {
    world.get(&StateKey::entity(&id(n))).unwrap()
}

/// Messages that carry proposal `next` of `actions` through, with who signs them.
pub fn decision(next: u64, actions: Vec<Action>) -> Vec<(u8, Message)> {
    let mut messages = vec![(1, submit(actions, false)), (2, Message::Sponsor(Sponsor { proposal: next }))];
    let vote = |by| (by, Message::Vote(Vote { proposal: next, choice: VoteChoice::Yes }));
    messages.extend((1..=4).map(vote));
    messages
}

/// Sponsors proposal 1 of `actions`, votes as given, and waits until it can have been executed.
pub fn decide(world: &mut World, actions: Vec<Action>, votes: &[VoteChoice]) -> Proposal {
    let next: u64 = world.get(&StateKey::next_proposal()).unwrap();
    assert_eq!(run(world, 1, submit(actions, false)), None);
    assert_eq!(run(world, 2, Message::Sponsor(Sponsor { proposal: next })), None);
    for (by, choice) in (1..).zip(votes) {
        assert_eq!(vote(world, by, next, *choice), None);
    }
    world.empty_blocks(8);
    world.get(&StateKey::proposal(next)).unwrap()
}

pub const ALL_YES: &[VoteChoice] = &[VoteChoice::Yes; 4];

/// Carried out on a fresh chain by everyone's votes.
fn carried_out(actions: Vec<Action>) -> (World, Proposal) {
    let mut world = World::new();
    let proposal = decide(&mut world, actions, ALL_YES);
    (world, proposal)
}

#[test]
fn a_proposal_goes_from_sponsors_over_votes_and_delay_to_execution() {
    let mut world = World::new();
    assert_eq!(run(&mut world, 1, submit(vec![params(&[("max_inputs", 5)])], false)), None);
    assert_eq!(status(&world, 1), ProposalStatus::Submitted);
    assert_eq!(vote(&mut world, 1, 1, VoteChoice::Yes), Some(Code::BadTransition));
    assert_eq!(run(&mut world, 1, Message::Sponsor(Sponsor { proposal: 1 })), Some(Code::BadTransition));
    assert_eq!(run(&mut world, 2, Message::Sponsor(Sponsor { proposal: 2 })), Some(Code::NotFound));
    assert_eq!(run(&mut world, 2, Message::Sponsor(Sponsor { proposal: 1 })), None);
    // Height 5: voting until 10, votes of that height included.
    assert_eq!(status(&world, 1), ProposalStatus::Voting);
    let voting_from = world.height;
    assert_eq!(vote(&mut world, 1, 1, VoteChoice::No), None);
    assert_eq!(vote(&mut world, 1, 1, VoteChoice::Yes), None, "changeable until the end");
    world.empty_blocks(voting_from + 4 - world.height);
    assert_eq!(vote(&mut world, 2, 1, VoteChoice::Yes), None);
    assert_eq!(status(&world, 1), ProposalStatus::Passed);
    assert_eq!(vote(&mut world, 3, 1, VoteChoice::No), Some(Code::BadTransition), "too late");
    assert_eq!(world.params().max_inputs, 64);
    world.block(&[]);
    assert_eq!(status(&world, 1), ProposalStatus::Executed);
    assert_eq!(world.params().max_inputs, 5);
}

#[test]
fn what_nobody_sponsors_expires_and_what_too_few_want_is_rejected() {
    let mut world = World::new();
    assert_eq!(run(&mut world, 1, submit(vec![text()], false)), None);
    world.empty_blocks(4);
    assert_eq!(status(&world, 1), ProposalStatus::Submitted);
    world.empty_blocks(1);
    assert_eq!(status(&world, 1), ProposalStatus::Expired);

    use VoteChoice::{Abstain, No, NoWithVeto, Yes};
    let ends = |actions: Vec<Action>, votes: &[VoteChoice]| decide(&mut World::new(), actions, votes).status;
    assert_eq!(ends(vec![text()], &[Yes]), ProposalStatus::Rejected, "quorum: 1 of 4");
    assert_eq!(ends(vec![text()], &[Yes, Yes]), ProposalStatus::Executed);
    assert_eq!(ends(vec![text()], &[Yes, No]), ProposalStatus::Rejected);
    assert_eq!(ends(vec![text()], &[Yes, Abstain]), ProposalStatus::Executed);
    assert_eq!(ends(vec![text()], &[Yes, Yes, NoWithVeto]), ProposalStatus::Executed, "333 of 1000");
    assert_eq!(ends(vec![text()], &[Yes, NoWithVeto]), ProposalStatus::Vetoed);
    // The strictest action decides: two thirds.
    let root = || Action::RootChange(RootChange { number: 1, certificate: root_certificate(201) });
    assert_eq!(ends(vec![text(), root()], &[Yes, Yes, No]), ProposalStatus::Executed);
    assert_eq!(ends(vec![text(), root()], &[Yes, Yes, No, No]), ProposalStatus::Rejected);
    assert_eq!(ends(vec![text(), root()], &[Yes, Yes, Yes, No]), ProposalStatus::Executed);
}

#[test]
fn only_those_of_the_start_vote_with_their_weight() {
    let mut world = World::new();
    assert_eq!(run(&mut world, 1, submit(vec![text()], false)), None);
    assert_eq!(run(&mut world, 2, Message::Sponsor(Sponsor { proposal: 1 })), None);
    assert_eq!(vote(&mut world, 9, 1, VoteChoice::Yes), Some(Code::UnknownEntity));
}

#[test]
fn parameters_keep_to_their_bounds_and_all_or_nothing_changes() {
    let (world, proposal) = carried_out(vec![params(&[("max_inputs", 5), ("max_policy_keys", 17)])]);
    assert_eq!(proposal.status, ProposalStatus::Failed);
    assert!(proposal.reason.contains("max_policy_keys = 17 is outside 1 to 16"), "{}", proposal.reason);
    assert_eq!(world.params().max_inputs, 64);
    let (world, proposal) = carried_out(vec![params(&[("max_inputs", 5)]), params(&[("nothing", 1)])]);
    assert_eq!(proposal.status, ProposalStatus::Failed);
    assert_eq!(world.params().max_inputs, 64);
}

#[test]
fn old_parameters_may_be_named_within_their_grace() {
    let mut genesis = crate::world::genesis();
    genesis.params.set("params_grace_blocks", 8).unwrap();
    let mut world = World::of(&genesis);
    let old = world.header();
    let proposal = decide(&mut world, vec![params(&[("max_inputs", 5)])], ALL_YES);
    assert_eq!(proposal.status, ProposalStatus::Executed);
    let changed_at = proposal.deadline_height;
    let at = |world: &mut World, salt| {
        let whole = crate::world::private_body(old.clone(), salt, &[salt], &[], None);
        let seq = world.next_seq(3);
        let tx = crate::world::submit_private(
            &whole,
            stateset_ledger_types::tree::Mode::Private,
            3,
            seq,
            &[salt],
            &[],
        );
        code(&world.run(tx))
    };
    // In force until the height before the change; grace of eight blocks.
    assert!(world.height < changed_at + 7, "the test looks at the edge");
    while world.height + 1 < changed_at + 7 {
        world.block(&[]);
    }
    assert_eq!(at(&mut world, 1), None);
    assert_eq!(at(&mut world, 2), Some(Code::ParamsMismatch));
}

pub fn record(n: u8) -> Box<EntityRecord> {
    Box::new(EntityRecord { record: entity(n), certificates: List::new([certificate(n)]).unwrap() })
}

#[test]
fn members_are_admitted_changed_and_revoked() {
    let (mut world, proposal) = carried_out(vec![Action::EntityAdmit(record(5))]);
    assert_eq!(proposal.status, ProposalStatus::Executed);
    let Action::EntityAdmit(kept) = &proposal.content.actions[0] else { panic!("{proposal:?}") };
    assert!(kept.certificates.is_empty(), "names of persons may stand in certificates");
    assert_eq!(kept.record, entity(5));
    assert_eq!(world.get::<EntityId>(&StateKey::cert(&entity(5).cert_hash)), Some(id(5)));
    let tx = world.private(5, 1, &[10], &[]);
    assert_eq!(code(&world.run(tx)), None);

    let again = decide(&mut world, vec![Action::EntityAdmit(record(5))], ALL_YES);
    assert_eq!(again.status, ProposalStatus::Failed, "{}", again.reason);
    let mut other = record(5);
    other.record.name = Text::new("Renamed").unwrap();
    assert_eq!(
        decide(&mut world, vec![Action::EntityUpdate(other)], ALL_YES).status,
        ProposalStatus::Executed
    );
    assert_eq!(member(&world, 5).name.as_str(), "Renamed");
    let mut uncertified = record(5);
    uncertified.certificates = List::new([certificate(6)]).unwrap();
    assert_eq!(
        decide(&mut world, vec![Action::EntityUpdate(uncertified)], ALL_YES).status,
        ProposalStatus::Failed
    );

    let revoke = Action::EntityRevoke(EntityRevoke { entity: id(5), reason: Text::default() });
    assert_eq!(decide(&mut world, vec![revoke], ALL_YES).status, ProposalStatus::Executed);
    assert_eq!(member(&world, 5).status, EntityStatus::Revoked);
    let tx = world.private(5, 2, &[11], &[]);
    assert_eq!(code(&world.run(tx)), Some(Code::EntityNotActive));
    let back = decide(&mut world, vec![Action::EntityUpdate(record(5))], ALL_YES);
    assert_eq!(back.status, ProposalStatus::Failed, "revoked for good");
}

/// An update names a whole record. What was decided on it meanwhile stands.
#[test]
fn an_update_takes_back_nothing_that_was_decided_meanwhile() {
    let mut world = World::new();
    let update = |change: fn(&mut Entity)| {
        let mut record = record(3);
        change(&mut record.record);
        Action::EntityUpdate(record)
    };
    let factor = update(|entity| entity.roles = entity.roles.with(Role::Factor));
    let lender = update(|entity| entity.roles = entity.roles.with(Role::Lender));
    for (id, action) in [(1, factor), (2, lender)] {
        for (by, message) in decision(id, vec![action]) {
            assert_eq!(run(&mut world, by, message), None);
        }
    }
    world.empty_blocks(12);
    assert_eq!([1, 2].map(|id| status(&world, id)), [ProposalStatus::Executed, ProposalStatus::Failed]);
    let failed: Proposal = world.get(&StateKey::proposal(2)).unwrap();
    assert!(failed.reason.as_str().contains("has changed since"), "{}", failed.reason);
    assert!(member(&world, 3).roles.has(Role::Factor));

    // A suspension in between stands, whatever the record said when it was proposed.
    let renamed = Action::EntityUpdate(Box::new(EntityRecord {
        record: Entity { name: Text::new("Renamed").unwrap(), ..member(&world, 3) },
        certificates: record(3).certificates,
    }));
    for (by, message) in decision(3, vec![renamed]) {
        assert_eq!(run(&mut world, by, message), None);
    }
    let suspend = EntitySuspend { entity: id(3), reason: Text::default(), until: None };
    assert_eq!(run(&mut world, 1, submit(vec![Action::EntitySuspend(suspend)], true)), None);
    for by in 1..=2 {
        assert_eq!(vote(&mut world, by, 4, VoteChoice::Yes), None);
    }
    world.empty_blocks(12);
    assert_eq!((status(&world, 3), status(&world, 4)), (ProposalStatus::Failed, ProposalStatus::Executed));
    assert_eq!(member(&world, 3).status, EntityStatus::Suspended);
    assert_eq!(world.get::<RecordBases>(&StateKey::record_bases(3)), None, "nothing is left behind");
}

/// Messages of governance name no member: a signature by a key of two records would be that of either.
#[test]
fn no_key_is_in_two_records() {
    let mut taken = record(3);
    let mut keys = taken.record.keys.to_vec();
    keys.extend(entity(1).keys.iter().take(1).cloned());
    taken.record.keys = List::new(keys).unwrap();
    let (_, refused) = carried_out(vec![Action::EntityUpdate(taken)]);
    assert_eq!(refused.status, ProposalStatus::Failed);
    assert!(refused.reason.as_str().contains(&format!("is of {}", id(1))), "{}", refused.reason);
}

#[test]
fn validators_change_and_the_last_one_stays() {
    let key = |n: u8| Digest(key_of(n + 100).public_key());
    let change = |n, power| Action::ValidatorChange(ValidatorChange { entity: id(n), key: key(n), power });
    let mut world = World::new();
    let expected = BTreeMap::from([(key(2), 0), (key(1), 30)]);
    assert_eq!(validators_told(&mut world, vec![change(2, 0), change(1, 30)]), expected);
    assert_eq!(decide(&mut world, vec![change(1, 0)], ALL_YES).status, ProposalStatus::Failed);
    assert_eq!(decide(&mut world, vec![change(3, 1)], ALL_YES).status, ProposalStatus::Failed, "no NOTARY");
}

/// What the engine hears while `actions` are decided on and carried out, by key.
fn validators_told(world: &mut World, actions: Vec<Action>) -> BTreeMap<Digest, u64> {
    let next: u64 = world.get(&StateKey::next_proposal()).unwrap();
    for (by, message) in decision(next, actions) {
        assert_eq!(run(world, by, message), None);
    }
    let told: Vec<_> = (0..8).flat_map(|_| world.block(&[]).validators).collect();
    assert_eq!(status(world, next), ProposalStatus::Executed);
    told.into_iter().map(|update| (Digest(update.public_key), update.power)).collect()
}

/// CometBFT ends, on every node and at every start, on the removal of a validator that it does not have.
#[test]
fn validators_that_end_as_they_began_are_not_told() {
    let key = |n: u8| Digest(key_of(n + 100).public_key());
    let change = |n, power| Action::ValidatorChange(ValidatorChange { entity: id(n), key: key(n), power });
    let mut world = World::new();
    let before: GenesisValidator = world.get(&StateKey::validator(&key(2))).unwrap();
    let gone_and_back = vec![change(2, 0), change(2, before.power)];
    assert_eq!(validators_told(&mut world, gone_and_back), BTreeMap::new());
    let removed = validators_told(&mut world, vec![change(2, 7), change(2, 0)]);
    assert_eq!(removed, BTreeMap::from([(key(2), 0)]));
    // The one that is out now comes and goes at one height.
    assert_eq!(validators_told(&mut world, vec![change(2, 7), change(2, 0)]), BTreeMap::new());
    assert_eq!(world.get::<GenesisValidator>(&StateKey::validator(&key(2))), None);
}

#[test]
fn contracts_are_registered_activated_and_deprecated() {
    let version = |code: u8| ContractVersion {
        contract_id: ContractId::new("native:invoice").unwrap(),
        version: 1,
        code_hash: Digest([code; 32]),
    };
    let (mut world, proposal) = carried_out(vec![Action::ContractRegister(version(1))]);
    assert_eq!(proposal.status, ProposalStatus::Executed);
    let key = StateKey::contract(&version(1).contract_id, 1);
    let now = |world: &World| world.get::<ContractRecord>(&key).unwrap().status;
    assert_eq!(now(&world), ContractStatus::Inactive);
    decide(&mut world, vec![Action::ContractActivate(version(1))], ALL_YES);
    assert_eq!(now(&world), ContractStatus::Active);
    let other = decide(&mut world, vec![Action::ContractDeprecate(version(2))], ALL_YES);
    assert_eq!(other.status, ProposalStatus::Failed, "another code");
    decide(&mut world, vec![Action::ContractDeprecate(version(1))], ALL_YES);
    assert_eq!(now(&world), ContractStatus::Deprecated);
}

#[test]
fn notaries_break_and_close_a_circuit_at_once() {
    let mut world = World::new();
    let kinds = || Set::new([Kind::Notarise]).unwrap();
    let stop = Action::CircuitBreak(CircuitBreak { kinds: kinds(), until: 50_000_000 });
    assert_eq!(run(&mut world, 3, submit(vec![stop.clone()], false)), Some(Code::Malformed));
    assert_eq!(run(&mut world, 3, submit(vec![text()], true)), Some(Code::Malformed));
    assert_eq!(run(&mut world, 3, submit(vec![stop], true)), None);
    assert_eq!(vote(&mut world, 3, 1, VoteChoice::Yes), Some(Code::NotAuthorised), "no NOTARY");
    assert_eq!(vote(&mut world, 1, 1, VoteChoice::Yes), None);
    assert_eq!(status(&world, 1), ProposalStatus::Voting);
    assert_eq!(vote(&mut world, 2, 1, VoteChoice::Yes), None);
    assert_eq!(status(&world, 1), ProposalStatus::Executed);
    let tx = world.private(3, 1, &[10], &[]);
    assert_eq!(code(&world.run(tx)), Some(Code::CircuitOpen));
    let reset = Action::CircuitReset(CircuitReset { kinds: kinds() });
    assert_eq!(run(&mut world, 1, submit(vec![reset], true)), None);
    assert_eq!(vote(&mut world, 1, 2, VoteChoice::Yes), None);
    assert_eq!(vote(&mut world, 2, 2, VoteChoice::Yes), None);
    let tx = world.private(3, 2, &[10], &[]);
    assert_eq!(code(&world.run(tx)), None);
}

#[test]
fn an_upgrade_stops_a_program_that_lacks_it() {
    let mut world = World::new();
    let plan = |height| {
        Action::SoftwareUpgrade(SoftwareUpgrade {
            name: Text::new("two").unwrap(),
            height,
            binary_hash: Digest::ZERO,
            info: Text::default(),
        })
    };
    assert_eq!(run(&mut world, 3, submit(vec![plan(20)], false)), Some(Code::NotAuthorised), "no COMMITTER");
    assert_eq!(decide(&mut world, vec![plan(20)], ALL_YES).status, ProposalStatus::Executed);
    while world.height < 19 {
        world.block(&[]);
    }
    let block = Block { height: 20, time_ms: world.time_ms + 1, transactions: Vec::new() };
    let needed = world.ledger.finalize_block(&world.state, &block);
    assert!(matches!(needed, Err(Fault::UpgradeNeeded(_))), "{needed:?}");
}

#[test]
fn committers_and_rates_are_set() {
    let change = Action::CommitterChange(CommitterChange { entities: Set::new([id(2), id(3)]).unwrap() });
    let rate = Action::MerchantRate(MerchantRate { merchant: id(2), bps: Some(100) });
    let (world, proposal) = carried_out(vec![change, rate]);
    assert_eq!(proposal.status, ProposalStatus::Executed);
    let committers: Vec<bool> = (1..=4).map(|n| member(&world, n).roles.has(Role::Committer)).collect();
    assert_eq!(committers, [false, true, true, false]);
    assert_eq!(world.get::<u16>(&StateKey::merchant(&id(2))), Some(100));
    let too_much = Action::MerchantRate(MerchantRate { merchant: id(2), bps: Some(10_001) });
    assert_eq!(carried_out(vec![too_much]).1.status, ProposalStatus::Failed);
}

#[test]
fn attesters_are_named_by_two_thirds_and_only_those_with_the_role() {
    use stateset_ledger_types::body::Header;
    use stateset_ledger_types::governance::{AttesterPolicy, AttestersChange};
    use stateset_ledger_types::tree::Mode;
    let change = |id: u32, threshold, entities: &[u8]| {
        let entities = Set::new(entities.iter().map(|n| crate::world::id(*n))).unwrap();
        Action::AttestersChange(AttestersChange { id, policy: Some(AttesterPolicy { threshold, entities }) })
    };
    let remove = |id| Action::AttestersChange(AttestersChange { id, policy: None });
    use VoteChoice::{No, Yes};
    let half = decide(&mut World::new(), vec![change(1, 1, &[3])], &[Yes, Yes, No, No]);
    assert_eq!(half.status, ProposalStatus::Rejected);
    for bad in [change(1, 0, &[3]), change(1, 2, &[3]), change(1, 1, &[1, 3]), change(1, 1, &[9]), remove(8)]
    {
        let failed = carried_out(vec![bad]).1;
        assert_eq!(failed.status, ProposalStatus::Failed, "{failed:?}");
    }
    let (mut world, done) = carried_out(vec![change(1, 1, &[3]), remove(7)]);
    assert_eq!(done.status, ProposalStatus::Executed, "{}", done.reason);
    let attested = |world: &mut World, policy, n: u8| {
        let header = Header { attester_policy: Some(policy), ..world.header() };
        let whole = crate::world::private_body(header, n, &[n], &[], None);
        let seq = world.next_seq(2);
        let tx = crate::world::submit_private(&whole, Mode::Attested, 2, seq, &[n], &[3]);
        code(&world.run(tx))
    };
    assert_eq!(attested(&mut world, 1, 10), None);
    assert_eq!(attested(&mut world, 7, 11), Some(Code::AttestationMissing), "removed");
}

#[test]
fn a_denomination_has_eighteen_places_at_most() {
    use stateset_ledger_types::bank::DenomRecord;
    use stateset_ledger_types::ids::Denom;

    let add = |exponent| {
        let record = DenomRecord { denom: Denom::new("wei").unwrap(), exponent };
        carried_out(vec![Action::DenomAdd(record)]).1.status
    };
    assert_eq!((add(18), add(19)), (ProposalStatus::Executed, ProposalStatus::Failed));
}

#[test]
fn a_new_denomination_begins_with_nothing_and_is_minted_by_its_issuer() {
    use stateset_ledger_types::bank::{BankCommand, DenomRecord, Mint};
    use stateset_ledger_types::ids::{Amount, Denom, Units};
    let points = || Denom::new("points").unwrap();
    let add = |denom| Action::DenomAdd(DenomRecord { denom, exponent: 0 });
    let (mut world, done) = carried_out(vec![add(points())]);
    assert_eq!(done.status, ProposalStatus::Executed, "{}", done.reason);
    assert_eq!(world.get::<Units>(&StateKey::supply(&points())), Some(Units(0)));
    let mint = |world: &mut World, salt| {
        let amount = Amount { denom: points(), units: Units(7) };
        let mint = BankCommand::Mint(Mint { issuer: id(4), to: id(2).account(), amount });
        let tx = world.pay(4, salt, &[mint]);
        code(&world.run(tx))
    };
    assert_eq!(mint(&mut world, 1), Some(Code::NotAuthorised), "nobody is its issuer yet");
    let mut issuer = record(4);
    issuer.record.issuer_of = Set::new([points()]).unwrap();
    assert_eq!(
        decide(&mut world, vec![Action::EntityUpdate(issuer)], ALL_YES).status,
        ProposalStatus::Executed
    );
    assert_eq!(mint(&mut world, 2), None);
    assert_eq!(world.get::<Units>(&StateKey::balance(&id(2).account(), &points())), Some(Units(7)));
    for again in [points(), Denom::new("ibc/0").unwrap()] {
        assert_eq!(decide(&mut world, vec![add(again)], ALL_YES).status, ProposalStatus::Failed);
    }
}
