//! Batches in the registry.

use set_registry::abi::SetRegistry;
use set_registry::devnet::{Anvil, AnvilSettings};
use set_registry::{Address, BatchFate, BatchRecord, BlockAt, Call, Refusal, Registry, U256, ViewError};
use ves::commitment::{state_root, stream_id};
use ves::merkle;
use ves::{BatchId, Digest, SequenceNumber, StoreId, StreamKey, TenantId};

use crate::chain::{address, start};

pub fn stream(n: u8) -> StreamKey {
    StreamKey { tenant_id: TenantId::from_bytes([n; 16]), store_id: StoreId::from_bytes([0xee; 16]) }
}

/// The batches of a stream, `events` each, chained by the protocol's rule.
pub fn batches(stream: StreamKey, count: u8, events: u64) -> Vec<BatchRecord> {
    let mut prev = Digest([0; 32]);
    let mut made = Vec::new();
    for n in 0..count {
        let start = u64::from(n) * events + 1;
        let (start, end) = (SequenceNumber(start), SequenceNumber(start + events - 1));
        let events_root = merkle::root(&leaves(start, events));
        let next = state_root(&stream_id(&stream), &prev, &events_root, start, end, events as u32);
        made.push(BatchRecord {
            batch_id: BatchId::from_bytes([n + 1; 16]),
            stream,
            events_root,
            prev_state_root: prev,
            new_state_root: next,
            sequence_start: start,
            sequence_end: end,
            event_count: events as u32,
        });
        prev = next;
    }
    made
}

pub fn leaves(start: SequenceNumber, events: u64) -> Vec<Digest> {
    (start.0..start.0 + events).map(|n| Digest([n as u8; 32])).collect()
}

#[test]
fn batches_are_anchored_and_found_again() {
    let Some(chain) = start() else { return };
    let (owner, registry) = (&chain.owner, &chain.registry);
    registry.check_interface().unwrap();
    assert_eq!(registry.owner().unwrap(), owner.address());
    let stream = stream(1);
    assert!(!registry.head(&stream, BlockAt::Latest).unwrap().is_open);
    owner.open_stream(registry.address(), &stream, vec![owner.address()]).unwrap();
    assert!(registry.is_writer(&stream, owner.address()).unwrap());
    assert!(!registry.is_writer(&stream, address(1)).unwrap());

    let batches = batches(stream, 3, 5);
    let send = |batches: &[BatchRecord]| {
        owner.send(Some(registry.address()), Registry::commit_input(batches), U256::ZERO).unwrap()
    };
    let first = send(&batches[..1]);
    assert_eq!(registry.fates(&first, owner.address(), &batches[..1]), [BatchFate::Committed]);
    let rest = send(&batches[1..]);
    assert_eq!(
        registry.fates(&rest, owner.address(), &batches[1..]),
        [BatchFate::Committed, BatchFate::Committed]
    );
    // Again: nothing happens, and nothing is said.
    let again = send(&batches);
    assert_eq!(registry.fates(&again, owner.address(), &batches), [const { BatchFate::Silent }; 3]);

    let head = registry.head(&stream, BlockAt::Latest).unwrap();
    assert_eq!((head.next_sequence, head.batch_count), (16, 3));
    assert_eq!(head.state_root, batches[2].new_state_root);
    let newest = chain.anvil.node().block(BlockAt::Latest).unwrap().unwrap().number;
    for (batch, receipt) in batches.iter().zip([&first, &rest, &rest]) {
        assert!(registry.kept_as(batch, BlockAt::Latest).unwrap().is_some());
        let place = registry.find_commit(batch, newest).unwrap().unwrap();
        assert_eq!(place.transaction, receipt.transaction_hash);
        assert_eq!(place.block_hash, receipt.block_hash);
    }
    let other = BatchRecord { events_root: Digest([0xaa; 32]), ..batches[1].clone() };
    assert_eq!(registry.kept_as(&other, BlockAt::Latest).unwrap(), None);
}

#[test]
fn a_proof_of_the_protocol_verifies_in_the_contract() {
    let Some(chain) = start() else { return };
    let (owner, registry) = (&chain.owner, &chain.registry);
    let stream = stream(2);
    owner.open_stream(registry.address(), &stream, vec![owner.address()]).unwrap();
    let batch = batches(stream, 1, 5).remove(0);
    owner
        .send(Some(registry.address()), Registry::commit_input(std::slice::from_ref(&batch)), U256::ZERO)
        .unwrap();
    let leaves = leaves(batch.sequence_start, 5);
    for (index, leaf) in leaves.iter().enumerate() {
        let path = path(&leaves, index);
        let newest = registry.node().block(BlockAt::Latest).unwrap().unwrap().number;
        let committed = registry.find_committed(&batch.batch_id, None, newest).unwrap().unwrap();
        assert!(registry.holds_leaf(&committed, leaf, &path, index as u64).unwrap(), "from the chain alone");
        let includes =
            |leaf: &Digest, index: usize| registry.includes(&batch, leaf, &path, index as u64).unwrap();
        assert!(includes(leaf, index), "leaf {index}");
        assert!(!includes(leaf, index + 1), "leaf {index} at another index");
        assert!(!includes(&Digest([0; 32]), index), "another leaf at {index}");
    }
}

/// Siblings from the bottom up, in the tree padded to a power of two.
pub fn path(leaves: &[Digest], mut index: usize) -> Vec<Digest> {
    let mut row = leaves.to_vec();
    row.resize(leaves.len().next_power_of_two(), merkle::pad_leaf());
    let mut path = Vec::new();
    while row.len() > 1 {
        path.push(row[index ^ 1]);
        row = row.chunks(2).map(|pair| merkle::node_hash(&pair[0], &pair[1])).collect();
        index /= 2;
    }
    path
}

/// The second stream that uses a batch id has its batch under a scoped one.
#[test]
fn a_batch_whose_id_was_taken_is_found_under_its_scoped_id() {
    let Some(chain) = start() else { return };
    let (owner, registry) = (&chain.owner, &chain.registry);
    let both = [stream(3), stream(4)].map(|stream| batches(stream, 1, 2).remove(0));
    for batch in &both {
        owner.open_stream(registry.address(), &batch.stream, vec![owner.address()]).unwrap();
    }
    owner.send(Some(registry.address()), Registry::commit_input(&both), U256::ZERO).unwrap();
    let kept = both.each_ref().map(|batch| registry.kept_as(batch, BlockAt::Latest).unwrap().unwrap());
    assert_eq!(kept[0], set_registry::words::of_batch(&both[0].batch_id));
    assert_eq!(kept[1], set_registry::words::scoped_batch_id(&both[1].stream, &both[1].batch_id));
}

#[test]
fn refusals_are_decoded_before_anything_is_sent() {
    let Some(chain) = start() else { return };
    let (owner, registry) = (&chain.owner, &chain.registry);
    let stream = stream(5);
    let batches = batches(stream, 2, 5);
    let refusal = |batches: &[BatchRecord]| {
        let (to, input) = (registry.address(), Registry::commit_input(batches));
        match chain.anvil.node().estimate_gas(&Call { from: owner.address(), to, input }) {
            Err(ViewError::Refused(refusal)) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    };
    assert_eq!(refusal(&batches[..1]), Refusal::NotAuthorized);
    owner.open_stream(registry.address(), &stream, vec![owner.address()]).unwrap();
    let gap = Refusal::StateRootMismatch { expected: Digest([0; 32]), provided: batches[1].prev_state_root };
    assert_eq!(refusal(&batches[1..]), gap);
    let jumped = BatchRecord { prev_state_root: Digest([0; 32]), ..batches[1].clone() };
    assert_eq!(refusal(&[jumped]), Refusal::SequenceGap { expected: 1, provided: 6 });
    owner.call(registry.address(), &SetRegistry::pauseCall {}).unwrap();
    assert_eq!(refusal(&batches), Refusal::WritingPaused);
}

#[test]
fn another_contract_is_not_taken_for_the_registry() {
    let Some(chain) = start() else { return };
    let dollar = chain.owner.deploy(set_registry::artifact::Contract::TestDollar).unwrap();
    for wrong in [dollar, Address::repeat_byte(0x77)] {
        let registry = Registry::new(chain.anvil.node(), wrong);
        let problem = registry.check_interface().unwrap_err();
        assert!(
            problem.to_string().contains("is it the right address?")
                || matches!(problem, ViewError::Refused(_)),
            "{problem}"
        );
    }
}

#[test]
fn a_damaged_state_of_the_chain_is_named() {
    let Some(_chain) = start() else { return };
    let file = std::env::temp_dir().join(format!("set-registry-damaged-{}.json", std::process::id()));
    std::fs::write(&file, "{\"block\":").unwrap();
    let settings = AnvilSettings { state: Some(file.clone()), ..AnvilSettings::default() };
    let problem = Anvil::start(&settings).err().expect("no chain").to_string();
    std::fs::remove_file(&file).unwrap();
    assert!(problem.contains(&file.display().to_string()), "{problem}");
}
