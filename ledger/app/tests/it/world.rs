//! A chain in memory with a few members, driven block by block.

use stateset_ledger_app::application::{Application, Block, TxResult};
use stateset_ledger_app::{Ledger, MemoryState, Outcome};
use stateset_ledger_types::bank::{BANK, BankCommand, DenomRecord};
use stateset_ledger_types::body::{
    Body, Capsule, CapsuleLookup, Command, Header, One, SaltedBody, TimeWindow,
};
use stateset_ledger_types::codec::{Blob, List, Set, Text};
use stateset_ledger_types::entity::{Compliance, Entity, EntityStatus, Quota, Role, Roles};
use stateset_ledger_types::envelope::{
    GovernanceTx, Notarise, NotariseContent, PublicTx, Request, Submission,
};
use stateset_ledger_types::genesis::{Genesis, GenesisAttesters, GenesisBalance, GenesisValidator};
use stateset_ledger_types::governance::{AttesterPolicy, GovernanceMessage};
use stateset_ledger_types::ids::{
    Amount, ChainId, ContractId, Denom, EntityId, SpentKey, StateRef, TxId, Units,
};
use stateset_ledger_types::keys::{
    BusinessSignature, KeyRecord, PublicKey, Purpose, Signature, business_message,
};
use stateset_ledger_types::policy::{Blind, Opening, Policy, nullifier, spend_message};
use stateset_ledger_types::tree::{Mode, Salt};
use stateset_ledger_types::x509::{Issuer, Kind, Template, issue, self_issue};
use stateset_ledger_types::{Code, Decode, Encode, Envelope, Params, StateKey};
use ves::Digest;

/// Members 1 to 4 of every world. 1 and 2 are notaries with validators, 3 attests, 4 is issuer of `usd`.
pub const MEMBERS: u8 = 4;
pub const GENESIS_TIME: u64 = 1_000_000;

pub fn chain() -> ChainId {
    ChainId::new("ssn-app-1").unwrap()
}

/// Entity `n` signs with the key of seed `n`; its consensus key has seed `n + 100`.
pub fn key_of(n: u8) -> ves::SigningKey {
    ves::SigningKey::from_seed([n; 32])
}

pub fn public_key(n: u8) -> PublicKey {
    PublicKey::ed25519(key_of(n).public_key())
}

pub fn sign(n: u8, message: &Digest) -> Signature {
    Signature(key_of(n).sign(&message.0))
}

/// Members of the genesis have simple ids; who is admitted later has the one that its certificate makes.
pub fn id(n: u8) -> EntityId {
    if n <= MEMBERS { EntityId([n; 20]) } else { EntityId::derive(ROOT, &subject(n)) }
}

/// The network's root, with the key of seed 200.
pub const ROOT: &str = "CN=Network Root";
const ROOT_KEY: u8 = 200;
/// When certificates end, unless a test says otherwise.
pub const CERTIFIED_UNTIL: u64 = 4_000_000_000;

fn subject(n: u8) -> String {
    format!("CN=Company {n}")
}

/// Entity `n` has its certificate for the key of seed `n + 50`.
pub fn identity_key(n: u8) -> PublicKey {
    public_key(n + 50)
}

/// A root named [`ROOT`] with the key of seed `key`.
pub fn root_certificate(key: u8) -> Blob<8192> {
    let public = public_key(key);
    let template =
        Template { kind: Kind::Root, subject: ROOT, key: &public, from_ms: 0, until_ms: CERTIFIED_UNTIL };
    Blob::new(self_issue(&template, |tbs| Signature(key_of(key).sign(tbs))).unwrap()).unwrap()
}

/// The certificate of entity `n` for the time given, signed by the root with the key of seed `root`.
pub fn certificate_by(root: u8, n: u8, from_ms: u64, until_ms: u64) -> Blob<8192> {
    let (subject, key, issuer) = (subject(n), identity_key(n), public_key(root));
    let template = Template { kind: Kind::Entity, subject: &subject, key: &key, from_ms, until_ms };
    let issuer = Issuer { subject: ROOT, key: &issuer };
    Blob::new(issue(&template, &issuer, |tbs| Signature(key_of(root).sign(tbs))).unwrap()).unwrap()
}

pub fn usd() -> Denom {
    Denom::new("usd").unwrap()
}

pub fn dollars(units: u128) -> Amount {
    Amount { denom: usd(), units: Units(units) }
}

pub fn certificate(n: u8) -> Blob<8192> {
    certificate_by(ROOT_KEY, n, 0, CERTIFIED_UNTIL)
}

pub fn entity(n: u8) -> Entity {
    let roles: &[Role] = match n {
        1 | 2 => &[Role::Member, Role::Notary, Role::Committer, Role::Arbiter],
        3 => &[Role::Member, Role::Attester],
        _ => &[Role::Member],
    };
    let consensus = PublicKey::ed25519(key_of(n + 100).public_key());
    Entity {
        entity_id: id(n),
        name: Text::new(format!("Company {n}")).unwrap(),
        jurisdiction: Text::new("DE").unwrap(),
        registration_no: Text::default(),
        lei: None,
        cert_hash: ves::hash::Hasher::bare().bytes(&certificate(n)).finish(),
        keys: List::new([
            KeyRecord::new(Purpose::LedgerSigning, public_key(n)),
            KeyRecord::new(Purpose::ValidatorConsensus, consensus),
            KeyRecord::new(Purpose::Identity, identity_key(n)),
        ])
        .unwrap(),
        roles: Roles::of(roles),
        issuer_of: Set::new((n == 4).then(usd)).unwrap(),
        status: EntityStatus::Admitted,
        suspended_until: None,
        voting_power: 1,
        quota: Quota::default(),
        compliance: Compliance { kyc_level: 1, risk: 0, sanctioned: false, expires_at: u64::MAX },
    }
}

pub fn genesis() -> Genesis {
    let list = |n: std::ops::RangeInclusive<u8>| n.map(entity).collect::<Vec<_>>();
    let mut params = Params::default();
    params.set("voting_blocks", 5).unwrap();
    params.set("activation_delay_blocks", 2).unwrap();
    params.set("params_grace_blocks", 3).unwrap();
    let validator =
        |n: u8| GenesisValidator { entity: id(n), key: Digest(key_of(n + 100).public_key()), power: 10 };
    let balance = |n| GenesisBalance { account: id(n).account(), amount: dollars(1_000_000) };
    Genesis {
        chain_id: chain(),
        genesis_time: GENESIS_TIME,
        initial_height: 1,
        roots: List::new([root_certificate(ROOT_KEY)]).unwrap(),
        entities: List::new(list(1..=MEMBERS)).unwrap(),
        validators: List::new([validator(1), validator(2)]).unwrap(),
        params,
        attester_policies: List::new([GenesisAttesters {
            id: 7,
            policy: AttesterPolicy { threshold: 1, entities: Set::new([id(3)]).unwrap() },
        }])
        .unwrap(),
        denoms: List::new([DenomRecord { denom: usd(), exponent: 2 }]).unwrap(),
        supply: List::new([dollars(3_000_000)]).unwrap(),
        balances: List::new([balance(1), balance(2), balance(3)]).unwrap(),
        fee_collector: Some(id(4).account()),
        contracts: List::default(),
    }
}

pub struct World {
    pub ledger: Ledger,
    pub state: MemoryState,
    pub height: u64,
    pub time_ms: u64,
    /// Last sequence of each entity.
    seqs: [u64; 256],
}

impl World {
    pub fn new() -> Self {
        Self::of(&genesis())
    }

    pub fn of(genesis: &Genesis) -> Self {
        let ledger = Ledger::new();
        let initial = ledger.init_chain(genesis.to_json().as_bytes()).expect("a good genesis");
        let state = MemoryState::default();
        state.apply(&initial.writes);
        let height = genesis.initial_height - 1;
        Self { ledger, state, height, time_ms: genesis.genesis_time, seqs: [0; 256] }
    }

    /// Executes the next block, a second later.
    pub fn block(&mut self, txs: &[Vec<u8>]) -> Outcome {
        self.block_at(self.time_ms + 1_000, txs)
    }

    pub fn block_at(&mut self, time_ms: u64, txs: &[Vec<u8>]) -> Outcome {
        (self.height, self.time_ms) = (self.height + 1, time_ms);
        let transactions = txs.iter().map(Vec::as_slice).collect();
        let block = Block { height: self.height, time_ms, transactions };
        let outcome = self.ledger.finalize_block(&self.state, &block).expect("no fault");
        self.state.apply(&outcome.writes);
        self.ledger.commit(self.height);
        outcome
    }

    /// One transaction in a block of its own.
    pub fn run(&mut self, tx: Vec<u8>) -> TxResult {
        self.block(&[tx]).results.remove(0)
    }

    pub fn empty_blocks(&mut self, count: u64) {
        for _ in 0..count {
            self.block(&[]);
        }
    }

    pub fn get<T: Decode>(&self, key: &StateKey) -> Option<T> {
        let rows = self.state.rows();
        let value = rows.get(&(key.substore, key.path.clone()))?;
        Some(T::from_sce(value).expect("a value of its type"))
    }

    pub fn balance(&self, n: u8) -> u128 {
        self.get::<Units>(&StateKey::balance(&id(n).account(), &usd())).unwrap_or_default().0
    }

    pub fn params(&self) -> Params {
        self.get(&StateKey::params()).unwrap()
    }

    pub fn header(&self) -> Header {
        Header {
            format: 1,
            chain_id: chain(),
            not_before_height: 0,
            expires_height: 0,
            params_hash: self.params().hash(),
            contract_set_hash: Digest::ZERO,
            attester_policy: None,
        }
    }

    pub fn next_seq(&mut self, n: u8) -> u64 {
        self.seqs[usize::from(n)] += 1;
        self.seqs[usize::from(n)]
    }

    /// Private, submitted by `by`, consuming states (see [`spending`]) and referencing others; `salt` makes it another one.
    pub fn private(&mut self, by: u8, salt: u8, inputs: &[u8], references: &[u8]) -> Vec<u8> {
        let header = self.header();
        let whole = private_body(header, salt, inputs, references, None);
        let seq = self.next_seq(by);
        submit_private(&whole, Mode::Private, by, seq, inputs, &[])
    }

    /// Commands of one contract, signed with the ledger key of `by` and submitted by it.
    pub fn commands(&mut self, by: u8, salt: u8, contract: &str, commands: &[Vec<u8>]) -> Vec<u8> {
        self.signed_commands(by, Purpose::LedgerSigning, salt, contract, commands)
    }

    /// As [`pay`](Self::pay), by the key as an agent's.
    pub fn agent_pay(&mut self, by: u8, salt: u8, commands: &[BankCommand]) -> Vec<u8> {
        let commands: Vec<Vec<u8>> = commands.iter().map(Encode::to_sce).collect();
        self.signed_commands(by, Purpose::Agent, salt, BANK, &commands)
    }

    fn signed_commands(
        &mut self,
        by: u8,
        purpose: Purpose,
        salt: u8,
        contract: &str,
        commands: &[Vec<u8>],
    ) -> Vec<u8> {
        let list: Vec<Command> = commands
            .iter()
            .map(|sce| Command {
                contract_id: ContractId::new(contract).unwrap(),
                tag: u16::from_be_bytes([sce[0], sce[1]]),
                args: Blob::new(&sce[2..]).unwrap(),
                signers: Set::new([public_key(by)]).unwrap(),
            })
            .collect();
        let whole = SaltedBody {
            salt: Salt([salt; 32]),
            body: Body { commands: List::new(list).unwrap(), ..empty_body(self.header()) },
        };
        let tx_id = whole.tx_id(Mode::Public);
        let key = public_key(by);
        let signature = sign(by, &business_message(&chain(), &tx_id, purpose, &key));
        let request = PublicTx {
            content: whole,
            signatures: List::new([BusinessSignature { purpose, key, signature }]).unwrap(),
            openings: List::default(),
            submission: submission(by, self.next_seq(by)),
        };
        signed(Request::PublicTx(Box::new(request)), by)
    }

    pub fn pay(&mut self, by: u8, salt: u8, commands: &[BankCommand]) -> Vec<u8> {
        self.commands(by, salt, BANK, &commands.iter().map(Encode::to_sce).collect::<Vec<_>>())
    }

    pub fn govern(&mut self, by: u8, message: GovernanceMessage) -> Vec<u8> {
        let seq = self.next_seq(by);
        signed(Request::Governance(Box::new(GovernanceTx { message, submission: submission(by, seq) })), by)
    }
}

pub fn signed(request: Request, by: u8) -> Vec<u8> {
    Envelope::signed(request, &chain(), |message| sign(by, message)).bytes().to_vec()
}

pub fn submission(by: u8, seq: u64) -> Submission {
    Submission { entity: id(by), seq, key: public_key(by), signature: Signature([0; 64]) }
}

pub fn empty_body(header: Header) -> Body {
    Body {
        nullifiers: List::default(),
        outputs: List::default(),
        commands: List::default(),
        references: List::default(),
        attachments: List::default(),
        time_window: List::default(),
        header: One(header),
        inputs: List::default(),
        capsules: List::default(),
        memo: List::default(),
    }
}

/// State `n`: its blind, and a policy of the key of seed 50.
fn spending(n: u8) -> (Blind, Policy) {
    (Blind([n; 32]), Policy::new(1, [public_key(50)]).unwrap())
}

pub fn spent_key(n: u8) -> SpentKey {
    let (blind, policy) = spending(n);
    nullifier(&blind, &policy.hash()).spent_key()
}

pub fn private_body(
    header: Header,
    salt: u8,
    inputs: &[u8],
    references: &[u8],
    window: Option<TimeWindow>,
) -> SaltedBody {
    let nullifiers = inputs.iter().map(|n| {
        let (blind, policy) = spending(*n);
        nullifier(&blind, &policy.hash())
    });
    let capsule =
        Capsule { lookup: CapsuleLookup([salt; 33]), ciphertext_hash: Digest([salt; 32]), size: 1024 };
    let body = Body {
        nullifiers: List::new(nullifiers.collect::<Vec<_>>()).unwrap(),
        references: List::new(references.iter().map(|n| spent_key(*n)).collect::<Vec<_>>()).unwrap(),
        inputs: List::new(
            inputs.iter().map(|n| StateRef { tx_id: TxId([*n; 32]), index: 0 }).collect::<Vec<_>>(),
        )
        .unwrap(),
        time_window: List::new(window.into_iter().collect::<Vec<_>>()).unwrap(),
        capsules: List::new([capsule]).unwrap(),
        ..empty_body(header)
    };
    SaltedBody { salt: Salt([salt; 32]), body }
}

/// `attesters`: who sign an attestation under the header's policy.
pub fn submit_private(
    whole: &SaltedBody,
    mode: Mode,
    by: u8,
    seq: u64,
    inputs: &[u8],
    attesters: &[u8],
) -> Vec<u8> {
    let content = NotariseContent::of(whole, mode);
    let tx_id = content.tx_id();
    let message = spend_message(&chain(), &tx_id);
    let openings = inputs.iter().map(|n| {
        let (blind, policy) = spending(*n);
        Opening { blind, policy, signatures: List::new([Some(sign(50, &message))]).unwrap() }
    });
    let header = content.header();
    let attested = stateset_ledger_types::keys::attest_message(
        &chain(),
        &tx_id,
        header.attester_policy.unwrap_or_default(),
        &header.contract_set_hash,
    );
    let attestations = attesters.iter().map(|n| stateset_ledger_types::envelope::Attestation {
        attester: id(*n),
        key: public_key(*n),
        signature: sign(*n, &attested),
    });
    let request = Notarise {
        openings: List::new(openings.collect::<Vec<_>>()).unwrap(),
        attestations: List::new(attestations.collect::<Vec<_>>()).unwrap(),
        receipts: List::default(),
        submission: submission(by, seq),
        content,
    };
    signed(Request::Notarise(Box::new(request)), by)
}

/// The result's code; `None` for success.
pub fn code(result: &TxResult) -> Option<Code> {
    Code::from_code(result.code)
}
