//! `stateset demo`: the whole story in one process.

use stateset_acceptance::service::command;

#[test]
fn the_demo_tells_its_story_and_exits_with_0() {
    let output = command(&["demo"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    for part in ["receipt", "proof", "refused", "replay"] {
        assert!(text.to_lowercase().contains(part), "the story has no {part}:\n{text}");
    }
}
