//! A shop whose log, till and platforms are in memory, and a platform that buys from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use serde_json::{Map, Value, json};
use stateset_commerce::business::Business;
use stateset_commerce::jose::{SigningKey, attached, encode, hash_text};
use stateset_commerce::ports::{
    Clock, Fact, History, Journal, JournalError, Later, Place, Platforms, Recorded, Till, TillError,
};
use stateset_commerce::session::Paid;
use stateset_commerce::versions::{Refusal, UCP_VERSION, capabilities};
use stateset_commerce::{Catalogue, Desk, Merchant, Parts, router};
use tower::ServiceExt as _;
use ves::TimestampMs;

pub const PLATFORM: &str = "https://platform.example/profile";
pub const PAYER: &str = "0x00000000000000000000000000000000000000aa";
pub const START_S: i64 = 1_790_000_000;

/// A log in memory, with the rule that matters: an entity is at the version that an event expects.
#[derive(Default)]
pub struct Log {
    pub events: Mutex<Vec<Fact>>,
    /// Appends that are lost from now on: the caller hears that the log is away.
    pub is_away: Mutex<bool>,
}

impl Log {
    pub fn types(&self) -> Vec<String> {
        self.events.lock().unwrap().iter().map(|fact| fact.event_type.clone()).collect()
    }
}

impl Journal for Log {
    fn history<'a>(
        &'a self,
        entity_type: &'static str,
        entity_id: &'a str,
    ) -> Later<'a, Result<History, JournalError>> {
        Box::pin(async move {
            let events = self.events.lock().unwrap();
            let own: Vec<Recorded> = (1..)
                .zip(events.iter())
                .filter(|(_, fact)| fact.entity_type == entity_type && fact.entity_id == entity_id)
                .map(|(sequence_number, fact)| Recorded {
                    event_type: fact.event_type.clone(),
                    payload: fact.payload.clone(),
                    place: Place { event_id: fact.event_id, sequence_number },
                })
                .collect();
            Ok(History { version: own.len() as u64, own })
        })
    }

    fn append<'a>(&'a self, fact: &'a Fact) -> Later<'a, Result<Place, JournalError>> {
        Box::pin(async move {
            if *self.is_away.lock().unwrap() {
                return Err(JournalError::Unavailable("it is away".to_owned()));
            }
            let version = self.history(fact.entity_type, &fact.entity_id).await?.version;
            if version != fact.version {
                return Err(JournalError::Conflict { entity: fact.entity_id.clone() });
            }
            // What a sequencer would refuse is refused here.
            ves::json::canonicalize_strict(&fact.payload.to_string()).unwrap();
            let mut events = self.events.lock().unwrap();
            events.push(fact.clone());
            Ok(Place { event_id: fact.event_id, sequence_number: events.len() as u64 })
        })
    }
}

/// Takes `{"from": payer, "value": minor units, "nonce": text}`; each nonce once.
#[derive(Default)]
pub struct Box0 {
    pub taken: Mutex<BTreeMap<String, String>>,
    pub refuses: Mutex<Option<TillError>>,
}

impl Till for Box0 {
    fn terms(&self) -> Value {
        json!({"x402Version": 2})
    }

    fn offer(&self, minor: u64, currency: &str) -> Option<Value> {
        (currency == "USD").then(|| json!({"x402Version": 2, "accepts": [{"amount": minor.to_string()}]}))
    }

    fn payer(&self, payment: &Value, minor: u64, _: &str) -> Result<String, String> {
        if payment["value"] != minor {
            return Err(format!("value is {}, the price is {minor}", payment["value"]));
        }
        Ok(payment["from"].as_str().ok_or("from is missing")?.to_owned())
    }

    fn settle<'a>(
        &'a self,
        payment: &'a Value,
        minor: u64,
        _: &'a str,
        resource: &'a str,
    ) -> Later<'a, Result<Paid, TillError>> {
        Box::pin(async move {
            if let Some(error) = self.refuses.lock().unwrap().clone() {
                return Err(error);
            }
            let nonce = payment["nonce"].to_string();
            let mut taken = self.taken.lock().unwrap();
            let first = taken.entry(nonce.clone()).or_insert_with(|| resource.to_owned());
            if first != resource {
                return Err(TillError::Refused("the authorization pays for something else".to_owned()));
            }
            Ok(Paid {
                network: "eip155:1".to_owned(),
                transaction: format!("0x{}", nonce.trim_matches('"')),
                payer: PAYER.to_owned(),
                amount: minor.to_string(),
                intent_id: None,
                sequence_number: None,
            })
        })
    }
}

/// Profiles by URL.
#[derive(Default)]
pub struct Directory {
    pub profiles: Mutex<BTreeMap<String, Vec<u8>>>,
    pub trusted: Mutex<BTreeSet<String>>,
}

impl Platforms for Directory {
    fn profile<'a>(&'a self, url: &'a str) -> Later<'a, Result<Vec<u8>, Refusal>> {
        let found = self.profiles.lock().unwrap().get(url).cloned();
        Box::pin(async move { found.ok_or_else(|| Refusal::Unreachable("404".to_owned())) })
    }

    fn trusts(&self, url: &str) -> bool {
        self.trusted.lock().unwrap().contains(url)
    }
}

pub struct Watch(pub AtomicI64);

impl Clock for Watch {
    fn now(&self) -> TimestampMs {
        TimestampMs(self.0.load(Ordering::Relaxed) * 1000)
    }
}

/// The shop and its world.
pub struct World {
    pub log: Arc<Log>,
    pub till: Arc<Box0>,
    pub directory: Arc<Directory>,
    pub watch: Arc<Watch>,
    key: Vec<u8>,
    pub app: Router,
    pub platform: SigningKey,
    pub agent: SigningKey,
}

pub fn profile_of(version: &str, capabilities: Map<String, Value>, key: &SigningKey) -> Vec<u8> {
    json!({
        "ucp": {"version": version, "services": {}, "payment_handlers": {}, "capabilities": capabilities},
        "keys": [key.public().to_jwk()],
    })
    .to_string()
    .into_bytes()
}

impl World {
    pub fn new() -> Self {
        let (log, till, directory) = (Arc::default(), Arc::default(), Arc::new(Directory::default()));
        let watch = Arc::new(Watch(AtomicI64::new(START_S)));
        let (platform, agent) = (SigningKey::generate().unwrap().0, SigningKey::generate().unwrap().0);
        let document = profile_of(UCP_VERSION, capabilities(true), &platform);
        directory.profiles.lock().unwrap().insert(PLATFORM.to_owned(), document);
        directory.trusted.lock().unwrap().insert(PLATFORM.to_owned());
        let key = SigningKey::generate().unwrap().1;
        let app = app(&log, &till, &directory, &watch, &key);
        Self { log, till, directory, watch, key, app, platform, agent }
    }

    /// The same shop after a restart: only the log is left of what it knew.
    pub fn restart(&mut self) {
        self.app = app(&self.log, &self.till, &self.directory, &self.watch, &self.key);
    }

    pub fn now_s(&self) -> i64 {
        self.watch.0.load(Ordering::Relaxed)
    }

    /// One request with its headers.
    pub async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.app.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// As the platform, without a key.
    pub async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.ask_keyed(method, path, body, None).await
    }

    pub async fn ask_keyed(&self, method: &str, path: &str, body: &Value, key: Option<&str>) -> (u16, Value) {
        let agent = format!("profile=\"{PLATFORM}\"");
        let mut headers = vec![("ucp-agent", agent.as_str())];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.call(method, &format!("/ucp/v1{path}"), &headers, &body).await
    }

    /// A session of these items.
    pub async fn session(&self, items: &[(&str, u64)]) -> Value {
        let (status, checkout) = self.ask("POST", "/checkout-sessions", &lines(items)).await;
        assert_eq!(status, 201, "{checkout}");
        checkout
    }

    pub async fn complete(&self, checkout: &Value, body: &Value) -> (u16, Value) {
        let path = format!("/checkout-sessions/{}/complete", checkout["id"].as_str().unwrap());
        self.ask("POST", &path, body).await
    }
}

fn app(
    log: &Arc<Log>,
    till: &Arc<Box0>,
    directory: &Arc<Directory>,
    watch: &Arc<Watch>,
    key: &[u8],
) -> Router {
    let merchant = Merchant {
        id: "shop_1".to_owned(),
        name: "A shop".to_owned(),
        website: "https://shop.example".to_owned(),
    };
    let catalogue = r#"{"currency": "USD", "items": [
        {"id": "mug", "title": "A mug", "price": 1250}, {"id": "tea", "title": "Tea", "price": 499}]}"#;
    let key = SigningKey::from_pkcs8(key).unwrap();
    let parts = Parts {
        business: Business { merchant, description: "Sells mugs".to_owned(), key },
        catalogue: Catalogue::parse(catalogue).unwrap(),
        journal: log.clone(),
        till: till.clone(),
        platforms: directory.clone(),
        clock: watch.clone(),
    };
    router(Arc::new(Desk::new(parts))).unwrap()
}

pub fn lines(items: &[(&str, u64)]) -> Value {
    let lines: Vec<Value> =
        items.iter().map(|(id, quantity)| json!({"item": {"id": id}, "quantity": quantity})).collect();
    json!({"line_items": lines})
}

pub fn total(checkout: &Value) -> u64 {
    let totals = checkout["totals"].as_array().unwrap();
    totals.iter().find(|total| total["type"] == "total").unwrap()["amount"].as_u64().unwrap()
}

/// The signed checkout with its payload put back, as a mandate holds it.
pub fn checkout_jwt(checkout: &Value) -> String {
    let mut payload = checkout.clone();
    payload.as_object_mut().unwrap().remove("ap2");
    let detached = checkout["ap2"]["merchant_authorization"].as_str().unwrap();
    attached(detached, ves::json::to_canonical(&payload).unwrap().as_bytes()).unwrap()
}

/// An SD-JWT with one disclosed content.
pub fn token(key: &SigningKey, typ: &str, content: &Value, claims: Value) -> String {
    let disclosure = encode(json!(["c2FsdHNhbHRzYWx0", content]).to_string().as_bytes());
    let mut payload = claims;
    payload["delegate_payload"] = json!([{"...": hash_text(&disclosure)}]);
    payload["_sd_alg"] = json!("sha-256");
    let jws = key.sign(&[("typ", typ)], payload.to_string().as_bytes()).unwrap();
    format!("{jws}~{disclosure}~")
}

/// A closed token after an open one.
pub fn closed_after(open: &str, key: &SigningKey, content: &Value, now_s: i64, audience: &str) -> String {
    let claims = json!({"iat": now_s, "aud": audience, "nonce": "n-1", "sd_hash": hash_text(open)});
    format!("{open}~{}", token(key, "kb+sd-jwt", content, claims))
}

/// What a platform says in its two mandates; tests spoil one member at a time.
pub struct Mandates {
    pub checkout: Value,
    pub payment: Value,
    pub claims: Value,
}

impl Mandates {
    pub fn of(checkout: &Value, now_s: i64) -> Self {
        let jwt = checkout_jwt(checkout);
        let hash = hash_text(&jwt);
        Self {
            checkout: json!({"vct": "mandate.checkout.1", "checkout_jwt": jwt, "checkout_hash": hash}),
            payment: json!({
                "vct": "mandate.payment.1", "transaction_id": hash,
                "payee": {"id": "shop_1", "name": "A shop", "website": "https://shop.example"},
                "payment_amount": {"amount": total(checkout), "currency": "USD"},
                "payment_instrument": {"id": PAYER, "type": "x402"},
            }),
            claims: json!({"iat": now_s, "exp": now_s + 300}),
        }
    }

    /// Signed by the platform: a person saw the checkout.
    pub fn direct(&self, key: &SigningKey) -> (String, String) {
        let token = |content| token(key, "dc+sd-jwt", content, self.claims.clone());
        (token(&self.checkout), token(&self.payment))
    }
}

/// The body of a completion.
pub fn completion(checkout: &Value, (checkout_mandate, payment_mandate): (&str, &str), nonce: &str) -> Value {
    json!({
        "payment": {"instruments": [{
            "id": "instr_1", "handler_id": "x402", "type": "x402", "selected": true,
            "credential": {
                "type": "x402", "token": payment_mandate,
                "payment": {"from": PAYER, "value": total(checkout), "nonce": nonce},
            },
        }]},
        "ap2": {"checkout_mandate": checkout_mandate},
    })
}
