//! Receivers of webhooks as an administrator meets them over REST.

use axum::body::Body;
use serde_json::{Value, json};
use stateset_fixtures::stream;
use ves::{StreamKey, TimestampMs};

use crate::world::{ADMIN, Answer, World};

const WEBHOOKS: &str = "/api/v1/webhooks";
const HOUR_MS: i64 = 60 * 60 * 1000;

/// One receiver, as its registration answered.
struct Made {
    world: World,
    stream: StreamKey,
    made: Value,
}

impl Made {
    async fn new() -> Self {
        let (world, stream) = (World::new().await, stream(1));
        let new = json!({"tenant_id": stream.tenant_id, "url": "https://example.com/hook", "event_types": ["order.*"]});
        let made = world.post(WEBHOOKS, new).await.ok();
        Self { world, stream, made }
    }

    fn path(&self) -> String {
        format!("{WEBHOOKS}/{}", self.made["webhook_id"].as_str().expect("an id"))
    }

    async fn change(&self, mut body: Value) -> Answer {
        body["tenant_id"] = json!(self.stream.tenant_id);
        self.world.call(Some(ADMIN), "PATCH", &self.path(), Body::from(body.to_string())).await
    }

    async fn rotate(&self, body: Value) -> Answer {
        let mut body = body;
        body["tenant_id"] = json!(self.stream.tenant_id);
        self.world.post(&format!("{}/secret", self.path()), body).await
    }

    async fn shown(&self) -> Value {
        let all = self.world.get(&format!("{WEBHOOKS}?tenant_id={}", self.stream.tenant_id)).await.ok();
        assert_eq!(all["count"], 1);
        all["webhooks"][0].clone()
    }
}

#[tokio::test]
async fn a_receiver_is_changed_member_by_member() {
    let at = Made::new().await;
    assert_eq!((at.made["status"].as_str(), &at.made["status_since"]), (Some("active"), &Value::Null));
    let paused = at.change(json!({"status": "paused"})).await.ok();
    assert_eq!(
        (&paused["status"], &paused["url"], &paused["event_types"]),
        (&json!("paused"), &at.made["url"], &json!(["order.*"]))
    );
    assert!(paused["status_since"].is_string() && paused["secret"].is_null());
    let moved = json!({"url": "https://example.com/new", "event_types": [], "format": "cloudevents", "description": "x"});
    let moved = at.change(moved).await.ok();
    assert_eq!(moved["status"], "paused", "what is left out stays");
    assert_eq!(
        at.change(json!({"status": "active", "description": ""})).await.ok()["description"],
        Value::Null
    );
    let shown = at.shown().await;
    assert_eq!(
        (&shown["url"], &shown["event_types"], &shown["format"], &shown["status"]),
        (&json!("https://example.com/new"), &json!([]), &json!("cloudevents"), &json!("active"))
    );
}

#[tokio::test]
async fn a_change_is_judged_as_a_new_receiver_is() {
    let at = Made::new().await;
    for (body, code, word) in [
        (json!({}), "INVALID_FIELD_VALUE", "something to change"),
        (json!({"url": "http://example.com/"}), "INVALID_FIELD_VALUE", "url: "),
        (json!({"url": format!("https://example.com/{}", "a".repeat(2048))}), "INVALID_FIELD_VALUE", "url: "),
        (json!({"event_types": [""]}), "INVALID_FIELD_VALUE", "event_types: "),
        (json!({"event_types": vec!["a"; 101]}), "INVALID_FIELD_VALUE", "event_types: "),
        (json!({"description": "a\nb"}), "INVALID_FIELD_VALUE", "description: "),
        (json!({"format": "xml"}), "INVALID_FIELD_VALUE", "format"),
        (json!({"status": "gone"}), "INVALID_FIELD_VALUE", "active or paused"),
    ] {
        let message = at.change(body.clone()).await.refused(400, code);
        assert!(message.contains(word), "{body}: {message}");
    }
    assert_eq!(at.shown().await["url"], at.made["url"]);
    let other = format!("{WEBHOOKS}/{}", at.stream.tenant_id);
    let body = json!({"tenant_id": at.stream.tenant_id, "status": "paused"});
    let unknown = at.world.call(Some(ADMIN), "PATCH", &other, Body::from(body.to_string())).await;
    unknown.refused(404, "RESOURCE_NOT_FOUND");
}

#[tokio::test]
async fn a_secret_is_rotated_beside_the_one_before_or_in_its_place() {
    let at = Made::new().await;
    let first = at.rotate(json!({})).await.ok();
    assert_ne!(first["secret"], at.made["secret"]);
    let until = |hours: i64| json!(TimestampMs(stateset_fixtures::NOW.0 + hours * HOUR_MS).to_string());
    assert_eq!(first["earlier_secret_until"], until(24));
    assert_eq!(at.rotate(json!({"overlap_hours": 168})).await.ok()["earlier_secret_until"], until(168));
    // Whoever has it signs no more.
    let second = at.rotate(json!({"overlap_hours": 0})).await.ok();
    assert!(second["secret"].is_string() && second["earlier_secret_until"].is_null());
    let message = at.rotate(json!({"overlap_hours": 169})).await.refused(400, "INVALID_FIELD_VALUE");
    assert!(message.contains("overlap_hours: expected at most 168"), "{message}");
    assert!(at.shown().await["secret"].is_null());
    at.rotate(json!({"overlap_hours": 2})).await.ok();
    assert_eq!(at.shown().await["earlier_secret_until"], until(2));
    at.world.clock.set(TimestampMs(stateset_fixtures::NOW.0 + 2 * HOUR_MS));
    assert!(at.shown().await["earlier_secret_until"].is_null(), "its time is over");
}
