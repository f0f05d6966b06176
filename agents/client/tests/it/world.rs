//! A small stream made by hand: signed events, receipts, one or more batches, checkpoints. No server.

use std::collections::BTreeMap;

use stateset_client::{Identity, SigningKeys};
use ves::checkpoint::Checkpoint;
use ves::commitment::Commitment;
use ves::draft::Draft;
use ves::ed25519::{PublicKey, SigningKey};
use ves::log::LogTree;
use ves::merkle::{self, leaf_hash};
use ves::receipt::{Receipt, receipt_hash};
use ves::{
    AgentId, BatchId, Digest, Envelope, EventId, KeyId, SequenceNumber, SequencerId, StoreId, StreamKey,
    TenantId, TimestampMs,
};

pub const STREAM: StreamKey =
    StreamKey { tenant_id: TenantId::from_bytes([1; 16]), store_id: StoreId::from_bytes([2; 16]) };
pub const AGENT: AgentId = AgentId::from_bytes([3; 16]);
pub const SEQUENCER: SequencerId = SequencerId::from_bytes([4; 16]);
const AT: TimestampMs = TimestampMs(1_766_253_070_243);

pub struct World {
    pub events: Vec<Envelope<'static>>,
    pub receipts: Vec<Receipt>,
    pub commitments: Vec<Commitment>,
    pub checkpoints: BTreeMap<u64, String>,
    /// What the stream claims to end at.
    pub head: SequenceNumber,
    pub agent_key: PublicKey,
    pub sequencer_key: PublicKey,
}

impl World {
    /// `batches` gives the number of events of each batch; `loose` events follow the last one.
    pub fn new(batches: &[usize], loose: usize) -> Self {
        let (agent, sequencer) = (SigningKey::from_seed([5; 32]), SigningKey::from_seed([6; 32]));
        let mut world = Self {
            events: Vec::new(),
            receipts: Vec::new(),
            commitments: Vec::new(),
            checkpoints: BTreeMap::new(),
            head: SequenceNumber((batches.iter().sum::<usize>() + loose) as u64),
            agent_key: PublicKey::from_bytes(&agent.public_key()).unwrap(),
            sequencer_key: PublicKey::from_bytes(&sequencer.public_key()).unwrap(),
        };
        let mut log = LogTree::new();
        for (batch, size) in batches.iter().chain([&loose]).enumerate() {
            let start = world.events.len() as u64 + 1;
            for _ in 0..*size {
                world.add_event(&agent, &sequencer);
                log.push(&world.leaf(world.events.len()));
            }
            if batch < batches.len() {
                let previous = world.commitments.last().map_or(Digest::ZERO, |c| c.new_state_root);
                let leaves: Vec<Digest> =
                    (start..start + *size as u64).map(|n| world.leaf(n as usize)).collect();
                let id = BatchId::from_bytes([batch as u8; 16]);
                let root = merkle::root(&leaves);
                let commitment = Commitment::new(
                    id,
                    STREAM,
                    previous,
                    SequenceNumber(start),
                    root,
                    leaves.len() as u32,
                    AT,
                );
                let checkpoint = Checkpoint::for_stream(&STREAM, log.size(), log.root());
                world.checkpoints.insert(log.size(), checkpoint.sign(&SEQUENCER, &sequencer).unwrap());
                world.commitments.push(commitment);
            }
        }
        world
    }

    fn add_event(&mut self, agent: &SigningKey, sequencer: &SigningKey) {
        let n = self.events.len() as u64 + 1;
        let mut id = [0; 16];
        id[8..].copy_from_slice(&n.to_be_bytes());
        let draft = Draft {
            stream: STREAM,
            event_id: EventId::from_bytes(id),
            source_agent_id: AGENT,
            agent_key_id: KeyId(1),
            entity_type: "order".into(),
            entity_id: format!("ORD-{n}").into(),
            event_type: "order.created".into(),
            created_at: "2025-12-20T17:51:10.243Z".into(),
            command_id: None,
            base_version: None,
        };
        let event = draft.sign(&format!("{{\"total\":{n}}}"), agent).unwrap();
        let mut receipt = Receipt {
            sequencer_id: SEQUENCER,
            stream: STREAM,
            event_id: event.event_id,
            sequence_number: SequenceNumber(n),
            sequenced_at: AT,
            receipt_hash: receipt_hash(&STREAM, &event.event_id, SequenceNumber(n), &event.signing_hash()),
            signature: None,
            key_version: 1,
        };
        receipt.sign(sequencer).unwrap();
        self.events.push(event);
        self.receipts.push(receipt);
    }

    /// The leaf of number `n`, from 1.
    pub fn leaf(&self, n: usize) -> Digest {
        let event = &self.events[n - 1];
        leaf_hash(&STREAM, SequenceNumber(n as u64), &event.signing_hash(), &event.agent_signature)
    }

    pub fn identity(&self) -> Identity {
        Identity { sequencer_id: SEQUENCER, key_version: 1, keys: [(1, self.sequencer_key)].into() }
    }

    pub fn signing_keys(&self) -> SigningKeys {
        let mut keys = SigningKeys::default();
        keys.insert(AGENT, KeyId(1), self.agent_key);
        keys
    }
}
