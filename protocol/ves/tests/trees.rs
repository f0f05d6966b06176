//! Both trees against the definitions they come from: section 13 and RFC 9162, written down naively.

use std::cell::RefCell;
use std::collections::BTreeSet;

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use ves::log::{
    self, LogTree, consistency_proof, empty_root, inclusion_proof, root_at, verify_consistency,
    verify_log_inclusion,
};
use ves::merkle::{self, InclusionProof, ProofError, verify_inclusion};
use ves::tiles::{NoTiles, TILE_NODES, TileError, TileMap, batch_inclusion, batch_tiles};
use ves::{Digest, TileId, TileSource};

fn sha(parts: &[&[u8]]) -> Digest {
    Digest(parts.iter().fold(Sha256::new(), |hash, part| hash.chain_update(part)).finalize().into())
}

fn leaves(n: usize) -> Vec<Digest> {
    (0..n as u64).map(|i| sha(&[b"leaf", &i.to_be_bytes()])).collect()
}

/// Counts distinct reads and refuses to answer the same tile twice within one proof.
struct Counting<'a> {
    tiles: &'a TileMap,
    read: RefCell<BTreeSet<TileId>>,
}

impl<'a> Counting<'a> {
    fn new(tiles: &'a TileMap) -> Self {
        Self { tiles, read: RefCell::default() }
    }
    fn reads(&self) -> usize {
        self.read.borrow().len()
    }
}

impl TileSource for Counting<'_> {
    type Error = std::convert::Infallible;
    fn tile(&self, id: TileId) -> Result<Option<Vec<Digest>>, Self::Error> {
        assert!(self.read.borrow_mut().insert(id), "{id:?} was read twice");
        self.tiles.tile(id)
    }
}

mod padded {
    use super::*;

    fn rows(leaves: &[Digest]) -> Vec<Vec<Digest>> {
        let mut row = leaves.to_vec();
        while !row.len().is_power_of_two() {
            row.push(sha(&[b"VES_PAD_LEAF_V1"]));
        }
        let mut rows = vec![row];
        while rows.last().unwrap().len() > 1 {
            let above =
                rows.last().unwrap().chunks(2).map(|p| sha(&[b"VES_NODE_V1", &p[0].0, &p[1].0])).collect();
            rows.push(above);
        }
        rows
    }

    fn check(n: usize, indexes: impl Iterator<Item = usize>) {
        let leaves = leaves(n);
        let rows = rows(&leaves);
        let expected = rows.last().unwrap()[0];
        let (root, tiles) = batch_tiles(&leaves);
        assert_eq!((root, merkle::root(&leaves)), (expected, expected), "{n} leaves");
        assert_eq!(merkle::depth(n as u64) as usize, rows.len() - 1);
        assert_eq!(merkle::padded_count(n as u64), rows[0].len() as u64);
        assert!(tiles.iter().all(|tile| tile.nodes.len() <= TILE_NODES));
        let tiles: TileMap = tiles.into_iter().collect();
        for index in indexes {
            let source = Counting::new(&tiles);
            let proof = batch_inclusion(n as u64, index as u64, &source).unwrap();
            let path: Vec<Digest> =
                (0..rows.len() - 1).map(|height| rows[height][(index >> height) ^ 1]).collect();
            assert_eq!(proof, InclusionProof { leaf_index: index as u64, path });
            assert_eq!(source.reads(), (rows.len() - 1).div_ceil(5));
            assert_eq!(verify_inclusion(&leaves[index], &root, Some(n as u64), &proof), Ok(()));
            assert_eq!(verify_inclusion(&leaves[index], &root, None, &proof), Ok(()));
        }
    }

    #[test]
    fn every_size_up_to_300_is_as_defined() {
        for n in 1..=300 {
            check(n, 0..n);
        }
    }

    #[test]
    fn three_levels_of_tiles_are_as_defined() {
        for n in [1023, 1024, 1025, 2049, 32768, 32769, 40000] {
            check(n, [0, 1, 31, 32, n / 2, n - 2, n - 1].into_iter());
        }
    }

    #[test]
    fn no_leaves_have_the_zero_root_and_no_proof() {
        assert_eq!(batch_tiles(&[]), (Digest::ZERO, vec![]));
        assert_eq!(merkle::root(&[]), Digest::ZERO);
        assert_eq!((merkle::padded_count(0), merkle::depth(0)), (0, 0));
        assert_eq!(batch_inclusion(0, 0, &NoTiles), Err(TileError::OutOfRange { asked: 0, size: 0 }));
        assert_eq!(merkle::padded_count(u64::MAX), 0);
        assert_eq!(merkle::depth(u64::MAX), 64);
    }

    #[test]
    fn a_missing_or_short_tile_is_reported() {
        let id = TileId { level: 0, index: 1 };
        let (_, tiles) = batch_tiles(&leaves(100));
        let without: TileMap = tiles.iter().filter(|tile| tile.id != id).cloned().collect();
        assert_eq!(batch_inclusion(100, 40, &without), Err(TileError::Missing(id)));
        let mut short: TileMap = tiles.iter().cloned().collect();
        let mut tile = tiles[1].clone();
        tile.nodes.pop();
        short.insert(tile);
        assert_eq!(batch_inclusion(100, 40, &short), Err(TileError::Malformed { id, found: 61 }));
    }

    proptest! {
        /// A proof holds for its own leaf, index, count and root, and for no other.
        #[test]
        fn a_proof_pins_leaf_index_and_depth(
            n in 2usize..200, pick in any::<prop::sample::Index>(), other in any::<prop::sample::Index>(), bit in 0usize..256
        ) {
            let leaves = leaves(n);
            let (root, tiles) = batch_tiles(&leaves);
            let tiles: TileMap = tiles.into_iter().collect();
            let (index, other, count) = (pick.index(n), other.index(n), Some(n as u64));
            let proof = batch_inclusion(n as u64, index as u64, &tiles).unwrap();
            let leaf = &leaves[index];
            if other != index {
                prop_assert!(verify_inclusion(&leaves[other], &root, count, &proof).is_err());
                let moved = InclusionProof { leaf_index: other as u64, ..proof.clone() };
                prop_assert!(verify_inclusion(leaf, &root, count, &moved).is_err());
            }
            for width in 0..8u32 {
                // The reference follows an index with bits above the path; this verifier must not.
                let over = InclusionProof { leaf_index: index as u64 + (1 << (proof.path.len() as u32 + width)), ..proof.clone() };
                let refused = verify_inclusion(leaf, &root, None, &over);
                prop_assert!(matches!(refused, Err(ProofError::IndexBeyondPath { .. })), "{:?}", refused);
                let refused = verify_inclusion(leaf, &root, count, &over);
                prop_assert!(matches!(refused, Err(ProofError::IndexOutOfRange { .. })), "{:?}", refused);
            }
            let mut changed = proof.clone();
            let sibling = bit % proof.path.len();
            changed.path[sibling].0[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(verify_inclusion(leaf, &root, count, &changed), Err(ProofError::RootMismatch));
            let mut short = proof.clone();
            short.path.pop();
            let refused = verify_inclusion(leaf, &root, count, &short);
            prop_assert!(matches!(refused, Err(ProofError::PathLength { .. })), "{:?}", refused);
            let mut long = proof.clone();
            long.path.resize(65, Digest::ZERO);
            let refused = verify_inclusion(leaf, &root, None, &long);
            prop_assert!(matches!(refused, Err(ProofError::PathLength { .. })), "{:?}", refused);
            let directions: Vec<bool> = (0..proof.path.len()).map(|d| index >> d & 1 == 0).collect();
            prop_assert_eq!(proof.directions(), directions);
        }
    }

    #[test]
    fn a_path_of_64_siblings_takes_any_index() {
        let path = vec![Digest::ZERO; 64];
        for leaf_index in [0, 1, u64::MAX] {
            let proof = InclusionProof { leaf_index, path: path.clone() };
            let refused = verify_inclusion(&Digest::ZERO, &Digest::ZERO, None, &proof);
            assert_eq!(refused, Err(ProofError::RootMismatch));
        }
    }
}

mod whole_stream {
    use super::*;

    /// RFC 9162, section 2.1.1.
    fn mth(entries: &[Digest]) -> Digest {
        match entries {
            [] => sha(&[]),
            [one] => sha(&[&[0], &one.0]),
            _ => {
                let (left, right) = entries.split_at(k(entries.len()));
                sha(&[&[1], &mth(left).0, &mth(right).0])
            }
        }
    }

    /// Largest power of two below `n`.
    fn k(n: usize) -> usize {
        n.next_power_of_two() / 2
    }

    /// RFC 9162, section 2.1.3.1.
    fn path(m: usize, entries: &[Digest]) -> Vec<Digest> {
        if entries.len() == 1 {
            return vec![];
        }
        let (left, right) = entries.split_at(k(entries.len()));
        let (mut path, sibling) =
            if m < left.len() { (path(m, left), right) } else { (path(m - left.len(), right), left) };
        path.push(mth(sibling));
        path
    }

    /// RFC 9162, section 2.1.4.1.
    fn subproof(m: usize, entries: &[Digest], is_whole: bool) -> Vec<Digest> {
        if m == entries.len() {
            return if is_whole { vec![] } else { vec![mth(entries)] };
        }
        let (left, right) = entries.split_at(k(entries.len()));
        let (mut proof, sibling) = if m <= left.len() {
            (subproof(m, left, is_whole), right)
        } else {
            (subproof(m - left.len(), right, false), left)
        };
        proof.push(mth(sibling));
        proof
    }

    fn grow(entries: &[Digest]) -> (LogTree, TileMap) {
        let (mut tree, mut tiles) = (LogTree::new(), TileMap::default());
        for entry in entries {
            tiles.extend(tree.push(entry));
        }
        (tree, tiles)
    }

    fn last(entries: &[Digest]) -> &[Digest] {
        &entries[entries.len() / 32 * 32..]
    }

    #[test]
    fn the_root_of_every_size_up_to_300_is_as_defined_and_reopening_restores_the_edge() {
        let entries = leaves(300);
        let (mut tree, mut tiles) = (LogTree::new(), TileMap::default());
        assert_eq!(tree.root(), empty_root());
        for n in 1..=entries.len() {
            tiles.extend(tree.push(&entries[n - 1]));
            assert_eq!((tree.size(), tree.root()), (n as u64, mth(&entries[..n])), "{n} entries");
            let opened = LogTree::open(n as u64, last(&entries[..n]), &tiles).unwrap();
            assert_eq!((opened.size(), opened.root()), (tree.size(), tree.root()));
        }
        let (whole, tiles) = grow(&entries);
        for n in 0..=300 {
            assert_eq!(root_at(&whole, n as u64, &tiles), Ok(mth(&entries[..n])));
        }
    }

    #[test]
    fn every_inclusion_proof_up_to_130_is_as_defined() {
        let entries = leaves(200);
        let (tree, tiles) = grow(&entries);
        for size in (1..=130).chain([160, 192, 200]) {
            let root = mth(&entries[..size]);
            for index in 0..size {
                let source = Counting::new(&tiles);
                let proof = inclusion_proof(&tree, index as u64, size as u64, &source).unwrap();
                assert_eq!(proof, path(index, &entries[..size]), "{index} in {size}");
                let verdict = verify_log_inclusion(&entries[index], index as u64, size as u64, &root, &proof);
                assert_eq!(verdict, Ok(()));
            }
        }
    }

    #[test]
    fn every_consistency_proof_up_to_130_is_as_defined() {
        let entries = leaves(200);
        let (tree, tiles) = grow(&entries);
        let roots: Vec<Digest> = (0..=200).map(|n| mth(&entries[..n])).collect();
        for to in (0..=130).chain([160, 192, 200]) {
            for from in 0..=to {
                let source = Counting::new(&tiles);
                let proof = consistency_proof(&tree, from as u64, to as u64, &source).unwrap();
                let expected = if from == 0 { vec![] } else { subproof(from, &entries[..to], true) };
                assert_eq!(proof, expected, "{from} to {to}");
                let verdict = verify_consistency(from as u64, to as u64, &roots[from], &roots[to], &proof);
                assert_eq!(verdict, Ok(()), "{from} to {to}");
            }
        }
    }

    #[test]
    fn four_levels_of_tiles_are_as_defined_and_few_are_read() {
        let entries = leaves(70_000);
        let (tree, tiles) = grow(&entries);
        for size in [1023, 1024, 1025, 31_999, 32_767, 32_768, 32_769, 65_536, 69_999, 70_000] {
            let root = mth(&entries[..size]);
            assert_eq!(root_at(&tree, size as u64, &tiles), Ok(root));
            let most = size.ilog2() as usize + 1;
            for index in [0, 31, 32, 1000, size / 2, size - 33, size - 1] {
                let source = Counting::new(&tiles);
                let proof = inclusion_proof(&tree, index as u64, size as u64, &source).unwrap();
                assert!(source.reads() <= most, "{} tiles for {index} in {size}", source.reads());
                let verdict = verify_log_inclusion(&entries[index], index as u64, size as u64, &root, &proof);
                assert_eq!(verdict, Ok(()), "{index} in {size}");
                let (from, from_root) = (index as u64 + 1, mth(&entries[..=index]));
                let source = Counting::new(&tiles);
                let proof = consistency_proof(&tree, from, size as u64, &source).unwrap();
                assert!(source.reads() <= most, "{} tiles for {from} to {size}", source.reads());
                assert!(proof.len() <= most + 1);
                assert_eq!(verify_consistency(from, size as u64, &from_root, &root, &proof), Ok(()));
            }
        }
        let opened = LogTree::open(70_000, last(&entries), &tiles).unwrap();
        assert_eq!(opened, tree);
    }

    #[test]
    fn a_reopened_log_goes_on_like_the_one_that_was_never_closed() {
        let entries = leaves(2200);
        for closed_at in [0, 1, 31, 32, 33, 1023, 1024, 1056, 2047] {
            let (mut kept, tiles) = grow(&entries[..closed_at]);
            let mut opened = LogTree::open(closed_at as u64, last(&entries[..closed_at]), &tiles).unwrap();
            assert_eq!(opened, kept);
            for entry in &entries[closed_at..] {
                assert_eq!(opened.push(entry), kept.push(entry));
            }
            assert_eq!((opened.root(), opened.size()), (mth(&entries), 2200));
        }
    }

    #[test]
    fn what_lies_outside_the_log_is_refused() {
        let entries = leaves(40);
        let (tree, tiles) = grow(&entries);
        assert_eq!(root_at(&tree, 41, &tiles), Err(TileError::OutOfRange { asked: 41, size: 40 }));
        assert!(inclusion_proof(&tree, 40, 40, &tiles).is_err());
        assert!(inclusion_proof(&tree, 0, 41, &tiles).is_err());
        assert!(consistency_proof(&tree, 5, 4, &tiles).is_err());
        assert!(consistency_proof(&tree, 5, 41, &tiles).is_err());
        assert!(LogTree::open(40, &entries[..7], &tiles).is_err());
        assert_eq!(
            inclusion_proof(&tree, 3, 40, &NoTiles),
            Err(TileError::Missing(TileId { level: 0, index: 0 }))
        );
        assert!(verify_log_inclusion(&entries[0], 1, 1, &mth(&entries[..1]), &[]).is_err());
        assert!(verify_consistency(2, 1, &entries[0], &entries[0], &[]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn random_sizes_are_as_defined(n in 1usize..5000, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
            let entries = leaves(n);
            let (tree, tiles) = grow(&entries);
            prop_assert_eq!(tree.root(), mth(&entries));
            let size = a.index(n) + 1;
            let index = b.index(size);
            prop_assert_eq!(root_at(&tree, size as u64, &tiles), Ok(mth(&entries[..size])));
            prop_assert_eq!(inclusion_proof(&tree, index as u64, size as u64, &tiles).unwrap(), path(index, &entries[..size]));
            let from = index + 1;
            let proof = consistency_proof(&tree, from as u64, size as u64, &tiles).unwrap();
            prop_assert_eq!(proof, subproof(from, &entries[..size], true));
        }

        /// A changed, shortened or lengthened proof, or one for other sizes or roots, proves nothing.
        #[test]
        fn no_other_proof_verifies(n in 2usize..300, a in any::<prop::sample::Index>(), bit in 0usize..256, shift in 1u64..9) {
            let entries = leaves(n);
            let (tree, tiles) = grow(&entries);
            let (root, size, index) = (mth(&entries), n as u64, a.index(n));
            let entry = &entries[index];
            let good = inclusion_proof(&tree, index as u64, size, &tiles).unwrap();
            let holds = |index: usize, proof: &[Digest]| verify_log_inclusion(entry, index as u64, size, &root, proof).is_ok();
            prop_assert!(holds(index, &good));
            prop_assert!(!holds((index + 1) % n, &good));
            for bad in spoiled(&good, bit) {
                prop_assert!(!holds(index, &bad));
            }
            prop_assert!(verify_log_inclusion(&Digest::ZERO, index as u64, size, &root, &good).is_err());

            let from = a.index(n - 1) as u64 + 1;
            let from_root = mth(&entries[..from as usize]);
            let good = consistency_proof(&tree, from, size, &tiles).unwrap();
            prop_assert!(verify_consistency(from, size, &from_root, &root, &good).is_ok());
            for bad in spoiled(&good, bit) {
                prop_assert!(verify_consistency(from, size, &from_root, &root, &bad).is_err());
            }
            let mut wrong = from_root;
            wrong.0[bit / 8] ^= 1;
            prop_assert!(verify_consistency(from, size, &wrong, &root, &good).is_err());
            prop_assert!(verify_consistency(from, size, &from_root, &wrong, &good).is_err());
            // A fork: another history of the same length.
            let mut forked = entries.clone();
            forked[a.index(from as usize)] = Digest([shift as u8; 32]);
            let (fork, fork_tiles) = grow(&forked);
            let proof = consistency_proof(&fork, from, size, &fork_tiles).unwrap();
            prop_assert!(verify_consistency(from, size, &from_root, &mth(&forked), &proof).is_err());
        }
    }

    fn spoiled(proof: &[Digest], bit: usize) -> Vec<Vec<Digest>> {
        let mut all = Vec::new();
        for i in 0..proof.len() {
            let mut changed = proof.to_vec();
            changed[i].0[bit / 8] ^= 1 << (bit % 8);
            all.push(changed);
            let mut without = proof.to_vec();
            without.remove(i);
            all.push(without);
        }
        all.push([proof, &[Digest::ZERO]].concat());
        all.push([&[Digest::ZERO], proof].concat());
        all
    }

    #[test]
    fn leaf_and_node_have_the_prefixes_of_the_rfc() {
        let [a, b] = [Digest([1; 32]), Digest([2; 32])];
        assert_eq!(log::log_leaf(&a), sha(&[&[0], &a.0]));
        assert_eq!(log::log_node(&a, &b), sha(&[&[1], &a.0, &b.0]));
    }
}
