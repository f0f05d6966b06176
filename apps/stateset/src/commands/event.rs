//! `stateset event`

mod exchange;
mod sign;
mod tail;

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use stateset_client::{Client, Page, PulledEvent, SigningKeys};
use stateset_keystore::KeyName;
use ves::envelope::encode;
use ves::seal::OpenedPayload;
use ves::{EventId, Payload, RecipientKeyId, SequenceNumber, StreamKey};

use crate::commands::compliance::payload::{check_new_salt, keep_salt};
use crate::context::Context;
use crate::error::{CliError, printable, printable_lines};
use crate::installation::agent_of;

#[derive(Debug, Subcommand)]
pub enum EventCommand {
    /// Sign events from drafts or from flags; prints one envelope a line
    Sign(Box<sign::SignArgs>),
    /// Push signed events and check their receipts
    Push(PushArgs),
    /// Pull events and check their hashes, signatures and receipts; with `--json` prints one envelope a line
    Pull(PullArgs),
    /// Show one event, and open it if a key allows
    Show(ShowArgs),
    /// Follow the stream: events as they become durable, one a line
    Tail(tail::TailArgs),
    /// Post one event to a program on this machine once more, signed as `stateset listen` signs
    Resend(tail::ResendArgs),
}

#[derive(Debug, Args)]
pub struct PushArgs {
    /// Signed events: one JSON object, an array, or one a line; `-` is stdin
    #[arg(default_value = "-")]
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct PullArgs {
    /// First sequence number
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub from: u64,
    /// At most this many [default: to the head]
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<u64>,
    /// Write the envelopes, one a line, to a file; `-` is stdout. To a file, `--json` prints a summary
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Take events whose agent key is not registered, too; they are marked `?`, in JSON `"signer_known":false`
    #[arg(long)]
    pub allow_unknown_signers: bool,
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Sequence number or id of the event
    pub event: EventName,
    /// Open a sealed payload with this x25519 key
    #[arg(long, value_name = "KEY")]
    pub open: Option<KeyName>,
    /// Keep the salt of the opened payload here, for proofs about it; the file is secret
    #[arg(long, value_name = "FILE", requires = "open")]
    pub keep_salt: Option<PathBuf>,
}

/// An event as a person names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventName {
    Number(SequenceNumber),
    Id(EventId),
}

impl FromStr for EventName {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<u64>() {
            Ok(0) => Err("the first event is number 1"),
            Ok(number) => Ok(Self::Number(SequenceNumber(number))),
            Err(_) => text.parse().map(Self::Id).map_err(|_| "expected a sequence number or an event id"),
        }
    }
}

pub fn run(context: &Context, command: &EventCommand) -> Result<(), CliError> {
    match command {
        EventCommand::Sign(args) => sign::run(context, args),
        EventCommand::Push(args) => exchange::push(context, args),
        EventCommand::Pull(args) => exchange::pull(context, args),
        EventCommand::Show(args) => show(context, args),
        EventCommand::Tail(args) => tail::tail(context, args),
        EventCommand::Resend(args) => tail::resend(context, args),
    }
}

/// One event of the stream, verified.
pub fn fetch(
    client: &Client,
    stream: &StreamKey,
    name: &EventName,
    keys: &SigningKeys,
) -> Result<PulledEvent, CliError> {
    match name {
        EventName::Id(id) => Ok(client.event(stream, id, keys)?),
        EventName::Number(number) => {
            let Page { events, head, .. } = client.pull(stream, *number, 1, keys)?;
            events.into_iter().next().ok_or_else(|| {
                CliError::input(
                    "EVENT_NOT_FOUND",
                    format!("there is no event {number}, the stream ends at {head}"),
                )
            })
        }
    }
}

fn show(context: &Context, args: &ShowArgs) -> Result<(), CliError> {
    check_new_salt(args.keep_salt.as_deref())?;
    let (client, stream) = (context.client()?, context.stream()?);
    let event = fetch(&client, &stream, &args.event, &client.signing_keys(&stream)?)?;
    let opened = match &args.open {
        Some(name) => Some(open(context, name, &event)?),
        None => None,
    };
    if let (Some(file), Some(opened)) = (&args.keep_salt, &opened) {
        keep_salt(file, &opened.salt)?;
    }
    let mut envelope = String::new();
    encode(&event.envelope, Some((event.sequence_number, event.sequenced_at)), &mut envelope);
    let envelope: serde_json::Value =
        serde_json::from_str(&envelope).map_err(|error| CliError::failure("INTERNAL", error.to_string()))?;
    let payload: Option<serde_json::Value> =
        opened.as_ref().and_then(|opened| serde_json::from_str(&opened.canonical).ok());
    let text = describe(&event, payload.as_ref());
    let value = serde_json::json!({
        "envelope": envelope,
        "receipt": ves_wire::ReceiptBody::from(&event.receipt),
        "verified": {"payload_hash": true, "receipt": true, "agent_signature": event.signer_known},
        "opened_payload": payload,
    });
    context.out.result(&value, &text);
    Ok(())
}

/// The payload and its salt, opened with the x25519 key `name`.
pub fn open(context: &Context, name: &KeyName, event: &PulledEvent) -> Result<OpenedPayload, CliError> {
    let keys = context.keystore()?;
    let (_, number) = agent_of(&keys.info(name)?)?;
    let key = keys.agreement_key(name)?;
    ves::seal::open_with_salt(&event.envelope, RecipientKeyId(number.0), key.secret())
        .map_err(|error| CliError::failure("CANNOT_OPEN_EVENT", format!("{error}")))
}

fn describe(event: &PulledEvent, opened: Option<&serde_json::Value>) -> String {
    let e = &event.envelope;
    let payload = match (&e.payload, opened) {
        (_, Some(payload)) => format!("opened: {payload:#}"),
        (Payload::Plain(text), None) => serde_json::from_str::<serde_json::Value>(text)
            .map_or_else(|_| text.to_string(), |value| format!("{value:#}")),
        (Payload::Encrypted(sealed), None) => {
            let kids: Vec<String> =
                sealed.recipients.iter().map(|wrap| wrap.recipient_kid.to_string()).collect();
            format!("sealed for recipient keys {}", kids.join(", "))
        }
    };
    let payload = printable_lines(&payload);
    let agent = if event.signer_known { "its signature verifies" } else { "NO REGISTERED KEY IS KNOWN" };
    format!(
        "{} {}  {} {}\n  event id      {}\n  created at    {}\n  sequenced at  {}, number {}, receipt verifies\n  agent         {} key {}: {agent}\n{payload}",
        printable(&e.event_type),
        event.sequence_number,
        printable(&e.entity_type),
        printable(&e.entity_id),
        e.event_id,
        printable(&e.created_at),
        event.sequenced_at,
        event.sequence_number,
        e.source_agent_id,
        e.agent_key_id,
    )
}
