//! Deterministic simulator. Of the event service: the real engine and the real journal under a seeded scheduler, on a
//! disk that tears, loses, refuses and fills up, behind a network that repeats, reorders and forgets. Of the shared
//! ledger: [`ledger`].
//!
//! One seed gives one run: [`run`] twice, and the hash of the trace is the same. Time, chance, disk and network are
//! the world's; nothing here reads a clock or draws from the system.
//!
//! - a world moved one action at a time: [`world`], its kinds: [`profile`];
//! - who takes part: [`client`], [`server`], [`platter`];
//! - what must hold: [`oracle`];
//! - what comes of a run: [`Trace`], [`Failure`]; runs kept for ever: [`seeds`].
//!
//! Checked in every run of the event service: acknowledged implies present after a restart; numbers without gap and without reuse; a
//! replay gets the first answer, member for member; a receipt leads to an inclusion proof in its batch and in the
//! log; checkpoints of a stream extend each other (RFC 9162); commitments chain; every rejection has its reason; and
//! once nothing fails any more, every event gets its answer.

pub mod client;
pub mod ledger;
pub mod oracle;
pub mod platter;
pub mod profile;
mod rng;
pub mod seeds;
pub mod server;
mod trace;
pub mod world;

pub use ledger::{LEDGER_WORLDS, LedgerWorld, ledger_world};
pub use profile::{PROFILES, Profile, profile};
pub use rng::Rng;
pub use seeds::{NamedSeed, named_seeds};
pub use server::Sabotage;
pub use trace::{Failure, Trace};

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use world::World;

/// Runs the world `name` with `seed`.
///
/// # Errors
/// [`Failure`] when a promise was broken, with the command that shows it again; also when there is no such world.
pub fn run(name: &str, seed: u64) -> Result<Trace, Box<Failure>> {
    run_with(name, seed, None, false)
}

/// [`run`] for each of `seeds`, on all cores, in no order.
pub fn run_seeds(name: &str, seeds: Range<u64>) -> Vec<Result<Trace, Box<Failure>>> {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut runs = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return runs;
            }
            runs.push(run(name, seed));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker")).collect()
    })
}

/// [`run`], maybe with a deliberate mistake in the server, maybe keeping every line of the trace.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    name: &str,
    seed: u64,
    sabotage: Option<Sabotage>,
    keeps_lines: bool,
) -> Result<Trace, Box<Failure>> {
    if let (Some(world), None) = (ledger_world(name), sabotage) {
        return ledger::run(world, seed, None, keeps_lines);
    }
    let Some(profile) = profile(name) else {
        let problem = "there is no world of this name".to_owned();
        return Err(Box::new(Failure { problem, trace: Trace::new(name, seed, false) }));
    };
    let mut world = World::new(profile, seed, sabotage, keeps_lines);
    match world.run() {
        Ok(()) => Ok(world.trace),
        Err(problem) => Err(Box::new(Failure { problem, trace: world.trace })),
    }
}
