//! `testing/vectors/ledger/invoice.json`: the whole table on worked states, which other implementations can read.
//! `UPDATE_GOLDEN=1 cargo test -p stateset-contracts` takes a change over.

use serde_json::{Value, json};
use stateset_contracts::table::From;
use stateset_contracts::{Invoice, InvoiceStatus, Row, StateType, registry, rules};
use stateset_ledger_types::Encode;
use ves::hex::encode;

use crate::world::{facts, good_command, linear, make, state_for};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testing/vectors/ledger/invoice.json");

fn content(invoice: &Invoice) -> Value {
    json!({ "fields": invoice, "sce": encode(&invoice.to_sce()), "fingerprint": invoice.fingerprint() })
}

/// One command on one state: what it makes, or the code that refuses it.
fn case(row: &Row<Invoice>, before: Option<&Invoice>) -> Value {
    let mut facts = facts();
    let command = good_command(row, before, &mut facts);
    let settlements: Vec<Value> = facts
        .settlements
        .iter()
        .map(|(id, proven)| json!({ "id": id, "record": proven.settlement }))
        .collect();
    let made = match make(&facts, before, command.clone()) {
        Ok(made) => made,
        Err(refusal) => {
            let from = before.map(|before| Invoice::table().status_name(before.head.status));
            return json!({ "command": row.command, "from": from, "refused": refusal.code.code() });
        }
    };
    json!({
        "command": row.command,
        "tag": row.tag,
        "arguments": command,
        "arguments_sce": encode(&rules::args::<Invoice>(&linear(), &command)),
        "before": before.map(content),
        "settlements": settlements,
        "after": made.content.as_ref().map(content),
        "output_sce": made.output.map(|output| encode(&output.to_sce())),
        "signers": made.signers,
        "participants": made.participants,
    })
}

#[test]
fn the_vectors_are_what_the_table_makes() {
    let mut cases = Vec::new();
    for row in Invoice::table().rows {
        let starts: Vec<Option<Invoice>> = match row.from {
            From::Nothing => vec![None, Some(state_for(row, InvoiceStatus::Issued))],
            From::OneOf(_) => InvoiceStatus::ALL.iter().map(|status| Some(state_for(row, *status))).collect(),
        };
        cases.extend(starts.iter().map(|before| case(row, before.as_ref())));
    }
    let vectors = json!({
        "about": "Made by stateset-contracts, tests/it/vectors.rs. Amounts are decimal texts, bytes are hex.",
        "contracts": registry::versions(),
        "contract_set_hash": registry::native_set().hash(),
        "linear_id": linear(),
        "at_ms": crate::world::NOW,
        "window": crate::world::window(),
    });
    let head = serde_json::to_string_pretty(&vectors).unwrap();
    let cases: Vec<String> = cases.iter().map(|case| format!("    {case}")).collect();
    let head = head.trim_end().trim_end_matches('}').trim_end();
    // A case a line.
    let text = format!("{head},\n  \"cases\": [\n{}\n  ]\n}}\n", cases.join(",\n"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(FILE, text).expect("the vectors can be written");
    } else {
        let held = std::fs::read_to_string(FILE).expect("the vectors are there");
        assert!(held == text, "UPDATE_GOLDEN=1 writes {FILE} anew");
    }
}
