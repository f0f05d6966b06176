//! Keys of the state (section 6.2) as typed paths: every reader and writer takes its key from here.

use std::fmt::{Display, Write as _};

use ves::Digest;

use crate::envelope::Kind;
use crate::ids::{AccountId, ContractId, Denom, EntityId, SettlementId, SpentKey, StateRef, TxId};
use crate::substore::Substore;

/// A key of one substore.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StateKey {
    pub substore: Substore,
    /// ASCII path, binary parts in lowercase hex.
    pub path: Vec<u8>,
}

impl Display for StateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.substore, String::from_utf8_lossy(&self.path))
    }
}

fn key(substore: Substore, path: String) -> StateKey {
    StateKey { substore, path: path.into_bytes() }
}

/// Two parts: a word and hex.
fn hex_key(substore: Substore, word: &str, bytes: &[u8]) -> StateKey {
    let mut path = String::with_capacity(word.len() + 2 * bytes.len());
    path.push_str(word);
    path.push_str(&ves::hex::encode(bytes));
    key(substore, path)
}

/// Numbers in keys have 20 digits, so that their order is the order of the keys.
fn number(path: &mut String, number: u64) {
    write!(path, "{number:020}").expect("strings take text");
}

impl StateKey {
    pub fn first(substore: Substore) -> Self {
        Self { substore, path: Substore::FIRST_KEY.to_vec() }
    }

    // notary
    pub fn tx(id: &TxId) -> Self {
        hex_key(Substore::Notary, "tx/", &id.0)
    }
    pub fn spent(spent: &SpentKey) -> Self {
        hex_key(Substore::Notary, "spent/", &spent.0)
    }
    pub fn seq(entity: &EntityId) -> Self {
        hex_key(Substore::Notary, "seq/", &entity.0)
    }

    // entities
    pub fn entity(id: &EntityId) -> Self {
        hex_key(Substore::Entities, "", &id.0)
    }
    pub fn cert(hash: &Digest) -> Self {
        hex_key(Substore::Entities, "cert/", &hash.0)
    }
    pub fn root(number: u32) -> Self {
        key(Substore::Entities, format!("root/{number}"))
    }

    // gov
    pub fn params() -> Self {
        key(Substore::Gov, "params".to_owned())
    }
    pub fn params_hash(height: u64) -> Self {
        numbered(Substore::Gov, "params_hash/", height)
    }
    pub fn attester_policy(id: u32) -> Self {
        key(Substore::Gov, format!("attester/{id}"))
    }
    pub fn next_proposal() -> Self {
        key(Substore::Gov, "next_id".to_owned())
    }
    pub fn proposal(id: u64) -> Self {
        numbered(Substore::Gov, "proposal/", id)
    }
    pub fn voters(id: u64) -> Self {
        numbered(Substore::Gov, "voters/", id)
    }
    pub fn record_bases(id: u64) -> Self {
        numbered(Substore::Gov, "bases/", id)
    }
    pub fn vote(id: u64, entity: &EntityId) -> Self {
        let mut key = numbered(Substore::Gov, "vote/", id);
        key.path.push(b'/');
        key.path.extend_from_slice(ves::hex::encode(&entity.0).as_bytes());
        key
    }
    pub fn queue(height: u64, id: u64) -> Self {
        let mut path = "queue/".to_owned();
        number(&mut path, height);
        path.push('/');
        number(&mut path, id);
        key(Substore::Gov, path)
    }
    pub fn circuit(kind: Kind) -> Self {
        key(Substore::Gov, format!("circuit/{}", kind.code()))
    }
    pub fn upgrade_plan() -> Self {
        key(Substore::Gov, "upgrade_plan".to_owned())
    }
    /// The height at which the upgrade of this name happened.
    pub fn upgraded(name: &str) -> Self {
        key(Substore::Gov, format!("upgraded/{name}"))
    }
    pub fn chain() -> Self {
        key(Substore::Gov, "chain".to_owned())
    }
    pub fn validator(public_key: &Digest) -> Self {
        hex_key(Substore::Gov, "validator/", &public_key.0)
    }

    // contracts
    pub fn contract(id: &ContractId, version: u32) -> Self {
        key(Substore::Contracts, format!("id/{id}/{version}"))
    }
    pub fn contract_set() -> Self {
        key(Substore::Contracts, "set".to_owned())
    }

    // bank
    pub fn balance(account: &AccountId, denom: &Denom) -> Self {
        key(Substore::Bank, format!("bal/{account}/{denom}"))
    }
    pub fn supply(denom: &Denom) -> Self {
        key(Substore::Bank, format!("supply/{denom}"))
    }
    pub fn denom(denom: &Denom) -> Self {
        key(Substore::Bank, format!("denom/{denom}"))
    }
    pub fn collector() -> Self {
        key(Substore::Bank, "collector".to_owned())
    }

    // settle
    pub fn settlement(id: &SettlementId) -> Self {
        hex_key(Substore::Settle, "s/", &id.0)
    }
    /// Under which settlement a payer has used a reference (10.3): a reference is used once.
    pub fn payment(payer: &EntityId, reference: &Digest) -> Self {
        let mut key = hex_key(Substore::Settle, "ref/", &payer.0);
        key.path.push(b'/');
        key.path.extend_from_slice(ves::hex::encode(&reference.0).as_bytes());
        key
    }
    pub fn escrow(id: &SettlementId) -> Self {
        hex_key(Substore::Settle, "escrow/", &id.0)
    }
    /// When an escrow lapses: in the order of time, then id (6.3, step 5).
    pub fn escrow_due(expires_at: u64, id: &SettlementId) -> Self {
        let mut key = numbered(Substore::Settle, "due/", expires_at);
        key.path.push(b'/');
        key.path.extend_from_slice(ves::hex::encode(&id.0).as_bytes());
        key
    }
    pub fn channel(id: &SettlementId) -> Self {
        hex_key(Substore::Settle, "chan/", &id.0)
    }
    pub fn batch(id: &SettlementId) -> Self {
        hex_key(Substore::Settle, "batch/", &id.0)
    }
    /// What an agent key moved of a denomination on its last day.
    pub fn agent_day(key: &crate::ids::KeyId, denom: &Denom) -> Self {
        key_of_agent(key, denom)
    }
    /// How much of a mandate is used; by the hash of what was signed.
    pub fn mandate_used(hash: &Digest) -> Self {
        hex_key(Substore::Settle, "mandate/", &hash.0)
    }
    pub fn merchant(entity: &EntityId) -> Self {
        hex_key(Substore::Settle, "merchant/", &entity.0)
    }
    pub fn fingerprint(hash: &Digest) -> Self {
        hex_key(Substore::Settle, "fingerprint/", &hash.0)
    }

    // utxo
    pub fn utxo(output: &StateRef) -> Self {
        let mut key = hex_key(Substore::Utxo, "", &output.tx_id.0);
        key.path.extend_from_slice(format!("/{}", output.index).as_bytes());
        key
    }

    // capsule
    pub fn capsule(height: u64, index: u32, n: u32) -> Self {
        let mut path = String::new();
        number(&mut path, height);
        write!(path, "/{index:010}/{n:010}").expect("strings take text");
        key(Substore::Capsule, path)
    }

    // anchor
    pub fn anchor_head(stream: &Digest) -> Self {
        let mut key = hex_key(Substore::Anchor, "", &stream.0);
        key.path.extend_from_slice(b"/head");
        key
    }
    pub fn anchor_batch(stream: &Digest, batch_no: u64) -> Self {
        let mut key = hex_key(Substore::Anchor, "", &stream.0);
        key.path.extend_from_slice(format!("/{batch_no}").as_bytes());
        key
    }
}

fn key_of_agent(agent: &crate::ids::KeyId, denom: &Denom) -> StateKey {
    key(Substore::Settle, format!("agent/{agent}/{denom}"))
}

fn numbered(substore: Substore, word: &str, n: u64) -> StateKey {
    let mut path = String::with_capacity(word.len() + 20);
    path.push_str(word);
    number(&mut path, n);
    key(substore, path)
}
