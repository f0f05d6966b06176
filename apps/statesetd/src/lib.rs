//! `statesetd`: a node of the shared ledger. Wiring only; the state machine is in `ledger/app`, its store and engines are in
//! `network`.
//!
//! Other programs use its parts: a ledger in their process ([`LocalLedger`]), companies' nodes beside it ([`Hosted`]), requests
//! of a member ([`Member`]), and answers that are verified ([`Held`]).
//!
//! Every command takes `--json`, exits 0 on success, 2 on bad usage or input, 1 on any other failure, and writes errors to
//! stderr. No secret is printed.

mod args;
mod capsules;
mod certificates;
mod client;
mod decoded;
mod genesis;
mod govern;
mod home;
mod joined;
mod lists;
mod local;
mod member;
mod node;
mod output;
mod participant;
mod proposals;
mod request;
mod solo;
mod start;
mod testnet;
mod times;
mod trust;
mod upgrade;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command};
use crate::output::Output;

pub use args::{UpgradeArgs, command};
pub use client::{NodeStatus, refused, shown, status_of};
pub use genesis::now;
pub use joined::Joined;
pub use lists::{entities, proposals};
pub use local::{Admitted, LocalHome, LocalLedger, Newcomer};
pub use member::{Committed, Member, read, read_key};
pub use output::Failure;
pub use participant::{
    Books, HexBytes, Hosted, HostedConfig, Network, NotarySeat, OrgKeys, OrgRecord, Participant, Trusted,
    Unlock, node_certificate,
};
pub use proposals::{
    Choice, Directory, ProposalKind, ProposeArgs, Voted, proposal, proposal_lines, proposal_view, vote,
};
pub use request::{Asks, OrgAdmission, OrgRequest};
pub use stateset_abci::comet::{Rpc, RpcError};
pub use times::{day_end, moment};
pub use trust::{Answer, Held, TrustArgs, genesis_of};

/// Runs one command; the first of `args` is the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // A closed output is the reader's wish.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let output = Output { json: cli.json };
    let done = match cli.command {
        Command::Init(args) => home::init(&args, output),
        Command::Start(args) => start::run(&args, output),
        Command::Testnet(args) => testnet::run(&args, output),
        Command::Status(args) => client::status(&args, output),
        Command::Tx(args) => client::tx(&args, output),
        Command::Query(args) => client::query(&args, output),
        Command::Org(command) => govern::org(&command, output),
        Command::Propose(args) => govern::propose(&args, output),
        Command::Proposals(args) => govern::proposals(&args, output),
        Command::Vote(args) => govern::vote(&args, output),
        Command::Mint(args) => govern::mint(&args, output),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit)
        }
    }
}
