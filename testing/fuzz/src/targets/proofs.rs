//! Trees, proofs and checkpoints (section 13).

use std::cell::OnceCell;

use stateset_fixtures::{Seed, sequencer_key, stream};
use ves::checkpoint::{Checkpoint, SignedCheckpoint};
use ves::ed25519::PublicKey;
use ves::hash::Digest;
use ves::ids::SequencerId;
use ves::log::{
    LogTree, consistency_proof, inclusion_proof, root_at, verify_consistency, verify_log_inclusion,
};
use ves::merkle::{self, verify_inclusion};
use ves::tiles::{TileMap, batch_inclusion, batch_tiles};

use crate::Input;

/// Enough for three levels of tiles at the log's edge and two in a batch.
const LEAVES_MAX: usize = 1100;

fn leaf(i: usize) -> Digest {
    Digest(Seed::new("leaf", i as u64).bytes())
}

fn change(digest: &mut Digest, at: usize, mask: u8) {
    digest.0[at % 32] ^= mask;
}

pub fn inclusion(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let count = 1 + input.below(LEAVES_MAX);
    let index = input.below(count);
    let leaves: Vec<Digest> = (0..count).map(leaf).collect();
    let (root, tiles) = batch_tiles(&leaves);
    assert_eq!(root, merkle::root(&leaves), "tiles and leaves have one root");
    let source: TileMap = tiles.into_iter().collect();
    let leaf_count = count as u64;
    let mut proof = batch_inclusion(leaf_count, index as u64, &source).expect("the tiles are complete");
    let (mut leaf, mut claimed) = (leaves[index], root);
    assert_eq!(verify_inclusion(&leaf, &root, Some(leaf_count), &proof), Ok(()));
    assert_eq!(verify_inclusion(&leaf, &root, None, &proof), Ok(()));

    let (what, at, mask) = (input.below(5), input.below(4096), input.byte());
    match what {
        0 => change(&mut leaf, at, mask),
        1 => change(&mut claimed, at, mask),
        2 => proof.leaf_index ^= u64::from(mask),
        3 if !proof.path.is_empty() => {
            let place = at % proof.path.len();
            change(&mut proof.path[place], at >> 4, mask);
        }
        4 if mask & 1 == 1 => proof.path.push(leaf),
        4 => drop(proof.path.pop()),
        _ => {}
    }
    let unchanged = (leaf, claimed) == (leaves[index], root)
        && proof == batch_inclusion(leaf_count, index as u64, &source).expect("as before");
    let verdict = verify_inclusion(&leaf, &claimed, Some(leaf_count), &proof);
    assert_eq!(verdict.is_ok(), unchanged, "changed part {what} by {mask}: {verdict:?}");
    unchanged
}

thread_local! {
    /// The longest log with its tiles: every smaller size is a view of it.
    static LOG: OnceCell<(LogTree, TileMap)> = const { OnceCell::new() };
}

fn with_log<T>(use_it: impl FnOnce(&LogTree, &TileMap) -> T) -> T {
    LOG.with(|log| {
        let (tree, tiles) = log.get_or_init(|| {
            let (mut tree, mut tiles) = (LogTree::new(), TileMap::default());
            (0..LEAVES_MAX).for_each(|i| tiles.extend(tree.push(&leaf(i))));
            (tree, tiles)
        });
        use_it(tree, tiles)
    })
}

pub fn consistency(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let to = 1 + input.below(LEAVES_MAX);
    let from = input.below(to + 1);
    let index = input.below(to);
    with_log(|tree, tiles| {
        let root = |size: usize| root_at(tree, size as u64, tiles).expect("within the log");
        let (mut from_root, mut to_root) = (root(from), root(to));
        let (from, to, index) = (from as u64, to as u64, index as u64);
        let mut steps = consistency_proof(tree, from, to, tiles).expect("within the log");
        let mut path = inclusion_proof(tree, index, to, tiles).expect("within the log");
        let entry = leaf(index as usize);
        assert_eq!(verify_consistency(from, to, &from_root, &to_root, &steps), Ok(()), "{from} to {to}");
        assert_eq!(verify_log_inclusion(&entry, index, to, &to_root, &path), Ok(()), "{index} of {to}");
        // Sizes are not part of a root: all that is asked of other sizes is an answer.
        let _ = verify_consistency(input.u64(), input.u64(), &from_root, &to_root, &steps);
        let _ = verify_log_inclusion(&entry, input.u64(), input.u64(), &to_root, &path);

        let (what, at, mask) = (input.below(4), input.below(4096), input.byte() | 1);
        match what {
            0 => change(&mut from_root, at, mask),
            1 => change(&mut to_root, at, mask),
            2 if !steps.is_empty() => {
                let place = at % steps.len();
                change(&mut steps[place], at >> 4, mask);
            }
            _ => steps.push(entry),
        }
        // Nothing is claimed about what lies behind an empty log.
        let free = from == 0 && what == 1;
        let verdict = verify_consistency(from, to, &from_root, &to_root, &steps);
        assert_eq!(verdict.is_ok(), free, "{from} to {to}, changed part {what}: {verdict:?}");
        if path.is_empty() {
            path.push(entry);
        } else {
            let place = at % path.len();
            change(&mut path[place], at >> 4, mask);
        }
        assert!(
            verify_log_inclusion(&entry, index, to, &root_at(tree, to, tiles).expect("as before"), &path)
                .is_err()
        );
    });
    true
}

fn sequencer() -> SequencerId {
    SequencerId::random([9; 16])
}

fn genuine(size: u64) -> (Checkpoint, String) {
    let checkpoint = Checkpoint::for_stream(&stream(1), size, leaf(size as usize));
    let text = checkpoint.sign(&sequencer(), &sequencer_key(1)).expect("the key is in memory");
    (checkpoint, text)
}

pub fn checkpoint(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let Ok(signed) = SignedCheckpoint::parse(text) else { return false };
    let body = signed.checkpoint().body();
    assert!(text.starts_with(&format!("{body}\n")), "printed as {body:?}");
    assert!(!signed.signatures().is_empty());
    let key = PublicKey::from_bytes(&sequencer_key(1).public_key()).expect("a generated key");
    if let Ok(verified) = signed.verify(&sequencer(), &key) {
        let known = [3, 1_000_000].map(genuine).map(|(checkpoint, _)| checkpoint);
        assert!(known.contains(verified), "verified, but never signed: {verified:?}");
    }
    true
}

pub fn checkpoint_seeds() -> Vec<Vec<u8>> {
    let (small, large) = (genuine(3).1, genuine(1_000_000).1);
    // A witness adds a line below the sequencer's.
    let witnessed = format!("{small}{}\n", large.lines().last().unwrap_or_default());
    vec![small.into_bytes(), large.into_bytes(), witnessed.into_bytes()]
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (a, b) in
        [(0_u16, 0_u16), (1, 1), (6, 3), (31, 31), (32, 1), (33, 32), (99, 64), (1023, 1000), (1024, 1)]
    {
        seeds.push([&a.to_be_bytes()[..], &b.to_be_bytes(), &[0, 3, 0, 2, 0, 1, 1]].concat());
    }
    seeds
}
