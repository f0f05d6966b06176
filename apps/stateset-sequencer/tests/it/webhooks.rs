//! Webhooks joined to a real log, to a receiver that listens on this machine.

mod changed;
mod killed;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stateset_event_log::{Opening, SqliteStore};
use stateset_fixtures::{Agent, NOW, plain_event, sequencer_key, sign_payload, stream};
use stateset_sequencer::{
    Clock, Config, DeliveryOutcome, NewWebhook, Sequencer, Webhook, WebhookFormat, Workers,
};
use stateset_sequencer_app::joined::{WorkerSettings, store, workers};
use stateset_webhooks::{Secret, TargetPolicy};
use ves::{Envelope, SequenceNumber, SequencerId, StoreId, StreamKey, TimestampMs};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const LONG: Duration = Duration::from_secs(20);

#[derive(Clone)]
struct TestClock(Arc<AtomicI64>);

impl Clock for TestClock {
    fn now(&self) -> TimestampMs {
        TimestampMs(self.0.load(Ordering::SeqCst))
    }
}

/// What came: headers and body.
#[derive(Debug, Clone)]
struct Came {
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Came {
    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
    fn number(&self) -> u64 {
        self.json()["data"]["envelope"]["sequence_number"].as_u64().expect("a number")
    }
    fn store(&self) -> String {
        self.json()["data"]["envelope"]["store_id"].as_str().expect("a store").to_owned()
    }
}

const TAKEN: &str = "200 OK";
const DOWN: &str = "503 Down";

/// A receiver that takes everything while it says 200, and counts what it refuses.
#[derive(Clone)]
struct Shop {
    address: SocketAddr,
    says: Arc<Mutex<String>>,
    taken: Arc<Mutex<Vec<Came>>>,
    refused: Arc<AtomicI64>,
}

impl Shop {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let says = Arc::new(Mutex::new(TAKEN.to_owned()));
        let shop = Self { address, says, taken: Arc::default(), refused: Arc::default() };
        let serving = shop.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shop = serving.clone();
                std::thread::spawn(move || shop.serve(stream));
            }
        });
        shop
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut bytes = Vec::new();
        while let Some(came) = next_request(&mut stream, &mut bytes) {
            let said = self.says.lock().unwrap().clone();
            match said.starts_with("200") {
                true => self.taken.lock().unwrap().push(came),
                false => drop(self.refused.fetch_add(1, Ordering::SeqCst)),
            }
            if !answer(&mut stream, &said) {
                return;
            }
        }
    }

    /// What it answers from now on: the status line, and headers where there are some.
    fn says(&self, said: &str) {
        said.clone_into(&mut self.says.lock().unwrap());
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    fn taken(&self) -> Vec<Came> {
        self.taken.lock().unwrap().clone()
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            assert!(began.elapsed() < LONG, "{what}: {} came", self.taken().len());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The next request of a connection; `bytes` are those of it that were read and not taken yet.
fn next_request(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Came> {
    let end = loop {
        match bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            Some(end) => break end,
            None if read_more(stream, bytes) => {}
            None => return None,
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).expect("UTF-8");
    let headers: BTreeMap<String, String> = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers["content-length"].parse().expect("a length");
    while bytes.len() < end + 4 + length {
        if !read_more(stream, bytes) {
            return None;
        }
    }
    let rest = bytes.split_off(end + 4 + length);
    let body = bytes.split_off(end + 4);
    *bytes = rest;
    Some(Came { headers, body })
}

fn answer(stream: &mut TcpStream, said: &str) -> bool {
    stream.write_all(format!("HTTP/1.1 {said}\r\ncontent-length: 0\r\n\r\n").as_bytes()).is_ok()
}

fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer) {
        Ok(read @ 1..) => {
            bytes.extend_from_slice(&buffer[..read]);
            true
        }
        _ => false,
    }
}

/// One term of writing with its workers.
struct Term {
    sequencer: Sequencer,
    workers: Workers,
    clock: TestClock,
}

impl Term {
    async fn open(folder: &Path, now: i64) -> Self {
        Self::with(folder, now, TargetPolicy { allows_private: true }).await
    }

    async fn with(folder: &Path, now: i64, webhooks: TargetPolicy) -> Self {
        let settings = WorkerSettings { webhooks, ..WorkerSettings::default() };
        let opened = store(Arc::new(SqliteStore::new(folder.join("log.db"))), &settings).open();
        let Ok(Opening::Writer(log)) = opened else {
            panic!("the database does not open: {:?}", opened.err())
        };
        let config = Config::new(SequencerId::from_bytes([7; 16]), Arc::new(sequencer_key(1)), 1);
        let clock = TestClock(Arc::new(AtomicI64::new(now)));
        let sequencer = Sequencer::start(log, config, Arc::new(clock.clone())).unwrap();
        for n in [1, 2] {
            let agent = agent(n);
            if sequencer.agent_keys(&agent.tenant_id, None).iter().all(|key| key.agent_id != agent.agent_id) {
                sequencer.register_agent_key(agent.registered_key()).await.unwrap();
            }
        }
        let workers = Workers::start(&workers(&settings), &sequencer);
        Self { sequencer, workers, clock }
    }

    async fn send(&self, stream: &StreamKey, events: Vec<Envelope<'static>>) {
        let count = events.len();
        let outcome = self.sequencer.ingest(*stream, events.into_iter().map(Ok).collect()).await.unwrap();
        assert_eq!(outcome.results.len(), count);
    }

    async fn orders(&self, stream: &StreamKey, n: std::ops::RangeInclusive<u64>) {
        let agent = agent(if *stream == first() { 1 } else { 2 });
        self.send(stream, n.map(|n| plain_event(&agent, stream, n)).collect()).await;
    }

    async fn webhook(&self, shop: &Shop, new: NewWebhook) -> Webhook {
        let new = NewWebhook { url: shop.url(), ..new };
        self.sequencer.create_webhook(&first().tenant_id, new).await.expect("a webhook")
    }

    async fn stop(self) {
        self.sequencer.dismiss();
        self.workers.stop(LONG).await;
        self.sequencer.shutdown().await;
    }
}

fn first() -> StreamKey {
    stream(1)
}

/// Another store of the same tenant.
fn second() -> StreamKey {
    StreamKey { store_id: StoreId::from_bytes([0x22; 16]), ..stream(1) }
}

fn agent(n: u64) -> Agent {
    Agent::new(&first(), n)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_gets_what_it_wants_signed_and_the_log_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (term, shop) = (Term::open(folder.path(), NOW.0).await, Shop::open());
    term.orders(&first(), 1..=2).await;
    let wanted = NewWebhook { event_types: vec!["order.p*".into()], ..NewWebhook::default() };
    let webhook = term.webhook(&shop, wanted).await;
    let clouds = Shop::open();
    let all = NewWebhook { format: WebhookFormat::CloudEvents, ..NewWebhook::default() };
    term.webhook(&clouds, all).await;
    let of = |n, kind: &str| sign_payload(&agent(1), &first(), n, kind, "{}".into());
    term.send(
        &first(),
        vec![of(3, "order.noted"), of(4, "order.paid"), of(5, "order.noted"), of(6, "order.packed")],
    )
    .await;
    shop.until("two are wanted", |shop| shop.taken().len() == 2).await;
    clouds.until("all four", |shop| shop.taken().len() == 4).await;
    let came = shop.taken();
    assert_eq!(came.iter().map(Came::number).collect::<Vec<_>>(), [4, 6]);
    let secret = Secret::parse(webhook.secret.text()).expect("a secret");
    for came in &came {
        let header = |name: &str| came.headers[name].as_str();
        let checked = secret.verify(
            header("webhook-id"),
            header("webhook-timestamp"),
            header("webhook-signature"),
            &came.body,
            NOW.0 / 1000,
        );
        assert_eq!(checked, Ok(()));
        let told = came.json();
        assert_eq!(told["data"]["envelope"]["event_id"], header("webhook-id"));
        assert_eq!(told["type"], told["data"]["envelope"]["event_type"]);
        assert!(told["data"]["receipt"]["receiptHash"].is_string(), "{told}");
    }
    let cloud = &clouds.taken()[0];
    assert_eq!(cloud.headers["content-type"], "application/cloudevents+json");
    assert_eq!(
        (cloud.json()["type"].as_str(), cloud.json()["specversion"].as_str()),
        (Some("order.noted"), Some("1.0"))
    );
    let began = Instant::now();
    loop {
        let log = term.sequencer.webhook_deliveries(&webhook, false, None, 10).await.unwrap();
        if log.len() == 2 {
            assert!(log.iter().all(|(_, delivery)| delivery.outcome == DeliveryOutcome::Delivered
                && delivery.status == Some(200)));
            break;
        }
        assert!(began.elapsed() < LONG, "{log:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    term.stop().await;
}

/// The receiver is down for a day, and the service is stopped and started in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_was_down_for_a_day_gets_everything_once_and_in_the_order_of_each_stream() {
    let folder = tempfile::tempdir().unwrap();
    let (mut term, shop) = (Term::open(folder.path(), NOW.0).await, Shop::open());
    let webhook = term.webhook(&shop, NewWebhook::default()).await;
    term.orders(&first(), 1..=10).await;
    shop.until("while it is up", |shop| shop.taken().len() == 10).await;
    shop.says(DOWN);
    for hour in 1..=24 {
        term.orders(&first(), 10 * hour + 1..=10 * hour + 10).await;
        term.orders(&second(), 10 * hour + 1001..=10 * hour + 1010).await;
        if hour % 8 == 0 {
            let refused = shop.refused.load(Ordering::SeqCst);
            term.clock.0.fetch_add(DAY_MS / 3, Ordering::SeqCst);
            shop.until("it is tried again", |shop| shop.refused.load(Ordering::SeqCst) >= refused + 2).await;
        }
    }
    let now = term.clock.now().0;
    term.stop().await;
    term = Term::open(folder.path(), now + 1000).await;
    shop.says(TAKEN);
    term.clock.0.fetch_add(40 * 60 * 1000, Ordering::SeqCst);
    shop.until("everything", |shop| shop.taken().len() >= 490).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let of_store = |stream: StreamKey| -> Vec<u64> {
        let of_it = |came: &&Came| came.store() == stream.store_id.to_string();
        shop.taken().iter().filter(of_it).map(Came::number).collect()
    };
    assert_eq!(of_store(first()), (1..=250).collect::<Vec<_>>());
    assert_eq!(of_store(second()), (1..=240).collect::<Vec<_>>());
    let lanes = term.sequencer.webhook_lanes(&webhook).await.unwrap();
    assert_eq!(lanes.iter().map(|lane| lane.given_up).sum::<u64>(), 0);
    term.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_for_three_days_is_a_dead_letter_until_a_replay_brings_it_home() {
    let folder = tempfile::tempdir().unwrap();
    let (term, shop) = (Term::open(folder.path(), NOW.0).await, Shop::open());
    let webhook = term.webhook(&shop, NewWebhook::default()).await;
    shop.says(DOWN);
    term.orders(&first(), 1..=2).await;
    shop.until("a first try", |shop| shop.refused.load(Ordering::SeqCst) >= 1).await;
    let began = Instant::now();
    let letters = loop {
        let letters = term.sequencer.webhook_deliveries(&webhook, true, None, 10).await.unwrap();
        if !letters.is_empty() {
            break letters;
        }
        assert!(began.elapsed() < LONG, "no dead letter");
        term.clock.0.fetch_add(DAY_MS, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(1200)).await;
    };
    assert_eq!(
        (letters[0].1.sequence_number, letters[0].1.outcome),
        (SequenceNumber(1), DeliveryOutcome::GivenUp)
    );
    assert_eq!(
        (letters[0].1.status, letters[0].1.error.as_deref()),
        (Some(503), Some("the receiver answered 503"))
    );
    shop.says(TAKEN);
    let replayed = term.sequencer.replay_webhook(
        &webhook.tenant_id,
        &webhook.webhook_id,
        first().store_id,
        SequenceNumber(1),
    );
    assert_eq!(replayed.await.expect("a replay").next, SequenceNumber(1));
    shop.until("both", |shop| shop.taken().len() == 2).await;
    assert_eq!(shop.taken().iter().map(Came::number).collect::<Vec<_>>(), [1, 2]);
    let began = Instant::now();
    while !term.sequencer.webhook_deliveries(&webhook, true, None, 10).await.unwrap().is_empty() {
        assert!(began.elapsed() < LONG, "the letter stays");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Who is removed hears nothing more, and nothing is kept of it.
    term.sequencer.delete_webhook(&webhook.tenant_id, &webhook.webhook_id).await.expect("removed");
    term.orders(&first(), 3..=3).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(shop.taken().len(), 2);
    assert!(term.sequencer.webhook_lanes(&webhook).await.unwrap().is_empty());
    term.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_goes_to_this_machine_unless_that_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let (term, shop) = (Term::with(folder.path(), NOW.0, TargetPolicy::default()).await, Shop::open());
    let webhook = term.webhook(&shop, NewWebhook::default()).await;
    term.orders(&first(), 1..=1).await;
    let began = Instant::now();
    let error = loop {
        let log = term.sequencer.webhook_deliveries(&webhook, false, None, 10).await.unwrap();
        if let Some((_, delivery)) = log.first() {
            break delivery.error.clone().expect("an error");
        }
        assert!(began.elapsed() < LONG);
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(error.contains("WEBHOOK_ALLOW_PRIVATE_TARGETS"), "{error}");
    assert_eq!((shop.taken().len(), shop.refused.load(Ordering::SeqCst)), (0, 0));
    term.stop().await;
}
