//! Members with certificates, their nodes, and a wire between them that can be cut.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stateset_ledger_types::codec::{List, Set, Text};
use stateset_ledger_types::entity::{Compliance, Entity, EntityStatus, Quota, Role, Roles};
use stateset_ledger_types::ids::{ChainId, EntityId};
use stateset_ledger_types::keys::{KeyRecord, PublicKey, Purpose, Signature};
use stateset_ledger_types::x509::{Certificate, Issuer, Kind, Root, Template, issue, self_issue};
use stateset_peer::message::{CertChain, GetCertChain, Reject, RejectCode};
use stateset_peer::{
    Answer, Config, Delivery, Handler, Head, Identity, Members, MemoryStore, Message, Peers, Question,
    SessionId, SessionStore, StartError, Timing,
};
use tokio::sync::mpsc;
use ves::{Digest, SigningKey};

pub const CHAIN: &str = "peers-1";
pub const ROOT: &str = "CN=Network Root";
pub const NOW: u64 = 1_800_000_000_000;
pub const DAY: u64 = 86_400_000;

/// A party with a key.
pub struct Party {
    pub name: String,
    pub seed: [u8; 32],
    pub key: PublicKey,
}

impl Party {
    pub fn new(name: &str, seed: u8) -> Self {
        let seed = [seed; 32];
        Self {
            name: name.to_owned(),
            seed,
            key: PublicKey::ed25519(SigningKey::from_seed(seed).public_key()),
        }
    }
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(SigningKey::from_seed(self.seed).sign(message))
    }
    pub fn template(&self, kind: Kind) -> Template<'_> {
        Template { kind, subject: &self.name, key: &self.key, from_ms: NOW - DAY, until_ms: NOW + DAY }
    }
    pub fn issue(&self, template: &Template<'_>) -> Vec<u8> {
        let issuer = Issuer { subject: &self.name, key: &self.key };
        issue(template, &issuer, |tbs| self.sign(tbs)).unwrap()
    }
    pub fn root(&self) -> Root {
        Root::parse(&self_issue(&self.template(Kind::Root), |tbs| self.sign(tbs)).unwrap()).unwrap()
    }
}

/// The root, an entity and a node of it.
pub struct Company {
    pub entity: Party,
    pub node: Party,
    pub chain: Vec<Vec<u8>>,
    pub id: EntityId,
}

impl Company {
    pub fn new(n: u8) -> Self {
        Self::under(&Party::new(ROOT, 200), n)
    }
    pub fn under(root: &Party, n: u8) -> Self {
        let (entity, node) = (Party::new(&format!("CN=company-{n}"), n), Party::new("CN=node", 100 + n));
        let chain =
            vec![entity.issue(&node.template(Kind::Node)), root.issue(&entity.template(Kind::Entity))];
        let id = EntityId::derive(&root.name, &entity.name);
        Self { entity, node, chain, id }
    }
    pub fn record(&self) -> Entity {
        Entity {
            entity_id: self.id,
            name: Text::new(self.entity.name.as_str()).unwrap(),
            jurisdiction: Text::new("DE").unwrap(),
            registration_no: Text::new("1").unwrap(),
            lei: None,
            cert_hash: Certificate::parse(&self.chain[1]).unwrap().hash(),
            keys: List::new([KeyRecord::new(Purpose::Identity, self.entity.key)]).unwrap(),
            roles: Roles::of(&[Role::Member]),
            issuer_of: Set::default(),
            status: EntityStatus::Admitted,
            suspended_until: None,
            voting_power: 1,
            quota: Quota::default(),
            compliance: Compliance { kyc_level: 0, risk: 0, sanctioned: false, expires_at: u64::MAX },
        }
    }
    pub fn identity(&self) -> Identity {
        let seed = self.node.seed;
        let sign = move |message: &[u8]| Ok(Signature(SigningKey::from_seed(seed).sign(message)));
        Identity { chain: self.chain.clone(), sign: Arc::new(sign) }
    }
}

/// The state that all nodes of a test see, unless one sees its own.
#[derive(Clone)]
pub struct State {
    pub roots: Vec<Root>,
    pub entities: BTreeMap<EntityId, Entity>,
    pub now_ms: u64,
    pub head: Head,
}

pub struct Ledger(pub Mutex<State>);

impl Ledger {
    pub fn of(companies: &[&Company]) -> Arc<Self> {
        let entities = companies.iter().map(|company| (company.id, company.record())).collect();
        let head = Head { height: 10, contract_set_hash: Digest([7; 32]) };
        Arc::new(Self(Mutex::new(State {
            roots: vec![Party::new(ROOT, 200).root()],
            entities,
            now_ms: NOW,
            head,
        })))
    }
    pub fn copy(&self) -> Arc<Self> {
        Arc::new(Self(Mutex::new(self.0.lock().unwrap().clone())))
    }
    pub fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap());
    }
}

impl Members for Ledger {
    fn roots(&self) -> Vec<Root> {
        self.0.lock().unwrap().roots.clone()
    }
    fn entity(&self, id: &EntityId) -> Option<Entity> {
        self.0.lock().unwrap().entities.get(id).cloned()
    }
    fn now_ms(&self) -> u64 {
        self.0.lock().unwrap().now_ms
    }
    fn head(&self) -> Head {
        self.0.lock().unwrap().head
    }
    fn contract_set_hash(&self, height: u64) -> Option<Digest> {
        let head = self.head();
        (height <= head.height).then_some(head.contract_set_hash)
    }
}

impl Inbox {
    pub fn new(arrived: mpsc::UnboundedSender<Delivery>, chain: Vec<Vec<u8>>) -> Self {
        Self { arrived, chain }
    }
}

/// Passes on what arrives; answers for certificates.
pub struct Inbox {
    arrived: mpsc::UnboundedSender<Delivery>,
    chain: Vec<Vec<u8>>,
}

impl Handler for Inbox {
    async fn deliver(&self, delivery: Delivery) -> Result<(), String> {
        self.arrived.send(delivery).map_err(|error| error.to_string())
    }
    async fn answer(&self, _from: EntityId, question: Question) -> Answer {
        match question {
            Question::CertChain(GetCertChain { entity }) => {
                let der = |der: &Vec<u8>| stateset_ledger_types::codec::Blob::new(der.clone()).unwrap();
                let certificates: Vec<_> = self.chain[1..].iter().map(der).collect();
                Answer::CertChain(CertChain { entity, certificates: List::new(certificates).unwrap() })
            }
            _ => Answer::Reject(Reject::new(RejectCode::NotFound, "nothing is kept here")),
        }
    }
}

pub struct Node {
    pub peers: Peers,
    pub arrived: mpsc::UnboundedReceiver<Delivery>,
    pub id: EntityId,
}

pub fn quick() -> Timing {
    Timing {
        handshake_max: Duration::from_secs(5),
        backoff_first: Duration::from_millis(5),
        backoff_last: Duration::from_millis(50),
        answer_max: Duration::from_secs(10),
        delivery_retry: Duration::from_millis(20),
        ..Timing::default()
    }
}

pub fn config(company: &Company) -> Config {
    let listen = Some("127.0.0.1:0".parse().unwrap());
    Config { listen, timing: quick(), ..Config::new(ChainId::new(CHAIN).unwrap(), company.id) }
}

pub async fn start_with(
    company: &Company,
    ledger: &Arc<Ledger>,
    store: Arc<dyn SessionStore>,
    config: Config,
) -> Result<Node, StartError> {
    let (sender, arrived) = mpsc::unbounded_channel();
    let handler = Arc::new(Inbox::new(sender, company.chain.clone()));
    let peers = Peers::start(config, company.identity(), ledger.clone(), store, handler).await?;
    Ok(Node { peers, arrived, id: company.id })
}

pub async fn start(company: &Company, ledger: &Arc<Ledger>) -> Node {
    start_with(company, ledger, Arc::new(MemoryStore::default()), config(company)).await.unwrap()
}

impl Node {
    pub fn address(&self) -> String {
        self.peers.address().unwrap().to_string()
    }
    pub fn knows(&self, other: &Self) {
        self.peers.know(other.id, vec![other.address()]);
    }
    pub async fn next(&mut self) -> Delivery {
        tokio::time::timeout(Duration::from_secs(20), self.arrived.recv())
            .await
            .expect("in time")
            .expect("open")
    }
}

/// The number `n` as a message of a session.
pub fn numbered(n: u32) -> Message {
    Reject::new(RejectCode::Declined, n).into()
}

/// A numbered message of `bytes` bytes or more.
pub fn padded(n: u32, bytes: usize) -> Message {
    Reject::new(RejectCode::Declined, format!("{n} {}", "x".repeat(bytes))).into()
}

pub fn number(delivery: &Delivery) -> u32 {
    let Message::Reject(reject) = &delivery.message else { panic!("not a numbered message") };
    reject.text.split(' ').next().unwrap().parse().unwrap()
}

pub fn session(n: u64) -> SessionId {
    SessionId(n)
}
