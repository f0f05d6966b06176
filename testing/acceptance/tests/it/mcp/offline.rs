//! The service is away, the process dies: nothing is lost, nothing is done twice.

use serde_json::{Value, json};
use stateset_acceptance::Service;

use super::client::Model;

fn adjust(key: &str) -> Value {
    json!({"product_id": "P-1", "adjustment": 1, "idempotency_key": key})
}

#[test]
fn an_idempotency_key_outlives_the_process_that_took_it() {
    let folder = tempfile::tempdir().unwrap();
    // Made once, for its profile and keys; then the model is alone.
    assert!(Service::start(folder.path()).stop().success());
    let mut model = Model::stateless(folder.path(), &[]);
    let begin = json!({"product_id": "P-1", "quantity": 5, "idempotency_key": "begin"});
    model.call("inventory_initialize", begin);
    let first = model.call("inventory_adjust", adjust("one"));
    assert_eq!((&first["status"], &first["entity"]["pending"]), (&json!("pending"), &json!(2)), "{first}");
    assert_eq!(model.call("inventory_adjust", adjust("one")), first);
    model.kill();

    let mut model = Model::stateless(folder.path(), &[]);
    assert_eq!(model.call("inventory_adjust", adjust("one")), first, "the first answer, after a kill");
    let other = json!({"product_id": "P-1", "adjustment": 2, "idempotency_key": "one"});
    assert_eq!(model.refused("inventory_adjust", other), "idempotency_key_reused");
    let stock = model.call("inventory_get", json!({"product_id": "P-1"}));
    assert_eq!(stock["entity"]["state"]["on_hand"], 6, "{stock}");
    assert_eq!(model.refused("sync_push", json!({})), "server_unreachable");
    assert_eq!(model.refused("proof_get", json!({"event_id": first["event_id"]})), "server_unreachable");

    // The service comes back: what waited gets its numbers, in order.
    let service = Service::start(folder.path());
    let server = ["--server", service.url.as_str()];
    model.close();
    let mut model = Model::stateless(folder.path(), &server);
    let mut receipt = Value::Null;
    for _ in 0..100 {
        receipt = model.call("receipt_get", json!({"event_id": first["event_id"]}));
        if receipt["status"] == "receipted" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(
        (&receipt["status"], &receipt["sequence_number"]),
        (&json!("receipted"), &json!(2)),
        "{receipt}"
    );
    model.call("sync_pull", json!({}));
    let history = json!({"entity_type": "inventory", "entity_id": "P-1"});
    let events = model.call("event_history", history)["events"].clone();
    assert_eq!(events.as_array().map(Vec::len), Some(2), "{events}");
    assert_eq!(model.call("inventory_adjust", adjust("one")), first, "the first answer, after its receipt");
}

#[test]
fn calls_at_once_with_one_key_are_one_event() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Service::start(folder.path()).stop().success());
    let mut model = Model::stateless(folder.path(), &[]);
    model.call("inventory_initialize", json!({"product_id": "P-1", "quantity": 0}));
    // Two processes on one outbox, as the server and a person's command are.
    let models = [model, Model::stateless(folder.path(), &[])];
    let answers: Vec<Vec<Value>> = std::thread::scope(|scope| {
        let work = |mut model: Model| {
            scope.spawn(move || {
                (0..20).map(|n| model.call("inventory_adjust", adjust(&n.to_string()))).collect()
            })
        };
        let running: Vec<_> = models.into_iter().map(work).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (one, other) in answers[0].iter().zip(&answers[1]) {
        assert_eq!(one["event_id"], other["event_id"]);
    }
    let mut model = Model::stateless(folder.path(), &[]);
    let stock = model.call("inventory_get", json!({"product_id": "P-1"}));
    assert_eq!(stock["entity"]["state"]["on_hand"], 20, "{stock}");
}
