//! Records of anchored batches, and what becomes of them when their chain is gone.

use stateset_sequencer::{AnchorBatch, AnchorError, BatchForm, ChainPlace, ForgetError};
use ves::{Digest, SequenceNumber};

use crate::world::World;

const CHAIN: u32 = 84_532_001;

fn place(n: u8, chain_id: u32) -> ChainPlace {
    ChainPlace { chain_id, tx_hash: Digest([n; 32]), block_number: Some(u64::from(n)), gas_used: None }
}

async fn pending(world: &World, n: usize) -> Vec<AnchorBatch> {
    for _ in 0..500 {
        let pending = world.sequencer.pending_anchors(None, 100).await.unwrap();
        if pending.len() == n {
            return pending;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{n} batches were not pending in time");
}

#[tokio::test]
async fn batches_whose_chain_is_gone_are_pending_again_and_no_other_chain_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    world.ingest_range(0, 25).await;
    let made = pending(&world, 3).await;
    for (batch, n) in made.iter().zip(1..) {
        world.sequencer.record_anchor(batch, place(n, CHAIN)).await.unwrap();
    }
    let (form, stream) = (BatchForm::Ves, world.stream);
    let all = SequenceNumber(24);
    assert_eq!(world.sequencer.anchored_streams().await.unwrap(), [(form, stream, all)]);
    let at = |end| world.sequencer.batch_ending_at(form, stream, SequenceNumber(end));
    assert_eq!(at(16).await.unwrap().as_ref(), Some(&made[1]));
    assert_eq!(at(15).await.unwrap(), None);

    let forget =
        |through, chain| world.sequencer.forget_anchors(form, stream, SequenceNumber(through), chain);
    let refused = forget(8, 8453).await.unwrap_err();
    assert!(matches!(refused, ForgetError::OtherChain { chain_id: CHAIN, .. }), "{refused}");
    assert_eq!(pending(&world, 0).await, []);
    assert_eq!(forget(8, CHAIN).await.unwrap(), 2);
    assert_eq!(forget(8, CHAIN).await.unwrap(), 0);
    let audited = world.sequencer.audit_records(0, 1_000).await.unwrap();
    let forgotten: Vec<_> = audited.iter().filter(|act| act.action == "custom:anchors_forgotten").collect();
    assert_eq!(forgotten.len(), 1, "{audited:?}");
    assert_eq!(forgotten[0].details["records"], 2, "{forgotten:?}");
    assert_eq!(pending(&world, 2).await, made[1..]);
    world.close().await;

    // It is the log that knows, and another transaction is no conflict now.
    let world = World::open(dir.path()).await;
    assert_eq!(pending(&world, 2).await, made[1..]);
    world.sequencer.record_anchor(&made[1], place(9, CHAIN)).await.unwrap();
    assert_eq!(pending(&world, 1).await, made[2..]);
    assert_eq!(world.sequencer.forget_anchors(form, stream, SequenceNumber::ZERO, CHAIN).await.unwrap(), 2);
    assert_eq!(world.sequencer.anchored_streams().await.unwrap(), []);
    assert_eq!(pending(&world, 3).await, made);
    world.close().await;
}

/// A reorganisation undid the transaction that was told, and another has the batch now.
#[tokio::test]
async fn a_record_is_corrected_only_by_one_who_names_the_transaction_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::open(dir.path()).await;
    world.ingest_range(0, 25).await;
    let made = pending(&world, 3).await;
    let instead = |n, chain, replaces: Option<u8>| {
        let replaces = replaces.map(|n| Digest([n; 32]));
        world.sequencer.record_anchor_instead(&made[0], place(n, chain), replaces)
    };
    assert!(instead(1, CHAIN, Some(9)).await.unwrap().is_new, "it names what is not known, and nothing is");
    for (n, chain, replaces) in [(2, CHAIN, None), (2, CHAIN, Some(3)), (2, 8453, Some(1))] {
        let refused = instead(n, chain, replaces).await.unwrap_err();
        assert!(matches!(refused, AnchorError::OtherTransaction(Digest([1, ..]))), "{refused}");
    }
    let corrected = instead(2, CHAIN, Some(1)).await.unwrap();
    assert!(corrected.is_new);
    assert_eq!(corrected.place, place(2, CHAIN));
    assert!(!instead(2, CHAIN, Some(1)).await.unwrap().is_new, "said again, it changes nothing");
    assert_eq!(pending(&world, 2).await, made[1..], "it is anchored all the while");
    world.close().await;
    let world = World::open(dir.path()).await;
    assert_eq!(world.sequencer.anchored(&made[0]).await.unwrap().unwrap().place, place(2, CHAIN));
    world.close().await;
}
