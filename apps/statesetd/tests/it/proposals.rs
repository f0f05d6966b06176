//! What a founder proposes and votes on from the command line, every kind as the ledger carries it out.

use serde_json::Value;

use crate::alone::Alone;
use crate::networks::ask;

struct Founder {
    alone: Alone,
    id: String,
}

impl Founder {
    fn start() -> Self {
        let alone = Alone::start(&["--denom", "usd:2"]);
        let id = alone.founder().to_string();
        Self { alone, id }
    }

    fn propose(&self, args: &str) -> (Option<i32>, Value) {
        let words: Vec<&str> = args.split_whitespace().collect();
        ask(&[&["propose", "--home", &self.alone.home][..], &words].concat())
    }

    /// Proposed, voted for and carried out.
    fn decided(&self, args: &str) -> Value {
        let (code, said) = self.propose(&format!("{args} --vote"));
        assert_eq!((code, &said["status"]), (Some(0), &"EXECUTED".into()), "{args}: {said}");
        said
    }

    fn refused(&self, args: &str) -> (Option<i32>, String) {
        let (code, said) = self.propose(args);
        (code, said["error"]["code"].as_str().unwrap_or_default().to_owned())
    }

    fn vote(&self, proposal: &Value, choice: &str) -> Value {
        let (code, said) = ask(&["vote", &proposal["id"].to_string(), choice, "--home", &self.alone.home]);
        assert_eq!(code, Some(0), "{said}");
        said
    }

    fn shown(&self, proposal: &Value) -> Value {
        ask(&["proposals", &proposal["id"].to_string(), "--node", &self.alone.url]).1
    }
}

#[test]
fn a_member_proposes_every_kind_and_votes_with_every_choice() {
    let founder = Founder::start();
    let id = founder.id.clone();
    let file = founder.alone.folder.path().join("charter.txt");
    std::fs::write(&file, "We settle on Fridays.\n").unwrap();
    let file = file.to_str().unwrap();

    founder.decided("params max_batch=7 escrow_days_max=30");
    // The home may stand behind the kind, as the other options.
    let (code, said) = ask(&["propose", "params", "max_batch=7", "--vote", "--home", &founder.alone.home]);
    assert_eq!((code, &said["status"]), (Some(0), &"EXECUTED".into()), "{said}");
    let (code, said) = ask(&["propose", "params", "max_batch=7"]);
    assert_eq!((code, &said["error"]["code"]), (Some(2), &"NO_HOME".into()), "{said}");
    assert_eq!(founder.alone.decoded("/ssn/params/max_batch"), 7);
    assert_eq!(founder.refused("params max_batch=0"), (Some(2), "BAD_PARAM".to_owned()));
    assert_eq!(founder.refused("params no_such=1"), (Some(2), "BAD_PARAM".to_owned()));
    let over = "circuit-break notarise --until 2020-01-01";
    assert_eq!(founder.refused(over), (Some(2), "BAD_TIME".to_owned()));

    // The last vote counts.
    let (_, text) = founder.propose(&format!("text {file} --title Fridays"));
    assert_eq!((&text["status"], &text["content"]["title"]), (&"VOTING".into(), &"Fridays".into()), "{text}");
    for choice in ["no", "abstain", "veto"] {
        assert_eq!(founder.vote(&text, choice)["voted"], true);
        assert_eq!(founder.shown(&text)["votes"][choice], 1, "{choice}");
    }
    // Blocks come with what is decided besides.
    founder.decided("denom eur 2");
    founder.decided("params max_batch=8");
    assert_eq!(founder.shown(&text)["status"], "VETOED");
    let (code, late) = ask(&["vote", &text["id"].to_string(), "--home", &founder.alone.home]);
    assert_eq!((code, &late["error"]["code"]), (Some(1), &"BAD_TRANSITION".into()));

    // An upgrade is a committer's.
    let hash = "07".repeat(32);
    let upgrade = format!("upgrade next 100000 --binary-hash {hash} --info elsewhere");
    assert_eq!(founder.refused(&upgrade), (Some(1), "NOT_AUTHORISED".to_owned()));
    founder.decided(&format!("committers {id}"));
    founder.decided(&upgrade);
    assert_eq!(founder.alone.decoded("/ssn/gov/upgrade")["name"], "next");

    founder.decided(&format!("merchant-rate {id} 25"));
    let contract = format!("wasm:{hash} 1 {hash}");
    founder.decided(&format!("contract register {contract}"));
    founder.decided(&format!("contract activate {contract}"));
    founder.decided(&format!("contract deprecate {contract}"));
    founder.decided(&format!("validator {id} --power 20"));
    // One process has one key: with other validators it would end, and not start again.
    let second = format!("validator {id} --power 20 --key {}", "0".repeat(64));
    assert_eq!(founder.refused(&second), (Some(2), "ONE_VALIDATOR".to_owned()));
    assert_eq!(founder.refused(&format!("validator {id} --power 0")), (Some(2), "ONE_VALIDATOR".to_owned()));
    assert_eq!(founder.refused("suspend nobody --reason x"), (Some(2), "BAD_NAME".to_owned()));
    let member = format!("member {id} --voting-power 2");
    assert_eq!(founder.refused(&member), (Some(2), "NO_CERTIFICATE".to_owned()));

    // Notaries decide at once, and nothing of the kind is taken until they decide again.
    founder.decided("circuit-break public-tx --until 2999-12-31");
    let mint = ["mint", &id, "1", "usd", "--home", &founder.alone.home];
    assert_eq!(ask(&mint).1["error"]["code"], "CIRCUIT_OPEN");
    founder.decided("circuit-reset public-tx");
    assert_eq!(ask(&mint).0, Some(0));

    let (_, all) = ask(&["proposals", "--node", &founder.alone.url]);
    let kinds: Vec<String> = all
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|one| one["content"]["actions"][0].as_object().unwrap().keys().cloned())
        .collect();
    for kind in ["text", "param_change", "software_upgrade", "validator_change", "circuit_break"] {
        assert!(kinds.iter().any(|known| known == kind), "{kind} in {kinds:?}");
    }
    assert_eq!(ask(&["proposals", "--open", "--node", &founder.alone.url]).1, Value::Array(Vec::new()));
}
