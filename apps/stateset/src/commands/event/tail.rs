//! `stateset events tail` and `stateset events resend`.

use clap::Args;
use serde_json::{Value, json};
use ves::envelope::encode;

use super::{EventName, fetch};
use crate::commands::listen::Forward;
use crate::context::Context;
use crate::error::{CliError, printable};
use crate::feed::{Feed, Told, Wanted};

#[derive(Debug, Args)]
pub struct TailArgs {
    /// First sequence number [default: what comes from now on]
    #[arg(long, value_name = "NUMBER")]
    pub from: Option<u64>,
    /// Only these types, with commas between; order.* stands for all that begin so
    #[arg(long, value_name = "TYPES")]
    pub events: Option<String>,
    /// End after so many events
    #[arg(long, value_name = "COUNT")]
    pub limit: Option<u64>,
}

#[derive(Debug, Args)]
pub struct ResendArgs {
    /// Sequence number or id of the event
    pub event: EventName,
    /// Where to post it, for example http://localhost:3000/webhooks
    #[arg(long, value_name = "URL")]
    pub forward_to: String,
}

/// Events as they become durable, one a line. What is shown is the server's word; `event show` checks one.
pub fn tail(context: &Context, args: &TailArgs) -> Result<(), CliError> {
    let wanted = Wanted { from: args.from, event_types: args.events.clone() };
    let mut feed = Feed::open(context, &context.stream()?, &wanted)?;
    let mut shown = 0;
    while args.limit.is_none_or(|limit| shown < limit) {
        let told = feed.next()?;
        context.out.result(&told.entry, &line(&told));
        shown += 1;
    }
    Ok(())
}

fn line(told: &Told) -> String {
    let envelope = &told.entry["envelope"];
    let text = |name: &str| printable(envelope[name].as_str().unwrap_or_default());
    let payload = match &envelope["payload"] {
        Value::Null => "sealed".to_owned(),
        payload => printable(&payload.to_string()),
    };
    let (kind, entity) = (text("event_type"), format!("{} {}", text("entity_type"), text("entity_id")));
    format!("{:>8}  {kind}  {entity}  {payload}", told.number)
}

/// Posts one event that is verified first, signed as `stateset listen` signs.
pub fn resend(context: &Context, args: &ResendArgs) -> Result<(), CliError> {
    let (client, stream) = (context.client()?, context.stream()?);
    let event = fetch(&client, &stream, &args.event, &client.signing_keys(&stream)?)?;
    let mut envelope = String::new();
    encode(&event.envelope, Some((event.sequence_number, event.sequenced_at)), &mut envelope);
    let envelope: Value =
        serde_json::from_str(&envelope).map_err(|error| CliError::failure("INTERNAL", error.to_string()))?;
    let entry = json!({
        "envelope": envelope,
        "sequenced_at": event.sequenced_at.to_string(),
        "receipt": ves_wire::ReceiptBody::from(&event.receipt),
    });
    let told = Told { number: event.sequence_number.get(), entry };
    match Forward::new(context, &args.forward_to)?.send(context, &told)? {
        true => Ok(()),
        false => Err(CliError::failure("NOT_TAKEN", "the receiver did not take the event")),
    }
}
