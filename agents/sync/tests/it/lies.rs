//! A server that lies is caught, and what it lied about is named.

use std::cell::Cell;

use stateset_fixtures::{NOW, plain_event, stream};
use stateset_sync::conflict::Strategy;
use stateset_sync::{BEHIND_MS_MAX, Pulled, SyncError};
use ves::{SequenceNumber, TimestampMs};

use crate::world::{Client, Lie, Server};

/// A writer whose events are in the stream, and a reader that pulled the first `pulled` of them.
fn world(events: u64, pulled: u64) -> (Client, Client, Server) {
    let (mut writer, mut reader) = (Client::new(1), Client::new(2));
    let mut server = Server::new(std::slice::from_ref(&writer.agent));
    writer.append(0..events);
    writer.store.push(&mut server, &Server::identity(), Strategy::Ask, NOW, |_| {}).expect("pushes");
    if pulled > 0 {
        server.lie = Lie::Truncate(pulled);
        reader.store.pull(&mut server, &Server::identity(), NOW, |_, _| {}).expect("pulls");
        server.lie = Lie::None;
    }
    (writer, reader, server)
}

fn pull(client: &mut Client, server: &mut Server) -> Result<Pulled, SyncError> {
    client.store.pull(server, &Server::identity(), NOW, |_, _| {})
}

/// The name of the fault, which has to be kept as well; nothing of the page was taken over.
fn caught(client: &mut Client, result: Result<impl std::fmt::Debug, SyncError>, head: u64) -> &'static str {
    let Err(SyncError::Fault(fault)) = result else { panic!("not caught: {result:?}") };
    assert_eq!(client.store.replica_head().unwrap(), SequenceNumber(head), "{fault}");
    let kept = &client.store.faults().unwrap()[0];
    assert_eq!((kept.code.as_str(), &kept.message), (fault.code(), &fault.to_string()));
    fault.code()
}

#[test]
fn what_is_wrong_with_one_event_is_named() {
    for (lie, name) in [
        (Lie::Drop(7), "event_dropped"),
        (Lie::Drop(10), "event_dropped"),
        (Lie::EmptyPage, "event_dropped"),
        (Lie::Payload(7), "event_forged"),
        (Lie::Signature(7), "event_forged"),
        (Lie::ReceiptKey, "receipt_wrong"),
        (Lie::CheckpointSize, "checkpoint_forged"),
        (Lie::CheckpointKey, "sequencer_key_unknown"),
        (Lie::ReceiptVersion, "sequencer_key_unknown"),
    ] {
        let (_, mut reader, mut server) = world(10, 0);
        server.lie = lie;
        let result = pull(&mut reader, &mut server);
        if lie == Lie::Drop(10) {
            // The last one is missing: the page before it is good, and then there is nothing where something is.
            assert_eq!(caught(&mut reader, result, 9), name, "{lie:?}");
            continue;
        }
        assert_eq!(caught(&mut reader, result, 0), name, "{lie:?}");
        server.lie = Lie::None;
        assert_eq!(pull(&mut reader, &mut server).unwrap().events, 10, "honest again");
    }
}

#[test]
fn a_wrong_receipt_leaves_the_event_open() {
    for lie in [Lie::ReceiptNumber, Lie::ReceiptKey] {
        let mut client = Client::new(1);
        let mut server = Server::new(std::slice::from_ref(&client.agent));
        client.append(0..3);
        server.lie = lie;
        let result = client.store.push(&mut server, &Server::identity(), Strategy::Ask, NOW, |_| {});
        assert_eq!(caught(&mut client, result, 0), "receipt_wrong", "{lie:?}");
        assert_eq!(client.store.counts().unwrap().sent, 3);
    }
}

/// The receipts that were kept with the newest fault: which event each is of, and at which number.
fn receipts_kept(client: &Client) -> Vec<(String, u64)> {
    let evidence = client.store.faults().unwrap().remove(0).evidence.expect("evidence");
    let receipts = evidence["receipts"].as_array().expect("receipts");
    let read = |receipt: &serde_json::Value| {
        let signed: ves_wire::ReceiptBody = serde_json::from_value(receipt.clone()).expect("a receipt");
        assert!(signed.to_receipt(stream(1)).expect("a receipt").signature.is_some(), "it proves something");
        (signed.event_id.to_string(), signed.sequence_number.get())
    };
    receipts.iter().map(read).collect()
}

fn ids(client: &Client) -> Vec<String> {
    let entries = client.store.entries(0, 100, None).unwrap();
    entries.iter().map(|entry| entry.envelope.event_id.to_string()).collect()
}

#[test]
fn two_receipts_for_one_number_are_a_fork_and_both_are_kept() {
    let push = |client: &mut Client, server: &mut Server| {
        client.store.push(server, &Server::identity(), Strategy::Ask, NOW, |_| {})
    };
    let mut writer = Client::new(1);
    let mut server = Server::new(std::slice::from_ref(&writer.agent));
    writer.append(0..2);
    push(&mut writer, &mut server).unwrap();
    // In another answer than the one before.
    server.events.truncate(1);
    writer.append(2..3);
    let result = push(&mut writer, &mut server);
    assert_eq!(caught(&mut writer, result, 0), "log_forked");
    let own = ids(&writer);
    assert_eq!(receipts_kept(&writer), [(own[1].clone(), 2), (own[2].clone(), 2)]);
    assert_eq!(writer.store.counts().unwrap().sent, 1, "the event stays open");

    // In one answer.
    let mut writer = Client::new(1);
    let mut server = Server::new(std::slice::from_ref(&writer.agent));
    writer.append(0..2);
    server.lie = Lie::OneNumber;
    let result = push(&mut writer, &mut server);
    assert_eq!(caught(&mut writer, result, 0), "log_forked");
    let own = ids(&writer);
    assert_eq!(receipts_kept(&writer), [(own[0].clone(), 1), (own[1].clone(), 1)]);
}

#[test]
fn a_receipt_for_a_number_that_the_replica_holds_is_a_fork_too() {
    let mut writer = Client::new(1);
    let mut server = Server::new(std::slice::from_ref(&writer.agent));
    writer.append(0..3);
    writer.store.push(&mut server, &Server::identity(), Strategy::Ask, NOW, |_| {}).unwrap();
    pull(&mut writer, &mut server).unwrap();
    let pruned = ids(&writer).remove(1);
    assert_eq!(writer.store.prune(0).unwrap(), 2);
    server.events.truncate(1);
    writer.append(3..4);
    let result = writer.store.push(&mut server, &Server::identity(), Strategy::Ask, NOW, |_| {});
    assert_eq!(caught(&mut writer, result, 3), "log_forked");
    assert_eq!(receipts_kept(&writer)[0], (pruned, 2));
}

/// Pulls when so many milliseconds have passed.
fn pull_after(client: &mut Client, server: &mut Server, ms: i64) -> Result<Pulled, SyncError> {
    client.store.pull(server, &Server::identity(), TimestampMs(NOW.0 + ms), |_, _| {})
}

#[test]
fn a_log_that_stays_shorter_is_truncated() {
    for end in [0, 6, 9] {
        let (mut writer, mut reader, mut server) = world(10, 10);
        server.lie = Lie::Truncate(end);
        for (client, head) in [(&mut reader, 10), (&mut writer, 0)] {
            // The writer pulled nothing, and holds receipts.
            let result = pull(client, &mut server);
            assert!(matches!(result, Err(SyncError::Behind { .. })), "it may be a replica that lags, {end}");
            assert_eq!(client.store.faults().unwrap(), [], "which is no lie");
            let result = pull_after(client, &mut server, BEHIND_MS_MAX + 1);
            assert_eq!(caught(client, result, head), "log_truncated", "to {end}");
        }
    }
}

#[test]
fn a_replica_that_lags_catches_up_and_lags_anew() {
    let (_, mut reader, mut server) = world(10, 10);
    server.lie = Lie::Truncate(7);
    let behind = pull(&mut reader, &mut server).unwrap_err();
    assert_eq!(behind.code(), "SERVER_BEHIND");
    assert!(behind.to_string().contains("10") && behind.to_string().contains('7'), "{behind}");
    server.lie = Lie::None;
    assert_eq!(pull_after(&mut reader, &mut server, BEHIND_MS_MAX / 2).unwrap().events, 0);
    server.lie = Lie::Truncate(8);
    let again = pull_after(&mut reader, &mut server, BEHIND_MS_MAX + 1);
    assert!(matches!(again, Err(SyncError::Behind { .. })), "it caught up in between");
    assert_eq!(reader.store.faults().unwrap(), []);
}

#[test]
fn what_is_shorter_and_other_is_a_fork_at_once() {
    let (_, mut reader, mut server) = world(10, 10);
    fork(&mut server, 4, 3);
    let result = pull(&mut reader, &mut server);
    assert_eq!(caught(&mut reader, result, 10), "log_forked");
}

/// The server keeps the first `common` events of its log and writes others behind them.
fn fork(server: &mut Server, common: usize, others: u64) {
    let agent = server.keys[0].clone();
    server.events.truncate(common);
    for n in 0..others {
        server.write(plain_event(&agent, &stream(1), 5000 + n));
    }
}

#[test]
fn another_history_behind_what_was_pulled_is_a_fork() {
    for (common, others) in [(4, 6), (4, 20), (0, 10), (9, 1)] {
        let (mut writer, mut reader, mut server) = world(10, 10);
        fork(&mut server, common, others);
        let result = pull(&mut reader, &mut server);
        assert_eq!(caught(&mut reader, result, 10), "log_forked", "the reader, {common} and {others}");
        let evidence = reader.store.faults().unwrap().remove(0).evidence.expect("evidence");
        assert_eq!(evidence["checkpoints"].as_array().map(Vec::len), Some(2), "{evidence}");
        // The writer saw no checkpoint; its own receipts contradict the events in their places.
        let result = pull(&mut writer, &mut server);
        assert_eq!(caught(&mut writer, result, 0), "log_forked", "the writer, {common} and {others}");
        assert_eq!(receipts_kept(&writer).len(), 2);
    }
}

#[test]
fn a_fork_between_checkpoint_and_cursor_is_seen_when_the_next_checkpoint_comes() {
    let (_, mut reader, mut server) = world(10, 0);
    server.batch = 4;
    pull(&mut reader, &mut server).unwrap();
    // Events 9 and 10 were in no checkpoint yet.
    fork(&mut server, 8, 2);
    assert_eq!(pull(&mut reader, &mut server).unwrap().events, 0, "nothing signed contradicts yet");
    fork(&mut server, 8, 6);
    let result = pull(&mut reader, &mut server);
    assert!(matches!(result, Err(SyncError::Fault(_))));
    let kept = reader.store.faults().unwrap();
    assert_eq!(kept[0].code, "log_forked", "the root of the pulled events is not that of the checkpoint");
}

#[test]
fn a_forged_or_stale_directory_is_refused() {
    for (lie, name) in [
        (Lie::DirectoryKey, "directory_forged"),
        (Lie::DirectoryVersion, "sequencer_key_unknown"),
        (Lie::DirectoryAge(61_000), "directory_stale"),
        (Lie::DirectoryAge(-61_000), "directory_stale"),
    ] {
        let (_, mut reader, mut server) = world(10, 0);
        server.lie = lie;
        let result = pull(&mut reader, &mut server);
        assert_eq!(caught(&mut reader, result, 0), name, "{lie:?}");
    }
    let (writer, mut reader, mut server) = world(10, 10);
    let agent = writer.agent.agent_id;
    server.revoked.insert(agent);
    reader.store.refresh_keys(&mut server, &Server::identity(), &agent, NOW).unwrap();
    server.lie = Lie::DirectoryUnrevoked;
    let result = reader.store.refresh_keys(&mut server, &Server::identity(), &agent, NOW);
    assert_eq!(caught(&mut reader, result, 10), "directory_stale", "a revoked key is active again");
    server.lie = Lie::None;
    fork(&mut server, 3, 0);
    let result = reader.store.refresh_keys(&mut server, &Server::identity(), &agent, TimestampMs(NOW.0 + 1));
    assert!(
        matches!(result, Err(SyncError::Behind { .. })),
        "of a head behind the one that was seen: {result:?}"
    );
    let later_ms = 2 + BEHIND_MS_MAX;
    server.lie = Lie::DirectoryAge(-later_ms);
    let later = TimestampMs(NOW.0 + later_ms);
    let result = reader.store.refresh_keys(&mut server, &Server::identity(), &agent, later);
    assert_eq!(caught(&mut reader, result, 10), "log_truncated", "and it stays there");
}

#[test]
fn a_directory_that_was_signed_during_a_long_pull_is_not_of_the_future() {
    let (_, mut reader, mut server) = world(10, 0);
    server.lie = Lie::DirectoryAge(-120_000);
    let asked = Cell::new(0);
    let clock = || {
        asked.set(asked.get() + 1);
        TimestampMs(NOW.0 + if asked.get() == 1 { 0 } else { 120_000 })
    };
    assert_eq!(reader.store.pull(&mut server, &Server::identity(), clock, |_, _| {}).unwrap().events, 10);
    assert_eq!(reader.store.faults().unwrap(), []);
}

#[test]
fn an_event_by_an_unknown_key_is_not_taken_over() {
    let (_, mut reader, mut server) = world(3, 0);
    server.keys.clear();
    let result = pull(&mut reader, &mut server);
    assert_eq!(caught(&mut reader, result, 0), "event_forged");
}
