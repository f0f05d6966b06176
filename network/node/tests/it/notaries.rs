//! Capsules on notaries (8.4), and a node that recovers from its keys, the ledger and a notary alone (8.5).

use std::sync::Arc;

use stateset_contracts::InvoiceCommand;
use stateset_ledger_types::Code;
use stateset_ledger_types::ids::TxId;
use stateset_ledger_types::keys::blob_message;
use stateset_node::NotaryCapsules;
use stateset_node::ports::CapsuleStore;
use stateset_node::probe::Always;
use ves::hash::Hasher;

use crate::invoices::live;
use crate::peers::End;
use crate::world::{BUYER, FACTOR, NOTARY, OTHER, SELLER, World, chain_id, create, id};

const COMPANIES: [u8; 4] = [SELLER, BUYER, FACTOR, OTHER];

/// How company `n` reaches the notary.
fn capsules(world: &World, n: u8) -> NotaryCapsules {
    let peers = Arc::new(End { wire: Arc::clone(&world.wire), me: id(n) });
    NotaryCapsules::new(chain_id(), peers, Box::new(|| vec![id(NOTARY)]))
}

#[test]
fn a_node_whose_data_are_destroyed_and_whose_peers_are_gone_recovers_from_the_notary() {
    let mut world = World::with_notary(|_| {});
    live(&world);
    world.issue("2026-2");
    let before = COMPANIES.map(|n| (world.digest(n), world.node(n).vault().unspent_keys().unwrap().len()));
    for (n, (digest, unspent)) in COMPANIES.into_iter().zip(before) {
        for other in COMPANIES.into_iter().filter(|other| *other != n) {
            world.wire.set_down(id(other), true);
        }
        world.wire.set_down(id(n), false);
        let lost = world.companies[&n].vault.clone();
        world.open(n, &format!("new-{n}.db"), Arc::new(Always));
        std::fs::remove_file(lost).unwrap();
        let found = world.node(n).recover().unwrap();
        assert!(found.refused.is_empty(), "company {n}: {found:?}");
        assert_eq!((world.digest(n), found.unspent), (digest, unspent), "company {n}: {found:?}");
    }
    // What is made anew goes on: the factor, too, has what is behind its invoice.
    COMPANIES.iter().for_each(|n| world.wire.set_down(id(*n), false));
    let (place, _) = world.invoice(BUYER);
    world.run(SELLER, Some(place), InvoiceCommand::Void(()), &[]);
    assert_eq!(world.status(BUYER), "VOID");
}

#[test]
fn where_the_network_asks_for_receipts_they_stand_in_the_request() {
    let world = World::with_notary(|genesis| genesis.params.set("capsules_required", 1).unwrap());
    live(&world);
    assert_eq!(world.status(BUYER), "PAID");
}

/// The notary is away: the transaction waits for its receipts, and is notarised when they are there.
#[test]
fn without_receipts_a_transaction_waits() {
    let world = World::with_notary(|genesis| genesis.params.set("capsules_required", 1).unwrap());
    world.wire.set_down(id(NOTARY), true);
    let started = world.start(SELLER, None, create("2026-1"), &[BUYER]).unwrap();
    world.work().unwrap();
    assert_eq!(world.flow(SELLER, &started).phase, "publishing");
    world.wire.set_down(id(NOTARY), false);
    world.settle().unwrap();
    assert_eq!(world.flow(SELLER, &started).phase, "final");
}

/// A store that signs no receipts is none for such a network: the ledger itself refuses.
#[test]
fn the_ledger_refuses_a_capsule_without_receipts() {
    let world = World::of_genesis(|genesis| genesis.params.set("capsules_required", 1).unwrap());
    let started = world.start(SELLER, None, create("2026-1"), &[BUYER]).unwrap();
    world.settle().unwrap();
    let flow = world.flow(SELLER, &started);
    assert_eq!((flow.phase.as_str(), flow.code), ("ended", Some(Code::Expired)), "{flow:?}");
    let said = world.node(SELLER).vault().flow_history(&started.flow_id).unwrap();
    assert!(
        said.iter().any(|step| step.step == "Again"),
        "it was refused for now, and tried again: {said:?}"
    );
}

#[test]
fn a_notary_keeps_what_it_signed_for_and_gives_it_to_any_member() {
    let world = World::with_notary(|_| {});
    // More than one piece.
    let ciphertext: Vec<u8> = (0..1_500_000u32).map(|n| (n % 251) as u8).collect();
    let hash = Hasher::bare().bytes(&ciphertext).finish();
    let receipts = capsules(&world, SELLER).put(&ciphertext).unwrap();
    let [receipt] = &receipts[..] else { panic!("one notary: {receipts:?}") };
    assert_eq!((receipt.notary, receipt.ciphertext_hash), (id(NOTARY), hash));
    assert!(receipt.key.verify(&blob_message(&chain_id(), &hash).0, &receipt.signature));
    assert_eq!(capsules(&world, OTHER).get(&hash), Ok(Some(ciphertext)));
    assert_eq!(capsules(&world, OTHER).get(&ves::Digest([9; 32])), Ok(None));
    world.wire.set_down(id(NOTARY), true);
    let away = capsules(&world, OTHER).get(&hash);
    assert!(away.is_err(), "who can't be asked may have it: {away:?}");
    let nowhere = NotaryCapsules::new(
        chain_id(),
        Arc::new(End { wire: Arc::clone(&world.wire), me: id(OTHER) }),
        Box::new(Vec::new),
    );
    assert!(nowhere.put(b"x").is_err() && nowhere.get(&hash).is_err(), "a network without notaries");
}

/// Who lays much beside a transaction keeps nobody from finding what is meant for it.
#[test]
fn what_a_stranger_lays_beside_a_transaction_keeps_no_node_from_recovering() {
    let mut world = World::with_notary(|_| {});
    let started = world.issue("2026-1");
    let digest = world.digest(BUYER);
    let loud = capsules(&world, OTHER);
    let junk =
        |tx_id: &TxId| (0..100u32).filter(|n| loud.lay_beside(tx_id, &n.to_be_bytes()).is_ok()).count();
    assert_eq!(junk(&started.tx_id), 64, "so many and no more");
    world.open(BUYER, "new.db", Arc::new(Always));
    let found = world.node(BUYER).recover().unwrap();
    assert_eq!((found.recorded.len(), found.refused.len()), (1, 0), "{found:?}");
    assert_eq!(world.digest(BUYER), digest);
}
