//! The database itself.

use crate::{admin, run, world};

#[test]
fn migrating_makes_a_database_and_then_has_nothing_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (status, out, error) = run(at, &["migrate"]);
    assert!(status == 0 && out.contains("steps were made"), "{out}{error}");
    assert!(run(at, &["migrate"]).1.contains("up to date"));
    let service = world::open(at);
    assert!(run(at, &["migrate"]).1.contains("up to date"), "also while a service runs");
    tokio::runtime::Runtime::new().unwrap().block_on(service.shutdown());
}

#[test]
fn a_database_is_found_by_option_before_environment_and_its_absence_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (status, _, error) = run(at, &["api-keys", "list"]);
    assert!(status == 2 && error.contains("no database at log.db"), "{error}");
    assert_eq!(run(at, &["--database-url", "sqlite://other.db", "migrate"]).0, 0);
    assert!(at.join("other.db").is_file() && !at.join("log.db").exists());
    let (status, _, error) = run(at, &["--database-url", "other.db", "migrate"]);
    assert!(status == 2 && error.contains("DATABASE_URL") && error.contains("sqlite://PATH"), "{error}");
    let output = admin(at).env_remove("DATABASE_URL").args(["api-keys", "list"]).output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("stateset-data/store/events.db"));
}
