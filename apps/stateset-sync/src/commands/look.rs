//! What is here: `status`, `conflicts`, `log`, `show`, `discard`, `prune`, `verify`.

use std::fmt::Display;

use serde_json::{Value, json};
use stateset_sync::entry::State;
use stateset_sync::{Entry, Fault, RESERVE_BYTES, Replicated, Store, SyncError, open_with_any};
use ves::envelope::encode;
use ves::{Envelope, EventId, Payload, SequenceNumber};
use ves_wire::ReceiptBody;

use crate::args::{ConflictsArgs, LogArgs, Side, Which};
use crate::failure::{Failure, in_line};
use crate::home::Home;

/// Conflicts that are listed at once.
const CONFLICTS_MAX: usize = 1000;

pub fn status(home: &Home) -> Result<(), Failure> {
    let config = home.config()?;
    let store = home.store(&config)?;
    let (counts, replica, seen) = (store.counts()?, store.replica_head()?, store.head_seen()?);
    let faults = store.faults()?;
    let checkpoint = seen.checkpoint.as_ref().map(|checkpoint| checkpoint.size);
    let value = json!({
        "server": config.server, "transport": config.transport, "grpc_server": config.grpc_server, "tenant_id": config.tenant_id, "store_id": config.store_id,
        "agent_id": config.agent_id, "outbox": counts, "replica_head": replica, "head_seen": seen.head,
        "checkpoint": checkpoint, "faults": faults,
    });
    let mut text = format!(
        "agent      {}\nstream     {}\nserver     {}\noutbox     {} wait, {} sent without an answer, {} receipted, {} refused, {} in conflict\nreplica    to {}, the stream was last seen at {}\ncheckpoint {}\n",
        config.agent_id,
        config.stream(),
        config.reached_at(),
        counts.pending,
        counts.sent,
        counts.receipted,
        counts.refused,
        counts.conflict,
        replica,
        seen.head,
        checkpoint.map_or("none yet".to_owned(), |size| format!("of {size} events")),
    );
    if let Some(newest) = faults.first() {
        text += &format!("CAUGHT     {} times, last {}: {}\n", faults.len(), newest.code, newest.message);
    }
    home.out.result(&value, &text);
    Ok(())
}

pub fn conflicts(home: &Home, args: &ConflictsArgs) -> Result<(), Failure> {
    let config = home.config()?;
    let mut store = home.store(&config)?;
    if let (Some(event), Some(side)) = (&args.resolve, args.take) {
        let given_up = store.resolve(event, side == Side::Local)?;
        let text = match side {
            Side::Local => {
                format!("Event {event} goes onto the version that its entity has, with the next push.")
            }
            Side::Remote => format!("{given_up} events were given up."),
        };
        home.out.result(&json!({"event_id": event, "given_up": given_up}), &text);
        return Ok(());
    }
    let entries = store.entries(0, CONFLICTS_MAX, Some("conflict"))?;
    let lines = entries.iter().map(|entry| {
        let State::Conflict { actual } = entry.state else { return String::new() };
        let event = &entry.envelope;
        let expected = event.base_version.map_or("none".to_owned(), |version| version.to_string());
        format!(
            "{}  {} {} {}: expects version {expected}, it is at {actual}\n",
            event.event_id,
            in_line(&event.event_type),
            in_line(&event.entity_type),
            in_line(&event.entity_id)
        )
    });
    let text: String = lines.collect();
    let values: Vec<Value> = entries.iter().map(entry_value).collect();
    home.out.result(&values, if text.is_empty() { "There are no conflicts." } else { &text });
    Ok(())
}

pub fn log(home: &Home, args: &LogArgs) -> Result<(), Failure> {
    let config = home.config()?;
    let store = home.store(&config)?;
    let limit = usize::from(args.limit);
    if args.outbox {
        let after = i64::try_from(args.from.saturating_sub(1)).unwrap_or(i64::MAX);
        let entries = store.entries(after, limit, None)?;
        let lines = entries.iter().map(|entry| {
            let at =
                entry.receipt.as_ref().map_or("-".to_owned(), |receipt| receipt.sequence_number.to_string());
            let event = &entry.envelope;
            let of_group = || entry.group.map_or(String::new(), |group| format!("sealed for group {group}"));
            format!(
                "{:>6} {:<10} {at:>8} {} {:<20} {} {} {}\n",
                entry.position,
                entry.state.name(),
                event.event_id,
                in_line(&event.event_type),
                in_line(&event.entity_type),
                in_line(&event.entity_id),
                entry.reason.as_deref().map_or_else(of_group, in_line)
            )
        });
        let text: String = lines.collect();
        home.out.result(&entries.iter().map(entry_value).collect::<Vec<_>>(), &text);
        return ends_at(home, limit, entries.len(), entries.last().map(|entry| entry.position + 1));
    }
    let events = match &args.entity {
        None => store.replicated(SequenceNumber(args.from), limit)?,
        Some(entity) => {
            let (entity_type, entity_id) = entity
                .split_once('/')
                .ok_or_else(|| Failure::input("USAGE", "--entity is TYPE/ID, for example order/ORD-001"))?;
            store.replicated_of_entity(entity_type, entity_id, limit)?
        }
    };
    let lines = events.iter().map(|event| {
        let e = &event.envelope;
        format!(
            "{:>8} {} {:<20} {} {} v{} {}\n",
            event.receipt.sequence_number.get(),
            e.event_id,
            in_line(&e.event_type),
            in_line(&e.entity_type),
            in_line(&e.entity_id),
            event.version,
            e.created_at
        )
    });
    let text: String = lines.collect();
    home.out.result(&events.iter().map(event_value).collect::<Vec<_>>(), &text);
    let next = events.last().filter(|_| args.entity.is_none());
    ends_at(home, limit, events.len(), next.map(|event| event.receipt.sequence_number.get() + 1))
}

/// Says where a list goes on that ends at its limit.
fn ends_at(home: &Home, limit: usize, shown: usize, next: Option<impl Display>) -> Result<(), Failure> {
    if shown == limit {
        let on = next.map_or(String::new(), |next| format!("--from {next} goes on, "));
        home.out.note(&format!("{limit} are shown, the most at once; {on}--limit shows more."));
    }
    Ok(())
}

pub fn show(home: &Home, which: Which) -> Result<(), Failure> {
    let config = home.config()?;
    let store = home.store(&config)?;
    let found = match which {
        Which::Id(id) => store.replicated_by_id(&id)?,
        Which::Number(number) => {
            let is_it = |event: &Replicated| event.receipt.sequence_number.get() == number;
            store.replicated(SequenceNumber(number), 1)?.into_iter().find(is_it)
        }
    };
    let (envelope, mut value) = match (found, which) {
        (None, Which::Id(id)) => {
            let entry = store.entry(&id)?;
            (entry.envelope.clone(), entry_value(&entry))
        }
        (None, Which::Number(number)) => {
            return Err(SyncError::NotPulled { at: SequenceNumber(number) }.into());
        }
        (Some(event), _) => (event.envelope.clone(), event_value(&event)),
    };
    let payload = match &envelope.payload {
        Payload::Plain(text) => Some(text.to_string()),
        Payload::Encrypted(_) => match open_with_any(&envelope, &home.held(&config)?) {
            Ok(opened) => Some(opened.canonical.to_string()),
            Err(SyncError::NoKeyOpens { kids }) => {
                let kids: Vec<u32> = kids.iter().map(|kid| kid.0).collect();
                home.out.note(&format!("no key here opens it; it is sealed for the keys {kids:?}"));
                None
            }
            Err(error) => return Err(error.into()),
        },
    };
    let payload: Option<Value> = payload.and_then(|text| serde_json::from_str(&text).ok());
    let text = format!(
        "{} {} {}\n  event    {}\n  agent    {} key {}\n  created  {}\n{}",
        in_line(&envelope.event_type),
        in_line(&envelope.entity_type),
        in_line(&envelope.entity_id),
        envelope.event_id,
        envelope.source_agent_id,
        envelope.agent_key_id,
        envelope.created_at,
        payload.as_ref().map_or("sealed".to_owned(), |payload| format!("{payload:#}"))
    );
    value["payload"] = payload.unwrap_or_default();
    home.out.result(&value, &text);
    Ok(())
}

pub fn discard(home: &Home, id: &EventId) -> Result<(), Failure> {
    let config = home.config()?;
    home.store(&config)?.discard(id)?;
    home.out.result(&json!({"event_id": id, "discarded": true}), &format!("Event {id} will not be sent."));
    Ok(())
}

pub fn prune(home: &Home, keep: u64) -> Result<(), Failure> {
    let config = home.config()?;
    // On a full disk not even the index of the log can be made: then the reserve is given up first.
    let mut is_given_up = false;
    let opened = home.store(&config).or_else(|failure| {
        is_given_up = failure.code == "DISK_FULL" && Store::give_up_reserve(&home.database());
        if is_given_up { home.store(&config) } else { Err(failure) }
    });
    let mut store = opened?;
    let _turn = store.take_turn()?;
    let mut room = store.make_room(keep).map_err(|error| match error {
        SyncError::DiskFull { .. } => {
            let mib = store.bytes_on_disk().div_ceil(1 << 20);
            Failure::from(error).hint(format!("free {mib} MiB elsewhere on that disk, then prune again"))
        }
        other => other.into(),
    })?;
    room.disk_was_full |= is_given_up;
    let counts = store.counts()?;
    let mut text = format!(
        "{} acknowledged events were taken out of the outbox; the replica has them. {} wait, {} are acknowledged and \
         kept. The file has {} bytes, {} less.",
        room.pruned,
        counts.open(),
        counts.receipted,
        room.bytes,
        room.bytes_before.saturating_sub(room.bytes)
    );
    if !room.compact {
        text += "\nThe disk has no room for the copy that making it smaller takes; new events use the room within it.";
    }
    if !room.reserve {
        text += &format!(
            "\nThere is no room for the reserve of {} KiB that this took: free some, and prune again.",
            RESERVE_BYTES >> 10
        );
    }
    let mut value = json!(room);
    value["outbox"] = json!(counts);
    home.out.result(&value, &text);
    Ok(())
}

pub fn verify(home: &Home) -> Result<(), Failure> {
    let config = home.config()?;
    let store = home.store(&config)?;
    store.check_file()?;
    let bar = home.out.progress(store.replica_head()?.get());
    let found = store.audit(&config.identity()?, |more| bar.inc(more));
    bar.finish_and_clear();
    let found = found.map_err(|error| match error {
        // No server said anything here: it is the configuration that lacks a key.
        SyncError::Fault(Fault::SequencerKeyUnknown { named }) => {
            let message = format!("what is here was signed by a key that sync.json does not have, {named}");
            Failure::failed("SEQUENCER_KEY_UNKNOWN", message).hint(
                "put it back into sequencer_keys of sync.json, or, while the server can be reached, `stateset-sync trust HEX`",
            )
        }
        other => other.into(),
    })?;
    let vouched = match found.checkpoint {
        Some(size) => format!("the signed checkpoint of {size} events has their root"),
        None => "no signed checkpoint lies within them".to_owned(),
    };
    let mut text = format!(
        "{} events and {} receipts of the outbox verify; {vouched}. The root is {}.",
        found.events, found.receipts, found.root
    );
    if found.head_seen.get() > found.events {
        text += &format!(" The stream was last seen at {}: pull for the rest.", found.head_seen);
    }
    home.out.result(&found, &text);
    Ok(())
}

fn entry_value(entry: &Entry) -> Value {
    let actual = if let State::Conflict { actual } = entry.state { Some(actual) } else { None };
    json!({
        "position": entry.position, "state": entry.state.name(), "attempts": entry.attempts,
        "reason": entry.reason, "actual_version": actual, "group_id": entry.group,
        "receipt": entry.receipt.as_ref().map(ReceiptBody::from), "envelope": envelope_value(&entry.envelope),
    })
}

fn event_value(event: &Replicated) -> Value {
    json!({
        "sequence_number": event.receipt.sequence_number, "version": event.version,
        "receipt": ReceiptBody::from(&event.receipt), "envelope": envelope_value(&event.envelope),
    })
}

fn envelope_value(envelope: &Envelope<'_>) -> Value {
    let mut text = String::new();
    encode(envelope, None, &mut text);
    serde_json::from_str(&text).unwrap_or_default()
}
