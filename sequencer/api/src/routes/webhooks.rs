//! Receivers of webhooks.

use stateset_sequencer::Action;
use ves_wire::webhooks::{
    CreateWebhookRequest, ReplayWebhookRequest, RotateWebhookSecretRequest, UpdateWebhookRequest,
    WebhookBody, WebhookDeliveryList, WebhookList, WebhookStreamBody,
};

use super::Routes;
use crate::openapi::operation::{Operation, delete, get, patch, post, text, uuid};
use crate::webhooks;

const ALL: &str = "/api/v1/webhooks";
const ONE: &str = "/api/v1/webhooks/{webhook_id}";

pub(crate) fn routes() -> Routes {
    Routes::default()
        .add(
            of_tenant(get(ALL, "listWebhooks", "Receivers of webhooks"))
                .answers::<WebhookList>()
                .compressed(),
            webhooks::list,
        )
        .add(
            post(ALL, "createWebhook", "A new receiver of webhooks, with its secret")
                .tag("webhooks")
                .administers()
                .body::<CreateWebhookRequest>()
                .records(&[Action::WebhookCreated])
                .answers::<WebhookBody>()
                .refuses([409]),
            webhooks::create,
        )
        .add(
            one(get(ONE, "getWebhook", "A receiver, and how far each stream has come"))
                .answers::<WebhookBody>(),
            webhooks::get,
        )
        .add(
            addressed(patch(ONE, "updateWebhook", "Change a receiver, pause it, or make it active again"))
                .body::<UpdateWebhookRequest>()
                .records(&[Action::WebhookUpdated])
                .answers::<WebhookBody>(),
            webhooks::update,
        )
        .add(
            addressed(post(
                "/api/v1/webhooks/{webhook_id}/secret",
                "rotateWebhookSecret",
                "Another secret for a receiver, beside the one before for a while",
            ))
            .body::<RotateWebhookSecretRequest>()
            .records(&[Action::WebhookSecretRotated])
            .answers::<WebhookBody>(),
            webhooks::rotate,
        )
        .add(
            one(delete(ONE, "deleteWebhook", "Remove a receiver and the log of its deliveries"))
                .records(&[Action::WebhookDeleted])
                .answers_object(),
            webhooks::delete,
        )
        .add(
            paged(get(
                "/api/v1/webhooks/{webhook_id}/deliveries",
                "listWebhookDeliveries",
                "The last attempts of each stream",
            )),
            webhooks::deliveries,
        )
        .add(
            paged(get(
                "/api/v1/webhooks/{webhook_id}/dead-letters",
                "listWebhookDeadLetters",
                "Events that were given up",
            )),
            webhooks::dead_letters,
        )
        .add(
            addressed(post(
                "/api/v1/webhooks/{webhook_id}/replay",
                "replayWebhook",
                "Deliver once more from a number on",
            ))
            .body::<ReplayWebhookRequest>()
            .records(&[Action::WebhookReplayed])
            .answers::<WebhookStreamBody>(),
            webhooks::replay,
        )
}

fn of_tenant(operation: Operation) -> Operation {
    operation.tag("webhooks").administers().query("tenant_id", uuid(), "The caller's own when left out")
}

fn one(operation: Operation) -> Operation {
    of_tenant(operation).segment("webhook_id", uuid(), "The receiver").refuses([404])
}

/// One whose body names the tenant.
fn addressed(operation: Operation) -> Operation {
    operation.tag("webhooks").administers().segment("webhook_id", uuid(), "The receiver").refuses([404])
}

fn paged(operation: Operation) -> Operation {
    one(operation)
        .query("after", text(48, 48), "What the page before gave as next_after")
        .page(100, 1000)
        .answers::<WebhookDeliveryList>()
}
