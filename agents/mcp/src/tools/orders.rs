//! Customers, what they order, and what they pay.

use super::*;

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
            required("network", NAME, "Chain it is paid on, as the service names it, such as base_sepolia"),
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
