//! What is accepted, and every way in which it is not.

use std::time::Duration;

use stateset_ledger_types::ids::{ChainId, SpentKey};
use stateset_ledger_types::{StateKey, Substore};
use stateset_light::{
    Certificate, CertificateError, LightBlock, Terms, Trust, TrustedState, tree_spec, validators_hash,
};
use tendermint::block::CommitSig;

use crate::made::{NOW, block, by_block, certificate, chain, key, note, record, trusted, tx_id};
use crate::support::Chain;

/// The certificate of transaction 1 by the header of height 7, whoever is trusted.
fn one(chain: &Chain) -> Certificate {
    certificate(chain, 6, &key(1))
}

fn refused(certificate: &Certificate, trusted: &TrustedState) -> &'static str {
    match certificate.verify(&tx_id(1), &by_block(trusted), NOW) {
        Ok(finality) => panic!("accepted: {finality:?}"),
        Err(error) => error.name(),
    }
}

#[test]
fn a_notarised_transaction_is_final_to_whoever_trusts_a_block_before_it() {
    let chain = chain("notes-1");
    let certificate = one(&chain);
    // Adjacent and skipping, and the proving header itself.
    for height in [5, 6, 7] {
        let trusted = trusted(&chain, height);
        let finality = certificate.verify(&tx_id(1), &by_block(&trusted), NOW).expect("final");
        assert_eq!((finality.tx_id, finality.record), (tx_id(1), record(6)));
        assert_eq!((finality.proven.height, finality.proven.key), (6, key(1)));
        let header = block(&chain, 7).signed_header.header;
        assert_eq!(finality.proven.header_hash.0, header.hash().as_bytes());
        assert_eq!(finality.proven.header_time, header.time);
    }
    // A later state proves it as well.
    let later = certificate_at(&chain, 10);
    assert_eq!(
        later.verify(&tx_id(1), &by_block(&trusted(&chain, 5)), NOW).expect("final").record,
        record(6)
    );
}

fn certificate_at(chain: &Chain, height: u64) -> Certificate {
    certificate(chain, height, &key(1))
}

#[test]
fn a_set_of_validators_can_be_trusted_by_its_hash_at_any_time() {
    let chain = chain("notes-1");
    let (certificate, chain_id) = (one(&chain), ChainId::new("notes-1").expect("an id"));
    let hash = validators_hash(&block(&chain, 7).validators);
    let years = NOW + 20 * 365 * 86_400_000;
    let trust = |chain_id, hash| Trust::Validators { chain_id, hash, clock_drift: Duration::from_secs(10) };
    let verify = |trust| certificate.verify(&tx_id(1), &trust, years).map_err(|error| error.name());
    assert_eq!(verify(trust(&chain_id, hash)).expect("final").record, record(6));
    let other = ves::Digest([7; 32]);
    assert_eq!(verify(trust(&chain_id, other)), Err("OTHER_VALIDATORS"));
    let elsewhere = ChainId::new("notes-2").expect("an id");
    assert_eq!(verify(trust(&elsewhere, hash)), Err("WRONG_CHAIN"));
    // The clock of whoever verifies is behind the header.
    let early = certificate.verify(&tx_id(1), &trust(&chain_id, hash), 1_700_000_000_000);
    assert_eq!(early.map_err(|error| error.name()), Err("FROM_THE_FUTURE"));
    // A header with that set's hash, and another set that signs.
    let mut other_set = certificate.clone();
    let key = tendermint::PublicKey::from_raw_ed25519(&[3; 32]).expect("a key");
    let info = tendermint::validator::Info::new(key, tendermint::vote::Power::from(1u8));
    other_set.block = LightBlock::new(certificate.block.signed_header.clone(), vec![info]).expect("a set");
    let verdict = other_set.verify(&tx_id(1), &trust(&chain_id, hash), NOW);
    assert_eq!(verdict.map_err(|error| error.name()), Err("VALIDATORS_NOT_OF_HEADER"));
}

#[test]
fn absence_is_proven_as_presence_is() {
    let chain = chain("notes-1");
    let trusted = trusted(&chain, 5);
    let spent = SpentKey([9; 32]);
    let unspent = certificate(&chain, 8, &StateKey::spent(&spent));
    assert_eq!(unspent.verify_unspent(&spent, &by_block(&trusted), NOW).expect("absent").value, None);
    let absent = certificate(&chain, 8, &key(3));
    let error = absent.verify(&tx_id(3), &by_block(&trusted), NOW).expect_err("not notarised");
    assert_eq!(error, CertificateError::Absent { key: key(3).to_string(), height: 8 });
    // Before its block it is absent, after it present: each claim with the proof of the other.
    let (mut before, mut after) = (certificate(&chain, 5, &key(1)), one(&chain));
    assert_eq!(before.verify(&tx_id(1), &by_block(&trusted), NOW).map_err(|e| e.name()), Err("ABSENT"));
    std::mem::swap(&mut before.value, &mut after.value);
    assert_eq!((refused(&before, &trusted), refused(&after, &trusted)), ("PROOF_REFUSED", "PROOF_REFUSED"));
    // A spent key is not unspent.
    let mut present = certificate(&chain, 8, &key(1));
    present.key = StateKey::spent(&spent);
    let error = present.verify_unspent(&spent, &by_block(&trusted), NOW).expect_err("other key");
    assert_eq!(error.name(), "PROOF_REFUSED");
    // Any key of the state.
    let other = certificate(&chain, 8, &note("other"));
    let proven = other.verify_at(&note("other"), &by_block(&trusted), NOW).expect("proven");
    assert_eq!(proven.value.as_deref(), Some(&b"value"[..]));
    let params = StateKey::params();
    let proven =
        certificate(&chain, 8, &params).verify_at(&params, &by_block(&trusted), NOW).expect("proven");
    assert_eq!((proven.key.substore, proven.value.as_deref()), (Substore::Gov, Some(&b"first"[..])));
}

#[test]
fn claims_that_the_proof_does_not_bear_are_refused() {
    let chain = chain("notes-1");
    let trusted = trusted(&chain, 5);
    let good = one(&chain);
    let changed = |change: &dyn Fn(&mut Certificate)| {
        let mut other = good.clone();
        change(&mut other);
        refused(&other, &trusted)
    };
    // Another transaction is asked for than the certificate is of.
    let other = good.verify(&tx_id(2), &by_block(&trusted), NOW);
    assert_eq!(other.map_err(|error| error.name()), Err("WRONG_KEY"));
    // A certificate of another key that says to be of this one.
    let mut renamed = certificate(&chain, 8, &key(2));
    renamed.key = key(1);
    assert_eq!(refused(&renamed, &trusted), "PROOF_REFUSED");
    assert_eq!(changed(&|c| c.value.as_mut().expect("one")[7] ^= 1), "PROOF_REFUSED");
    assert_eq!(changed(&|c| c.value = None), "PROOF_REFUSED");
    assert_eq!(changed(&|c| std::mem::swap(&mut c.key_proof, &mut c.substore_proof)), "PROOF_REFUSED");
    assert_eq!(changed(&|c| c.substore_proof = Default::default()), "PROOF_REFUSED");
    assert_eq!(changed(&|c| c.key_proof = Default::default()), "PROOF_REFUSED");
    // Heights: of the claim, of the header, of both.
    assert_eq!(changed(&|c| c.height = 5), "WRONG_HEIGHT");
    assert_eq!(changed(&|c| c.height = 7), "WRONG_HEIGHT");
    assert_eq!(changed(&|c| c.height = u64::MAX), "WRONG_HEIGHT");
    assert_eq!(changed(&|c| c.block = block(&chain, 6)), "WRONG_HEIGHT");
    assert_eq!(changed(&|c| (c.height, c.block) = (5, block(&chain, 6))), "PROOF_REFUSED");
    assert_eq!(changed(&|c| (c.height, c.block) = (7, block(&chain, 8))), "PROOF_REFUSED");
    // The value of another height.
    assert_eq!(changed(&|c| c.key_proof = certificate_at(&chain, 8).key_proof), "PROOF_REFUSED");
    // A proven value that is no record of the notary.
    let text = certificate(&chain, 8, &note("other"));
    let proven = text.verify_at(&note("other"), &by_block(&trusted), NOW).expect("proven");
    let read = proven.record::<stateset_ledger_types::notary::NotaryRecord>();
    assert_eq!(read.map_err(|error| error.name()), Err("BAD_RECORD"));
}

#[test]
fn other_chains_and_other_trust_are_refused() {
    let (ours, theirs) = (chain("notes-1"), chain("notes-2"));
    let trusted_ours = trusted(&ours, 5);
    let foreign = one(&theirs);
    assert_eq!(refused(&foreign, &trusted_ours), "WRONG_CHAIN");
    assert!(foreign.verify(&tx_id(1), &by_block(&trusted(&theirs, 5)), NOW).is_ok());
    // The other chain's certificate under our name, and our proof in its header.
    let mut renamed = foreign.clone();
    renamed.chain_id = ChainId::new("notes-1").expect("an id");
    assert_eq!(refused(&renamed, &trusted_ours), "WRONG_CHAIN");
    let mut joined = one(&ours);
    joined.block = foreign.block.clone();
    assert_eq!(refused(&joined, &trusted_ours), "WRONG_CHAIN");

    // A block after the proving header says nothing of it.
    assert_eq!(refused(&one(&ours), &trusted(&ours, 8)), "BEFORE_TRUST");
    // The trusted block is another one at the same height.
    let mut forked = trusted(&ours, 7);
    forked.header_hash = Some(ves::Digest([1; 32]));
    assert_eq!(refused(&one(&ours), &forked), "OTHER_HEADER");
    // The trusted block was signed by others.
    let foreign_key = tendermint::PublicKey::from_raw_ed25519(&[3; 32]).expect("a key");
    let info = tendermint::validator::Info::new(foreign_key, tendermint::vote::Power::from(1u8));
    let mut others = trusted_ours.clone();
    others.next_validators = stateset_light::Validators::without_proposer(vec![info]);
    assert_eq!(refused(&one(&ours), &others), "TRUSTED_TOO_FEW");
    others.height = 6;
    assert_eq!(refused(&one(&ours), &others), "OTHER_VALIDATORS");
}

#[test]
fn an_old_trusted_block_is_refused_at_the_end_of_its_time() {
    let chain = chain("notes-1");
    let (certificate, trusted) = (one(&chain), trusted(&chain, 5));
    let terms = Terms { trusting_period: Duration::from_secs(3_600), ..Terms::default() };
    let at = |now_ms| {
        certificate.verify(&tx_id(1), &Trust::Block(&trusted, terms), now_ms).map_err(|error| error.name())
    };
    let time_ms = u64::try_from(trusted.time.unix_timestamp_nanos() / 1_000_000).expect("after 1970");
    assert!(at(time_ms + 3_600_000 - 1).is_ok());
    assert_eq!(at(time_ms + 3_600_000), Err("TRUST_EXPIRED"));
    assert_eq!(at(u64::MAX), Err("TRUST_EXPIRED"));
    assert_eq!(at(time_ms - 60_000), Err("FROM_THE_FUTURE"));
}

#[test]
fn headers_and_commits_that_were_changed_are_refused() {
    let chain = chain("notes-1");
    let trusted = trusted(&chain, 5);
    let good = one(&chain);
    let changed = |change: &dyn Fn(&mut Certificate)| {
        let mut other = good.clone();
        change(&mut other);
        refused(&other, &trusted)
    };
    assert_eq!(
        changed(&|c| c.block.signed_header.header.app_hash = vec![7; 32].try_into().expect("a hash")),
        "HEADER_ALTERED"
    );
    let absent = changed(&|c| c.block.signed_header.commit.signatures = vec![CommitSig::BlockIdFlagAbsent]);
    assert_eq!(absent, "TOO_FEW_SIGNATURES");
    let none = changed(&|c| c.block.signed_header.commit.signatures = Vec::new());
    assert_eq!(none, "TOO_FEW_SIGNATURES");
    let unsigned = changed(&|c| match &mut c.block.signed_header.commit.signatures[0] {
        CommitSig::BlockIdFlagCommit { signature, .. } => *signature = None,
        other => panic!("{other:?}"),
    });
    assert_eq!(unsigned, "MALFORMED_COMMIT");
    let other_signature = changed(&|c| match &mut c.block.signed_header.commit.signatures[0] {
        CommitSig::BlockIdFlagCommit { signature, .. } => {
            *signature = tendermint::Signature::new(vec![1; 64]).expect("64 bytes");
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(other_signature, "BAD_SIGNATURE");
    let other_commit = changed(&|c| {
        c.block.signed_header.commit = block(&chain, 8).signed_header.commit;
    });
    assert_eq!(other_commit, "HEADER_ALTERED");
    let other_set = changed(&|c| c.block.validators.validators[0].power = tendermint::vote::Power::from(9u8));
    assert_eq!(other_set, "VALIDATORS_NOT_OF_HEADER");
}

#[test]
fn the_spec_of_the_proofs_is_that_of_the_store() {
    assert_eq!(tree_spec(), stateset_ledger_store::tree_spec());
}
