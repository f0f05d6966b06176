//! C3: a tear-off with any subset of groups and components has the same id.

use proptest::prelude::*;
use stateset_ledger_types::body::SaltedBody;
use stateset_ledger_types::tearoff::{GroupView, TearOff};
use stateset_ledger_types::tree::{Group, Mode};
use stateset_ledger_types::{Decode, Encode};

use crate::build;

fn same_id(whole: &SaltedBody, tear_off: &TearOff) {
    assert_eq!(tear_off.tx_id(), Ok(whole.tx_id(tear_off.mode)));
    assert_eq!(TearOff::from_sce(&tear_off.to_sce()).as_ref(), Ok(tear_off));
}

#[test]
fn every_subset_of_groups_has_the_same_id() {
    let whole = build::body(3, 5);
    for subset in 0..1u16 << 10 {
        let is_shown = |group: Group| subset & (1 << group.code()) != 0;
        let tear_off = TearOff::of(&whole, Mode::Private, |group, _| is_shown(group), is_shown);
        same_id(&whole, &tear_off);
        for (group, view) in Group::ALL.iter().zip(&tear_off.groups) {
            assert_eq!(matches!(view, GroupView::Partial(_)), is_shown(*group));
        }
    }
}

#[test]
fn every_subset_of_components_of_every_small_group_has_the_same_id() {
    for n in 0..=9 {
        let whole = build::body(n, n);
        for subset in 0..1u32 << n {
            let is_shown = |_, index: u32| subset & (1 << index) != 0;
            same_id(&whole, &TearOff::of(&whole, Mode::Attested, is_shown, |_| true));
        }
    }
}

#[test]
fn modes_and_chains_have_ids_of_their_own() {
    let whole = build::body(1, 1);
    assert_ne!(whole.tx_id(Mode::Private), whole.tx_id(Mode::Attested));
    assert_ne!(whole.tx_id(Mode::Private), whole.tx_id(Mode::Public));
}

proptest! {
    /// What is shown is bound: another component, nonce, index or count gives another id or is refused.
    #[test]
    fn a_changed_tear_off_is_of_another_transaction(
        n in 1u8..20, shown in any::<u32>(), at in any::<prop::sample::Index>(), bit in 0u8..8,
    ) {
        let whole = build::body(n, n);
        let tear_off = TearOff::of(&whole, Mode::Private, |_, i| shown & (1 << i) != 0, |_| false);
        same_id(&whole, &tear_off);
        let mut bytes = tear_off.to_sce();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = TearOff::from_sce(&bytes) {
            prop_assert_ne!(changed.tx_id().unwrap(), whole.tx_id(Mode::Private));
        }
    }

    /// The chain's view is the transaction's.
    #[test]
    fn what_the_chain_sees_has_the_same_id(inputs in 0u8..9, n in 0u8..9) {
        let whole = build::body(inputs, n);
        let content = stateset_ledger_types::envelope::NotariseContent::of(&whole, Mode::Private);
        prop_assert_eq!(content.tx_id(), whole.tx_id(Mode::Private));
    }
}

#[test]
fn a_member_of_a_wholly_shown_group_cannot_be_hidden() {
    let whole = build::body(3, 3);
    let mut tear_off = TearOff::of(&whole, Mode::Private, |_, _| true, |_| true);
    let GroupView::Partial(group) = &mut tear_off.groups[1] else { panic!("shown") };
    group.count = 2;
    group.shown = stateset_ledger_types::codec::List::new(group.shown[..2].to_vec()).unwrap();
    assert_ne!(tear_off.tx_id(), Ok(whole.tx_id(Mode::Private)));
}
