//! Invoices between companies, on the shared ledger.

use super::*;

const INVOICE: Argument =
    required("invoice", Kind::Id, "The invoice's number, or its invoice_id of 32 hex digits");
const REQUEST: Argument = required(
    "request",
    Kind::Id,
    "flow_id of the request, or number or invoice_id of the invoice it is about",
);

pub const INVOICES: &[Tool] = &[
    Tool {
        name: "invoice_get",
        title: "Get an invoice",
        about: "The newest version of one invoice of the company on the shared ledger: status, parties, lines, what is paid and \
                what remains. Only what all have signed is there; what is only proposed is in invoice_requests.",
        effect: Effect::Read,
        arguments: &[INVOICE],
        work: Work::InvoiceGet,
    },
    Tool {
        name: "invoice_list",
        title: "List invoices",
        about: "Invoices that the company issued, has to pay or bought, oldest first, all or those of one status.",
        effect: Effect::Read,
        arguments: &[
            optional(
                "status",
                Kind::Choice(&[
                    "ISSUED",
                    "ACCEPTED",
                    "DISPUTED",
                    "PARTIALLY_PAID",
                    "PAID",
                    "OVERDUE",
                    "VOID",
                ]),
                "Only invoices of this status",
            ),
            PAGE[0],
            PAGE[1],
        ],
        work: Work::InvoiceList,
    },
    Tool {
        name: "invoice_requests",
        title: "List what waits for the company's signature",
        about: "What other companies propose and this one has not answered: invoices, sales to a factor. A page may be shorter \
                than the limit while next_cursor says that there is more.",
        effect: Effect::Read,
        arguments: &[PAGE[0], PAGE[1]],
        work: Work::InvoiceRequests,
    },
    Tool {
        name: "invoice_create",
        title: "Issue an invoice",
        about: "Proposes an invoice to its payer. It is issued once the payer has signed too: until then the answer is waiting. \
                Where its total is above the agent's limit, the answer is a pending approval instead.",
        effect: ADDS,
        arguments: &[
            required(
                "counterparty",
                Kind::Id,
                "Who pays: a company's name on this machine, or its id of 40 hex digits",
            ),
            required("number", Kind::Text { bytes_max: 64 }, "Number of the invoice; a seller uses it once"),
            required("due_date", Kind::Day, "Last day to pay (UTC)"),
            CURRENCY,
            optional(
                "amount",
                Kind::Amount,
                "Sum before tax; may be left out where there are lines, else has to be their sum",
            ),
            optional("line_items", Kind::Lines, "What is billed; product_id has at most 64 bytes"),
            optional("tax", Kind::Amount, "Tax on top of the sum"),
            optional("name", Kind::Text { bytes_max: 256 }, "What it is for"),
        ],
        work: Work::InvoiceStep(Step::Create),
    },
    Tool {
        name: "invoice_accept",
        title: "Accept an invoice",
        about: "Acknowledges the debt of an invoice in the name of its payer; one that is only proposed is signed first. It can't \
                be taken back. Where its total is above the agent's limit, the answer is a pending approval instead.",
        effect: STEPS,
        arguments: &[INVOICE],
        work: Work::InvoiceStep(Step::Accept),
    },
    Tool {
        name: "invoice_approve",
        title: "Approve a request",
        about: "Signs what another company proposes on an invoice, as a sale to a factor. It can't be taken back. Where the \
                invoice's total is above the agent's limit, the answer is a pending approval instead.",
        effect: STEPS,
        arguments: &[REQUEST],
        work: Work::InvoiceStep(Step::Approve),
    },
    Tool {
        name: "invoice_decline",
        title: "Decline a request",
        about: "Refuses what another company proposes, for good; that company reads the reason.",
        effect: TAKES_AWAY,
        arguments: &[REQUEST, required("reason", Kind::Text { bytes_max: 256 }, "Why, in words")],
        work: Work::InvoiceStep(Step::Decline),
    },
    Tool {
        name: "invoice_pay",
        title: "Pay an invoice",
        about: "Pays what remains of an invoice, or a part, out of the company's balance in the ledger's bank. Where the amount is \
                above the agent's limit, the answer is a pending approval instead.",
        effect: ADDS,
        arguments: &[
            INVOICE,
            optional("amount", Kind::Amount, "What is paid; all that remains where it is left out"),
            optional("currency", Kind::Currency, "Currency of the amount, such as USD"),
        ],
        work: Work::InvoiceStep(Step::Pay),
    },
];
