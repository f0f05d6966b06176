//! An invoice between three companies by the commands of their users, from issue to payment; a double spend; a lost vault.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::ledger::refusal;
use crate::service::Up;
use crate::{run, stateset};

pub fn done(at: &Path, args: &[&str]) -> Value {
    let output = stateset(at).arg("--json").args(args).output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    assert!(output.status.success(), "{args:?}: {said} {}", String::from_utf8_lossy(&output.stderr));
    said
}

pub fn phase(at: &Path, args: &[&str]) -> String {
    done(at, args)["phase"].as_str().unwrap().to_owned()
}

/// Seller, payer, factor, with money.
pub fn companies(at: &Path) {
    for (org, more) in [("acme", &[][..]), ("globex", &[]), ("bank", &["--role", "factor"])] {
        done(at, &[&["org", "create", org], more].concat());
    }
    done(at, &["org", "deposit", "globex", "1000.00"]);
    done(at, &["org", "deposit", "bank", "1000"]);
}

fn has(at: &Path, org: &str) -> String {
    let held = done(at, &["org", "show", org])["balances"][0]["amount"].clone();
    held.as_str().unwrap_or("0").to_owned()
}

/// Status of an invoice in a company's own books, once it is this one: others are told a moment later.
pub fn becomes(at: &Path, org: &str, number: &str, status: &str) -> Value {
    let started = Instant::now();
    loop {
        let shown = stateset(at).args(["--json", "invoice", "show", number, "--org", org]).output().unwrap();
        let said: Value = serde_json::from_slice(&shown.stdout).unwrap_or_default();
        if said["invoice"]["status"] == status {
            return said;
        }
        let error = String::from_utf8_lossy(&shown.stderr);
        assert!(started.elapsed() < Duration::from_secs(20), "{org}: {said} {error}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn create<'a>(number: &'a str, due: &'a str) -> Vec<&'a str> {
    let args = "invoice create --org acme --to globex --amount 1000.00";
    args.split(' ').chain(["--number", number, "--due", due]).collect()
}

#[test]
fn an_invoice_goes_from_issue_over_a_factor_to_payment() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    assert_eq!(refusal(at, &create("1", "2030-01-31")), (2, "NO_SUCH_ORG".to_owned()));
    let up = Up::start(at);
    companies(at);
    let proposed = done(at, &create("INV-1", "2030-01-31"));
    assert_eq!(
        (proposed["phase"].as_str(), proposed["undecided"].as_bool()),
        (Some("collecting"), Some(true))
    );
    let asked = done(at, &["invoice", "requests", "--org", "globex"]);
    assert_eq!(
        (asked[0]["commands"][0].as_str(), asked.as_array().unwrap().len()),
        (Some("native:invoice Create"), 1)
    );
    assert_eq!(
        refusal(at, &["invoice", "pay", "INV-1", "--org", "globex"]),
        (2, "NO_SUCH_INVOICE".to_owned())
    );
    assert_eq!(phase(at, &["invoice", "accept", "INV-1", "--org", "globex"]), "final");
    becomes(at, "acme", "INV-1", "ACCEPTED");

    let sell = ["invoice", "factor", "INV-1", "--org", "acme", "--factor", "bank", "--advance", "950.00"];
    assert_eq!(refusal(at, &sell), (2, "NO_EVIDENCE".to_owned()), "the factor pays first");
    let fund = ["invoice", "fund", "INV-1", "--org", "bank", "--seller", "acme", "--amount"];
    let paid = done(at, &[&fund[..], &["950.00", "-o", "advance.json"]].concat());
    assert_eq!(paid["paid"]["units"], "95000");
    assert_eq!(done(at, &[&fund[..], &["950.00"]].concat())["evidence"], paid["evidence"], "paid once");
    assert_eq!(refusal(at, &[&fund[..], &["900.00"]].concat()), (2, "CONFLICT".to_owned()));
    assert_eq!((has(at, "acme"), has(at, "bank")), ("950.00".to_owned(), "50.00".to_owned()));
    let short = [&sell[..8], &["900.00"]].concat();
    assert_eq!(refusal(at, &short).0, 1, "less than was paid");
    let sold = done(at, &[&sell[..], &["--evidence", "advance.json"]].concat());
    assert_eq!(
        (sold["phase"].as_str(), sold["waits_for"].as_array().map(Vec::len)),
        (Some("collecting"), Some(2))
    );
    done(at, &["invoice", "approve", "INV-1", "--org", "bank"]);
    assert_eq!(phase(at, &["invoice", "approve", "INV-1", "--org", "globex"]), "final");
    let of_bank = becomes(at, "bank", "INV-1", "ACCEPTED");
    assert_eq!(of_bank["invoice"]["content"]["finance"]["discount"], "5000");

    assert_eq!(phase(at, &["invoice", "pay", "INV-1", "--org", "globex", "--amount", "400.00"]), "final");
    becomes(at, "globex", "INV-1", "PARTIALLY_PAID");
    assert_eq!(phase(at, &["invoice", "pay", "INV-1", "--org", "globex"]), "final");
    let last = becomes(at, "bank", "INV-1", "PAID");
    assert_eq!((has(at, "globex"), has(at, "bank")), ("0".to_owned(), "1050.00".to_owned()));
    assert_eq!(
        refusal(at, &["invoice", "pay", "INV-1", "--org", "globex"]),
        (2, "BAD_TRANSITION".to_owned())
    );
    assert_eq!(done(at, &["invoice", "list", "--org", "acme"])["items"].as_array().map(Vec::len), Some(1));

    // Whoever has the genesis verifies the last step, with nobody to ask.
    let tx = last["invoice"]["place"]["tx_id"].as_str().unwrap().to_owned();
    done(at, &["ledger", "prove", "tx", &tx, "-o", "paid.json"]);
    assert_eq!(up.signal("-TERM").0, 0);
    let genesis = at.join("stateset-data/ledger/genesis.json");
    let outside = tempfile::tempdir().unwrap();
    fs::copy(genesis, outside.path().join("genesis.json")).unwrap();
    fs::copy(at.join("paid.json"), outside.path().join("paid.json")).unwrap();
    let verify = ["ledger", "verify", "paid.json", "--genesis", "genesis.json", "--tx", &tx];
    assert_eq!(run(outside.path(), &verify).0, 0);
    assert_eq!(refusal(at, &["invoice", "list", "--org", "acme"]), (1, "SERVER_UNREACHABLE".to_owned()));
}

/// Money left for a step that could not follow: a walk found five ways.
#[test]
fn nothing_is_paid_for_a_step_that_cannot_follow() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let _up = Up::start(at);
    companies(at);
    done(at, &create("V", "2030-01-31"));
    done(at, &["invoice", "approve", "V", "--org", "globex"]);
    becomes(at, "acme", "V", "ISSUED");
    let fund = ["invoice", "fund", "V", "--org", "bank", "--seller", "acme", "--amount"];
    assert_eq!(
        refusal(at, &[&fund[..], &["950.00"]].concat()),
        (2, "BAD_TRANSITION".to_owned()),
        "not accepted"
    );
    assert_eq!(phase(at, &["invoice", "accept", "V", "--org", "globex"]), "final");
    becomes(at, "acme", "V", "ACCEPTED");
    assert_eq!(refusal(at, &[&fund[..], &["1000.01"]].concat()), (2, "BAD_AMOUNT".to_owned()));
    let own = ["invoice", "fund", "V", "--org", "globex", "--seller", "acme", "--amount", "1"];
    assert_eq!(refusal(at, &own), (2, "BAD_TRANSITION".to_owned()), "the payer");

    // A second invoice of the same number is not signed by the way.
    done(at, &create("V", "2031-01-31"));
    assert_eq!(refusal(at, &["invoice", "accept", "V", "--org", "globex"]), (2, "AMBIGUOUS".to_owned()));
    done(at, &["invoice", "decline", "V", "--org", "globex"]);

    // Acme calls it off; globex does not pay meanwhile, and once it has paid, does not sign that.
    done(at, &["invoice", "void", "V", "--org", "acme"]);
    assert_eq!(refusal(at, &["invoice", "pay", "V", "--org", "globex"]), (2, "CONFLICT".to_owned()));
    assert_eq!(has(at, "globex"), "1000.00");
    done(at, &["invoice", "decline", "V", "--org", "globex"]);
    assert_eq!(phase(at, &["invoice", "pay", "V", "--org", "globex", "--amount", "999.00"]), "final");
    becomes(at, "globex", "V", "PARTIALLY_PAID");
    done(at, &create("W", "2030-01-31"));
    done(at, &["invoice", "approve", "W", "--org", "globex"]);
    becomes(at, "globex", "W", "ISSUED");
    let poor = ["invoice", "pay", "W", "--org", "globex", "--amount", "1.01"];
    assert_eq!(refusal(at, &poor).1, "INSUFFICIENT_FUNDS");
    assert_eq!(phase(at, &["invoice", "pay", "W", "--org", "globex", "--amount", "1.00"]), "final");
}

fn vault(at: &Path, org: &str) -> PathBuf {
    at.join("stateset-data/ledger/orgs").join(org)
}

/// The demo tells what the notary does with a node that does not catch up.
#[test]
fn books_from_before_a_step_and_lost_books_catch_up_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let up = Up::start(at);
    companies(at);
    done(at, &create("INV-2", "2020-01-31"));
    assert_eq!(phase(at, &["invoice", "accept", "INV-2", "--org", "globex"]), "final");
    becomes(at, "acme", "INV-2", "ACCEPTED");
    assert_eq!(up.signal("-TERM").0, 0);
    let files = fs::read_dir(vault(at, "acme")).unwrap().map(|file| file.unwrap().path());
    let before: Vec<_> = files.map(|file| (file.clone(), fs::read(file).unwrap())).collect();
    assert_eq!(before.len(), 2, "closed: a vault and its sessions, nothing beside them");

    let up = Up::start(at);
    assert_eq!(phase(at, &["invoice", "overdue", "INV-2", "--org", "acme"]), "final");
    assert_eq!(up.signal("-TERM").0, 0);
    before.iter().for_each(|(file, bytes)| fs::write(file, bytes).unwrap());

    let up = Up::start(at);
    becomes(at, "acme", "INV-2", "OVERDUE");
    assert_eq!(refusal(at, &["invoice", "overdue", "INV-2", "--org", "acme"]).0, 1);
    becomes(at, "globex", "INV-2", "OVERDUE");

    // A vault that is lost is made anew from the ledger and the keys.
    assert_eq!(up.signal("-TERM").0, 0);
    fs::remove_dir_all(vault(at, "acme")).unwrap();
    let _up = Up::start(at);
    let shown = becomes(at, "acme", "INV-2", "OVERDUE");
    assert_eq!(shown["history"].as_array().map(Vec::len), Some(3), "{shown}");
}

#[test]
fn what_another_company_proposes_is_declined_and_strangers_ask_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let up = Up::start(at);
    companies(at);
    done(at, &create("INV-3", "2030-01-31"));
    let decline = ["invoice", "decline", "INV-3", "--org", "globex", "--reason", "we ordered nothing"];
    assert_eq!(phase(at, &decline), "ended");
    assert_eq!(refusal(at, &decline), (2, "NO_SUCH_REQUEST".to_owned()));
    assert_eq!(done(at, &["invoice", "list", "--org", "globex"])["items"].as_array().map(Vec::len), Some(0));
    let wrong = [
        (vec!["--amount", "10.001"], "BAD_AMOUNT"),
        (vec!["--amount", "10", "--currency", "doubloon"], "BAD_CURRENCY"),
        (vec!["--line", "A:2"], "BAD_LINE"),
        (vec!["--line", "A:2:1.50:a cup", "--amount", "4.00"], "BAD_AMOUNT"),
    ];
    let base = "invoice create --org acme --to globex --number X --due 2030-01-31";
    for (more, code) in wrong {
        let args: Vec<&str> = base.split(' ').chain(more).collect();
        assert_eq!(refusal(at, &args), (2, code.to_owned()), "{args:?}");
    }
    let lines: Vec<&str> =
        base.split(' ').chain(["--line", "A:2:1.50:a cup", "--line", "B:1:0.99"]).collect();
    assert_eq!(done(at, &lines)["content"]["total"], "399");

    let at_file = at.join("stateset-data/ledger/node.json");
    let known: Value = serde_json::from_slice(&fs::read(&at_file).unwrap()).unwrap();
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let url = format!("{}/orgs", known["url"].as_str().unwrap());
    assert_eq!(agent.get(&url).call().unwrap().status().as_u16(), 401);
    let wrong = agent.get(&url).header("authorization", "Bearer 00").call().unwrap();
    assert_eq!(wrong.status().as_u16(), 401);
    use std::os::unix::fs::PermissionsExt as _;
    for private in [at_file, vault(at, "acme")] {
        let mode = fs::metadata(&private).unwrap().permissions().mode() & 0o077;
        assert_eq!(mode, 0, "{}", private.display());
    }
    assert_eq!(up.signal("-TERM").0, 0);
}
