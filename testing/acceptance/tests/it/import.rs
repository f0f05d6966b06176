//! `stateset import northwind`: the real orders, and the same command again.

use std::path::PathBuf;

use stateset_acceptance::Service;
use stateset_acceptance::binary::workspace;
use stateset_acceptance::events::stored;
use stateset_acceptance::service::run_on;

/// Where the project keeps its real data; `None`, said aloud, where it is absent. In continuous integration it is there.
pub fn northwind() -> Option<PathBuf> {
    let folder = workspace().join("../shared/data/northwind");
    if folder.is_dir() {
        return Some(folder);
    }
    let in_ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
    assert!(!in_ci, "the Northwind data is missing: {}", folder.display());
    skipped(&format!("the Northwind data is not at {}", folder.display()));
    None
}

#[allow(clippy::print_stderr)]
fn skipped(why: &str) {
    eprintln!("NOT RUN: {why}");
}

#[test]
fn importing_northwind_twice_doubles_nothing() {
    let Some(data) = northwind() else { return };
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    let import = || {
        let (code, out, error) =
            run_on(folder.path(), &["import", "northwind", data.to_str().unwrap(), "--json"]);
        assert_eq!(code, Some(0), "{out}{error}");
        stored(&service.rest(), &service.default_stream(), 1).unwrap()
    };
    let first = import();
    assert!(first.len() > 830, "830 orders and more, found {} events", first.len());
    assert_eq!(import(), first, "the second import adds and changes nothing");
    assert!(service.stop().success());
}
