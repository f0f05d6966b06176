//! `statesetd testnet`: validators on this machine, each with a home, an application and a CometBFT process.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use serde_json::{Value, json};
use stateset_abci::comet::{Peer, Timing};

use crate::args::{Engine, TestnetArgs};
use crate::certificates::{ROOT_SEED, certify};
use crate::genesis::{begun, founded, now};
use crate::home::{Home, Settings};
use crate::node::{Running, Said, program};
use crate::output::{Failure, Output};
use crate::start::{log, signals, wait};

pub fn run(args: &TestnetArgs, output: Output) -> Result<(), Failure> {
    // Before anything is written: without it there is nothing to start.
    let program = if args.no_start { None } else { Some(program(&args.comet)?) };
    let homes = homes(args)?;
    let signals = signals()?;
    let mut nodes = Vec::new();
    let mut listed = Vec::new();
    let mut text = String::new();
    if let Some(program) = &program {
        log();
        let said = Said { upgrade: args.upgrade.clone(), ..Said::default() };
        for home in &homes {
            nodes.push(Running::start(home.clone(), Some(program), &said)?);
        }
    }
    for (at, home) in homes.iter().enumerate() {
        let settings = home.settings()?;
        let pid = nodes.get(at).and_then(Running::cometbft_pid);
        let running = pid.map(|pid| format!(", cometbft {pid}")).unwrap_or_default();
        text.push_str(&format!("  http://{}  {}{running}\n", settings.rpc, home.folder().display()));
        listed.push(json!({"home": home.folder(), "rpc": format!("http://{}", settings.rpc),
            "p2p": settings.p2p, "capsules": settings.capsules, "cometbft_pid": pid}));
    }
    let chain_id = homes[0].settings()?.chain_id;
    let state = match (&program, args.seconds) {
        (None, _) => "is written".to_owned(),
        (Some(_), Some(seconds)) => format!("runs for {seconds} s"),
        (Some(_), None) => "runs; Ctrl-C ends it".to_owned(),
    };
    output.result(
        &json!({"chain_id": chain_id, "validators": Value::from(listed)}),
        &format!("{chain_id} with {} validators {state}:\n{text}", homes.len()),
    );
    if program.is_none() {
        return Ok(());
    }
    wait(&mut nodes, &signals, args.seconds.map(Duration::from_secs))
}

/// The homes of the network in the folder, written where there is none.
fn homes(args: &TestnetArgs) -> Result<Vec<Home>, Failure> {
    let count = usize::from(args.validators);
    let at = |at: usize| Home::at(&args.dir.join(format!("validator-{}", at + 1)));
    let homes = (0..count).map(at).collect::<Result<Vec<_>, _>>()?;
    let existing = homes.iter().filter(|home| home.exists()).count();
    if existing == count && !at(count)?.exists() {
        return Ok(homes);
    }
    if existing > 0 {
        let message = format!(
            "{} holds a network of another number of validators; name another folder with --dir",
            args.dir.display()
        );
        return Err(Failure::input("DIR_IN_USE", message));
    }
    let name = |at: usize| format!("company-{}", at + 1);
    let founders = homes.iter().enumerate().map(|(at, home)| home.founder(&name(at), Engine::Comet));
    let mut genesis = founded(&args.chain_id, now(), &founders.collect::<Result<Vec<_>, _>>()?)?;
    certify(&mut genesis, &Home::at(&args.dir)?.seed(ROOT_SEED)?, &homes.iter().collect::<Vec<_>>())?;
    begun(&mut genesis, Engine::Comet, &args.begin)?;
    let addresses = free_addresses(3 * count)?;
    let peers = homes
        .iter()
        .zip(&addresses)
        .map(|(home, address)| Ok(Peer { node_id: home.keys()?.node_id, address: *address }));
    let peers = peers.collect::<Result<Vec<_>, Failure>>()?;
    let commit = Duration::from_millis(args.timeout_commit);
    let timing = Timing { commit, ..Timing::default() };
    for (at, home) in homes.iter().enumerate() {
        let settings = Settings {
            engine: Engine::Comet,
            chain_id: genesis.chain_id.to_string(),
            rpc: addresses[count + at],
            p2p: addresses[at],
            capsules: Some(addresses[2 * count + at]),
            keep_states: None,
            keep_blocks: None,
            snapshot_interval: None,
        };
        let others = peers.iter().enumerate().filter(|(peer, _)| *peer != at);
        let others = others.map(|(_, peer)| peer.clone()).collect();
        home.write(&name(at), &settings, &genesis, others, timing)?;
    }
    Ok(homes)
}

/// Addresses on loopback that are free now, all different.
fn free_addresses(count: usize) -> Result<Vec<SocketAddr>, Failure> {
    let failed = |error: std::io::Error| Failure::failed("NO_PORT", error);
    let listen = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed);
    let held = (0..count).map(listen).collect::<Result<Vec<_>, _>>()?;
    held.iter().map(|listener| listener.local_addr().map_err(failed)).collect()
}
