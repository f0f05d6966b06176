//! The ledger through the RPC of any node of it, `solo` or CometBFT (7.2). The node is believed in nothing that a light
//! client can check: values and absences come with proofs, headers are followed from a block that is trusted.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use base64ct::{Base64, Encoding as _};
use serde_json::{Value, json};
use stateset_ledger_types::codec::Decode;
use stateset_ledger_types::ids::TxId;
use stateset_ledger_types::notary::{CapsulePage, CapsulePlace, CertificateRecord};
use stateset_ledger_types::{Code, Refusal, StateKey};
use stateset_light::{Certificate, Terms, Trust, TrustedState, follow, light_block};
use ves::hash::Hasher;

use crate::error::ChainError;
use crate::ports::{Chain, Clock, ProvenValue, Tip};

/// Calls a JSON-RPC method with named parameters and gives its `result`.
pub type RpcCall = dyn Fn(&str, &Value) -> Result<Value, String> + Send + Sync;

/// Most headers that are kept; older ones are proven again.
const HEADERS_MAX: usize = 4_096;

/// [`Chain`] over JSON-RPC.
pub struct RpcChain<C> {
    call: Box<RpcCall>,
    clock: C,
    terms: Terms,
    known: Mutex<Known>,
}

struct Known {
    /// Followed up to here.
    trusted: TrustedState,
    /// Times of headers that were proven, Unix milliseconds.
    times: BTreeMap<u64, u64>,
}

impl<C: Clock> RpcChain<C> {
    /// `trusted`: a block known from elsewhere, or the genesis.
    pub fn new(call: Box<RpcCall>, trusted: TrustedState, terms: Terms, clock: C) -> Self {
        Self { call, clock, terms, known: Mutex::new(Known { trusted, times: BTreeMap::new() }) }
    }

    /// The newest block that was followed: what to begin with another time.
    pub fn trusted(&self) -> TrustedState {
        self.known().trusted.clone()
    }

    fn ask(&self, method: &str, params: &Value) -> Result<Value, ChainError> {
        (self.call)(method, params).map_err(ChainError::Unreachable)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows the chain to its newest block.
    fn follow(&self) -> Result<u64, ChainError> {
        let trusted = self.known().trusted.clone();
        let mut call = |method: &str, params: &Value| (self.call)(method, params);
        let followed =
            follow(&mut call, &trusted, self.terms, None, self.clock.now_ms()).map_err(of_follow)?;
        let height = followed.height;
        let mut known = self.known();
        known.keep(height, &followed);
        if height > known.trusted.height {
            known.trusted = followed;
        }
        Ok(height)
    }

    fn verified(&self, key: &StateKey, height: u64) -> Result<Certificate, ChainError> {
        let path = format!("/store/{}/key", key.substore);
        let mut call = |method: &str, params: &Value| (self.call)(method, params);
        let certificate =
            stateset_light::fetch_key(&mut call, &path, &key.path, key, Some(height)).map_err(of_fetch)?;
        self.with_trust(height + 1, |trust, now_ms| certificate.verify_at(key, trust, now_ms).map(|_| ()))?;
        Ok(certificate)
    }

    /// Judges something of header `height` by what is trusted: a later block as light clients do, an earlier one by the
    /// set of validators that is known to have signed since.
    fn with_trust(
        &self,
        height: u64,
        judge: impl Fn(&Trust<'_>, u64) -> Result<(), stateset_light::CertificateError>,
    ) -> Result<(), ChainError> {
        let (trusted, now_ms) = (self.known().trusted.clone(), self.clock.now_ms());
        let not_proven =
            |problem: stateset_light::CertificateError| ChainError::NotProven(problem.to_string());
        if height > trusted.height {
            return judge(&Trust::Block(&trusted, self.terms), now_ms).map_err(not_proven);
        }
        let hash = stateset_light::validators_hash(&trusted.next_validators);
        let chain_id = trusted.chain_id.clone();
        let of_set = Trust::Validators { chain_id: &chain_id, hash, clock_drift: self.terms.clock_drift };
        judge(&of_set, now_ms).map_err(not_proven)
    }
}

impl Known {
    fn keep(&mut self, height: u64, state: &TrustedState) {
        self.times.insert(height, ms_of(&state.time));
        while self.times.len() > HEADERS_MAX {
            self.times.pop_first();
        }
    }
}

/// Milliseconds, rounded down, as the state machine is told a block's time.
fn ms_of(time: &stateset_light::Time) -> u64 {
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or_default()
}

fn of_fetch(error: stateset_light::FetchError<String>) -> ChainError {
    ChainError::Unreachable(error.to_string())
}

fn of_follow(error: stateset_light::FollowError<String>) -> ChainError {
    match error {
        stateset_light::FollowError::Fetch(error) => of_fetch(error),
        refused => ChainError::NotProven(refused.to_string()),
    }
}

fn refusal(code: u64, log: &str, data: &Value) -> Refusal {
    let code = u32::try_from(code).ok().and_then(Code::from_code).unwrap_or(Code::Internal);
    let text = log.strip_prefix(&code.name()).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(log);
    Refusal::new(code, text).with_data(bytes(data))
}

fn bytes(value: &Value) -> Vec<u8> {
    value.as_str().and_then(|text| Base64::decode_vec(text).ok()).unwrap_or_default()
}

impl<C: Clock> Chain for RpcChain<C> {
    /// The newest block proves the state of the one before.
    fn tip(&self) -> Result<Tip, ChainError> {
        let height = self.follow()?.saturating_sub(1);
        if height == 0 {
            return Err(ChainError::Unreachable(
                "the ledger has no block yet that proves its state".to_owned(),
            ));
        }
        Ok(Tip { height, time_ms: self.block_time(height)? })
    }

    fn prove(&self, key: &StateKey, height: u64) -> Result<ProvenValue, ChainError> {
        let certificate = self.verified(key, height)?;
        let record = record_of(&certificate)?;
        let mut proof = Vec::new();
        for one in [&record.key_proof[..], &record.substore_proof[..]] {
            prost::encoding::bytes::encode(1, &one.to_vec(), &mut proof);
        }
        Ok(ProvenValue { value: certificate.value, proof })
    }

    fn block_time(&self, height: u64) -> Result<u64, ChainError> {
        if let Some(time_ms) = self.known().times.get(&height) {
            return Ok(*time_ms);
        }
        let mut call = |method: &str, params: &Value| (self.call)(method, params);
        let block = light_block(&mut call, height).map_err(of_fetch)?;
        self.with_trust(height, |trust, now_ms| block.verify(trust, now_ms))?;
        let time_ms = ms_of(&block.signed_header.header.time);
        self.known().times.insert(height, time_ms);
        Ok(time_ms)
    }

    fn certificate(&self, tx_id: &TxId) -> Result<Option<CertificateRecord>, ChainError> {
        let key = StateKey::tx(tx_id);
        let height = self.follow()?.saturating_sub(1);
        if height == 0 {
            return Ok(None);
        }
        let certificate = self.verified(&key, height)?;
        if certificate.value.is_none() {
            return Ok(None);
        }
        record_of(&certificate).map(Some)
    }

    fn submit(&self, envelope: &[u8]) -> Result<Result<(), Refusal>, ChainError> {
        let answer = match (self.call)("broadcast_tx_sync", &json!({"tx": Base64::encode_string(envelope)})) {
            // Both engines say so of a request that they hold already.
            Err(problem) if problem.contains("already") => return Ok(Ok(())),
            answer => answer.map_err(ChainError::Unreachable)?,
        };
        match answer["code"].as_u64() {
            Some(0) => Ok(Ok(())),
            Some(code) => Ok(Err(refusal(code, answer["log"].as_str().unwrap_or_default(), &answer["data"]))),
            None => {
                Err(ChainError::Unreachable(format!("the answer to broadcast_tx_sync has no code: {answer}")))
            }
        }
    }

    fn refusal(&self, envelope: &[u8]) -> Result<Option<Refusal>, ChainError> {
        let hash = Base64::encode_string(&Hasher::bare().bytes(envelope).finish().0);
        // Engines answer with an error while a transaction stands in no block.
        let Ok(answer) = (self.call)("tx", &json!({"hash": hash})) else { return Ok(None) };
        let result = &answer["tx_result"];
        let code = result["code"].as_u64().unwrap_or_default();
        if code == 0 || code == u64::from(Code::AlreadyNotarised.code()) {
            return Ok(None);
        }
        Ok(Some(refusal(code, result["log"].as_str().unwrap_or_default(), &result["data"])))
    }

    fn capsules(&self, from: &CapsulePlace) -> Result<CapsulePage, ChainError> {
        let path = format!("/ssn/capsules?from={from}");
        let answer = self.ask("abci_query", &json!({"path": path}))?;
        let response = &answer["response"];
        if response["code"].as_u64().unwrap_or_default() != 0 {
            let log = response["log"].as_str().unwrap_or_default();
            return Err(ChainError::Unreachable(format!("the node refuses {path}: {log}")));
        }
        CapsulePage::from_sce(&bytes(&response["value"]))
            .map_err(|problem| ChainError::NotProven(format!("{path}: {problem}")))
    }

    fn request(&self, height: u64, index: u32) -> Result<Vec<u8>, ChainError> {
        let block = self.ask("block", &json!({"height": height.to_string()}))?;
        let request = &block["block"]["data"]["txs"][index as usize];
        match request.as_str() {
            Some(_) => Ok(bytes(request)),
            None => Err(ChainError::NotProven(format!("block {height} has no request {index}"))),
        }
    }
}

fn record_of(certificate: &Certificate) -> Result<CertificateRecord, ChainError> {
    let not_proven = |problem: String| ChainError::NotProven(problem);
    let bytes = certificate.to_bytes().map_err(|problem| not_proven(problem.to_string()))?;
    CertificateRecord::from_sce(&bytes).map_err(|problem| not_proven(problem.to_string()))
}
