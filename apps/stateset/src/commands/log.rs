//! `stateset log verify`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, Subcommand};
use stateset_client::audit::{Keys, Report, ServerSource, Source, audit};
use stateset_client::{Client, Identity, SigningKeys};
use ves::StreamKey;
use ves::ed25519::PublicKey;

use crate::context::Context;
use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::report::AuditReport;
use crate::store_source::StoreSource;

#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Check every signature, hash, receipt and root of a store or of a server again
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A data directory, an events.db file, or the URL of a server [default: the store of the data directory]
    pub target: Option<String>,
}

pub fn run(context: &Context, LogCommand::Verify(args): &LogCommand) -> Result<(), CliError> {
    let started = Instant::now();
    let (source, reports) = match (&args.target, &context.global.server) {
        (Some(url), _) if url.contains("://") => verify_server(context, &context.client_of(Some(url))?)?,
        (Some(path), _) => verify_store(context, Path::new(path))?,
        (None, Some(_)) => verify_server(context, &context.client()?)?,
        (None, None) => verify_store(context, context.data.path())?,
    };
    let report = AuditReport::new(source, reports, started.elapsed());
    context.out.result(&report, &report.text());
    if report.holds {
        return Ok(());
    }
    let problems: u64 = report.streams.iter().map(|stream| stream.problems_count).sum();
    Err(CliError::failure("LOG_INVALID", format!("{problems} problems were found"))
        .hint("keep the store as it is: it is evidence; restore a backup elsewhere"))
}

type Reports = (String, Vec<(StreamKey, Report)>);

/// The one stream that the client is asked about.
fn verify_server(context: &Context, client: &Client) -> Result<Reports, CliError> {
    let stream = context.stream()?;
    let (identity, agents) = (client.identity()?, client.signing_keys(&stream)?);
    let report =
        run_audit(context, &ServerSource(client), &stream, &Keys { agents: &agents, sequencer: identity })?;
    Ok((client.url().to_owned(), vec![(stream, report)]))
}

/// Every stream of the store, or the one that was named.
fn verify_store(context: &Context, path: &Path) -> Result<Reports, CliError> {
    let (file, identity) = locate(path)?;
    let source = StoreSource::open(&file)?;
    let said = |error: stateset_event_log::LogError| CliError::failure("STORE", error.to_string());
    let identity = match identity {
        Some(identity) => identity,
        None => published_identity(&source)?,
    };
    let mut reports = Vec::new();
    for summary in source.reader.streams().map_err(said)? {
        let stream = summary.stream;
        let named = context.global.tenant.is_none_or(|tenant| tenant == stream.tenant_id)
            && context.global.store.is_none_or(|store| store == stream.store_id);
        if named {
            let agents: SigningKeys = source.signing_keys(&stream)?;
            let keys = Keys { agents: &agents, sequencer: &identity };
            reports.push((stream, run_audit(context, &source, &stream, &keys)?));
        }
    }
    Ok((file.display().to_string(), reports))
}

/// The store file of a path, and the sequencer's key where a profile beside it names one.
fn locate(path: &Path) -> Result<(PathBuf, Option<Identity>), CliError> {
    if path.is_file() {
        return Ok((path.to_owned(), None));
    }
    let data = DataDir::new(path);
    match data.profile()? {
        Some(profile) => Ok((data.store_file(), Some(crate::context::identity(&profile)?))),
        None if path.join("events.db").is_file() => Ok((path.join("events.db"), None)),
        None => Ok((data.store_file(), None)),
    }
}

/// The keys that the store itself names: enough to check it against itself.
fn published_identity(source: &StoreSource) -> Result<Identity, CliError> {
    let keys =
        source.reader.sequencer_keys().map_err(|error| CliError::failure("STORE", error.to_string()))?;
    let newest = keys.iter().max_by_key(|key| key.key_version);
    let newest =
        newest.ok_or_else(|| CliError::input("NO_SEQUENCER_KEY", "the store names no sequencer key"))?;
    let decoded: BTreeMap<u32, PublicKey> = keys
        .iter()
        .filter_map(|key| Some((key.key_version, PublicKey::from_bytes(&key.public_key).ok()?)))
        .collect();
    Ok(Identity { sequencer_id: newest.sequencer_id, key_version: newest.key_version, keys: decoded })
}

fn run_audit(
    context: &Context,
    source: &dyn Source,
    stream: &StreamKey,
    keys: &Keys<'_>,
) -> Result<Report, CliError> {
    let bar = context.out.progress(0, "events");
    let report = audit(source, stream, keys, &|more, of| {
        bar.set_length(of);
        bar.inc(more);
    });
    bar.finish_and_clear();
    report.map_err(|problem| CliError::failure("CANNOT_READ_LOG", problem))
}
