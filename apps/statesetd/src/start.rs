//! `statesetd start`, and waiting for the end of what runs.

use std::io::IsTerminal as _;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::args::{Engine, StartArgs};
use crate::home::Home;
use crate::node::{Running, Said, program};
use crate::output::{Failure, Output};

/// How often the parts of a node are looked at.
const LOOK: Duration = Duration::from_millis(100);

pub fn run(args: &StartArgs, output: Output) -> Result<(), Failure> {
    let home = Home::at(&args.home)?;
    let engine = home.settings()?.engine;
    let program = match engine {
        Engine::Comet if !args.application_only => Some(program(&args.comet)?),
        _ => None,
    };
    log();
    let signals = signals()?;
    let said = Said { trust_stored_height: args.trust_stored_height, upgrade: args.upgrade.clone() };
    let node = Running::start(home.clone(), program.as_ref(), &said)?;
    let settings = &node.settings;
    let mut said = json!({"chain_id": settings.chain_id, "rpc": format!("http://{}", settings.rpc)});
    let mut text = format!("A node of {} runs: RPC http://{}", settings.chain_id, settings.rpc);
    if engine == Engine::Comet {
        let socket = home.comet.socket();
        text.push_str(&format!(", peers {}, application {}", settings.p2p, socket.display()));
        said["p2p"] = settings.p2p.to_string().into();
        said["application"] = socket.display().to_string().into();
        said["cometbft_pid"] = node.cometbft_pid().into();
    }
    if let Some(capsules) = node.capsules() {
        text.push_str(&format!(", capsules {capsules}"));
        said["capsules"] = capsules.to_string().into();
    }
    output.result(&said, &format!("{text}. Ctrl-C ends it."));
    wait(&mut vec![node], &signals, None)
}

/// What the libraries say goes to stderr; `RUST_LOG` chooses.
pub fn log() {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,stateset_abci=info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Another command of this process may have begun it.
    let _ = log.with_ansi(std::io::stderr().is_terminal()).try_init();
}

/// Waits until a signal comes, the time is over, or the last node has ended by itself. Where one of several ends, the others
/// go on, as they would on machines of their own.
pub fn wait(nodes: &mut Vec<Running>, signals: &Receiver<()>, time: Option<Duration>) -> Result<(), Failure> {
    let begun = Instant::now();
    while time.is_none_or(|time| begun.elapsed() < time) {
        match signals.recv_timeout(LOOK) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
        }
        let mut at = 0;
        while at < nodes.len() {
            match nodes[at].check() {
                Ok(()) => at += 1,
                Err(failure) if nodes.len() == 1 => return Err(failure),
                Err(failure) => {
                    tracing::error!(code = %failure.code, "a node has ended, the others go on: {}", failure.message);
                    drop(nodes.remove(at));
                }
            }
        }
    }
    Ok(())
}

/// SIGTERM and SIGINT.
pub fn signals() -> Result<Receiver<()>, Failure> {
    let failed = |error: std::io::Error| Failure::failed("CANNOT_START", error);
    let (sender, receiver) = mpsc::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (mut terminate, mut interrupt) = {
        let _inside = runtime.enter();
        let listen = |kind| signal(kind).map_err(failed);
        (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?)
    };
    let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        // Nobody waits any more when the node ended by itself.
        let _ = sender.send(());
    });
    thread.map_err(failed)?;
    Ok(receiver)
}
