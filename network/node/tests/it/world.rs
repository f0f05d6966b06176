//! Companies with their nodes on one ledger.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use stateset_contracts::invoice::Terms;
use stateset_contracts::{Invoice, InvoiceCommand, PaymentEvidence, registry};
use stateset_keystore::{Algorithm, FileKeystore, Keystore, Passphrase};
use stateset_ledger_types::Params;
use stateset_ledger_types::bank::DenomRecord;
use stateset_ledger_types::codec::{Decode, List, Set, Text};
use stateset_ledger_types::entity::{Compliance, Entity, EntityStatus, Quota, Role, Roles};
use stateset_ledger_types::genesis::{Genesis, GenesisAttesters, GenesisBalance, GenesisValidator};
use stateset_ledger_types::governance::AttesterPolicy;
use stateset_ledger_types::ids::{Amount, ChainId, Denom, EntityId, StateRef, Units};
use stateset_ledger_types::keys::{KeyRecord, PublicKey, Purpose, Scheme};
use stateset_node::ports::{CapsuleStore, Chain, Clock, Consent, Decision, Proposal};
use stateset_node::probe::{Always, Probe};
use stateset_node::vault::{FlowView, StateFilter, StateView};
use stateset_node::{
    CapsuleFile, Node, NodeConfig, NodeKeys, Notary, NotaryCapsules, Payment, Ports, Started, Transition,
};
use ves::Digest;

use crate::chain::TestChain;
use crate::peers::{End, Wire};

pub const NOTARY: u8 = 1;
pub const SELLER: u8 = 2;
pub const BUYER: u8 = 3;
pub const FACTOR: u8 = 4;
pub const OTHER: u8 = 5;
/// Their nodes are opened by tests that need them.
pub const AUDITOR: u8 = 6;
pub const SECOND_AUDITOR: u8 = 7;
const COMPANIES: u8 = 7;

/// Attester policies of [`genesis`].
pub const ONE_AUDITOR: u32 = 1;
pub const BOTH_AUDITORS: u32 = 2;
pub const EITHER_AUDITOR: u32 = 3;
/// Names the buyer alone.
pub const PARTY_ATTESTS: u32 = 4;

/// 2026-01-01.
pub const GENESIS_MS: u64 = 1_767_225_600_000;
pub const DAY_MS: u64 = 86_400_000;

pub fn chain_id() -> ChainId {
    ChainId::new("ssn-node-1").unwrap()
}

pub fn id(n: u8) -> EntityId {
    EntityId([n; 20])
}

pub fn usd() -> Denom {
    Denom::new("usd").unwrap()
}

/// A clock that a test moves.
pub struct TestClock(AtomicU64);

impl TestClock {
    pub fn new(ms: u64) -> Self {
        Self(AtomicU64::new(ms))
    }
    pub fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
    pub fn set_at_least(&self, ms: u64) {
        self.0.fetch_max(ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// The keys of every company, made once: key files are slow to open on purpose.
pub fn keys(n: u8) -> Arc<NodeKeys> {
    static KEYS: OnceLock<BTreeMap<u8, Arc<NodeKeys>>> = OnceLock::new();
    let all = KEYS.get_or_init(|| (1..=COMPANIES).map(|n| (n, Arc::new(make_keys(n)))).collect());
    Arc::clone(&all[&n])
}

fn make_keys(n: u8) -> NodeKeys {
    let folder = tempfile::tempdir().unwrap();
    let store = FileKeystore::open(&folder.path().join("keys"), Passphrase::random().unwrap()).unwrap();
    let (ledger, view) = ("ledger".parse().unwrap(), "view".parse().unwrap());
    store.generate(&ledger, Algorithm::Ed25519, &BTreeMap::new()).unwrap();
    store.generate(&view, Algorithm::X25519, &BTreeMap::new()).unwrap();
    NodeKeys::open(&store, id(n), &ledger, &view).unwrap()
}

/// The key by which the one validator votes.
pub fn validator() -> ves::SigningKey {
    ves::SigningKey::from_seed([101; 32])
}

fn entity(n: u8) -> Entity {
    let roles: &[Role] = match n {
        NOTARY => &[Role::Member, Role::Notary],
        FACTOR | OTHER => &[Role::Member, Role::Factor],
        BUYER | AUDITOR | SECOND_AUDITOR => &[Role::Member, Role::Attester],
        _ => &[Role::Member],
    };
    let view = PublicKey::new(Scheme::X25519, &keys(n).view_key()).unwrap();
    let mut records = vec![
        KeyRecord::new(Purpose::LedgerSigning, keys(n).ledger_key()),
        KeyRecord::new(Purpose::View, view),
    ];
    if n == NOTARY {
        let vote = PublicKey::ed25519(ves::Signer::public_key(&validator()));
        records.push(KeyRecord::new(Purpose::ValidatorConsensus, vote));
    }
    Entity {
        entity_id: id(n),
        name: Text::new(format!("Company {n}")).unwrap(),
        jurisdiction: Text::new("DE").unwrap(),
        registration_no: Text::default(),
        lei: None,
        cert_hash: Digest([n; 32]),
        keys: List::new(records).unwrap(),
        roles: Roles::of(roles),
        issuer_of: Set::new((n == NOTARY).then(usd)).unwrap(),
        status: EntityStatus::Admitted,
        suspended_until: None,
        voting_power: 1,
        quota: Quota::default(),
        compliance: Compliance { kyc_level: 1, risk: 0, sanctioned: false, expires_at: u64::MAX },
    }
}

fn attesters(policy: u32, threshold: u32, entities: &[u8]) -> GenesisAttesters {
    let entities = Set::new(entities.iter().map(|n| id(*n))).unwrap();
    GenesisAttesters { id: policy, policy: AttesterPolicy { threshold, entities } }
}

pub fn genesis(time_ms: u64) -> Genesis {
    let money = |units| Amount { denom: usd(), units: Units(units) };
    let balance = |n| GenesisBalance { account: id(n).account(), amount: money(1_000_000) };
    let vote = Digest(ves::Signer::public_key(&validator()));
    Genesis {
        chain_id: chain_id(),
        genesis_time: time_ms,
        initial_height: 1,
        roots: List::default(),
        entities: List::new((1..=COMPANIES).map(entity).collect::<Vec<_>>()).unwrap(),
        validators: List::new([GenesisValidator { entity: id(NOTARY), key: vote, power: 10 }]).unwrap(),
        params: Params::default(),
        attester_policies: List::new([
            attesters(ONE_AUDITOR, 1, &[AUDITOR]),
            attesters(BOTH_AUDITORS, 2, &[AUDITOR, SECOND_AUDITOR]),
            attesters(EITHER_AUDITOR, 1, &[AUDITOR, SECOND_AUDITOR]),
            attesters(PARTY_ATTESTS, 1, &[BUYER]),
        ])
        .unwrap(),
        denoms: List::new([DenomRecord { denom: usd(), exponent: 2 }]).unwrap(),
        supply: List::new([money(4_000_000)]).unwrap(),
        balances: List::new([balance(SELLER), balance(BUYER), balance(FACTOR), balance(OTHER)]).unwrap(),
        fee_collector: None,
        contracts: List::new(registry::versions()).unwrap(),
    }
}

/// The ledger key of a company, by itself.
struct LedgerKey(Arc<NodeKeys>);

impl ves::Signer for LedgerKey {
    fn public_key(&self) -> [u8; 32] {
        self.0.ledger_key().as_bytes().try_into().expect("Ed25519")
    }
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], ves::SignerError> {
        let message = Digest(message.try_into().expect("receipts are signed over a hash"));
        Ok(self.0.sign(&message).expect("a key in memory").0)
    }
}

/// What a company says to proposals.
pub struct Says(pub Mutex<Decision>);

impl Consent for Says {
    fn decide(&self, _: &Proposal<'_>) -> Decision {
        self.0.lock().unwrap().clone()
    }
}

/// A company and where its node keeps what it knows.
pub struct Company {
    pub node: Arc<Node>,
    pub vault: PathBuf,
    pub says: Arc<Says>,
}

pub struct World {
    pub chain: Arc<dyn Chain>,
    /// The same, where a test moves it.
    pub test_chain: Option<Arc<TestChain>>,
    pub clock: Arc<dyn Clock>,
    pub test_clock: Option<Arc<TestClock>>,
    pub wire: Arc<Wire>,
    /// Where there is no notary.
    pub capsules: Arc<dyn CapsuleStore>,
    has_notary: bool,
    pub companies: BTreeMap<u8, Company>,
    pub folder: tempfile::TempDir,
}

impl World {
    /// Seller, buyer, factor and another factor, on a ledger that makes a block at once.
    pub fn new() -> Self {
        Self::of_genesis(|_| {})
    }

    /// The same, with another genesis.
    pub fn of_genesis(change: impl FnOnce(&mut Genesis)) -> Self {
        let clock = Arc::new(TestClock::new(GENESIS_MS + 1_000));
        let mut genesis = genesis(GENESIS_MS);
        change(&mut genesis);
        let chain = Arc::new(TestChain::new(&genesis, Arc::clone(&clock)));
        let shared: Arc<dyn Chain> = Arc::<TestChain>::clone(&chain);
        let mut world = Self::on(shared, Arc::<TestClock>::clone(&clock));
        (world.test_chain, world.test_clock) = (Some(chain), Some(clock));
        world
    }

    /// The same, with a notary that stores capsules: the companies have no store beside it.
    pub fn with_notary(change: impl FnOnce(&mut Genesis)) -> Self {
        let mut world = Self::of_genesis(change);
        let store = CapsuleFile::open(&world.folder.path().join("notary.db")).unwrap();
        let (key, clock) = (Arc::new(LedgerKey(keys(NOTARY))), Arc::clone(&world.clock));
        world.wire.join_notary(Notary::new(id(NOTARY), chain_id(), key, store, clock));
        world.has_notary = true;
        for n in [SELLER, BUYER, FACTOR, OTHER] {
            world.open(n, &format!("vault-{n}.db"), Arc::new(Always));
        }
        world
    }

    /// The same companies on any ledger with [`genesis`].
    pub fn on(chain: Arc<dyn Chain>, clock: Arc<dyn Clock>) -> Self {
        let folder = memory_folder();
        let capsules = Arc::new(CapsuleFile::open(&folder.path().join("capsules.db")).unwrap());
        let (wire, companies) = (Arc::new(Wire::default()), BTreeMap::new());
        let (test_chain, test_clock) = (None, None);
        let has_notary = false;
        let mut world =
            Self { chain, test_chain, clock, test_clock, wire, capsules, has_notary, companies, folder };
        for n in [SELLER, BUYER, FACTOR, OTHER] {
            world.open(n, &format!("vault-{n}.db"), Arc::new(Always));
        }
        world
    }

    pub fn ports(&self, n: u8, says: &Arc<Says>, probe: Arc<dyn Probe>) -> Ports {
        let peers = Arc::new(End { wire: Arc::clone(&self.wire), me: id(n) });
        let capsules: Arc<dyn CapsuleStore> = if self.has_notary {
            let notaries = Box::new(|| vec![id(NOTARY)]);
            Arc::new(NotaryCapsules::new(chain_id(), Arc::<End>::clone(&peers), notaries))
        } else {
            Arc::clone(&self.capsules)
        };
        Ports {
            chain: Arc::clone(&self.chain),
            capsules,
            peers,
            consent: Arc::<Says>::clone(says),
            clock: Arc::clone(&self.clock),
            probe,
        }
    }

    pub fn config(&self, vault: &std::path::Path) -> NodeConfig {
        NodeConfig { poll_ms: 100, expires_blocks: 100, ..NodeConfig::new(vault.to_owned(), chain_id()) }
    }

    /// Starts, or starts again, the node of company `n` on a file.
    pub fn open(&mut self, n: u8, file: &str, probe: Arc<dyn Probe>) {
        let before = self.companies.remove(&n).map(|company| company.says);
        let says = before.unwrap_or_else(|| Arc::new(Says(Mutex::new(Decision::Accept))));
        self.wire.leave(&id(n));
        let vault = self.folder.path().join(file);
        let node = Node::open(self.config(&vault), keys(n), self.ports(n, &says, probe)).unwrap();
        let node = Arc::new(node);
        self.wire.join(&node);
        self.companies.insert(n, Company { node, vault, says });
    }

    /// Copies the file of a company that does nothing meanwhile, as a backup would.
    pub fn copy(&self, n: u8, to: &str) {
        let from = &self.companies[&n].vault;
        for end in ["", "-wal"] {
            let with = |path: &std::path::Path| PathBuf::from(format!("{}{end}", path.display()));
            std::fs::copy(with(from), with(&self.folder.path().join(to))).unwrap();
        }
    }

    pub fn node(&self, n: u8) -> &Node {
        &self.companies[&n].node
    }

    pub fn say(&self, n: u8, decision: Decision) {
        *self.companies[&n].says.0.lock().unwrap() = decision;
    }

    /// Works until no node has anything due now; `Err` when a probe stopped one.
    pub fn work(&self) -> Result<Option<u64>, (u8, stateset_node::NodeError)> {
        loop {
            let (mut worked, mut due) = (false, None::<u64>);
            for (n, company) in &self.companies {
                match company.node.turn().map_err(|error| (*n, error))? {
                    stateset_node::Turn::Worked => worked = true,
                    stateset_node::Turn::Idle(at) => due = due.into_iter().chain(at).min(),
                }
            }
            if !worked {
                return Ok(due);
            }
        }
    }

    /// Works, and lets time pass, until every flow is over or nothing will happen any more.
    pub fn settle(&self) -> Result<(), (u8, stateset_node::NodeError)> {
        for _ in 0..2_000 {
            let due = self.work()?;
            if self.open_flows() == 0 {
                return Ok(());
            }
            let Some(due) = due else { return Ok(()) };
            match (&self.test_clock, &self.test_chain) {
                (Some(clock), Some(chain)) => {
                    clock.set_at_least(due);
                    chain.block();
                }
                _ => std::thread::sleep(std::time::Duration::from_millis(20)),
            }
        }
        panic!("flows do not end: {:?}", self.companies.keys().map(|n| self.flows(*n)).collect::<Vec<_>>());
    }

    /// Flows that are not over, and not waiting for a person.
    fn open_flows(&self) -> usize {
        let open = |n: &u8| self.flows(*n).iter().filter(|flow| !is_over(flow)).count();
        self.companies.keys().map(open).sum()
    }

    pub fn flows(&self, n: u8) -> Vec<FlowView> {
        self.node(n).vault().flows(false, None, 500).unwrap().items
    }

    pub fn flow(&self, n: u8, started: &Started) -> FlowView {
        self.node(n).vault().flow_view(&started.flow_id).unwrap()
    }

    /// The unspent invoices of a company, newest last.
    pub fn invoices(&self, n: u8) -> Vec<StateView> {
        let filter = StateFilter { type_id: Some(13), unspent: Some(true), ..StateFilter::default() };
        self.node(n).vault().states(&filter, None, 500).unwrap().items
    }

    pub fn invoice(&self, n: u8) -> (StateRef, Invoice) {
        let view = self.invoices(n).pop().expect("an invoice");
        (view.place, Invoice::from_sce(&view.state.content).unwrap())
    }

    pub fn start(
        &self,
        n: u8,
        on: Option<StateRef>,
        command: InvoiceCommand,
        parties: &[u8],
    ) -> Result<Started, stateset_node::NodeError> {
        let parties = parties.iter().map(|n| id(*n)).collect();
        self.node(n).start(&Transition::<Invoice> { on, command, parties, at: None })
    }

    /// Starts a step and sees it through to `final`.
    pub fn run(&self, n: u8, on: Option<StateRef>, command: InvoiceCommand, parties: &[u8]) -> Started {
        let started = self.start(n, on, command, parties).unwrap();
        self.settle().unwrap();
        let flow = self.flow(n, &started);
        assert_eq!(flow.phase, "final", "{flow:?}");
        started
    }

    pub fn issue(&self, number: &str) -> Started {
        self.run(SELLER, None, create(number), &[BUYER])
    }

    pub fn accept(&self) -> Started {
        let (place, _) = self.invoice(BUYER);
        self.run(BUYER, Some(place), InvoiceCommand::Accept(()), &[])
    }

    /// Pays for the next step of the invoice that `n` sees, and proves it.
    pub fn pay(
        &self,
        n: u8,
        to: u8,
        units: u128,
        of: &(StateRef, Invoice),
        linear_id: stateset_ledger_types::ids::LinearId,
    ) -> PaymentEvidence {
        let payment = Payment {
            payee: id(to),
            amount: Amount { denom: usd(), units: Units(units) },
            linear_id,
            version: of.1.head.version,
        };
        for _ in 0..600 {
            if let Some(evidence) = self.node(n).pay(&payment).unwrap() {
                return evidence;
            }
            match &self.test_chain {
                Some(chain) => chain.block(),
                None => std::thread::sleep(std::time::Duration::from_millis(50)),
            }
        }
        panic!("the payment is not made");
    }

    pub fn digest(&self, n: u8) -> Digest {
        self.node(n).vault().digest().unwrap()
    }

    pub fn status(&self, n: u8) -> String {
        self.invoices(n).pop().and_then(|view| view.status).unwrap_or_default()
    }
}

/// In memory where the system has such a place: flows are tried by the hundred, and what a disk does is not their matter.
fn memory_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub fn is_over(flow: &FlowView) -> bool {
    matches!(flow.phase.as_str(), "final" | "ended" | "deciding")
}

pub fn create(number: &str) -> InvoiceCommand {
    InvoiceCommand::Create(Box::new(Terms {
        number: Text::new(number).unwrap(),
        party: id(SELLER),
        counterparty: id(BUYER),
        extensions: Default::default(),
        name: Text::new("Steel").unwrap(),
        billing_reason: Text::default(),
        denom: usd(),
        lines: List::default(),
        subtotal: Units(900),
        tax: Units(100),
        due_date: GENESIS_MS + 30 * DAY_MS,
        period: None,
        po_ref: None,
        agreement_ref: None,
    }))
}
