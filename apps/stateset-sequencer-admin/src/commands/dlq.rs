//! `dlq`: events that projections could not apply (sequencer API, section 8.1). Looked at in the database; changed there, or
//! through the service that writes it.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use stateset_event_log::{EventLog, LogReader};
use stateset_sequencer::dead_letters::{DEAD_LETTERS_MAX, RETRIES_MAX, find, follow, list};
use stateset_sequencer::{
    Clock as _, DeadLetter, DeadLetterAct, DeadLetterFilter, DeadLetterOrder, DeadLetterPlace,
    DeadLetterReason, DeadLetterStatus, SystemClock,
};
use stateset_sequencer_app::failure::Failure;
use ves::{EventId, Payload, StoreId, TenantId, TimestampMs};
use ves_wire::dead_letters::{DeadLetterBody, DeadLettersChanged, RetryDeadLettersRequest};

use super::Context;
use crate::writing::{Writer, put_documents_recorded};

#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// List dead letters by store and number
    List(ListArgs),
    /// Show one with the payload of its event
    Show(OneArgs),
    /// Have letters tried again at once, with a whole budget of retries
    Retry(RetryArgs),
    /// Remove letters; their events stay
    Purge(PurgeArgs),
}

/// Which letters.
#[derive(Debug, Args)]
pub struct Which {
    /// Whose letters
    #[arg(long, value_name = "UUID")]
    pub tenant_id: TenantId,
    /// One store's alone
    #[arg(long, value_name = "UUID")]
    pub store_id: Option<StoreId>,
}

#[derive(Debug, Args)]
pub struct Like {
    /// Letters of this status alone: pending, retrying, failed or resolved
    #[arg(long, value_name = "STATUS", value_parser = status)]
    pub status: Option<DeadLetterStatus>,
    /// Letters of this reason alone, such as version_conflict
    #[arg(long, value_name = "REASON", value_parser = reason)]
    pub reason: Option<DeadLetterReason>,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub like: Like,
    /// Letters shown at most
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub limit: u32,
    /// Go on after this place, as the list before ended
    #[arg(long, value_name = "PLACE", value_parser = place)]
    pub after: Option<DeadLetterPlace>,
}

#[derive(Debug, Args)]
pub struct OneArgs {
    #[command(flatten)]
    pub which: Which,
    /// The event
    #[arg(value_name = "EVENT")]
    pub event_id: EventId,
}

#[derive(Debug, Args)]
pub struct RetryArgs {
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub like: Like,
    /// The event of one letter
    #[arg(value_name = "EVENT", required_unless_present_any = ["all", "status", "reason"])]
    pub event_id: Option<EventId>,
    /// Every letter that is not resolved
    #[arg(long, conflicts_with = "event_id")]
    pub all: bool,
}

#[derive(Debug, Args)]
pub struct PurgeArgs {
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub like: Like,
    /// Only letters not refused, retried or resolved for so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub older_than_secs: Option<u32>,
    /// The event of one letter
    #[arg(value_name = "EVENT", required_unless_present_any = ["older_than_secs", "status"])]
    pub event_id: Option<EventId>,
}

fn status(text: &str) -> Result<DeadLetterStatus, String> {
    text.parse().map_err(|()| one_of(DeadLetterStatus::ALL.iter().map(|status| status.name())))
}

fn reason(text: &str) -> Result<DeadLetterReason, String> {
    text.parse().map_err(|()| one_of(DeadLetterReason::ALL.iter().map(|reason| reason.name())))
}

fn place(text: &str) -> Result<DeadLetterPlace, String> {
    text.parse().map_err(|()| "expected STORE.NUMBER".to_owned())
}

fn one_of(names: impl Iterator<Item = &'static str>) -> String {
    format!("expected one of {}", names.collect::<Vec<_>>().join(", "))
}

pub fn run(context: &Context, command: &DlqCommand) -> Result<(), Failure> {
    match command {
        DlqCommand::List(args) => listed(context, args),
        DlqCommand::Show(args) => show(context, args),
        DlqCommand::Retry(args) => retry(context, args),
        DlqCommand::Purge(args) => purge(context, args),
    }
}

fn filter(which: &Which, like: &Like) -> DeadLetterFilter {
    DeadLetterFilter {
        store_ids: which.store_id.into_iter().collect(),
        status: like.status,
        reason: like.reason,
        ..DeadLetterFilter::all_of(which.tenant_id)
    }
}

fn listed(context: &Context, args: &ListArgs) -> Result<(), Failure> {
    let reader = context.target()?.reader()?;
    let filter = filter(&args.which, &args.like);
    let page = list(reader.as_ref(), &filter, args.after, args.limit as usize).map_err(unread)?;
    let mut text =
        format!("{:<38}{:<10}{:<26}{:<9}{:<26}next retry\n", "event", "status", "reason", "retries", "type");
    for letter in &page.letters {
        text.push_str(&format!(
            "{:<38}{:<10}{:<26}{:<9}{:<26}{}\n",
            letter.event_id.to_string(),
            letter.status.name(),
            letter.reason.name(),
            format!("{}/{RETRIES_MAX}", letter.retry_count),
            letter.event_type.escape_debug().to_string(),
            letter.next_retry_at.map_or_else(|| "-".to_owned(), |at| at.to_string()),
        ));
    }
    if let Some(next) = &page.next {
        text.push_str(&format!("There are more: --after {next}\n"));
    }
    let letters: Vec<Value> = page.letters.iter().map(shown).collect();
    let next_after = page.next.map(|place| place.to_string());
    let value = json!({ "count": letters.len(), "dead_letters": letters, "next_after": next_after });
    context.out.result(&value, &text);
    Ok(())
}

fn show(context: &Context, args: &OneArgs) -> Result<(), Failure> {
    let reader = context.target()?.reader()?;
    let letter = one(reader.as_ref(), &args.which, &args.event_id)?;
    let payload = payload(reader.as_ref(), &letter)?;
    let mut text = format!("{}\n", letter.event_id);
    let mut row = |name: &str, value: String| text.push_str(&format!("  {name:<14}{value}\n"));
    row("stream", letter.stream.to_string());
    row("number", letter.sequence_number.to_string());
    row("type", letter.event_type.escape_debug().to_string());
    row("entity", format!("{} {}", letter.entity_type.escape_debug(), letter.entity_id.escape_debug()));
    row("status", letter.status.to_string());
    row("reason", format!("{}: {}", letter.reason, letter.message.escape_debug()));
    if let (Some(expected), Some(actual)) = (letter.expected_version, letter.actual_version) {
        row("versions", format!("made for {expected}, found {actual}"));
    }
    row("retries", format!("{} of {RETRIES_MAX}", letter.retry_count));
    if let Some(at) = letter.last_retry_at {
        row("last retry", at.to_string());
    }
    if let Some(at) = letter.next_retry_at {
        row("next retry", at.to_string());
    }
    row("refused", letter.created_at.to_string());
    row("payload", payload.as_ref().map_or_else(|| "sealed".to_owned(), ToString::to_string));
    let mut value = shown(&letter);
    value["payload"] = payload.unwrap_or(Value::Null);
    context.out.result(&value, &text);
    Ok(())
}

fn retry(context: &Context, args: &RetryArgs) -> Result<(), Failure> {
    let order = order(DeadLetterAct::Retry, filter(&args.which, &args.like));
    let through = |rest: &crate::rest::Rest, letter: Option<&DeadLetter>| match letter {
        Some(letter) => {
            let _: DeadLetterBody =
                rest.post(&format!("{}/retry{}", path(letter), query(letter)), &json!({}))?;
            Ok(1)
        }
        None => {
            let request = RetryDeadLettersRequest {
                tenant_id: Some(args.which.tenant_id),
                store_id: args.which.store_id,
                status: args.like.status.map(|status| status.name().to_owned()),
                reason: args.like.reason.map(|reason| reason.name().to_owned()),
            };
            let answer: DeadLettersChanged = rest.post("/api/v1/dead-letters/retry", &request)?;
            Ok(answer.changed)
        }
    };
    let changed = carry_out(context, &args.which, args.event_id.as_ref(), order, through)?;
    let text = format!("{changed} dead letters are tried again at once.");
    context.out.result(&json!({ "changed": changed }), &text);
    Ok(())
}

fn purge(context: &Context, args: &PurgeArgs) -> Result<(), Failure> {
    let since = args
        .older_than_secs
        .map(|seconds| TimestampMs(SystemClock.now().0.saturating_sub(i64::from(seconds) * 1_000)));
    let filter = DeadLetterFilter { unchanged_since: since, ..filter(&args.which, &args.like) };
    let order = order(DeadLetterAct::Purge, filter);
    let through = |rest: &crate::rest::Rest, letter: Option<&DeadLetter>| {
        let path = match letter {
            Some(letter) => format!("{}{}", path(letter), query(letter)),
            None => {
                let mut path = format!("/api/v1/dead-letters?tenant_id={}", args.which.tenant_id);
                let mut add = |name: &str, value: Option<String>| {
                    path.extend(value.map(|value| format!("&{name}={value}")));
                };
                add("store_id", args.which.store_id.map(|store| store.to_string()));
                add("status", args.like.status.map(|status| status.to_string()));
                add("reason", args.like.reason.map(|reason| reason.to_string()));
                add("older_than_secs", args.older_than_secs.map(|seconds| seconds.to_string()));
                path
            }
        };
        let answer: DeadLettersChanged = rest.delete(&path)?;
        Ok(answer.changed)
    };
    let changed = carry_out(context, &args.which, args.event_id.as_ref(), order, through)?;
    context.out.result(&json!({ "changed": changed }), &format!("{changed} dead letters are removed."));
    Ok(())
}

fn order(act: DeadLetterAct, filter: DeadLetterFilter) -> DeadLetterOrder {
    DeadLetterOrder { act, filter, place: None }
}

/// Changes the letters in the database, or has the service that writes it do so; how many.
fn carry_out(
    context: &Context,
    which: &Which,
    event: Option<&EventId>,
    mut order: DeadLetterOrder,
    through: impl Fn(&crate::rest::Rest, Option<&DeadLetter>) -> Result<u64, Failure>,
) -> Result<u64, Failure> {
    let target = context.target()?;
    let mut writer = Writer::find(&target, &context.global)?;
    let letter = event.map(|event| one(target.reader()?.as_ref(), which, event)).transpose()?;
    let resolved = |letter: &&DeadLetter| letter.status == DeadLetterStatus::Resolved;
    if let Some(letter) = letter.as_ref().filter(resolved).filter(|_| order.act == DeadLetterAct::Retry) {
        let problem = format!("event {} was applied: there is nothing to try again", letter.event_id);
        return Err(Failure::input("RESOLVED", problem));
    }
    order.place = letter.as_ref().map(DeadLetter::place);
    let changed = match &mut writer {
        Writer::Log(log) => carry_out_here(log.as_mut(), &order)?,
        Writer::Service(rest) => through(rest, letter.as_ref())?,
    };
    writer.close()?;
    Ok(changed)
}

/// While no service writes the log.
fn carry_out_here(log: &mut dyn EventLog, order: &DeadLetterOrder) -> Result<u64, Failure> {
    put_documents_recorded(log, order.act(), Vec::new())?;
    let (reader, now) = (log.reader(), SystemClock.now());
    let (mut changed, mut after) = (0, None);
    loop {
        let (changes, step) = order.step(reader.as_ref(), after, now).map_err(unread)?;
        if !changes.is_empty() {
            let followed = follow(reader.as_ref(), changes, DEAD_LETTERS_MAX).map_err(unread)?;
            log.put_documents(&followed.changes)?;
        }
        changed += step.letters;
        match step.next {
            Some(next) => after = Some(next),
            None => return Ok(changed),
        }
    }
}

fn one(reader: &dyn LogReader, which: &Which, event: &EventId) -> Result<DeadLetter, Failure> {
    let mut found = find(reader, &which.tenant_id, which.store_id.as_ref(), event).map_err(unread)?;
    match (found.pop(), found.is_empty()) {
        (Some(letter), true) => Ok(letter),
        (Some(_), false) => {
            Err(Failure::input("SEVERAL_STORES", format!("several stores hold event {event}"))
                .hint("name one with --store-id"))
        }
        (None, _) => {
            Err(Failure::input("NO_SUCH_LETTER", format!("there is no dead letter of event {event}"))
                .hint("see `dlq list`"))
        }
    }
}

/// The payload as its event has it; `None` for a sealed one.
fn payload(reader: &dyn LogReader, letter: &DeadLetter) -> Result<Option<Value>, Failure> {
    let stored = reader.read(&letter.stream, letter.sequence_number, 1, usize::MAX)?;
    let Some(event) = stored.first() else { return Ok(None) };
    let broken =
        |problem: String| Failure::failed("CORRUPT", format!("event {}: {problem}", letter.event_id));
    let (envelope, _) = event.envelope().map_err(|error| broken(error.to_string()))?;
    match &envelope.payload {
        Payload::Plain(text) => {
            serde_json::from_str(text).map(Some).map_err(|error| broken(error.to_string()))
        }
        Payload::Encrypted(_) => Ok(None),
    }
}

fn path(letter: &DeadLetter) -> String {
    format!("/api/v1/dead-letters/{}", letter.event_id)
}

fn query(letter: &DeadLetter) -> String {
    format!("?tenant_id={}&store_id={}", letter.stream.tenant_id, letter.stream.store_id)
}

fn unread(error: stateset_sequencer::ServiceError) -> Failure {
    Failure::failed("DATABASE", error.to_string())
}

fn shown(letter: &DeadLetter) -> Value {
    json!({
        "event_id": letter.event_id, "tenant_id": letter.stream.tenant_id, "store_id": letter.stream.store_id,
        "sequence_number": letter.sequence_number, "entity_type": letter.entity_type,
        "entity_id": letter.entity_id, "event_type": letter.event_type, "reason": letter.reason.name(),
        "status": letter.status.name(), "error_message": letter.message,
        "expected_version": letter.expected_version, "actual_version": letter.actual_version,
        "retry_count": letter.retry_count, "max_retries": RETRIES_MAX,
        "last_retry_at": letter.last_retry_at.map(|at| at.to_string()),
        "next_retry_at": letter.next_retry_at.map(|at| at.to_string()),
        "created_at": letter.created_at.to_string(),
    })
}
