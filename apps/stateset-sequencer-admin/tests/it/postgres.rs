//! The same log on a server: a backup of it is a file, and a file is restored into it.

use std::path::Path;

use stateset_postgres::shared;

use crate::{run, world};

/// Runs the program on another database than log.db.
fn admin(folder: &Path, url: &str, args: &[&str]) -> (i32, String, String) {
    let output = crate::admin(folder)
        .env("DATABASE_URL", url)
        .env("ALLOW_INSECURE_LOCAL_DB", "true")
        .args(args)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

#[test]
fn a_log_moves_to_a_server_and_back_with_every_receipt() {
    use stateset_sequencer_admin::database::{self, DbCommand, Target};
    use stateset_sequencer_app::terminal::Output;

    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (stream, _) = world::make(at, 300);
    let server = shared();
    let url = server.url(&server.database());
    let ids = [stream.tenant_id.to_string(), stream.store_id.to_string()];
    let export = ["export-events", "--tenant-id", &ids[0], "--store-id", &ids[1]];
    let (_, before, _) = run(at, &export);
    assert_eq!(before.lines().count(), 300);

    let out = Output::new(true, true);
    let file = Target::file(&at.join("log.db")).unwrap();
    let mut server_log = file.clone();
    server_log.database = stateset_sequencer_app::config::Database::parse(&url).unwrap();
    server_log.postgres.allow_insecure_local = true;
    let (first, second) = (at.join("first.db"), at.join("second.db"));
    let ask =
        |target: &Target, command: DbCommand| database::run(&out, target, &command).map_err(|f| f.message);

    ask(&file, DbCommand::Backup { file: first.clone() }).unwrap();
    assert_owned_alone(&first);
    ask(&server_log, DbCommand::Restore { file: first.clone() }).unwrap();
    ask(&server_log, DbCommand::Status).unwrap();
    ask(&server_log, DbCommand::Check).unwrap();
    let again = ask(&server_log, DbCommand::Restore { file: first }).unwrap_err();
    assert!(again.contains("already holds"), "{again}");
    let (status, moved, error) = admin(at, &url, &export);
    assert!(status == 0 && moved == before, "{error}");

    ask(&server_log, DbCommand::Backup { file: second.clone() }).unwrap();
    assert_owned_alone(&second);
    let (status, back, error) = admin(at, &format!("sqlite://{}", second.display()), &export);
    assert!(status == 0 && back == before, "{error}");
    assert!(!at.join("second.db.partial").exists() && !at.join("second.db.partial.lock").exists());

    let (status, out, error) = admin(at, &url, &["migrate"]);
    assert!(status == 0 && out.contains("up to date"), "{out}{error}");
    let (status, out, error) = admin(at, &url, &["backfill-ves-state-roots", "--force"]);
    assert!(status == 0 && out.contains("nothing was written"), "{out}{error}");
    let (status, out, error) = admin(at, &url, &["api-keys", "create", "--tenant-id", &ids[0]]);
    assert!(status == 0 && out.starts_with("ss_"), "{out}{error}");
}

/// A backup and what lies beside it are for their owner's eyes, whatever the umask lets through.
fn assert_owned_alone(backup: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mut manifest = backup.as_os_str().to_owned();
    manifest.push(".json");
    for file in [backup, Path::new(&manifest)] {
        let mode = std::fs::metadata(file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.display());
    }
}

#[test]
fn two_tools_with_one_process_id_do_not_take_each_others_place() {
    let server = shared();
    let url = server.url(&server.database());
    let mut target = stateset_sequencer_admin::database::Target::file(Path::new("unused.db")).unwrap();
    target.database = stateset_sequencer_app::config::Database::parse(&url).unwrap();
    target.postgres.allow_insecure_local = true;
    // As in two containers: both of this process.
    let first = target.store().unwrap().open().unwrap();
    assert!(matches!(first, stateset_event_log::Opening::Writer(_)));
    match target.store().unwrap().open().unwrap() {
        stateset_event_log::Opening::Held(holder) => assert!(holder.instance.starts_with("admin ")),
        stateset_event_log::Opening::Writer(_) => panic!("the second took the first one's place"),
    }
}

#[test]
fn a_server_without_tls_is_refused_unless_it_is_said_to_be_here() {
    let folder = tempfile::tempdir().unwrap();
    let url = "postgres://someone:hunter2@127.0.0.1:1/none";
    let refused = crate::admin(folder.path()).env("DATABASE_URL", url).arg("migrate").output().unwrap();
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(2) && error.contains("ALLOW_INSECURE_LOCAL_DB"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn a_database_that_does_not_exist_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = shared();
    let url = server.url("there_is_no_such_database");
    let since = std::time::Instant::now();
    let (status, _, error) = admin(folder.path(), &url, &["api-keys", "list"]);
    assert!(status == 1 && error.contains("does not exist"), "{error}");
    assert!(since.elapsed().as_secs() < 3, "no retry can help");
}
