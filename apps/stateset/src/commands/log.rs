//! `stateset log verify`

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use stateset_client::audit::{Keys, Report, ServerSource, Source, Verified, audit_since};
use stateset_client::{Client, Identity, SigningKeys};
use stateset_sequencer_admin::audit_log;
use ves::audit::AuditHead;
use ves::ed25519::PublicKey;
use ves::{Digest, StreamKey};
use ves_wire::Hex;

use crate::context::Context;
use crate::data_dir::{DataDir, Profile};
use crate::error::CliError;
use crate::files;
use crate::pin::{self, Log};
use crate::report::AuditReport;
use crate::store_source::{self, StoreSource};

#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Check every signature, hash, receipt and root of a store or of a server again
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A data directory, an events.db file, or the URL of a server [default: the store of the data directory]
    pub target: Option<String>,
    /// The sequencer's public key, 32 bytes in hexadecimal, known from elsewhere
    #[arg(long, value_name = "HEX")]
    pub sequencer_key: Option<String>,
}

/// What the audit of a source found.
struct Audited {
    source: String,
    /// Whether the sequencer's key was known here, and not taken from the source.
    pinned: bool,
    reports: Vec<(StreamKey, Report)>,
    audit_log: Option<ves::audit::AuditReport>,
}

pub fn run(context: &Context, LogCommand::Verify(args): &LogCommand) -> Result<(), CliError> {
    let started = Instant::now();
    let pin = args.sequencer_key.as_deref().map(pinned_key).transpose()?;
    let pin = pin.as_ref();
    let audited = match (&args.target, &context.global.server) {
        (Some(url), _) if url.contains("://") => verify_server(context, &context.client_of(Some(url))?, pin)?,
        (Some(path), _) => verify_store(context, Path::new(path), pin)?,
        (None, Some(_)) => verify_server(context, &context.client()?, pin)?,
        (None, None) => verify_store(context, context.data.path(), pin)?,
    };
    let Audited { source, pinned, reports, audit_log } = audited;
    let report = AuditReport::new(source, pinned, reports, audit_log, started.elapsed());
    context.out.result(&report, &report.text());
    if report.holds {
        return Ok(());
    }
    let of_streams: u64 = report.streams.iter().map(|stream| stream.problems_count).sum();
    let problems = of_streams + report.audit_log.as_ref().map_or(0, |log| log.problems_count);
    Err(CliError::failure("LOG_INVALID", format!("{problems} problems were found"))
        .hint("keep the store as it is: it is evidence; restore a backup elsewhere"))
}

fn pinned_key(hex: &str) -> Result<PublicKey, CliError> {
    let refused =
        |problem: String| CliError::input("BAD_SEQUENCER_KEY", format!("--sequencer-key {problem}"));
    let bytes: Hex<32> = serde_json::from_value(serde_json::Value::from(hex))
        .map_err(|_| refused("is not 32 bytes in hexadecimal".to_owned()))?;
    PublicKey::from_bytes(&bytes.0).map_err(|problem| refused(problem.to_string()))
}

/// The identity that `source` names, with the pinned key alone.
fn only_pinned(mut source: Identity, pin: &PublicKey) -> Result<Identity, CliError> {
    source.keys.retain(|_, key| key.as_bytes() == pin.as_bytes());
    match source.keys.last_key_value() {
        Some((version, _)) => Ok(Identity { key_version: *version, ..source }),
        None => Err(CliError::failure("NOT_VERIFIED", "the source does not name the key of --sequencer-key")
            .hint("it is another sequencer's, or was changed; keep it as evidence")),
    }
}

/// The one stream that the client is asked about.
fn verify_server(context: &Context, client: &Client, pin: Option<&PublicKey>) -> Result<Audited, CliError> {
    let stream = context.stream()?;
    // The stream decides, not the spelling of the address: `localhost` is `127.0.0.1`.
    let profile = context.data.profile()?.filter(|profile| {
        profile.stream() == stream || profile.url.trim_end_matches('/') == client.url().trim_end_matches('/')
    });
    let identity = match (pin, &profile) {
        (Some(pin), _) => only_pinned(client.identity()?.clone(), pin)?,
        (None, Some(profile)) => crate::context::identity(profile)?,
        (None, None) => client.identity()?.clone(),
    };
    let pinned = pin.is_some() || profile.is_some();
    let mut memory = Memory::beside(profile.is_some().then_some(&context.data))?;
    if is_named(context) && memory.last(&stream).is_none() && client.head(&stream)?.head_sequence.get() == 0 {
        return Err(no_stream(client.url()));
    }
    let agents = client.signing_keys(&stream)?;
    let keys = Keys { agents: &agents, sequencer: &identity };
    let report = run_audit(context, &ServerSource(client), &stream, &keys, &mut memory)?;
    Ok(Audited { source: client.url().to_owned(), pinned, reports: vec![(stream, report)], audit_log: None })
}

/// Every stream of the store, or the one that was named.
fn verify_store(context: &Context, path: &Path, pin: Option<&PublicKey>) -> Result<Audited, CliError> {
    let data = DataDir::new(path);
    if path.is_dir()
        && let (Some(profile), Log::Other(target)) = (data.profile()?, pin::to_read(&data)?)
    {
        let source = store_source::of(&target)?;
        return audit(context, &source, target.database.to_string(), Some((data, profile)), pin);
    }
    let file = store_file(path);
    let source = store_source::open(&file)?;
    audit(context, &source, file.display().to_string(), data_beside(&file)?, pin)
}

/// Every stream of `source`, by the keys of the data directory that it belongs to.
fn audit(
    context: &Context,
    source: &StoreSource,
    name: String,
    beside: Option<(DataDir, Profile)>,
    pin: Option<&PublicKey>,
) -> Result<Audited, CliError> {
    let said = |error: stateset_event_log::LogError| CliError::failure("STORE", error.to_string());
    let heads = source.reader.streams().map_err(said)?;
    let mut streams: BTreeSet<StreamKey> = heads.iter().map(|summary| summary.stream).collect();
    let mut memory = Memory::beside(beside.as_ref().map(|(data, _)| data))?;
    let profile = match &beside {
        Some((_, profile)) => Some(profile.clone()),
        // A copy that lies elsewhere: our own profile speaks for its stream.
        None => context.data.profile()?.filter(|profile| streams.contains(&profile.stream())),
    };
    let identity = match (pin, &profile) {
        (Some(pin), _) => only_pinned(source.published_identity()?, pin)?,
        (None, Some(profile)) => crate::context::identity(profile)?,
        (None, None) => source.published_identity()?,
    };
    // A stream that was verified before and is gone has to be missed.
    streams.extend(memory.streams());
    streams.retain(|stream| {
        context.global.tenant.is_none_or(|tenant| tenant == stream.tenant_id)
            && context.global.store.is_none_or(|store| store == stream.store_id)
    });
    if streams.is_empty() && is_named(context) {
        return Err(no_stream(&name));
    }
    let mut reports = Vec::new();
    for stream in streams {
        let agents: SigningKeys = source.signing_keys(&stream)?;
        let keys = Keys { agents: &agents, sequencer: &identity };
        reports.push((stream, run_audit(context, source, &stream, &keys, &mut memory)?));
    }
    let pinned = pin.is_some() || profile.is_some();
    let audit_log =
        audit_log::check(source.reader.as_ref(), &identity.keys, memory.audit_head()?).map_err(said)?;
    if audit_log.holds() {
        memory.remember_audit_head(audit_log.head)?;
    }
    Ok(Audited { source: name, pinned, reports, audit_log: Some(audit_log) })
}

fn is_named(context: &Context) -> bool {
    context.global.tenant.is_some() || context.global.store.is_some()
}

fn no_stream(source: &str) -> CliError {
    CliError::input("NO_STREAM", format!("{source} has no events of the stream that was named"))
        .hint("look at --tenant and --store; without them every stream of a store is verified")
}

/// The store file that a path means.
fn store_file(path: &Path) -> PathBuf {
    if path.is_file() {
        return path.to_owned();
    }
    let inside = path.join("events.db");
    if inside.is_file() { inside } else { DataDir::new(path).store_file() }
}

/// The data directory of DATA/store/events.db, where a profile lies in it.
fn data_beside(file: &Path) -> Result<Option<(DataDir, Profile)>, CliError> {
    let whole = file.canonicalize().map_err(|error| CliError::io("read", file, &error))?;
    let Some(folder) = whole.parent().and_then(Path::parent) else { return Ok(None) };
    let data = DataDir::new(folder);
    Ok(data.profile()?.map(|profile| (data, profile)))
}

/// How far each stream was verified, kept beside the profile: a log that is shorter or other the next time is noticed.
struct Memory {
    file: Option<PathBuf>,
    last: BTreeMap<StreamKey, Verified>,
}

/// One stream of verified-checkpoints.json.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Remembered {
    stream: StreamKey,
    size: u64,
    root: Digest,
}

impl Memory {
    /// Empty and never written where there is no data directory.
    fn beside(data: Option<&DataDir>) -> Result<Self, CliError> {
        let Some(data) = data else { return Ok(Self { file: None, last: BTreeMap::new() }) };
        let file = data.path().join("verified-checkpoints.json");
        let remembered: Vec<Remembered> = match fs::read_to_string(&file) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| {
                CliError::failure("BAD_VERIFIED", format!("{} cannot be read: {error}", file.display()))
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(CliError::io("read", &file, &error)),
        };
        let last =
            remembered.iter().map(|of| (of.stream, Verified { size: of.size, root: of.root })).collect();
        Ok(Self { file: Some(file), last })
    }

    fn last(&self, stream: &StreamKey) -> Option<Verified> {
        self.last.get(stream).copied()
    }

    fn streams(&self) -> Vec<StreamKey> {
        self.last.keys().copied().collect()
    }

    fn remember(&mut self, stream: StreamKey, verified: Verified) -> Result<(), CliError> {
        let Some(file) = &self.file else { return Ok(()) };
        if self.last.insert(stream, verified) == Some(verified) {
            return Ok(());
        }
        let all: Vec<Remembered> = self
            .last
            .iter()
            .map(|(stream, Verified { size, root })| Remembered { stream: *stream, size: *size, root: *root })
            .collect();
        let text = serde_json::to_string_pretty(&all).expect("it serialises to JSON") + "\n";
        files::replace(file, text.as_bytes()).map_err(|error| CliError::io("write", file, &error))
    }
}

/// The same for the audit log, in a file of its own.
impl Memory {
    fn audit_file(&self) -> Option<PathBuf> {
        self.file.as_ref().map(|file| file.with_file_name("verified-audit.json"))
    }

    fn audit_head(&self) -> Result<Option<AuditHead>, CliError> {
        let Some(file) = self.audit_file() else { return Ok(None) };
        match fs::read_to_string(&file) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| {
                CliError::failure("BAD_VERIFIED", format!("{} cannot be read: {error}", file.display()))
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CliError::io("read", &file, &error)),
        }
    }

    fn remember_audit_head(&self, head: AuditHead) -> Result<(), CliError> {
        let Some(file) = self.audit_file() else { return Ok(()) };
        let text = serde_json::to_string(&head).expect("it serialises to JSON") + "\n";
        files::replace(&file, text.as_bytes()).map_err(|error| CliError::io("write", &file, &error))
    }
}

fn run_audit(
    context: &Context,
    source: &dyn Source,
    stream: &StreamKey,
    keys: &Keys<'_>,
    memory: &mut Memory,
) -> Result<Report, CliError> {
    let bar = context.out.progress(0, "events");
    let report = audit_since(source, stream, keys, memory.last(stream), &|more, of| {
        bar.set_length(of);
        bar.inc(more);
    });
    bar.finish_and_clear();
    let report = report.map_err(|problem| CliError::failure("CANNOT_READ_LOG", problem))?;
    if report.holds() && report.events > 0 {
        memory.remember(*stream, Verified { size: report.events, root: report.log_root })?;
    }
    Ok(report)
}
