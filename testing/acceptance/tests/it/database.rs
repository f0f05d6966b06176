//! `stateset db`: a backup taken while the service runs, checked, damaged, restored, and gone on with.

use std::fs;
use std::path::Path;

use serde_json::Value;
use stateset_acceptance::Service;
use stateset_acceptance::events::stored;
use stateset_acceptance::service::run_on;

use crate::import::northwind;

/// Runs `stateset db` on a data folder: exit code, and the one document of its output.
fn db(data: &Path, args: &[&str]) -> (Option<i32>, Value, String) {
    let (code, out, error) = run_on(data, &[&["--json", "db"], args].concat());
    let value = serde_json::from_str(&out).unwrap_or(Value::Null);
    (code, value, error)
}

#[test]
fn a_log_comes_back_from_its_backup_and_goes_on() {
    let Some(orders) = northwind() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (data, backup) = (folder.path().join("data"), folder.path().join("monday.db"));
    let backup = backup.to_str().unwrap();
    let service = Service::start(&data);
    let import = ["import", "northwind", orders.to_str().unwrap(), "--json"];
    assert_eq!(run_on(&data, &import).0, Some(0));
    assert_eq!(run_on(&data, &["commit", "--json"]).0, Some(0));
    let first = stored(&service.rest(), &service.default_stream(), 1).unwrap();

    let (code, status, _) = db(&data, &["status"]);
    assert_eq!((code, &status["events"], &status["streams"]), (Some(0), &first.len().into(), &1.into()));
    assert!(status["writer"].is_string(), "a service writes it: {status}");
    let (code, made, error) = db(&data, &["backup", backup]);
    assert_eq!((code, &made["events"]), (Some(0), &first.len().into()), "{error}");
    let key = Path::new(made["private_keys"].as_str().unwrap()).to_owned();
    assert!(key.is_file(), "the backup says where the private key lies");
    assert_eq!(db(&data, &["backup", backup]).0, Some(2), "no backup is overwritten");
    let (code, _, error) = db(&data, &["restore", backup]);
    assert!(code != Some(0) && error.contains("stop it"), "{error}");
    assert!(service.stop().success());
    let (code, _, error) = db(&data, &["restore", backup]);
    assert!(code != Some(0) && error.contains("holds a log already"), "{error}");

    // The machine is lost: keys and profile come from their own copy, the log from the backup.
    let second = folder.path().join("second");
    fs::create_dir(&second).unwrap();
    for part in ["keys", "profile.json", "admin-api-key"] {
        fs::rename(data.join(part), second.join(part)).unwrap();
    }
    let (code, restored, error) = db(&second, &["restore", backup]);
    assert_eq!((code, &restored["contents"]["events"]), (Some(0), &first.len().into()), "{error}");
    assert_eq!(restored["sha256_was_checked"], true);
    let (code, checked, error) = db(&second, &["check"]);
    assert_eq!((code, &checked["holds"]), (Some(0), &true.into()), "{checked} {error}");

    let again = Service::start(&second);
    assert_eq!(run_on(&second, &import).0, Some(0));
    assert_eq!(stored(&again.rest(), &again.default_stream(), 1).unwrap(), first, "every event is a replay");
    assert!(again.stop().success());
}

#[test]
fn a_backup_that_changed_is_refused_and_damage_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (data, backup) = (folder.path().join("data"), folder.path().join("b.db"));
    let service = Service::start(&data);
    let event = ["event", "sign", "--entity-type", "order", "--entity-id", "1", "--type", "order.created"];
    let file = folder.path().join("event.json");
    let sign =
        [&event[..], &["--payload", "{\"note\":\"to be found again\"}", "--out", file.to_str().unwrap()]]
            .concat();
    assert_eq!(run_on(&data, &sign).0, Some(0));
    assert_eq!(run_on(&data, &["event", "push", file.to_str().unwrap()]).0, Some(0));
    assert!(service.stop().success());
    assert_eq!(db(&data, &["backup", backup.to_str().unwrap()]).0, Some(0));

    let mut bytes = fs::read(&backup).unwrap();
    let at = bytes.windows(5).position(|window| window == b"found").expect("the payload lies in the file");
    bytes[at] ^= 1;
    fs::write(&backup, bytes).unwrap();
    let other = folder.path().join("other");
    let (code, _, error) = db(&other, &["restore", backup.to_str().unwrap()]);
    assert!(code == Some(1) && error.contains("not the file that the backup made"), "{error}");
    assert!(!other.join("store/events.db").exists());

    // Without the note beside it nothing tells at once; the check does.
    fs::remove_file(folder.path().join("b.db.json")).unwrap();
    assert_eq!(db(&other, &["restore", backup.to_str().unwrap()]).0, Some(0));
    let (code, checked, _) = db(&other, &["check"]);
    assert_eq!((code, &checked["holds"]), (Some(1), &false.into()), "{checked}");
}
