//! JSON Schemas of arguments and results, made from the table.

use serde_json::{Map, Value, json};

use crate::arguments::{EXACT_MAX, PAGE_SIZE_MAX};
use crate::table::{Argument, Kind, Need, Tool, Work};

/// The schema of a tool's arguments.
pub fn input(tool: &Tool) -> Map<String, Value> {
    let properties: Map<String, Value> =
        tool.all_arguments().map(|argument| (argument.name.to_owned(), of_argument(argument))).collect();
    let required: Vec<&str> =
        tool.all_arguments().filter(|argument| argument.need == Need::Required).map(|a| a.name).collect();
    object(json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    }))
}

/// The schema of a tool's structured result: what it answers, or `error`.
pub fn output(tool: &Tool) -> Map<String, Value> {
    let (mut properties, required) = answer(tool.work);
    properties.insert("error".to_owned(), error());
    object(json!({
        "type": "object",
        "properties": properties,
        "anyOf": [{"required": required}, {"required": ["error"]}],
    }))
}

fn of_argument(argument: &Argument) -> Value {
    let mut schema = of_kind(argument.kind);
    schema["description"] = argument.about.into();
    schema
}

fn of_kind(kind: Kind) -> Value {
    match kind {
        Kind::Id => json!({"type": "string", "minLength": 1, "maxLength": 256}),
        Kind::Text { bytes_max } => json!({"type": "string", "minLength": 1, "maxLength": bytes_max}),
        Kind::Choice(words) => json!({"type": "string", "enum": words}),
        Kind::Amount => amount(),
        Kind::Currency => json!({"type": "string", "pattern": "^[A-Z0-9]{3,12}$"}),
        Kind::Count { min } => json!({"type": "integer", "minimum": min, "maximum": EXACT_MAX}),
        Kind::Change => json!({"type": "integer", "minimum": -EXACT_MAX, "maximum": EXACT_MAX}),
        Kind::Lines => json!({"type": "array", "maxItems": 1000, "items": line()}),
        Kind::Object | Kind::Proof => json!({"type": "object"}),
        Kind::Uuid => json!({"type": "string", "format": "uuid"}),
        Kind::Address => json!({"type": "string", "pattern": "^0x([0-9a-fA-F]{40}|[0-9a-fA-F]{64})$"}),
        Kind::PageSize => json!({"type": "integer", "minimum": 1, "maximum": PAGE_SIZE_MAX}),
        Kind::Cursor => json!({"type": "string", "minLength": 1}),
        Kind::Day => json!({"type": "string", "format": "date"}),
        Kind::Flag => json!({"type": "boolean"}),
    }
}

/// Decimal text: a number loses digits where it is read as a double.
fn amount() -> Value {
    json!({"type": "string", "pattern": r"^[0-9]{1,19}(\.[0-9]{1,19})?$"})
}

fn line() -> Value {
    json!({
        "type": "object",
        "properties": {
            "product_id": {"type": "string", "minLength": 1, "maxLength": 256},
            "quantity": {"type": "integer", "minimum": 1, "maximum": EXACT_MAX},
            "unit_price": amount(),
        },
        "required": ["product_id", "quantity", "unit_price"],
        "additionalProperties": false,
    })
}

fn error() -> Value {
    json!({
        "type": "object",
        "description": "Why nothing was done; code is stable",
        "properties": {
            "code": text(), "message": text(), "hint": text(),
            "retryable": {"type": "boolean", "description": "Whether the same call may succeed later"},
        },
        "required": ["code", "message", "retryable"],
    })
}

fn text() -> Value {
    json!({"type": "string"})
}
fn number() -> Value {
    json!({"type": "integer", "minimum": 0})
}

/// Properties of what a tool answers, and which of them always stand there.
fn answer(work: Work) -> (Map<String, Value>, &'static [&'static str]) {
    match work {
        Work::Event { .. } => (
            object(json!({
                "status": {"type": "string", "enum": ["pending", "receipted", "refused", "conflict", "pending_approval"]},
                "event_id": text(),
                "event_type": text(),
                "sequence_number": number(),
                "entity": entity(),
                "problem": text(),
                "approval": approval(),
            })),
            &["status"],
        ),
        Work::PaymentCreate => (
            object(json!({
                "status": text(),
                "intent": {"type": "object"},
                "approval": approval(),
            })),
            &["status"],
        ),
        Work::Get { .. } => (object(json!({ "entity": entity() })), &["entity"]),
        Work::List { .. } | Work::ProductSearch => page("entities", entity()),
        Work::History => page("events", event()),
        Work::ReceiptGet => (
            object(json!({
                "event_id": text(),
                "status": {"type": "string", "enum": ["pending", "receipted", "refused", "conflict"]},
                "sequence_number": number(),
                "problem": text(),
            })),
            &["event_id", "status"],
        ),
        Work::ProofGet => (object(json!({"proof": {"type": "object"}})), &["proof"]),
        Work::ProofVerify => (
            object(json!({
                "holds": {"type": "boolean"},
                "findings": {"type": "array", "items": {"type": "object"}},
            })),
            &["holds", "findings"],
        ),
        Work::PaymentGet => (object(json!({"intent": {"type": "object"}})), &["intent"]),
        Work::PaymentReceipt => (object(json!({"receipt": {"type": "object"}})), &["receipt"]),
        Work::KeyList => (object(json!({"keys": {"type": "array", "items": {"type": "object"}}})), &["keys"]),
        Work::SyncStatus => (
            object(json!({
                "pending": number(), "receipted": number(), "refused": number(), "conflicts": number(),
                "pulled_to": number(),
            })),
            &["pending", "receipted", "refused", "conflicts", "pulled_to"],
        ),
        Work::SyncPush | Work::SyncPull => (
            object(json!({"events": number(), "refused": number(), "conflicts": number(), "head": number()})),
            &["events", "refused", "conflicts", "head"],
        ),
        Work::InvoiceGet => (object(json!({ "invoice": invoice() })), &["invoice"]),
        Work::InvoiceList => page("invoices", invoice()),
        Work::InvoiceRequests => {
            page("requests", json!({"type": "object", "properties": flow(), "required": ["flow_id", "step"]}))
        }
        Work::InvoiceStep(_) => (
            {
                let mut step = object(flow());
                step.insert("approval".to_owned(), approval());
                step
            },
            &["status"],
        ),
        Work::ApprovalGet => (object(json!({ "approval": approval() })), &["approval"]),
        Work::ApprovalList => page("approvals", approval()),
    }
}

fn page(name: &'static str, item: Value) -> (Map<String, Value>, &'static [&'static str]) {
    let mut properties = Map::new();
    properties.insert(name.to_owned(), json!({"type": "array", "items": item}));
    properties.insert(
        "next_cursor".to_owned(),
        json!({"type": "string", "description": "Absent on the last page"}),
    );
    let required: &[&str] = match name {
        "entities" => &["entities"],
        "events" => &["events"],
        "invoices" => &["invoices"],
        "requests" => &["requests"],
        _ => &["approvals"],
    };
    (properties, required)
}

fn entity() -> Value {
    json!({
        "type": "object",
        "properties": {
            "entity_type": text(),
            "entity_id": text(),
            "version": number(),
            "sequence_number": number(),
            "pending": {"type": "integer", "minimum": 0, "description": "Events that only the outbox holds"},
            "unreadable": {"type": "integer", "minimum": 0, "description": "Sealed events; above 0 the state is partial"},
            "state": {"type": "object", "properties": {"status": text()}},
        },
        "required": ["entity_type", "entity_id", "version", "sequence_number", "pending", "unreadable", "state"],
    })
}

fn event() -> Value {
    json!({
        "type": "object",
        "properties": {
            "event_id": text(),
            "event_type": text(),
            "entity_type": text(),
            "entity_id": text(),
            "sequence_number": {"type": "integer", "minimum": 1, "description": "Absent while only the outbox holds it"},
            "created_at": text(),
            "agent_id": text(),
            "payload": {"description": "Absent where it is sealed, and no key here opens it"},
        },
        "required": ["event_id", "event_type", "entity_type", "entity_id", "created_at", "agent_id"],
    })
}

/// A version of an invoice on the shared ledger.
fn invoice() -> Value {
    let mut properties = object(json!({
        "invoice_id": text(), "number": text(), "name": text(),
        "status": text(),
        "version": number(),
        "seller": text(), "payer": text(), "factor": text(),
        "payee": {"type": "string", "description": "Who is paid: the factor where it is sold, else the seller"},
        "currency": text(),
        "due_date": {"type": "string", "format": "date"},
        "line_items": {"type": "array", "items": {"type": "object"}},
        "transaction_id": text(),
    }));
    let amounts = ["amount", "tax", "total", "amount_paid", "amount_remaining"];
    properties.extend(amounts.map(|name| (name.to_owned(), amount())));
    json!({
        "type": "object",
        "description": "Companies are named by their ids of 40 hex digits",
        "properties": properties,
        "required": ["number", "status", "seller", "payer", "currency", "total", "amount_remaining", "due_date"],
    })
}

/// A step of a company and where it stands.
fn flow() -> Value {
    json!({
        "status": {
            "type": "string",
            "enum": ["final", "waiting", "declined", "pending_approval"],
            "description": "waiting: signed here, others have to sign or the ledger has to take it",
        },
        "flow_id": text(),
        "step": {"type": "string", "description": "Such as Create, Accept, Pay"},
        "from": {"type": "string", "description": "Who proposes it; absent where this company does"},
        "transaction_id": text(),
        "waits_for": {"type": "array", "items": text()},
        "invoice": invoice(),
    })
}

fn approval() -> Value {
    json!({
        "type": "object",
        "properties": {
            "approval_id": text(),
            "state": {"type": "string", "enum": ["pending", "approved", "rejected", "expired", "failed"]},
            "tool": text(),
            "arguments": {"type": "object"},
            "reason": text(),
            "amount": amount(),
            "currency": text(),
            "created_at": text(),
            "expires_at": text(),
            "decided_at": text(),
            "answer": {"type": "object"},
        },
        "required": ["approval_id", "state", "tool", "arguments", "reason", "created_at", "expires_at"],
    })
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => unreachable!("schemas are written as objects"),
    }
}
