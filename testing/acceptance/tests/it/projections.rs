//! States that the service keeps beside the log: what an import ends in, and what a cut leaves of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stateset_acceptance::service::{command, run_on};
use stateset_acceptance::{Rest, Service};
use ves::StreamKey;

use crate::import::northwind;

/// Longest time until the states have caught up with the log of an import.
const CAUGHT_UP_MAX: Duration = Duration::from_secs(60);

fn query(stream: &StreamKey) -> String {
    format!("tenant_id={}&store_id={}", stream.tenant_id, stream.store_id)
}

/// Every entity of a type by id, page by page, with `more` in the query.
fn listed(rest: &Rest, stream: &StreamKey, entity_type: &str, more: &str) -> BTreeMap<String, Value> {
    let (mut entities, mut after) = (BTreeMap::new(), String::new());
    loop {
        let path = format!("/api/v1/entities/{entity_type}?{}&limit=100{more}{after}", query(stream));
        let page: Value = rest.get_json(&path).unwrap();
        for entity in page["entities"].as_array().unwrap() {
            entities.insert(entity["entity_id"].as_str().unwrap().to_owned(), entity["state"].clone());
        }
        match page["next_after"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return entities,
        }
    }
}

/// Waits until the states take in every event of the stream; how long it took.
fn caught_up(rest: &Rest, stream: &StreamKey) -> Duration {
    let since = Instant::now();
    let head = rest.get_json::<Value>(&format!("/api/v1/ves/head?{}", query(stream))).unwrap();
    let head = head["head_sequence"].as_u64().unwrap();
    while since.elapsed() < CAUGHT_UP_MAX {
        let page: Value =
            rest.get_json(&format!("/api/v1/entities/order?{}&limit=1", query(stream))).unwrap();
        if page["projected_sequence"].as_u64().unwrap() >= head {
            return since.elapsed();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the states did not catch up with {head} events in {CAUGHT_UP_MAX:?}");
}

/// Rows of a file whose text has no commas in the `columns` wanted, counted from the ends where others have.
fn rows(folder: &Path, file: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    text.lines().skip(1).map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// The states of an import, from its files by means of their own: fields that no comma can shift.
fn compare(rest: &Rest, stream: &StreamKey, data: &Path) {
    let products: BTreeMap<String, [String; 4]> = rows(data, "products.csv")
        .into_iter()
        .map(|row| {
            let last = |n: usize| row[row.len() - n].clone();
            // UnitPrice, UnitsInStock, ReorderLevel, Discontinued.
            (row[0].clone(), [last(5), last(4), last(2), last(1)])
        })
        .collect();
    let (found, stock) = (listed(rest, stream, "product", ""), listed(rest, stream, "inventory", ""));
    assert_eq!((found.len(), stock.len()), (products.len(), products.len()));
    for (id, [price, in_stock, reorder, discontinued]) in &products {
        let product = &found[id];
        assert_eq!((&product["sku"], &product["price"]), (&json!(id), &json!(price)), "product {id}");
        assert_eq!(product["currency"], "USD");
        assert_eq!(product["status"], if discontinued == "1" { "inactive" } else { "active" });
        let stock = &stock[&format!("{id}:default")];
        let in_stock: i64 = in_stock.parse().unwrap();
        assert_eq!(
            (&stock["on_hand"], &stock["available"], &stock["reserved"]),
            (&json!(in_stock), &json!(in_stock), &json!(0)),
            "stock of product {id}"
        );
        assert_eq!(stock["reorder_point"], json!(reorder.parse::<i64>().unwrap()));
    }

    let customers = rows(data, "customers.csv");
    let found = listed(rest, stream, "customer", "");
    assert_eq!(found.len(), customers.len());
    for row in &customers {
        let (customer, text) = (&found[&row[0]], row.join(","));
        assert!(text.starts_with(&format!("{},{}", row[0], customer["name"].as_str().unwrap())), "{text}");
        let city = customer["addresses"][0]["city"].as_str().unwrap();
        assert!(text.contains(&format!(",{city},")), "{text}");
        assert_eq!(customer["email"], json!(format!("{}@northwind.example", row[0].to_lowercase())));
    }

    let mut lines: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in rows(data, "order-details.csv") {
        let quantity: i64 = row[3].parse().unwrap();
        let line = json!({"product_id": row[1], "quantity": quantity, "unit_price": row[2]});
        lines.entry(row[0].clone()).or_default().push(line);
    }
    let (orders, found) = (rows(data, "orders.csv"), listed(rest, stream, "order", ""));
    assert_eq!(found.len(), orders.len());
    for row in &orders {
        let order = &found[&row[0]];
        assert_eq!((&order["customer_id"], &order["currency"]), (&json!(row[1]), &json!("USD")));
        let status = if row[5] == "NULL" { "pending" } else { "shipped" };
        assert_eq!(order["status"], status, "order {}", row[0]);
        assert_eq!(order["line_items"], json!(lines[&row[0]]), "order {}", row[0]);
    }
    let shipped = listed(rest, stream, "order", "&status=shipped");
    assert_eq!(shipped.len(), orders.iter().filter(|row| row[5] != "NULL").count());
    // 440.00 is the order's three lines by hand: 12 x 14.00, 10 x 9.80, 5 x 34.80.
    assert_eq!(found["10248"]["total_amount"], "440.00");
}

#[test]
fn an_import_ends_in_the_orders_stock_and_customers_of_its_files() {
    let Some(data) = northwind() else { return };
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    let (code, out, error) =
        run_on(folder.path(), &["import", "northwind", data.to_str().unwrap(), "--json"]);
    assert_eq!(code, Some(0), "{out}{error}");
    let (rest, stream) = (service.rest(), service.default_stream());
    let late = caught_up(&rest, &stream);
    assert!(late < Duration::from_secs(5), "the states were {late:?} late");
    compare(&rest, &stream, &data);

    // One order through its history: at each of its own events it is in the state that the event led to.
    let path = format!("/api/v1/entities/order/10248?{}", query(&stream));
    let order: Value = rest.get_json(&path).unwrap();
    assert_eq!((&order["version"], &order["total"]), (&json!(4), &json!(4)));
    assert_eq!(order["state"]["status"], "shipped");
    let statuses = ["pending", "confirmed", "processing", "shipped"];
    for (event, status) in order["events"].as_array().unwrap().iter().zip(statuses) {
        let at = event["envelope"]["sequence_number"].as_u64().unwrap();
        let then: Value = rest.get_json(&format!("{path}&at={at}")).unwrap();
        assert_eq!((&then["state"]["status"], &then["at"]), (&json!(status), &json!(at)));
        let before: Value = rest.get_json(&format!("{path}&at={}", at - 1)).unwrap();
        assert_ne!(before["state"]["status"], status);
    }
    let overview: Value = rest.get_json("/api/v1/admin/overview").unwrap();
    assert_eq!(overview["maxProjectionLag"], 0);
    assert!(service.stop().success());
    checked(folder.path());
}

/// The stored states are what the events say, by the operator's own command.
fn checked(folder: &Path) {
    let database = format!("sqlite://{}", stateset_acceptance::service::database(folder).display());
    let output = command(&["sequencer-admin", "--database-url", &database, "--json", "projections", "check"])
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(said["differences_count"], 0, "{said}");
    assert!(said["entities"].as_u64().unwrap() > 0, "{said}");
}

#[test]
fn a_kill_between_projection_and_checkpoint_skips_no_event_and_applies_none_twice() {
    let Some(data) = northwind() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut service = Service::start(folder.path());
    // Each round imports a little further before the process is killed; the last one to the end.
    for round in 1..=6_u64 {
        let mut import = command(&["import", "northwind", data.to_str().unwrap(), "--json"]);
        import.arg("--data").arg(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut import = import.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(150 * round));
        service.kill();
        let _ = import.kill();
        import.wait().unwrap();
        checked_if_any(folder.path());
        service = Service::start(folder.path());
    }
    let (code, out, error) =
        run_on(folder.path(), &["import", "northwind", data.to_str().unwrap(), "--json"]);
    assert_eq!(code, Some(0), "{out}{error}");
    caught_up(&service.rest(), &service.default_stream());
    compare(&service.rest(), &service.default_stream(), &data);
    assert!(service.stop().success());
    checked(folder.path());
}

/// After a kill: what is stored up to the checkpoint is what the events up to there say.
fn checked_if_any(folder: &Path) {
    let database = format!("sqlite://{}", stateset_acceptance::service::database(folder).display());
    let arguments = ["sequencer-admin", "--database-url", &database, "--json", "projections", "check"];
    let output = command(&arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
