//! The document as a whole.

use serde_json::{Map, Value, json};
use ves_wire::error::{ErrorBody, ErrorCode};

use super::operation::{Access, Operation, Schemas, collect};

/// Sections of the document, in the order of reading.
const TAGS: &[(&str, &str)] = &[
    ("events", "Signed events of a stream: sent, read, counted."),
    ("commitments", "Batches of events under one root, each chained to the one before."),
    ("proofs", "That an event is in a batch or in the log, and that the log only grew."),
    ("validity", "Proofs about whole batches."),
    ("compliance", "Proofs about single events."),
    ("anchoring", "Commitments on a chain."),
    ("payments", "Signed payment intents, their batches, what became of them."),
    ("legacy", "The older stream of unsigned events."),
    ("keys", "Keys with which agents sign and are written to."),
    ("agents", "Agents and their API keys."),
    ("groups", "Groups of recipients."),
    ("dead letters", "Events that projections could not apply."),
    ("schemas", "What payloads of an event type look like, in versions, and the check against it."),
    ("webhooks", "Receivers that are told of events by a signed POST, and what became of each delivery."),
    ("operations", "Health, measurements, and the view of those who run the service."),
];

/// What a refusal of this status is for.
fn meaning(status: u16) -> &'static str {
    match status {
        400 => "Something in the request is wrong; the message names the field",
        401 => "No credential, or one that is not believed",
        403 => "The credential does not allow this",
        404 => {
            "The object is unknown, or is looked for by its id alone and lies where the credential may not look"
        }
        409 => "Another object stands in the way",
        413 => "The body, a payload or the batch is too large",
        415 => "The body is announced as something other than JSON",
        429 => "Too many requests, or too many objects",
        500 => "The service failed; its log says why",
        503 => "The service can't do this now",
        504 => "The request took too long, or its body stopped coming",
        _ => "Refused",
    }
}

/// The OpenAPI document of these operations.
pub(crate) fn document(operations: &[Operation]) -> Value {
    let mut schemas = Schemas::new();
    collect::<ErrorBody>(&mut schemas);
    let mut paths = Map::new();
    for operation in operations {
        schemas.extend(operation.schemas.clone());
        let item = paths.entry(operation.path).or_insert_with(|| json!({}));
        item[operation.method.as_str().to_ascii_lowercase()] = described(operation);
    }
    // The text is free, so that a client may meet codes it does not know; today's are these.
    let codes: Vec<&str> = ErrorCode::ALL.iter().map(|code| code.text()).collect();
    schemas.entry("ErrorDetail".to_owned()).and_modify(|detail| {
        detail["properties"]["code"]["examples"] = json!(codes);
    });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Stateset sequencer",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Orders signed events of commerce, and proves it.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": TAGS.iter().map(|(name, what)| json!({"name": name, "description": what})).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": responses(operations),
            "headers": headers(),
            "securitySchemes": {
                "apiKey": {
                    "type": "apiKey", "in": "header", "name": "x-api-key",
                    "description": "A key that begins with ss_; also as Authorization: ApiKey ss_…",
                },
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                    "description": "HS256, HS384 or HS512 with the issuer and audience of the configuration"},
            },
        },
    })
}

fn described(operation: &Operation) -> Value {
    let mut answers = Map::new();
    let (content_type, schema) = &operation.answer;
    answers.insert(
        if operation.switches { "101" } else { "200" }.to_owned(),
        json!({
            "description": operation.summary,
            "headers": general_headers(operation.access != Access::Public),
            "content": {*content_type: {"schema": schema}},
        }),
    );
    for status in operation.refusal_statuses() {
        let response = json!({"$ref": format!("#/components/responses/Refused{status}")});
        answers.insert(status.to_string(), response);
    }
    for (status, schema) in &operation.reports {
        // The same status may also come as a refusal.
        let either = json!({"anyOf": [schema, {"$ref": "#/components/schemas/ErrorBody"}]});
        let described =
            json!({"description": meaning(*status), "content": {"application/json": {"schema": either}}});
        answers.insert(status.to_string(), described);
    }
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.tag],
        "security": security(operation.access),
        "responses": answers,
    });
    if let Some(right) = right(operation.access) {
        described["description"] = json!(right);
    }
    if let Some(actions) = operation.records.filter(|actions| !actions.is_empty()) {
        described["x-audit"] = actions.iter().map(|action| action.name()).collect();
    }
    if !operation.parameters.is_empty() {
        described["parameters"] = json!(operation.parameters);
    }
    if let Some((schema, required)) = &operation.body {
        described["requestBody"] =
            json!({"required": required, "content": {"application/json": {"schema": schema}}});
    }
    described
}

fn security(access: Access) -> Value {
    match access {
        Access::Public => json!([]),
        _ => json!([{"apiKey": []}, {"bearer": []}]),
    }
}

fn right(access: Access) -> Option<&'static str> {
    Some(match access {
        Access::Public => return None,
        Access::Reader => "Needs the right to read.",
        Access::Writer => "Needs the right to write.",
        Access::Admin => "For admins of the tenant.",
        Access::Operator => "For admins, from the addresses of the admin allowlist.",
        Access::Bootstrap => "For the admin of every tenant.",
        Access::AgentOrAdmin => "For the agent itself and for admins of its tenant.",
    })
}

fn responses(operations: &[Operation]) -> Value {
    let mut responses = Map::new();
    for status in operations.iter().flat_map(Operation::refusal_statuses) {
        let mut headers = general_headers(true);
        headers["x-error-code"] = header_reference("x-error-code");
        if matches!(status, 429 | 503) {
            headers["retry-after"] = header_reference("retry-after");
        }
        if status == 401 {
            headers["www-authenticate"] = header_reference("www-authenticate");
        }
        let content = json!({"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}});
        responses.insert(
            format!("Refused{status}"),
            json!({"description": meaning(status), "headers": headers, "content": content}),
        );
    }
    Value::Object(responses)
}

fn header_reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/headers/{name}")})
}

/// Section 1.5, and the standing of section 1.7 where a limit may hold.
fn general_headers(limited: bool) -> Value {
    let mut names = vec!["x-request-id"];
    if limited {
        names.extend(["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"]);
    }
    names.into_iter().map(|name| (name.to_owned(), header_reference(name))).collect::<Map<_, _>>().into()
}

fn headers() -> Value {
    let number =
        |description| json!({"description": description, "schema": {"type": "integer", "minimum": 0}});
    let text = |description| json!({"description": description, "schema": {"type": "string"}});
    let mut request_id = text("The request's own id, or a fresh UUID");
    request_id["required"] = json!(true);
    let mut error_code = text("The same as error.code");
    error_code["required"] = json!(true);
    json!({
        "x-request-id": request_id,
        "x-error-code": error_code,
        "retry-after": number("Seconds after which the request may succeed"),
        "www-authenticate": text("The scheme of a credential that would do"),
        "ratelimit-limit": number("Requests of a window; sent where a limit holds"),
        "ratelimit-remaining": number("Requests that still fit"),
        "ratelimit-reset": number("Seconds until the oldest counted request counts no more"),
    })
}
