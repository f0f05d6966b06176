//! Dead letters over the routes: what an admin sees, orders and purges.

use serde_json::json;
use stateset_fixtures::{Agent, plain_event};
use stateset_sequencer::{DeadLetterReason, RefusedEvent};
use ves::{Envelope, SequenceNumber, StoreId, StreamKey};

use crate::world::{World, query};

const LETTERS: &str = "/api/v1/dead-letters";

/// What a projection says of an event that it can't apply.
pub fn refused_event(
    stream: &StreamKey,
    event: &Envelope<'_>,
    n: u64,
    reason: DeadLetterReason,
) -> RefusedEvent {
    RefusedEvent {
        stream: *stream,
        sequence_number: SequenceNumber(n),
        event_id: event.event_id,
        entity_type: event.entity_type.to_string(),
        entity_id: event.entity_id.to_string(),
        event_type: event.event_type.to_string(),
        reason,
        message: format!("refused for {reason}"),
        expected_version: Some(2),
        actual_version: Some(1),
    }
}

pub async fn refuse(
    world: &World,
    stream: &StreamKey,
    event: &Envelope<'_>,
    n: u64,
    reason: DeadLetterReason,
) {
    let refused = refused_event(stream, event, n, reason);
    let changes = world.sequencer.dead_letters_refused(&[refused]).await.expect("changes");
    world.sequencer.put_documents(changes).await.expect("the log takes them");
}

/// A world with two events, both refused: one may be tried again, one may not.
pub async fn refused() -> (World, Agent, StreamKey, [Envelope<'static>; 2]) {
    let (world, agent, stream) = World::with_agent().await;
    let events = [plain_event(&agent, &stream, 1), plain_event(&agent, &stream, 2)];
    world.ingest(&agent, &events).await;
    refuse(&world, &stream, &events[0], 1, DeadLetterReason::VersionConflict).await;
    refuse(&world, &stream, &events[1], 2, DeadLetterReason::InvariantViolation).await;
    (world, agent, stream, events)
}

#[tokio::test]
async fn a_letter_shows_why_its_event_was_refused_and_what_it_says() {
    let (world, _, stream, events) = refused().await;
    let list = world.get(&format!("{LETTERS}?{}", query(&stream))).await.ok();
    assert_eq!(list["count"], 2);
    assert_eq!(list["counts"], json!({"pending": 1, "retrying": 0, "failed": 1, "resolved": 0}));
    let first = &list["dead_letters"][0];
    assert_eq!(first["reason"], "version_conflict");
    assert_eq!((&first["expected_version"], &first["actual_version"]), (&json!(2), &json!(1)));
    assert_eq!((&first["retry_count"], &first["max_retries"]), (&json!(0), &json!(10)));
    assert!(first["next_retry_at"].is_string() && first.get("payload").is_none());
    let id = events[1].event_id;
    let one = world.get(&format!("{LETTERS}/{id}?{}", query(&stream))).await.ok();
    assert_eq!((&one["status"], one.get("next_retry_at")), (&json!("failed"), None));
    let event = world.get(&format!("/api/v1/ves/events/{id}?{}", query(&stream))).await.ok();
    assert_eq!(one["payload"], event["envelope"]["payload"]);
    assert!(one["payload"].is_object());
}

#[tokio::test]
async fn lists_are_filtered_and_go_on_where_they_ended() {
    let (world, _, stream, _) = refused().await;
    let of = |more: &str| format!("{LETTERS}?{}&{more}", query(&stream));
    let failed = world.get(&of("status=failed")).await.ok();
    assert_eq!((&failed["count"], &failed["dead_letters"][0]["sequence_number"]), (&json!(1), &json!(2)));
    assert_eq!(world.get(&of("reason=unknown")).await.ok()["count"], 0);
    let page = world.get(&of("limit=1")).await.ok();
    let after = page["next_after"].as_str().expect("a next page");
    let next = world.get(&of(&format!("limit=1&after={after}"))).await.ok();
    assert_eq!(next["dead_letters"][0]["sequence_number"], 2);
    assert!(next.get("next_after").is_none());
    for (wrong, field) in
        [("status=lost", "status"), ("reason=none", "reason"), ("after=x", "after"), ("limit=0", "limit")]
    {
        let message = world.get(&of(wrong)).await.refused(400, "INVALID_FIELD_VALUE");
        assert!(message.starts_with(field), "{message}");
    }
}

#[tokio::test]
async fn a_retry_is_due_at_once_and_a_purge_leaves_the_event() {
    let (world, _, stream, events) = refused().await;
    let path = |n: usize, rest: &str| format!("{LETTERS}/{}{rest}?{}", events[n].event_id, query(&stream));
    let letter = world.post(&path(1, "/retry"), "").await.ok();
    assert_eq!((&letter["status"], &letter["retry_count"]), (&json!("pending"), &json!(0)));
    let due = world.sequencer.dead_letters_due(10).await.expect("due letters");
    assert_eq!(due.len(), 1);
    world.sequencer.put_documents(world.sequencer.dead_letter_resolved(&due[0])).await.expect("written");
    world.post(&path(1, "/retry"), "").await.refused(409, "ALREADY_EXISTS");
    let request = json!({"tenant_id": stream.tenant_id, "store_id": stream.store_id, "status": "pending"});
    assert_eq!(world.post(&format!("{LETTERS}/retry"), request).await.ok()["changed"], 1);
    world
        .post(&format!("{LETTERS}/retry"), json!({"statuz": "pending"}))
        .await
        .refused(400, "INVALID_FIELD_VALUE");

    let all = format!("{LETTERS}?{}", query(&stream));
    world.call(Some(crate::world::ADMIN), "DELETE", &all, "").await.refused(400, "MISSING_REQUIRED_FIELD");
    let purged =
        world.call(Some(crate::world::ADMIN), "DELETE", &format!("{all}&status=resolved"), "").await.ok();
    assert_eq!(purged["changed"], 1);
    assert_eq!(world.call(Some(crate::world::ADMIN), "DELETE", &path(0, ""), "").await.ok()["changed"], 1);
    world.get(&path(0, "")).await.refused(404, "RESOURCE_NOT_FOUND");
    world.get(&format!("/api/v1/ves/events/{}?{}", events[0].event_id, query(&stream))).await.ok();
    let rejected = world.get(&format!("/api/v1/rejected-events?tenant_id={}", stream.tenant_id)).await.ok();
    assert_eq!((&rejected["count"], &rejected["next_from"]), (&json!(2), &json!(2)));
    assert_eq!(rejected["rejected_events"][1]["reason"], "invariant_violation");
}

#[tokio::test]
async fn an_admin_of_one_store_is_told_nothing_of_the_others() {
    let (world, agent, stream, events) = refused().await;
    let other = StreamKey { store_id: StoreId::from_bytes([0xaa; 16]), ..stream };
    for n in 1..=5 {
        refuse(&world, &other, &events[0], n, DeadLetterReason::VersionConflict).await;
    }
    let key = world.mint(&agent, json!({"admin": true, "storeIds": [stream.store_id]})).await;
    let seen = async |path: &str| world.call(Some(&key), "GET", path, "").await.ok();
    let list = seen(&format!("{LETTERS}?tenant_id={}", stream.tenant_id)).await;
    assert_eq!((&list["count"], &list["counts"]["pending"]), (&json!(2), &json!(1)));
    assert_eq!(list["counts"], json!({"pending": 1, "retrying": 0, "failed": 1, "resolved": 0}));
    let all = world.get(&format!("{LETTERS}?tenant_id={}", stream.tenant_id)).await.ok();
    assert_eq!(all["counts"]["pending"], 6);

    let rejected = format!("/api/v1/rejected-events?tenant_id={}", stream.tenant_id);
    let found = seen(&rejected).await;
    assert_eq!((&found["count"], &found["next_from"]), (&json!(2), &json!(2)));
    assert_eq!(seen(&format!("{rejected}&from=2")).await["next_from"], 2, "nor how many came behind");
    assert_eq!(world.get(&rejected).await.ok()["next_from"], 7);
}

#[tokio::test]
async fn a_monitor_sees_letters_and_retries() {
    let (world, _, stream, _) = refused().await;
    let value = |text: &str, name: &str| -> String {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("sequencer_{name} ")));
        line.unwrap_or_else(|| panic!("no {name}")).to_owned()
    };
    let request = json!({"tenant_id": stream.tenant_id});
    world.post(&format!("{LETTERS}/retry"), request).await.ok();
    let due = world.sequencer.dead_letters_due(10).await.expect("due letters");
    world.sequencer.put_documents(world.sequencer.dead_letter_resolved(&due[0])).await.expect("written");
    let text = world.get("/metrics").await.text().to_owned();
    for (name, expected) in [
        ("dlq_added", "2"),
        ("dlq_retried", "2"),
        ("dlq_discarded", "0"),
        ("dlq_size", "2"),
        ("dlq_pending", "1"),
        ("dlq_failed", "0"),
        ("dlq_due_for_retry", "0"),
        ("dlq_tenants_full", "0"),
        ("retry_attempts", "1"),
        ("retry_successes", "1"),
        ("retry_failures", "0"),
        ("retry_exhausted", "0"),
        ("retry_latency_seconds_count", "1"),
    ] {
        assert_eq!(value(&text, name), expected, "{name}");
    }
}
