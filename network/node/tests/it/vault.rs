//! The vault's file.

use stateset_node::{NodeError, Vault};
use stateset_peer::frame::SessionId;
use stateset_peer::message::{Message, Reject, RejectCode};

use crate::world::{BUYER, SELLER, chain_id, id};

#[test]
fn a_file_of_another_company_or_a_newer_program_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vault.db");
    drop(Vault::open(&path, id(SELLER), &chain_id()).unwrap());
    assert!(Vault::open(&path, id(SELLER), &chain_id()).is_ok());
    let other = Vault::open(&path, id(BUYER), &chain_id()).err().expect("another company");
    assert!(matches!(other, NodeError::OtherOwner { what: "entity", .. }), "{other}");
    let chain = stateset_ledger_types::ids::ChainId::new("other-1").unwrap();
    let other = Vault::open(&path, id(SELLER), &chain).err().expect("another chain");
    assert!(matches!(other, NodeError::OtherOwner { what: "chain", .. }), "{other}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn letters_are_read_in_the_order_in_which_they_came_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vault.db");
    let mut vault = Vault::open(&path, id(SELLER), &chain_id()).unwrap();
    let letter = |n: u8| Message::from(Reject::new(RejectCode::Busy, n));
    for n in 0..3 {
        vault.keep_letter(&id(BUYER), SessionId(u64::MAX), &letter(n)).unwrap();
    }
    drop(vault);
    let mut vault = Vault::open(&path, id(SELLER), &chain_id()).unwrap();
    for n in 0..3 {
        let next = vault.next_letter().unwrap().expect("one is there");
        assert_eq!((next.from, next.session, &next.message), (id(BUYER), SessionId(u64::MAX), &letter(n)));
        vault.settle(stateset_node::vault::Done::Letter(next.position)).unwrap();
    }
    assert_eq!(vault.next_letter().unwrap(), None);
}

#[test]
fn numbers_only_rise() {
    let folder = tempfile::tempdir().unwrap();
    let mut vault = Vault::open(&folder.path().join("vault.db"), id(SELLER), &chain_id()).unwrap();
    let given: Vec<u64> = [5, 1, 9, 9, 3].map(|floor| vault.next_number("n", floor).unwrap()).into();
    assert_eq!(given, [5, 6, 9, 10, 11]);
}
