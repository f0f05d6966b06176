//! `audit export`, `audit verify`: what administrators did.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use stateset_event_log::Table;
use stateset_sequencer_app::failure::Failure;
use stateset_sequencer_app::terminal;
use ves::audit::RECORD_KEY_BYTES;

use super::Context;
use crate::audit_log;

/// Records read at once.
const PAGE: usize = 1_024;

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Write the records as they are stored, one JSON object a line
    Export(ExportArgs),
    /// Check the chain of hashes, its end, and the signed statement of how far it reaches
    Verify,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Records after this number
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub after: u64,
    /// A file that is not there yet [default: stdout]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

pub fn run(context: &Context, command: &AuditCommand) -> Result<(), Failure> {
    match command {
        AuditCommand::Export(args) => export(context, args),
        AuditCommand::Verify => verify(context),
    }
}

fn export(context: &Context, args: &ExportArgs) -> Result<(), Failure> {
    let reader = context.target()?.reader()?;
    let mut file = match &args.output {
        Some(path) => {
            Some(std::fs::File::create_new(path).map_err(|error| Failure::io("make", path, &error))?)
        }
        None => None,
    };
    let (mut after, mut records) = (args.after.to_be_bytes().to_vec(), 0_u64);
    loop {
        let page = reader.documents(Table::AuditLog, &[], Some(&after), PAGE)?;
        let mut lines = String::new();
        for row in page.iter().filter(|row| row.key.len() == RECORD_KEY_BYTES) {
            lines.push_str(&row.text);
            lines.push('\n');
            records += 1;
        }
        match (&mut file, &args.output) {
            (Some(file), Some(path)) => {
                file.write_all(lines.as_bytes()).map_err(|error| Failure::io("write", path, &error))?;
            }
            _ => terminal::stdout(&lines),
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after.clone_from(&last.key),
            _ => break,
        }
    }
    if let (Some(file), Some(path)) = (file, &args.output) {
        file.sync_all().map_err(|error| Failure::io("write", path, &error))?;
        let value = serde_json::json!({ "records": records, "output": path });
        context.out.result(&value, &format!("{records} records are in {}.", path.display()));
    }
    Ok(())
}

fn verify(context: &Context) -> Result<(), Failure> {
    let reader = context.target()?.reader()?;
    let keys = audit_log::published_keys(reader.as_ref())?;
    let report = audit_log::check(reader.as_ref(), &keys, None)?;
    let findings: Vec<_> = report
        .findings
        .iter()
        .map(|finding| serde_json::json!({ "code": finding.code(), "problem": finding.to_string() }))
        .collect();
    let value = serde_json::json!({
        "holds": report.holds(), "records": report.records, "head": report.head,
        "problems": findings, "problems_count": report.findings_count,
    });
    let mut text = format!("{} records, the newest is {}\n", report.records, report.head.seq);
    for finding in &report.findings {
        text.push_str(&format!("  WRONG  {}: {finding}\n", finding.code()));
    }
    context.out.result(&value, &text);
    match report.holds() {
        true => Ok(()),
        false => {
            let problem = format!("{} problems were found in the audit log", report.findings_count);
            Err(Failure::failed("AUDIT_LOG_INVALID", problem)
                .hint("keep the database as it is: it is evidence; restore a backup elsewhere"))
        }
    }
}
