//! An agent on a disk that is full.

use std::fs::File;
use std::path::PathBuf;

use serde_json::Value;
use stateset_acceptance::Service;

use super::agent::Agent;
use crate::disk::SmallDisk;

const EVENTS: u64 = 2_000;
const APPEND: &[&str] = &[
    "append",
    "--entity-type",
    "order",
    "--entity-id",
    "ORD-1",
    "--type",
    "order.created",
    "--payload",
    "{}",
];

/// Everything that is left of the disk.
fn fill(disk: &SmallDisk) -> PathBuf {
    let ballast = disk.path().join("ballast");
    let mut file = File::create(&ballast).expect("a file of our own");
    assert!(std::io::copy(&mut std::io::repeat(0x5a), &mut file).is_err(), "the disk is full");
    ballast
}

/// What `doctor` finds of the room on the disk.
fn room(agent: &Agent) -> (bool, String) {
    let (_, found, _) = agent.run(&["doctor"]);
    let room = found.as_array().expect("findings").iter().find(|finding| finding["name"] == "room");
    let room = room.expect("it looks at the room");
    (room["ok"] == true, room["detail"].as_str().expect("text").to_owned())
}

#[test]
fn an_agent_on_a_full_disk_is_told_so_and_makes_room_by_a_prune() {
    let data = tempfile::tempdir().expect("a folder");
    let service = Service::start(data.path());
    let disk = SmallDisk::new(32);
    let agent = Agent::new(&service, disk.path().join("agent"), "rest");
    agent.append(0..EVENTS);
    agent.good(&["push"]);
    agent.good(&["pull"]);
    assert!(room(&agent).0, "{:?}", room(&agent));

    let ballast = fill(&disk);
    let (code, _, error) = agent.run(APPEND);
    let error = &error["error"];
    assert_eq!((code, &error["code"]), (Some(1), &Value::from("DISK_FULL")), "{error}");
    assert!(error["hint"].as_str().expect("a hint").contains("prune"), "{error}");
    let (is_well, detail) = room(&agent);
    assert!(!is_well && detail.contains("the disk is full"), "{detail}");

    let made = agent.good(&["prune"]);
    assert_eq!((&made["pruned"], &made["disk_was_full"]), (&Value::from(EVENTS - 1), &Value::from(true)));
    assert_eq!(made["reserve"], false, "it was worked in: {made}");
    for _ in 0..50 {
        agent.good(APPEND);
    }
    let (is_well, detail) = room(&agent);
    assert!(!is_well && detail.contains("sync.db.reserve"), "the next time would find none: {detail}");

    std::fs::remove_file(ballast).expect("our own file");
    let made = agent.good(&["prune"]);
    assert_eq!((&made["compact"], &made["reserve"]), (&Value::from(true), &Value::from(true)), "{made}");
    assert!(room(&agent).0, "{:?}", room(&agent));
    assert_eq!(agent.good(&["push"])["receipted"], 50);
    agent.good(&["pull"]);
    assert_eq!(agent.good(&["verify"])["events"], EVENTS + 50);
}
