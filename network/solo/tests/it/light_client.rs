//! Nothing of ours judges here: light blocks go through `tendermint-light-client-verifier`, proofs through `ics23` with its
//! own host functions. The table of refusals is that of solo-blocks.md 5.

use std::time::Duration;

use ics23::HostFunctionsManager;
use prost::Message;
use stateset_ledger_store::{StateProof, tree_spec};
use stateset_ledger_types::Substore;
use stateset_solo::block::{UnixNanos, Validators, block_id, header_hash, vote_bytes};
use stateset_solo::records;
use tendermint::block::signed_header::SignedHeader;
use tendermint::validator::{Info, Set};
use tendermint::{PublicKey, Time, vote};
use tendermint_light_client_verifier::options::Options;
use tendermint_light_client_verifier::types::{TrustThreshold, TrustedBlockState, UntrustedBlockState};
use tendermint_light_client_verifier::{ProdVerifier, Verdict, Verifier};
use tendermint_proto::v0_38::types::{Commit, Header, SignedHeader as RawSignedHeader};
use ves::Signer;

use crate::support::{Chain, key};

const DAY: Duration = Duration::from_secs(86_400);

/// A light block as it travels: raw header and commit, and the set.
#[derive(Clone)]
struct Light {
    header: Header,
    commit: Commit,
    validators: Set,
    next_validators: Set,
}

fn set(validators: &Validators) -> Set {
    let info = |v: &stateset_solo::block::Validator| {
        let key = PublicKey::from_raw_ed25519(&v.public_key).expect("a key");
        Info::new(key, vote::Power::try_from(v.power).expect("small"))
    };
    Set::new(validators.as_slice().iter().map(info).collect(), None)
}

/// Everything from what is stored, as an RPC would serve it.
fn light(chain: &Chain, height: u64) -> Light {
    let view = chain.store.view().expect("the state");
    let block = records::block_at(&view, height).expect("readable").expect("stored");
    let commit = records::commit_at(&view, height).expect("readable").expect("stored");
    let at = |height| set(&records::validators_at(&view, height).expect("readable").expect("known"));
    Light {
        header: block.header.expect("a header"),
        commit,
        validators: at(height),
        next_validators: at(height + 1),
    }
}

fn now() -> Time {
    Time::from_unix_timestamp(1_767_225_600 + 3_600, 0).expect("a time")
}

fn verify_at(trusted: &Light, untrusted: &Light, now: Time) -> String {
    let raw =
        RawSignedHeader { header: Some(untrusted.header.clone()), commit: Some(untrusted.commit.clone()) };
    let Ok(signed_header) = SignedHeader::try_from(raw) else { return "refused at decoding".into() };
    let trusted_header =
        tendermint::block::Header::try_from(trusted.header.clone()).expect("a trusted header");
    let options = Options {
        trust_threshold: TrustThreshold::ONE_THIRD,
        trusting_period: 14 * DAY,
        clock_drift: Duration::from_secs(5),
    };
    let verdict = ProdVerifier::default().verify_update_header(
        UntrustedBlockState {
            signed_header: &signed_header,
            validators: &untrusted.validators,
            next_validators: Some(&untrusted.next_validators),
        },
        TrustedBlockState {
            chain_id: &trusted_header.chain_id,
            header_time: trusted_header.time,
            height: trusted_header.height,
            next_validators: &trusted.next_validators,
            next_validators_hash: trusted_header.next_validators_hash,
        },
        &options,
        now,
    );
    match verdict {
        Verdict::Success => "accepted".into(),
        Verdict::NotEnoughTrust(_) => "NotEnoughTrust".into(),
        Verdict::Invalid(detail) => {
            format!("{detail:?}").split(['(', ' ', '{']).next().unwrap_or_default().into()
        }
    }
}

fn verify(trusted: &Light, untrusted: &Light) -> String {
    verify_at(trusted, untrusted, now())
}

/// Twelve blocks: transactions, idle ones, an idle hour never mattering.
fn chain() -> Chain {
    let mut chain = Chain::new("notes-1");
    for n in 0..12 {
        let (one, two) = (format!("k{n}=v{n}"), format!("other{n}=w"));
        match n % 3 {
            0 => chain.block(&[&one, &two]),
            1 => chain.block(&[&one]),
            _ => chain.block(&[]),
        };
    }
    chain
}

#[test]
fn every_pair_of_blocks_is_accepted_adjacent_and_skipping() {
    let chain = chain();
    let heights: Vec<u64> = chain.blocks.iter().map(|block| block.height).collect();
    let mut pairs = 0;
    for (i, &trusted) in heights.iter().enumerate() {
        for &untrusted in &heights[i + 1..] {
            assert_eq!(
                verify(&light(&chain, trusted), &light(&chain, untrusted)),
                "accepted",
                "{trusted} to {untrusted}"
            );
            pairs += 1;
        }
    }
    assert_eq!(pairs, 66);
    // Times rise strictly, and the library reads the whole block and finds the same hash.
    for pair in chain.blocks.windows(2) {
        let time = |i: usize| {
            UnixNanos::from_timestamp(&pair[i].block.header.as_ref().expect("one").time.expect("one"))
        };
        assert!(time(0) < time(1));
    }
    for committed in &chain.blocks {
        let header = tendermint::block::Header::try_from(committed.block.header.clone().expect("one"))
            .expect("a header");
        assert_eq!(header.hash().as_bytes(), committed.id.hash.as_slice());
    }
}

/// Signs a changed block as the validator would, which a thief of the key could do.
fn resigned(light: &Light, seed: u8, chain_id: &str) -> Light {
    let mut light = light.clone();
    let id = light.commit.block_id.as_mut().expect("an id");
    id.hash = header_hash(&light.header).to_vec();
    let time =
        UnixNanos::from_timestamp(&light.commit.signatures[0].timestamp.expect("a time")).expect("valid");
    let bytes = vote_bytes(chain_id, light.header.height as u64, id, time);
    light.commit.height = light.header.height;
    light.commit.signatures[0].signature = Signer::sign(&key(seed), &bytes).expect("in memory").to_vec();
    light
}

#[test]
fn altered_headers_and_votes_are_refused() {
    let chain = chain();
    let (trusted, good) = (light(&chain, 8), light(&chain, 12));
    let altered = |change: &dyn Fn(&mut Light)| {
        let mut other = good.clone();
        change(&mut other);
        verify(&trusted, &other)
    };
    assert_eq!(altered(&|_| {}), "accepted");
    let header_changes: [fn(&mut Header); 10] = [
        |h| h.app_hash[0] ^= 1,
        |h| h.data_hash[0] ^= 1,
        |h| h.last_commit_hash[0] ^= 1,
        |h| h.consensus_hash[0] ^= 1,
        |h| h.last_results_hash[0] ^= 1,
        |h| h.evidence_hash[0] ^= 1,
        |h| h.proposer_address[0] ^= 1,
        |h| h.version.as_mut().expect("one").app += 1,
        |h| h.time.as_mut().expect("one").nanos ^= 1,
        |h| h.last_block_id.as_mut().expect("one").hash[0] ^= 1,
    ];
    for (n, change) in header_changes.iter().enumerate() {
        assert_eq!(altered(&|light| change(&mut light.header)), "InvalidCommitValue", "change {n}");
        // With the id computed anew, the old signature does not fit.
        let recomputed = altered(&|light| {
            change(&mut light.header);
            light.commit.block_id.as_mut().expect("an id").hash = header_hash(&light.header).to_vec();
        });
        assert_eq!(recomputed, "InvalidSignature", "change {n}");
    }
    let both = altered(&|light| (light.header.height, light.commit.height) = (11, 11));
    assert_eq!(both, "InvalidCommitValue");
    assert_eq!(altered(&|light| light.commit.height = 11), "refused at decoding");
    assert_eq!(altered(&|light| light.commit.signatures[0].signature.clear()), "refused at decoding");
    assert_eq!(altered(&|light| light.commit.round = 1), "InvalidSignature");
    assert_eq!(
        altered(&|light| light.commit.signatures[0].timestamp.as_mut().expect("one").nanos ^= 1),
        "InvalidSignature"
    );
    let parts = altered(&|light| {
        light.commit.block_id.as_mut().expect("one").part_set_header.as_mut().expect("one").hash[0] ^= 1;
    });
    assert_eq!(parts, "InvalidSignature");
    assert_eq!(altered(&|light| light.commit.signatures[0].signature[5] ^= 1), "InvalidSignature");
    assert_eq!(verify(&trusted, &resigned(&good, 9, "notes-1")), "InvalidSignature", "another key");
    assert_eq!(
        verify(&trusted, &resigned(&good, 1, "notes-2")),
        "InvalidSignature",
        "a vote of another chain"
    );
}

#[test]
fn other_chains_sets_heights_and_times_are_refused() {
    let chain = chain();
    let (trusted, good) = (light(&chain, 8), light(&chain, 12));
    for height in [7, 8] {
        let mut again = good.clone();
        again.header.height = height;
        assert_eq!(verify(&trusted, &resigned(&again, 1, "notes-1")), "NonIncreasingHeight");
    }
    let mut other = Chain::new("notes-2");
    for _ in 0..12 {
        other.block(&["a=b"]);
    }
    assert_eq!(verify(&trusted, &light(&other, 12)), "ChainIdMismatch");

    // Another set, properly signed by itself.
    let foreign =
        Validators::new(vec![stateset_solo::block::Validator { public_key: key(9).public_key(), power: 1 }]);
    let mut taken = good.clone();
    (taken.validators, taken.next_validators) = (set(&foreign), set(&foreign));
    (taken.header.validators_hash, taken.header.next_validators_hash) =
        (foreign.hash().to_vec(), foreign.hash().to_vec());
    taken.commit.signatures[0].validator_address = foreign.as_slice()[0].address().to_vec();
    assert_eq!(verify(&trusted, &resigned(&taken, 9, "notes-1")), "NotEnoughTrust");
    let mut adjacent = taken.clone();
    adjacent.header.height = 9;
    assert_eq!(verify(&trusted, &resigned(&adjacent, 9, "notes-1")), "InvalidNextValidatorSet");
    let mut shown = good.clone();
    shown.validators = set(&foreign);
    assert_eq!(verify(&trusted, &shown), "InvalidValidatorSet");

    let mut early = good.clone();
    early.header.time = trusted.header.time;
    assert_eq!(verify(&trusted, &resigned(&early, 1, "notes-1")), "NonMonotonicBftTime");
    let trusted_time = Time::try_from(trusted.header.time.expect("one")).expect("valid");
    let good_time = Time::try_from(good.header.time.expect("one")).expect("valid");
    let nanosecond = Duration::from_nanos(1);
    let end = (trusted_time + 14 * DAY).expect("in range");
    assert_eq!(verify_at(&trusted, &good, end), "NotWithinTrustPeriod");
    assert_eq!(verify_at(&trusted, &good, (end - nanosecond).expect("in range")), "accepted");
    let before = (good_time - Duration::from_secs(5)).expect("in range");
    assert_eq!(verify_at(&trusted, &good, before), "HeaderFromTheFuture");
    assert_eq!(verify_at(&trusted, &good, (before + nanosecond).expect("in range")), "accepted");
}

/// The key changes by an update of the application: the header that announces it is the bridge (solo-blocks.md 4, 6).
#[test]
fn a_new_key_is_followed_over_the_header_that_announces_it() {
    let mut chain = Chain::new("notes-1");
    chain.block(&["a=b"]);
    let change = chain.block(&["!validator"]).height;
    for _ in 0..4 {
        chain.block(&["c=d"]);
    }
    let (before, announcing, after) =
        (light(&chain, change), light(&chain, change + 1), light(&chain, change + 3));
    assert_ne!(announcing.header.validators_hash, announcing.header.next_validators_hash);
    assert_eq!(verify(&before, &after), "NotEnoughTrust");
    assert_eq!(verify(&before, &announcing), "accepted");
    assert_eq!(verify(&announcing, &light(&chain, change + 2)), "accepted");
    assert_eq!(verify(&announcing, &after), "accepted");
}

/// Whether the two proofs lead from the key to the header's app hash.
fn proves(proof: &StateProof, header: &Header, substore: &str, key: &[u8], value: Option<&[u8]>) -> bool {
    let [key_proof, substore_proof] =
        proof.encoded().map(|b| ics23::CommitmentProof::decode(b.as_slice()).expect("bytes"));
    let Some(ics23::commitment_proof::Proof::Exist(exist)) = &substore_proof.proof else { return false };
    let (root, spec) = (&exist.value, tree_spec());
    let below = match value {
        Some(value) => ics23::verify_membership::<HostFunctionsManager>(&key_proof, &spec, root, key, value),
        None => ics23::verify_non_membership::<HostFunctionsManager>(&key_proof, &spec, root, key),
    };
    let name = substore.as_bytes();
    below
        && ics23::verify_membership::<HostFunctionsManager>(
            &substore_proof,
            &spec,
            &header.app_hash,
            name,
            root,
        )
}

#[test]
fn state_of_a_height_is_proven_by_the_next_header_alone() {
    let mut chain = Chain::new("notes-1");
    chain.block(&["a=first"]);
    let height = chain.block(&["b=one", "c=two"]).height;
    chain.block(&["b=three"]);
    chain.block(&[]);
    let view = chain.store.view_at(height).expect("kept");
    let header = |height| light(&chain, height).header;
    let next = header(height + 1);

    let present = view.prove(Substore::Notary, b"tx/b").expect("a proof");
    assert_eq!(present.value.as_deref(), Some(&b"one"[..]));
    assert!(proves(&present, &next, "notary", b"tx/b", Some(b"one")));
    assert!(
        !proves(&present, &header(height), "notary", b"tx/b", Some(b"one")),
        "the header of the height itself"
    );
    assert!(!proves(&present, &header(height + 2), "notary", b"tx/b", Some(b"one")), "a later header");
    assert!(!proves(&present, &next, "notary", b"tx/b", Some(b"two")), "a tampered value");
    assert!(!proves(&present, &next, "notary", b"tx/c", Some(b"one")), "another key");
    assert!(!proves(&present, &next, "bank", b"tx/b", Some(b"one")), "another substore");
    assert!(!proves(&present, &next, "", b"tx/b", Some(b"one")), "no substore");
    assert!(!proves(&present, &next, "notary", b"tx/b", None), "presence as absence");

    let absent = view.prove(Substore::Notary, b"tx/nothing").expect("a proof");
    assert!(proves(&absent, &next, "notary", b"tx/nothing", None));
    assert!(!proves(&absent, &header(height), "notary", b"tx/nothing", None));
    assert!(!proves(&absent, &next, "notary", b"tx/b", None), "absence of a key that is there");
    assert!(!proves(&absent, &next, "notary", b"tx/nothing", Some(b"one")), "absence as presence");

    // The same in another chain's header.
    let mut other = Chain::new("notes-2");
    other.block(&["a=first"]);
    other.block(&["b=other"]);
    other.block(&[]);
    assert!(!proves(&present, &light(&other, height + 1).header, "notary", b"tx/b", Some(b"one")));
}

/// What the light client cannot see: fields it accepts wrong when signed are right here.
#[test]
fn fields_that_light_clients_do_not_check_are_right() {
    let chain = chain();
    for pair in chain.blocks.windows(2) {
        let (block, next) = (&pair[0], pair[1].block.header.as_ref().expect("one"));
        assert_eq!(next.last_block_id.as_ref(), Some(&block.id));
        assert_eq!(block_id(&block.block), block.id);
        assert_eq!(next.last_commit_hash, stateset_solo::block::commit_hash(&block.commit).to_vec());
        assert_eq!(
            next.last_results_hash,
            stateset_solo::block::results_hash(&block.results.0.tx_results).to_vec()
        );
        assert_eq!(next.app_hash, block.results.0.app_hash.to_vec());
        assert_eq!(pair[1].block.last_commit.as_ref(), Some(&*block.commit));
        // The independent library computes the same hash of results.
        let changed = !block.block.data.as_ref().expect("one").txs.is_empty();
        assert_eq!(
            block.proof_block_due, changed,
            "only a block that changes the state is owed a proof block"
        );
    }
}
