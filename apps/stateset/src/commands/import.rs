//! `stateset import`

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, Subcommand};
use serde::Serialize;
use stateset_client::northwind::{Dataset, ImportEvent};
use stateset_client::{PushOutcome, PushResult};
use stateset_keystore::KeyName;
use ves::SequenceNumber;
use ves::draft::Draft;
use ves_wire::ingest::RejectionBody;

use crate::context::Context;
use crate::error::CliError;
use crate::installation::agent_of;

#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// The Northwind sample company: customers, suppliers, products, orders with their lines
    Northwind(NorthwindArgs),
}

#[derive(Debug, Args)]
pub struct NorthwindArgs {
    /// The folder with orders.csv, order-details.csv, customers.csv, products.csv, …
    pub folder: PathBuf,
    /// Name of the signing key
    #[arg(long, value_name = "KEY", default_value = "agent")]
    pub key: KeyName,
}

#[derive(Serialize)]
struct Imported {
    orders: usize,
    order_lines: usize,
    orders_shipped: usize,
    customers: usize,
    products: usize,
    suppliers: usize,
    events: usize,
    accepted: u64,
    already_there: u64,
    rejected: u64,
    head_sequence: SequenceNumber,
    seconds: f64,
    rejections: Vec<RejectionBody>,
}

/// Events pushed between two steps of the bar.
const STEP_EVENTS: usize = 200;

pub fn run(context: &Context, ImportCommand::Northwind(args): &ImportCommand) -> Result<(), CliError> {
    let data = Dataset::read(&args.folder)?;
    let events = data.events();
    context.out.note(&format!(
        "Read {} orders with {} lines, {} customers, {} products, {} suppliers: {} events.",
        data.orders.len(),
        data.order_lines(),
        data.customers.len(),
        data.products.len(),
        data.suppliers.len(),
        events.len()
    ));
    let started = Instant::now();
    let outcome = push(context, &args.key, &events)?;
    let rejections = outcome.results.iter().filter_map(|(_, result)| match result {
        PushResult::Rejected(rejection) => Some(rejection.clone()),
        PushResult::Stored(_) => None,
    });
    let imported = Imported {
        orders: data.orders.len(),
        order_lines: data.order_lines(),
        orders_shipped: data.orders.values().filter(|order| order.shipped_at.is_some()).count(),
        customers: data.customers.len(),
        products: data.products.len(),
        suppliers: data.suppliers.len(),
        events: events.len(),
        accepted: outcome.accepted,
        already_there: outcome.replayed,
        rejected: outcome.rejected,
        head_sequence: outcome.head,
        seconds: started.elapsed().as_secs_f64(),
        rejections: rejections.collect(),
    };
    context.out.result(&imported, &text(&imported));
    match imported.rejections.first() {
        None => Ok(()),
        Some(first) => Err(refused(&imported, first)),
    }
}

/// Signs and pushes step by step. Stopped half-way, the next run finds the first events answered as replays.
fn push(context: &Context, key: &KeyName, events: &[ImportEvent]) -> Result<PushOutcome, CliError> {
    let (client, stream, keys) = (context.client()?, context.stream()?, context.keystore()?);
    let (agent, key_id) = agent_of(&keys.info(key)?)?;
    let signer = keys.signer(key)?;
    let bar = context.out.progress(events.len() as u64, "events");
    let mut all = PushOutcome::default();
    for step in events.chunks(STEP_EVENTS) {
        let mut signed = Vec::with_capacity(step.len());
        for event in step {
            let draft = Draft {
                stream,
                event_id: event.event_id,
                source_agent_id: agent,
                agent_key_id: key_id,
                entity_type: event.entity_type.into(),
                entity_id: event.entity_id.as_str().into(),
                event_type: event.event_type.into(),
                created_at: event.created_at.as_str().into(),
                command_id: None,
                base_version: None,
            };
            let envelope = draft.sign(&event.payload, signer.as_ref()).map_err(|error| {
                CliError::input("BAD_DATA", format!("{} {}: {error}", event.event_type, event.entity_id))
            })?;
            signed.push(envelope);
        }
        let outcome = client.push(&signed, |more| bar.inc(more as u64))?;
        all.accepted += outcome.accepted;
        all.replayed += outcome.replayed;
        all.rejected += outcome.rejected;
        all.head = outcome.head;
        all.results.extend(outcome.results);
    }
    bar.finish_and_clear();
    Ok(all)
}

fn text(imported: &Imported) -> String {
    format!(
        "{} events accepted, {} were there before, {} rejected, in {:.2} s; every receipt verifies.\n\
         The stream ends at {}. Try `stateset event show 200`, `stateset commit`, `stateset log verify`.",
        imported.accepted,
        imported.already_there,
        imported.rejected,
        imported.seconds,
        imported.head_sequence
    )
}

fn refused(imported: &Imported, first: &RejectionBody) -> CliError {
    let message = format!(
        "{} events were rejected, the first with {}: {}",
        imported.rejected, first.reason, first.detail
    );
    let error = CliError::failure("EVENTS_REJECTED", message);
    match first.code.as_str() {
        "duplicate_event_id" => {
            error.hint("this company was imported before under another key, into the same stream; use that key, or another --store")
        }
        "agent_key_invalid" => error.hint("register the key with `stateset key register NAME`"),
        _ => error,
    }
}
