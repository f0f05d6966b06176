//! A member at a node: its requests, signed, sent and followed to their block.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding as _};
use serde_json::{Value, json};
use stateset_abci::comet::{Rpc, RpcError};
use stateset_ledger_types::bank::{BANK, BankCommand};
use stateset_ledger_types::body::{Body, Command, Header, One, SaltedBody};
use stateset_ledger_types::codec::{Blob, Decode, Encode as _, List, Set};
use stateset_ledger_types::envelope::{GovernanceTx, PublicTx, Request, Submission};
use stateset_ledger_types::governance::GovernanceMessage;
use stateset_ledger_types::ids::{ChainId, ContractId, EntityId, TxId};
use stateset_ledger_types::keys::{BusinessSignature, PublicKey, Purpose, Signature, business_message};
use stateset_ledger_types::tree::{Mode, Salt};
use stateset_ledger_types::{Code, Envelope, Params, StateKey};
use ves::{Digest, Signer};

use crate::client::{refused, status_of};
use crate::output::Failure;

/// How long a request may take to its block.
const BLOCK_TIME_MAX: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(25);
/// What came into none of the next so many blocks is dead: who was told of a failure may say it again then.
const EXPIRES_BLOCKS: u64 = 100;
/// How often a request is signed anew because another process of the same member was quicker.
const SEQUENCES_MAX: usize = 16;

/// A member that speaks to one node.
#[derive(Clone)]
pub struct Member {
    pub rpc: Rpc,
    pub chain_id: ChainId,
    pub entity: EntityId,
    /// A live ledger key of the entity.
    pub key: Arc<dyn Signer>,
}

/// A request that stands in a block, and was carried out there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// SHA-256 of the request's bytes: how nodes find it.
    pub hash: Digest,
    pub height: u64,
    /// What it returned.
    pub data: Vec<u8>,
}

/// What the state of a node holds at a path (network.md 14), by the node's word; `None` where it holds nothing.
pub fn read<T: Decode>(rpc: &Rpc, path: &str) -> Result<Option<T>, Failure> {
    read_with(rpc, path, &[])
}

/// The same for a key that has no path of its own.
pub fn read_key<T: Decode>(rpc: &Rpc, key: &StateKey) -> Result<Option<T>, Failure> {
    read_with(rpc, &format!("/store/{}/key", key.substore.name()), &key.path)
}

fn read_with<T: Decode>(rpc: &Rpc, path: &str, data: &[u8]) -> Result<Option<T>, Failure> {
    let asked = json!({"path": path, "data": ves::hex::encode(data)});
    let answer = rpc.call("abci_query", &asked)?["response"].take();
    let log = answer["log"].as_str().unwrap_or_default();
    match answer["code"].as_u64().unwrap_or_default() {
        0 => {}
        code if code == u64::from(Code::NotFound.code()) => return Ok(None),
        code => return Err(refused(code, log)),
    }
    let unreadable = |problem: String| Failure::failed("NODE_UNREADABLE", format!("{path}: {problem}"));
    let value = Base64::decode_vec(answer["value"].as_str().unwrap_or_default())
        .map_err(|problem| unreadable(problem.to_string()))?;
    // The state has no empty values (network.md 6.1): where it holds nothing, there is the proof of that alone.
    if value.is_empty() {
        return Ok(None);
    }
    T::from_sce(&value).map(Some).map_err(|problem| unreadable(problem.to_string()))
}

impl Member {
    pub fn public_key(&self) -> PublicKey {
        PublicKey::ed25519(self.key.public_key())
    }

    /// # Errors
    /// SIGNING, of the keystore.
    pub fn sign(&self, message: &Digest) -> Result<Signature, Failure> {
        self.key.sign(&message.0).map(Signature).map_err(|error| Failure::failed("SIGNING", error))
    }

    /// Carries out commands of the bank: all, or none. Command n makes the settlement `SettlementId::of(tx_id, n)`.
    ///
    /// # Errors
    /// Refusals of the ledger by its codes.
    pub fn bank(&self, commands: &[BankCommand]) -> Result<(TxId, Committed), Failure> {
        // The arguments are behind the tag.
        let commands = commands.iter().map(|command| (command.tag(), command.to_sce()[2..].to_vec()));
        self.public(BANK, &commands.collect::<Vec<_>>())
    }

    /// Carries out commands of one contract in public, each a tag and the encoding of its arguments.
    pub fn public(&self, contract: &str, commands: &[(u16, Vec<u8>)]) -> Result<(TxId, Committed), Failure> {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).map_err(|error| Failure::failed("RANDOM", error))?;
        let params: Params = read(&self.rpc, "/ssn/params")?.ok_or_else(|| missing("parameters"))?;
        // Before the first block there is no height to count from.
        let height = status_of(&self.rpc)?.height;
        let expires = if height == 0 { 0 } else { height.saturating_add(EXPIRES_BLOCKS) };
        let body = self.body(&params, expires, contract, commands)?;
        let content = SaltedBody { salt: Salt(salt), body };
        let tx_id = content.tx_id(Mode::Public);
        let (purpose, key) = (Purpose::LedgerSigning, self.public_key());
        let signature = self.sign(&business_message(&self.chain_id, &tx_id, purpose, &key))?;
        let signatures = List::new([BusinessSignature { purpose, key, signature }]).map_err(too_many)?;
        let committed = self.submit(|submission| {
            let (content, signatures) = (content.clone(), signatures.clone());
            let openings = List::default();
            Request::PublicTx(Box::new(PublicTx { content, signatures, openings, submission }))
        });
        let committed = committed.map_err(|failure| match failure.code.as_str() {
            "NOT_IN_A_BLOCK" => {
                let said =
                    format!("{}; it is transaction {tx_id}, dead after block {expires}", failure.message);
                Failure { message: said, ..failure }
            }
            _ => failure,
        })?;
        Ok((tx_id, committed))
    }

    /// - `expires`: the last block that may hold it; 0: any may.
    fn body(
        &self,
        params: &Params,
        expires: u64,
        contract: &str,
        commands: &[(u16, Vec<u8>)],
    ) -> Result<Body, Failure> {
        let command = |(tag, args): &(u16, Vec<u8>)| -> Result<Command, Failure> {
            Ok(Command {
                contract_id: ContractId::new(contract)
                    .map_err(|problem| Failure::input("CONTRACT", problem))?,
                tag: *tag,
                args: Blob::new(args.as_slice()).map_err(too_many)?,
                signers: Set::new([self.public_key()]).map_err(too_many)?,
            })
        };
        let commands = commands.iter().map(command).collect::<Result<Vec<_>, _>>()?;
        let header = Header {
            format: 1,
            chain_id: self.chain_id.clone(),
            not_before_height: 0,
            expires_height: expires,
            params_hash: params.hash(),
            contract_set_hash: Digest::ZERO,
            attester_policy: None,
        };
        Ok(Body {
            nullifiers: List::default(),
            outputs: List::default(),
            commands: List::new(commands).map_err(too_many)?,
            references: List::default(),
            attachments: List::default(),
            time_window: List::default(),
            header: One(header),
            inputs: List::default(),
            capsules: List::default(),
            memo: List::default(),
        })
    }

    /// Proposes, sponsors or votes.
    pub fn govern(&self, message: &GovernanceMessage) -> Result<Committed, Failure> {
        self.submit(|submission| {
            Request::Governance(Box::new(GovernanceTx { message: message.clone(), submission }))
        })
    }

    /// Signs what `request` makes of a submission, and waits until it was carried out.
    pub fn submit(&self, request: impl Fn(Submission) -> Request) -> Result<Committed, Failure> {
        let path = format!("/ssn/notary/seq/{}", self.entity);
        let mut tried = 0;
        loop {
            tried += 1;
            let last: u64 = read(&self.rpc, &path)?.unwrap_or_default();
            let (key, signature) = (self.public_key(), Signature([0; 64]));
            let seq = last.saturating_add(tried as u64);
            let submission = Submission { entity: self.entity, seq, key, signature };
            let mut signed = Ok(());
            let envelope = Envelope::signed(request(submission), &self.chain_id, |message| {
                self.sign(message).unwrap_or_else(|failure| {
                    signed = Err(failure);
                    Signature([0; 64])
                })
            });
            signed?;
            let used = || Ok(read::<u64>(&self.rpc, &path)?.is_some_and(|last| last >= seq));
            match send(&self.rpc, envelope.bytes(), &used)? {
                Sent::Done(committed) => return Ok(committed),
                Sent::Overtaken if tried < SEQUENCES_MAX => {}
                Sent::Overtaken => {
                    let said = format!("other requests of {} came first, {tried} times", self.entity);
                    return Err(Failure::failed("OVERTAKEN", said));
                }
                Sent::Refused(code, _) if code == Code::BadSequence.code() && tried < SEQUENCES_MAX => {}
                Sent::Refused(code, log) => return Err(refused(code.into(), &log)),
            }
        }
    }
}

fn missing(what: &str) -> Failure {
    Failure::failed("NODE_UNREADABLE", format!("the node has no {what}"))
}

fn too_many(problem: impl ToString) -> Failure {
    Failure::input("TOO_LARGE", problem.to_string())
}

enum Sent {
    Done(Committed),
    Refused(u32, String),
    /// Another request of the member used the sequence, or a higher one: this one can come into no block any more.
    Overtaken,
}

fn code_of(value: &Value) -> u32 {
    value["code"].as_u64().and_then(|code| u32::try_from(code).ok()).unwrap_or_default()
}

/// The transaction of these bytes in the blocks after `from`, as the method `tx` tells of it.
fn in_blocks(rpc: &Rpc, text: &str, from: u64) -> Result<Option<Value>, Failure> {
    for height in from..=status_of(rpc)?.height {
        let asked = json!({"height": height.max(1).to_string()});
        let block = match rpc.call("block", &asked) {
            // Before the first block of all.
            Err(RpcError::Refused { .. }) => continue,
            answer => answer?,
        };
        let txs = block["block"]["data"]["txs"].as_array();
        if let Some(index) = txs.and_then(|txs| txs.iter().position(|tx| tx == text)) {
            let result = rpc.call("block_results", &asked)?["txs_results"][index].take();
            return Ok(Some(json!({"height": height.to_string(), "tx_result": result})));
        }
    }
    Ok(None)
}

/// Hands bytes to a node, and waits until they stand in a block. `used` says whether the state has used up their sequence.
fn send(rpc: &Rpc, bytes: &[u8], used: &dyn Fn() -> Result<bool, Failure>) -> Result<Sent, Failure> {
    let (text, from) = (Base64::encode_string(bytes), status_of(rpc)?.height);
    let answer = rpc.call("broadcast_tx_sync", &json!({"tx": text}))?;
    let log = |value: &Value| value["log"].as_str().unwrap_or_default().to_owned();
    if code_of(&answer) != 0 {
        return Ok(Sent::Refused(code_of(&answer), log(&answer)));
    }
    let hash = ves::hash::Hasher::bare().bytes(bytes).finish();
    let (begun, params) = (Instant::now(), json!({"hash": Base64::encode_string(&hash.0)}));
    let found = loop {
        match rpc.call("tx", &params) {
            Ok(found) => break found,
            // By this request, which the node's index may not have yet, or by another.
            Err(RpcError::Refused { .. }) if used()? => match in_blocks(rpc, &text, from)? {
                Some(found) => break found,
                None => return Ok(Sent::Overtaken),
            },
            // It says so while the request is in no block.
            Err(RpcError::Refused { .. }) if begun.elapsed() < BLOCK_TIME_MAX => std::thread::sleep(LOOK),
            Err(RpcError::Refused { .. }) => {
                let message = format!(
                    "{hash} is in no block after {BLOCK_TIME_MAX:?}, and may come into one yet: look before you say it again"
                );
                return Err(Failure::failed("NOT_IN_A_BLOCK", message));
            }
            Err(other) => return Err(other.into()),
        }
    };
    let result = &found["tx_result"];
    if code_of(result) != 0 {
        return Ok(Sent::Refused(code_of(result), log(result)));
    }
    let height = found["height"].as_str().and_then(|text| text.parse().ok());
    let height =
        height.ok_or_else(|| Failure::failed("NODE_UNREADABLE", "a transaction without a height"))?;
    let data = Base64::decode_vec(result["data"].as_str().unwrap_or_default()).unwrap_or_default();
    Ok(Sent::Done(Committed { hash, height, data }))
}
