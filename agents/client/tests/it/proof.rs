//! A proof file convinces only when every part of it is true.

use serde_json::{Value, json};
use stateset_client::{EventProof, FindingState, ProofParts, ProofVerdict, Trusted};
use ves::commitment::Commitment;
use ves::log::{LogTree, inclusion_proof};
use ves::tiles::{TileMap, batch_inclusion, batch_tiles};
use ves::{BatchId, Digest, SequenceNumber, TimestampMs};
use ves_wire::commitments::CommitmentBody;
use ves_wire::proofs::{InclusionProofBody, LogInclusionBody};

use crate::world::{STREAM, World};

/// The proof of number `n` of the first batch.
fn proof_text(world: &World, n: usize) -> String {
    let commitment = &world.commitments[0];
    let leaves: Vec<Digest> = (1..=commitment.leaf_count as usize).map(|n| world.leaf(n)).collect();
    let mut tiles = TileMap::default();
    batch_tiles(&leaves).1.into_iter().for_each(|tile| tiles.insert(tile));
    let path = batch_inclusion(leaves.len() as u64, n as u64 - 1, &tiles).unwrap();
    let proof = EventProof::new(ProofParts {
        event: &world.events[n - 1],
        agent_key: Some(&world.agent_key),
        receipt: &world.receipts[n - 1],
        inclusion: InclusionProofBody {
            sequence_number: SequenceNumber(n as u64),
            batch_id: commitment.batch_id,
            merkle_root: commitment.merkle_root,
            leaf_hash: world.leaf(n),
            leaf_index: path.leaf_index,
            directions: path.directions(),
            proof_path: path.path,
        },
        commitment,
        checkpoint: Some(world.checkpoints[&commitment.sequence_end.get()].clone()),
        log_inclusion: Some(log_path(world, n)),
        sequencer_key: &world.sequencer_key,
    });
    proof.to_json()
}

/// The path of number `n` to the root of the log that ends with the first batch.
fn log_path(world: &World, n: usize) -> LogInclusionBody {
    let (mut log, mut tiles) = (LogTree::new(), TileMap::default());
    for n in 1..=world.commitments[0].sequence_end.get() as usize {
        log.push(&world.leaf(n)).into_iter().for_each(|tile| tiles.insert(tile));
    }
    LogInclusionBody {
        sequence_number: SequenceNumber(n as u64),
        size: log.size(),
        root: log.root(),
        leaf_hash: world.leaf(n),
        hashes: inclusion_proof(&log, n as u64 - 1, log.size(), &tiles).unwrap(),
    }
}

/// The proof as a forger changes it.
fn forged(text: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut file: Value = serde_json::from_str(text).unwrap();
    change(&mut file);
    file.to_string()
}

/// The sequencer's key is known, nothing else.
fn pinned(world: &World) -> Trusted {
    Trusted { sequencer_key: Some(*world.sequencer_key.as_bytes()), ..Trusted::default() }
}

const FILE_KEYS: Trusted =
    Trusted { sequencer_key: None, agent_key: None, state_root: None, file_keys: true };

fn state(verdict: &ProofVerdict, check: &str) -> FindingState {
    verdict.findings.iter().find(|finding| finding.check == check).expect(check).state
}

fn verdict(text: &str, trusted: &Trusted) -> ProofVerdict {
    EventProof::parse(text).unwrap().verify(trusted).unwrap()
}

#[test]
fn a_true_proof_holds_for_every_event() {
    let world = World::new(&[5], 0);
    let trusted = Trusted {
        sequencer_key: Some(*world.sequencer_key.as_bytes()),
        agent_key: Some(*world.agent_key.as_bytes()),
        state_root: Some(world.commitments[0].new_state_root),
        file_keys: false,
    };
    for n in 1..=5 {
        let text = proof_text(&world, n);
        for trusted in [&trusted, &pinned(&world), &FILE_KEYS] {
            let verdict = verdict(&text, trusted);
            assert!(verdict.valid, "{verdict:?}");
            assert_eq!(verdict.findings.len(), 6);
            assert!(verdict.event_in_signed_log);
            assert_eq!(verdict.batch_anchored, trusted.state_root.is_some());
            assert_eq!(verdict.sequencer_key_trusted, !trusted.file_keys);
            assert_eq!(verdict.agent_key_trusted, trusted.agent_key.is_some());
        }
    }
}

#[test]
fn no_digit_of_a_proof_can_be_changed() {
    let world = World::new(&[5], 0);
    let text = proof_text(&world, 3);
    // Times are the sequencer's observation and no one's signature covers them (sections 12 and 14.2).
    let unsigned = ["sequencedAt", "committed_at"];
    let (mut changed, mut at) = (0, 0);
    for line in text.lines() {
        let start = at;
        at += line.len() + 1;
        if unsigned.iter().any(|member| line.contains(member)) {
            continue;
        }
        let value = line.find(": ").map_or(0, |colon| colon + 2);
        for (offset, digit) in line.char_indices().skip(value).filter(|(_, c)| c.is_ascii_digit()).step_by(7)
        {
            let mut tampered = text.clone();
            let other = if digit == '1' { "2" } else { "1" };
            tampered.replace_range(start + offset..start + offset + 1, other);
            let Ok(proof) = EventProof::parse(&tampered) else { continue };
            if let Ok(verdict) = proof.verify(&FILE_KEYS) {
                assert!(!verdict.valid, "undetected in line {line:?} at {offset}");
            }
            changed += 1;
        }
    }
    assert!(changed > 100, "{changed} places were tried");
}

#[test]
fn what_the_verifier_knows_wins_over_the_file() {
    let world = World::new(&[4], 0);
    let text = proof_text(&world, 2);
    let other = World::new(&[3], 0);
    for trusted in [
        Trusted { sequencer_key: Some(*world.agent_key.as_bytes()), ..Trusted::default() },
        Trusted { agent_key: Some(*world.sequencer_key.as_bytes()), ..pinned(&world) },
        Trusted { state_root: Some(other.commitments[0].new_state_root), ..pinned(&world) },
    ] {
        assert!(!verdict(&text, &trusted).valid);
    }
}

#[test]
fn a_text_that_is_no_proof_is_refused() {
    let world = World::new(&[2], 0);
    let text = proof_text(&world, 1);
    assert!(EventProof::parse("").is_err());
    assert!(EventProof::parse("{}").is_err());
    assert!(EventProof::parse(&text.replace("event-proof-1", "event-proof-2")).is_err());
    assert!(EventProof::parse(&text.replacen('{', "{\"more\":1,", 1)).is_err());
}

#[test]
fn without_a_trusted_key_nothing_the_file_says_of_its_sequencer_counts() {
    let world = World::new(&[3], 0);
    let verdict = verdict(&proof_text(&world, 2), &Trusted::default());
    assert!(!verdict.valid && !verdict.sequencer_key_trusted && !verdict.agent_key_trusted);
    assert_eq!(state(&verdict, "receipt"), FindingState::Fails);
    assert_eq!(state(&verdict, "checkpoint"), FindingState::Fails);
}

/// A commitment over this event alone, true to itself: `proof verify` used to say VALID without a word.
#[test]
fn a_made_up_commitment_is_never_called_anchored() {
    let world = World::new(&[5], 0);
    let true_root = world.commitments[0].new_state_root;
    let make = |history: Digest| {
        let id = BatchId::from_bytes([9; 16]);
        Commitment::new(id, STREAM, history, SequenceNumber(5), world.leaf(5), 1, TimestampMs(0))
    };
    let made_up = make(Digest([7; 32]));
    made_up.check().unwrap();
    let text = forged(&proof_text(&world, 5), |file| {
        file["commitment"] = serde_json::to_value(CommitmentBody::from(&made_up)).unwrap();
        file["inclusion"]["batch_id"] = json!(made_up.batch_id);
        file["inclusion"]["merkle_root"] = json!(made_up.merkle_root);
        file["inclusion"]["leaf_index"] = json!(0);
        file["inclusion"]["proof_path"] = json!([]);
        file["inclusion"]["directions"] = json!([]);
    });
    let alone = verdict(&text, &pinned(&world));
    assert_eq!(state(&alone, "commitment"), FindingState::NotAnchored);
    assert!(!alone.batch_anchored && alone.event_in_signed_log);
    assert_eq!(serde_json::to_value(&alone).unwrap()["findings"][4]["state"], "consistent, not anchored");
    let anchored = verdict(&text, &Trusted { state_root: Some(true_root), ..pinned(&world) });
    assert!(!anchored.valid && !anchored.batch_anchored);
}

#[test]
fn a_path_that_does_not_lead_to_the_signed_root_is_invalid() {
    let world = World::new(&[5], 0);
    let text = proof_text(&world, 3);
    let other = serde_json::to_value(log_path(&world, 4)).unwrap();
    let changes: [&dyn Fn(&mut Value); 8] = [
        &|file| file["log_inclusion"] = other.clone(),
        &|file| file["log_inclusion"]["hashes"] = other["hashes"].clone(),
        &|file| file["log_inclusion"]["hashes"] = json!([]),
        &|file| file["log_inclusion"]["hashes"][0] = json!(Digest([1; 32])),
        &|file| file["log_inclusion"]["root"] = json!(Digest([1; 32])),
        &|file| file["log_inclusion"]["leaf_hash"] = json!(Digest([1; 32])),
        &|file| file["log_inclusion"]["size"] = json!(4),
        &|file| file["checkpoint"] = Value::Null,
    ];
    for (place, change) in changes.iter().enumerate() {
        let verdict = verdict(&forged(&text, |file| change(file)), &pinned(&world));
        assert!(!verdict.valid && !verdict.event_in_signed_log, "change {place}");
        assert_eq!(state(&verdict, "checkpoint"), FindingState::Fails, "change {place}");
    }
}

/// Files from before `log_inclusion`, with a checkpoint and without.
#[test]
fn an_older_file_stands_on_its_receipt_and_says_so() {
    let world = World::new(&[5], 0);
    let text = forged(&proof_text(&world, 3), |file| {
        file.as_object_mut().unwrap().remove("log_inclusion");
    });
    let older = verdict(&text, &pinned(&world));
    assert!(older.valid && !older.event_in_signed_log && !older.batch_anchored);
    assert_eq!(state(&older, "checkpoint"), FindingState::NotAnchored);
    let text = forged(&text, |file| file["checkpoint"] = Value::Null);
    let oldest = verdict(&text, &pinned(&world));
    assert!(oldest.valid && !oldest.event_in_signed_log && !oldest.batch_anchored);
    assert_eq!(oldest.findings.len(), 5);
    assert!(!verdict(&text, &Trusted::default()).valid, "the receipt needs a trusted key");
    let stranger = Trusted { sequencer_key: Some(*world.agent_key.as_bytes()), ..Trusted::default() };
    assert!(!verdict(&text, &stranger).valid);
}
