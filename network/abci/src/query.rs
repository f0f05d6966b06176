//! Queries (network.md 14) at any kept height, with ICS-23 proofs.

use stateset_ledger_app::application::QueryAnswer;
use stateset_ledger_store::{StateProof, StoreError, View};
use tendermint::abci::{Code, request, response};
use tendermint::merkle::proof::{ProofOp, ProofOps};

use crate::convert::{codespace, height};
use crate::{EngineError, Node};

/// Type of both operations of a proof: an ICS-23 commitment proof of the tree's spec (network.md 6.1).
pub const PROOF_TYPE: &str = "ics23:jmt";

/// NOT_FOUND of network.md 15: there is no such height.
const NOT_FOUND: u32 = 26;
/// UNSUPPORTED: what was asked has no proof.
const UNSUPPORTED: u32 = 36;

/// A query that the state machine was not asked.
fn refused(code: u32, log: String) -> response::Query {
    response::Query { code: Code::from(code), codespace: codespace(code), log, ..Default::default() }
}

/// The key under its substore, then the substore under the app hash.
pub(crate) fn proof_ops(proof: &StateProof) -> ProofOps {
    let [of_key, of_substore] = proof.encoded();
    let op = |key: &[u8], data| ProofOp { field_type: PROOF_TYPE.to_owned(), key: key.to_vec(), data };
    ProofOps { ops: vec![op(&proof.key, of_key), op(proof.substore.name().as_bytes(), of_substore)] }
}

impl Node {
    /// Answers from the state after block `request.height`, or from the newest when it is 0. The answer's height is that of
    /// the state; the header of the height after it proves it.
    pub(crate) fn query(&self, request: &request::Query) -> Result<response::Query, EngineError> {
        let view = match request.height.value() {
            0 => match self.try_latest()? {
                Some(view) => view,
                None => return Ok(refused(NOT_FOUND, StoreError::NoGenesis.to_string())),
            },
            asked => match self.store.view_at(asked) {
                Ok(view) => view.into(),
                Err(
                    why @ (StoreError::Pruned { .. } | StoreError::Future { .. } | StoreError::NoGenesis),
                ) => {
                    return Ok(refused(NOT_FOUND, why.to_string()));
                }
                Err(fault) => return Err(fault.into()),
            },
        };
        let answer = self.application.query(&*view, view.height(), &request.path, &request.data)?;
        answered(&view, answer, request.prove)
    }
}

fn answered(view: &View, answer: QueryAnswer, prove: bool) -> Result<response::Query, EngineError> {
    let mut response = response::Query {
        code: Code::from(answer.code),
        codespace: codespace(answer.code),
        log: answer.log,
        value: answer.value.into(),
        height: height(view.height())?,
        ..Default::default()
    };
    match answer.place {
        Some((substore, key)) => {
            if prove {
                response.proof = Some(proof_ops(&view.prove(substore, &key)?));
            }
            response.key = key.into();
        }
        None if prove && answer.code == 0 => {
            return Ok(refused(
                UNSUPPORTED,
                "this answer rests on no single key of the tree: ask without a proof".to_owned(),
            ));
        }
        None => {}
    }
    Ok(response)
}
