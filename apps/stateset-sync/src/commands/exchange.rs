//! `stateset-sync push` and `stateset-sync pull`.

use stateset_sync::conflict::Strategy;
use stateset_sync::{Pulled, Pushed, Store, Transport};

use crate::commands::append::seal_anew;
use crate::failure::Failure;
use crate::home::{self, Config, Home};

/// The group that an event waits for is gone, or nobody in it can read: nothing is sent, since events keep their order.
pub const GROUP_UNUSABLE: &str = "GROUP_UNUSABLE";

pub fn push(home: &Home, strategy: Option<Strategy>) -> Result<(), Failure> {
    let config = home.config()?;
    let mut store = home.store(&config)?;
    let _turn = store.take_turn()?;
    let done = push_once(home, &config, &mut store, home.transport(&config)?.as_mut(), strategy)?;
    let mut text = match done.requests {
        0 if done.waiting == 0 && done.refused == 0 => "Nothing waits to be pushed.".to_owned(),
        _ => format!(
            "{} events got their receipts, {} were refused; the stream ends at {}.",
            done.receipted, done.refused, done.head
        ),
    };
    if done.rebased > 0 {
        text += &format!("\n{} went onto a newer version of their entity.", done.rebased);
    }
    home.out.result(&done, &text);
    verdict(&done)
}

/// One push, after what waits for a group was sealed for whoever is in it now.
pub fn push_once(
    home: &Home,
    config: &Config,
    store: &mut Store,
    transport: &mut dyn Transport,
    strategy: Option<Strategy>,
) -> Result<Pushed, Failure> {
    let strategy = match strategy {
        Some(strategy) => strategy,
        None => config
            .strategy
            .parse()
            .map_err(|problem| Failure::input("BAD_CONFIG", format!("sync.json: strategy: {problem}")))?,
    };
    let anew = seal_anew(home, config, store, transport).map_err(|failure| match failure.code.as_str() {
        "BAD_RECIPIENT" => {
            let message = format!("events wait for their group: {}", failure.message);
            Failure::failed(GROUP_UNUSABLE, message).hint(
                "put members into the group at the server, or take back what waits for it: `stateset-sync log --outbox` shows it, `discard EVENT` takes it back",
            )
        }
        _ => failure,
    })?;
    if anew > 0 {
        home.out.note(&format!("{anew} waiting events were sealed for the present members of their group"));
    }
    let bar = home.out.progress(store.counts()?.open());
    let done = store.push(transport, &config.identity()?, strategy, home::now, |more| bar.inc(more));
    bar.finish_and_clear();
    Ok(done?)
}

/// What was refused, waits or is in conflict makes the exit status 1: someone has to look.
fn verdict(done: &Pushed) -> Result<(), Failure> {
    if let Some(why) = &done.waiting_for {
        let message = format!("{} events wait: {why}", done.waiting);
        return Err(Failure::failed("EVENTS_WAIT", message)
            .hint("register the agent's keys with `stateset-sync keys:register`, or, where the key has ended, sign with \
                   another by `keys:rotate`; then push again"));
    }
    if done.conflicts > 0 {
        return Err(Failure::failed("CONFLICTS", format!("{} events are in conflict", done.conflicts))
            .hint("see `stateset-sync conflicts`"));
    }
    if done.refused > 0 {
        return Err(Failure::failed("EVENTS_REFUSED", format!("{} events were refused", done.refused))
            .hint("`stateset-sync log --outbox` says why"));
    }
    Ok(())
}

pub fn pull(home: &Home) -> Result<(), Failure> {
    let config = home.config()?;
    let mut store = home.store(&config)?;
    let _turn = store.take_turn()?;
    let done = pull_once(home, &config, &mut store, home.transport(&config)?.as_mut())?;
    let text = format!(
        "{} events came; every hash, signature and receipt verifies. The replica ends at {}, a signed checkpoint vouches for {}.",
        done.events, done.head, done.checkpointed
    );
    home.out.result(&done, &text);
    Ok(())
}

pub fn pull_once(
    home: &Home,
    config: &Config,
    store: &mut Store,
    transport: &mut dyn Transport,
) -> Result<Pulled, Failure> {
    let bar = home.out.progress(0);
    let begin = store.replica_head()?.get();
    let done = store.pull(transport, &config.identity()?, home::now, |more, end| {
        bar.set_length(end - begin);
        bar.inc(more);
    });
    bar.finish_and_clear();
    Ok(done?)
}
