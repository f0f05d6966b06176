//! The schema registry (section 3.9).

use stateset_sequencer::Action;
use ves_wire::schemas::{
    RegisterSchemaRequest, RegisteredSchema, SchemaBody, SchemaDeletedAnswer, SchemaList, SchemaStatusAnswer,
    SchemaStatusRequest, SchemaVersions, ValidatePayloadAnswer, ValidatePayloadRequest,
};

use super::Routes;
use crate::openapi::operation::{Operation, delete, get, number, post, put, text, uuid};
use crate::schemas;

pub(crate) fn routes() -> Routes {
    let all = "/api/v1/schemas";
    Routes::default()
        .add(
            of_tenant(get(all, "listSchemas", "The schemas of a tenant"))
                .query("after", uuid(), "The last schema of the page before")
                .page(100, 1_000)
                .answers::<SchemaList>()
                .compressed(),
            schemas::list,
        )
        .add(
            post(all, "registerSchema", "The next version of the schema of an event type")
                .tag("schemas")
                .writes()
                .body::<RegisterSchemaRequest>()
                .records(&[Action::SchemaRegistered])
                .answers::<RegisteredSchema>()
                .refuses([409]),
            schemas::register,
        )
        .add(
            post("/api/v1/schemas/validate", "validatePayload", "What ingest would say of a payload")
                .tag("schemas")
                .reads()
                .body::<ValidatePayloadRequest>()
                .records_nothing()
                .answers::<ValidatePayloadAnswer>(),
            schemas::validate,
        )
        .merge(one())
        .merge(of_type())
}

fn one() -> Routes {
    Routes::default()
        .add(
            schema(get("/api/v1/schemas/{schema_id}", "getSchema", "One version of a schema"))
                .reads()
                .answers::<SchemaBody>()
                .compressed(),
            schemas::get,
        )
        .add(
            schema(put(
                "/api/v1/schemas/{schema_id}/status",
                "setSchemaStatus",
                "Deprecate or archive a schema",
            ))
            .writes()
            .body::<SchemaStatusRequest>()
            .records(&[Action::SchemaDeprecated, Action::SchemaUpdated])
            .answers::<SchemaStatusAnswer>(),
            schemas::set_status,
        )
        .add(
            schema(delete(
                "/api/v1/schemas/{schema_id}",
                "deleteSchema",
                "Delete a schema; its version is not reused",
            ))
            .administers()
            .records(&[Action::SchemaDeleted])
            .answers::<SchemaDeletedAnswer>(),
            schemas::delete,
        )
}

fn of_type() -> Routes {
    let versions = "/api/v1/schemas/event-type/{event_type}";
    Routes::default()
        .add(
            of_tenant(get(
                versions,
                "listSchemaVersions",
                "The versions of an event type's schema, or one of them",
            ))
            .segment("event_type", text(1, 256), "The event type, percent-encoded")
            .query("version", number(1, u64::from(u32::MAX)), "The one version that is asked for")
            .answers::<SchemaVersions>()
            .refuses([404])
            .compressed(),
            schemas::of_type,
        )
        .add(
            of_tenant(get(
                "/api/v1/schemas/event-type/{event_type}/latest",
                "getLatestSchema",
                "The latest active schema of an event type",
            ))
            .segment("event_type", text(1, 256), "The event type, percent-encoded")
            .answers::<SchemaBody>()
            .refuses([404])
            .compressed(),
            schemas::latest,
        )
}

fn of_tenant(operation: Operation) -> Operation {
    operation.tag("schemas").reads().query("tenant_id", uuid(), "The caller's own when left out")
}

fn schema(operation: Operation) -> Operation {
    operation.tag("schemas").segment("schema_id", uuid(), "The schema").refuses([404])
}
