//! Those who are not whom they say, and networks that are not this one: each refused by name.

use std::sync::Arc;

use stateset_ledger_types::entity::EntityStatus;
use stateset_ledger_types::ids::ChainId;
use stateset_ledger_types::keys::{KeyRecord, Purpose};
use stateset_ledger_types::x509::{ChainError, Kind};
use stateset_peer::message::RejectCode;
use stateset_peer::{Config, ConnectionError, MemberError, MemoryStore, Peers, StartError};
use ves::Digest;

use crate::world::{
    Company, DAY, Ledger, Node, Party, ROOT, State, config, numbered, session, start, start_with,
};

/// What `a` finds when it dials the node of `b` that sees `ledger_of_b`, while `a` sees `change` in its own state.
async fn dialled(change: impl FnOnce(&mut State, &Company)) -> Result<(), ConnectionError> {
    let (a, b) = (Company::new(1), Company::new(2));
    let ledger = Ledger::of(&[&a, &b]);
    let own = ledger.copy();
    let (left, right) = (start(&a, &own).await, start(&b, &ledger).await);
    own.change(|state| change(state, &b));
    left.knows(&right);
    left.peers.connect(b.id).await
}

fn chain(error: ChainError) -> Result<(), ConnectionError> {
    Err(ConnectionError::Certificate(MemberError::Chain(error)))
}

#[tokio::test]
async fn members_are_let_in() {
    assert_eq!(dialled(|_, _| {}).await, Ok(()));
}

#[tokio::test]
async fn a_node_under_an_unknown_root_is_refused() {
    let other = |state: &mut State, _: &Company| state.roots = vec![Party::new("CN=Other Root", 50).root()];
    assert_eq!(dialled(other).await, chain(ChainError::UnknownRoot(ROOT.to_owned())));
    let same_name = |state: &mut State, _: &Company| state.roots = vec![Party::new(ROOT, 50).root()];
    assert_eq!(dialled(same_name).await, chain(ChainError::Signature(Kind::Entity)));
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_refused() {
    let later = |state: &mut State, _: &Company| state.now_ms += 2 * DAY;
    assert!(matches!(
        dialled(later).await,
        Err(ConnectionError::Certificate(MemberError::Chain(ChainError::Expired { kind: Kind::Node, .. })))
    ));
}

#[tokio::test]
async fn entities_that_are_not_active_and_keys_that_are_revoked_are_refused() {
    let suspended = |state: &mut State, b: &Company| {
        state.entities.get_mut(&b.id).unwrap().status = EntityStatus::Suspended
    };
    let b = Company::new(2);
    let not_active = ChainError::NotActive { entity: b.id, status: EntityStatus::Suspended };
    assert_eq!(dialled(suspended).await, chain(not_active));
    let revoked = |state: &mut State, b: &Company| {
        let entity = state.entities.get_mut(&b.id).unwrap();
        let transport =
            KeyRecord { revoked_at: Some(0), ..KeyRecord::new(Purpose::NodeTransport, b.node.key) };
        entity.keys =
            stateset_ledger_types::codec::List::new(vec![entity.keys[0].clone(), transport]).unwrap();
    };
    assert_eq!(dialled(revoked).await, chain(ChainError::KeyNotLive(b.node.key.id())));
    let replaced =
        |state: &mut State, b: &Company| state.entities.get_mut(&b.id).unwrap().cert_hash = Digest([1; 32]);
    assert!(matches!(
        dialled(replaced).await,
        Err(ConnectionError::Certificate(MemberError::Chain(ChainError::OtherCertificate { .. })))
    ));
    let unknown = |state: &mut State, b: &Company| drop(state.entities.remove(&b.id));
    assert_eq!(dialled(unknown).await, Err(ConnectionError::Certificate(MemberError::UnknownEntity(b.id))));
}

#[tokio::test]
async fn a_member_at_the_address_of_another_is_refused() {
    let (a, b, c) = (Company::new(1), Company::new(2), Company::new(3));
    let ledger = Ledger::of(&[&a, &b, &c]);
    let (left, third) = (start(&a, &ledger).await, start(&c, &ledger).await);
    left.peers.know(b.id, vec![third.address()]);
    let other = MemberError::OtherEntity { expected: b.id, found: c.id };
    assert_eq!(left.peers.connect(b.id).await, Err(ConnectionError::Certificate(other)));
}

/// A stranger with a network of its own, of the same names, dials a member.
#[tokio::test]
async fn a_dialler_with_certificates_of_its_own_making_is_refused_and_not_heard() {
    let (a, b) = (Company::new(1), Company::new(2));
    let ledger = Ledger::of(&[&a, &b]);
    let mut victim = start(&b, &ledger).await;
    let forger = Party::new(ROOT, 66);
    let mallory = Company::under(&forger, 1);
    assert_eq!(mallory.id, a.id, "it claims to be the member");
    // It believes both itself and the member.
    let own = ledger.copy();
    own.change(|state| {
        state.roots.push(forger.root());
        state.entities.insert(mallory.id, mallory.record());
    });
    let stranger = start(&mallory, &own).await;
    stranger.knows(&victim);
    stranger.peers.send(b.id, session(1), &numbered(1)).await.unwrap();
    let refused = stranger.peers.connect(b.id).await;
    assert!(matches!(&refused, Err(ConnectionError::Tls(_) | ConnectionError::Broken(_))), "{refused:?}");
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(victim.arrived.try_recv().is_err());
    assert!(victim.peers.status().is_empty(), "nothing is kept of strangers");
}

async fn pair(of_left: Config, of_right: Config, change: impl FnOnce(&mut State)) -> (Node, Node) {
    let (a, b) = (Company::new(1), Company::new(2));
    let ledger = Ledger::of(&[&a, &b]);
    let own = ledger.copy();
    own.change(change);
    let store = || Arc::new(MemoryStore::default());
    let left = start_with(&a, &own, store(), of_left).await.unwrap();
    let right = start_with(&b, &ledger, store(), of_right).await.unwrap();
    left.knows(&right);
    (left, right)
}

fn refused_with(found: Result<(), ConnectionError>, code: RejectCode) {
    match found {
        Err(ConnectionError::Refused(reject) | ConnectionError::RefusedByPeer(reject)) => {
            assert_eq!(reject.code, code, "{reject}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn another_chain_is_refused_on_both_sides() {
    let (a, b) = (Company::new(1), Company::new(2));
    let elsewhere = Config { chain_id: ChainId::new("other-1").unwrap(), ..config(&a) };
    let (left, right) = pair(elsewhere, config(&b), |_| {}).await;
    refused_with(left.peers.connect(right.id).await, RejectCode::OtherChain);
}

#[tokio::test]
async fn other_contracts_at_the_same_height_are_refused_by_whoever_can_tell() {
    let (a, b) = (Company::new(1), Company::new(2));
    let (left, right) =
        pair(config(&a), config(&b), |state| state.head.contract_set_hash = Digest([8; 32])).await;
    refused_with(left.peers.connect(right.id).await, RejectCode::OtherContracts);
    // The one who is behind cannot tell; the one who is ahead can.
    let behind = |state: &mut State| {
        state.head.height = 5;
        state.head.contract_set_hash = Digest([8; 32]);
    };
    let (left, right) = pair(config(&a), config(&b), behind).await;
    refused_with(left.peers.connect(right.id).await, RejectCode::OtherContracts);
    let (left, right) = pair(config(&a), config(&b), |state| state.head.height = 5).await;
    assert_eq!(left.peers.connect(right.id).await, Ok(()), "another height alone is no reason");
}

#[tokio::test]
async fn a_node_does_not_start_with_a_certificate_that_peers_would_refuse() {
    let (a, b) = (Company::new(1), Company::new(2));
    let ledger = Ledger::of(&[&b]);
    let start = |company: &Company, config: Config| {
        let (identity, ledger) = (company.identity(), ledger.clone());
        let (sender, _) = tokio::sync::mpsc::unbounded_channel();
        let handler = crate::world::Inbox::new(sender, company.chain.clone());
        Peers::start(config, identity, ledger, Arc::new(MemoryStore::default()), Arc::new(handler))
    };
    let refused = start(&a, config(&a)).await;
    assert!(matches!(refused, Err(StartError::Certificate(MemberError::UnknownEntity(id))) if id == a.id));
    let refused = start(&b, config(&a)).await;
    assert!(
        matches!(refused, Err(StartError::OtherEntity { expected, found }) if (expected, found) == (a.id, b.id))
    );
}
