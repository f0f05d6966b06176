//! An invoice that an auditor checks: the factor trusts it and takes the invoice without its history.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::invoices::{becomes, companies, create, done, phase};
use crate::ledger::refusal;
use crate::service::Up;

/// What a company's node holds of a transaction: its status, and whether it rests on attesters' word.
fn held(at: &Path, org: &str, tx_id: &str) -> (u16, Value) {
    let known = fs::read(at.join("stateset-data/ledger/node.json")).unwrap();
    let known: Value = serde_json::from_slice(&known).unwrap();
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let url = format!("{}/orgs/{org}/transactions/{tx_id}", known["url"].as_str().unwrap());
    let token = format!("Bearer {}", known["token"].as_str().unwrap());
    let mut answer = agent.get(&url).header("authorization", token).call().unwrap();
    let body: Value = answer.body_mut().read_json().unwrap();
    (answer.status().as_u16(), body["vouched"].clone())
}

fn tx_of(flow: &Value) -> String {
    flow["tx_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_factor_takes_an_invoice_on_the_word_of_an_auditor() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let up = Up::start(at);
    companies(at);
    done(at, &["org", "create", "auditor", "--role", "attester"]);
    let attested = [&create("INV-1", "2030-01-31")[..], &["--mode", "attested"]].concat();

    // Nobody attests yet: nothing is proposed that nobody could attest. A company without the role is not taken.
    assert_eq!(refusal(at, &attested), (1, "ATTESTATION_MISSING".to_owned()));
    let none = done(at, &["org", "attesters", "1"]);
    assert_eq!(none["attesters"], Value::Null);
    assert_eq!(refusal(at, &["org", "attesters", "1", "bank"]).0, 1);
    assert_eq!(
        refusal(at, &["org", "attesters", "1", "auditor", "--threshold", "2"]),
        (2, "BAD_QUORUM".to_owned())
    );
    assert_eq!(
        refusal(at, &[&create("X", "2030-01-31")[..], &["--attesters", "1"]].concat()),
        (2, "BAD_MODE".to_owned())
    );

    done(at, &["org", "attesters", "1", "auditor"]);
    assert_eq!(done(at, &["org", "attesters", "1"])["attesters"]["threshold"], 1);
    let trusts = done(at, &["org", "trust", "bank", "auditor"]);
    assert_eq!(trusts["resolutions"]["native:invoice"]["to_attested"]["threshold"], 1);

    let to_attester =
        "invoice create --org acme --to auditor --number A --amount 1 --due 2031-01-31 --mode attested";
    let to_attester: Vec<_> = to_attester.split(' ').collect();
    assert_eq!(refusal(at, &to_attester), (1, "ATTESTATION_MISSING".to_owned()), "no other is left");
    assert_eq!(done(at, &["invoice", "proposals", "--org", "acme", "--all"]), json!([]));

    let created = done(at, &attested);
    assert_eq!(phase(at, &["invoice", "approve", "INV-1", "--org", "globex"]), "final");
    becomes(at, "acme", "INV-1", "ISSUED");
    let accepted = done(at, &["invoice", "accept", "INV-1", "--org", "globex"]);
    assert_eq!(accepted["phase"], "final");
    becomes(at, "acme", "INV-1", "ACCEPTED");
    done(at, &["invoice", "fund", "INV-1", "--org", "bank", "--seller", "acme", "--amount", "950.00"]);
    done(at, &["invoice", "factor", "INV-1", "--org", "acme", "--factor", "bank", "--advance", "950.00"]);
    done(at, &["invoice", "approve", "INV-1", "--org", "globex"]);
    done(at, &["invoice", "approve", "INV-1", "--org", "bank"]);
    becomes(at, "bank", "INV-1", "ACCEPTED");
    assert_eq!(held(at, "bank", &tx_of(&accepted)), (200, json!(true)), "on the auditor's word");
    assert_eq!(held(at, "bank", &tx_of(&created)).0, 404, "what was before");
    assert_eq!(held(at, "auditor", &tx_of(&created)), (200, json!(false)), "the auditor has read it");

    // Trusted no more: what the next step rests on is fetched and checked. Over a restart, too.
    done(at, &["org", "trust", "bank", "--nobody"]);
    assert_eq!(up.signal("-TERM").0, 0);
    let up = Up::start(at);
    assert_eq!(done(at, &["org", "trust", "bank"])["resolutions"], json!({}));
    assert_eq!(phase(at, &["invoice", "pay", "INV-1", "--org", "globex"]), "final");
    becomes(at, "bank", "INV-1", "PAID");
    assert_eq!(held(at, "bank", &tx_of(&accepted)), (200, json!(false)));
    assert_eq!(held(at, "bank", &tx_of(&created)), (200, json!(false)));
    assert_eq!(up.signal("-TERM").0, 0);
}
