//! What customers send back.

use super::*;

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
