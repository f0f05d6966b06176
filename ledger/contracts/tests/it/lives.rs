//! Random lives of invoices: whatever is asked, what was accepted keeps the invariants, and the money adds up.

use std::collections::BTreeMap;

use proptest::prelude::*;
use stateset_contracts::invoice as i;
use stateset_contracts::rules::check_invariants;
use stateset_contracts::{Facts, Invoice, InvoiceCommand, StateType};
use stateset_ledger_types::codec::List;
use stateset_ledger_types::ids::{EntityId, Units};
use stateset_ledger_types::{Decode, Encode};

use crate::world::{BUYER, Tx, evidence, facts, id, make, terms};

#[derive(Debug, Clone)]
enum Wish {
    Accept,
    Dispute,
    Adjust(u128),
    VoidDispute,
    Pay(u128),
    MarkOverdue,
    Factor(u8, u128, bool),
    Refactor(u8),
    Recourse(u128),
    Transfer(u8),
    Void,
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        3 => Just(Wish::Accept),
        2 => Just(Wish::Dispute),
        2 => (0u128..2_000).prop_map(Wish::Adjust),
        1 => Just(Wish::VoidDispute),
        6 => (0u128..1_300).prop_map(Wish::Pay),
        2 => Just(Wish::MarkOverdue),
        4 => (1u8..=6, 0u128..200, any::<bool>()).prop_map(|(by, off, back)| Wish::Factor(by, off, back)),
        2 => (1u8..=6).prop_map(Wish::Refactor),
        2 => (0u128..20).prop_map(Wish::Recourse),
        2 => (1u8..=6).prop_map(Wish::Transfer),
        1 => Just(Wish::Void),
    ]
}

/// The command of a wish, with the payment that it needs, and who pays how much to whom by it.
fn command(
    wish: &Wish,
    before: &Invoice,
    facts: &mut Facts,
) -> (InvoiceCommand, Option<(EntityId, EntityId, u128)>) {
    let (version, payee, remaining) = (before.head.version, before.payee(), before.amount_remaining.0);
    let mut paid = None;
    let mut pays = |facts: &mut Facts, payer, payee, units| {
        paid = Some((payer, payee, units));
        evidence(facts, version, payer, payee, units)
    };
    let command = match *wish {
        Wish::Accept => InvoiceCommand::Accept(()),
        Wish::Dispute => InvoiceCommand::Dispute(()),
        Wish::Adjust(subtotal) => {
            let adjusted = i::Adjustment { lines: List::default(), subtotal: Units(subtotal), tax: Units(1) };
            InvoiceCommand::SettleDispute(i::SettleDispute { adjusted: Some(adjusted) })
        }
        Wish::VoidDispute => InvoiceCommand::SettleDispute(i::SettleDispute { adjusted: None }),
        Wish::Pay(units) => {
            let evidence = pays(facts, id(BUYER), payee, units);
            InvoiceCommand::Pay(i::Pay { amount: Units(units), evidence })
        }
        Wish::MarkOverdue => InvoiceCommand::MarkOverdue(()),
        Wish::Factor(by, off, recourse) => {
            let discount = off.min(remaining);
            let evidence = pays(facts, id(by), before.party, remaining - discount);
            let (advance, discount) = (Units(remaining - discount), Units(discount));
            InvoiceCommand::Factor(i::FactorIt { factor: id(by), advance, discount, recourse, evidence })
        }
        Wish::Refactor(by) => InvoiceCommand::Refactor(i::Refactor { factor: id(by) }),
        Wish::Recourse(fee) => {
            let evidence = pays(facts, before.party, payee, remaining + fee);
            InvoiceCommand::Recourse(i::Recourse { fee: Units(fee), evidence })
        }
        Wish::Transfer(by) => InvoiceCommand::Transfer(i::Transfer { party: id(by) }),
        Wish::Void => InvoiceCommand::Void(()),
    };
    (command, paid)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_accepted_keeps_the_invariants_and_adds_up(wishes in prop::collection::vec(wish(), 1..24)) {
        let mut facts = facts();
        let first = make(&facts, None, InvoiceCommand::Create(Box::new(terms()))).unwrap();
        let mut state = first.content.unwrap();
        // What the debtor paid by evidence, and what each entity had and gave.
        let mut paid_by_debtor = 0u128;
        let mut flows: BTreeMap<EntityId, i128> = BTreeMap::new();
        for wish in &wishes {
            let (command, paid) = command(wish, &state, &mut facts);
            let Ok(made) = make(&facts, Some(&state), command.clone()) else {
                // What the builder refuses, the judge refuses of anyone; seen in the table's tests.
                continue;
            };
            let judged = Tx::from_draft(facts.clone(), Some(&state), made.clone()).judge();
            prop_assert_eq!(judged, Ok(()), "{:?}", wish);
            let next = made.content.unwrap();
            prop_assert_eq!(check_invariants(&next), Ok(()));
            prop_assert_eq!(next.head.version, state.head.version + 1);
            prop_assert_eq!((next.head.created_at, &next.head.number), (state.head.created_at, &state.head.number));
            prop_assert!(!Invoice::table().is_terminal(state.head.status), "nothing leads on from an end");
            prop_assert_eq!(Invoice::from_sce(&next.to_sce()), Ok(next.clone()));
            if let Some((payer, payee, units)) = paid {
                *flows.entry(payer).or_default() -= i128::try_from(units).unwrap();
                *flows.entry(payee).or_default() += i128::try_from(units).unwrap();
                if matches!(wish, Wish::Pay(_)) {
                    paid_by_debtor += units;
                }
            }
            // The evidence is for the version that is gone: it pays nothing again.
            if paid.is_some() {
                prop_assert!(make(&facts, Some(&next), command).is_err());
            }
            state = next;
        }
        prop_assert_eq!(state.amount_paid.0, paid_by_debtor);
        prop_assert_eq!(flows.values().sum::<i128>(), 0);
        prop_assert_eq!(state.amount_paid.0 + state.amount_remaining.0, state.total.0);
        prop_assert_eq!(state.payee(), state.factor.unwrap_or(state.party));
    }

    /// A content and a command have one encoding; bytes that are cut or changed are refused or read as what they say.
    #[test]
    fn contents_and_commands_have_one_encoding(
        wishes in prop::collection::vec(wish(), 1..4),
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let mut facts = facts();
        let state = make(&facts, None, InvoiceCommand::Create(Box::new(terms()))).unwrap().content.unwrap();
        for wish in &wishes {
            let (command, _) = command(wish, &state, &mut facts);
            let bytes = command.to_sce();
            prop_assert_eq!(InvoiceCommand::from_sce(&bytes), Ok(command));
            let mut changed = state.to_sce();
            let place = at.index(changed.len());
            changed[place] ^= 1 << bit;
            if let Ok(read) = Invoice::from_sce(&changed) {
                prop_assert_eq!(read.to_sce(), changed);
            }
        }
    }
}
