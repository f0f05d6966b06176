//! `stateset event push` and `stateset event pull`.

use serde::Serialize;
use serde_json::value::RawValue;
use stateset_client::{PulledEvent, PushOutcome, PushResult};
use ves::envelope::{decode_text, encode};
use ves::hex::Format;
use ves::{Envelope, SequenceNumber};
use ves_wire::ReceiptBody;
use ves_wire::ingest::RejectionBody;

use super::{PullArgs, PushArgs};
use crate::context::Context;
use crate::error::CliError;
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
                text += &format!("rejected {id}: {}\n  {}\n", rejection.reason, rejection.detail);
                body.rejections.push(rejection.clone());
            }
        }
    }
    text += &format!(
        "{} accepted, {} were there before, {} rejected; every receipt verifies; the stream ends at {}",
        body.accepted, body.replayed, body.rejected, body.head_sequence
    );
    context.out.result(&body, &text);
    match body.rejected {
        0 => Ok(()),
        rejected => Err(CliError::failure("EVENTS_REJECTED", format!("{rejected} events were rejected"))),
    }
}

pub fn pull(context: &Context, args: &PullArgs) -> Result<(), CliError> {
    let (client, stream) = (context.client()?, context.stream()?);
    let keys = client.signing_keys(&stream)?;
    let head = client.head(&stream)?.head_sequence.get();
    let first = args.from.max(1);
    let total = (head + 1).saturating_sub(first).min(args.limit.unwrap_or(u64::MAX));
    let bar = context.out.progress(total, "events");
    let (mut next, end, mut envelopes, mut unknown) = (first, first + total, String::new(), 0);
    let as_envelopes = context.out.is_json() || args.out.is_some();
    while next < end {
        let wanted = PAGE_EVENTS.min(end - next) as usize;
        let page = client.pull(&stream, SequenceNumber(next), wanted, &keys)?;
        if page.events.is_empty() {
            break;
        }
        for event in &page.events {
            unknown += u64::from(!event.signer_known);
            if as_envelopes {
                encode(&event.envelope, Some((event.sequence_number, event.sequenced_at)), &mut envelopes);
                envelopes.push('\n');
            } else {
                context.out.raw(&line(event));
            }
        }
        next += page.events.len() as u64;
        bar.inc(page.events.len() as u64);
    }
    bar.finish_and_clear();
    if as_envelopes {
        files::write_text(&context.out, args.out.as_deref(), &envelopes)?;
    }
    if args.out.as_deref().is_none_or(|out| out.as_os_str() != "-") {
        let signatures = if unknown > 0 {
            format!(" ({unknown} by agents without a registered key)")
        } else {
            String::new()
        };
        context.out.note(&format!(
            "{} events; every hash, signature and receipt verifies{signatures}",
            next - first
        ));
    }
    Ok(())
}

fn line(event: &PulledEvent) -> String {
    let e = &event.envelope;
    let mark = if event.signer_known { ' ' } else { '?' };
    format!(
        "{:>8} {mark} {:<20} {:<10} {:<12} {}\n",
        event.sequence_number.get(),
        e.event_type,
        e.entity_type,
        e.entity_id,
        e.created_at
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
