//! One operation: where it is, who may call it, what it takes, what it answers. A route is added with it and in no
//! other way, so that each is documented.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use serde_json::{Value, json};
use stateset_sequencer::Action;
use utoipa::ToSchema;

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anyone, without a credential.
    Public,
    Reader,
    Writer,
    Admin,
    /// An admin from an address of the allowlist (section 3.11).
    Operator,
    /// The admin of every tenant.
    Bootstrap,
    /// The agent of the path itself, or an admin of its tenant.
    AgentOrAdmin,
}

/// Schemas by name.
pub(crate) type Schemas = BTreeMap<String, Value>;

/// One operation of the document.
pub(crate) struct Operation {
    pub method: Method,
    pub path: &'static str,
    pub id: &'static str,
    pub summary: &'static str,
    pub tag: &'static str,
    pub access: Access,
    pub parameters: Vec<Value>,
    /// Schema of the body, and whether it must be there.
    pub body: Option<(Value, bool)>,
    /// Content type and schema of the 200.
    pub answer: (&'static str, Value),
    /// Other answers that are no refusals: status and schema.
    pub reports: Vec<(u16, Value)>,
    /// Refusals besides those that follow from the rest.
    pub refusals: BTreeSet<u16>,
    pub schemas: Schemas,
    /// The answer can be long: compressed for callers that offer it.
    pub compressed: bool,
    /// The good answer is 101: what follows are messages of that schema.
    pub switches: bool,
    /// What of it the audit log holds; `None` of a read, which is not asked.
    pub records: Option<&'static [Action]>,
}

pub(crate) fn get(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new(Method::GET, path, id, summary)
}
pub(crate) fn post(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new(Method::POST, path, id, summary)
}
pub(crate) fn put(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new(Method::PUT, path, id, summary)
}
pub(crate) fn patch(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new(Method::PATCH, path, id, summary)
}
pub(crate) fn delete(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new(Method::DELETE, path, id, summary)
}

impl Operation {
    fn new(method: Method, path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self {
            method,
            path,
            id,
            summary,
            tag: "events",
            access: Access::Public,
            parameters: Vec::new(),
            body: None,
            answer: ("application/json", json!({})),
            reports: Vec::new(),
            refusals: BTreeSet::new(),
            schemas: Schemas::new(),
            compressed: false,
            switches: false,
            records: None,
        }
    }

    pub fn tag(self, tag: &'static str) -> Self {
        Self { tag, ..self }
    }
    pub fn reads(self) -> Self {
        Self { access: Access::Reader, ..self }
    }
    pub fn writes(self) -> Self {
        Self { access: Access::Writer, ..self }
    }
    pub fn administers(self) -> Self {
        Self { access: Access::Admin, ..self }
    }
    pub fn operates(self) -> Self {
        Self { access: Access::Operator, ..self }
    }
    pub fn bootstraps(self) -> Self {
        Self { access: Access::Bootstrap, ..self }
    }
    pub fn self_or_admin(self) -> Self {
        Self { access: Access::AgentOrAdmin, ..self }
    }
    pub fn compressed(self) -> Self {
        Self { compressed: true, ..self }
    }
    /// The connection goes over to WebSocket.
    pub fn switches_protocols(self) -> Self {
        Self { switches: true, ..self }
    }

    /// What of it the audit log holds. Everything but a read says it.
    pub fn records(self, actions: &'static [Action]) -> Self {
        Self { records: Some(actions), ..self }
    }
    /// It is no act of an administrator.
    pub fn records_nothing(self) -> Self {
        self.records(&[])
    }

    /// Whether only administrators may call it, and it changes something.
    pub fn is_administrative(&self) -> bool {
        let is_read = self.method == Method::GET;
        !is_read && !matches!(self.access, Access::Public | Access::Reader | Access::Writer)
    }

    /// A segment of the path.
    pub fn segment(self, name: &str, schema: Value, description: &str) -> Self {
        self.parameter("path", name, schema, description, true)
    }
    /// A member of the query that may be left out.
    pub fn query(self, name: &str, schema: Value, description: &str) -> Self {
        self.parameter("query", name, schema, description, false)
    }
    /// A member of the query that must be there.
    pub fn needs(self, name: &str, schema: Value, description: &str) -> Self {
        self.parameter("query", name, schema, description, true)
    }
    /// The tenant and the store that a read is about.
    pub fn stream(self) -> Self {
        self.needs("tenant_id", uuid(), "The tenant of the stream").needs(
            "store_id",
            uuid(),
            "The store of the stream",
        )
    }
    /// The size of a page.
    pub fn page(self, default: u64, max: u64) -> Self {
        let mut schema = number(1, max);
        schema["default"] = json!(default);
        self.query("limit", schema, "Entries of one page at most")
    }

    fn parameter(
        mut self,
        place: &str,
        name: &str,
        schema: Value,
        description: &str,
        required: bool,
    ) -> Self {
        self.parameters.push(json!({
            "in": place, "name": name, "required": required, "description": description, "schema": schema,
        }));
        self
    }

    /// A body that must be there.
    pub fn body<T: ToSchema>(mut self) -> Self {
        self.body = Some((reference::<T>(&mut self.schemas), true));
        self
    }
    /// A body that may be left out.
    pub fn optional_body<T: ToSchema>(mut self) -> Self {
        self.body = Some((reference::<T>(&mut self.schemas), false));
        self
    }
    /// A body that is read by hand, by the name of its schema in [`super::schemas`].
    pub fn body_named(mut self, name: &str, schemas: Schemas) -> Self {
        self.schemas.extend(schemas);
        self.body = Some((reference_to(name), true));
        self
    }
    pub fn answers<T: ToSchema>(mut self) -> Self {
        self.answer = ("application/json", reference::<T>(&mut self.schemas));
        self
    }
    /// An answer of another status that is the report itself, not a refusal.
    pub fn reports<T: ToSchema>(mut self, status: u16) -> Self {
        let schema = reference::<T>(&mut self.schemas);
        self.reports.push((status, schema));
        self
    }
    /// An answer that is written by hand, by the name of its schema in [`super::schemas`].
    pub fn answers_named(mut self, name: &str, schemas: Schemas) -> Self {
        self.schemas.extend(schemas);
        self.answer = ("application/json", reference_to(name));
        self
    }
    /// An answer that is some JSON object.
    pub fn answers_object(self) -> Self {
        Self { answer: ("application/json", json!({"type": "object"})), ..self }
    }
    /// An answer that is no JSON.
    pub fn answers_text(self, content_type: &'static str) -> Self {
        Self { answer: (content_type, json!({"type": "string"})), ..self }
    }
    /// Server-sent events; the schema is that of one event as a client has read it.
    pub fn answers_events(self, content_type: &'static str) -> Self {
        let event = json!({
            "type": "object",
            "required": ["data"],
            "properties": {
                "id": {"type": "string", "description": "What to go on after, in Last-Event-ID"},
                "event": {"type": "string"},
                "data": {"type": "string", "description": "JSON"},
            },
        });
        Self { answer: (content_type, event), ..self }
    }
    /// What it may also be refused with, such as 404 for an object that is unknown.
    pub fn refuses(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.refusals.extend(statuses);
        self
    }

    /// Every status of a refusal: those named, and those that follow from what it takes and who may call.
    pub fn refusal_statuses(&self) -> BTreeSet<u16> {
        let mut statuses = self.refusals.clone();
        statuses.extend([500, 503, 504]);
        if self.access != Access::Public {
            statuses.extend([401, 403, 429]);
        }
        if !self.parameters.is_empty() {
            statuses.insert(400);
        }
        if self.body.is_some() {
            statuses.extend([400, 413, 415]);
        }
        statuses
    }
}

/// A reference to the schema of `T`, which goes with all it refers to into `schemas`.
fn reference<T: ToSchema>(schemas: &mut Schemas) -> Value {
    collect::<T>(schemas);
    reference_to(&T::name())
}

/// Puts the schema of `T` and of all it refers to into `schemas`.
pub(crate) fn collect<T: ToSchema>(schemas: &mut Schemas) {
    let mut held = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut held);
    for (name, schema) in held {
        schemas.insert(name, serde_json::to_value(schema).expect("a schema is JSON"));
    }
}

pub(crate) fn reference_to(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

pub(crate) fn uuid() -> Value {
    json!({"type": "string", "format": "uuid"})
}
pub(crate) fn number(min: u64, max: u64) -> Value {
    json!({"type": "integer", "format": "int64", "minimum": min, "maximum": max})
}
/// A sequence number, or a size of a log: 2^63 - 1 at most (VES section 11.1).
pub(crate) fn sequence(min: u64) -> Value {
    number(min, i64::MAX as u64)
}
pub(crate) fn boolean() -> Value {
    json!({"type": "boolean"})
}
pub(crate) fn one_of(words: &[&str]) -> Value {
    json!({"type": "string", "enum": words})
}
/// Text of so many characters.
pub(crate) fn text(min: u64, max: u64) -> Value {
    json!({"type": "string", "minLength": min, "maxLength": max})
}
