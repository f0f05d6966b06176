//! Products, and their stock.

use super::*;

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
