//! Section 1.1 on the chain: who is certified, by which root, at which exact block.

use stateset_ledger_app::Ledger;
use stateset_ledger_app::application::Application;
use stateset_ledger_types::StateKey;
use stateset_ledger_types::codec::{Blob, List};
use stateset_ledger_types::entity::Entity;
use stateset_ledger_types::governance::{Action, EntityRecord, Proposal, ProposalStatus, RootChange};
use stateset_ledger_types::keys::Purpose;
use ves::hash::Hasher;

use crate::governance::{ALL_YES, decide, member, record};
use crate::world::{CERTIFIED_UNTIL, World, certificate, certificate_by, genesis, id, root_certificate};

/// The record of entity `n` with another certificate.
fn certified(n: u8, certificate: Blob<8192>) -> Box<EntityRecord> {
    let mut record = record(n);
    record.record.cert_hash = Hasher::bare().bytes(&certificate).finish();
    record.certificates = List::new([certificate]).unwrap();
    record
}

fn admit(world: &mut World, record: Box<EntityRecord>) -> Proposal {
    decide(world, vec![Action::EntityAdmit(record)], ALL_YES)
}

fn refused(record: Box<EntityRecord>) -> String {
    let mut world = World::new();
    let proposal = admit(&mut world, record.clone());
    assert_eq!(proposal.status, ProposalStatus::Failed);
    assert_eq!(world.get::<Entity>(&StateKey::entity(&record.record.entity_id)), None);
    assert_eq!(
        world.get::<stateset_ledger_types::ids::EntityId>(&StateKey::cert(&record.record.cert_hash)),
        None
    );
    proposal.reason.to_string()
}

#[test]
fn a_certificate_that_does_not_hold_admits_nobody() {
    let other_root = refused(certified(5, certificate_by(201, 5, 0, CERTIFIED_UNTIL)));
    assert_eq!(other_root, "INVARIANT: the certificate of the entity is not signed by its issuer's key");
    let mut wrong_subject = certified(5, certificate(6));
    assert!(refused(wrong_subject.clone()).contains("is of entity"), "the id is that of company 5");
    wrong_subject.record.entity_id = id(6);
    assert!(refused(wrong_subject).contains("is not among the entity's keys with this purpose"));
    let root_itself = certified(5, root_certificate(200));
    assert!(refused(root_itself).contains("names itself as its issuer, as a root does"));
    assert!(refused(certified(5, Blob::new([1; 40]).unwrap())).contains("it is not DER"));
    let mut long = record(5);
    long.certificates = List::new([certificate(5), certificate(5), root_certificate(200)]).unwrap();
    assert!(refused(long).contains("3 certificates are too many: 2 at most, without the root"));
    let mut revoked = record(5);
    let mut keys = revoked.record.keys.to_vec();
    let identity = keys.iter_mut().find(|key| key.purpose == Purpose::Identity).unwrap();
    identity.revoked_at = Some(0);
    revoked.record.keys = List::new(keys).unwrap();
    assert!(refused(revoked).contains("is revoked or not valid now"));
}

#[test]
fn without_a_root_nobody_is_admitted() {
    let mut genesis = genesis();
    genesis.roots = List::default();
    let proposal = admit(&mut World::of(&genesis), record(5));
    assert_eq!(proposal.status, ProposalStatus::Failed);
    assert_eq!(proposal.reason.as_str(), "INVARIANT: the network has no root named CN=Network Root");
}

/// C19 for certificates: time is that of the block that carries the admission out, to the second that a certificate
/// can say, and every node finds the same.
#[test]
fn a_certificate_holds_to_the_exact_block() {
    let mut world = World::new();
    let from_height = world.height;
    let proposal = admit(&mut world, record(5));
    assert_eq!(proposal.status, ProposalStatus::Executed);
    // Blocks are a second apart.
    let genesis_time = genesis().genesis_time;
    let carried_out_at = genesis_time + (proposal.deadline_height - from_height) * 1_000;
    let ends = |from_ms, until_ms| {
        let run = || {
            let mut world = World::new();
            let proposal = admit(&mut world, certified(5, certificate_by(200, 5, from_ms, until_ms)));
            (proposal, world.state.rows())
        };
        let (first, second) = (run(), run());
        assert!(first == second, "the same blocks make the same state");
        (first.0.status, first.0.reason.to_string())
    };
    let executed = (ProposalStatus::Executed, String::new());
    assert_eq!(ends(carried_out_at, carried_out_at), executed);
    let (status, reason) = ends(0, carried_out_at - 1_000);
    assert_eq!(status, ProposalStatus::Failed);
    let said = format!("expired: it held until {} ms, it is {carried_out_at}", carried_out_at - 1);
    assert!(reason.contains(&said), "{reason}");
    let (status, reason) = ends(carried_out_at + 1_000, CERTIFIED_UNTIL);
    assert_eq!(status, ProposalStatus::Failed);
    assert!(
        reason.contains(&format!("holds from {} ms on, it is {carried_out_at}", carried_out_at + 1_000)),
        "{reason}"
    );
}

#[test]
fn a_new_certificate_is_judged_and_the_one_there_is_not_again() {
    let mut world = World::new();
    let until = world.time_ms + 14_000;
    let short = || certified(5, certificate_by(200, 5, 0, until));
    assert_eq!(admit(&mut world, short()).status, ProposalStatus::Executed);
    world.empty_blocks(10);
    assert!(world.time_ms > until + 1_000, "it has expired");
    // Its key can still be revoked.
    let mut revoked = short();
    let mut keys = revoked.record.keys.to_vec();
    keys.iter_mut().for_each(|key| key.revoked_at = Some(1));
    revoked.record.keys = List::new(keys).unwrap();
    let proposal = decide(&mut world, vec![Action::EntityUpdate(revoked)], ALL_YES);
    assert_eq!(proposal.status, ProposalStatus::Executed, "{}", proposal.reason);
    assert!(member(&world, 5).keys.iter().all(|key| key.revoked_at == Some(1)));
    // A certificate that comes new has to hold.
    let expired = certified(5, certificate_by(200, 5, 0, until - 1_000));
    let proposal = decide(&mut world, vec![Action::EntityUpdate(expired)], ALL_YES);
    assert_eq!(proposal.status, ProposalStatus::Failed);
    let renewed = certified(5, certificate(5));
    let proposal = decide(&mut world, vec![Action::EntityUpdate(renewed.clone())], ALL_YES);
    assert_eq!(proposal.status, ProposalStatus::Executed, "{}", proposal.reason);
    assert_eq!(member(&world, 5).cert_hash, renewed.record.cert_hash);
}

#[test]
fn roots_change_by_governance_and_are_roots() {
    let change = |number, certificate| vec![Action::RootChange(RootChange { number, certificate })];
    let mut world = World::new();
    let proposal = decide(&mut world, change(1, Blob::new([1]).unwrap()), ALL_YES);
    assert_eq!(proposal.status, ProposalStatus::Failed);
    assert!(proposal.reason.starts_with("INVARIANT: root 1: it is not DER"), "{}", proposal.reason);
    let proposal = decide(&mut world, change(1, certificate(5)), ALL_YES);
    assert!(
        proposal.reason.contains("no certificate authority signed by its own key"),
        "{}",
        proposal.reason
    );
    // A root renews its key: the old one certifies on, the new one does too, and the ids stay.
    assert_eq!(
        decide(&mut world, change(1, root_certificate(201)), ALL_YES).status,
        ProposalStatus::Executed
    );
    let by_new = certified(5, certificate_by(201, 5, 0, CERTIFIED_UNTIL));
    assert_eq!(admit(&mut world, by_new).status, ProposalStatus::Executed);
    assert_eq!(admit(&mut world, record(6)).status, ProposalStatus::Executed);
    assert_eq!(decide(&mut world, change(0, Blob::default()), ALL_YES).status, ProposalStatus::Executed);
    let proposal = admit(&mut world, record(7));
    assert_eq!(
        proposal.reason.as_str(),
        "INVARIANT: the certificate of the entity is not signed by its issuer's key"
    );
}

#[test]
fn a_genesis_has_roots_or_is_refused_by_the_number_of_what_is_none() {
    let with = |roots: Vec<Blob<8192>>| {
        let mut genesis = genesis();
        genesis.roots = List::new(roots).unwrap();
        Ledger::new().init_chain(genesis.to_json().as_bytes()).map(drop)
    };
    assert_eq!(with(vec![root_certificate(200), root_certificate(201)]), Ok(()));
    let refused = with(vec![root_certificate(200), certificate(5)]).unwrap_err();
    assert_eq!(refused, "genesis: root 1: it is no certificate authority signed by its own key");
}
