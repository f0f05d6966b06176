//! Receipts of capsules, where the network asks for them (8.4): f + 1 notaries of n >= 3 f + 1 for each capsule.

use stateset_ledger_types::Code;
use stateset_ledger_types::codec::List;
use stateset_ledger_types::entity::{Role, Roles};
use stateset_ledger_types::envelope::{BlobReceipt, Request};
use stateset_ledger_types::genesis::GenesisValidator;
use stateset_ledger_types::keys::{KeyRecord, Purpose, blob_message};
use stateset_ledger_types::tree::Mode;
use ves::Digest;

use crate::world::{
    World, chain, code, genesis, id, key_of, notarise, private_body, public_key, sign, signed,
};

/// Four validators, so that one may fail, of members 1 to 3, which are notaries: the first has two.
fn world() -> World {
    let mut genesis = genesis();
    genesis.params.set("capsules_required", 1).unwrap();
    let mut entities = genesis.entities.to_vec();
    entities[2].roles = Roles::of(&[Role::Member, Role::Notary, Role::Attester]);
    let second = KeyRecord::new(Purpose::ValidatorConsensus, public_key(150));
    entities[0].keys = List::new([entities[0].keys.to_vec(), vec![second]].concat()).unwrap();
    genesis.entities = List::new(entities).unwrap();
    let validators = [(1, 101), (2, 102), (3, 103), (1, 150)].map(|(n, key)| GenesisValidator {
        entity: id(n),
        key: Digest(key_of(key).public_key()),
        power: 10,
    });
    genesis.validators = List::new(validators).unwrap();
    World::of(&genesis)
}

/// A receipt that `by` signs for the ciphertext of transaction `salt`, in the name of `notary`.
fn receipt(notary: u8, by: u8, salt: u8) -> BlobReceipt {
    let ciphertext_hash = Digest([salt; 32]);
    let signature = sign(by, &blob_message(&chain(), &ciphertext_hash));
    BlobReceipt { notary: id(notary), ciphertext_hash, key: public_key(by), signature }
}

fn run(world: &mut World, salt: u8, receipts: &[BlobReceipt]) -> Option<Code> {
    let whole = private_body(world.header(), salt, &[salt], &[], None);
    let seq = world.next_seq(1);
    let mut request = notarise(&whole, Mode::Private, (1, seq), &[salt], &[]);
    request.receipts = List::new(receipts.to_vec()).unwrap();
    let tx = signed(Request::Notarise(Box::new(request)), 1);
    code(&world.run(tx))
}

#[test]
fn a_capsule_needs_receipts_of_one_notary_more_than_may_fail() {
    let mut world = world();
    assert_eq!(run(&mut world, 10, &[]), Some(Code::CapsuleMissing));
    assert_eq!(run(&mut world, 11, &[receipt(1, 1, 11)]), Some(Code::CapsuleMissing), "one of two");
    let twice = [receipt(2, 2, 12), receipt(2, 2, 12)];
    assert_eq!(run(&mut world, 12, &twice), Some(Code::CapsuleMissing), "one notary counts once");
    let no_notary = [receipt(1, 1, 13), receipt(4, 4, 13)];
    assert_eq!(run(&mut world, 13, &no_notary), Some(Code::CapsuleMissing), "a member that is none");
    let other = [receipt(1, 1, 14), receipt(2, 2, 15)];
    assert_eq!(run(&mut world, 14, &other), Some(Code::CapsuleMissing), "of another capsule");
    let borrowed = [receipt(1, 1, 16), receipt(2, 1, 16)];
    assert_eq!(run(&mut world, 16, &borrowed), Some(Code::CapsuleMissing), "another's key");
    let mut forged = receipt(2, 2, 17);
    forged.signature = sign(2, &Digest([1; 32]));
    assert_eq!(run(&mut world, 17, &[receipt(1, 1, 17), forged]), Some(Code::BadSignature));
    assert_eq!(run(&mut world, 18, &[receipt(3, 3, 18), receipt(1, 1, 18)]), None, "any two of three");
}
