//! C8: every pair of command and status of the table; every signer that it names; the page that it makes.

use stateset_contracts::table::{From, Signer};
use stateset_contracts::{Invoice, InvoiceCommand, InvoiceStatus, Row, StateType};
use stateset_ledger_types::Code;

use crate::world::{Tx, allowed, facts, good_command, leads_to, make, state_for};

fn rows() -> &'static [Row<Invoice>] {
    Invoice::table().rows
}

/// Every start of a row: nothing, and each status.
fn starts(row: &Row<Invoice>) -> Vec<Option<Invoice>> {
    let states = InvoiceStatus::ALL.iter().map(|status| Some(state_for(row, *status)));
    std::iter::once(None).chain(states).collect()
}

fn is_allowed(row: &Row<Invoice>, before: Option<&Invoice>) -> bool {
    match before {
        None => row.from == From::Nothing,
        Some(before) => allowed(row).contains(&before.head.status),
    }
}

#[test]
fn the_table_and_the_commands_are_the_same_list() {
    let tags: Vec<u16> = rows().iter().map(|row| row.tag).collect();
    assert_eq!(tags, InvoiceCommand::TAGS);
    for row in rows() {
        let command = good_command(row, None, &mut facts());
        assert_eq!((Invoice::tag(&command), command.name()), (row.tag, row.command));
    }
    let codes: Vec<u16> = Invoice::table().statuses.iter().map(|(code, ..)| *code).collect();
    assert_eq!(codes, InvoiceStatus::ALL.iter().map(|status| status.code()).collect::<Vec<_>>());
    for row in rows() {
        let terminal = allowed(row).into_iter().find(|status| Invoice::table().is_terminal(*status));
        assert_eq!(terminal, None, "{} leads on from a terminal status", row.command);
    }
}

#[test]
fn c8_every_pair_that_the_table_lists_passes() {
    let mut passed = 0;
    for row in rows() {
        for before in starts(row).iter().filter(|before| is_allowed(row, before.as_ref())) {
            let mut facts = facts();
            let command = good_command(row, before.as_ref(), &mut facts);
            let status = before.as_ref().map(|before| before.head.status);
            let made = make(&facts, before.as_ref(), command).unwrap();
            let after = made.content.clone().unwrap();
            assert!(leads_to(row, status).contains(&after.head.status), "{} from {status:?}", row.command);
            assert_eq!(after.active, !Invoice::table().is_terminal(after.head.status));
            let judged = Tx::from_draft(facts, before.as_ref(), made).judge();
            assert_eq!(judged, Ok(()), "{} from {status:?}", row.command);
            passed += 1;
        }
    }
    let listed: usize = rows().iter().map(|row| allowed(row).len()).sum();
    assert_eq!(passed, listed + 1, "and one row that creates");
}

#[test]
fn c8_every_other_pair_is_a_bad_transition() {
    let mut refused = 0;
    for row in rows() {
        for before in starts(row).iter().filter(|before| !is_allowed(row, before.as_ref())) {
            let mut facts = facts();
            let command = good_command(row, before.as_ref(), &mut facts);
            let status = before.as_ref().map(|before| before.head.status);
            let refusal = make(&facts, before.as_ref(), command.clone()).unwrap_err();
            assert_eq!(refusal.code, Code::BadTransition, "{} from {status:?}: {refusal}", row.command);
            // As a transaction that someone built without our builder.
            let mut tx = forged(facts, before.as_ref(), row);
            tx.change_command(|it| {
                it.tag = row.tag;
                it.args = stateset_ledger_types::codec::Blob::new(
                    stateset_contracts::rules::args::<Invoice>(&crate::world::linear(), &command),
                )
                .unwrap();
            });
            let refusal = tx.judge().unwrap_err();
            assert_eq!(refusal.code, Code::BadTransition, "{} from {status:?}: {refusal}", row.command);
            refused += 1;
        }
    }
    let listed: usize = rows().iter().map(|row| allowed(row).len()).sum();
    assert_eq!(refused, rows().len() * (InvoiceStatus::ALL.len() + 1) - listed - 1);
}

/// A good transaction from `before` whose output is what `row` would make from a status that it allows.
fn forged(facts: stateset_contracts::Facts, before: Option<&Invoice>, row: &Row<Invoice>) -> Tx {
    let create = rows().iter().find(|row| row.from == From::Nothing).unwrap();
    let start = match (row.from, before) {
        (From::OneOf(statuses), _) => Some(state_for(row, InvoiceStatus::from_code(statuses[0]).unwrap())),
        (From::Nothing, _) => None,
    };
    let mut own = facts.clone();
    let command = good_command(if start.is_some() { row } else { create }, start.as_ref(), &mut own);
    let made = make(&own, start.as_ref(), command).unwrap();
    Tx::from_draft(facts, before, made)
}

#[test]
fn c8_every_missing_signer_is_named() {
    for row in rows() {
        for before in starts(row).iter().filter(|before| is_allowed(row, before.as_ref())) {
            let mut facts = facts();
            let command = good_command(row, before.as_ref(), &mut facts);
            let whole = Tx::of(facts.clone(), before.as_ref(), command.clone()).unwrap();
            for missing in whole.signers.clone() {
                // Neither listed nor signed.
                let mut tx = Tx::of(facts.clone(), before.as_ref(), command.clone()).unwrap();
                tx.signers.retain(|n| *n != missing);
                let keys: Vec<_> = tx.signers.iter().map(|n| crate::world::public_key(*n)).collect();
                tx.change_command(|it| it.signers = stateset_ledger_types::codec::Set::new(keys).unwrap());
                let refusal = tx.judge().unwrap_err();
                assert_eq!(refusal.code, Code::NotAuthorised, "{} without {missing}: {refusal}", row.command);
                // Listed, but not signed.
                let mut tx = Tx::of(facts.clone(), before.as_ref(), command.clone()).unwrap();
                tx.signers.retain(|n| *n != missing);
                assert_eq!(tx.judge().unwrap_err().code, Code::NotAuthorised);
                // Another one instead.
                let mut tx = Tx::of(facts.clone(), before.as_ref(), command.clone()).unwrap();
                tx.signers.iter_mut().filter(|n| **n == missing).for_each(|n| *n = 6);
                let keys: Vec<_> = tx.signers.iter().map(|n| crate::world::public_key(*n)).collect();
                tx.change_command(|it| it.signers = stateset_ledger_types::codec::Set::new(keys).unwrap());
                assert_eq!(tx.judge().unwrap_err().code, Code::NotAuthorised);
            }
            let distinct = row.signers.iter().filter(|signer| !matches!(signer, Signer::IfAny(_))).count();
            assert!(whole.signers.len() >= distinct.min(2).min(whole.signers.len()));
            assert!(!whole.signers.is_empty());
        }
    }
}

/// The page for people is made of the table: `UPDATE_GOLDEN=1` writes it anew.
#[test]
fn the_page_shows_the_table() {
    const BEGIN: &str = "<!-- table: invoice -->\n";
    const END: &str = "<!-- end of table -->\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol/business-types.md");
    let page = std::fs::read_to_string(path).expect("the page is there");
    let (head, rest) = page.split_once(BEGIN).expect("the page has a place for the table");
    let (shown, tail) = rest.split_once(END).expect("the place ends");
    let table = Invoice::table().to_markdown();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, format!("{head}{BEGIN}{table}{END}{tail}")).expect("the page can be written");
    } else {
        assert_eq!(shown, table, "UPDATE_GOLDEN=1 writes the page anew");
    }
}
