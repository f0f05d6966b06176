//! The shared ledger as the state machine of a world: four members, the first ones of which validate.

use std::sync::Arc;

use base64ct::{Base64, Encoding as _};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use stateset_fixtures::ledger::{
    MEMBERS, fresh_notarisation, genesis_of, header, notarise, private_body, signed, spent_key,
};
use stateset_ledger_app::Ledger;
use stateset_ledger_store::Substore;
use stateset_ledger_types::envelope::Request;
use stateset_ledger_types::ids::TxId;
use stateset_ledger_types::tree::Mode;
use stateset_ledger_types::{Decode as _, Genesis, Params, StateKey};

use crate::world::{App, Validator, until};

pub const LEDGER: App = App { chain: "ssn-app-1", start: || Arc::new(Ledger::new()), genesis };

fn genesis(validators: &[[u8; 32]], time_ms: u64) -> String {
    genesis_of(MEMBERS, validators, time_ms).to_json()
}

/// Parameters of that genesis, whoever validates.
pub fn params() -> Params {
    let Genesis { params, .. } = genesis_of(MEMBERS, &[], 0);
    params
}

/// Notarisations by one member, each numbered after the one before.
pub struct Member {
    pub number: u8,
    sent: u32,
}

impl Member {
    pub fn new(number: u8) -> Self {
        Self { number, sent: 0 }
    }

    /// Id and bytes of the next one, which consumes what nobody else does.
    pub fn notarisation(&mut self) -> (TxId, Vec<u8>) {
        self.sent += 1;
        fresh_notarisation(&params(), self.number, self.sent - 1)
    }

    /// Bytes of the next one, which consumes state `input` and is salted with `salt`.
    pub fn consuming(&mut self, input: u8, salt: u8) -> Vec<u8> {
        self.sent += 1;
        let whole = private_body(header(&params()), [salt; 32], &[input], &[], None);
        let by = (self.number, u64::from(self.sent));
        signed(Request::Notarise(Box::new(notarise(&whole, Mode::Private, by, &[input], &[]))), self.number)
    }
}

impl Validator {
    /// Who consumed state `n`, as this node's newest state says.
    pub fn consumer(&self, n: u8) -> Option<TxId> {
        let bytes = self.state(Substore::Notary, &StateKey::spent(&spent_key(n)).path)?;
        Some(TxId::from_sce(&bytes).expect("an id"))
    }

    pub fn is_notarised(&self, tx_id: &TxId) -> bool {
        self.state(Substore::Notary, &StateKey::tx(tx_id).path).is_some()
    }

    /// The result's code of a transaction, once it is in a block.
    pub fn result(&self, transaction: &[u8]) -> u64 {
        let hash = Base64::encode_string(&Sha256::digest(transaction));
        let answer = until("the result", || self.rpc.call("tx", &json!({"hash": hash, "prove": false})).ok());
        answer["tx_result"]["code"].as_u64().unwrap()
    }
}
