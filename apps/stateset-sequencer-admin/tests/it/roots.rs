//! State roots and inclusion proofs, computed again.

use std::fs;

use stateset_event_log::{LogReader as _, SqliteReader};
use ves::{SequenceNumber, merkle};

use crate::{json, run, world};

#[test]
fn roots_that_are_as_stored_are_said_to_be_and_one_that_is_not_is_named_and_left() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (stream, _) = world::make(at, 40);
    let (status, found) = json(at, &["backfill-ves-state-roots", "--force"]);
    assert_eq!(
        (status, &found["commitments"], &found["events"], &found["written"]),
        (0, &2.into(), &40.into(), &0.into())
    );
    let (status, quick) =
        json(at, &["backfill-ves-state-roots", "--dry-run", "--tenant-id", &stream.tenant_id.to_string()]);
    assert_eq!((status, &quick["events"], &quick["differences_count"]), (0, &0.into(), &0.into()));

    // One bit of the second batch's state root, as a failing disk would leave it.
    let reader = SqliteReader::open(at.join("log.db")).unwrap();
    let root = reader.last_commitment(&stream).unwrap().unwrap().new_state_root;
    drop(reader);
    let mut bytes = fs::read(at.join("log.db")).unwrap();
    let places: Vec<usize> = (0..bytes.len() - 32).filter(|at| bytes[*at..*at + 32] == root.0).collect();
    for place in places {
        bytes[place] ^= 1;
    }
    fs::write(at.join("log.db"), &bytes).unwrap();
    let (status, out, _) = run(at, &["backfill-ves-state-roots"]);
    assert!(status == 1 && out.contains("new_state_root is not the state root"), "{out}");
    assert_eq!(fs::read(at.join("log.db")).unwrap(), bytes, "nothing was written");
}

#[test]
fn a_proof_holds_at_its_place_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (stream, _) = world::make(at, 8);
    let reader = SqliteReader::open(at.join("log.db")).unwrap();
    let events = reader.read(&stream, SequenceNumber(1), 4, usize::MAX).unwrap();
    let leaves: Vec<_> = events.iter().map(|event| event.leaf_hash().unwrap()).collect();
    let root = reader.commitments(&stream, SequenceNumber(1), 1).unwrap()[0].merkle_root.to_0x();
    let path = format!("{},{}", leaves[3].to_0x(), merkle::node_hash(&leaves[0], &leaves[1]).to_0x());
    let leaf = leaves[2].to_0x();
    let verify = |index: &str, path: &str| {
        let args = [
            "verify-proof",
            "--leaf-hash",
            &leaf,
            "--merkle-root",
            &root,
            "--proof-path",
            path,
            "--leaf-index",
            index,
        ];
        json(at, &args)
    };
    assert_eq!(verify("2", &path).1["valid"], true);
    assert_eq!((verify("1", &path).0, &verify("1", &path).1["valid"]), (1, &false.into()));
    assert_eq!(verify("2", &leaves[3].to_0x()).0, 1);
    let (status, _, error) = run(
        at,
        &[
            "verify-proof",
            "--leaf-hash",
            "ab",
            "--merkle-root",
            &root,
            "--proof-path",
            "",
            "--leaf-index",
            "0",
        ],
    );
    assert!(status == 2 && error.contains("--leaf-hash"), "{error}");
}
