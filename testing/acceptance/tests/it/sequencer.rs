//! `stateset sequencer`: the service as it runs on a server, behind the one name.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use stateset_acceptance::events::{orders, receipts, register, stored};
use stateset_acceptance::service::command;
use stateset_acceptance::{Rest, stateset};
use stateset_fixtures::{Agent, stream};

const ADMIN_KEY: &str = "ss_a-bootstrap-key-for-tests-that-is-long-enough";

struct Sequencer {
    child: Child,
    says: Value,
}

impl Sequencer {
    fn start(database: &Path) -> Self {
        let mut command = command(&["sequencer"]);
        command
            .envs([
                ("HOST", "127.0.0.1"),
                ("PORT", "0"),
                ("LOG_FORMAT", "json"),
                ("SEQUENCER_ENV", "production"),
            ])
            .env("BOOTSTRAP_ADMIN_API_KEY", ADMIN_KEY)
            .env("DATABASE_URL", format!("sqlite://{}", database.display()));
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("stateset starts");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().expect("a piped output")).read_line(&mut line).unwrap();
        let says = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        Self { child, says }
    }

    fn rest(&self) -> Rest {
        Rest::new(self.says["rest"].as_str().expect("an address"), ADMIN_KEY)
    }

    fn stop(mut self) -> Option<i32> {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a process id is not 0");
        kill_process(pid, Signal::TERM).expect("our own child can be signalled");
        self.child.wait().expect("our own child can be waited for").code()
    }
}

impl Drop for Sequencer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_server_takes_events_in_stops_in_order_and_finds_them_again() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    let (key, first) = (stream(1), Sequencer::start(&database));
    let agent = Agent::new(&key, 1);
    register(&first.rest(), &agent).unwrap();
    let (status, answer) =
        first.rest().post("/api/v1/ves/events/ingest", &orders(&agent, &key, 1, 20)).unwrap();
    let answered = receipts(status, &answer).unwrap().expect("the events are accepted");
    assert_eq!(first.stop(), Some(0));
    let second = Sequencer::start(&database);
    assert_eq!(stored(&second.rest(), &key, 1).unwrap(), answered);

    // The operator's tools go through the service that has the log.
    let url = second.says["rest"].as_str().unwrap().to_owned();
    let admin = |args: &[&str]| {
        let mut command = command(&[&["sequencer-admin", "--json"], args].concat());
        let output =
            command.env("DATABASE_URL", format!("sqlite://{}", database.display())).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (tenant, id) = (key.tenant_id.to_string(), agent.agent_id.to_string());
    let create = ["api-keys", "create", "--tenant-id", &tenant, "--agent-id", &id];
    let (code, _, error) = admin(&create);
    assert!(code == Some(1) && error.contains("DATABASE_IN_USE"), "{error}");
    let (code, out, error) = admin(&[&create[..], &["--server", &url, "--api-key", ADMIN_KEY]].concat());
    assert_eq!(code, Some(0), "{error}");
    let made: Value = serde_json::from_str(&out).unwrap();
    let minted = Rest::new(&url, made["api_key"].as_str().unwrap());
    assert_eq!(stored(&minted, &key, 1).unwrap().len(), 20, "the new key is taken at once");
    let (code, out, error) =
        admin(&["export-events", "--tenant-id", &tenant, "--store-id", &key.store_id.to_string()]);
    assert_eq!((code, out.lines().count()), (Some(0), 20), "{error}");
    assert_eq!(second.stop(), Some(0));
}

#[test]
fn the_program_answers_to_the_names_it_is_linked_under() {
    let folder = tempfile::tempdir().unwrap();
    for (name, says) in [("stateset-sequencer", "config"), ("stateset-sequencer-admin", "api-keys")] {
        let link = folder.path().join(name);
        std::os::unix::fs::symlink(stateset(), &link).unwrap();
        let output = std::process::Command::new(&link).arg("--help").env_clear().output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && help.contains(says) && help.contains(&format!("Usage: {name}")),
            "{help}"
        );
    }
}

#[test]
fn a_wrong_configuration_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("log.db");
    let mut command = command(&["sequencer"]);
    let command =
        command.env("DATABASE_URL", format!("sqlite://{}", database.display())).env("PORT", "eighty");
    let output = command.output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && error.contains("PORT") && error.contains("eighty"), "{error}");
    assert!(!database.exists());
}
