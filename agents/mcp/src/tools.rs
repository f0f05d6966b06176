//! The rows of the table: one for each tool that an engine stands behind.

mod catalogue;
mod invoices;
mod orders;
mod records;
mod returns;

use crate::table::{Argument, Effect, EntityId, Kind, Need, Step, Tool, Work, Worth};

pub use catalogue::{INVENTORY, PRODUCTS};
pub use invoices::INVOICES;
pub use orders::{CUSTOMERS, ORDERS, PAYMENTS};
pub use records::RECORDS;
pub use returns::RETURNS;

const fn required(name: &'static str, kind: Kind, about: &'static str) -> Argument {
    Argument { name, kind, need: Need::Required, about }
}
const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Argument {
    Argument { name, kind, need: Need::Optional, about }
}

const TEXT: Kind = Kind::Text { bytes_max: 2000 };
const NAME: Kind = Kind::Text { bytes_max: 256 };
/// Adds something; the same call again adds it again.
const ADDS: Effect = Effect::Write { destroys: false, repeats: false };
/// Moves an entity one step on; from there the same call is refused.
const STEPS: Effect = Effect::Write { destroys: false, repeats: true };
const TAKES_AWAY: Effect = Effect::Write { destroys: true, repeats: true };

const PRODUCT: EntityId = EntityId::Argument { name: "product_id", prefix: "prd_" };
const CUSTOMER: EntityId = EntityId::Argument { name: "customer_id", prefix: "cus_" };
const ORDER: EntityId = EntityId::Argument { name: "order_id", prefix: "ord_" };
const RETURN: EntityId = EntityId::Argument { name: "return_id", prefix: "ret_" };

const PRODUCT_ID: Argument = required("product_id", Kind::Id, "Id of the product");
const CUSTOMER_ID: Argument = required("customer_id", Kind::Id, "Id of the customer");
const ORDER_ID: Argument = required("order_id", Kind::Id, "Id of the order");
const RETURN_ID: Argument = required("return_id", Kind::Id, "Id of the return");
const LOCATION: Argument =
    optional("location", Kind::Id, "Where the stock lies; left out where the stock has no location");
const CURRENCY: Argument =
    required("currency", Kind::Currency, "Currency of all amounts of the call, such as USD");
const REASON: Argument = optional("reason", TEXT, "Why, in words");
const PAGE: [Argument; 2] = [
    optional("limit", Kind::PageSize, "Entries of a page, 1 to 100; 20 where left out"),
    optional("cursor", Kind::Cursor, "next_cursor of the page before"),
];

const fn event(entity: &'static str, event: &'static str, id: EntityId) -> Work {
    Work::Event { entity, event, id, worth: Worth::Nothing }
}
