//! Certificates of chains made by the engine `solo`.

use stateset_ledger_store::StateProof;
use stateset_ledger_types::codec::Encode as _;
use stateset_ledger_types::ids::{ChainId, TxId};
use stateset_ledger_types::notary::NotaryRecord;
use stateset_ledger_types::tree::Mode;
use stateset_ledger_types::{StateKey, Substore};
use stateset_light::{Certificate, LightBlock, Terms, Trust, TrustedState, Validators};
use stateset_solo::records;
use tendermint::block::signed_header::SignedHeader;
use tendermint::validator::Info;
use tendermint::{PublicKey, vote};
use tendermint_proto::v0_38::types::SignedHeader as RawSignedHeader;

use crate::support::{Chain, GENESIS_MS};

/// Unix milliseconds: an hour after genesis.
pub const NOW: u64 = GENESIS_MS + 3_600_000;

pub fn infos(chain: &Chain, height: u64) -> Vec<Info> {
    let view = chain.store.view().expect("the state");
    let set = records::validators_at(&view, height).expect("readable").expect("known");
    let info = |one: &stateset_solo::block::Validator| {
        let key = PublicKey::from_raw_ed25519(&one.public_key).expect("a key");
        Info::new(key, vote::Power::try_from(one.power).expect("small"))
    };
    set.as_slice().iter().map(info).collect()
}

pub fn block(chain: &Chain, height: u64) -> LightBlock {
    let view = chain.store.view().expect("the state");
    let block = records::block_at(&view, height).expect("readable").expect("stored");
    let commit = records::commit_at(&view, height).expect("readable").expect("stored");
    let raw = RawSignedHeader { header: block.header, commit: Some(commit) };
    LightBlock::new(SignedHeader::try_from(raw).expect("signed"), infos(chain, height)).expect("a set")
}

/// Trusts the block of `height` of `chain`.
pub fn trusted(chain: &Chain, height: u64) -> TrustedState {
    block(chain, height)
        .trusted(Validators::without_proposer(infos(chain, height + 1)))
        .expect("the next set")
}

/// What the state of `height` holds at `key`.
pub fn certificate(chain: &Chain, height: u64, key: &StateKey) -> Certificate {
    let view = chain.store.view_at(height).expect("kept");
    let proof: StateProof = view.prove(key.substore, &key.path).expect("a proof");
    Certificate {
        chain_id: ChainId::new(chain.engine.chain_id()).expect("a chain id"),
        height,
        key: key.clone(),
        value: proof.value,
        key_proof: proof.key_proof,
        substore_proof: proof.substore_proof,
        block: block(chain, height + 1),
    }
}

pub fn tx_id(n: u8) -> TxId {
    TxId([n; 32])
}

pub fn record(height: u64) -> NotaryRecord {
    NotaryRecord { height, index: 0, mode: Mode::Private, inputs: 1 }
}

/// The transaction of the chain's application that writes the record of `n` at `height`.
pub fn notarising(n: u8, height: u64) -> String {
    let text = String::from_utf8(record(height).to_sce()).expect("small numbers are text");
    format!("{}={text}", tx_id(n))
}

/// Transaction 1 stands in block 6, 2 in block 8, between others.
pub fn chain(chain_id: &str) -> Chain {
    let mut chain = Chain::new(chain_id);
    chain.block(&["other=value"]);
    assert_eq!(chain.block(&[&notarising(1, 6)]).height, 6);
    chain.block(&["more=values"]);
    assert_eq!(chain.block(&[&notarising(2, 8)]).height, 8);
    for n in 0..4 {
        chain.block(&[&format!("later{n}=value")]);
    }
    chain
}

pub fn key(n: u8) -> StateKey {
    StateKey::tx(&tx_id(n))
}

pub fn note(name: &str) -> StateKey {
    StateKey { substore: Substore::Notary, path: format!("tx/{name}").into_bytes() }
}

pub fn by_block(trusted: &TrustedState) -> Trust<'_> {
    Trust::Block(trusted, Terms::default())
}
