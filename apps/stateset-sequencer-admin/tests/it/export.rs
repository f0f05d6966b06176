//! Events on their way out.

use std::fs;

use crate::{json, run, world};

#[test]
fn an_export_has_every_event_once_and_goes_on_where_it_was_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (stream, _) = world::make(at, 2_500);
    let ids = [stream.tenant_id.to_string(), stream.store_id.to_string()];
    let export = ["export-events", "--tenant-id", &ids[0], "--store-id", &ids[1]];
    let (status, whole, _) = run(at, &export);
    assert_eq!((status, whole.lines().count()), (0, 2_500));
    for (line, number) in whole.lines().zip(1..) {
        let entry: ves_wire::events::EventEntry<'_> = serde_json::from_str(line).unwrap();
        assert_eq!(entry.receipt.unwrap().sequence_number.get(), number);
    }

    // What a stopped export leaves: whole lines and a torn one.
    let torn = whole.len() / 2;
    fs::write(at.join("events.ndjson.partial"), &whole[..torn]).unwrap();
    let (status, done) = json(at, &[&export[..], &["--output", "events.ndjson"]].concat());
    assert_eq!(status, 0);
    let after = whole[..torn].lines().count() as u64 - 1;
    assert_eq!((&done["resumed_after"], &done["events"]), (&after.into(), &2_500.into()));
    assert_eq!(fs::read_to_string(at.join("events.ndjson")).unwrap(), whole);
    assert!(!at.join("events.ndjson.partial").exists());
    assert_eq!(
        run(at, &[&export[..], &["--output", "events.ndjson"]].concat()).0,
        2,
        "nothing is overwritten"
    );

    let (status, part, _) =
        run(at, &[&export[..], &["--from", "7", "--to", "9", "--format", "json"]].concat());
    let part: Vec<serde_json::Value> = serde_json::from_str(&part).unwrap();
    assert_eq!((status, part.len(), &part[0]["receipt"]["sequenceNumber"]), (0, 3, &7.into()));
    assert_eq!(run(at, &[&export[..], &["--to", "2501"]].concat()).0, 2);
    assert_eq!(
        run(at, &["export-events", "--tenant-id", &ids[1], "--store-id", &ids[0]]).0,
        2,
        "no such stream"
    );
}
