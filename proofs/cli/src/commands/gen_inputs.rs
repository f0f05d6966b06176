//! `ves-stark gen-inputs`

use std::path::PathBuf;

use clap::Args;
use ves::Digest;

use crate::failure::Failure;
use crate::output::Output;
use crate::policy::PolicyArgs;
use crate::{files, sample};

#[derive(Debug, Args)]
pub struct GenInputsArgs {
    #[command(flatten)]
    policy: PolicyArgs,
    /// Hash of the delegated intent, for agent.authorization.v1
    #[arg(long, value_name = "HEX")]
    intent_hash: Option<Digest>,
    /// Where to write the inputs; `-` is stdout
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

pub fn run(out: &Output, args: &GenInputsArgs) -> Result<(), Failure> {
    let inputs = sample::inputs(&args.policy.read(args.intent_hash)?.policy(), 1)?;
    files::write(&args.output, &format!("{}\n", inputs.canonical()))?;
    if args.output.as_os_str() != "-" {
        let written = serde_json::json!({
            "file": args.output, "eventId": inputs.facts.event_id, "publicInputsHash": inputs.hash(),
        });
        out.result(&written, &format!("Wrote {}: inputs of a made-up event.", args.output.display()));
    }
    Ok(())
}
