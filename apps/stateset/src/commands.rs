//! The commands, one file each.

pub mod anchor;
pub mod bank;
pub mod commerce;
pub mod commit;
pub mod completions;
pub mod compliance;
pub mod db;
pub mod demo;
pub mod dev;
pub mod doctor;
pub mod event;
pub mod import;
pub mod invoice;
pub mod key;
pub mod ledger;
pub mod listen;
pub mod log;
pub mod org;
pub mod pay;
pub mod proof;
pub mod trigger;
pub mod up;
pub mod webhooks;

use crate::args::Command;
use crate::context::Context;
use crate::error::CliError;

/// Runs one command to its end.
pub fn run(context: &Context, command: Command) -> Result<(), CliError> {
    match command {
        Command::Up(args) => up::run(context, &args),
        Command::Dev(args) => dev::run(context, &args),
        Command::Demo => demo::run(context),
        Command::Import(command) => import::run(context, &command),
        Command::Key(command) => key::run(context, &command),
        Command::Event(command) => event::run(context, &command),
        Command::Trigger(args) => trigger::run(context, &args),
        Command::Listen(args) => listen::run(context, &args),
        Command::Webhooks(command) => webhooks::run(context, &command),
        Command::Commit(args) => commit::run(context, &args),
        Command::Proof(command) => proof::run(context, &command),
        Command::Prove(args) => compliance::prove::run(context, &args),
        Command::Verify(args) => compliance::verify::run(context, &args),
        Command::Anchor(command) => anchor::run(context, &command),
        Command::Ledger(command) => ledger::run(context, &command),
        Command::Org(command) => org::run(context, &command),
        Command::Bank(command) => bank::run(context, &command),
        Command::Invoice(command) => invoice::run(context, &command),
        Command::Log(command) => log::run(context, &command),
        Command::Db(args) => db::run(context, &args),
        Command::Pay(args) => pay::run(context, &args),
        Command::Commerce(command) => commerce::run(context, &command),
        // Reached with options before the command's name, which are not theirs.
        Command::Sequencer(_)
        | Command::SequencerAdmin(_)
        | Command::Sync(_)
        | Command::Mcp(_)
        | Command::Stark(_)
        | Command::Node(_) => Err(CliError::input(
            "USAGE",
            "the options of sequencer, sequencer-admin, sync, mcp, stark and node are written after their names",
        )),
        Command::Doctor => doctor::run(context),
        Command::Completions(args) => completions::run(context, &args),
    }
}
