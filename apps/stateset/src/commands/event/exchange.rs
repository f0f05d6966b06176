//! `stateset event push` and `stateset event pull`.

use serde::Serialize;
use serde_json::value::RawValue;
use stateset_client::{ClientError, PulledEvent, PushOutcome, PushResult, Untrue};
use ves::envelope::{decode_text, encode};
use ves::hex::Format;
use ves::{Envelope, SequenceNumber};
use ves_wire::ReceiptBody;
use ves_wire::ingest::RejectionBody;

use super::{PullArgs, PushArgs};
use crate::context::Context;
use crate::error::{CliError, printable};
use crate::files;

/// Events asked for at once.
const PAGE_EVENTS: u64 = 500;

#[derive(Serialize)]
struct PushBody {
    accepted: u64,
    replayed: u64,
    rejected: u64,
    head_sequence: SequenceNumber,
    receipts: Vec<ReceiptBody>,
    rejections: Vec<RejectionBody>,
}

pub fn push(context: &Context, args: &PushArgs) -> Result<(), CliError> {
    let text = files::read_text(&args.file)?;
    let values = json_values(&text)?;
    let decode = |(index, value): (usize, &RawValue)| -> Result<Envelope<'static>, CliError> {
        let event = decode_text(value.get(), Format::Lenient);
        event
            .map(Envelope::into_owned)
            .map_err(|error| CliError::input("BAD_EVENT", format!("event {}: {error}", index + 1)))
    };
    let events: Vec<Envelope<'static>> =
        values.iter().map(Box::as_ref).enumerate().map(decode).collect::<Result<_, _>>()?;
    if events.is_empty() {
        return Err(CliError::input("NO_EVENTS", format!("there are no events in {}", args.file.display())));
    }
    let bar = context.out.progress(events.len() as u64, "events");
    let outcome = context.client()?.push(&events, |more| bar.inc(more as u64))?;
    bar.finish_and_clear();
    report(context, &outcome)
}

fn report(context: &Context, outcome: &PushOutcome) -> Result<(), CliError> {
    let mut body = PushBody {
        accepted: outcome.accepted,
        replayed: outcome.replayed,
        rejected: outcome.rejected,
        head_sequence: outcome.head,
        receipts: Vec::new(),
        rejections: Vec::new(),
    };
    let mut text = String::new();
    for (id, result) in &outcome.results {
        match result {
            PushResult::Stored(receipt) => body.receipts.push(ReceiptBody::from(receipt)),
            PushResult::Rejected(rejection) => {
                text += &format!(
                    "rejected {id}: {}\n  {}\n",
                    printable(&rejection.reason),
                    printable(&rejection.detail)
                );
                body.rejections.push(rejection.clone());
            }
        }
    }
    text += &format!(
        "{} accepted, {} were there before, {} rejected; every receipt verifies; the stream ends at {}",
        body.accepted, body.replayed, body.rejected, body.head_sequence
    );
    context.out.result(&body, &text);
    exit_of(outcome)
}

/// What the results say, whatever was counted.
fn exit_of(outcome: &PushOutcome) -> Result<(), CliError> {
    match outcome.results.iter().filter(|(_, result)| matches!(result, PushResult::Rejected(_))).count() {
        0 => Ok(()),
        rejected => Err(CliError::failure("EVENTS_REJECTED", format!("{rejected} events were rejected"))),
    }
}

pub fn pull(context: &Context, args: &PullArgs) -> Result<(), CliError> {
    let (client, stream) = (context.client()?, context.stream()?);
    let keys = client.signing_keys(&stream)?;
    let head = client.head(&stream)?.head_sequence.get();
    let first = args.from.max(1);
    // `first..=head`, as far as a number of events can say it.
    let total =
        head.checked_sub(first).map_or(0, |more| more.saturating_add(1)).min(args.limit.unwrap_or(u64::MAX));
    let bar = context.out.progress(total, "events");
    let (mut pulled, mut envelopes, mut unknown) = (0, String::new(), 0_u64);
    let as_envelopes = context.out.is_json() || args.out.is_some();
    while pulled < total {
        let wanted = PAGE_EVENTS.min(total - pulled) as usize;
        let next = SequenceNumber(first + pulled);
        let page = client.pull(&stream, next, wanted, &keys)?;
        if page.events.is_empty() {
            let problem = format!("the page is empty, the stream was said to go on to {head}");
            return Err(ClientError::from(Untrue::Event { at: next, problem }).into());
        }
        for event in &page.events {
            if !event.signer_known && !args.allow_unknown_signers {
                return Err(unknown_signer(event));
            }
            unknown += u64::from(!event.signer_known);
            if as_envelopes {
                write_envelope(event, &mut envelopes);
            } else {
                context.out.raw(&line(event));
            }
        }
        pulled += page.events.len() as u64;
        bar.inc(page.events.len() as u64);
    }
    bar.finish_and_clear();
    if as_envelopes {
        files::write_text(&context.out, args.out.as_deref(), &envelopes)?;
    }
    let file = args.out.as_deref().filter(|out| out.as_os_str() != "-");
    if let (true, Some(file)) = (context.out.is_json(), file) {
        let summary = serde_json::json!({
            "events": pulled, "from": first, "head_sequence": head, "unknown_signers": unknown, "file": file,
        });
        context.out.result(&summary, "");
    }
    if args.out.is_none() || file.is_some() {
        let signatures = if unknown > 0 {
            format!(", but for {unknown} signatures by agents without a registered key")
        } else {
            String::new()
        };
        context
            .out
            .note(&format!("{} events; every hash, signature and receipt verifies{signatures}", pulled));
    }
    Ok(())
}

fn unknown_signer(event: &PulledEvent) -> CliError {
    let e = &event.envelope;
    CliError::failure(
        "NOT_VERIFIED",
        format!(
            "event {}: agent {} has no registered key {}, so its signature cannot be checked",
            event.sequence_number, e.source_agent_id, e.agent_key_id
        ),
    )
    .hint("--allow-unknown-signers takes such events, marked")
}

/// One line. The mark is a member that readers of envelopes ignore; no signature covers it.
fn write_envelope(event: &PulledEvent, out: &mut String) {
    encode(&event.envelope, Some((event.sequence_number, event.sequenced_at)), out);
    if !event.signer_known && out.ends_with('}') {
        out.pop();
        out.push_str(",\"signer_known\":false}");
    }
    out.push('\n');
}

fn line(event: &PulledEvent) -> String {
    let e = &event.envelope;
    let mark = if event.signer_known { ' ' } else { '?' };
    format!(
        "{:>8} {mark} {:<20} {:<10} {:<12} {}\n",
        event.sequence_number.get(),
        printable(&e.event_type),
        printable(&e.entity_type),
        printable(&e.entity_id),
        printable(&e.created_at)
    )
}

/// The JSON values of a text: one, several after one another, or the items of arrays.
pub fn json_values(text: &str) -> Result<Vec<Box<RawValue>>, CliError> {
    let bad = |error: serde_json::Error| CliError::input("BAD_JSON", error.to_string());
    let mut values = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Box<RawValue>>() {
        let value = value.map_err(bad)?;
        if value.get().starts_with('[') {
            values.extend(serde_json::from_str::<Vec<Box<RawValue>>>(value.get()).map_err(bad)?);
        } else {
            values.push(value);
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_of_a_push_follows_its_results() {
        let rejection = RejectionBody {
            event_id: None,
            index: 0,
            code: "x".to_owned(),
            reason: "x\u{1b}".to_owned(),
            retryable: false,
            detail: String::new(),
        };
        let id = ves::EventId::from_bytes([1; 16]);
        let outcome =
            PushOutcome { results: vec![(id, PushResult::Rejected(rejection))], ..PushOutcome::default() };
        assert_eq!(exit_of(&outcome).unwrap_err().code, "EVENTS_REJECTED");
        assert!(exit_of(&PushOutcome { rejected: 3, ..PushOutcome::default() }).is_ok());
    }
}
