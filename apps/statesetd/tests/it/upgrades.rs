//! What an operator meets at the height of an upgrade: a node that stops and says why, a newer program that goes on, and an option
//! to do without it.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, PoisonError};

use serde_json::{Value, json};
use stateset_abci::comet::{self, Home, Process, Rpc};
use stateset_abci::{Abci, Instance, Node, Options, Server};
use stateset_fixtures::cometbft;
use stateset_ledger_app::overlay::Overlay;
use stateset_ledger_app::{Fault, Ledger, Upgrade, Upgrades};
use stateset_ledger_store::Store;
use stateset_ledger_types::Genesis;
use stateset_ledger_types::codec::{List, Text};
use stateset_ledger_types::entity::{Entity, Role};
use stateset_ledger_types::governance::{
    Action, GovernanceMessage, SoftwareUpgrade, Submit, Vote, VoteChoice,
};
use ves::Digest;

use crate::networks::{Program, TURN, ask, height, until};
use crate::requests::Member;

const AT: u64 = 16;

/// Lets the founder propose upgrades.
fn with_committer(genesis: &mut Genesis) {
    let founder = genesis.entities[0].clone();
    let roles = founder.roles.with(Role::Committer);
    genesis.entities = List::new([Entity { roles, ..founder }]).unwrap();
}

/// A home of `solo` whose founder may propose upgrades and is heard within few blocks.
fn home(folder: &Path, rpc: &str) -> String {
    let home = folder.join("validator-1");
    let text = home.to_str().unwrap().to_owned();
    let init = ["init", "--engine", "solo", "--home", &text, "--rpc", rpc, "--capsules", "127.0.0.1:0"];
    let (code, made) = ask(&[&init[..], &["--param", "voting_blocks=4"]].concat());
    assert_eq!(code, Some(0), "{made}");
    let file = home.join("genesis.json");
    let mut genesis = Genesis::from_json(&std::fs::read(&file).unwrap()).unwrap();
    with_committer(&mut genesis);
    std::fs::write(file, genesis.to_json()).unwrap();
    text
}

fn plan() -> GovernanceMessage {
    let plan = SoftwareUpgrade {
        name: Text::new("two").unwrap(),
        height: AT,
        binary_hash: Digest([7; 32]),
        info: Text::new("release 0.2").unwrap(),
    };
    let actions = List::new([Action::SoftwareUpgrade(plan)]).unwrap();
    GovernanceMessage::Submit(Box::new(Submit { title: Text::default(), actions, expedited: false }))
}

/// Decides on the plan, and sends requests until the node at `url` has stopped for it.
fn reach_the_plan(node: &mut Program, member: &Member, url: &str) {
    let vote = GovernanceMessage::Vote(Vote { proposal: 1, choice: VoteChoice::Yes });
    for (seq, message) in (1..).zip([plan(), vote]) {
        let bytes = ves::hex::encode(&member.govern(message, seq));
        let (code, said) = ask(&["tx", "--hex", &bytes, "--node", url, "--wait"]);
        assert_eq!(code, Some(0), "{said}");
    }
    // Blocks that nobody waits for come slowly.
    for seq in 3..40 {
        if node.ended().is_some() || height(url) == Some(AT - 1) {
            break;
        }
        let bytes = ves::hex::encode(&member.notarise(seq as u8, 1, seq).bytes);
        ask(&["tx", "--hex", &bytes, "--node", url, "--wait"]);
    }
    assert_eq!(until("the end of the node", || node.ended()), 1);
}

#[test]
fn solo_stops_before_the_block_names_what_to_install_and_skips_it_when_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let rpc = format!("127.0.0.1:{}", stateset_fixtures::free_port());
    let (home, url) = (home(folder.path(), &rpc), format!("http://{rpc}"));
    let needed = Path::new(&home).join("upgrade-needed.json");
    let (mut node, _) = Program::start(&["start", "--home", &home], Path::new("/nowhere"));
    let member = Member::of(folder.path(), 0);
    reach_the_plan(&mut node, &member, &url);
    let written: Value = serde_json::from_slice(&std::fs::read(&needed).unwrap()).unwrap();
    let expected =
        json!({"name": "two", "height": AT, "info": "release 0.2", "binary_hash": "07".repeat(32)});
    assert_eq!(written, expected);

    // Started again, it says the same where an operator reads it.
    let start = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_statesetd"));
        command.args(["start", "--home", &home, "--json"]).args(more);
        command
    };
    let said = start(&[]).output().unwrap();
    assert_eq!(said.status.code(), Some(1));
    let text = String::from_utf8_lossy(&said.stderr);
    for part in ["UPGRADE_NEEDED", "two", "block 16", "release 0.2", "--unsafe-skip-upgrade 16"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    let skip = ["start", "--home", &home, "--unsafe-skip-upgrade", "16"];
    let (mut node, _) = Program::start(&skip, Path::new("/nowhere"));
    until("the blocks after it", || height(&url).filter(|height| *height > AT));
    assert!(!needed.exists(), "it is not needed any more");
    node.terminate();
}

#[test]
fn a_state_without_its_record_is_signed_on_only_when_the_operator_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let rpc = format!("127.0.0.1:{}", stateset_fixtures::free_port());
    let (home, url) = (home(folder.path(), &rpc), format!("http://{rpc}"));
    let (mut node, _) = Program::start(&["start", "--home", &home], Path::new("/nowhere"));
    until("a block", || height(&url).filter(|height| *height > 0));
    node.terminate();
    std::fs::remove_dir_all(Path::new(&home).join("signed")).unwrap();
    let (code, said) = ask(&["start", "--home", &home]);
    assert_eq!(code, Some(1));
    assert!(said.to_string().contains("--trust-stored-height"), "{said}");
    let (mut node, _) =
        Program::start(&["start", "--home", &home, "--trust-stored-height"], Path::new("/nowhere"));
    until("a block", || height(&url).filter(|height| *height > 0));
    node.terminate();
}

/// A program that has the upgrade: the application in this process, CometBFT beside it.
fn newer(home: &Home, program: &comet::Program) -> Instance {
    fn nothing(_: &mut Overlay<'_>, _: &SoftwareUpgrade) -> Result<(), Fault> {
        Ok(())
    }
    let two = Upgrade { name: "two", app_version: 2, migrate: nothing };
    let store = Store::open(&home.folder().join("state.redb")).unwrap();
    let ledger = Ledger::with(Upgrades::new(&[two]));
    let abci = Abci::new(Node::new(Arc::new(ledger), Arc::new(store), Options::default()).unwrap());
    let server = Server::start(abci.clone(), &home.socket()).unwrap();
    let process = Process::start(program, home).unwrap();
    Instance::new(abci, server, Some(process))
}

#[test]
fn under_cometbft_the_old_program_stops_and_a_newer_one_goes_on_with_the_next_version() {
    let Some(cometbft) = cometbft::program() else { return };
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let testnet = ["testnet", "--dir", dir, "--validators", "1", "--timeout-commit", "100", "--no-start"];
    let params = ["voting_blocks=4", "activation_delay_blocks=1", "min_sponsors=1"];
    let params = params.iter().flat_map(|param| ["--param", param]);
    let (code, made) = ask(&testnet.into_iter().chain(params).collect::<Vec<_>>());
    assert_eq!(code, Some(0), "{made}");
    let url = made["validators"][0]["rpc"].as_str().unwrap().to_owned();
    let home = Home::at(folder.path().join("validator-1"));
    let file = home.folder().join("genesis.json");
    let mut genesis = Genesis::from_json(&std::fs::read(&file).unwrap()).unwrap();
    with_committer(&mut genesis);
    std::fs::write(&file, genesis.to_json()).unwrap();
    let (chain_id, app_state) = (genesis.chain_id.as_str(), &genesis.to_json());
    let (time_ms, initial_height) = (genesis.genesis_time, genesis.initial_height);
    home.write_genesis(&comet::Genesis { chain_id, time_ms, initial_height, app_state }).unwrap();

    let start = ["start", "--home", home.folder().to_str().unwrap()];
    let (mut old, _) = Program::start(&start, &cometbft);
    until("the first block", || height(&url).filter(|height| *height > 0));
    reach_the_plan(&mut old, &Member::of(folder.path(), 0), &url);
    assert!(home.folder().join("upgrade-needed.json").exists());

    let program = comet::Program::find(Some(&cometbft), |_| None).unwrap();
    let mut reached = AT;
    let goes_on = |reached: &mut u64| {
        *reached =
            until("blocks of the newer program", || height(&url).filter(|height| *height > *reached + 1));
    };
    let new = newer(&home, &program);
    goes_on(&mut reached);
    let version = |height: u64| {
        let block = Rpc::new(&url).call("block", &json!({"height": height.to_string()})).unwrap();
        block["block"]["header"]["version"]["app"].as_str().map(str::to_owned)
    };
    let versions = [AT - 1, AT, AT + 1, AT + 2].map(|height| version(height).unwrap_or_default());
    assert_eq!(versions, ["1", "1", "2", "2"]);
    drop(new);
    // Started again, and then from genesis: CometBFT gives it every block anew, and compares the app hashes.
    let new = newer(&home, &program);
    goes_on(&mut reached);
    drop(new);
    std::fs::remove_file(home.folder().join("state.redb")).unwrap();
    let new = newer(&home, &program);
    goes_on(&mut reached);
    drop(new);

    let start = [&start[..], &["--cometbft", cometbft.to_str().unwrap()]].concat();
    let (code, refused) = ask(&start);
    assert_eq!((code, &refused["error"]["code"]), (Some(1), &"UPGRADE_NEEDED".into()), "{refused}");
}
