//! `export-events`: a stream as JSON, in memory of constant size. Stopped half-way, the same command goes on.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Serialize;
use stateset_event_log::StoredEvent;
use stateset_sequencer_app::failure::Failure;
use ves::{SequenceNumber, StoreId, StreamKey, TenantId};
use ves_wire::events::write_event;

use super::Context;
use crate::reading::{Signers, each_event};

#[derive(Debug, Args)]
pub struct ExportArgs {
    #[arg(long, value_name = "UUID")]
    pub tenant_id: TenantId,
    #[arg(long, value_name = "UUID")]
    pub store_id: StoreId,
    /// First event
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub from: u64,
    /// Last event [default: the head of the stream]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub to: Option<u64>,
    /// A file that is not there yet; `-` and none are stdout
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// One array, or one event a line
    #[arg(long, value_enum, default_value_t = Format::Ndjson)]
    pub format: Format,
}

/// Both have one event a line, so that an export can be gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Json,
    Ndjson,
}

#[derive(Serialize)]
struct Exported {
    tenant_id: TenantId,
    store_id: StoreId,
    from: u64,
    to: u64,
    events: u64,
    /// Found in the file of an export that was stopped.
    resumed_after: Option<u64>,
    output: Option<String>,
}

pub fn run(context: &Context, args: &ExportArgs) -> Result<(), Failure> {
    let stream = StreamKey { tenant_id: args.tenant_id, store_id: args.store_id };
    let reader = context.target()?.reader()?;
    let signers = Signers::read(reader.as_ref())?;
    let head = reader.head(&stream)?.get();
    let to = args.to.unwrap_or(head);
    if head == 0 {
        return Err(Failure::input("NO_STREAM", format!("there are no events of stream {stream}")));
    }
    if args.from > to || to > head {
        let message = format!("{}..={to} is no range of stream {stream}, which ends at {head}", args.from);
        return Err(Failure::input("BAD_RANGE", message));
    }
    let path = args.output.as_deref().filter(|path| *path != Path::new("-"));
    let mut target = match path {
        Some(path) => Target::file(path, args, to)?,
        None => Target::stdout(args.format),
    };
    let first = target.next(args.from);
    let bar = context.out.progress(to + 1 - first.min(to + 1), "events");
    each_event(reader.as_ref(), &stream, first, to, |event| {
        target.write(&line(&signers, stream, event)?)?;
        bar.inc(1);
        Ok(())
    })?;
    bar.finish_and_clear();
    let resumed_after = target.resumed_after;
    target.finish()?;
    let Some(path) = path else { return Ok(()) };
    let exported = Exported {
        tenant_id: args.tenant_id,
        store_id: args.store_id,
        from: args.from,
        to,
        events: to + 1 - args.from,
        resumed_after,
        output: Some(path.display().to_string()),
    };
    let resumed = resumed_after.map_or_else(String::new, |after| format!(", going on after {after}"));
    context.out.result(&exported, &format!("{} events are in {}{resumed}.", exported.events, path.display()));
    Ok(())
}

/// One event with its receipt, as `GET /api/v1/ves/events` has it.
fn line(signers: &Signers, stream: StreamKey, event: &StoredEvent) -> Result<String, Failure> {
    let receipt = signers.receipt(stream, event)?;
    let (envelope, _) = event.envelope().map_err(crate::reading::unreadable)?;
    let mut text = String::with_capacity(event.body.len() * 2 + 1024);
    write_event(&mut text, &envelope, &receipt);
    Ok(text)
}

/// Where lines go. A file gets its name when it is whole.
struct Target {
    out: Box<dyn Write>,
    format: Format,
    is_first: bool,
    resumed_after: Option<u64>,
    /// The draft, the file's name, and the draft again to be synced.
    place: Option<(PathBuf, PathBuf, File)>,
}

impl Target {
    fn stdout(format: Format) -> Self {
        let out = Box::new(BufWriter::new(io::stdout()));
        Self { out, format, is_first: true, resumed_after: None, place: None }
    }

    fn file(path: &Path, args: &ExportArgs, to: u64) -> Result<Self, Failure> {
        if path.exists() {
            return Err(Failure::input(
                "FILE_EXISTS",
                format!("{} exists; nothing is overwritten", path.display()),
            ));
        }
        let mut draft = path.as_os_str().to_owned();
        draft.push(".partial");
        let draft = PathBuf::from(draft);
        let failed = |error: io::Error| Failure::io("write", &draft, &error);
        let mut options = File::options();
        options.create(true).truncate(false).read(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&draft).map_err(failed)?;
        let resumed_after = keep_whole_lines(&mut file, args, to).map_err(failed)?;
        let synced = file.try_clone().map_err(failed)?;
        Ok(Self {
            out: Box::new(BufWriter::new(file)),
            format: args.format,
            is_first: resumed_after.is_none(),
            resumed_after,
            place: Some((draft, path.to_owned(), synced)),
        })
    }

    fn next(&self, from: u64) -> u64 {
        self.resumed_after.map_or(from, |after| after + 1)
    }

    fn write(&mut self, line: &str) -> Result<(), Failure> {
        let begin = match (self.format, self.is_first) {
            (Format::Ndjson, _) => "",
            (Format::Json, true) => "[\n",
            (Format::Json, false) => ",\n",
        };
        let end = if self.format == Format::Ndjson { "\n" } else { "" };
        self.is_first = false;
        let pieces = [begin, line, end];
        pieces
            .iter()
            .try_for_each(|piece| self.out.write_all(piece.as_bytes()))
            .map_err(|error| self.failed(&error))
    }

    fn finish(mut self) -> Result<(), Failure> {
        if self.format == Format::Json {
            let end = if self.is_first { "[]\n" } else { "\n]\n" };
            self.out.write_all(end.as_bytes()).map_err(|error| self.failed(&error))?;
        }
        self.out.flush().map_err(|error| self.failed(&error))?;
        let Some((draft, path, file)) = &self.place else { return Ok(()) };
        file.sync_all().and_then(|()| fs::rename(draft, path)).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> Failure {
        match &self.place {
            Some((draft, ..)) => Failure::io("write", draft, error)
                .hint("run the same command again: it goes on where this one stopped"),
            None => Failure::failed("IO", format!("cannot write to stdout: {error}")),
        }
    }
}

/// Cuts a draft after its last whole event and says which that is. A draft of another stream or range is begun again.
fn keep_whole_lines(file: &mut File, args: &ExportArgs, to: u64) -> io::Result<Option<u64>> {
    let (mut kept, mut last, mut offset) = (0, None, 0);
    let mut lines = BufReader::new(&mut *file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = lines.read_until(b'\n', &mut line)?;
        if count == 0 {
            break;
        }
        offset += count as u64;
        let Some(whole) = line.strip_suffix(b"\n") else { break };
        let text = whole.strip_suffix(b",").unwrap_or(whole);
        let is_beginning = args.format == Format::Json && text == b"[";
        if is_beginning {
            continue;
        }
        let expected = last.map_or(args.from, |last: u64| last + 1);
        if expected > to || number_of(text, args) != Some(expected) {
            break;
        }
        // In an array the comma and the line's end belong to the next event.
        let behind = (whole.len() - text.len() + 1) as u64;
        kept = if args.format == Format::Json { offset - behind } else { offset };
        last = Some(expected);
    }
    drop(lines);
    file.set_len(kept)?;
    file.seek(SeekFrom::Start(kept))?;
    Ok(last)
}

/// The number of an event that was written, where it is of the stream that is asked for.
fn number_of(line: &[u8], args: &ExportArgs) -> Option<u64> {
    let entry: ves_wire::events::EventEntry<'_> = serde_json::from_slice(line).ok()?;
    let envelope: serde_json::Value = serde_json::from_str(entry.envelope.get()).ok()?;
    let is = |name: &str, id: &str| envelope[name].as_str() == Some(id);
    let same = is("tenant_id", &args.tenant_id.to_string()) && is("store_id", &args.store_id.to_string());
    let number: SequenceNumber = entry.receipt?.sequence_number;
    same.then(|| number.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(format: Format) -> ExportArgs {
        let tenant_id = TenantId::from_bytes([1; 16]);
        let store_id = StoreId::from_bytes([2; 16]);
        ExportArgs { tenant_id, store_id, from: 4, to: None, output: None, format }
    }

    fn event(n: u64) -> String {
        let (tenant, store) = (TenantId::from_bytes([1; 16]), StoreId::from_bytes([2; 16]));
        serde_json::json!({
            "envelope": { "tenant_id": tenant, "store_id": store }, "sequenced_at": "2025-01-01T00:00:00Z",
            "receipt": {
                "sequencerId": tenant, "eventId": store, "sequenceNumber": n, "sequencedAt": "2025-01-01T00:00:00Z",
                "receiptHash": "00".repeat(32), "signatureAlg": "none"
            }
        })
        .to_string()
    }

    fn kept(format: Format, text: &str) -> (Option<u64>, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("draft");
        fs::write(&path, text).unwrap();
        let mut file = File::options().read(true).write(true).open(&path).unwrap();
        let last = keep_whole_lines(&mut file, &args(format), 5).unwrap();
        (last, fs::read_to_string(&path).unwrap())
    }

    #[test]
    fn a_torn_line_is_cut_and_the_export_goes_on_after_the_last_whole_event() {
        let (four, five) = (event(4), event(5));
        assert_eq!(kept(Format::Ndjson, ""), (None, String::new()));
        assert_eq!(kept(Format::Ndjson, &format!("{four}\n{}", &five[..20])), (Some(4), format!("{four}\n")));
        assert_eq!(
            kept(Format::Ndjson, &format!("{four}\n{five}\n")),
            (Some(5), format!("{four}\n{five}\n"))
        );
        let (last, text) = kept(Format::Json, &format!("[\n{four},\n{}", &five[..20]));
        assert_eq!((last, text), (Some(4), format!("[\n{four}")));
        let whole = format!("[\n{four},\n{five}\n]\n");
        assert_eq!(kept(Format::Json, &whole), (Some(5), format!("[\n{four},\n{five}")));
        let beyond = format!("{four}\n{five}\n{}\n", event(6));
        assert_eq!(kept(Format::Ndjson, &beyond), (Some(5), format!("{four}\n{five}\n")));
    }

    #[test]
    fn a_draft_of_something_else_is_begun_again() {
        assert_eq!(kept(Format::Ndjson, &format!("{}\n", event(9))), (None, String::new()));
        assert_eq!(kept(Format::Json, "[\nnonsense,\n"), (None, String::new()));
        let other = event(4).replace("01010101", "03030303");
        assert_eq!(kept(Format::Ndjson, &format!("{other}\n")), (None, String::new()));
    }
}
