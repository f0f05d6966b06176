//! `stateset-sync watch`: push and pull in rounds, through whatever happens to the connection.

use std::time::Duration;

use crate::args::WatchArgs;
use stateset_sync::{Pushed, Store};

use crate::commands::exchange::{GROUP_UNUSABLE, pull_once, push_once};
use crate::failure::Failure;
use crate::home::Home;

/// Acknowledged entries of the outbox that stay to be looked at, so that a file that is watched is bounded by its replica.
const KEPT: u64 = 10_000;
/// Longest pause while no server can be reached.
const PAUSE_MAX: Duration = Duration::from_secs(300);

pub fn run(home: &Home, args: &WatchArgs) -> Result<(), Failure> {
    let config = home.config()?;
    let mut store = home.store(&config)?;
    let _turn = store.take_turn()?;
    let interval = Duration::from_secs(args.interval);
    let (mut pause, mut round) = (interval, 0_u64);
    let mut transport = home.transport(&config)?;
    loop {
        round += 1;
        let done = push_once(home, &config, &mut store, transport.as_mut(), None)
            .or_else(|failure| held_back(home, &store, failure))
            .and_then(|pushed| Ok((pushed, pull_once(home, &config, &mut store, transport.as_mut())?)));
        match done {
            Ok((pushed, pulled)) => {
                pause = interval;
                store.prune(KEPT)?;
                let moved = pushed.receipted + pushed.refused + pulled.events > 0;
                if home.out.json || moved {
                    let text = format!(
                        "{} pushed, {} refused, {} pulled, {} wait, {} in conflict; the replica ends at {}",
                        pushed.receipted,
                        pushed.refused,
                        pulled.events,
                        pushed.waiting,
                        pushed.conflicts,
                        pulled.head
                    );
                    home.out
                        .result(&serde_json::json!({"round": round, "push": pushed, "pull": pulled}), &text);
                }
            }
            // A server that is away comes back; one that lies is not asked again.
            Err(failure) if is_passing(&failure) && args.rounds != Some(round) => {
                home.out.note(&format!("{}; trying again in {} s", failure.message, pause.as_secs()));
                pause = (pause * 2).min(PAUSE_MAX.max(interval));
            }
            Err(failure) => return Err(failure),
        }
        if args.rounds == Some(round) {
            return Ok(());
        }
        transport.wait(pause);
    }
}

/// What waits for a group holds back what is behind it, and not what comes from others.
fn held_back(home: &Home, store: &Store, failure: Failure) -> Result<Pushed, Failure> {
    if failure.code != GROUP_UNUSABLE {
        return Err(failure);
    }
    home.out.note(&failure.message);
    if let Some(hint) = &failure.hint {
        home.out.note(hint);
    }
    let counts = store.counts()?;
    let head = store.head_seen()?.head;
    Ok(Pushed { waiting: counts.open(), waiting_for: Some(failure.message), head, ..Pushed::default() })
}

fn is_passing(failure: &Failure) -> bool {
    ["SERVER_UNREACHABLE", "SERVER_BEHIND", "SERVICE_UNAVAILABLE", "TIMEOUT", "RATE_LIMIT_EXCEEDED"]
        .contains(&failure.code.as_str())
}
