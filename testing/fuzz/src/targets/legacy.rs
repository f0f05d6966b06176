//! The older stream (section 15): its events as JSON, its tree.

use stateset_fixtures::{Agent, Seed, stream};
use ves::hash::Digest;
use ves::hex;
use ves::ids::{CommandId, EventId, SequenceNumber};
use ves::legacy::{self, LegacyEvent, RawLegacyEvent, leads_to, payload_hash, tiles, verify_inclusion};
use ves::tiles::TileMap;
use ves_wire::ingest::Limits;
use ves_wire::legacy::parse;

use crate::Input;

/// Enough for two levels of tiles.
const LEAVES_MAX: usize = 1100;

/// The most that any event can ask for, so that only the events themselves are judged.
const LIMITS: Limits = Limits { events_max: 2, payload_bytes_max: 1 << 20, format: hex::Format::Lenient };

pub fn event(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let Ok(raw) = RawLegacyEvent::read(text) else { return false };
    let alone = raw.event().and_then(|event| event.check().map_err(|rejection| raw.refused(rejection)));
    let good = written(&sound(1, "{}"), None);
    let body = format!("{{\"agent_id\":\"{}\",\"events\":[{text},{good}]}}", agent().agent_id);
    // Refused whole where the two disagree in stream or agent.
    if let Ok(request) = parse(&body, &LIMITS) {
        assert_eq!(request.events[0], alone);
        assert!(request.events[1].is_ok(), "one bad event hurts no other");
    }
    let Ok(event) = alone else { return false };
    let again = written(&event, Some(SequenceNumber(7)));
    let read = RawLegacyEvent::read(&again).expect("written by us").event().expect("written by us");
    assert_eq!(read, *event, "{again}");
    assert_eq!(read.check().as_ref(), Ok(&event), "what was checked is checked again without change");
    true
}

fn agent() -> Agent {
    Agent::new(&stream(1), 1)
}

fn written(event: &LegacyEvent, number: Option<SequenceNumber>) -> String {
    let mut text = String::new();
    event.write(number, &mut text);
    text
}

fn sound(n: u64, payload: &str) -> LegacyEvent {
    let mut seed = Seed::new("older event", n);
    LegacyEvent {
        event_id: EventId::random(seed.bytes()),
        command_id: (n > 1).then(|| CommandId::random(seed.bytes())),
        stream: stream(1),
        entity_type: "order".to_owned(),
        entity_id: format!("ORD-{n}\u{e9}\"\\"),
        event_type: "order.created".to_owned(),
        payload: payload.to_owned(),
        payload_hash: payload_hash(payload),
        base_version: (n > 2).then_some(n),
        created_at: "2026-01-02T03:04:05.123456789+00:00".to_owned(),
        source_agent: agent().agent_id,
        signature: (n > 3).then(|| seed.bytes::<8>().to_vec()),
    }
}

pub fn event_seeds() -> Vec<Vec<u8>> {
    let payloads = ["{}", "{\"a\":[1,null,true],\"b\":\"x\"}", "{\"price\":1.0}", "\"text\""];
    let events = payloads.iter().zip(1..).map(|(payload, n)| sound(n, payload));
    events.map(|event| written(&event, Some(SequenceNumber(3))).into_bytes()).collect()
}

pub fn inclusion(data: &[u8]) -> bool {
    let mut input = Input::new(data);
    let count = 1 + input.below(LEAVES_MAX);
    let index = input.below(count);
    let leaves: Vec<Digest> = (0..count).map(|i| Digest(Seed::new("leaf", i as u64).bytes())).collect();
    let (root, tiles_made) = tiles::tiles(&leaves);
    assert_eq!(root, legacy::root(&leaves), "tiles and leaves have one root");
    let source: TileMap = tiles_made.into_iter().collect();
    let (leaf_count, leaf_index) = (count as u64, index as u64);
    let (leaf, path) = tiles::inclusion(leaf_count, leaf_index, &source).expect("the tiles are complete");
    assert_eq!((leaf, legacy::inclusion_path(&leaves, index)), (leaves[index], Some(path.clone())));
    assert!(leads_to(&leaf, &root, leaf_index, &path), "a right path leads to the root without a count, too");
    assert_eq!(legacy::directions(leaf_count, leaf_index).len(), path.len());

    let mut claim = (leaf, root, leaf_index, path.clone());
    let (what, at, mask) = (input.below(5), input.below(4096), input.byte());
    match what {
        0 => claim.0.0[at % 32] ^= mask,
        1 => claim.1.0[at % 32] ^= mask,
        2 => claim.2 ^= u64::from(mask),
        3 if !path.is_empty() => claim.3[at % path.len()].0[at / 128] ^= mask,
        4 if mask & 1 == 1 => claim.3.push(leaf),
        4 => drop(claim.3.pop()),
        _ => {}
    }
    let is_unchanged = claim == (leaf, root, leaf_index, path);
    let verdict = verify_inclusion(&claim.0, &claim.1, leaf_count, claim.2, &claim.3);
    assert_eq!(verdict.is_ok(), is_unchanged, "changed part {what} by {mask}: {verdict:?}");
    // Without the count the place is not pinned, but what leads to the root is.
    let is_led = leads_to(&claim.0, &claim.1, claim.2, &claim.3);
    assert!(is_led == is_unchanged || what == 2, "changed part {what} by {mask}");
    is_unchanged
}

pub fn inclusion_seeds() -> Vec<Vec<u8>> {
    super::proofs::seeds()
}
