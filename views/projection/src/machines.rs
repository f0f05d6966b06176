//! The transition table of sections 8 and x402 A.3: from it come the code's behaviour, the exhaustive tests and the page
//! `docs/developer/projections.md`.

use crate::field::{Field, Kind, Need};
use crate::machine::{Machine, Transition};
use crate::rules;

/// Every kind of entity that has a state here.
pub static MACHINES: &[Machine] = &[ORDER, INVENTORY, PRODUCT, CUSTOMER, RETURN, PAYMENT, BATCH];

/// The machine of an entity type; other types have no state here.
pub fn machine(entity_type: &str) -> Option<&'static Machine> {
    MACHINES.iter().find(|machine| machine.entity == entity_type)
}

const TEXT: Kind = Kind::Text;
/// 0 or more.
const COUNT: Kind = Kind::Integer { min: 0 };

const fn required(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, need: Need::Required, kept: true }
}
const fn optional(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, need: Need::Optional, kept: true }
}
const fn or(name: &'static str, kind: Kind, need: Need) -> Field {
    Field { name, kind, need, kept: true }
}
/// Read by the rule alone.
const fn input(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, need: Need::Required, kept: false }
}
const CURRENCY: Field = or("currency", Kind::Currency, Need::Text("USD"));

/// A row without fields and without a rule.
const fn step(event: &'static str, from: &'static [&'static str], to: &'static str) -> Transition {
    Transition { event, from, to: Some(to), fields: &[], rule: None }
}
const fn step_with(
    event: &'static str,
    from: &'static [&'static str],
    to: &'static str,
    fields: &'static [Field],
) -> Transition {
    Transition { event, from, to: Some(to), fields, rule: None }
}

const ORDER: Machine = Machine {
    entity: "order",
    about: "An order goes one step at a time, and may be cancelled until it is delivered.",
    is_own_only: false,
    states: &["pending", "confirmed", "processing", "shipped", "delivered", "cancelled"],
    transitions: &[
        step_with(
            "order.created",
            &[],
            "pending",
            &[
                required("customer_id", TEXT),
                CURRENCY,
                or("total_amount", Kind::Amount, Need::Integer(0)),
                or("line_items", Kind::Lines, Need::EmptyList),
                optional("shipping_address", Kind::Object),
            ],
        ),
        step("order.confirmed", &["pending"], "confirmed"),
        step("order.processing", &["confirmed"], "processing"),
        step("order.shipped", &["processing"], "shipped"),
        step("order.delivered", &["shipped"], "delivered"),
        step("order.cancelled", &["pending", "confirmed", "processing", "shipped", "cancelled"], "cancelled"),
    ],
};

const INVENTORY: Machine = Machine {
    entity: "inventory",
    about: "Stock of one product at one place. The entity's id is `product:location`; without a location it is \
            `default`. `available` is `on_hand` less `reserved`.",
    is_own_only: false,
    states: &["active"],
    transitions: &[
        Transition {
            event: "inventory.initialized",
            from: &[],
            to: Some("active"),
            fields: &[input("quantity", COUNT), or("reorder_point", COUNT, Need::Integer(10))],
            rule: Some(("on_hand = quantity; reserved = 0", rules::stock_initialized)),
        },
        Transition {
            event: "inventory.adjusted",
            from: &["active"],
            to: None,
            fields: &[input("adjustment", Kind::Integer { min: i64::MIN })],
            rule: Some(("on_hand += adjustment, which must stay 0 or more", rules::stock_adjusted)),
        },
        Transition {
            event: "inventory.reserved",
            from: &["active"],
            to: None,
            fields: &[input("quantity", COUNT)],
            rule: Some(("reserved += quantity, at most what is available", rules::stock_reserved)),
        },
        Transition {
            event: "inventory.released",
            from: &["active"],
            to: None,
            fields: &[input("quantity", COUNT)],
            rule: Some(("reserved -= quantity, not below 0", rules::stock_released)),
        },
        Transition {
            event: "inventory.fulfilled",
            from: &["active"],
            to: None,
            fields: &[input("quantity", COUNT)],
            rule: Some((
                "on_hand -= quantity, which must stay 0 or more; reserved -= quantity, not below 0",
                rules::stock_fulfilled,
            )),
        },
    ],
};

const PRODUCT_STATES: &[&str] = &["active", "inactive"];
const PRODUCT: Machine = Machine {
    entity: "product",
    about: "A product on offer, or taken off it.",
    is_own_only: false,
    states: PRODUCT_STATES,
    transitions: &[
        step_with(
            "product.created",
            &[],
            "active",
            &[
                required("sku", TEXT),
                required("name", TEXT),
                optional("description", TEXT),
                CURRENCY,
                or("price", Kind::Amount, Need::Integer(0)),
                or("attributes", Kind::Object, Need::EmptyObject),
            ],
        ),
        Transition {
            event: "product.updated",
            from: PRODUCT_STATES,
            to: None,
            fields: &[
                optional("sku", TEXT),
                optional("name", TEXT),
                optional("description", TEXT),
                CURRENCY,
                optional("price", Kind::Amount),
                optional("attributes", Kind::Object),
            ],
            rule: None,
        },
        step("product.deactivated", PRODUCT_STATES, "inactive"),
        step("product.activated", PRODUCT_STATES, "active"),
    ],
};

const CUSTOMER: Machine = Machine {
    entity: "customer",
    about: "A customer with the addresses known of it, the first one first.",
    is_own_only: false,
    states: &["active"],
    transitions: &[
        Transition {
            event: "customer.created",
            from: &[],
            to: Some("active"),
            fields: &[
                required("email", TEXT),
                optional("name", TEXT),
                optional("phone", TEXT),
                Field { name: "address", kind: Kind::Object, need: Need::Optional, kept: false },
            ],
            rule: Some(("addresses = [address], or none", rules::customer_created)),
        },
        Transition {
            event: "customer.updated",
            from: &["active"],
            to: None,
            fields: &[optional("email", TEXT), optional("name", TEXT), optional("phone", TEXT)],
            rule: None,
        },
        Transition {
            event: "customer.address_added",
            from: &["active"],
            to: None,
            fields: &[input("address", Kind::Object)],
            rule: Some(("addresses += address, at most 1000", rules::address_added)),
        },
    ],
};

const RETURN: Machine = Machine {
    entity: "return",
    about: "Goods that come back: asked for, approved or rejected, received, perhaps inspected, refunded, completed.",
    is_own_only: false,
    states: &["requested", "approved", "rejected", "received", "inspecting", "refunded", "completed"],
    transitions: &[
        step_with(
            "return.requested",
            &[],
            "requested",
            &[
                required("order_id", TEXT),
                required("customer_id", TEXT),
                optional("reason", TEXT),
                CURRENCY,
                or("line_items", Kind::Lines, Need::EmptyList),
            ],
        ),
        step("return.approved", &["requested"], "approved"),
        step("return.rejected", &["requested"], "rejected"),
        step("return.received", &["approved"], "received"),
        step("return.inspecting", &["received"], "inspecting"),
        step("return.refunded", &["received", "inspecting"], "refunded"),
        step("return.completed", &["refunded"], "completed"),
    ],
};

const PAYMENT: Machine = Machine {
    entity: "x402_payment",
    about: "A payment intent of the sequencer. Amounts are atomic units of the asset.",
    is_own_only: true,
    states: &["pending", "sequenced", "batched", "settled", "failed", "expired"],
    transitions: &[
        step_with(
            "x402_payment.created",
            &[],
            "pending",
            &[
                optional("payer_address", TEXT),
                optional("payee_address", TEXT),
                optional("amount", Kind::Units),
                optional("asset", TEXT),
                optional("network", TEXT),
                optional("nonce", Kind::Units),
                optional("valid_until", Kind::Unsigned),
                optional("order_id", TEXT),
            ],
        ),
        step_with(
            "x402_payment.sequenced",
            &["pending"],
            "sequenced",
            &[optional("sequence_number", Kind::Unsigned)],
        ),
        step_with("x402_payment.batched", &["sequenced"], "batched", &[optional("batch_id", TEXT)]),
        step_with(
            "x402_payment.settled",
            &["sequenced", "batched"],
            "settled",
            &[optional("tx_hash", TEXT), optional("block_number", Kind::Unsigned)],
        ),
        step_with(
            "x402_payment.failed",
            &["pending", "sequenced", "batched"],
            "failed",
            &[optional("reason", TEXT)],
        ),
        step("x402_payment.expired", &["pending", "sequenced", "batched"], "expired"),
    ],
};

const BATCH: Machine = Machine {
    entity: "x402_batch",
    about: "A batch of payment intents on its way to a chain.",
    is_own_only: true,
    states: &["pending", "committed", "submitted", "settled", "failed"],
    transitions: &[
        step_with(
            "x402_batch.created",
            &[],
            "pending",
            &[
                optional("network", TEXT),
                optional("asset", TEXT),
                optional("payment_count", Kind::Unsigned),
                optional("total_amount", TEXT),
            ],
        ),
        step_with(
            "x402_batch.committed",
            &["pending"],
            "committed",
            &[optional("merkle_root", TEXT), optional("new_state_root", TEXT)],
        ),
        step_with("x402_batch.submitted", &["committed"], "submitted", &[optional("tx_hash", TEXT)]),
        step_with(
            "x402_batch.settled",
            &["committed", "submitted"],
            "settled",
            &[optional("tx_hash", TEXT), optional("block_number", Kind::Unsigned)],
        ),
        step_with(
            "x402_batch.failed",
            &["pending", "committed", "submitted"],
            "failed",
            &[optional("reason", TEXT)],
        ),
    ],
};
