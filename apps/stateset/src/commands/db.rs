//! `stateset db`

use clap::Args;
use stateset_sequencer_admin::database::{self, DbCommand, Target};

use crate::context::Context;
use crate::error::CliError;
use crate::pin::{self, Log};

#[derive(Debug, Args)]
pub struct DbArgs {
    /// `sqlite://PATH` or `postgres://…` [default: DATABASE_URL, else the database of the data directory]
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "DATABASE_URL",
        hide_env_values = true,
        hide_env = true
    )]
    pub database_url: Option<String>,
    #[command(subcommand)]
    pub command: DbCommand,
}

pub fn run(context: &Context, args: &DbArgs) -> Result<(), CliError> {
    let target = match args.database_url.as_deref().filter(|url| !url.is_empty()) {
        Some(url) => Target::find(Some(url))?,
        None => match pin::to_read(&context.data)? {
            Log::Own => Target::file(&context.data.store_file())?,
            Log::Other(target) => *target,
        },
    };
    Ok(database::run(&context.out, &target, &args.command)?)
}
