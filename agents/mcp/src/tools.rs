//! The rows of the table: one for each tool that an engine stands behind.

use crate::table::{Argument, Effect, EntityId, Kind, Need, Tool, Work, Worth};

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

pub const PRODUCTS: &[Tool] = &[
    Tool {
        name: "product_search",
        title: "Search the catalogue",
        about: "Finds products whose id, SKU, name or description holds every word of the query, whatever their case. \
                A page may be shorter than the limit, or empty, while next_cursor says that there is more to look through.",
        effect: Effect::Read,
        arguments: &[required("query", NAME, "Words to look for"), PAGE[0], PAGE[1]],
        work: Work::ProductSearch,
    },
    Tool {
        name: "product_get",
        title: "Get a product",
        about: "The present state of one product: SKU, name, price, whether it is on offer.",
        effect: Effect::Read,
        arguments: &[PRODUCT_ID],
        work: Work::Get { entity: "product", id: PRODUCT },
    },
    Tool {
        name: "product_create",
        title: "Create a product",
        about: "Puts a new product on offer.",
        effect: ADDS,
        arguments: &[
            optional("product_id", Kind::Id, "Id of the new product; chosen for you where left out"),
            required("sku", NAME, "Stock keeping unit"),
            required("name", NAME, "Name as a customer reads it"),
            optional("description", TEXT, "A few sentences"),
            required("price", Kind::Amount, "Price of one"),
            CURRENCY,
            optional("attributes", Kind::Object, "Anything else, such as a category"),
        ],
        work: event("product", "product.created", PRODUCT),
    },
    Tool {
        name: "product_update",
        title: "Change a product",
        about: "Changes the given members of a product; the others stay. A price needs its currency.",
        effect: TAKES_AWAY,
        arguments: &[
            PRODUCT_ID,
            optional("sku", NAME, "Stock keeping unit"),
            optional("name", NAME, "Name as a customer reads it"),
            optional("description", TEXT, "A few sentences"),
            optional("price", Kind::Amount, "Price of one"),
            optional("currency", Kind::Currency, "Currency of the price"),
            optional("attributes", Kind::Object, "Replaces all attributes"),
        ],
        work: event("product", "product.updated", PRODUCT),
    },
    Tool {
        name: "product_deactivate",
        title: "Take a product off offer",
        about: "Takes a product off offer; product_activate puts it back.",
        effect: TAKES_AWAY,
        arguments: &[PRODUCT_ID],
        work: event("product", "product.deactivated", PRODUCT),
    },
    Tool {
        name: "product_activate",
        title: "Put a product on offer",
        about: "Puts a product back on offer.",
        effect: STEPS,
        arguments: &[PRODUCT_ID],
        work: event("product", "product.activated", PRODUCT),
    },
];

pub const INVENTORY: &[Tool] = &[
    Tool {
        name: "inventory_get",
        title: "Get stock",
        about: "Stock of one product at one place: on_hand, reserved, available, reorder_point.",
        effect: Effect::Read,
        arguments: &[PRODUCT_ID, LOCATION],
        work: Work::Get { entity: "inventory", id: EntityId::Stock },
    },
    Tool {
        name: "inventory_list",
        title: "List stock",
        about: "Stock of all products at all places, by id (product:location).",
        effect: Effect::Read,
        arguments: &PAGE,
        work: Work::List { entity: "inventory" },
    },
    Tool {
        name: "inventory_initialize",
        title: "Begin to count stock",
        about: "Begins the stock of a product at a place, once.",
        effect: STEPS,
        arguments: &[
            PRODUCT_ID,
            LOCATION,
            required("quantity", Kind::Count { min: 0 }, "How many are on hand"),
            optional(
                "reorder_point",
                Kind::Count { min: 0 },
                "Reorder when so few are available; 10 where left out",
            ),
        ],
        work: event("inventory", "inventory.initialized", EntityId::Stock),
    },
    Tool {
        name: "inventory_adjust",
        title: "Adjust stock",
        about: "Adds to what is on hand, or takes away with a negative number: a delivery, a count, a loss.",
        effect: Effect::Write { destroys: true, repeats: false },
        arguments: &[
            PRODUCT_ID,
            LOCATION,
            required("adjustment", Kind::Change, "Difference to what is on hand"),
            REASON,
        ],
        work: event("inventory", "inventory.adjusted", EntityId::Stock),
    },
    Tool {
        name: "inventory_reserve",
        title: "Reserve stock",
        about: "Reserves stock for an order; refused where not so many are available.",
        effect: ADDS,
        arguments: &[
            PRODUCT_ID,
            LOCATION,
            required("quantity", Kind::Count { min: 1 }, "How many"),
            optional("order_id", Kind::Id, "The order it is for"),
        ],
        work: event("inventory", "inventory.reserved", EntityId::Stock),
    },
    Tool {
        name: "inventory_release",
        title: "Release reserved stock",
        about: "Gives reserved stock back.",
        effect: Effect::Write { destroys: true, repeats: false },
        arguments: &[
            PRODUCT_ID,
            LOCATION,
            required("quantity", Kind::Count { min: 1 }, "How many"),
            optional("order_id", Kind::Id, "The order it was for"),
        ],
        work: event("inventory", "inventory.released", EntityId::Stock),
    },
    Tool {
        name: "inventory_fulfill",
        title: "Take reserved stock out",
        about: "Takes stock out of the house for an order: less on hand, less reserved.",
        effect: Effect::Write { destroys: true, repeats: false },
        arguments: &[
            PRODUCT_ID,
            LOCATION,
            required("quantity", Kind::Count { min: 1 }, "How many"),
            optional("order_id", Kind::Id, "The order it is for"),
        ],
        work: event("inventory", "inventory.fulfilled", EntityId::Stock),
    },
];

pub const CUSTOMERS: &[Tool] = &[
    Tool {
        name: "customer_get",
        title: "Get a customer",
        about: "The present state of one customer: email, name, phone, addresses.",
        effect: Effect::Read,
        arguments: &[CUSTOMER_ID],
        work: Work::Get { entity: "customer", id: CUSTOMER },
    },
    Tool {
        name: "customer_list",
        title: "List customers",
        about: "All customers, by id.",
        effect: Effect::Read,
        arguments: &PAGE,
        work: Work::List { entity: "customer" },
    },
    Tool {
        name: "customer_create",
        title: "Create a customer",
        about: "Makes a customer known.",
        effect: ADDS,
        arguments: &[
            optional("customer_id", Kind::Id, "Id of the new customer; chosen for you where left out"),
            required("email", NAME, "Email address"),
            optional("name", NAME, "Name"),
            optional("phone", NAME, "Telephone number"),
            optional("address", Kind::Object, "First address"),
        ],
        work: event("customer", "customer.created", CUSTOMER),
    },
    Tool {
        name: "customer_update",
        title: "Change a customer",
        about: "Changes the given members of a customer; the others stay.",
        effect: TAKES_AWAY,
        arguments: &[
            CUSTOMER_ID,
            optional("email", NAME, "Email address"),
            optional("name", NAME, "Name"),
            optional("phone", NAME, "Telephone number"),
        ],
        work: event("customer", "customer.updated", CUSTOMER),
    },
    Tool {
        name: "customer_add_address",
        title: "Add an address",
        about: "Adds an address to a customer.",
        effect: ADDS,
        arguments: &[CUSTOMER_ID, required("address", Kind::Object, "The address")],
        work: event("customer", "customer.address_added", CUSTOMER),
    },
];

pub const ORDERS: &[Tool] = &[
    Tool {
        name: "order_get",
        title: "Get an order",
        about: "The present state of one order: status, customer, lines, total.",
        effect: Effect::Read,
        arguments: &[ORDER_ID],
        work: Work::Get { entity: "order", id: ORDER },
    },
    Tool {
        name: "order_list",
        title: "List orders",
        about: "Orders by id, all or those of one status. With a status, a page may be shorter than the limit while \
                next_cursor says that there is more to look through.",
        effect: Effect::Read,
        arguments: &[
            optional(
                "status",
                Kind::Choice(&["pending", "confirmed", "processing", "shipped", "delivered", "cancelled"]),
                "Only orders of this status",
            ),
            PAGE[0],
            PAGE[1],
        ],
        work: Work::List { entity: "order" },
    },
    Tool {
        name: "order_create",
        title: "Create an order",
        about: "Places an order of a customer. Where the total or the sum of the lines is above the agent's limit, the answer \
                is a pending approval instead.",
        effect: ADDS,
        arguments: &[
            optional("order_id", Kind::Id, "Id of the new order; chosen for you where left out"),
            CUSTOMER_ID,
            CURRENCY,
            required("total_amount", Kind::Amount, "What the customer pays in all"),
            optional("line_items", Kind::Lines, "What is ordered"),
            optional("shipping_address", Kind::Object, "Where it goes"),
        ],
        work: Work::Event { entity: "order", event: "order.created", id: ORDER, worth: Worth::Order },
    },
    Tool {
        name: "order_confirm",
        title: "Confirm an order",
        about: "Confirms a pending order.",
        effect: STEPS,
        arguments: &[ORDER_ID],
        work: event("order", "order.confirmed", ORDER),
    },
    Tool {
        name: "order_process",
        title: "Begin to process an order",
        about: "Says that a confirmed order is being packed; it has to be before it is shipped.",
        effect: STEPS,
        arguments: &[ORDER_ID],
        work: event("order", "order.processing", ORDER),
    },
    Tool {
        name: "order_ship",
        title: "Ship an order",
        about: "Says that an order in processing has left.",
        effect: STEPS,
        arguments: &[
            ORDER_ID,
            optional("carrier", NAME, "Who carries it"),
            optional("tracking_number", NAME, "The carrier's number"),
        ],
        work: event("order", "order.shipped", ORDER),
    },
    Tool {
        name: "order_deliver",
        title: "Deliver an order",
        about: "Says that a shipped order has arrived.",
        effect: STEPS,
        arguments: &[ORDER_ID],
        work: event("order", "order.delivered", ORDER),
    },
    Tool {
        name: "order_cancel",
        title: "Cancel an order",
        about: "Cancels an order that was not delivered. It cannot be taken back.",
        effect: TAKES_AWAY,
        arguments: &[ORDER_ID, REASON],
        work: event("order", "order.cancelled", ORDER),
    },
];

pub const RETURNS: &[Tool] = &[
    Tool {
        name: "return_get",
        title: "Get a return",
        about: "The present state of one return: status, order, customer, lines.",
        effect: Effect::Read,
        arguments: &[RETURN_ID],
        work: Work::Get { entity: "return", id: RETURN },
    },
    Tool {
        name: "return_list",
        title: "List returns",
        about: "Returns by id, all or those of one status. With a status, a page may be shorter than the limit while \
                next_cursor says that there is more to look through.",
        effect: Effect::Read,
        arguments: &[
            optional(
                "status",
                Kind::Choice(&[
                    "requested",
                    "approved",
                    "rejected",
                    "received",
                    "inspecting",
                    "refunded",
                    "completed",
                ]),
                "Only returns of this status",
            ),
            PAGE[0],
            PAGE[1],
        ],
        work: Work::List { entity: "return" },
    },
    Tool {
        name: "return_request",
        title: "Request a return",
        about: "Asks to send goods of an order back.",
        effect: ADDS,
        arguments: &[
            optional("return_id", Kind::Id, "Id of the new return; chosen for you where left out"),
            ORDER_ID,
            CUSTOMER_ID,
            CURRENCY,
            optional("line_items", Kind::Lines, "What comes back"),
            REASON,
        ],
        work: event("return", "return.requested", RETURN),
    },
    Tool {
        name: "return_approve",
        title: "Approve a return",
        about: "Allows a requested return: its goods may come back. Money moves with return_refund alone.",
        effect: STEPS,
        arguments: &[RETURN_ID],
        work: event("return", "return.approved", RETURN),
    },
    Tool {
        name: "return_reject",
        title: "Reject a return",
        about: "Refuses a requested return. It cannot be taken back.",
        effect: TAKES_AWAY,
        arguments: &[RETURN_ID, REASON],
        work: event("return", "return.rejected", RETURN),
    },
    Tool {
        name: "return_receive",
        title: "Receive returned goods",
        about: "Says that the goods of an approved return have arrived.",
        effect: STEPS,
        arguments: &[RETURN_ID],
        work: event("return", "return.received", RETURN),
    },
    Tool {
        name: "return_inspect",
        title: "Inspect returned goods",
        about: "Says that received goods are being looked at.",
        effect: STEPS,
        arguments: &[RETURN_ID],
        work: event("return", "return.inspecting", RETURN),
    },
    Tool {
        name: "return_refund",
        title: "Refund a return",
        about: "Records that the money of a received return goes back. Where the amount is above the agent's limit, the \
                answer is a pending approval instead.",
        effect: STEPS,
        arguments: &[RETURN_ID, required("amount", Kind::Amount, "What goes back"), CURRENCY],
        work: Work::Event {
            entity: "return",
            event: "return.refunded",
            id: RETURN,
            worth: Worth::Argument("amount"),
        },
    },
    Tool {
        name: "return_complete",
        title: "Complete a return",
        about: "Closes a refunded return.",
        effect: STEPS,
        arguments: &[RETURN_ID],
        work: event("return", "return.completed", RETURN),
    },
];

pub const PAYMENTS: &[Tool] = &[
    Tool {
        name: "payment_intent_create",
        title: "Promise a payment",
        about: "Signs a payment intent with the agent's key and hands it to the payment service. Where the amount is above \
                the agent's limit, the answer is a pending approval instead. Needs the service to be reachable.",
        effect: ADDS,
        arguments: &[
            required("payee_address", Kind::Address, "Who is paid"),
            required("amount", Kind::Amount, "In whole units of the asset, such as 12.50"),
            required("asset", Kind::Choice(crate::desk::ASSETS), "What is paid with"),
            required("network", NAME, "Chain it is paid on, as the service names it, such as set_chain"),
            optional(
                "valid_for_seconds",
                Kind::Count { min: 1 },
                "How long the promise holds; 3600 where left out",
            ),
            optional("order_id", Kind::Uuid, "The order it is for, where its id is a UUID"),
            optional("description", Kind::Text { bytes_max: 500 }, "What it is for, in words"),
        ],
        work: Work::PaymentCreate,
    },
    Tool {
        name: "payment_intent_get",
        title: "Get a payment intent",
        about: "Where a payment intent stands: sequenced, batched, settled, expired or failed. Needs the service.",
        effect: Effect::Read,
        arguments: &[required("intent_id", Kind::Uuid, "Id of the intent")],
        work: Work::PaymentGet,
    },
    Tool {
        name: "payment_receipt_get",
        title: "Get a payment receipt",
        about: "Proof that a payment intent is in its batch. Needs the service.",
        effect: Effect::Read,
        arguments: &[required("intent_id", Kind::Uuid, "Id of the intent")],
        work: Work::PaymentReceipt,
    },
];

pub const RECORDS: &[Tool] = &[
    Tool {
        name: "event_history",
        title: "History of an entity",
        about: "The signed events of one entity, oldest first, those that were not sent yet included.",
        effect: Effect::Read,
        arguments: &[
            required("entity_type", Kind::Id, "Such as order, product, inventory, customer, return"),
            required("entity_id", Kind::Id, "Id of the entity"),
            PAGE[0],
            PAGE[1],
        ],
        work: Work::History,
    },
    Tool {
        name: "receipt_get",
        title: "Get the receipt of an event",
        about: "Whether the sequencer has acknowledged an event of this agent, and under which number.",
        effect: Effect::Read,
        arguments: &[required("event_id", Kind::Uuid, "Id of the event")],
        work: Work::ReceiptGet,
    },
    Tool {
        name: "proof_get",
        title: "Get the proof of an event",
        about: "Everything that is needed to check one event without the service: envelope, receipt, inclusion. Needs the \
                service, and the event to be committed.",
        effect: Effect::Read,
        arguments: &[required("event_id", Kind::Uuid, "Id of the event")],
        work: Work::ProofGet,
    },
    Tool {
        name: "proof_verify",
        title: "Verify a proof",
        about: "Checks a proof of an event against the sequencer's key that is pinned here, and says what holds.",
        effect: Effect::Read,
        arguments: &[required("proof", Kind::Proof, "A proof as proof_get gives it")],
        work: Work::ProofVerify,
    },
    Tool {
        name: "key_list",
        title: "List the agent's keys",
        about: "Public keys of this agent as the service has them. Needs the service.",
        effect: Effect::Read,
        arguments: &[],
        work: Work::KeyList,
    },
    Tool {
        name: "sync_status",
        title: "State of the outbox",
        about: "How many signed events wait, were acknowledged, refused or are in conflict, and how far the stream was pulled.",
        effect: Effect::Read,
        arguments: &[],
        work: Work::SyncStatus,
    },
    Tool {
        name: "sync_push",
        title: "Send what waits",
        about: "Sends the events that wait in the outbox, and verifies their receipts.",
        effect: STEPS,
        arguments: &[],
        work: Work::SyncPush,
    },
    Tool {
        name: "sync_pull",
        title: "Fetch what is new",
        about: "Fetches and verifies what others have written, so that the reads see it.",
        effect: STEPS,
        arguments: &[],
        work: Work::SyncPull,
    },
    Tool {
        name: "approval_get",
        title: "Get an approval",
        about: "Where a call stands that waits for a person: pending, approved, rejected, expired or failed; and its answer once \
                it was carried out. No tool decides about it.",
        effect: Effect::Read,
        arguments: &[required("approval_id", Kind::Id, "Id of the approval")],
        work: Work::ApprovalGet,
    },
    Tool {
        name: "approval_list",
        title: "List approvals",
        about: "Calls that wait for a person, and those that were decided, newest first.",
        effect: Effect::Read,
        arguments: &PAGE,
        work: Work::ApprovalList,
    },
];
