//! The commands.

mod append;
mod doctor;
mod exchange;
mod init;
mod keys;
mod look;
mod trust;
mod watch;

use crate::args::{Cli, Command};
use crate::failure::Failure;
use crate::home::Home;

/// Runs one command to its end.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let home = Home::new(&cli.global);
    match cli.command {
        Command::Init(args) => init::run(&home, &args),
        Command::KeysGenerate(args) => keys::generate(&home, args.offline),
        Command::KeysRegister => keys::register(&home),
        Command::KeysRotate(args) => keys::rotate(&home, args.offline),
        Command::KeysRevoke(args) => keys::revoke(&home, &args),
        Command::KeysList(args) => keys::list(&home, args.agent),
        Command::Recipients(args) => append::recipients(&home, &args.who),
        Command::Append(args) => append::run(&home, &args),
        Command::Push(args) => exchange::push(&home, args.strategy),
        Command::Pull => exchange::pull(&home),
        Command::Watch(args) => watch::run(&home, &args),
        Command::Status => look::status(&home),
        Command::Conflicts(args) => look::conflicts(&home, &args),
        Command::Log(args) => look::log(&home, &args),
        Command::Show(args) => look::show(&home, args.event),
        Command::Discard(args) => look::discard(&home, &args.event),
        Command::Prune(args) => look::prune(&home, args.keep),
        Command::Trust(args) => trust::run(&home, &args.key),
        Command::Verify => look::verify(&home),
        Command::Doctor => doctor::run(&home),
    }
}
