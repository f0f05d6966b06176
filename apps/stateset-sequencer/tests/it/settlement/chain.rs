//! A chain with the dollar and the contract on it, and a sequencer in front of it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use set_registry::abi::SetPaymentBatch::{configureAssetCall, pauseCall, setSettlerCall, unpauseCall};
use set_registry::abi::TestDollar;
use set_registry::artifact::Contract;
use set_registry::devnet::{ACCOUNT_KEYS, Anvil, AnvilSettings, Wallet, find_anvil};
use set_registry::{Address, B256, BlockAt, ChainKey, U256};
use stateset_event_log::{EventStore, Opening, SqliteStore};
use stateset_fixtures::{Agent, sequencer_key, stream};
use stateset_sequencer::{
    Config, PayerAuthorization, Payment, PaymentContent, PaymentFilter, PaymentStatus, PaymentWorkerSettings,
    Sequencer, Settlement, SystemClock,
};
use stateset_sequencer_app::joined::settlement::ChainSettlement;
use stateset_sequencer_app::joined::{WorkerSettings, store};
use stateset_x402::{Authorization, Domain};
use ves::x402::{Asset, Binding, Network, TokenTable, authorization_nonce};
use ves::{Digest, KeyId, SequenceNumber, SequencerId, StreamKey};

/// Whose keys of anvil's accounts: 0 deploys and owns, 1 pays, 2 settles, 3 has no dollar.
const OWNER: usize = 0;
pub const PAYER: usize = 1;
pub const SETTLER: usize = 2;
pub const POOR: usize = 3;
pub const MERCHANT: Address = Address::new([0xc0; 20]);
pub const PRICE: u64 = 10_000;
pub const FUNDS: u64 = 100_000_000;

pub struct World {
    pub anvil: Anvil,
    pub dollar: Address,
    pub contract: Address,
    pub folder: tempfile::TempDir,
}

pub fn key(at: usize) -> ChainKey {
    ChainKey::from_hex(ACCOUNT_KEYS[at]).unwrap()
}

pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl World {
    /// `None` where anvil is not installed, which continuous integration does not allow.
    pub fn open() -> Option<Self> {
        Self::open_on(&AnvilSettings::default())
    }

    /// The same on a chain of another number.
    pub fn open_on(settings: &AnvilSettings) -> Option<Self> {
        if find_anvil().is_none() {
            let in_ci = std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
            assert!(!in_ci, "anvil is missing: cargo xtask contracts installs it by npm");
            eprintln!("not tested here: anvil is missing");
            return None;
        }
        let anvil = Anvil::start(settings).unwrap();
        let owner = Wallet::new(anvil.node(), key(OWNER)).unwrap();
        let dollar = owner.deploy(Contract::TestDollar).unwrap();
        let contract = owner.deploy(Contract::SetPaymentBatch).unwrap();
        let mint = TestDollar::mintCall { to: key(PAYER).address(), value: U256::from(FUNDS) };
        owner.call(dollar, &mint).unwrap();
        owner.call(contract, &setSettlerCall { settler: key(SETTLER).address(), allowed: true }).unwrap();
        let bounds = configureAssetCall {
            token: dollar,
            enabled: true,
            minAmount: "1".parse().unwrap(),
            maxAmount: "1000000000000".parse().unwrap(),
            dailyLimit: "1000000000000".parse().unwrap(),
        };
        owner.call(contract, &bounds).unwrap();
        Some(Self { anvil, dollar, contract, folder: tempfile::tempdir().unwrap() })
    }

    pub fn port(&self, settler: Option<usize>) -> ChainSettlement {
        self.port_for(Network::SetChain, settler)
    }

    /// Where the operator makes batches of that network.
    pub fn port_for(&self, network: Network, settler: Option<usize>) -> ChainSettlement {
        ChainSettlement::new(self.anvil.node(), self.contract, vec![network], 1, settler.map(key))
    }

    pub async fn service(&self) -> Service {
        self.service_with(Arc::new(self.port(Some(SETTLER)))).await
    }

    /// As after the process was started anew on the same folder.
    pub async fn service_with(&self, port: Arc<dyn Settlement>) -> Service {
        let store = store(self.file(), &WorkerSettings::default());
        Service::open(store.as_ref(), &self.tokens(), port).await
    }

    /// As another process on a database that it shares.
    pub async fn service_on(&self, store: &dyn EventStore) -> Service {
        Service::open(store, &self.tokens(), Arc::new(self.port(Some(SETTLER)))).await
    }

    /// A database in the test's folder.
    pub fn file(&self) -> Arc<dyn EventStore> {
        Arc::new(SqliteStore::new(self.folder.path().join("log.db")))
    }

    /// The service as it is after a restart, where there is one.
    pub async fn restarted(&self, service: Service, restarts: bool) -> Service {
        if !restarts {
            return service;
        }
        service.close().await;
        self.service().await
    }

    fn tokens(&self) -> TokenTable {
        let mut tokens = TokenTable::default();
        tokens.set(&self.token_line()).unwrap();
        tokens
    }

    pub fn token_line(&self) -> String {
        format!("set_chain:usdc={}", self.dollar)
    }

    pub fn wallet(&self, at: usize) -> String {
        key(at).address().to_string()
    }

    pub fn unsigned(&self, service: &Service, nonce: u64) -> PaymentContent {
        unsigned(&service.agent, &service.stream, nonce)
    }

    /// Of the founding form, with the authorization of a wallet.
    pub fn intent(&self, service: &Service, nonce: u64, wallet: usize) -> PaymentContent {
        authorized(self, service, self.unsigned(service, nonce), wallet)
    }

    pub fn balance(&self, owner: Address) -> u64 {
        let (node, call) = (self.anvil.node(), TestDollar::balanceOfCall { account: owner });
        tokio::task::block_in_place(|| node.view(self.dollar, &call, BlockAt::Latest)).unwrap().to()
    }

    pub fn balance_of(&self, at: usize) -> u64 {
        self.balance(key(at).address())
    }

    /// Transactions of the settler that stand in blocks.
    pub fn sent_by_settler(&self) -> u64 {
        self.anvil.node().nonce(key(SETTLER).address(), BlockAt::Latest).unwrap()
    }

    pub fn pause(&self, is_paused: bool) {
        let owner = Wallet::new(self.anvil.node(), key(OWNER)).unwrap();
        match is_paused {
            true => owner.call(self.contract, &pauseCall {}).unwrap(),
            false => owner.call(self.contract, &unpauseCall {}).unwrap(),
        };
    }

    /// A stranger brings an intent's authorization to the token: the transaction that did.
    pub fn bring(&self, content: &PaymentContent) -> Digest {
        let authorization = content.authorization.unwrap();
        let call = TestDollar::transferWithAuthorization_0Call {
            from: authorization.from.into(),
            to: authorization.to.into(),
            value: U256::from(authorization.value),
            validAfter: U256::from(authorization.valid_after),
            validBefore: U256::from(authorization.valid_before),
            nonce: B256::new(authorization.nonce.0),
            signature: authorization.signature.to_vec().into(),
        };
        let stranger = Wallet::new(self.anvil.node(), key(POOR)).unwrap();
        Digest(stranger.call(self.dollar, &call).unwrap().transaction_hash.0)
    }

    pub fn ask(&self, method: &str, params: &Value) -> Value {
        self.anvil.node().request(method, params).unwrap()
    }

    pub fn pass(&self, seconds: u64) {
        self.ask("evm_increaseTime", &json!([seconds]));
        self.ask("evm_mine", &json!([]));
    }
}

pub fn unsigned(payer: &Agent, stream: &StreamKey, nonce: u64) -> PaymentContent {
    PaymentContent {
        tenant_id: stream.tenant_id,
        store_id: stream.store_id,
        agent_id: payer.agent_id,
        agent_key_id: KeyId(1),
        payer_address: ves::hex::encode_0x(&payer.public_key()),
        payee_address: MERCHANT.to_string(),
        amount: PRICE,
        asset: Asset::Usdc,
        network: Network::SetChain,
        valid_until: now_s() + Service::VALID_S,
        nonce,
        signing_hash: Digest::ZERO,
        payer_signature: [0; 64],
        payer_public_key: None,
        idempotency_key: None,
        resource_uri: None,
        description: None,
        order_id: None,
        merchant_id: None,
        metadata: None,
        authorization: None,
    }
}

/// Signs the intent in the second form.
pub fn resigned(world: &World, service: &Service, content: PaymentContent) -> PaymentContent {
    signed(&service.agent, world, content)
}

pub fn signed(agent: &Agent, world: &World, mut content: PaymentContent) -> PaymentContent {
    let token = world.tokens().get(content.network, content.asset).unwrap();
    let binding = Binding { stream: content.stream(), token, resource_uri: None, order_id: None };
    content.signing_hash = content.terms().signing_hash_v2(&binding).unwrap();
    content.payer_signature = agent.signing_key().sign(&content.signing_hash.0);
    content
}

/// Signs the intent, and has the wallet authorize it.
pub fn authorized(
    world: &World,
    service: &Service,
    content: PaymentContent,
    wallet: usize,
) -> PaymentContent {
    authorized_by(&service.agent, world, content, wallet)
}

pub fn authorized_by(agent: &Agent, world: &World, content: PaymentContent, wallet: usize) -> PaymentContent {
    let mut content = signed(agent, world, content);
    let nonce = authorization_nonce(&content.signing_hash, &content.agent_id, &agent.public_key());
    let key = key(wallet);
    let authorization = Authorization {
        from: key.address(),
        to: MERCHANT,
        value: U256::from(content.amount),
        valid_after: U256::ZERO,
        valid_before: U256::from(content.valid_until),
        nonce: B256::new(nonce.0),
    };
    let chain_id = content.network.chain_id();
    let domain = Domain { name: "USDC", version: "2", chain_id, token: world.dollar };
    content.authorization = Some(PayerAuthorization {
        from: authorization.from.into(),
        to: MERCHANT.into(),
        value: content.amount,
        valid_after: 0,
        valid_before: content.valid_until,
        nonce,
        signature: key.sign(&authorization.digest(&domain)).as_bytes(),
    });
    content
}

/// A sequencer with no worker: the test says when it looks.
pub struct Service {
    pub sequencer: Sequencer,
    pub agent: Agent,
    pub stream: StreamKey,
}

impl Service {
    /// Seconds that an intent is valid.
    pub const VALID_S: u64 = 3_600;

    async fn open(store: &dyn EventStore, tokens: &TokenTable, port: Arc<dyn Settlement>) -> Self {
        let opened = store.open();
        let Ok(Opening::Writer(log)) = opened else {
            panic!("the database does not open: {:?}", opened.err())
        };
        let mut config = Config::new(SequencerId::from_bytes([7; 16]), Arc::new(sequencer_key(1)), 1);
        config.payments.tokens = tokens.clone();
        config.payments.settlement = Some(port);
        let sequencer = Sequencer::start(log, config, Arc::new(SystemClock)).unwrap();
        let (stream, agent) = (stream(1), Agent::new(&stream(1), 1));
        if sequencer.agent_keys(&stream.tenant_id, None).is_empty() {
            sequencer.register_agent_key(agent.registered_key()).await.unwrap();
        }
        Self { sequencer, agent, stream }
    }

    pub async fn pay(&self, content: PaymentContent) -> Payment {
        self.sequencer.payments().submit(content).await.expect("a sound intent")
    }

    /// One look of the worker at everything.
    pub async fn round(&self) {
        self.sequencer.payments().round(&PaymentWorkerSettings::default()).await.expect("a round");
    }

    /// Rounds until so many payments have ended.
    pub async fn settle_all(&self, count: usize) {
        use PaymentStatus::{Expired, Failed, Settled};
        for _ in 0..200 {
            self.round().await;
            let ended = |payment: &&Payment| matches!(payment.status, Settled | Failed | Expired);
            if self.listed().await.iter().filter(ended).count() == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("they do not end: {:?}", self.listed().await);
    }

    pub async fn listed(&self) -> Vec<Payment> {
        let filter = PaymentFilter {
            tenant_id: self.stream.tenant_id,
            store_id: None,
            payer: None,
            payee: None,
            status: None,
            network: None,
            asset: None,
            batch_id: None,
            from: None,
            to: None,
            limit: 1_000,
            offset: 0,
        };
        self.sequencer.payments().list(filter).await.expect("a list")
    }

    /// Types of the stream's events.
    pub async fn told(&self) -> Vec<String> {
        let events = self.sequencer.events(&self.stream, SequenceNumber(1), 1_000).await.unwrap();
        events.iter().map(|event| event.envelope().unwrap().0.event_type.to_string()).collect()
    }

    pub async fn close(self) {
        self.sequencer.shutdown().await;
    }
}
