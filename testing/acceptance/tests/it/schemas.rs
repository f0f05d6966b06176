//! Schemas of real events: what `stateset import northwind` sends, against schemas that leave no member open.

#![allow(clippy::print_stderr)]

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use stateset_client::northwind::Dataset;
use stateset_event_log::{MemoryDisk, MemoryLog};
use stateset_fixtures::{Agent, sequencer_key, sign_payload, stream};
use stateset_sequencer::{Compatibility, Config, EventResult, NewSchema, Sequencer, SystemClock};
use ves::{Envelope, SequencerId, StreamKey};

const NORTHWIND: [(&str, &str); 6] = [
    ("order.created", include_str!("northwind/order.created.json")),
    ("order.shipped", include_str!("northwind/order.shipped.json")),
    ("customer.created", include_str!("northwind/customer.created.json")),
    ("supplier.created", include_str!("northwind/supplier.created.json")),
    ("product.created", include_str!("northwind/product.created.json")),
    ("inventory.initialized", include_str!("northwind/inventory.initialized.json")),
];

async fn register(service: &Sequencer, stream: &StreamKey, event_type: &str, schema: Value) {
    let new = NewSchema {
        tenant_id: stream.tenant_id,
        event_type: event_type.to_owned(),
        schema,
        compatibility: Compatibility::Full,
        description: None,
        created_by: None,
    };
    service.register_schema(new).await.expect("the registry takes the schema");
}

async fn ingest(service: &Sequencer, stream: &StreamKey, events: Vec<Envelope<'static>>) -> Vec<EventResult> {
    let events = events.into_iter().map(Ok).collect();
    service.ingest(*stream, events).await.expect("the store takes the events").results
}

#[tokio::test]
async fn every_event_of_the_sample_company_is_what_its_schema_admits() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/northwind");
    if !folder.is_dir() {
        assert!(std::env::var_os("CI").is_none(), "CI has no Northwind data at {}", folder.display());
        eprintln!("NOT RUN: there is no Northwind data at {}", folder.display());
        return;
    }
    let (stream, log) = (stream(1), MemoryLog::open(Box::new(MemoryDisk::default())).expect("an empty disk"));
    let config = Config::new(SequencerId::from_bytes([7; 16]), Arc::new(sequencer_key(1)), 1);
    let service = Sequencer::start(Box::new(log), config, Arc::new(SystemClock)).expect("starts");
    let agent = Agent::new(&stream, 1);
    service.register_agent_key(agent.registered_key()).await.expect("a key");
    for (event_type, schema) in NORTHWIND {
        let schema: Value = serde_json::from_str(schema).expect("JSON");
        register(&service, &stream, event_type, schema.clone()).await;
        // And again: a schema is fully compatible with itself.
        register(&service, &stream, event_type, schema).await;
    }
    let events = Dataset::read(&folder).expect("the data set").events();
    let count = events.len();
    let signed: Vec<Envelope<'static>> = events
        .into_iter()
        .zip(1..)
        .map(|(event, n)| {
            let canonical = ves::json::canonicalize(&event.payload).expect("JSON").into_owned();
            sign_payload(&agent, &stream, n, event.event_type, canonical)
        })
        .collect();
    for chunk in signed.chunks(500) {
        for (result, event) in ingest(&service, &stream, chunk.to_vec()).await.iter().zip(chunk) {
            assert!(matches!(result, EventResult::Accepted(_)), "{result:?} of {}", event.event_type);
        }
    }
    assert!(count > 1_500, "{count} events");
    let spoiled = r#"{"customer_id":"alfki"}"#;
    let event = sign_payload(&agent, &stream, 9_999, "order.created", spoiled.to_owned());
    assert!(matches!(&ingest(&service, &stream, vec![event]).await[0], EventResult::Rejected { .. }));
    service.shutdown().await;
}
