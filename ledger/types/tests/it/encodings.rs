//! C1 over whole types: a value reads back, and no other bytes read as it.

use proptest::prelude::*;
use stateset_ledger_types::anchor::{AnchorCommand, AnchorOpen};
use stateset_ledger_types::bank::{BankCommand, Transfer};
use stateset_ledger_types::body::SaltedBody;
use stateset_ledger_types::codec::Set;
use stateset_ledger_types::genesis::Genesis;
use stateset_ledger_types::ids::{AccountId, Amount, ContractId, Denom, EntityId, Units};
use stateset_ledger_types::policy::Policy;
use stateset_ledger_types::{Decode, Encode};
use ves::Digest;

use crate::build;

/// Canonical: whatever decodes, encodes to the bytes it came from.
fn canonical<T: Decode + Encode>(bytes: &[u8]) -> bool {
    let Ok(value) = T::from_sce(bytes) else { return false };
    assert_eq!(value.to_sce(), bytes, "one encoding of a value");
    true
}

#[test]
fn policies_are_well_formed() {
    let good = build::policy_of(2).to_sce();
    assert!(canonical::<Policy>(&good));
    let with_threshold = |threshold| [&[threshold], &good[1..]].concat();
    for threshold in [0, 4, 255] {
        assert!(!canonical::<Policy>(&with_threshold(threshold)), "{threshold} of 3");
    }
    // Two keys the other way round.
    let (one, two) = (&good[5..42], &good[42..79]);
    assert!(!canonical::<Policy>(&[&good[..5], two, one, &good[79..]].concat()));
    assert!(!canonical::<Policy>(&[&good[..5], one, one, &good[79..]].concat()));
    assert!(Policy::new(1, []).is_err());
}

#[test]
fn names_keep_to_their_alphabets() {
    for good in ["usd", "ibc/0A", "a:b.c_d-e"] {
        assert!(Denom::new(good).is_ok(), "{good}");
    }
    for bad in ["us", "1usd", "us d", "usd\u{e9}", ""] {
        assert!(Denom::new(bad).is_err(), "{bad}");
    }
    let hash = "0".repeat(64);
    for good in ["native:bank".to_owned(), format!("wasm:{hash}"), format!("js:{hash}")] {
        assert!(ContractId::new(good).is_ok());
    }
    for bad in ["bank", "native:", "native:Bank", "wasm:00", "elf:00"] {
        assert!(ContractId::new(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_command_is_its_tag_and_its_arguments() {
    let transfer = BankCommand::Transfer(Transfer {
        payer: EntityId([1; 20]),
        payee: AccountId([2; 20]),
        amount: Amount { denom: Denom::new("usd").unwrap(), units: Units(7) },
        reference: None,
    });
    assert_eq!(&transfer.to_sce()[..2], [0, 1]);
    let open = AnchorCommand::Open(AnchorOpen {
        owner: EntityId([1; 20]),
        stream: Digest([3; 32]),
        first_sequence: 1,
        writers: Set::new([build::public_key(1)]).unwrap(),
    });
    assert!(canonical::<BankCommand>(&transfer.to_sce()) && canonical::<AnchorCommand>(&open.to_sce()));
}

#[test]
fn genesis_is_the_same_as_text_and_as_bytes() {
    let json = r#"{"chain_id": "ssn-test-1", "genesis_time": 1, "initial_height": 1, "entities": [], "validators": [],
        "params": {"max_inputs": 5}}"#;
    let genesis = Genesis::from_json(json.as_bytes()).unwrap();
    assert_eq!(genesis.params.max_inputs, 5);
    assert_eq!(Genesis::from_sce(&genesis.to_sce()).as_ref(), Ok(&genesis));
    assert_eq!(Genesis::from_json(genesis.to_json().as_bytes()), Ok(genesis));
    for (wrong, said) in [
        (json.replace("max_inputs", "max_input"), "max_input"),
        (json.replace(": 5", ": 0"), "max_inputs = 0 is outside 1 to 1024"),
        (json.replace("genesis_time", "time"), "time"),
    ] {
        assert!(Genesis::from_json(wrong.as_bytes()).unwrap_err().contains(said), "{said}");
    }
}

proptest! {
    #[test]
    fn a_changed_body_is_refused_or_another_body(
        inputs in 0u8..3, n in 0u8..4, at in any::<prop::sample::Index>(), byte: u8,
    ) {
        let mut bytes = build::body(inputs, n).to_sce();
        prop_assert!(canonical::<SaltedBody>(&bytes));
        let at = at.index(bytes.len());
        bytes[at] = byte;
        canonical::<SaltedBody>(&bytes);
    }

    #[test]
    fn any_bytes_are_read_canonically_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        canonical::<SaltedBody>(&bytes);
        canonical::<Policy>(&bytes);
        canonical::<BankCommand>(&bytes);
        canonical::<stateset_ledger_types::governance::GovernanceMessage>(&bytes);
    }
}
