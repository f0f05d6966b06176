//! `ves-stark list`

use std::path::PathBuf;

use clap::Args;

use crate::composed;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, Args)]
pub struct ListArgs {
    /// File with version, validFrom, validUntil and entries; `-` is stdin
    #[arg(long, value_name = "FILE")]
    list: PathBuf,
}

/// The same line for people and programs: it is to be put among the `roots` of policyParams.
pub fn run(out: &Output, args: &ListArgs) -> Result<(), Failure> {
    let list = composed::list(&args.list)?;
    let root = serde_json::to_value(list.root()).expect("a root has a JSON form");
    out.result(&root, &root.to_string());
    Ok(())
}
