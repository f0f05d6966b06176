//! `stateset org start`: the nodes of the companies that joined a ledger of others, until they are told to stop.

use std::fs::{File, OpenOptions};
use std::io::IsTerminal as _;
use std::time::Duration;

use serde_json::json;
use stateset_sequencer_app::config::Observing;
use stateset_sequencer_app::logging;
use stateset_sequencer_app::signals::Signals;
use statesetd_app::{Hosted, HostedConfig, Joined};

use super::{not_joined, records};
use crate::context::Context;
use crate::error::CliError;
use crate::ledger::unlock;

/// How often the nodes are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Two processes with one vault would sign against one another.
fn lock(context: &Context) -> Result<File, CliError> {
    let path = context.data.ledger().join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| CliError::io("open", &path, &error))?;
    let said = || format!("the companies of {} have their nodes running", context.data.path().display());
    file.try_lock().map_err(|_| CliError::failure("DATA_IN_USE", said()).hint("stop them first"))?;
    Ok(file)
}

pub fn run(context: &Context) -> Result<(), CliError> {
    let folder = context.data.ledger();
    let joined = Joined::of(&folder)?.ok_or_else(|| not_joined(context))?;
    let observing = Observing::read(std::env::vars_os()).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        CliError::input("CONFIGURATION", lines.join("\n  "))
    })?;
    let filter = observing.log_filter.as_deref().unwrap_or("warn");
    logging::begin(filter, observing.log_format, std::io::stderr().is_terminal())?;
    let _lock = lock(context)?;
    // Asked for now, where a person may have to type a passphrase, and not when the first node starts.
    drop(context.keystore()?);
    let failed = |error: std::io::Error| CliError::failure("CANNOT_START", error.to_string());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
    let mut signals = runtime.block_on(async { Signals::new() })?;
    let config = HostedConfig {
        trusted: Joined::trusted(&folder)?,
        folder,
        rpc: joined.rpc(),
        unlock: unlock(Context::new(context.global.clone())),
        notary: None,
    };
    let nodes = Hosted::start(config, runtime.handle().clone())?;
    greet(context, &joined, &nodes)?;
    let watch = nodes.watch();
    let ended = runtime.block_on(async {
        loop {
            tokio::select! {
                signal = signals.next() => break Ok(signal),
                () = tokio::time::sleep(LOOK) => {}
            }
            if let Some(why) = watch() {
                break Err(CliError::failure("NODE_STOPPED", why));
            }
        }
    });
    // It blocks: what is in flight is written down.
    drop(nodes);
    let signal = ended?;
    if context.global.json || !context.global.quiet {
        context.out.result(&json!({"event": "stopped", "signal": signal}), "Closed cleanly.");
    }
    Ok(())
}

fn greet(context: &Context, joined: &Joined, nodes: &Hosted) -> Result<(), CliError> {
    let (mut orgs, mut lines) = (Vec::new(), String::new());
    for record in records(context)? {
        let listen = record.listen.map(|listen| listen.to_string()).unwrap_or_default();
        lines += &format!("  {:<16} {}  listens at {listen}\n", record.org, record.entity_id);
        orgs.push(json!({"org": record.org, "entity_id": record.entity_id, "listen": record.listen}));
    }
    let said = json!({"event": "started", "chain_id": joined.chain_id, "rpc_url": joined.rpc, "other_rpc_urls": joined.others,
        "node_url": nodes.at.url, "orgs": orgs});
    let text =
        format!("Nodes on {} at {}; Ctrl-C ends them:\n{lines}", joined.chain_id, joined.rpcs().join(", "));
    if context.global.json || !context.global.quiet {
        context.out.result(&said, &text);
    }
    Ok(())
}
