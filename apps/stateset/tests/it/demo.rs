use crate::json;

#[test]
fn every_sentence_of_the_demo_holds() {
    let folder = tempfile::tempdir().unwrap();
    let (status, told) = json(folder.path(), &["demo"]);
    assert_eq!(status, 0);
    assert_eq!(told["holds"], true, "{told:#}");
    assert_eq!(told["failed"], 0);
    assert!(told["checks"].as_u64().unwrap() >= 42);
    let has_chapter = |title: &str| {
        let chapters = told["story"].as_array().unwrap();
        chapters.iter().any(|chapter| chapter["chapter"].as_str().unwrap().starts_with(title))
    };
    assert!(has_chapter("A proof about the sealed order") && has_chapter("A composed policy"), "{told:#}");
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "the demo leaves nothing behind");
}
