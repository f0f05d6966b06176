//! A proof file convinces only when every part of it is true.

use stateset_client::{EventProof, ProofParts, ProofVerdict, Trusted};
use ves::tiles::{TileMap, batch_inclusion, batch_tiles};
use ves::{Digest, SequenceNumber};
use ves_wire::proofs::InclusionProofBody;

use crate::world::World;

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
        sequencer_key: &world.sequencer_key,
    });
    proof.to_json()
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
    };
    for n in 1..=5 {
        let text = proof_text(&world, n);
        for trusted in [&trusted, &Trusted::default()] {
            let verdict = verdict(&text, trusted);
            assert!(verdict.valid, "{verdict:?}");
            assert_eq!(verdict.findings.len(), 6);
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
            if let Ok(verdict) = proof.verify(&Trusted::default()) {
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
        Trusted { agent_key: Some(*world.sequencer_key.as_bytes()), ..Trusted::default() },
        Trusted { state_root: Some(other.commitments[0].new_state_root), ..Trusted::default() },
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
