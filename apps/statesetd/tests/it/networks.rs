//! Networks on this machine: notarisation, conflicts, killed nodes.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stateset_abci::comet::Rpc;
use stateset_fixtures::cometbft;

use crate::proofs;
use crate::requests::Member;

const PATIENCE: Duration = Duration::from_secs(60);
/// Networks run one after the other.
pub static TURN: Mutex<()> = Mutex::new(());

pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: not in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A running `statesetd`; ended by SIGTERM, and at the latest when it is dropped.
pub struct Program(Child);

impl Program {
    /// Starts it and reads the line that says what runs.
    pub fn start(args: &[&str], cometbft: &Path) -> (Self, Value) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_statesetd"))
            .args(args)
            .arg("--json")
            .env("STATESET_COMETBFT", cometbft)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let program = Self(child);
        (program, serde_json::from_str(&line).unwrap_or_else(|_| panic!("it says {line:?}")))
    }

    /// Its exit code, once it has ended by itself.
    pub fn ended(&mut self) -> Option<i32> {
        self.0.try_wait().unwrap().and_then(|status| status.code())
    }

    pub fn terminate(&mut self) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = Command::new("kill").arg(self.0.id().to_string()).status();
            let begun = Instant::now();
            while matches!(self.0.try_wait(), Ok(None)) && begun.elapsed() < Duration::from_secs(15) {
                std::thread::sleep(Duration::from_millis(50));
            }
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Whether a process runs; one that ended and was not waited for does not.
fn runs(pid: u64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

/// Runs a command that ends by itself: its exit code, and what it says to either side.
pub fn ask(args: &[&str]) -> (Option<i32>, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_statesetd")).args(args).arg("--json").output().unwrap();
    let said = if output.status.success() { &output.stdout } else { &output.stderr };
    (output.status.code(), serde_json::from_slice(said).unwrap_or(Value::Null))
}

pub fn height(url: &str) -> Option<u64> {
    let (code, said) = ask(&["status", "--node", url]);
    (code == Some(0)).then(|| said["height"].as_u64()).flatten()
}

/// Members' nodes are let in to the capsule store; what they do there, the tests of `stateset` show.
fn serves_capsules(address: &Value) {
    until("the capsule store", || std::net::TcpStream::connect(address.as_str()?).ok());
}

fn app_hash(url: &str, height: u64) -> Option<String> {
    let block = Rpc::new(url).call("block", &json!({"height": height.to_string()})).ok()?;
    Some(block["block"]["header"]["app_hash"].as_str()?.to_owned())
}

#[test]
fn four_validators_notarise_and_one_of_two_conflicting_requests_wins() {
    let Some(cometbft) = cometbft::program() else { return };
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("net");
    let dir_text = dir.to_str().unwrap();
    let args = ["testnet", "--dir", dir_text, "--validators", "4", "--timeout-commit", "100"];
    let (mut network, said) = Program::start(&args, &cometbft);
    let field = |name: &str| -> Vec<Value> {
        said["validators"].as_array().unwrap().iter().map(|validator| validator[name].clone()).collect()
    };
    let urls: Vec<String> = field("rpc").iter().map(|url| url.as_str().unwrap().to_owned()).collect();
    assert_eq!((said["chain_id"].as_str(), urls.len()), (Some("localnet-1"), 4));
    urls.iter().for_each(|url| {
        until("the first block", || height(url).filter(|height| *height > 0));
    });

    // The same state, consumed by two members at two nodes.
    let left = Member::of(&dir, 0).notarise(7, 1, 1);
    let right = Member::of(&dir, 1).notarise(7, 2, 1);
    let send =
        |bytes: &[u8], url: &str| ask(&["tx", "--hex", &ves::hex::encode(bytes), "--node", url, "--wait"]);
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| send(&left.bytes, &urls[0]));
        let other = scope.spawn(|| send(&right.bytes, &urls[1]));
        (one.join().unwrap(), other.join().unwrap())
    });
    let won = [&one, &other].map(|(code, _)| *code == Some(0));
    assert_ne!(won[0], won[1], "{one:?} {other:?}");
    let (winner, loser) = if won[0] { (&left, &other.1) } else { (&right, &one.1) };
    assert!(loser["error"]["message"].as_str().unwrap().contains("code 10"), "{loser}");

    // Every node proves who consumed it, to whoever has the genesis.
    let path = format!("/ssn/notary/spent/{}", winner.spent);
    let genesis = dir.join("validator-1/genesis.json");
    for url in &urls {
        let answer = until("the spent key", || {
            let args = ["query", &path, "--node", url, "--prove", "--genesis", genesis.to_str().unwrap()];
            let (code, answer) = ask(&args);
            assert_eq!(code, Some(0), "{answer}");
            answer["value"].is_string().then_some(answer)
        });
        assert_eq!(answer["value"], winner.tx_id.to_string(), "{answer}");
        assert_eq!(answer["verified"], true, "{answer}");
    }
    proofs::certificates_of_four(&urls[0], &genesis, winner);
    // A replay is refused: the sequence was used.
    assert_ne!(send(&winner.bytes, &urls[2]).0, None);

    let last = height(&urls[0]).unwrap();
    for at in 1..=last {
        let hashes: Vec<String> = urls.iter().map(|url| until("a block", || app_hash(url, at))).collect();
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "height {at}: {hashes:?}");
    }
    field("capsules").iter().for_each(serves_capsules);
    let pids: Vec<u64> = field("cometbft_pid").iter().map(|pid| pid.as_u64().unwrap()).collect();
    assert!(pids.iter().all(|pid| runs(*pid)));
    // One of four that ends does not take the others with it.
    assert!(Command::new("kill").args(["-KILL", &pids[3].to_string()]).status().unwrap().success());
    let before = height(&urls[0]).unwrap();
    until("blocks of three", || height(&urls[0]).filter(|height| *height > before + 3));
    network.terminate();
    assert!(!pids.iter().any(|pid| runs(*pid)), "a process of CometBFT is left");
}

#[test]
fn a_killed_node_leaves_no_process_and_catches_up_when_it_is_started_again() {
    let Some(cometbft) = cometbft::program() else { return };
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("net");
    let args = ["testnet", "--dir", dir.to_str().unwrap(), "--validators", "4", "--timeout-commit", "100"];
    let (code, written) = ask(&[&args[..], &["--no-start"]].concat());
    assert_eq!(code, Some(0), "{written}");
    let homes: Vec<PathBuf> = (1..=4).map(|at| dir.join(format!("validator-{at}"))).collect();
    let start = |at: usize| Program::start(&["start", "--home", homes[at].to_str().unwrap()], &cometbft);
    let mut nodes: Vec<(Program, Value)> = (0..4).map(start).collect();
    let url = |at: usize| written["validators"][at]["rpc"].as_str().unwrap().to_owned();
    (0..4).for_each(|at| {
        until("the first block", || height(&url(at)).filter(|height| *height > 0));
    });

    // SIGKILL leaves it no time for anything.
    let (mut killed, said) = nodes.pop().unwrap();
    killed.0.kill().unwrap();
    killed.0.wait().unwrap();
    let pid = said["cometbft_pid"].as_u64().unwrap();
    until("CometBFT ends without its application", || (!runs(pid)).then_some(()));

    let request = Member::of(&dir, 0).notarise(9, 1, 1);
    let sent = ask(&["tx", "--hex", &ves::hex::encode(&request.bytes), "--node", &url(0), "--wait"]);
    assert_eq!(sent.0, Some(0), "three of four go on: {}", sent.1);
    let at = sent.1["height"].as_u64().unwrap();

    nodes.push(start(3));
    let path = format!("/ssn/notary/tx/{}", request.tx_id);
    until("the fourth to catch up", || {
        let (code, _) = ask(&["query", &path, "--node", &url(3)]);
        (code == Some(0)).then_some(())
    });
    // Either may have it first.
    let after = |node: usize| until("the header after it", || app_hash(&url(node), at + 1));
    assert_eq!(after(3), after(0));
}

#[test]
fn one_process_alone_orders_proves_and_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("validator-1");
    let home_text = home.to_str().unwrap();
    let free = format!("127.0.0.1:{}", stateset_fixtures::free_port());
    let args = ["init", "--engine", "solo", "--home", home_text, "--rpc", &free, "--chain-id", "alone-1"];
    let args = [&args[..], &["--capsules", "127.0.0.1:0"]].concat();
    let (code, made) = ask(&args);
    assert_eq!(code, Some(0), "{made}");
    let url = format!("http://{free}");
    let nothing = Path::new("/nowhere");
    let (mut node, said) = Program::start(&["start", "--home", home_text], nothing);
    assert_eq!((said["chain_id"].as_str(), said["rpc"].as_str()), (Some("alone-1"), Some(url.as_str())));

    serves_capsules(&said["capsules"]);
    let member = Member::of(folder.path(), 0);
    let request = member.notarise(3, 1, 1);
    let send = |bytes: &[u8]| ask(&["tx", "--hex", &ves::hex::encode(bytes), "--node", &url, "--wait"]);
    let (code, sent) = send(&request.bytes);
    assert_eq!(code, Some(0), "{sent}");
    let (code, refused) = send(&member.notarise(3, 2, 2).bytes);
    assert_eq!(code, Some(1));
    assert!(refused["error"]["message"].as_str().unwrap().contains("code 10"), "{refused}");
    let path = format!("/ssn/notary/tx/{}", request.tx_id);
    let (code, answer) = ask(&["query", &path, "--node", &url]);
    assert_eq!((code, &answer["verified"]), (Some(0), &Value::Bool(false)), "{answer}");

    let reached = height(&url).unwrap();
    node.terminate();
    let (mut again, _) = Program::start(&["start", "--home", home_text], nothing);
    assert!(height(&url).unwrap() >= reached);
    assert_eq!(ask(&["query", &path, "--node", &url]).0, Some(0));
    again.terminate();
}
