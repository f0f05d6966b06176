//! `stateset webhooks`: receivers at the server, and what became of deliveries to them.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;
use ves::StoreId;

use crate::context::Context;
use crate::error::{CliError, printable};
use crate::rest::Rest;

const ROUTE: &str = "/api/v1/webhooks";
/// Attempts of one page.
const PAGE: usize = 1000;
const FORMS: [&str; 2] = ["event", "cloudevents"];

#[derive(Debug, Subcommand)]
pub enum WebhooksCommand {
    /// Register a receiver; prints its secret, which is shown once
    Create(CreateArgs),
    /// List the receivers of the tenant
    List,
    /// Show one receiver, and how far each stream has come
    Show(Named),
    /// Change a receiver; what is not named stays
    Update(UpdateArgs),
    /// Send a receiver nothing; what comes meanwhile waits for it
    Pause(Named),
    /// Send a paused or gone receiver all that waits for it
    Resume(Named),
    /// Give a receiver another secret; prints it, which is shown once
    RotateSecret(RotateArgs),
    /// Remove a receiver and the log of its deliveries
    Delete(Named),
    /// The last attempts of each stream, or with --dead what was given up
    Deliveries(DeliveriesArgs),
    /// Deliver once more from a number on
    Replay(ReplayArgs),
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Where events are posted: https, to a public address
    pub url: String,
    /// Only these types, with commas between; order.* stands for all that begin so
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    pub events: Vec<String>,
    /// Only the events of the store of --store, else of every store
    #[arg(long)]
    pub only_this_store: bool,
    /// How an event is written: event or cloudevents
    #[arg(long, value_name = "FORM", default_value = "event", value_parser = FORMS, hide_possible_values = true)]
    pub format: String,
    /// For people
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
}

#[derive(Debug, Args)]
pub struct Named {
    /// The receiver
    #[arg(value_name = "WEBHOOK")]
    pub webhook: Uuid,
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("change").required(true).multiple(true)))]
pub struct UpdateArgs {
    #[command(flatten)]
    pub named: Named,
    /// Where events are posted from now on
    #[arg(long, value_name = "URL", group = "change")]
    pub url: Option<String>,
    /// Only these types from now on, with commas between; order.* stands for all that begin so
    #[arg(long, value_name = "TYPES", value_delimiter = ',', group = "change")]
    pub events: Option<Vec<String>>,
    /// Every type from now on
    #[arg(long, conflicts_with = "events", group = "change")]
    pub all_events: bool,
    /// How an event is written: event or cloudevents
    #[arg(long, value_name = "FORM", value_parser = FORMS, hide_possible_values = true, group = "change")]
    pub format: Option<String>,
    /// For people; empty removes it
    #[arg(long, value_name = "TEXT", group = "change")]
    pub description: Option<String>,
}

#[derive(Debug, Args)]
pub struct RotateArgs {
    #[command(flatten)]
    pub named: Named,
    /// For how long the secret before signs as well: 0 to 168
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(0..=168))]
    pub overlap: u32,
}

#[derive(Debug, Args)]
pub struct DeliveriesArgs {
    #[command(flatten)]
    pub named: Named,
    /// Dead letters
    #[arg(long)]
    pub dead: bool,
}

#[derive(Debug, Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    pub named: Named,
    /// The first event that is delivered again; 1 is the first of all
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub from: u64,
}

pub fn run(context: &Context, command: &WebhooksCommand) -> Result<(), CliError> {
    let rest = Rest::of(context)?;
    let stream = context.stream()?;
    let query = format!("?tenant_id={}", stream.tenant_id);
    match command {
        WebhooksCommand::Create(args) => {
            let store: Option<StoreId> = args.only_this_store.then_some(stream.store_id);
            let body = json!({
                "tenant_id": stream.tenant_id, "url": args.url, "event_types": args.events, "store_id": store,
                "format": args.format, "description": args.description,
            });
            let made = rest.post(ROUTE, &body)?;
            context.out.result(&made, &with_secret(&made));
        }
        WebhooksCommand::Update(args) => {
            let all = args.all_events.then(Vec::new);
            let mut body = json!({"tenant_id": stream.tenant_id});
            for (name, value) in [
                ("url", json!(args.url)),
                ("event_types", json!(args.events.clone().or(all))),
                ("format", json!(args.format)),
                ("description", json!(args.description)),
            ] {
                if !value.is_null() {
                    body[name] = value;
                }
            }
            let changed = rest.patch(&format!("{ROUTE}/{}", args.named.webhook), &body)?;
            context.out.result(&changed, &line(&changed));
        }
        WebhooksCommand::Pause(named) | WebhooksCommand::Resume(named) => {
            let status = if matches!(command, WebhooksCommand::Pause(_)) { "paused" } else { "active" };
            let body = json!({"tenant_id": stream.tenant_id, "status": status});
            let changed = rest.patch(&format!("{ROUTE}/{}", named.webhook), &body)?;
            context.out.result(&changed, &line(&changed));
        }
        WebhooksCommand::RotateSecret(args) => {
            let body = json!({"tenant_id": stream.tenant_id, "overlap_hours": args.overlap});
            let changed = rest.post(&format!("{ROUTE}/{}/secret", args.named.webhook), &body)?;
            context.out.result(&changed, &with_secret(&changed));
        }
        WebhooksCommand::List => {
            let found = rest.get(&format!("{ROUTE}{query}"))?;
            let lines: Vec<String> = items(&found, "webhooks").iter().map(line).collect();
            let text = if lines.is_empty() { "There are no webhooks.".to_owned() } else { lines.join("\n") };
            context.out.result(&found, &text);
        }
        WebhooksCommand::Show(named) => {
            let found = rest.get(&format!("{ROUTE}/{}{query}", named.webhook))?;
            let mut text = line(&found);
            for stream in items(&found, "streams") {
                text += &format!("\n  {}", stream_line(stream));
            }
            context.out.result(&found, &text);
        }
        WebhooksCommand::Delete(named) => {
            let done = rest.delete(&format!("{ROUTE}/{}{query}", named.webhook))?;
            context.out.result(&done, "Removed.");
        }
        WebhooksCommand::Deliveries(args) => {
            let kind = if args.dead { "dead-letters" } else { "deliveries" };
            let found = rest.get(&format!("{ROUTE}/{}/{kind}{query}&limit={PAGE}", args.named.webhook))?;
            let lines: Vec<String> = items(&found, "deliveries").iter().map(delivery_line).collect();
            let text = if lines.is_empty() { "There are none.".to_owned() } else { lines.join("\n") };
            context.out.result(&found, &text);
        }
        WebhooksCommand::Replay(args) => {
            let body = json!({
                "tenant_id": stream.tenant_id, "store_id": stream.store_id, "from_sequence": args.from,
            });
            let lane = rest.post(&format!("{ROUTE}/{}/replay", args.named.webhook), &body)?;
            context.out.result(&lane, &stream_line(&lane));
        }
    }
    Ok(())
}

fn items<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

/// A member as text.
fn word(value: &Value, name: &str) -> String {
    match &value[name] {
        Value::Null => "-".to_owned(),
        Value::String(text) => printable(text),
        other => printable(&other.to_string()),
    }
}

fn line(webhook: &Value) -> String {
    let types: Vec<&str> = items(webhook, "event_types").iter().filter_map(Value::as_str).collect();
    let types = if types.is_empty() { "every event".to_owned() } else { printable(&types.join(", ")) };
    let mut text = format!("{}  {}  {types}", word(webhook, "webhook_id"), word(webhook, "url"));
    match webhook["status"].as_str() {
        Some("gone") => {
            text += &format!(
                "  gone: it answered 410 at {}; `stateset webhooks resume` sends again",
                word(webhook, "status_since")
            );
        }
        Some("paused") => text += &format!("  paused since {}", word(webhook, "status_since")),
        _ => {}
    }
    text
}

fn with_secret(webhook: &Value) -> String {
    let mut text = format!("{}\n  secret  {}", line(webhook), word(webhook, "secret"));
    if !webhook["earlier_secret_until"].is_null() {
        text += &format!("\n  The one before signs as well until {}.", word(webhook, "earlier_secret_until"));
    }
    text + "\n  Keep the secret where your receiver finds it: it is not shown again."
}

fn stream_line(lane: &Value) -> String {
    let mut text = format!(
        "store {}: next is event {} of {}, {} delivered, {} dead letters",
        word(lane, "store_id"),
        word(lane, "next_sequence"),
        word(lane, "head_sequence"),
        word(lane, "delivered"),
        word(lane, "dead_letters"),
    );
    // It counts since the receiver was registered, so a replay that brings them home leaves it as it is.
    if lane["given_up"].as_u64() > lane["dead_letters"].as_u64() {
        text += &format!(" (of {} that were ever given up)", word(lane, "given_up"));
    }
    let error = word(lane, "last_error");
    if lane["failures"].as_u64() > Some(0) {
        text +=
            &format!("; {} failures, again at {}: {error}", word(lane, "failures"), word(lane, "retry_at"));
    } else if !lane["last_error"].is_null() {
        text += &format!("; the last failure: {error}");
    }
    text
}

fn delivery_line(delivery: &Value) -> String {
    let said = if delivery["error"].is_null() { word(delivery, "status") } else { word(delivery, "error") };
    format!(
        "{:>8}  {}  {}  attempt {}  {}  {said}",
        word(delivery, "sequence_number"),
        word(delivery, "at"),
        word(delivery, "event_type"),
        word(delivery, "attempt"),
        word(delivery, "outcome"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_replay_brought_home_is_not_told_as_given_up() {
        let lane = |given_up: u64, letters: u64| {
            stream_line(&json!({"store_id": "s", "next_sequence": 4, "head_sequence": 3, "delivered": 3,
                "given_up": given_up, "dead_letters": letters, "failures": 0, "last_error": null}))
        };
        assert_eq!(lane(0, 0), "store s: next is event 4 of 3, 3 delivered, 0 dead letters");
        assert_eq!(lane(1, 1), "store s: next is event 4 of 3, 3 delivered, 1 dead letters");
        assert_eq!(
            lane(1, 0),
            "store s: next is event 4 of 3, 3 delivered, 0 dead letters (of 1 that were ever given up)"
        );
    }
}
