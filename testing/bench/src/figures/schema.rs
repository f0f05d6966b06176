//! What it costs to check a payload against its schema: parsing its text and looking at every value, in this process, with
//! a schema that leaves nothing open.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use stateset_fixtures::order_payload;
use stateset_sequencer::PayloadSchema;

use crate::machine::median;
use crate::report::{Goal, Row, progress};
use crate::run::Bench;

/// Different orders, so that no branch is learned by heart.
const ORDERS: u64 = 1_000;

pub fn measure(bench: &mut Bench) -> Result<()> {
    progress("checking payloads against a schema");
    let schema = PayloadSchema::new(&schema())?;
    let orders: Vec<String> = (1..=ORDERS).map(order_payload).collect();
    let bytes = orders.iter().map(String::len).sum::<usize>() as f64 / orders.len() as f64;
    ensure!(orders.iter().all(|order| schema.check(order).is_empty()), "the schema refuses an order");
    let spoiled: Vec<String> =
        orders.iter().map(|order| order.replacen("\"qty\":", "\"qty\":-", 1)).collect();
    ensure!(spoiled.iter().all(|order| !schema.check(order).is_empty()), "the schema admits a spoiled order");

    let rounds = bench.count(51, 5);
    let cost = |payloads: &[String]| {
        let mut times: Vec<f64> = (0..rounds)
            .map(|_| {
                let started = Instant::now();
                payloads.iter().for_each(|payload| drop(black_box(schema.check(black_box(payload)))));
                started.elapsed().as_secs_f64() * 1e6 / payloads.len() as f64
            })
            .collect();
        median(&mut times)
    };
    bench.rows.extend([
        Row::new("schema: checking an order that it admits", cost(&orders), "us").goal(Goal::AtMost(15.0)),
        Row::new("schema: checking an order that it refuses, and saying why", cost(&spoiled), "us"),
        Row::new("schema: size of an order", bytes, "bytes"),
    ]);
    Ok(())
}

/// The orders of the fixtures.
fn schema() -> Value {
    json!({
        "type": "object",
        "required": ["order_id", "currency", "items", "total_minor"],
        "additionalProperties": false,
        "properties": {
            "order_id": {"type": "string", "pattern": "^ORD-[0-9]{8}$"},
            "currency": {"enum": ["EUR", "USD", "GBP", "CHF", "JPY"]},
            "total_minor": {"type": "integer", "minimum": 0},
            "items": {"type": "array", "minItems": 1, "maxItems": 500, "items": {"$ref": "#/$defs/item"}},
        },
        "$defs": {"item": {
            "type": "object",
            "required": ["sku", "qty", "price_minor"],
            "additionalProperties": false,
            "properties": {
                "sku": {"type": "string", "pattern": "^W-[0-9]{4}$"},
                "qty": {"type": "integer", "minimum": 1, "maximum": 100_000},
                "price_minor": {"type": "integer", "minimum": 0},
            },
        }},
    })
}
