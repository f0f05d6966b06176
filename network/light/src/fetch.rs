//! Certificates from the RPC of a node (network.md 7.2). What a node says is shaped here and believed nowhere: the caller
//! verifies.

use base64ct::{Base64, Encoding as _};
use serde_json::{Value, json};
use stateset_ledger_types::StateKey;
use stateset_ledger_types::ids::{ChainId, SpentKey, TxId};
use stateset_ledger_types::query::key_of;
use tendermint::validator;

use crate::certificate::commitment;
use crate::{Certificate, LightBlock, tendermint_json};

/// Most validators on one page of the RPC.
const PAGE: usize = 100;
/// Most validators of a set.
const VALIDATORS_MAX: usize = 10_000;
/// NOT_FOUND of network.md 15: an absent key is answered with it, and with the proof of its absence.
const NOT_FOUND: u64 = 26;

/// Why a node gave no certificate.
#[derive(Debug, thiserror::Error)]
pub enum FetchError<E> {
    /// The caller's function failed.
    #[error("{0}")]
    Call(E),
    #[error("the node has no block yet that proves its state; ask again in a moment")]
    NotYet,
    #[error("the node refuses {path} with code {code}: {log}")]
    Refused { path: String, code: u64, log: String },
    #[error("the node gives no proof for {path}")]
    NoProof { path: String },
    #[error("the node's answer to {method} can't be read: {problem}")]
    Unreadable { method: &'static str, problem: String },
}

impl<E> FetchError<E> {
    fn unreadable(method: &'static str, problem: impl ToString) -> Self {
        Self::Unreadable { method, problem: problem.to_string() }
    }
}

/// A function that calls a JSON-RPC method with named parameters and gives its `result`.
pub type Call<'a, E> = dyn FnMut(&str, &Value) -> Result<Value, E> + 'a;

fn number<E>(method: &'static str, value: &Value) -> Result<u64, FetchError<E>> {
    let number = value.as_str().and_then(|text| text.parse().ok());
    number.ok_or_else(|| FetchError::unreadable(method, format!("{value} is no number")))
}

/// Bytes of JSON-RPC: base 64, or null where there are none.
fn bytes<E>(value: &Value) -> Result<Vec<u8>, FetchError<E>> {
    let text = value.as_str().unwrap_or_default();
    Base64::decode_vec(text).map_err(|_| FetchError::unreadable("the state", "bytes are not base 64"))
}

/// The validators of `height`, all pages.
fn validators<E>(call: &mut Call<'_, E>, height: u64) -> Result<Vec<validator::Info>, FetchError<E>> {
    let unreadable = |problem: &dyn ToString| FetchError::unreadable("validators", problem.to_string());
    let mut all: Vec<validator::Info> = Vec::new();
    loop {
        let page = all.len() / PAGE + 1;
        let params =
            json!({"height": height.to_string(), "page": page.to_string(), "per_page": PAGE.to_string()});
        let mut answer = call("validators", &params).map_err(FetchError::Call)?;
        let listed = tendermint_json::validators(answer["validators"].take())
            .map_err(|problem| unreadable(&problem))?;
        let total = usize::try_from(number("validators", &answer["total"])?).unwrap_or(usize::MAX);
        let none = listed.is_empty();
        all.extend(listed);
        if total > VALIDATORS_MAX || all.len() > total || (none && all.len() < total) {
            return Err(unreadable(&"it does not hold as many validators as it says"));
        }
        if all.len() == total {
            return Ok(all);
        }
    }
}

/// Header, commit and validators of `height`.
///
/// # Errors
/// [`FetchError`].
pub fn light_block<E>(call: &mut Call<'_, E>, height: u64) -> Result<LightBlock, FetchError<E>> {
    let mut answer = call("commit", &json!({"height": height.to_string()})).map_err(FetchError::Call)?;
    let signed_header = tendermint_json::signed_header(answer["signed_header"].take())
        .map_err(|problem| FetchError::unreadable("commit", problem))?;
    LightBlock::new(signed_header, validators(call, height)?)
        .map_err(|problem| FetchError::unreadable("validators", problem))
}

/// The set that signs `height`, in its one form.
pub(crate) fn validator_set<E>(call: &mut Call<'_, E>, height: u64) -> Result<validator::Set, FetchError<E>> {
    crate::validators::set(validators(call, height)?)
        .map_err(|problem| FetchError::unreadable("validators", problem))
}

/// Height of the newest block.
pub(crate) fn latest<E>(call: &mut Call<'_, E>) -> Result<u64, FetchError<E>> {
    let status = call("status", &json!({})).map_err(FetchError::Call)?;
    number("status", &status["sync_info"]["latest_block_height"])
}

/// The newest state that a header proves, if that is also the newest state: what was written last is not left out.
fn newest<E>(call: &mut Call<'_, E>) -> Result<u64, FetchError<E>> {
    let info = call("abci_info", &json!({})).map_err(FetchError::Call)?["response"].take();
    let status = call("status", &json!({})).map_err(FetchError::Call)?["sync_info"].take();
    let (state, header) =
        (number("abci_info", &info["last_block_height"])?, number("status", &status["latest_block_height"])?);
    if header > state {
        return Ok(state);
    }
    // The newest header holds the app hash before its own block. Where that block changed nothing, both states are one.
    let before = status["latest_app_hash"].as_str().unwrap_or_default().to_ascii_lowercase();
    if header == state && before == ves::hex::encode(&bytes(&info["last_block_app_hash"])?) {
        return Ok(state.saturating_sub(1));
    }
    Err(FetchError::NotYet)
}

/// Proof of what the state holds where `path` (network.md 14) looks, in the state of `height`, or without one in the newest
/// that a header proves: [`FetchError::NotYet`] while a block that changed the state waits for the next one.
///
/// # Errors
/// [`FetchError`]; [`FetchError::NoProof`] for a path whose answer is made of several keys.
pub fn fetch<E>(
    call: &mut Call<'_, E>,
    path: &str,
    height: Option<u64>,
) -> Result<Certificate, FetchError<E>> {
    let key = key_of(path).ok_or_else(|| FetchError::NoProof { path: path.to_owned() })?;
    fetch_key(call, path, &[], &key, height)
}

/// As [`fetch`], for a node whose path `path` with `data` looks at `key`.
///
/// # Errors
/// [`FetchError`].
pub fn fetch_key<E>(
    call: &mut Call<'_, E>,
    path: &str,
    data: &[u8],
    key: &StateKey,
    height: Option<u64>,
) -> Result<Certificate, FetchError<E>> {
    let height = match height {
        Some(height) => height,
        None => newest(call)?,
    };
    if height == 0 {
        return Err(FetchError::NotYet);
    }
    let data = ves::hex::encode(data);
    let params = json!({"path": path, "data": data, "height": height.to_string(), "prove": true});
    let answer = call("abci_query", &params).map_err(FetchError::Call)?["response"].take();
    let code = answer["code"].as_u64().unwrap_or_default();
    let ops = answer["proofOps"]["ops"].as_array();
    let [of_key, of_substore] = match ops.map(Vec::as_slice) {
        Some([of_key, of_substore]) if code == 0 || code == NOT_FOUND => [of_key, of_substore],
        _ if code != 0 => {
            let log = answer["log"].as_str().unwrap_or_default().to_owned();
            return Err(FetchError::Refused { path: path.to_owned(), code, log });
        }
        _ => return Err(FetchError::NoProof { path: path.to_owned() }),
    };
    let proof = |field, op: &Value| {
        let unreadable = |problem| FetchError::unreadable("abci_query", problem);
        commitment(field, &bytes(&op["data"])?).map_err(unreadable)
    };
    let value = bytes(&answer["value"])?;
    let block = light_block(call, height + 1)?;
    Ok(Certificate {
        chain_id: ChainId::new(block.signed_header.header.chain_id.as_str())
            .map_err(|problem| FetchError::unreadable("commit", problem))?,
        height,
        // What was asked for: a proof of another key does not lead to it.
        key: key.clone(),
        value: (!value.is_empty()).then_some(value),
        key_proof: proof("key_proof", of_key)?,
        substore_proof: proof("substore_proof", of_substore)?,
        block,
    })
}

/// The certificate of a notarised transaction; of its absence where it is not notarised.
///
/// # Errors
/// As [`fetch`].
pub fn fetch_transaction<E>(call: &mut Call<'_, E>, tx_id: &TxId) -> Result<Certificate, FetchError<E>> {
    fetch(call, &format!("/ssn/notary/tx/{tx_id}"), None)
}

/// Who consumed the state behind `spent`, or the proof that nobody did.
///
/// # Errors
/// As [`fetch`].
pub fn fetch_spent<E>(call: &mut Call<'_, E>, spent: &SpentKey) -> Result<Certificate, FetchError<E>> {
    fetch(call, &format!("/ssn/notary/spent/{spent}"), None)
}
