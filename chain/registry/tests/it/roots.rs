//! Aggregated roots, and what can be known of them from the chain alone.

use set_registry::artifact::Contract;
use set_registry::{
    Address, BatchRecord, BlockAt, FoundHeader, PublishedError, PublishedRoot, ROOT_BATCHES_MAX, Refusal,
    Roots, U256, ViewError,
};
use ves::commitment::stream_id;
use ves::{BatchId, Digest, merkle};

use crate::batches::{batches, leaves, path, stream};
use crate::chain::{Chain, address, start};

fn roots(chain: &Chain) -> Roots {
    let contract = chain.owner.deploy(Contract::StateSetAnchor).unwrap();
    let roots = Roots::new(chain.anvil.node(), contract);
    roots.check_interface().unwrap();
    assert!(!roots.is_anchorer(chain.owner.address()).unwrap());
    let allow = Roots::set_anchorer_input(chain.owner.address(), true);
    chain.owner.send(Some(contract), allow, U256::ZERO).unwrap();
    assert!(roots.is_anchorer(chain.owner.address()).unwrap());
    roots
}

fn newest(roots: &Roots) -> u64 {
    roots.node().block(BlockAt::Latest).unwrap().unwrap().number
}

/// Three batches of each of five streams, with ids of their own.
fn closed() -> Vec<BatchRecord> {
    let of_stream = |of: u8| {
        let numbered = batches(stream(of), 3, 5).into_iter().enumerate();
        numbered.map(move |(n, batch)| BatchRecord {
            batch_id: BatchId::from_bytes([of * 16 + n as u8; 16]),
            ..batch
        })
    };
    (1..=5).flat_map(of_stream).collect()
}

#[test]
fn an_outsider_finds_each_batch_and_its_paths_on_the_chain() {
    let Some(chain) = start() else { return };
    let (roots, owner, closed) = (roots(&chain), &chain.owner, closed());
    let published = PublishedRoot::new(&closed).unwrap();
    let send = |input| owner.send(Some(roots.address()), input, U256::ZERO).unwrap();
    let receipt = send(published.input());
    assert!(roots.has_anchored(&receipt, owner.address(), &published.root()));
    // Somebody who publishes nothing is no obstacle.
    let bare = PublishedRoot::new(&closed[..1]).unwrap().input()[..68].to_vec();
    send(bare.into());
    let again = send(published.input());
    assert!(!roots.has_anchored(&again, owner.address(), &published.root()), "the same root says nothing");

    let logs = roots.logs(None, 0, newest(&roots)).unwrap();
    assert_eq!(logs.len(), 2);
    assert_eq!(roots.published(&logs[1]).unwrap().unwrap_err(), PublishedError::NoHeaders);
    assert_eq!(roots.logs(Some(address(1)), 0, newest(&roots)).unwrap(), []);
    for batch in &closed {
        let of_stream = stream_id(&batch.stream);
        let found = roots.find(&batch.batch_id, Some(&of_stream), None, newest(&roots)).unwrap().unwrap();
        assert_eq!(*found.header(), batch.header());
        assert_eq!((found.log.anchorer, found.log.header_count), (owner.address(), 15));
        assert!(roots.holds(&found).unwrap());
        let known = roots.find_in(&receipt.transaction_hash, &batch.batch_id, None).unwrap().unwrap();
        assert_eq!(known.index, found.index);
        assert_no_other_leaf(&roots, batch, &found);
    }
    for of in 1..=5 {
        let history = roots.stream_history(&stream_id(&stream(of)), None, newest(&roots)).unwrap();
        let head = history.head.unwrap();
        assert_eq!((head.next_sequence, head.batch_count, head.from_checkpoint), (16, 3, false));
        assert_eq!(history.last.unwrap().transaction, receipt.transaction_hash);
        assert_eq!((history.wrong.len(), history.unread.len(), history.roots), (0, 1, 2));
    }
    let unknown = BatchId::from_bytes([0xff; 16]);
    assert!(roots.find(&unknown, None, None, newest(&roots)).unwrap().is_none());
    let elsewhere = Some(&stream_id(&stream(9))).copied();
    assert!(roots.find(&closed[0].batch_id, elsewhere.as_ref(), None, newest(&roots)).unwrap().is_none());
}

/// Each event of the batch verifies in the contract, and nothing beside it.
fn assert_no_other_leaf(roots: &Roots, batch: &BatchRecord, found: &FoundHeader) {
    let leaves = leaves(batch.sequence_start, 5);
    for (index, leaf) in leaves.iter().enumerate() {
        let (path, number) = (path(&leaves, index), batch.sequence_start.get() + index as u64);
        assert!(roots.holds_leaf(found, leaf, &path, number).unwrap(), "event {number}");
        assert!(!roots.holds_leaf(found, leaf, &path, number + 1).unwrap());
        assert!(!roots.holds_leaf(found, &merkle::pad_leaf(), &path, number).unwrap());
    }
}

#[test]
fn a_full_root_stays_far_below_the_gas_of_single_batches() {
    let Some(chain) = start() else { return };
    let roots = roots(&chain);
    let batch = |n: usize| {
        let stream = ves::StreamKey {
            tenant_id: ves::TenantId::from_bytes(u128::from(n as u64 + 1).to_be_bytes()),
            store_id: ves::StoreId::from_bytes([7; 16]),
        };
        batches(stream, 1, 5).remove(0)
    };
    let closed: Vec<_> = (0..ROOT_BATCHES_MAX).map(batch).collect();
    let input = PublishedRoot::new(&closed).unwrap().input();
    assert!(input.len() < 100_000, "nodes take transactions of up to 128 kB");
    let receipt = chain.owner.send(Some(roots.address()), input, U256::ZERO).unwrap();
    let each = receipt.gas_used / ROOT_BATCHES_MAX as u64;
    assert!((3_000..6_500).contains(&each), "{each} gas for each batch");
}

#[test]
fn an_account_that_is_no_anchorer_is_refused_and_another_contract_is_noticed() {
    let Some(chain) = start() else { return };
    let contract = chain.owner.deploy(Contract::StateSetAnchor).unwrap();
    let input = PublishedRoot::new(&closed()).unwrap().input();
    let call = set_registry::Call { from: address(1), to: contract, input };
    let refused = chain.anvil.node().estimate_gas(&call).unwrap_err();
    assert_eq!(refused, ViewError::Refused(Refusal::NotAnchorer));
    for wrong in [chain.registry.address(), Address::repeat_byte(0x77)] {
        assert!(Roots::new(chain.anvil.node(), wrong).check_interface().is_err());
    }
    assert!(set_registry::Registry::new(chain.anvil.node(), contract).check_interface().is_err());
    let roots = Roots::new(chain.anvil.node(), contract);
    assert_eq!(roots.anchored(address(1), &Digest([1; 32])).unwrap(), None);
    assert!(!roots.is_paused().unwrap());
    assert_eq!(roots.owner().unwrap(), chain.owner.address());
}
