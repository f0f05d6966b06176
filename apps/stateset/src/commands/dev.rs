//! `stateset dev`: `up` with sample events, and all that a developer needs on one page.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use crate::commands::trigger::{self, Event};
use crate::commands::up::{self, UpArgs};
use crate::context::Context;
use crate::error::CliError;
use crate::installation::name;

/// Longest wait for the server of this process.
const START_TIME_MAX: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub struct DevArgs {
    #[command(flatten)]
    pub up: UpArgs,
    /// Leave an empty stream empty
    #[arg(long)]
    pub no_sample: bool,
}

pub fn run(context: &Context, args: &DevArgs) -> Result<(), CliError> {
    let (global, sample) = (context.global.clone(), !args.no_sample);
    // The server takes this thread; what is told of it waits until it answers.
    std::thread::spawn(move || {
        let context = Context::new(global);
        if let Err(error) = begin(&context, sample) {
            context.out.note(&format!("The sample events are left out: {}", error.message));
        }
    });
    up::run(context, &args.up)
}

fn begin(context: &Context, sample: bool) -> Result<(), CliError> {
    let head = wait(context)?;
    let mut made = 0;
    if sample && head == 0 {
        for event in samples() {
            trigger::push(context, &name("agent"), &event)?;
            made += 1;
        }
    }
    tell(context, made)
}

/// Until the server answers; where the stream ends.
fn wait(context: &Context) -> Result<u64, CliError> {
    let began = Instant::now();
    loop {
        let answer = context.client().and_then(|client| Ok(client.head(&context.stream()?)?));
        match answer {
            Ok(head) => return Ok(head.head_sequence.get()),
            Err(error) if began.elapsed() > START_TIME_MAX => return Err(error),
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}

fn tell(context: &Context, made: u64) -> Result<(), CliError> {
    let (client, stream) = (context.client()?, context.stream()?);
    let url = client.url();
    let key_file = context.data.api_key_file();
    let query = format!("tenant_id={}&store_id={}", stream.tenant_id, stream.store_id);
    let agent = context.public_keystore()?.info(&name("agent"))?;
    let value = json!({
        "event": "ready", "url": url, "sample_events": made, "api_key_file": key_file,
        "tenant_id": stream.tenant_id, "store_id": stream.store_id,
        "agent_public_key": ves::hex::encode(&agent.public_key),
        "feed": format!("{url}/api/v1/events/stream?{query}"), "openapi": format!("{url}/openapi.json"),
    });
    let text = format!(
        "Ready, with {made} sample events.\n  \
         events     {url}/api/v1/ves/events?{query}\n  \
         live feed  {url}/api/v1/events/stream?{query}&from=1\n  \
         orders     {url}/api/v1/entities/order?{query}\n  \
         openapi    {url}/openapi.json\n  \
         API key    in {}, as the header x-api-key\n  \
         agent key  {}\n  \
         Next: stateset trigger order.created, stateset events tail, stateset listen --forward-to URL",
        key_file.display(),
        ves::hex::encode(&agent.public_key),
    );
    context.out.result(&value, &text);
    Ok(())
}

/// A customer who orders something that is in stock.
fn samples() -> Vec<Event> {
    let of = |event_type: &str, entity_id: &str, payload: Value| Event {
        event_type: event_type.to_owned(),
        entity_id: entity_id.to_owned(),
        payload,
    };
    let line = json!({"product_id": "COFFEE-250", "quantity": 2, "unit_price": "21.00"});
    vec![
        of("customer.created", "CUSTOMER-1", json!({"name": "Ada Example", "email": "ada@example.com"})),
        of(
            "product.created",
            "COFFEE-250",
            json!({"name": "Coffee, 250 g", "sku": "COFFEE-250", "price": "21.00", "currency": "USD"}),
        ),
        of("inventory.initialized", "COFFEE-250:main", json!({"quantity": 100})),
        of(
            "order.created",
            "ORDER-1",
            json!({"customer_id": "CUSTOMER-1", "currency": "USD", "total_amount": "42.00", "line_items": [line]}),
        ),
        of("order.confirmed", "ORDER-1", json!({})),
        of("inventory.reserved", "COFFEE-250:main", json!({"quantity": 2})),
    ]
}
