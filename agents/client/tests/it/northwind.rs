//! The whole sample company, where its files are: `../shared/data/northwind` beside the project.

#![allow(clippy::print_stderr)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use stateset_client::northwind::{Dataset, NorthwindError};

/// The folder of the data, or `None` after saying that it is absent. In CI its absence is a failure.
fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/northwind");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "CI has no Northwind data at {}", folder.display());
    eprintln!("NOT RUN: there is no Northwind data at {}", folder.display());
    None
}

#[test]
fn every_row_of_every_table_is_read() {
    let Some(folder) = folder() else { return };
    let data = Dataset::read(&folder).unwrap();
    assert_eq!(data.orders.len(), 830);
    assert_eq!(data.order_lines(), 2155);
    assert_eq!(data.customers.len(), 91);
    assert_eq!(data.products.len(), 77);
    assert_eq!((data.suppliers.len(), data.categories.len(), data.shippers.len()), (29, 8, 3));
}

#[test]
fn text_with_commas_is_whole_and_in_its_column() {
    let Some(folder) = folder() else { return };
    let data = Dataset::read(&folder).unwrap();
    let street = |customer: &str| data.customers[customer].address.street.clone().unwrap();
    assert_eq!(street("HANAR"), "Rua do Paço, 67");
    assert_eq!(street("BLONP"), "24, place Kléber");
    assert_eq!(street("ALFKI"), "Obere Str. 57");
    assert_eq!(data.suppliers[&24].name, "G'day, Mate");
    assert_eq!(data.suppliers[&7].contact.name.as_deref(), Some("Ian Devling"));
    assert_eq!(data.suppliers[&20].address.street.as_deref(), Some("471 Serangoon Loop, Suite #402"));
    assert_eq!(data.categories[&1].description, "Soft drinks, coffees, teas, beers, and ales");
    let order = &data.orders[&10250];
    assert_eq!(order.ship_to.street.as_deref(), Some("Rua do Paço, 67"));
    assert_eq!(order.ship_to.country.as_deref(), Some("Brazil"));
    assert_eq!((order.ship_name.as_str(), order.freight), ("Hanari Carnes", 6583));
    assert_eq!(order.ship_to.postal_code.as_deref(), Some("05454-876"));
}

#[test]
fn no_character_of_a_line_is_lost() {
    let Some(folder) = folder() else { return };
    let data = Dataset::read(&folder).unwrap();
    let text = std::fs::read_to_string(folder.join("customers.csv")).unwrap();
    for line in text.lines().skip(1) {
        let customer = &data.customers[line.split(',').next().unwrap()];
        let (contact, address) = (&customer.contact, &customer.address);
        let optional = [
            &contact.name,
            &contact.title,
            &address.street,
            &address.city,
            &address.region,
            &address.postal_code,
            &address.country,
            &contact.telephone,
            &contact.fax,
        ];
        let mut fields = vec![customer.id.as_str(), customer.name.as_str()];
        fields.extend(optional.iter().map(|field| field.as_deref().unwrap_or("NULL")));
        assert_eq!(fields.join(","), line);
    }
}

#[test]
fn money_adds_up_to_the_published_totals() {
    let Some(folder) = folder() else { return };
    let data = Dataset::read(&folder).unwrap();
    let lines = || data.orders.values().flat_map(|order| &order.lines);
    // Before discounts, by exact decimal arithmetic over the file: 1,354,458.59; freight 64,942.69.
    assert_eq!(lines().map(|line| line.unit_price * i64::from(line.quantity)).sum::<i64>(), 135_445_859);
    assert_eq!(data.orders.values().map(|order| order.freight).sum::<i64>(), 6_494_269);
    let discounts: BTreeSet<u32> = lines().map(|line| line.discount_bps).collect();
    assert_eq!(discounts, BTreeSet::from([0, 100, 200, 300, 400, 500, 600, 1000, 1500, 2000, 2500]));
}

#[test]
fn the_events_are_the_same_on_every_run_and_no_two_share_an_id() {
    let Some(folder) = folder() else { return };
    let events = Dataset::read(&folder).unwrap().events();
    assert_eq!(events, Dataset::read(&folder).unwrap().events());
    let count = |kind: &str| events.iter().filter(|event| event.event_type == kind).count();
    assert_eq!(count("order.created"), 830);
    assert_eq!(count("order.shipped"), 809);
    assert_eq!((count("order.confirmed"), count("order.processing")), (809, 809));
    assert_eq!((count("inventory.initialized"), count("product.deactivated")), (77, 8));
    assert_eq!(
        (count("customer.created"), count("product.created"), count("supplier.created")),
        (91, 77, 29)
    );
    assert_eq!(events.iter().map(|event| event.event_id).collect::<BTreeSet<_>>().len(), events.len());
    assert!(events.iter().all(|event| ves::time::is_rfc3339(&event.created_at)));
    assert!(events.iter().all(|event| ves::json::canonicalize_strict(&event.payload).is_ok()));
    for (at, shipped) in events.iter().enumerate().filter(|(_, event)| event.event_type == "order.shipped") {
        let created =
            events.iter().position(|e| e.event_type == "order.created" && e.entity_id == shipped.entity_id);
        assert!(created.unwrap() < at, "order {} was shipped before it was created", shipped.entity_id);
    }
}

#[test]
fn an_amount_is_an_integer_with_its_currency() {
    let Some(folder) = folder() else { return };
    let events = Dataset::read(&folder).unwrap().events();
    let order = events.iter().find(|e| e.event_type == "order.created" && e.entity_id == "10248").unwrap();
    let payload: serde_json::Value = serde_json::from_str(&order.payload).unwrap();
    assert_eq!(
        payload["total_amount"],
        serde_json::json!({"amount": 44_000, "currency": "USD", "exponent": 2})
    );
    assert_eq!(payload["line_items"][0]["unit_price"]["amount"], 1400);
    assert_eq!(payload["line_items"].as_array().unwrap().len(), 3);
    assert!(events.iter().all(|event| !has_a_fraction(&serde_json::from_str(&event.payload).unwrap())));
}

fn has_a_fraction(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Number(number) => number.is_f64(),
        serde_json::Value::Array(items) => items.iter().any(has_a_fraction),
        serde_json::Value::Object(members) => members.values().any(has_a_fraction),
        _ => false,
    }
}

#[test]
fn a_row_that_cannot_be_read_is_named_by_file_and_line() {
    let Some(folder) = folder() else { return };
    let copy = tempfile::tempdir().unwrap();
    let restore = || {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let target = copy.path().join(path.file_name().unwrap());
            let _ = std::fs::remove_file(&target);
            std::fs::write(target, std::fs::read(&path).unwrap()).unwrap();
        }
    };
    for (file, from, to, line) in [
        ("orders.csv", "10250,HANAR,4", "10250,HANARI,4", 4),
        ("orders.csv", "Rua do Paço, 67", "Rua do Paço,67", 4),
        ("orders.csv", "10249,TOMSP", "10249,ZZZZZ", 3),
        ("orders.csv", "10249,TOMSP", "10248,TOMSP", 3),
        ("order-details.csv", "10248,42,9.80", "10248,42,9.805", 3),
        ("order-details.csv", "10248,42,9.80", "10248,11,9.80", 3),
        ("order-details.csv", "10248,42,9.80", "1,42,9.80", 3),
        ("products.csv", "1,Chai,1,1", "1,Chai,99,1", 2),
        ("customers.csv", "Berlin,NULL", "NULL", 2),
    ] {
        restore();
        let path = copy.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap().replacen(from, to, 1);
        std::fs::write(&path, text).unwrap();
        match Dataset::read(copy.path()) {
            Err(NorthwindError::Row { file: named, line: at, .. }) => {
                assert_eq!((named, at), (path, line), "{from} -> {to}")
            }
            other => panic!("{from} -> {to}: {:?}", other.map(|_| ())),
        }
    }
}
