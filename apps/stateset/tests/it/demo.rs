use serde_json::Value;

use crate::anchor::{has_anvil, path};
use crate::stateset;

#[test]
fn every_sentence_of_the_demo_holds() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = stateset(folder.path());
    let (command, checks) = match has_anvil() {
        true => (command.env("PATH", path()), 48),
        false => (&mut command, 42),
    };
    let output = command.args(["--json", "demo"]).output().unwrap();
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told:#}");
    assert_eq!(told["holds"], true, "{told:#}");
    assert_eq!(told["failed"], 0);
    assert!(told["checks"].as_u64().unwrap() >= checks, "{told:#}");
    let has_chapter = |title: &str| {
        let chapters = told["story"].as_array().unwrap();
        chapters.iter().any(|chapter| chapter["chapter"].as_str().unwrap().starts_with(title))
    };
    assert!(has_chapter("A proof about the sealed order") && has_chapter("A composed policy"), "{told:#}");
    assert!(has_chapter("Anchor both batches"), "{told:#}");
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "the demo leaves nothing behind");
}
