//! Section 6.6, and that the first state can be proven.

use stateset_ledger_app::Ledger;
use stateset_ledger_app::application::Application;
use stateset_ledger_types::Genesis;
use stateset_ledger_types::Substore;
use stateset_ledger_types::bank::DenomRecord;
use stateset_ledger_types::codec::{List, Set};
use stateset_ledger_types::entity::{EntityStatus, Roles};
use stateset_ledger_types::genesis::GenesisAttesters;

use crate::world::{dollars, genesis, id};

fn refused(change: impl FnOnce(&mut Genesis)) -> String {
    let mut genesis = genesis();
    change(&mut genesis);
    Ledger::new().init_chain(genesis.to_json().as_bytes()).expect_err("refused")
}

#[test]
fn every_substore_has_a_key_from_genesis_on() {
    let initial = Ledger::new().init_chain(genesis().to_json().as_bytes()).unwrap();
    for substore in Substore::ALL {
        let first = initial.writes.get(&(*substore, Substore::FIRST_KEY.to_vec()));
        assert_eq!(first, Some(&Some(substore.name().as_bytes().to_vec())), "{substore}");
    }
    assert!(initial.writes.values().flatten().all(|value| !value.is_empty()));
    assert_eq!(initial.validators.len(), 2);
}

#[test]
fn what_does_not_add_up_is_refused_by_name() {
    let said = refused(|genesis| genesis.supply = List::new([dollars(2_999_999)]).unwrap());
    assert_eq!(said, "genesis: supply of usd is 2999999, its balances are 3000000");
    let said = refused(|genesis| genesis.denoms = List::default());
    assert!(said.contains("the denomination is not declared"), "{said}");
    let said = refused(|genesis| {
        let denoms = genesis.denoms.iter().map(|one| DenomRecord { exponent: 19, ..one.clone() });
        genesis.denoms = List::new(denoms.collect::<Vec<_>>()).unwrap();
    });
    assert!(said.contains("at most 18 decimal places"), "{said}");
    let said = refused(|genesis| genesis.validators = List::default());
    assert!(said.contains("no validator"), "{said}");
    let with = |genesis: &mut Genesis, change: &dyn Fn(&mut stateset_ledger_types::entity::Entity)| {
        let mut entities = genesis.entities.to_vec();
        change(&mut entities[0]);
        genesis.entities = List::new(entities).unwrap();
    };
    let said = refused(|genesis| with(genesis, &|entity| entity.roles = Roles::default()));
    assert!(said.contains("not an admitted NOTARY"), "{said}");
    let said = refused(|genesis| with(genesis, &|entity| entity.status = EntityStatus::Suspended));
    assert!(said.contains("not an admitted NOTARY"), "{said}");
    let said = refused(|genesis| with(genesis, &|entity| entity.entity_id = id(2)));
    assert!(said.contains("stands twice"), "{said}");
    let said = refused(|genesis| with(genesis, &|entity| entity.keys = List::default()));
    assert!(said.contains("NOTARY needs a key"), "{said}");
    let policy = |genesis: &mut Genesis, change: &dyn Fn(&mut Vec<GenesisAttesters>)| {
        let mut policies = genesis.attester_policies.to_vec();
        change(&mut policies);
        genesis.attester_policies = List::new(policies).unwrap();
    };
    // Zero would attest everything.
    for threshold in [0, 2] {
        let said = refused(|genesis| policy(genesis, &|all| all[0].policy.threshold = threshold));
        assert!(said.contains("attester policy 7: the threshold is"), "{said}");
    }
    let said = refused(|genesis| policy(genesis, &|all| all.push(all[0].clone())));
    assert!(said.contains("attester policy 7 stands twice"), "{said}");
    let stranger =
        |n: u8| move |all: &mut Vec<GenesisAttesters>| all[0].policy.entities = Set::new([id(n)]).unwrap();
    for n in [1, 9] {
        let said = refused(|genesis| policy(genesis, &stranger(n)));
        assert!(said.contains("is no ATTESTER"), "{said}");
    }
    let said = refused(|genesis| genesis.initial_height = 0);
    assert!(said.contains("initial_height"), "{said}");
}
