//! The shared ledger: its one decoder, its requests, and blocks of anything.

use std::cell::OnceCell;

use serde_json::{Value, json};
use stateset_ledger_app::application::{Application, Block};
use stateset_ledger_app::overlay::Overlay;
use stateset_ledger_app::{Ledger, MemoryState, bank};
use stateset_ledger_types::anchor::AnchorCommand;
use stateset_ledger_types::bank::{BANK, BankCommand, EscrowCreate, Mint};
use stateset_ledger_types::body::{Command, SaltedBody};
use stateset_ledger_types::codec::{Blob, List, Set};
use stateset_ledger_types::entity::{Entity, Role};
use stateset_ledger_types::envelope::{
    Attestation, GovernanceTx, Notarise, NotariseContent, PublicTx, Submission,
};
use stateset_ledger_types::governance::{
    Action, EntityRevoke, GovernanceMessage, ParamChange, ParamChanges, Proposal, Submit,
};
use stateset_ledger_types::ids::{Amount, ChainId, ContractId, Denom, EntityId, Units};
use stateset_ledger_types::keys::{
    BusinessSignature, KeyRecord, PublicKey, Purpose, Signature, attest_message, business_message,
};
use stateset_ledger_types::params::ParamName;
use stateset_ledger_types::policy::Policy;
use stateset_ledger_types::stateless::{Rules, check};
use stateset_ledger_types::tearoff::TearOff;
use stateset_ledger_types::tree::{Mode, Salt};
use stateset_ledger_types::{Decode, Encode, Envelope, Genesis, Params, Request};
use ves::Digest;

use crate::Input;

const TRANSACTIONS: &str = include_str!("../../../vectors/ledger/transactions.json");

/// Values that decode encode to the bytes they came from.
pub(super) fn canonical<T: Decode + Encode>(bytes: &[u8]) -> bool {
    let Ok(value) = T::from_sce(bytes) else { return false };
    assert_eq!(value.to_sce(), bytes, "one encoding of a value");
    true
}

/// The first byte says as what the others are read.
pub fn values(data: &[u8]) -> bool {
    let Some((kind, bytes)) = data.split_first() else { return false };
    match kind % 10 {
        0 => canonical::<SaltedBody>(bytes),
        1 => {
            let whole = TearOff::from_sce(bytes);
            assert!(whole.is_err() || whole.is_ok_and(|torn| torn.tx_id().is_ok()), "what decodes has an id");
            canonical::<TearOff>(bytes)
        }
        2 => canonical::<Policy>(bytes),
        3 => canonical::<BankCommand>(bytes),
        4 => canonical::<AnchorCommand>(bytes),
        5 => canonical::<GovernanceMessage>(bytes),
        6 => canonical::<Proposal>(bytes),
        7 => canonical::<Entity>(bytes),
        8 => canonical::<Params>(bytes),
        _ => canonical::<Genesis>(bytes),
    }
}

pub fn value_seeds() -> Vec<Vec<u8>> {
    let of = |kind: u8, name: &str| vectors(name).into_iter().map(move |bytes| [vec![kind], bytes].concat());
    let policy =
        |bytes: Vec<u8>| SaltedBody::from_sce(&bytes).ok()?.body.outputs.first().map(|o| o.policy.to_sce());
    let policies = vectors("body").into_iter().filter_map(policy).map(|bytes| [vec![2], bytes].concat());
    let genesis = genesis();
    let entities = genesis.entities.iter().map(|entity| [vec![7], entity.to_sce()].concat());
    let params = [[vec![8], Params::default().to_sce()].concat(), [vec![9], genesis.to_sce()].concat()];
    let torn = of(1, "tear_off_of_odd_components");
    of(0, "body").chain(torn).chain(policies).chain(entities).chain(params).collect()
}

/// The members of the vectors that are named so.
fn vectors(name: &str) -> Vec<Vec<u8>> {
    let all: Value = serde_json::from_str(TRANSACTIONS).expect("vectors are JSON");
    let cases = all["cases"].as_array().expect("a list of cases");
    let hex = |case: &Value| ves::hex::decode_vec(case[name].as_str().expect("hex")).expect("hex");
    cases.iter().map(hex).collect()
}

fn rules() -> Rules {
    Rules::new(ChainId::new("ssn-test-1").expect("a chain id"), &Params::default())
}

/// A request that decodes is written as it was read; one that passes is one that was signed.
pub fn request(data: &[u8]) -> bool {
    thread_local! {
        static SIGNED: OnceCell<Vec<Vec<u8>>> = const { OnceCell::new() };
    }
    let Ok(envelope) = Envelope::from_bytes(data) else {
        assert!(check(data, &rules()).is_err());
        return false;
    };
    assert_eq!(Envelope::new(envelope.request().clone()).bytes(), data, "one encoding of a request");
    if check(data, &rules()).is_ok() {
        // Nobody but the submitter can change anything (3.5), and the mutator has no key.
        let signed = SIGNED.with(|signed| signed.get_or_init(request_seeds).iter().any(|seed| seed == data));
        assert!(signed, "a changed request passed");
    }
    true
}

pub fn request_seeds() -> Vec<Vec<u8>> {
    [vectors("notarise"), vectors("public_tx"), vec![attested(4)]].concat()
}

/// A block of whatever the input says: pieces behind u16 lengths. Nothing panics, value stays, proposals pass.
pub fn block(data: &[u8]) -> bool {
    let ledger = Ledger::new();
    let initial = ledger.init_chain(genesis().to_json().as_bytes()).expect("a good genesis");
    let state = MemoryState::default();
    state.apply(&initial.writes);
    let mut input = Input::new(data);
    let mut txs: Vec<Vec<u8>> = Vec::new();
    while !input.is_empty() && txs.len() < 8 {
        let length = input.below(4096);
        txs.push((0..length).map_while(|_| (!input.is_empty()).then(|| input.byte())).collect());
    }
    let transactions: Vec<&[u8]> = txs.iter().map(Vec::as_slice).collect();
    let block = Block { height: 1, time_ms: initial.genesis_time_ms + 1, transactions };
    let outcome = ledger.finalize_block(&state, &block).expect("no fault");
    assert_eq!(outcome.panicked, Vec::<usize>::new());
    assert_eq!(outcome.results.len(), txs.len());
    assert_eq!(
        Ledger::new().finalize_block(&state, &block).as_ref(),
        Ok(&outcome),
        "every node does the same"
    );
    state.apply(&outcome.writes);
    let audit = bank::audit(&Overlay::new(&state)).expect("no fault");
    assert!(audit.values().all(bank::Holding::is_conserved));
    outcome.results.iter().any(|result| result.code == 0)
}

/// The member of the vectors who submits, alone on its chain.
const MEMBER: EntityId = EntityId([5; 20]);
/// Attested by the member.
const ATTESTER_POLICY: u32 = 1;

fn key(seed: u8) -> PublicKey {
    PublicKey::ed25519(ves::SigningKey::from_seed([seed; 32]).public_key())
}

fn sign(seed: u8, message: &Digest) -> Signature {
    Signature(ves::SigningKey::from_seed([seed; 32]).sign(&message.0))
}

fn usd(units: u128) -> Amount {
    Amount { denom: Denom::new("usd").expect("a denomination"), units: Units(units) }
}

fn genesis() -> Genesis {
    let keys =
        [KeyRecord::new(Purpose::LedgerSigning, key(5)), KeyRecord::new(Purpose::ValidatorConsensus, key(6))];
    let roles = [Role::Member, Role::Notary, Role::Committer, Role::Attester];
    let entity = json!({
        "entity_id": MEMBER, "name": "A", "jurisdiction": "DE", "registration_no": "1", "lei": null,
        "cert_hash": Digest([1; 32]), "keys": keys, "roles": roles, "issuer_of": ["usd"], "status": "ADMITTED",
        "suspended_until": null, "voting_power": 1,
        "quota": {"tx_per_block": 0, "bytes_per_block": 0, "gas_per_block": 0},
        "compliance": {"kyc_level": 1, "risk": 0, "sanctioned": false, "expires_at": u64::MAX},
    });
    let validator = Digest(ves::SigningKey::from_seed([6; 32]).public_key());
    let genesis = json!({
        "chain_id": "ssn-test-1", "genesis_time": 1_000, "initial_height": 1, "entities": [entity],
        "validators": [{"entity": MEMBER, "key": validator, "power": 1}],
        "attester_policies": [{"id": ATTESTER_POLICY, "policy": {"threshold": 1, "entities": [MEMBER]}}],
        "denoms": [{"denom": "usd", "exponent": 2}], "supply": [usd(1_000)],
        "balances": [{"account": MEMBER, "amount": usd(1_000)}],
    });
    Genesis::from_json(genesis.to_string().as_bytes()).expect("a good genesis")
}

/// A body without inputs, of the rules of [`genesis`].
fn fresh_body(salt: u8) -> SaltedBody {
    let empty = SaltedBody::from_sce(&vectors("body")[0]).expect("the first body of the vectors");
    let mut whole = SaltedBody { salt: Salt([salt; 32]), ..empty };
    whole.body.header.0.params_hash = Params::default().hash();
    whole
}

fn submitted(seq: u64, request: impl FnOnce(Submission) -> Request) -> Vec<u8> {
    let submission = Submission { entity: MEMBER, seq, key: key(5), signature: Signature([0; 64]) };
    Envelope::signed(request(submission), &rules().chain_id, |message| sign(5, message)).bytes().to_vec()
}

fn private(seq: u64) -> Vec<u8> {
    submitted(seq, |submission| {
        Request::Notarise(Box::new(Notarise {
            content: NotariseContent::of(&fresh_body(1), Mode::Private),
            openings: List::default(),
            submission,
            attestations: List::default(),
            receipts: List::default(),
        }))
    })
}

/// Attested by the member itself, under the policy of [`genesis`].
fn attested(seq: u64) -> Vec<u8> {
    let mut whole = fresh_body(3);
    whole.body.header.0.attester_policy = Some(ATTESTER_POLICY);
    let content = NotariseContent::of(&whole, Mode::Attested);
    let set = content.header().contract_set_hash;
    let message = attest_message(&rules().chain_id, &content.tx_id(), ATTESTER_POLICY, &set);
    let attestation = Attestation { attester: MEMBER, key: key(5), signature: sign(5, &message) };
    submitted(seq, |submission| {
        Request::Notarise(Box::new(Notarise {
            content,
            openings: List::default(),
            submission,
            attestations: List::new([attestation]).expect("one"),
            receipts: List::default(),
        }))
    })
}

fn governs(seq: u64) -> Vec<u8> {
    let submit =
        Submit { title: Default::default(), actions: List::new(actions()).expect("few"), expedited: false };
    let message = GovernanceMessage::Submit(Box::new(submit));
    submitted(seq, |submission| Request::Governance(Box::new(GovernanceTx { message, submission })))
}

fn actions() -> Vec<Action> {
    let bound = ParamChange { name: ParamName::new("max_inputs").expect("short"), value: 5 };
    vec![
        Action::ParamChange(ParamChanges { changes: List::new([bound]).expect("one") }),
        Action::EntityRevoke(EntityRevoke { entity: MEMBER, reason: Default::default() }),
    ]
}

fn pays(seq: u64) -> Vec<u8> {
    let account = MEMBER.account();
    let commands = [
        BankCommand::Mint(Mint { issuer: MEMBER, to: account, amount: usd(7) }),
        BankCommand::EscrowCreate(EscrowCreate {
            payer: MEMBER,
            payee: account,
            amount: usd(5),
            arbiter: None,
            expires_at: 1_000_000,
            reference: None,
        }),
    ];
    let command = |command: &BankCommand| Command {
        contract_id: ContractId::new(BANK).expect("a contract"),
        tag: command.tag(),
        args: Blob::new(&command.to_sce()[2..]).expect("short"),
        signers: Set::new([key(5)]).expect("one"),
    };
    let mut whole = fresh_body(2);
    whole.body.commands = List::new(commands.iter().map(command).collect::<Vec<_>>()).expect("two");
    let (tx_id, purpose) = (whole.tx_id(Mode::Public), Purpose::LedgerSigning);
    let signature = sign(5, &business_message(&rules().chain_id, &tx_id, purpose, &key(5)));
    let signed = BusinessSignature { purpose, key: key(5), signature };
    submitted(seq, |submission| {
        Request::PublicTx(Box::new(PublicTx {
            content: whole,
            signatures: List::new([signed]).expect("one"),
            openings: List::default(),
            submission,
        }))
    })
}

pub fn block_seeds() -> Vec<Vec<u8>> {
    let piece = |tx: Vec<u8>| [(tx.len() as u16).to_be_bytes().to_vec(), tx].concat();
    let mut seeds: Vec<Vec<u8>> = [private(1), governs(2), pays(3), attested(4)].map(piece).to_vec();
    seeds.push(seeds.concat());
    seeds
}
