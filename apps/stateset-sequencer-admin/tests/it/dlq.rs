//! `dlq` on a database that nobody writes.

use std::path::Path;

use stateset_fixtures::plain_event;
use stateset_sequencer::{DeadLetterReason, RefusedEvent, Sequencer};
use ves::{Envelope, SequenceNumber, StreamKey};

use crate::{json, run, world};

fn refused(stream: &StreamKey, event: &Envelope<'_>, n: u64, reason: DeadLetterReason) -> RefusedEvent {
    RefusedEvent {
        stream: *stream,
        sequence_number: SequenceNumber(n),
        event_id: event.event_id,
        entity_type: event.entity_type.to_string(),
        entity_id: event.entity_id.to_string(),
        event_type: event.event_type.to_string(),
        reason,
        message: "the order is \u{1b}[31mmissing".to_owned(),
        expected_version: None,
        actual_version: None,
    }
}

fn with_sequencer<T>(at: &Path, work: impl AsyncFnOnce(&Sequencer) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let sequencer = world::open(at);
        let made = work(&sequencer).await;
        sequencer.shutdown().await;
        made
    })
}

#[test]
fn letters_are_listed_shown_retried_and_purged_and_the_service_finds_it_so() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (stream, agent) = world::make(at, 4);
    let events: Vec<_> = (0..2).map(|n| plain_event(&agent, &stream, n)).collect();
    with_sequencer(at, async |sequencer| {
        let refused = [
            refused(&stream, &events[0], 1, DeadLetterReason::HandlerError),
            refused(&stream, &events[1], 2, DeadLetterReason::InvariantViolation),
        ];
        let changes = sequencer.dead_letters_refused(&refused).await.unwrap();
        sequencer.put_documents(changes).await.unwrap();
    });
    let tenant = stream.tenant_id.to_string();
    let of = |command: &'static str, rest: &[&str]| {
        let args: Vec<String> =
            ["dlq", command, "--tenant-id", &tenant].iter().chain(rest).map(ToString::to_string).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        json(at, &args)
    };
    let (status, listed) = of("list", &[]);
    assert_eq!((status, &listed["count"]), (0, &2.into()));
    assert_eq!(of("list", &["--status", "failed"]).1["dead_letters"][0]["sequence_number"], 2);
    let id = events[1].event_id.to_string();
    let (_, text, _) = run(at, &["dlq", "show", "--tenant-id", &tenant, &id]);
    assert!(text.contains("invariant_violation: the order is \\u{1b}[31mmissing"), "{text}");
    assert!(of("show", &[&id]).1["payload"].is_object());

    assert_eq!(of("retry", &[&id]).1["changed"], 1);
    assert_eq!(of("retry", &["--reason", "unknown"]).1["changed"], 0);
    let due = with_sequencer(at, async |sequencer| {
        let due = sequencer.dead_letters_due(10).await.unwrap();
        sequencer.put_documents(sequencer.dead_letter_resolved(&due[0])).await.unwrap();
        assert_eq!(sequencer.dead_letter_counts(None).resolved, 1);
        due
    });
    assert_eq!(due.iter().map(|letter| letter.sequence_number.get()).collect::<Vec<_>>(), [2]);
    let (status, _, error) = run(at, &["dlq", "retry", "--tenant-id", &tenant, &id]);
    assert!(status == 2 && error.contains("was applied"), "{error}");

    assert_eq!(of("purge", &["--status", "resolved"]).1["changed"], 1);
    assert_eq!(of("purge", &["--older-than-secs", "3600"]).1["changed"], 0);
    assert_eq!(of("purge", &[&events[0].event_id.to_string()]).1["changed"], 1);
    let (status, _, error) = run(at, &["dlq", "show", "--tenant-id", &tenant, &id]);
    assert!(status == 2 && error.contains("no dead letter"), "{error}");
    let counts = with_sequencer(at, async |sequencer| sequencer.dead_letter_counts(None));
    assert_eq!(counts.size(), 0);
}

#[test]
fn letters_are_never_meant_by_oversight() {
    let folder = tempfile::tempdir().unwrap();
    let (stream, _) = world::make(folder.path(), 2);
    let tenant = stream.tenant_id.to_string();
    for command in ["retry", "purge"] {
        let (status, _, error) = run(folder.path(), &["dlq", command, "--tenant-id", &tenant]);
        assert!(status == 2 && error.contains("<EVENT"), "{error}");
    }
    let (status, _, error) = run(folder.path(), &["dlq", "list", "--tenant-id", &tenant, "--status", "lost"]);
    assert!(status == 2 && error.contains("pending, retrying, failed, resolved"), "{error}");
}
