//! What transitions demand beyond their fields. Arithmetic is checked: what does not fit an i64 breaks the invariant.

use serde_json::Value;

use crate::field::LIST_ENTRIES_MAX;
use crate::machine::{Change, Scene};
use crate::refusal::Refusal;

/// Of an inventory id that names no location (section 8).
const LOCATION_DEFAULT: &str = "default";

pub(crate) fn stock_initialized(scene: &Scene<'_>, change: &mut Change) -> Result<(), Refusal> {
    let (product, location) = scene.entity_id.split_once(':').unwrap_or((scene.entity_id, LOCATION_DEFAULT));
    change.set("product_id", product);
    change.set("location", location);
    stock(scene.integer("quantity"), 0, change)
}

pub(crate) fn stock_adjusted(scene: &Scene<'_>, change: &mut Change) -> Result<(), Refusal> {
    let on_hand = sum(scene.present("on_hand"), scene.integer("adjustment"))?;
    stock(on_hand, scene.present("reserved"), change)
}

pub(crate) fn stock_reserved(scene: &Scene<'_>, change: &mut Change) -> Result<(), Refusal> {
    let (quantity, available) = (scene.integer("quantity"), scene.present("available"));
    if quantity > available {
        return Err(Refusal::invariant(format!(
            "{quantity} can't be reserved where {available} are available"
        )));
    }
    stock(scene.present("on_hand"), sum(scene.present("reserved"), quantity)?, change)
}

pub(crate) fn stock_released(scene: &Scene<'_>, change: &mut Change) -> Result<(), Refusal> {
    let reserved = less(scene.present("reserved"), scene.integer("quantity"))?.max(0);
    stock(scene.present("on_hand"), reserved, change)
}

pub(crate) fn stock_fulfilled(scene: &Scene<'_>, change: &mut Change) -> Result<(), Refusal> {
    let quantity = scene.integer("quantity");
    let on_hand = less(scene.present("on_hand"), quantity)?;
    stock(on_hand, less(scene.present("reserved"), quantity)?.max(0), change)
}

/// `available = on_hand - reserved`, and `on_hand >= 0`.
fn stock(on_hand: i64, reserved: i64, change: &mut Change) -> Result<(), Refusal> {
    if on_hand < 0 {
        return Err(Refusal::invariant(format!("on_hand would be {on_hand}, below zero")));
    }
    change.set("on_hand", on_hand);
    change.set("reserved", reserved);
    change.set("available", less(on_hand, reserved)?);
    Ok(())
}

pub(crate) fn customer_created(scene: &Scene<'_>, change: &mut Change) -> Result<(), Refusal> {
    change.set("addresses", scene.given("address").cloned().into_iter().collect::<Vec<Value>>());
    Ok(())
}

pub(crate) fn address_added(scene: &Scene<'_>, change: &mut Change) -> Result<(), Refusal> {
    let known = scene.state.and_then(|state| state.get("addresses")).and_then(Value::as_array);
    if known.is_some_and(|known| known.len() >= LIST_ENTRIES_MAX) {
        return Err(Refusal::invariant(format!("a customer has at most {LIST_ENTRIES_MAX} addresses")));
    }
    let mut addresses = known.cloned().unwrap_or_default();
    addresses.extend(scene.given("address").cloned());
    change.set("addresses", addresses);
    Ok(())
}

fn sum(a: i64, b: i64) -> Result<i64, Refusal> {
    a.checked_add(b).ok_or_else(too_large)
}

fn less(a: i64, b: i64) -> Result<i64, Refusal> {
    a.checked_sub(b).ok_or_else(too_large)
}

fn too_large() -> Refusal {
    Refusal::invariant("a quantity would leave the range of 64 bits")
}
