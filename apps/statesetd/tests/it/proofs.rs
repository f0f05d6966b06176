//! What `query --prove` shows is verified: a node that lies is refused by name.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;

use base64ct::{Base64, Encoding as _};
use serde_json::{Value, json};
use stateset_abci::comet::{Rpc, RpcError};
use stateset_ledger_types::Genesis;
use stateset_light::{Certificate, Terms, Trust, TrustedState};
use tendermint::block::CommitSig;

use crate::networks::{Program, ask, until};
use crate::requests::{Member, Notarisation};

/// Unix milliseconds.
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

fn genesis_trust(genesis: &Path) -> TrustedState {
    let genesis = Genesis::from_json(&std::fs::read(genesis).unwrap()).unwrap();
    TrustedState::of_genesis(&genesis).unwrap()
}

/// Certificates that CometBFT signs with four validators: three signatures are enough, two are not.
pub fn certificates_of_four(url: &str, genesis: &Path, notarised: &Notarisation) {
    let rpc = Rpc::new(url);
    let mut call = |method: &str, params: &Value| rpc.call(method, params);
    let certificate = stateset_light::fetch_transaction(&mut call, &notarised.tx_id).unwrap();
    let certificate = Certificate::from_json(certificate.to_json().as_bytes()).unwrap();
    let trusted = genesis_trust(genesis);
    let verify = |certificate: &Certificate| {
        let verdict = certificate.verify(&notarised.tx_id, &Trust::Block(&trusted, Terms::default()), now());
        verdict.map_err(|error| error.name())
    };
    let finality = verify(&certificate).unwrap();
    assert_eq!((finality.tx_id, finality.record.inputs), (notarised.tx_id, 1));
    // The validators do not all sign every block in time; leave as many signatures as asked for.
    let with_signatures = |count: usize| {
        let mut other = certificate.clone();
        let mut kept = 0;
        for signature in &mut other.block.signed_header.commit.signatures {
            if matches!(signature, CommitSig::BlockIdFlagCommit { .. }) && kept < count {
                kept += 1;
            } else {
                *signature = CommitSig::BlockIdFlagAbsent;
            }
        }
        assert_eq!(kept, count);
        other
    };
    assert!(verify(&with_signatures(3)).is_ok());
    assert!(matches!(verify(&with_signatures(2)), Err("TOO_FEW_SIGNATURES" | "TRUSTED_TOO_FEW")));
    // Another chain with a genesis of its own.
    let mut other = trusted.clone();
    other.chain_id = stateset_ledger_types::ids::ChainId::new("other-1").unwrap();
    let verdict = certificate.verify(&notarised.tx_id, &Trust::Block(&other, Terms::default()), now());
    assert_eq!(verdict.unwrap_err().name(), "WRONG_CHAIN");
}

/// What a liar changes in an answer to a method.
type Lie = dyn Fn(&str, &mut Value) + Send + Sync;

/// A node that passes on what another says, changed by `lie`; its address.
fn liar(truth: &str, lie: impl Fn(&str, &mut Value) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (rpc, lie): (Rpc, Arc<Lie>) = (Rpc::new(truth), Arc::new(lie));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (rpc, lie) = (rpc.clone(), Arc::clone(&lie));
            std::thread::spawn(move || while answer(&stream, &rpc, lie.as_ref()).is_some() {});
        }
    });
    url
}

/// One request of a connection; `None` at its end.
fn answer(stream: &TcpStream, rpc: &Rpc, lie: &Lie) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim().to_ascii_lowercase();
        if let Some(text) = line.strip_prefix("content-length:") {
            length = text.trim().parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let request: Value = serde_json::from_slice(&body).ok()?;
    let method = request["method"].as_str()?;
    let said = match rpc.call(method, &request["params"]) {
        Ok(mut result) => {
            lie(method, &mut result);
            json!({"jsonrpc": "2.0", "id": 1, "result": result})
        }
        Err(RpcError::Refused { code, message, data }) => {
            json!({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": message, "data": data}})
        }
        Err(_) => return None,
    };
    let said = said.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        said.len()
    );
    (&mut &*stream).write_all((head + &said).as_bytes()).ok()
}

/// A chain of one process with a notarised transaction.
struct Alone {
    _node: Program,
    url: String,
    genesis: String,
    request: Notarisation,
    folder: tempfile::TempDir,
}

fn alone() -> Alone {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("validator-1");
    let home_text = home.to_str().unwrap();
    let free = format!("127.0.0.1:{}", stateset_fixtures::free_port());
    let args = ["init", "--engine", "solo", "--home", home_text, "--rpc", &free, "--chain-id", "alone-1"];
    let args = [&args[..], &["--capsules", "127.0.0.1:0"]].concat();
    assert_eq!(ask(&args).0, Some(0));
    let (node, _) = Program::start(&["start", "--home", home_text], Path::new("/nowhere"));
    let url = format!("http://{free}");
    let request = Member::of(folder.path(), 0).notarise(3, 1, 1);
    let sent = ask(&["tx", "--hex", &ves::hex::encode(&request.bytes), "--node", &url, "--wait"]);
    assert_eq!(sent.0, Some(0), "{}", sent.1);
    let genesis = home.join("genesis.json").to_str().unwrap().to_owned();
    let alone = Alone { _node: node, url, genesis, request, folder };
    // The block that proves it follows at once.
    until("the proof", || alone.prove(&alone.url, &[]).1["value"].is_string().then_some(()));
    alone
}

impl Alone {
    fn path(&self) -> String {
        format!("/ssn/notary/tx/{}", self.request.tx_id)
    }

    fn prove(&self, url: &str, more: &[&str]) -> (Option<i32>, Value) {
        let path = self.path();
        let args = ["query", &path, "--node", url, "--prove", "--genesis", &self.genesis];
        ask(&[&args[..], more].concat())
    }

    fn refusal(&self, lie: impl Fn(&str, &mut Value) + Send + Sync + 'static) -> String {
        let (code, said) = self.prove(&liar(&self.url, lie), &[]);
        assert_eq!(code, Some(1), "{said}");
        said["error"]["code"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_proof_names_its_header_and_what_is_trusted_and_needs_something_trusted() {
    let alone = alone();
    let file = alone.folder.path().join("certificate.json");
    let (code, said) = alone.prove(&alone.url, &["-o", file.to_str().unwrap()]);
    assert_eq!((code, &said["verified"]), (Some(0), &Value::Bool(true)), "{said}");
    let height = said["height"].as_u64().unwrap();
    assert_eq!(said["header"]["height"].as_u64(), Some(height + 1), "{said}");
    assert_eq!(said["trust"]["from"].as_str(), Some(alone.genesis.as_str()), "{said}");
    let block = Rpc::new(&alone.url).call("block", &json!({"height": (height + 1).to_string()})).unwrap();
    let hash = block["block_id"]["hash"].as_str().unwrap().to_lowercase();
    assert_eq!(said["header"]["hash"].as_str(), Some(hash.as_str()), "{said}");

    // The file proves it to a holder of the genesis, with no node at all.
    let certificate = Certificate::from_json(&std::fs::read(&file).unwrap()).unwrap();
    let trusted = genesis_trust(Path::new(&alone.genesis));
    let trust = Trust::Block(&trusted, Terms::default());
    assert!(certificate.verify(&alone.request.tx_id, &trust, now()).is_ok());

    let path = alone.path();
    let (code, said) = ask(&["query", &path, "--node", &alone.url, "--prove"]);
    assert_eq!((code, said["error"]["code"].as_str()), (Some(2), Some("NO_TRUST")), "{said}");
    let hash = stateset_light::validators_hash(&trusted.next_validators).to_string();
    let by_set = ["--validators", hash.as_str(), "--chain-id", "alone-1"];
    let args = ["query", &path, "--node", &alone.url, "--prove"];
    assert_eq!(ask(&[&args[..], &by_set].concat()).0, Some(0));
    // What rests on no key has no proof.
    let list = ["query", "/ssn/entities", "--node", &alone.url, "--prove", "--genesis", &alone.genesis];
    let (code, said) = ask(&list);
    assert_eq!((code, said["error"]["code"].as_str()), (Some(2), Some("NO_PROOF")), "{said}");
}

#[test]
fn a_lying_node_is_refused_by_the_name_of_its_lie() {
    let alone = alone();
    assert_eq!(
        alone.prove(&liar(&alone.url, |_, _| {}), &[]).0,
        Some(0),
        "a node in between that tells the truth"
    );
    let of = |wanted: &'static str, change: fn(&mut Value)| {
        move |method: &str, result: &mut Value| {
            if method == wanted {
                change(result);
            }
        }
    };
    let value = of("abci_query", |result| {
        let text = result["response"]["value"].as_str().unwrap().to_owned();
        let mut bytes = Base64::decode_vec(&text).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        result["response"]["value"] = Base64::encode_string(&bytes).into();
    });
    assert_eq!(alone.refusal(value), "PROOF_REFUSED");
    // It hides the transaction.
    let hidden = of("abci_query", |result| {
        result["response"]["value"] = "".into();
        result["response"]["code"] = 26.into();
    });
    assert_eq!(alone.refusal(hidden), "PROOF_REFUSED");
    // The proof of another transaction's absence for this one's.
    let another = Rpc::new(&alone.url);
    let swapped = move |method: &str, result: &mut Value| {
        if method == "abci_query" {
            let height = result["response"]["height"].clone();
            let path = format!("/ssn/notary/tx/{}", "ab".repeat(32));
            let params = json!({"path": path, "data": "", "height": height, "prove": true});
            *result = another.call("abci_query", &params).unwrap();
        }
    };
    assert_eq!(alone.refusal(swapped), "PROOF_REFUSED");
    let header = of("commit", |result| {
        result["signed_header"]["header"]["app_hash"] = "AB".repeat(32).into();
    });
    assert_eq!(alone.refusal(header), "HEADER_ALTERED");
    let chain = of("commit", |result| result["signed_header"]["header"]["chain_id"] = "other-1".into());
    assert_eq!(alone.refusal(chain), "WRONG_CHAIN");
    let signature = of("commit", |result| {
        result["signed_header"]["commit"]["signatures"][0]["signature"] =
            Base64::encode_string(&[1; 64]).into();
    });
    assert_eq!(alone.refusal(signature), "BAD_SIGNATURE");
    let set = of("validators", |result| result["validators"][0]["voting_power"] = "11".into());
    assert_eq!(alone.refusal(set), "VALIDATORS_NOT_OF_HEADER");
    let none = of("abci_query", |result| result["response"]["proofOps"] = Value::Null);
    assert_eq!(alone.refusal(none), "NO_PROOF");
}
