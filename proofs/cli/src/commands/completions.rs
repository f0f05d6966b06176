//! `ves-stark completions SHELL`

use clap::Args;
use clap_complete::Shell;

use crate::output;

#[derive(Debug, Args)]
pub struct CompletionsArgs {
    pub shell: Shell,
}

pub fn run(args: &CompletionsArgs) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::command(), "ves-stark", &mut script);
    output::stdout(&String::from_utf8_lossy(&script));
}
