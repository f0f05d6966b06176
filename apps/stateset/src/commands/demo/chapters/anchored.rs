//! Both batches on a chain, and somebody who knows nothing but that chain.

use std::time::{Duration, Instant};

use set_registry::devnet::find_anvil;
use set_registry::{Address, BlockAt, Node, Registry, RpcSettings};
use stateset_client::EventProof;
use ves::BatchId;

use super::super::World;
use super::super::story::Story;
use crate::commands::anchor::{Verdict, judge};
use crate::data_dir::DataDir;
use crate::devnet::{Devnet, Link};
use crate::error::CliError;
use crate::local_chain::LocalChain;

const WAIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// `proof` is of the order, number 2; `second` is the batch that holds number 5.
pub fn anchored(
    story: &mut Story,
    world: &World,
    data: &DataDir,
    proof: &str,
    second: BatchId,
) -> Result<(), CliError> {
    story.chapter(
        "Anchor both batches on a chain, and let an outsider judge who has that chain and the proof alone",
    );
    if find_anvil().is_none() {
        story.tell(
            "NOT DONE: anvil, which runs the chain, is not installed; `cargo xtask contracts` installs it by npm",
        );
        return Ok(());
    }
    let sequencer = world.server.sequencer();
    let sequencer =
        sequencer.ok_or_else(|| CliError::failure("NOT_THE_WRITER", "the service has stopped"))?;
    let mut chain = LocalChain::start(data)?;
    let devnet = Devnet::start(&mut chain, &Link::default(), sequencer, world.runtime.clone())?;
    let registry = chain.registry()?;
    let outsider = Outsider::new(&chain.record.rpc_url, registry)?;
    story.tell(&format!("chain {} at {}", chain.record.chain_id, chain.record.rpc_url));
    story.tell(&format!("registry {registry}"));
    story.check("both batches are anchored", has_anchored(&outsider.registry, world, 5)?);
    outside(story, &outsider, proof, second);
    devnet.stop();
    Ok(())
}

/// Waits until the chain holds the stream up to event `end`.
fn has_anchored(registry: &Registry, world: &World, end: u64) -> Result<bool, CliError> {
    let (stream, started) = (world.installation.profile.stream(), Instant::now());
    while started.elapsed() < WAIT {
        let head = registry.head(&stream, BlockAt::Latest).map_err(crate::commands::anchor::failure)?;
        if head.next_sequence == end + 1 {
            return Ok(true);
        }
        std::thread::sleep(POLL);
    }
    Ok(false)
}

/// Knows an endpoint and an address: no sequencer, no key.
struct Outsider {
    registry: Registry,
}

impl Outsider {
    fn new(rpc_url: &str, registry: Address) -> Result<Self, CliError> {
        let node = Node::new(rpc_url, RpcSettings::default())
            .map_err(|error| CliError::input("BAD_ADDRESS", error.to_string()))?;
        Ok(Self { registry: Registry::new(node, registry) })
    }

    /// `None` where the chain holds no such batch, or the file is of another.
    fn judges(&self, batch: &BatchId, file: &str) -> Option<Verdict> {
        judge(&self.registry, batch, Some(&EventProof::parse(file).ok()?), None).ok()
    }

    /// What the file itself says that its batch is.
    fn believes(&self, file: &str) -> bool {
        let batch = EventProof::parse(file).ok().and_then(|proof| Some(proof.claimed_place().ok()?.batch_id));
        batch.and_then(|batch| self.judges(&batch, file)).is_some_and(|verdict| verdict.valid)
    }
}

fn outside(story: &mut Story, outsider: &Outsider, proof: &str, second: BatchId) {
    let first = EventProof::parse(proof).ok().and_then(|proof| Some(proof.claimed_place().ok()?.batch_id));
    let verdict = first.and_then(|batch| outsider.judges(&batch, proof));
    if let Some(verdict) = &verdict {
        let (start, end) = (verdict.sequence_start, verdict.sequence_end);
        story.tell(&format!("block {} says: events {start} to {end}", verdict.block_number));
    }
    let event = verdict.as_ref().and_then(|verdict| verdict.event.as_ref());
    story.check("the contract finds the order in its batch", event.is_some_and(|event| event.on_chain));
    story.check(
        "so does the outsider without it, from the root on the chain; payload and signature hold",
        event.is_some_and(|event| event.here && event.file),
    );
    let changed = |from: &str, to: &str| {
        let other = proof.replace(from, to);
        other != proof && !outsider.believes(&other)
    };
    story.check("changed by one digit, it is refused", changed("4350", "4250"));
    story.check("at another leaf, it is refused", changed("\"leaf_index\": 1", "\"leaf_index\": 0"));
    let first = first.map(|batch| batch.to_string()).unwrap_or_default();
    story.check("as part of the other batch, it is refused", changed(&first, &second.to_string()));
}
