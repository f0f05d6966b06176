//! Money of companies by the commands of their users: every operation of the bank, balances after it, and the audit.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::invoices::done;
use crate::ledger::refusal;
use crate::run;
use crate::service::Up;

/// Words of a command; the ids in it stand as they are.
fn asks(at: &Path, command: &str) -> Value {
    done(at, &command.split_whitespace().collect::<Vec<_>>())
}

fn refused(at: &Path, command: &str) -> (i32, String) {
    refusal(at, &command.split_whitespace().collect::<Vec<_>>())
}

/// What acme, globex and bank have in usd, after the audit found every unit of it.
fn held(at: &Path) -> [String; 3] {
    let audit = asks(at, "bank audit");
    let usd = audit.as_array().unwrap().iter().find(|one| one["currency"] == "usd").unwrap();
    let cents = |part: &str| usd[part].as_str().unwrap().replace('.', "").parse::<u64>().unwrap();
    assert_eq!(cents("supply"), cents("held") + cents("escrows") + cents("channels"), "{audit}");
    let all = asks(at, "bank balance acme globex bank");
    [0, 1, 2].map(|n| all[n]["balances"][0]["amount"].as_str().unwrap_or("0").to_owned())
}

fn companies(at: &Path) {
    for org in ["acme", "globex", "bank --role arbiter"] {
        asks(at, &format!("org create {org}"));
    }
    asks(at, "org deposit acme 100.00");
    assert_eq!(held(at), ["100.00", "0", "0"]);
}

fn transfers(at: &Path) {
    let paid = asks(at, "bank transfer 10.50 --org acme --to globex");
    assert_eq!(held(at), ["89.50", "10.50", "0"]);
    let shown = asks(at, &format!("bank show {}", paid["payment"].as_str().unwrap()));
    assert_eq!((&shown["status"], &shown["amount"]["amount"]), (&"COMPLETED".into(), &"10.50".into()));
    let id = asks(at, "org show globex")["entity_id"].as_str().unwrap().to_owned();
    asks(at, &format!("bank transfer 0.50 --org acme --to {id}"));

    for (command, code) in [
        ("bank transfer 1000 --org acme --to globex", (1, "INSUFFICIENT_FUNDS")),
        ("bank transfer 0 --org acme --to globex", (2, "BAD_AMOUNT")),
        ("bank transfer 1.001 --org acme --to globex", (2, "BAD_AMOUNT")),
        ("bank transfer 1 --org acme --to nobody", (2, "NO_SUCH_ORG")),
        ("bank transfer 1 --org nobody --to acme", (2, "NO_SUCH_ORG")),
        ("bank transfer 1 --currency yen --org acme --to globex", (2, "BAD_CURRENCY")),
        (&format!("bank transfer 1 --org acme --to {}", "07".repeat(20)), (1, "UNKNOWN_ENTITY")),
    ] {
        assert_eq!(refused(at, command), (code.0, code.1.to_owned()), "{command}");
    }
    let reference = "ab".repeat(32);
    let once = format!("bank transfer 1 --org acme --to globex --reference {reference}");
    asks(at, &once);
    assert_eq!(refused(at, &once), (1, "CONFLICT".to_owned()));
    let (status, _, said) = run(at, &["bank", "transfer", "0", "--org", "acme", "--to", "globex"]);
    assert_eq!(status, 2);
    assert!(said.contains("AMOUNT 0: give more than zero usd\n  code: BAD_AMOUNT"), "{said}");
    assert_eq!(held(at), ["88.00", "12.00", "0"]);
}

fn batches(at: &Path) {
    fs::write(at.join("pay.csv"), "to,amount\nglobex,1.00\nbank,2.00\n").unwrap();
    let paid = asks(at, "bank batch pay.csv --org acme");
    assert_eq!(paid["transfers"].as_array().unwrap().len(), 2);
    let second = paid["transfers"][1]["payment"].as_str().unwrap();
    assert_eq!(asks(at, &format!("bank show {second}"))["amount"]["amount"], "2.00");
    assert_eq!(held(at), ["85.00", "13.00", "2.00"]);
    // The second is not covered, so the first is not made.
    fs::write(at.join("pay.json"), r#"[{"to": "globex", "amount": "80"}, {"to": "bank", "amount": "6"}]"#)
        .unwrap();
    assert_eq!(refused(at, "bank batch pay.json --org acme"), (1, "INSUFFICIENT_FUNDS".to_owned()));
    fs::write(at.join("bad.csv"), "globex,1.00\nbank\n").unwrap();
    assert_eq!(refused(at, "bank batch bad.csv --org acme"), (2, "BAD_FILE".to_owned()));
    let (_, _, said) = run(at, &["bank", "batch", "bad.csv", "--org", "acme"]);
    assert!(said.contains("line 2"), "{said}");
    assert_eq!(held(at), ["85.00", "13.00", "2.00"]);
}

/// A moment so many seconds from now, as the command line takes it.
fn in_seconds(seconds: i64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    ves::TimestampMs(i64::try_from(now.as_millis()).unwrap() + seconds * 1_000).to_string()
}

fn id_of(said: &Value, name: &str) -> String {
    said[name].as_str().unwrap().to_owned()
}

fn escrows(at: &Path) {
    let (day, far) = (in_seconds(86_400), "2999-12-31");
    let open = |until: &str, more: &str| {
        format!("bank escrow open 20 --org acme --to globex --until {until} {more}")
    };
    assert_eq!(refused(at, &open(far, "")), (1, "INVARIANT".to_owned()), "longer than the ledger allows");
    assert_eq!(refused(at, &open("tomorrow", "")).0, 2);
    assert_eq!(refused(at, &open(&day, "--arbiter globex")), (1, "NOT_AUTHORISED".to_owned()));

    let first = id_of(&asks(at, &open(&day, "")), "escrow");
    assert_eq!(held(at), ["65.00", "13.00", "2.00"]);
    let release = |id: &str, org: &str| format!("bank escrow release {id} --org {org}");
    assert_eq!(refused(at, &release(&first, "globex")), (1, "NOT_AUTHORISED".to_owned()));
    assert_eq!(asks(at, &release(&first, "acme"))["status"], "COMPLETED");
    assert_eq!(refused(at, &release(&first, "acme")), (1, "BAD_TRANSITION".to_owned()));
    assert_eq!(held(at), ["65.00", "33.00", "2.00"]);

    // The parties disagree: part goes back, and the arbiter gives the rest to the payee.
    let second = id_of(&asks(at, &open(&day, "--arbiter bank")), "escrow");
    let back = asks(at, &format!("bank escrow refund {second} --org bank --amount 5"));
    assert_eq!((&back["status"], &back["locked"]["amount"]), (&"PENDING".into(), &"15.00".into()));
    assert_eq!(held(at), ["50.00", "33.00", "2.00"]);
    asks(at, &release(&second, "bank"));
    let shown = asks(at, &format!("bank escrow show {second}"));
    assert_eq!((&shown["status"], &shown["amount"]["amount"]), (&"COMPLETED".into(), &"15.00".into()));

    let third = id_of(&asks(at, &open(&day, "")), "escrow");
    let back = asks(at, &format!("bank escrow refund {third} --org globex"));
    assert_eq!((&back["status"], &back["locked"]["units"]), (&"REFUNDED".into(), &"0".into()));
    assert_eq!(held(at), ["50.00", "48.00", "2.00"]);
    assert_eq!(refused(at, &format!("bank escrow show {}", "07".repeat(36))), (2, "NOT_FOUND".to_owned()));
}

fn channels(at: &Path) {
    let open = |until: &str| format!("bank channel open 30 --org acme --to globex --until {until}");
    let channel = id_of(&asks(at, &open(&in_seconds(86_400))), "channel");
    assert_eq!(held(at), ["20.00", "48.00", "2.00"]);
    let promise = |total: &str, file: &str, org: &str| {
        format!("bank channel update {channel} {total} --org {org} -o {file}")
    };
    asks(at, &promise("10", "ten.json", "acme"));
    asks(at, &promise("25", "more.json", "acme"));
    assert_eq!(refused(at, &promise("31", "too.json", "acme")), (2, "BAD_AMOUNT".to_owned()));
    assert_eq!(refused(at, &promise("26", "not.json", "globex")), (1, "NOT_AUTHORISED".to_owned()));
    assert_eq!(held(at), ["20.00", "48.00", "2.00"], "promises move nothing");
    let claimed = asks(at, "bank channel claim more.json --org globex");
    assert_eq!((&claimed["claimed"]["amount"], &claimed["open"]), (&"25.00".into(), &true.into()));
    assert_eq!(refused(at, "bank channel claim ten.json --org globex"), (1, "BAD_SEQUENCE".to_owned()));
    assert_eq!(held(at), ["20.00", "73.00", "2.00"]);
    let close = |id: &str, org: &str| format!("bank channel close {id} --org {org}");
    assert_eq!(refused(at, &close(&channel, "acme")), (1, "NOT_AUTHORISED".to_owned()));
    assert_eq!(asks(at, &close(&channel, "globex"))["open"], false);
    let shown = asks(at, &format!("bank channel show {channel}"));
    assert_eq!((&shown["open"], &shown["claimed"]["amount"]), (&false.into(), &"25.00".into()));
    assert_eq!(held(at), ["25.00", "73.00", "2.00"]);
}

/// What nobody takes in time goes back: an escrow by itself, a channel when its payer closes it.
fn expiries(at: &Path) {
    let soon = in_seconds(3);
    let escrow = format!("bank escrow open 4 --org acme --to globex --until {soon}");
    let escrow = id_of(&asks(at, &escrow), "escrow");
    let channel = format!("bank channel open 6 --org acme --to globex --until {soon}");
    let channel = id_of(&asks(at, &channel), "channel");
    assert_eq!(held(at)[0], "15.00");
    // Blocks come with requests.
    let ended = (0..60).any(|_| {
        asks(at, "bank transfer 0.01 --org globex --to globex");
        asks(at, &format!("bank escrow show {escrow}"))["status"] == "CANCELLED"
    });
    assert!(ended, "the escrow has not expired");
    assert_eq!(held(at)[0], "19.00");
    asks(at, &format!("bank channel close {channel} --org acme"));
    assert_eq!(held(at), ["25.00", "73.00", "2.00"]);
}

fn mandates(at: &Path) {
    let until = in_seconds(86_400);
    let mandate = |org: &str, cap: &str| {
        format!("bank mandate {cap} --org {org} --merchant bank --until {until} -o {org}.json")
    };
    asks(at, &mandate("acme", "12"));
    asks(at, &mandate("globex", "3"));
    let collected = asks(at, "bank collect --org bank --charge acme.json=5 --charge globex.json=3.00");
    assert_eq!(collected["collected"][1]["amount"], "3.00");
    assert_eq!(held(at), ["20.00", "70.00", "10.00"]);
    // The second is over its cap: the first is not collected either.
    let over = "bank collect --org bank --charge acme.json=1 --charge globex.json=0.01";
    assert_eq!(refused(at, over), (1, "NOT_AUTHORISED".to_owned()));
    assert_eq!(
        refused(at, "bank collect --org acme --charge globex.json=1"),
        (1, "NOT_AUTHORISED".to_owned())
    );
    assert_eq!(held(at), ["20.00", "70.00", "10.00"]);
}

fn supply(at: &Path) {
    assert_eq!(refused(at, "bank mint 5 --org acme --to globex"), (1, "NOT_AUTHORISED".to_owned()));
    asks(at, "ledger propose member acme --issuer-of usd --voting-power 1 --vote");
    asks(at, "bank mint 5 --org acme --to acme");
    asks(at, "bank mint 1 --to globex");
    assert_eq!(held(at), ["25.00", "71.00", "10.00"]);
    asks(at, "bank burn 15 --org acme");
    assert_eq!(refused(at, "bank burn 15 --org acme"), (1, "INSUFFICIENT_FUNDS".to_owned()));
    assert_eq!(refused(at, "bank burn 1 --org globex"), (1, "NOT_AUTHORISED".to_owned()));
    assert_eq!(held(at), ["10.00", "71.00", "10.00"]);
    assert_eq!(asks(at, "bank audit")[1]["supply"], "91.00");
}

/// Acme votes since it was given weight; the founder, whom no --org names, has as much.
fn votes(at: &Path) {
    fs::write(at.join("charter.txt"), "We settle on Fridays.\n").unwrap();
    let proposed = asks(at, "ledger propose text charter.txt --title Fridays --org acme");
    let id = proposed["id"].to_string();
    assert_eq!((&proposed["status"], &proposed["content"]["title"]), (&"VOTING".into(), &"Fridays".into()));
    asks(at, &format!("ledger vote {id} veto --org acme"));
    asks(at, &format!("ledger vote {id} yes"));
    let votes = asks(at, &format!("ledger proposals {id}"))["votes"].clone();
    assert_eq!((&votes["yes"], &votes["veto"]), (&1.into(), &1.into()), "{votes}");
    let open = asks(at, "ledger proposals --open");
    assert_eq!((open.as_array().unwrap().len(), &open[0]["id"]), (1, &proposed["id"]));
    assert_eq!(refused(at, &format!("ledger vote {id} --org globex")), (1, "NOT_AUTHORISED".to_owned()));
    assert_eq!(refused(at, "ledger vote 999"), (2, "NOT_FOUND".to_owned()));
    // Votes count in blocks, and blocks come with requests.
    let ended = (0..30).find_map(|_| {
        asks(at, "bank transfer 0.01 --org globex --to globex");
        let shown = asks(at, &format!("ledger proposals {id}"));
        (shown["status"] != "VOTING").then_some(shown["status"].clone())
    });
    assert_eq!(ended, Some("VETOED".into()));
    let (_, said, _) = run(at, &["ledger", "proposals", &id]);
    assert!(said.contains("VETOED") && said.contains("Fridays"), "{said}");
}

#[test]
fn money_moves_by_every_operation_of_the_bank_and_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    assert_eq!(refused(at, "bank balance"), (0, String::new()), "no companies, nothing to ask for");
    assert_eq!(refused(at, "bank audit"), (2, "NO_LEDGER".to_owned()));
    let up = Up::start(at);
    companies(at);
    transfers(at);
    batches(at);
    escrows(at);
    channels(at);
    expiries(at);
    mandates(at);
    supply(at);
    votes(at);
    assert_eq!(held(at), ["10.00", "71.00", "10.00"]);
    assert_eq!(up.signal("-TERM").0, 0);
}
