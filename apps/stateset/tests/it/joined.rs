//! Two companies with machines of their own, and a ledger that a third one runs: three processes, three folders, nothing shared but
//! addresses. An invoice goes from create to pay while each of them is killed once.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::invoices::{becomes, call, done, phase};
use crate::ledger::refusal;
use crate::stateset;

const PATIENCE: Duration = Duration::from_secs(40);

/// A free address of this machine, which a process is to have over its restarts.
fn free() -> String {
    format!("127.0.0.1:{}", stateset_fixtures::free_port())
}

/// A process that says one line when it has started; killed when it is dropped.
struct Running(Child, Value);

impl Running {
    fn start(at: &Path, args: &[&str]) -> Self {
        let mut child = stateset(at).args(args).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self(child, serde_json::from_str(&line).unwrap_or_else(|_| panic!("{args:?} says {line:?}")))
    }
    fn node(at: &Path) -> Self {
        Self::start(at, &["--json", "org", "start"])
    }
    fn ledger(home: &Path) -> Self {
        Self::start(home, &["node", "start", "--home", ".", "--json"])
    }
    /// As a power cut does.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn folder(at: &Path, name: &str) -> PathBuf {
    let folder = at.join(name);
    fs::create_dir(&folder).unwrap();
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A company's machine: nobody types its passphrase when its node starts.
fn machine(at: &Path, name: &str) -> PathBuf {
    let (folder, keys) = (folder(at, name), at.join(name).join("stateset-data/keys"));
    fs::create_dir_all(&keys).unwrap();
    let file = keys.join("passphrase");
    fs::write(&file, "of a test\n").unwrap();
    for (path, mode) in [(&file, 0o600), (&keys, 0o700)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    folder
}

/// A ledger whose operator founded it: its home, where its RPC is, and where its capsule store.
fn founded(home: &Path) -> (String, String) {
    let (rpc, capsules) = (free(), free());
    let init = "node init --engine solo --home . --name notary --chain-id net-1 --denom usd:2";
    let args: Vec<&str> = init.split(' ').chain(["--rpc", &rpc, "--capsules", &capsules]).collect();
    done(home, &args[..]);
    (rpc, capsules)
}

/// Asks, is admitted, and joins by two nodes, the first of which is not there; returns the company's id.
fn joins(at: &Path, org: &str, ledger: &Path, rpc: &str, listen: &str) -> String {
    let (request, admission) = (at.join("request.json"), at.join("admission.json"));
    done(at, &["org", "request", org, "-o", text(&request)]);
    done(ledger, &["node", "org", "admit", text(&request), "--home", ".", "-o", text(&admission)]);
    let (genesis, url) = (ledger.join("genesis.json"), format!("http://{rpc}"));
    let (join, dead) = (["org", "join", org, "--admission", text(&admission)], format!("http://{}", free()));
    let of_ledger = ["--genesis", text(&genesis), "--ledger", &dead, "--ledger", &url, "--listen", listen];
    let record = done(at, &[&join[..], &of_ledger].concat());
    record["entity_id"].as_str().unwrap().to_owned()
}

fn requests(at: &Path, org: &str) -> usize {
    done(at, &["invoice", "requests", "--org", org]).as_array().map_or(0, Vec::len)
}

fn has(at: &Path, org: &str) -> String {
    done(at, &["org", "show", org])["balances"][0]["amount"].as_str().unwrap_or("0").to_owned()
}

#[test]
fn an_invoice_is_paid_between_two_machines_on_a_third_s_ledger_while_each_is_killed_once() {
    let all = tempfile::tempdir().unwrap();
    let ledger = folder(all.path(), "ledger");
    let [seller, payer] = ["seller", "payer"].map(|name| machine(all.path(), name));
    let (rpc, capsules) = founded(&ledger);
    let notary = Running::ledger(&ledger);
    assert_eq!(notary.1["capsules"], capsules);
    let (of_seller, of_payer) = (free(), free());
    joins(&seller, "acme", &ledger, &rpc, &of_seller);
    let globex = joins(&payer, "globex", &ledger, &rpc, &of_payer);
    done(&ledger, &["node", "mint", &globex, "100000", "usd", "--home", "."]);
    let acme = Running::node(&seller);
    let node = Running::node(&payer);
    assert_eq!(node.1["orgs"][0]["listen"], of_payer);

    // What stands in the address book is not believed: who answers there is the notary.
    assert_eq!(refusal(&seller, &["org", "peer", "add", "initech", "a:1"]), (2, "NO_SUCH_MEMBER".to_owned()));
    done(&seller, &["org", "peer", "add", "globex", &capsules]);
    let create =
        "invoice create --org acme --to globex --number INV-1 --amount 1000.00 --due 2030-01-31 --wait 1";
    assert_eq!(phase(&seller, &create.split(' ').collect::<Vec<_>>()), "collecting");
    until("the wrong node is found out", || {
        let (_, orgs) = call(&seller, "GET", "/orgs", "");
        let peers = orgs[0]["peers"].as_array()?.clone();
        let wrong = peers.into_iter().find(|peer| peer["entity_id"] == globex)?;
        wrong["last_error"].as_str().filter(|error| error.contains(&globex)).map(str::to_owned)
    });
    done(&seller, &["org", "peer", "add", "globex", &of_payer]);
    done(&payer, &["org", "peer", "add", "acme", &of_seller]);
    until("globex is asked", || (requests(&payer, "globex") == 1).then_some(()));

    // The payer's machine is killed with the proposal in its journal, and goes on.
    node.kill();
    let node = Running::node(&payer);
    assert_eq!(requests(&payer, "globex"), 1);
    assert_eq!(phase(&payer, &["invoice", "accept", "INV-1", "--org", "globex"]), "final");
    becomes(&seller, "acme", "INV-1", "ACCEPTED");

    // Without the ledger nothing is paid and nothing is lost.
    notary.kill();
    let pay = ["invoice", "pay", "INV-1", "--org", "globex"];
    assert_eq!(refusal(&payer, &pay).0, 1);
    let _notary = Running::ledger(&ledger);
    until("it is paid", || {
        let said = stateset(&payer).args(["--json"]).args(pay).output().unwrap();
        let said: Value = serde_json::from_slice(&said.stdout).unwrap_or_default();
        let shown = done(&payer, &["invoice", "show", "INV-1", "--org", "globex"]);
        (said["phase"] == "final" || shown["invoice"]["status"] == "PAID").then_some(())
    });
    becomes(&seller, "acme", "INV-1", "PAID");
    assert_eq!((has(&seller, "acme"), has(&payer, "globex")), ("1000.00".to_owned(), "0".to_owned()));

    // The seller's machine burns; its keys, the ledger and the notary's capsules bring the books back.
    acme.kill();
    node.kill();
    fs::remove_dir_all(seller.join("stateset-data/ledger/orgs/acme")).unwrap();
    let _acme = Running::node(&seller);
    let shown = until("the vault is back", || {
        let shown = stateset(&seller).args(["--json", "invoice", "show", "INV-1", "--org", "acme"]).output();
        let shown: Value = serde_json::from_slice(&shown.unwrap().stdout).unwrap_or_default();
        (shown["invoice"]["status"] == "PAID").then_some(shown)
    });
    assert_eq!(shown["history"].as_array().map(Vec::len), Some(3), "{shown}");
    let tx = shown["invoice"]["place"]["tx_id"].as_str().unwrap();
    assert_eq!(done(&seller, &["ledger", "tx", tx])["verified"], true);
}

#[test]
fn a_ledger_of_others_decides_nothing_here_and_is_not_believed() {
    let all = tempfile::tempdir().unwrap();
    let [ledger, other] = ["ledger", "other"].map(|name| folder(all.path(), name));
    let seller = machine(all.path(), "seller");
    let (rpc, _) = founded(&ledger);
    let (other_rpc, _) = founded(&other);
    let notary = Running::ledger(&ledger);
    assert_eq!(refusal(&seller, &["org", "start"]), (2, "NOT_JOINED".to_owned()));

    // A request that was changed on its way.
    done(&seller, &["org", "request", "acme", "-o", "request.json"]);
    let changed = seller.join("changed.json");
    let mut request: Value = serde_json::from_slice(&fs::read(seller.join("request.json")).unwrap()).unwrap();
    request["asks"]["name"] = json!("Globex");
    fs::write(&changed, request.to_string()).unwrap();
    let admit = ["node", "org", "admit", text(&changed), "--home", ".", "-o", "out.json"];
    assert_eq!(refusal(&ledger, &admit), (2, "BAD_REQUEST".to_owned()));

    joins(&seller, "acme", &ledger, &rpc, "127.0.0.1:0");
    let asked = seller.join("request.json");
    let again = ["node", "org", "admit", text(&asked), "--home", ".", "-o", "out.json"];
    assert_eq!(refusal(&ledger, &again), (2, "ENTITY_EXISTS".to_owned()));
    let genesis = other.join("genesis.json");
    let join = ["org", "join", "acme2", "--admission", "admission.json", "--ledger", "http://127.0.0.1:1"];
    done(&seller, &["org", "request", "acme2", "-o", "request2.json"]);
    let of_other = [&join[..], &["--genesis", text(&genesis)]].concat();
    assert_eq!(refusal(&seller, &of_other), (2, "BAD_ADMISSION".to_owned()), "another company's");

    for (args, code) in [
        (&["org", "create", "globex"][..], "LEDGER_ELSEWHERE"),
        (&["org", "deposit", "acme", "1"], "LEDGER_ELSEWHERE"),
        (&["up", "--listen", "127.0.0.1:0"], "LEDGER_ELSEWHERE"),
        (&["org", "nodes", "ftp://192.0.2.1"], "BAD_ADDRESS"),
        (&["org", "peer", "remove", "globex"], "NO_SUCH_PEER"),
        (&["org", "peer", "add", "globex", "nowhere"], "USAGE"),
    ] {
        assert_eq!(refusal(&seller, args), (2, code.to_owned()), "{args:?}");
    }

    let url = format!("http://{rpc}");
    let named = done(&seller, &["org", "nodes", &url]);
    assert_eq!((&named["rpc"], &named["others"]), (&url.as_str().into(), &Value::Null));
    assert_eq!(done(&seller, &["org", "nodes"]), named);

    // Somebody else answers where the ledger was, with a chain of the same name and the same members.
    drop(notary);
    let _impostor = Running::ledger(&other);
    let file = seller.join("stateset-data/ledger/joined.json");
    let joined = fs::read_to_string(&file).unwrap().replace(&rpc, &other_rpc);
    fs::write(&file, joined).unwrap();
    let refused = refusal(&seller, &["org", "peer", "add", "notary", "127.0.0.1:1"]);
    assert_eq!(refused, (1, "OTHER_VALIDATORS".to_owned()));
    let node = Running::node(&seller);
    let twice = refusal(&seller, &["org", "start"]);
    assert_eq!(twice, (1, "DATA_IN_USE".to_owned()));
    assert_eq!(refusal(&seller, &["invoice", "list", "--org", "acme"]), (1, "NODE_NOT_RUNNING".to_owned()));
    drop(node);
}
