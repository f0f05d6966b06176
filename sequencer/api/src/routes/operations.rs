//! Health, measurements and the operator's view (section 3.11).

use ves_wire::admin::{AdminAgents, AdminOverview, AdminStores, AdminTenants, AuditPage};
use ves_wire::operations::{DetailedHealthBody, HealthBody, ReadyBody, SequencerBody};

use super::Routes;
use crate::openapi::operation::{Operation, get, number, sequence, text, uuid};
use crate::{admin, audit, dashboard, health, metrics, operations};

pub(crate) fn routes() -> Routes {
    Routes::default()
        .add(
            public(get("/health", "getHealth", "The process answers")).answers::<HealthBody>(),
            operations::health,
        )
        .add(
            public(get("/ready", "getReady", "The store answers too")).answers::<ReadyBody>(),
            operations::ready,
        )
        .add(
            public(get("/openapi.json", "getOpenApi", "This document")).answers_object().compressed(),
            operations::openapi,
        )
        .add(
            public(get(
                "/api/v1/ves/sequencer",
                "getSequencer",
                "The keys that sign receipts and checkpoints",
            ))
            .answers::<SequencerBody>(),
            operations::sequencer,
        )
        .add(
            operator(get("/health/detailed", "getDetailedHealth", "Each part and how it does"))
                .answers::<DetailedHealthBody>()
                .reports::<DetailedHealthBody>(503),
            health::detailed,
        )
        .add(
            operator(get("/metrics", "getMetrics", "Measurements as Prometheus text"))
                .answers_text("text/plain")
                .compressed(),
            metrics::metrics,
        )
        .add(
            operator(get("/admin", "getDashboard", "The operator's page"))
                .answers_text("text/html")
                .compressed(),
            dashboard::page,
        )
        .add(
            operator(get("/api/v1/admin/overview", "getOverview", "Everything in numbers"))
                .answers::<AdminOverview>(),
            admin::overview,
        )
        .add(
            listed(get("/api/v1/admin/tenants", "listTenants", "Tenants in numbers"))
                .answers::<AdminTenants>(),
            admin::tenants,
        )
        .add(
            listed(get("/api/v1/admin/stores", "listStores", "Streams in numbers")).answers::<AdminStores>(),
            admin::stores,
        )
        .add(
            listed(get("/api/v1/admin/agents", "listAgents", "Agents in numbers")).answers::<AdminAgents>(),
            admin::agents,
        )
        .add(
            operator(get(
                "/api/v1/admin/audit",
                "listAudit",
                "What administrators did, as a chain of hashes",
            ))
            .page(100, 1000)
            .query("after", sequence(0), "Number of the last record that is known already")
            .query("tenant_id", uuid(), "Acts in this tenant")
            .query("action", text(1, 256), "Acts of this name, such as api_key_created")
            .query("actor", text(1, 256), "Acts of this actor")
            .query("from_time", time(), "Acts at this time or later")
            .query("to_time", time(), "Acts before this time")
            .answers::<AuditPage>()
            .compressed(),
            audit::list,
        )
}

fn time() -> serde_json::Value {
    serde_json::json!({"type": "string", "format": "date-time"})
}

fn public(operation: Operation) -> Operation {
    operation.tag("operations")
}

fn operator(operation: Operation) -> Operation {
    operation.tag("operations").operates()
}

fn listed(operation: Operation) -> Operation {
    operator(operation)
        .page(100, 1000)
        .query("offset", number(0, 1_000_000), "Entries to pass over")
        .compressed()
}
