//! The log against itself: whatever follows from something else is computed again and compared.

use serde::Serialize;
use stateset_client::Identity;
use stateset_client::audit::{Keys, Report, Source as _, audit_since};
use stateset_event_log::{CheckReport, check};
use stateset_sequencer::{LegacyChecked, ServiceError, check_legacy};
use stateset_sequencer_app::failure::Failure;
use stateset_sequencer_app::terminal::Output;
use ves::StreamKey;

use crate::args::Target;
use crate::reading::damaged;
use crate::store_source::StoreSource;

/// Problems of the store that are named; of more only the number is told.
const PROBLEMS_NAMED_MAX: usize = 100;

#[derive(Serialize)]
struct Checked {
    database: String,
    holds: bool,
    streams: Vec<CheckedStream>,
    /// The older streams, all together.
    legacy: LegacyChecked,
    /// Their payloads are sealed at rest, and were not checked for want of a key.
    legacy_sealed: bool,
    store_problems_count: u64,
    /// Places of the store and what is wrong with them.
    store_problems: Vec<String>,
}

#[derive(Serialize)]
struct CheckedStream {
    stream: StreamKey,
    events: u64,
    /// Payloads that are sealed at rest, and were not compared with their hashes for want of a key.
    payloads_sealed: u64,
    commitments: u64,
    checkpoints: u64,
    signatures: u64,
    problems_count: u64,
    problems: Vec<String>,
}

pub fn run(out: &Output, target: &Target) -> Result<(), Failure> {
    let source = StoreSource::open(target)?;
    let summaries = source.reader.streams()?;
    let store = check_store(out, &source)?;
    let mut checked = Checked {
        database: target.database.to_string(),
        holds: true,
        streams: Vec::new(),
        legacy: LegacyChecked::default(),
        legacy_sealed: false,
        store_problems_count: store.problems_total,
        store_problems: store
            .problems
            .iter()
            .map(|found| format!("{}: {}", found.place, found.problem))
            .collect(),
    };
    let legacy = check_legacy(source.reader.as_ref(), &mut |place, problem| {
        checked.store_problems_count += 1;
        if checked.store_problems.len() < PROBLEMS_NAMED_MAX {
            checked.store_problems.push(format!("{place}: {problem}"));
        }
    });
    match legacy {
        Ok(legacy) => checked.legacy = legacy,
        Err(ServiceError::Sealed(_)) => checked.legacy_sealed = true,
        Err(error) => return Err(Failure::failed("DATABASE_NOT_READ", error.to_string())),
    }
    checked.holds = checked.store_problems_count == 0;
    if !summaries.is_empty() {
        let identity = source.published_identity()?;
        for summary in summaries {
            let report = one(out, &source, &summary.stream, &identity)?;
            checked.holds &= report.holds();
            checked.streams.push(shown(summary.stream, &report));
        }
    }
    let problems: u64 = checked.streams.iter().map(|stream| stream.problems_count).sum();
    let problems = problems + checked.store_problems_count;
    out.result(&checked, &text(&checked));
    match checked.holds {
        true => Ok(()),
        false => Err(damaged(format!("{problems} problems were found"))),
    }
}

/// The store's own rules: records, tiles, commitments, keys, documents.
fn check_store(out: &Output, source: &StoreSource) -> Result<CheckReport, Failure> {
    let bar = out.progress(0, "events");
    let report = check(source.reader.as_ref(), &mut |progress| {
        bar.set_length(progress.events_total);
        bar.set_position(progress.events_done);
    });
    bar.finish_and_clear();
    Ok(report?)
}

fn one(
    out: &Output,
    source: &StoreSource,
    stream: &StreamKey,
    identity: &Identity,
) -> Result<Report, Failure> {
    let agents = source.signing_keys(stream)?;
    let keys = Keys { agents: &agents, sequencer: identity };
    let head = source.head(stream).map_err(damaged)?;
    let bar = out.progress(head.get(), "events");
    let report = audit_since(source, stream, &keys, None, &|more, of| {
        bar.set_length(of);
        bar.inc(more);
    });
    bar.finish_and_clear();
    report.map_err(damaged)
}

fn shown(stream: StreamKey, report: &Report) -> CheckedStream {
    CheckedStream {
        stream,
        events: report.events,
        payloads_sealed: report.payloads_sealed,
        commitments: report.commitments,
        checkpoints: report.checkpoints,
        signatures: report.signatures,
        problems_count: report.problems_count,
        problems: report.problems.clone(),
    }
}

fn text(checked: &Checked) -> String {
    let mut text = String::new();
    for stream in &checked.streams {
        let CheckedStream { stream: key, events, commitments, signatures, problems, problems_count, .. } =
            stream;
        text.push_str(&format!(
            "stream {key}: {events} events, {commitments} commitments, {signatures} signatures\n"
        ));
        if stream.payloads_sealed > 0 {
            text.push_str(&format!(
                "  {} payloads are sealed and were not checked for want of a key; all else of their events was\n",
                stream.payloads_sealed
            ));
        }
        problems.iter().for_each(|problem| text.push_str(&format!("  WRONG  {problem}\n")));
        let unlisted = problems_count - problems.len() as u64;
        if unlisted > 0 {
            text.push_str(&format!("  and {unlisted} more\n"));
        }
    }
    let LegacyChecked { streams, events, commitments } = checked.legacy;
    if checked.legacy_sealed {
        text.push_str("older streams: their payloads are sealed and were not checked for want of a key\n");
    }
    if streams > 0 {
        text.push_str(&format!("{streams} older streams: {events} events, {commitments} commitments\n"));
    }
    checked.store_problems.iter().for_each(|problem| text.push_str(&format!("WRONG  {problem}\n")));
    let unlisted = checked.store_problems_count - checked.store_problems.len() as u64;
    if unlisted > 0 {
        text.push_str(&format!("and {unlisted} more\n"));
    }
    text.push_str(match checked.holds {
        true => "Everything holds, under the keys that the log itself records.",
        false => "Not everything holds.",
    });
    text
}
