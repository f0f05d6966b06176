//! Restarts, power lost between signing and storing, and backups that are too old to sign.

use std::sync::Arc;

use stateset_ledger_store::{Store, StoreError};
use stateset_solo::block::UnixNanos;
use stateset_solo::{Committed, Engine, EngineError, LastSigned};

use crate::support::{Chain, GENESIS_MS, INITIAL_HEIGHT, Notes, start};

const CLOCK: UnixNanos = UnixNanos((GENESIS_MS as i64 + 9_000) * UnixNanos::MILLISECOND);

#[test]
fn an_engine_goes_on_where_its_store_ends() {
    let mut chain = Chain::new("notes-1");
    chain.block(&["a=b"]);
    let last = chain.block(&["c=d"]);
    let Chain { store, engine, folder, .. } = chain;
    drop(engine);
    let (mut engine, pending) = start(Notes::default(), &store, folder.path(), "ignored").expect("goes on");
    assert!(pending.is_none() && engine.proof_block_due());
    assert_eq!((engine.next_height(), engine.chain_id()), (last.height + 1, "notes-1"));
    let (next, _) = engine.next_block(&[], CLOCK).expect("a block");
    assert_eq!(next.block.header.as_ref().expect("one").last_block_id.as_ref(), Some(&last.id));
    assert!(!engine.proof_block_due());
}

/// Two like chains; the second stops `behind` blocks earlier and then gets the first one's record, as after a power loss
/// or with an old backup. Returns the first one's last block too.
fn behind(blocks: usize) -> (Arc<Store>, tempfile::TempDir, Committed) {
    let (mut whole, mut cut) = (Chain::new("notes-1"), Chain::new("notes-1"));
    for n in 0..4 {
        let text = format!("k{n}=v");
        whole.block(&[&text, "x=y"]);
        if n + blocks < 4 {
            cut.block(&[&text, "x=y"]);
        }
    }
    for name in ["last-signed.0", "last-signed.1"] {
        std::fs::copy(whole.folder.path().join(name), cut.folder.path().join(name)).expect("a copy");
    }
    (cut.store, cut.folder, whole.blocks.pop().expect("blocks"))
}

#[test]
fn a_block_signed_but_not_stored_is_stored_with_the_same_signature() {
    let (store, folder, lost) = behind(1);
    let (mut engine, pending) = start(Notes::default(), &store, folder.path(), "").expect("goes on");
    let pending = pending.expect("the block that was signed");
    assert_eq!((pending.height, &pending.id, &pending.commit), (lost.height, &lost.id, &lost.commit));
    assert_eq!(store.latest().expect("a number"), Some(lost.height));
    engine.next_block(&[], CLOCK).expect("and on");
    // A second start finds nothing left to do.
    drop(engine);
    assert!(start(Notes::default(), &store, folder.path(), "").expect("goes on").1.is_none());
}

/// A block is executed while the one before it is on its way into the file, and signed after that.
#[test]
fn a_block_executed_ahead_is_signed_when_the_one_before_is_stored() {
    let (mut plain, mut hasty) = (Chain::new("notes-1"), Chain::new("notes-1"));
    let texts = [&["a=b", "c=d"][..], &["a=e"], &[]];
    let expected = texts.map(|texts| plain.block(texts));
    let mut clock = hasty.clock;
    let mut execute = |engine: &mut Engine<Notes>, texts: &[&str], ahead: i64| {
        let candidates: Vec<Arc<[u8]>> = texts.iter().map(|tx| tx.as_bytes().into()).collect();
        clock = clock.plus(ahead * 200 * UnixNanos::MILLISECOND);
        engine.execute_next(&candidates, clock).expect("a block").0
    };
    let newest = |chain: &Chain| {
        let last = LastSigned::open(chain.folder.path()).expect("readable");
        last.newest().map(|newest| newest.height)
    };
    let engine = &mut hasty.engine;
    let first = execute(engine, texts[0], 1);
    let sealed = engine.seal(first).expect("signed");
    let second = execute(engine, texts[1], 1);
    assert!(matches!(engine.seal(second), Err(EngineError::Store(StoreError::OutOfOrder { .. }))));
    assert_eq!(newest(&hasty), Some(expected[0].height), "the second block was noted");
    let engine = &mut hasty.engine;
    let second = execute(engine, texts[1], 0);
    let first = sealed.store().expect("stored");
    let sealed = engine.seal(second).expect("signed");
    let third = execute(engine, texts[2], 1);
    let second = sealed.store().expect("stored");
    let sealed = engine.seal(third).expect("signed");
    for (made, expected) in [&first, &second].into_iter().zip(&expected) {
        assert_eq!((&made.id, &made.commit), (&expected.id, &expected.commit));
    }
    // The power goes before the third one is stored.
    drop(sealed);
    let (_, lost) = start(Notes::default(), &hasty.store, hasty.folder.path(), "").expect("goes on");
    let lost = lost.expect("the block that was signed");
    assert_eq!((&lost.id, &lost.commit), (&expected[2].id, &expected[2].commit));
}

/// A program that would build another block at a signed height does not sign it.
#[test]
fn another_block_at_a_signed_height_is_not_signed() {
    let (store, folder, _) = behind(1);
    let other = start(Notes { app_version: 2 }, &store, folder.path(), "").map(|_| ());
    assert!(matches!(other, Err(EngineError::OtherBlock { .. })), "{other:?}");
    assert!(start(Notes::default(), &store, folder.path(), "").is_ok());
}

#[test]
fn an_old_backup_refuses_to_sign() {
    let (store, folder, lost) = behind(2);
    let refused = start(Notes::default(), &store, folder.path(), "").map(|_| ());
    let (stored, signed) = (lost.height - 2, lost.height);
    assert!(
        matches!(refused, Err(EngineError::OldBackup { stored: s, signed: t }) if (s, t) == (stored, signed)),
        "{refused:?}"
    );
}

/// The record is gone, as on a new machine: a person must say that nothing newer was signed.
#[test]
fn a_chain_without_its_record_refuses_to_sign() {
    let (store, _folder, _) = behind(2);
    let elsewhere = tempfile::tempdir().expect("a folder");
    let refused = start(Notes::default(), &store, elsewhere.path(), "").map(|_| ());
    assert!(matches!(refused, Err(EngineError::RecordMissing { .. })), "{refused:?}");
    assert!(LastSigned::open(elsewhere.path()).expect("readable").newest().is_none());
    // Before the first block there is nothing to be missing.
    let fresh = Chain::new("notes-1");
    assert_eq!(fresh.engine.next_height(), INITIAL_HEIGHT);
    assert!(start(Notes::default(), &fresh.store, elsewhere.path(), "").is_ok());
}

/// Genesis that solo cannot serve.
#[test]
fn chain_ids_that_tendermint_refuses_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    for chain_id in [String::new(), "c".repeat(51)] {
        let store = Arc::new(Store::in_memory().expect("memory"));
        let refused = start(Notes::default(), &store, folder.path(), &chain_id).map(|_| ());
        assert!(matches!(refused, Err(EngineError::Genesis(_))), "{refused:?}");
        assert_eq!(store.latest().expect("a number"), None);
    }
}
