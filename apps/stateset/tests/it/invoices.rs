//! An invoice between three companies by the commands of their users, from issue to payment; a double spend; a lost vault.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stateset_contracts::InvoiceCommand;
use stateset_contracts::invoice::Terms;
use stateset_ledger_types::codec::Text;
use stateset_ledger_types::ids::{Denom, Units};

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

/// One that is due already, as a program brings it from another system: the command line takes none.
fn create_late(at: &Path, number: &str) {
    let id = |org: &str| done(at, &["org", "show", org])["entity_id"].as_str().unwrap().parse().unwrap();
    let (party, counterparty) = (id("acme"), id("globex"));
    let terms = Terms {
        number: Text::new(number).unwrap(),
        party,
        counterparty,
        extensions: Default::default(),
        name: Text::default(),
        billing_reason: Text::default(),
        denom: Denom::new("usd").unwrap(),
        lines: Default::default(),
        subtotal: Units(100_000),
        tax: Units(0),
        // 2020-01-31
        due_date: 1_580_428_800_000,
        period: None,
        po_ref: None,
        agreement_ref: None,
    };
    let command = InvoiceCommand::Create(Box::new(terms));
    let body = json!({"on": null, "command": command, "parties": [party, counterparty]});
    let (status, said) = call(at, "POST", "/orgs/acme/invoices?wait_ms=20000", &body.to_string());
    assert_eq!(status, 200, "{said}");
}

/// The nodes' API, with its token: status and body.
pub fn call(at: &Path, method: &str, path: &str, body: &str) -> (u16, Value) {
    let known = fs::read(at.join("stateset-data/ledger/node.json")).unwrap();
    let known: Value = serde_json::from_slice(&known).unwrap();
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{}{path}", known["url"].as_str().unwrap()))
        // The scheme's name has no case.
        .header("authorization", format!("bearer {}", known["token"].as_str().unwrap()))
        .header("content-type", "application/json")
        .body(body.to_owned())
        .unwrap();
    let mut answer = agent.run(request).unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or_default())
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
    // The factor enters it as financed first: a copy under another id has the same fingerprint.
    let register = |org: &'static str| ["invoice", "register", "INV-1", "--org", org];
    assert_eq!(refusal(at, &register("acme")), (1, "NOT_AUTHORISED".to_owned()));
    done(at, &register("bank"));
    assert_eq!(refusal(at, &register("bank")), (1, "DUPLICATE_FINANCE".to_owned()));
    done(at, &["invoice", "approve", "INV-1", "--org", "bank"]);
    assert_eq!(phase(at, &["invoice", "approve", "INV-1", "--org", "globex"]), "final");
    let of_bank = becomes(at, "bank", "INV-1", "ACCEPTED");
    assert_eq!(of_bank["invoice"]["content"]["finance"]["discount"], "5000");

    // Who does not owe it would pay the factor for nothing: nothing moves.
    let before = has(at, "acme");
    assert_eq!(
        refusal(at, &["invoice", "pay", "INV-1", "--org", "acme", "--amount", "1.00"]),
        (1, "NOT_AUTHORISED".to_owned())
    );
    assert_eq!(has(at, "acme"), before);
    assert_eq!(phase(at, &["invoice", "pay", "INV-1", "--org", "globex", "--amount", "400.00"]), "final");
    becomes(at, "globex", "INV-1", "PARTIALLY_PAID");
    assert_eq!(phase(at, &["invoice", "pay", "INV-1", "--org", "globex"]), "final");
    let last = becomes(at, "bank", "INV-1", "PAID");
    assert_eq!((has(at, "globex"), has(at, "bank")), ("0".to_owned(), "1050.00".to_owned()));
    assert_eq!(
        refusal(at, &["invoice", "pay", "INV-1", "--org", "globex"]),
        (1, "BAD_TRANSITION".to_owned())
    );
    assert_eq!(refusal(at, &sell), (1, "BAD_TRANSITION".to_owned()), "its status, and no amount");
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
    assert_eq!(refusal(at, &["invoice", "list", "--org", "acme"]), (1, "NODE_UNREACHABLE".to_owned()));

    // Every vault is lost at once. The bank took no part in what is behind its invoice, and has that too.
    for org in ["acme", "globex", "bank"] {
        fs::remove_dir_all(vault(at, org)).unwrap();
    }
    let _up = Up::start(at);
    for (org, versions) in [("bank", 3), ("acme", 5), ("globex", 5)] {
        let shown = becomes(at, org, "INV-1", "PAID");
        assert_eq!(shown["history"].as_array().map(Vec::len), Some(versions), "{org}: {shown}");
    }
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
        (1, "BAD_TRANSITION".to_owned()),
        "not accepted"
    );
    assert_eq!(phase(at, &["invoice", "accept", "V", "--org", "globex"]), "final");
    becomes(at, "acme", "V", "ACCEPTED");
    assert_eq!(refusal(at, &[&fund[..], &["1000.01"]].concat()), (2, "BAD_AMOUNT".to_owned()));
    let in_euro = [&fund[..], &["950.00", "--currency", "eur"]].concat();
    assert_eq!(refusal(at, &in_euro), (2, "BAD_CURRENCY".to_owned()));
    let own = ["invoice", "fund", "V", "--org", "globex", "--seller", "acme", "--amount", "1"];
    assert_eq!(refusal(at, &own), (1, "BAD_TRANSITION".to_owned()), "the payer");

    let to_itself = "invoice create --org acme --to acme --number S --amount 1 --due 2031-01-31";
    let to_itself: Vec<_> = to_itself.split(' ').collect();
    assert_eq!(refusal(at, &to_itself), (2, "BAD_COUNTERPARTY".to_owned()));

    // A seller uses a number once; another's invoice of the same number is not signed by the way.
    assert_eq!(refusal(at, &create("V", "2031-01-31")), (2, "CONFLICT".to_owned()));
    let of_bank = "invoice create --org bank --to globex --number V --amount 1 --due 2031-01-31";
    done(at, &of_bank.split(' ').collect::<Vec<_>>());
    assert_eq!(refusal(at, &["invoice", "accept", "V", "--org", "globex"]), (2, "AMBIGUOUS".to_owned()));
    done(at, &["invoice", "decline", "V", "--org", "globex"]);
    assert_eq!(done(at, &["invoice", "requests", "--org", "globex"]), Value::Array(Vec::new()));
    let all = done(at, &["invoice", "requests", "--org", "globex", "--all"]);
    let ended = all.as_array().unwrap().iter().filter(|flow| flow["phase"] == "ended").count();
    assert_eq!((all.as_array().map(Vec::len), ended), (Some(2), 1), "{all}");

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
    assert_eq!(refusal(at, &create("INV-2", "2020-01-31")), (2, "BAD_DUE".to_owned()));
    create_late(at, "INV-2");
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
    let digests = ["acme", "globex"].map(|org| digest(at, org));
    assert_ne!(digests[0], digests[1], "of one company");

    // A vault that is lost is made anew from the ledger and the keys.
    assert_eq!(up.signal("-TERM").0, 0);
    // Nobody else has anything either: the notary's capsules are enough.
    for org in ["acme", "globex", "bank"] {
        fs::remove_dir_all(vault(at, org)).unwrap();
    }
    let _up = Up::start(at);
    let shown = becomes(at, "acme", "INV-2", "OVERDUE");
    assert_eq!(shown["history"].as_array().map(Vec::len), Some(3), "{shown}");
    assert_eq!(["acme", "globex"].map(|org| digest(at, org)), digests, "the same vaults");
    assert_eq!(phase(at, &["invoice", "pay", "INV-2", "--org", "globex", "--amount", "1"]), "final");
    assert_ne!(digest(at, "globex"), digests[1]);
}

/// Of a company's vault, once its node is abreast of the ledger.
fn digest(at: &Path, org: &str) -> String {
    let started = Instant::now();
    loop {
        let said = done(at, &["org", "vault", org]);
        if said["ready"] == true {
            return said["digest"].as_str().unwrap().to_owned();
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{said}");
        std::thread::sleep(Duration::from_millis(50));
    }
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
        (vec!["--amount", "0"], "BAD_AMOUNT"),
        (vec!["--line", "A:2:0"], "BAD_AMOUNT"),
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

/// The rest of the table: a dispute and its end, a claim that goes on to a second factor and back, another seller.
#[test]
fn what_is_owed_and_to_whom_changes_by_the_steps_of_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let _up = Up::start(at);
    companies(at);
    done(at, &["org", "create", "fund", "--role", "factor"]);
    done(at, &["org", "deposit", "acme", "1000"]);
    create_late(at, "L");
    assert_eq!(phase(at, &["invoice", "accept", "L", "--org", "globex"]), "final");
    becomes(at, "globex", "L", "ACCEPTED");
    let step = |org: &str, args: &[&str], approve: &[&str]| {
        done(at, &[&["invoice"], args, &["--org", org]].concat());
        approve.iter().for_each(|by| drop(done(at, &["invoice", "approve", "L", "--org", by])));
    };

    step("globex", &["dispute", "L"], &["acme"]);
    becomes(at, "acme", "L", "DISPUTED");
    let nothing_said = refusal(at, &["invoice", "settle-dispute", "L", "--org", "acme"]);
    assert_eq!(nothing_said.0, 2, "what is owed instead has to be said");
    step("acme", &["settle-dispute", "L", "--amount", "900.00"], &["globex"]);
    assert_eq!(becomes(at, "acme", "L", "ACCEPTED")["invoice"]["content"]["total"], "90000");
    becomes(at, "globex", "L", "ACCEPTED");

    let back = ["invoice", "recourse", "L", "--org", "acme", "--fee", "10.00"];
    assert_eq!(refusal(at, &back), (1, "BAD_TRANSITION".to_owned()), "it is not sold");
    done(at, &["invoice", "fund", "L", "--org", "bank", "--seller", "acme", "--amount", "850"]);
    step("acme", &["factor", "L", "--factor", "bank", "--advance", "850", "--recourse"], &["bank", "globex"]);
    becomes(at, "bank", "L", "ACCEPTED");
    step("bank", &["refactor", "L", "--factor", "fund"], &["fund", "globex"]);
    becomes(at, "fund", "L", "ACCEPTED");
    becomes(at, "acme", "L", "ACCEPTED");
    assert_eq!(refusal(at, &back), (1, "BAD_TRANSITION".to_owned()), "it is not overdue");
    step("fund", &["overdue", "L"], &[]);
    becomes(at, "acme", "L", "OVERDUE");
    let before = has(at, "fund");
    step("acme", &["recourse", "L", "--fee", "10.00"], &["fund"]);
    assert_eq!((before.as_str(), has(at, "fund").as_str()), ("0", "910.00"), "what remained, and the fee");
    let started = Instant::now();
    while !done(at, &["invoice", "show", "L", "--org", "acme"])["invoice"]["content"]["factor"].is_null() {
        assert!(started.elapsed() < Duration::from_secs(20), "it is acme's again");
        std::thread::sleep(Duration::from_millis(50));
    }

    step("acme", &["transfer", "L", "--to", "bank"], &["bank", "globex"]);
    let bank = done(at, &["org", "show", "bank"])["entity_id"].clone();
    let started = Instant::now();
    while done(at, &["invoice", "show", "L", "--org", "globex"])["invoice"]["content"]["party"] != bank {
        assert!(started.elapsed() < Duration::from_secs(20), "the bank is its seller");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_company_sees_and_takes_back_what_it_proposes_and_is_told_why_it_was_declined() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let _up = Up::start(at);
    companies(at);
    let proposals = |more: &[&str]| done(at, &[&["invoice", "proposals", "--org", "acme"], more].concat());
    assert_eq!(proposals(&[]), json!([]));
    done(at, &create("P-1", "2030-01-31"));
    done(at, &create("P-2", "2030-01-31"));
    assert_eq!(refusal(at, &create("P-1", "2030-01-31")), (2, "CONFLICT".to_owned()), "it is proposed");
    let open = proposals(&[]);
    assert_eq!(open.as_array().map(Vec::len), Some(2), "{open}");
    let globex = done(at, &["org", "show", "globex"])["entity_id"].clone();
    assert_eq!(open[0]["waits_for"], json!([globex]));

    let withdraw = ["invoice", "withdraw", "P-1", "--org", "acme", "--reason", "the wrong amount"];
    assert_eq!(phase(at, &withdraw), "ended");
    assert_eq!(refusal(at, &withdraw), (2, "NO_SUCH_PROPOSAL".to_owned()));
    let strange = ["invoice", "withdraw", "P-2", "--org", "globex"];
    assert_eq!(refusal(at, &strange), (2, "NO_SUCH_PROPOSAL".to_owned()), "it is not globex's");
    let started = Instant::now();
    while done(at, &["invoice", "requests", "--org", "globex"]).as_array().map(Vec::len) != Some(1) {
        assert!(started.elapsed() < Duration::from_secs(20), "globex is told");
        std::thread::sleep(Duration::from_millis(50));
    }

    done(at, &["invoice", "decline", "P-2", "--org", "globex", "--reason", "we ordered nothing"]);
    let started = Instant::now();
    while proposals(&[]) != json!([]) {
        assert!(started.elapsed() < Duration::from_secs(20), "acme is told");
        std::thread::sleep(Duration::from_millis(50));
    }
    let (status, said, _) = run(at, &["invoice", "proposals", "--org", "acme", "--all"]);
    assert_eq!(status, 0);
    assert!(said.contains("ended, NOT_AUTHORISED: withdrawn: the wrong amount"), "{said}");
    assert!(said.contains("ended, NOT_AUTHORISED: we ordered nothing"), "{said}");
    done(at, &create("P-1", "2030-01-31"));
}

#[test]
fn the_nodes_api_says_what_is_wrong_with_a_request() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let _up = Up::start(at);
    let code = |method: &str, path: &str, body: &str| {
        let (status, said) = call(at, method, path, body);
        (status, said["error"]["code"].as_str().unwrap_or_default().to_owned())
    };
    let long = format!("\"{}\"", "x".repeat(3 << 20));
    for (asked, expected) in [
        (code("GET", "/orgs", ""), (200, "")),
        (code("DELETE", "/orgs", ""), (405, "METHOD_NOT_ALLOWED")),
        (code("GET", "/nothing", ""), (404, "NOT_FOUND")),
        (code("POST", "/orgs/acme/payments", &long), (413, "TOO_LARGE")),
        (code("POST", "/orgs/acme/payments", "{"), (400, "MALFORMED")),
        (code("POST", "/orgs/acme/payments", "{}"), (400, "MALFORMED")),
    ] {
        assert_eq!((asked.0, asked.1.as_str()), expected);
    }
}
