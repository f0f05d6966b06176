//! The commands, one file each.

pub mod api_keys;
pub mod audit;
pub mod backfill;
pub mod dlq;
pub mod export;
pub mod keys;
pub mod projections;
pub mod proof;
#[cfg(feature = "encryption")]
pub mod reencrypt;
#[cfg(feature = "schema-validation")]
pub mod schemas;

use clap::CommandFactory as _;
use stateset_sequencer_app::failure::Failure;
use stateset_sequencer_app::terminal::Output;

use crate::args::{Cli, Command, Global, Target};
use crate::database;

/// What a command works with.
pub struct Context {
    pub out: Output,
    pub global: Global,
}

impl Context {
    pub fn target(&self) -> Result<Target, Failure> {
        Target::find(self.global.database_url.as_deref())
    }
}

/// Runs one command to its end.
pub fn run(cli: Cli) -> Result<(), Failure> {
    let context = Context { out: Output::new(cli.global.json, cli.global.quiet), global: cli.global };
    match cli.command {
        Command::Migrate => database::migrate(&context.out, &context.target()?),
        Command::VerifyProof(args) => proof::verify(&context, &args),
        Command::ExportEvents(args) => export::run(&context, &args),
        Command::RotateKeys(args) => keys::rotate(&context, &args),
        Command::ListAgentKeys(args) => keys::list(&context, &args),
        Command::BackfillVesStateRoots(args) => backfill::run(&context, &args),
        #[cfg(feature = "encryption")]
        Command::ReencryptEvents(args) => reencrypt::events(&context, &args),
        #[cfg(feature = "encryption")]
        Command::ReencryptVesValidityProofs(args) => reencrypt::validity_proofs(&context, &args),
        #[cfg(feature = "encryption")]
        Command::ReencryptVesComplianceProofs(args) => reencrypt::compliance_proofs(&context, &args),
        Command::ApiKeys(command) => api_keys::run(&context, &command),
        Command::Audit(command) => audit::run(&context, &command),
        Command::Projections(command) => projections::run(&context, &command),
        Command::Dlq(command) => dlq::run(&context, &command),
        #[cfg(feature = "schema-validation")]
        Command::Schemas(command) => schemas::run(&context, &command),
        Command::Commands => {
            list(&context);
            Ok(())
        }
        Command::Version => {
            let version = env!("CARGO_PKG_VERSION");
            context.out.result(
                &serde_json::json!({ "version": version }),
                &format!("stateset-sequencer-admin {version}"),
            );
            Ok(())
        }
    }
}

/// Every command with its first line, groups with theirs.
fn list(context: &Context) {
    let mut all = Vec::new();
    for command in Cli::command().get_subcommands() {
        let about =
            |command: &clap::Command| command.get_about().map(ToString::to_string).unwrap_or_default();
        all.push((command.get_name().to_owned(), about(command)));
        let inner = command
            .get_subcommands()
            .map(|inner| (format!("{} {}", command.get_name(), inner.get_name()), about(inner)));
        all.extend(inner);
    }
    let text: String = all.iter().map(|(name, about)| format!("{name:<28}{about}\n")).collect();
    let value: Vec<_> =
        all.iter().map(|(name, about)| serde_json::json!({"name": name, "about": about})).collect();
    context.out.result(&value, &text);
}
