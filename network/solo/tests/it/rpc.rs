//! The RPC as the public client library of Tendermint sees it: requests are written and answers read by `tendermint-rpc`,
//! light blocks from them are judged by the light-client library, proofs by `ics23`. Only the sockets are ours, since the
//! library's own clients would bring a second HTTP and TLS stack into the tree.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use stateset_ledger_store::{Store, tree_spec};
use stateset_solo::{LastSigned, Node, NodeConfig, rpc};
use tendermint::block::Height;
use tendermint_light_client_verifier::options::Options;
use tendermint_light_client_verifier::types::{LightBlock, TrustThreshold};
use tendermint_light_client_verifier::{ProdVerifier, Verdict, Verifier};
use tendermint_rpc::endpoint::{
    abci_info, abci_query, block, block_results, block_search, broadcast::tx_sync, commit, consensus_params,
    genesis, header, health, status, subscribe, tx, tx_search, validators,
};
use tendermint_rpc::event::{Event, EventData};
use tendermint_rpc::request::RequestMessage;
use tendermint_rpc::{Order, Response};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{INITIAL_HEIGHT, Notes, start};

struct Served {
    node: Node<Notes>,
    url: String,
    agent: ureq::Agent,
    _folder: tempfile::TempDir,
}

async fn served() -> Served {
    served_with(rpc::HEAD_TIME_MAX).await
}

async fn served_with(head_time_max: Duration) -> Served {
    let (store, folder) =
        (Arc::new(Store::in_memory().expect("memory")), tempfile::tempdir().expect("a folder"));
    assert!(LastSigned::open(folder.path()).expect("readable").newest().is_none());
    let (engine, _) = start(Notes::default(), &store, folder.path(), "notes-1").expect("genesis");
    let config = NodeConfig { block_interval_min: Duration::from_millis(20), ..NodeConfig::default() };
    let node = Node::spawn(engine, config);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(rpc::serve(listener, node.handle(), head_time_max));
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    Served { node, url, agent, _folder: folder }
}

impl Served {
    fn post(&self, body: String) -> String {
        let request = self.agent.post(&self.url).header("content-type", "application/json");
        tokio::task::block_in_place(|| {
            let mut answer = request.send(body).expect("an answer");
            answer.body_mut().read_to_string().expect("text")
        })
    }

    fn get(&self, path: &str) -> Value {
        let request = self.agent.get(format!("{}/{path}", self.url));
        tokio::task::block_in_place(|| {
            let text = request.call().expect("an answer").body_mut().read_to_string().expect("text");
            serde_json::from_str(&text).expect("JSON")
        })
    }

    /// The answers to one path, with its bytes as they are, asked twice on one connection.
    fn raw(&self, path: &str) -> Vec<String> {
        let request = |last| format!("GET /{path} HTTP/1.1\r\nHost: a\r\n{last}\r\n");
        tokio::task::block_in_place(|| {
            let mut stream =
                TcpStream::connect(self.url.trim_start_matches("http://")).expect("a connection");
            stream.write_all(request("").as_bytes()).expect("sent");
            stream.write_all(request("Connection: close\r\n").as_bytes()).expect("sent");
            let mut all = String::new();
            stream.read_to_string(&mut all).expect("answers");
            all.split("HTTP/1.1 200 OK").skip(1).map(str::to_owned).collect()
        })
    }

    /// One call through the library: it writes the request and reads the answer.
    fn call<A: Response>(&self, request: impl RequestMessage) -> Result<A, tendermint_rpc::Error> {
        A::from_string(self.post(request.into_json()))
    }

    fn submit(&self, text: &str) -> tx_sync::Response {
        self.call(tx_sync::Request::new(text.as_bytes())).expect("checked")
    }

    /// Height of the block that holds a transaction, once the header after it is there.
    async fn wait_for(&self, hash: tendermint::Hash) -> u64 {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let found: Result<tx::Response, _> = self.call(tx::Request { hash, prove: false });
            let latest =
                self.call::<status::Response>(status::Request).expect("status").sync_info.latest_block_height;
            match found {
                Ok(found) if found.height < latest => return found.height.value(),
                _ => assert!(Instant::now() < deadline, "no block in time"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A light block, put together from three answers as light clients do.
    fn light_block(&self, height: u64) -> LightBlock {
        let at = |height: u64| Height::try_from(height).expect("small");
        let commit: commit::Response = self.call(commit::Request::new(at(height))).expect("a commit");
        let set = |height| {
            let request = validators::Request::new(Some(at(height)), None, None);
            let answer: validators::Response = self.call(request).expect("validators");
            tendermint::validator::Set::new(answer.validators, None)
        };
        let id = self.call::<status::Response>(status::Request).expect("status").node_info.id;
        LightBlock::new(commit.signed_header, set(height), set(height + 1), id)
    }
}

/// Every method once, through the public library.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_public_client_library_reads_every_answer() {
    let served = served().await;
    served.call::<health::Response>(health::Request).expect("healthy");
    let sent = served.submit("a=b");
    assert!(sent.code.is_ok());
    let height = served.wait_for(sent.hash).await;
    let at = Height::try_from(height).expect("small");

    let status: status::Response = served.call(status::Request).expect("status");
    assert_eq!(status.node_info.network.as_str(), "notes-1");
    assert!(status.node_info.version.to_string().starts_with("0.38."));
    assert_eq!(status.node_info.other.tx_index, tendermint::node::info::TxIndexStatus::On);
    assert!(status.sync_info.latest_block_height.value() > height);
    assert_eq!(status.sync_info.earliest_block_height.value(), INITIAL_HEIGHT);

    let header: header::Response = served.call(header::Request::new(at)).expect("a header");
    let block: block::Response = served.call(block::Request::new(at)).expect("a block");
    assert_eq!(
        (block.block.header.clone(), block.block_id.hash),
        (header.header.clone(), header.header.hash())
    );
    assert_eq!(block.block.data, [b"a=b".to_vec()]);
    let results: block_results::Response = served.call(block_results::Request::new(at)).expect("results");
    let result = &results.txs_results.expect("a transaction")[0];
    // The library leaves these bytes as they stand in JSON: base64 of `ok`, as CometBFT writes it.
    assert_eq!((result.gas_wanted, result.gas_used, &result.data[..]), (7, 5, &b"b2s="[..]));

    let params: consensus_params::Response =
        served.call(consensus_params::Request::new(Some(at))).expect("parameters");
    assert_eq!(params.consensus_params.block.max_bytes, 1 << 20);
    let genesis: genesis::Response<Value> =
        served.call(genesis::Request::<Value>::default()).expect("the genesis");
    assert_eq!(genesis.genesis.initial_height, INITIAL_HEIGHT as i64);
    let info: abci_info::Response = served.call(abci_info::Request).expect("the application");
    assert_eq!(info.response.app_version, 1);

    let query: tendermint_rpc::query::Query = "note.text='a=b'".parse().expect("a query");
    let request = tx_search::Request::new(query, false, 1, 10, Order::Ascending);
    let found: tx_search::Response = served.call(request).expect("a search");
    assert_eq!((found.total_count, found.txs[0].height.value(), found.txs[0].hash), (1, height, sent.hash));
    assert_eq!(found.txs[0].proof, None);
    let of_block: tx::Response = served.call(tx::Request { hash: sent.hash, prove: true }).expect("a proof");
    let proof = of_block.proof.expect("it was asked for");
    assert_eq!((Some(proof.root_hash), &proof.data), (block.block.header.data_hash, &of_block.tx));
    let query: tendermint_rpc::query::Query = "note.text='a=b'".parse().expect("a query");
    let request = tx_search::Request::new(query, true, 1, 10, Order::Ascending);
    let found: tx_search::Response = served.call(request).expect("a search");
    assert_eq!(found.txs[0].proof.as_ref(), Some(&proof));
    let by_height = format!("block.height >= {height} AND block.height <= {}", height + 1);
    let request = block_search::Request::new(by_height, 1, 10, Order::Descending);
    let found: block_search::Response = served.call(request).expect("a search");
    let heights: Vec<_> = found.blocks.iter().map(|block| block.block.header.height.value()).collect();
    assert_eq!(heights, [height + 1, height]);
    served.node.stop().await.expect("stopped");
}

/// A light block and a proof, all from the RPC, verify with the libraries of others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_prove_state_to_a_light_client() {
    let served = served().await;
    let first = served.submit("a=first");
    let trusted = served.light_block(served.wait_for(first.hash).await);
    let second = served.submit("b=second");
    let height = served.wait_for(second.hash).await;
    let next = served.light_block(height + 1);
    let options = Options {
        trust_threshold: TrustThreshold::ONE_THIRD,
        trusting_period: Duration::from_secs(86_400 * 300_000),
        clock_drift: Duration::from_secs(5),
    };
    let now = tendermint::Time::now();
    let verdict = ProdVerifier::default().verify_update_header(
        next.as_untrusted_state(),
        trusted.as_trusted_state(),
        &options,
        now,
    );
    assert_eq!(verdict, Verdict::Success);

    let ask = |key: &[u8], height: u64| -> abci_query::AbciQuery {
        let height = Some(Height::try_from(height).expect("small"));
        let request = abci_query::Request::new(Some("store/notary/key".into()), key, height, true);
        served.call::<abci_query::Response>(request).expect("an answer").response
    };
    let root = next.signed_header.header.app_hash.as_bytes().to_vec();
    let judge = |answer: &abci_query::AbciQuery, key: &[u8]| {
        use ics23::HostFunctionsManager as Host;
        use prost::Message as _;
        let ops = &answer.proof.as_ref().expect("a proof").ops;
        let proof = |i: usize| ics23::CommitmentProof::decode(ops[i].data.as_slice()).expect("protobuf");
        let (below, above, spec) = (proof(0), proof(1), tree_spec());
        let Some(ics23::commitment_proof::Proof::Exist(exist)) = &above.proof else { return false };
        let under = match answer.value.is_empty() {
            true => ics23::verify_non_membership::<Host>(&below, &spec, &exist.value, key),
            false => ics23::verify_membership::<Host>(&below, &spec, &exist.value, key, &answer.value),
        };
        under && ics23::verify_membership::<Host>(&above, &spec, &root, b"notary", &exist.value)
    };
    let present = ask(b"tx/b", height);
    assert_eq!((present.height.value(), &present.value[..]), (height, &b"second"[..]));
    assert!(judge(&present, b"tx/b"));
    assert!(!judge(&present, b"tx/a"));
    let absent = ask(b"tx/nothing", height);
    assert!(absent.value.is_empty() && judge(&absent, b"tx/nothing"));
    assert!(!judge(&ask(b"tx/b", height - 1), b"tx/b"), "the state before");
    let future = ask(b"tx/b", height + 500);
    assert!(future.code.is_err() && future.proof.is_none() && future.log.contains("future"));
    served.node.stop().await.expect("stopped");
}

/// Wrong requests are answered in words, and change nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_requests_get_errors_that_say_what_is_wrong() {
    let served = served().await;
    let error = |body: Value| -> (i64, String) {
        let answer: Value = serde_json::from_str(&served.post(body.to_string())).expect("JSON");
        let code = answer["error"]["code"].as_i64().unwrap_or_default();
        (code, answer["error"]["data"].as_str().unwrap_or_default().into())
    };
    let ask = |method: &str, params: Value| {
        error(json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
    };
    assert_eq!(ask("nothing", json!({})).0, -32_601);
    assert_eq!(ask("block", json!({"height": "x"})).0, -32_602);
    assert!(ask("block", json!({"height": "999"})).1.contains("999"));
    assert!(ask("tx_search", json!({"query": "a ~ 1"})).1.contains("a ~ 1"));
    assert!(ask("broadcast_tx_sync", json!({"tx": "!"})).1.contains("base64"));
    assert!(ask("subscribe", json!({"query": "tm.event='Tx'"})).1.contains("WebSocket"));
    assert_eq!(error(json!({"id": 3})).0, -32_600);
    let garbage: Value = serde_json::from_str(&served.post("{".into())).expect("JSON");
    assert_eq!(garbage["error"]["code"], -32_700);

    // A batch is answered in order, and one that is too long not at all.
    let batch = |count| vec![json!({"jsonrpc": "2.0", "id": 1, "method": "health"}); count];
    let answer: Value = serde_json::from_str(&served.post(json!(batch(10)).to_string())).expect("JSON");
    assert_eq!(answer.as_array().map(Vec::len), Some(10));
    let (code, said) = error(json!(batch(11)));
    assert!(code == -32_600 && said.contains("at most 10"), "{code} {said}");

    // The application's refusal is an answer, not an error.
    let refused = served.submit("no equals sign");
    assert!(refused.code.is_err() && refused.log.contains('='));
    // By path, as with curl.
    assert_eq!(served.get("health")["result"], json!({}));
    assert_eq!(served.get("broadcast_tx_sync?tx=%22x=y%22")["result"]["code"], 0);
    assert_eq!(served.get("nothing")["error"]["code"], -32_601);
    // And as CometBFT's documents write it, twice on one connection.
    let raw = served.raw("block_search?query=\"block.height>0\"");
    assert_eq!(raw.len(), 2);
    assert!(raw.iter().all(|answer| answer.contains("\"result\"")), "{raw:?}");
    served.node.stop().await.expect("stopped");
}

/// Events come over a WebSocket, in the shapes that the library reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_hear_of_blocks_and_transactions() {
    let served = served().await;
    let url = format!("{}/websocket", served.url.replace("http", "ws"));
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("a WebSocket");
    // In this order: an empty block may come at any time, and before the second answer nobody has asked for one.
    for query in ["tm.event = 'Tx' AND note.text = 'a=b'", "tm.event = 'NewBlock'"] {
        let request = subscribe::Request::new(query.into()).into_json();
        socket.send(Message::Text(request.into())).await.expect("sent");
        let answer = socket.next().await.expect("open").expect("a message").into_text().expect("text");
        subscribe::Response::from_string(answer.as_str()).expect("subscribed");
    }
    for text in ["x=y", "a=b"] {
        assert!(served.submit(text).code.is_ok());
    }
    let (mut blocks, mut txs) = (0, Vec::new());
    while blocks < 2 || txs.is_empty() {
        let message = tokio::time::timeout(Duration::from_secs(60), socket.next()).await.expect("in time");
        let text = message.expect("open").expect("a message").into_text().expect("text");
        let event = <tendermint_rpc::event::v0_38::DeEvent as Response>::from_string(text.as_str())
            .expect("an event");
        match Event::from(event).data {
            EventData::NewBlock { block: Some(_), .. } => blocks += 1,
            EventData::Tx { tx_result } => txs.push(tx_result.tx),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(txs, [b"a=b".to_vec()], "the other transaction was not asked for");
    served.node.stop().await.expect("stopped");
}

/// An idle chain makes no blocks but those that are due; a change is followed at once by the block that proves it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_provable_at_once_and_an_idle_chain_is_idle() {
    let served = served().await;
    let latest = || {
        served
            .call::<status::Response>(status::Request)
            .expect("status")
            .sync_info
            .latest_block_height
            .value()
    };
    let started = Instant::now();
    let height = served.wait_for(served.submit("a=b").hash).await;
    assert!(started.elapsed() < Duration::from_secs(4), "sooner than the empty-block interval");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        latest(),
        height + 1,
        "the block that carries the app hash changes nothing, so none follows it"
    );
    served.node.stop().await.expect("stopped");
}

/// Half a head keeps no connection; a whole one is answered, also on a connection that idles less than that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_asks_for_nothing_is_closed() {
    let served = served_with(Duration::from_millis(50)).await;
    tokio::task::block_in_place(|| {
        let connect = || TcpStream::connect(served.url.trim_start_matches("http://")).expect("a connection");
        let (mut silent, mut half) = (connect(), connect());
        half.write_all(b"GET /he").expect("sent");
        for stream in [&mut silent, &mut half] {
            stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).expect("closed before the time is over");
        }
    });
    assert_eq!(served.raw("health").len(), 2);
    served.node.stop().await.expect("stopped");
}
