//! One agent's folder, and `stateset-sync` run on it.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use stateset_acceptance::service::command_of;
use stateset_acceptance::{Service, stateset_sync};

/// Nobody listens here.
pub const NOWHERE: &str = "http://127.0.0.1:1";

/// Where a service is reached.
#[derive(Clone)]
pub struct Doors {
    pub rest: String,
    pub grpc: String,
}

impl Doors {
    pub fn of(service: &Service) -> Self {
        let grpc = service.said["grpc_url"].as_str().expect("gRPC is open");
        Self { rest: service.url.clone(), grpc: grpc.to_owned() }
    }

    pub fn both(url: &str) -> Self {
        Self { rest: url.to_owned(), grpc: url.to_owned() }
    }
}

/// `stateset-sync --json --dir`, to be followed by the folder.
pub fn sync() -> Command {
    command_of(stateset_sync(), &["--json", "--dir"])
}

/// One agent's folder.
pub struct Agent {
    pub folder: PathBuf,
    /// What the program is told by its environment.
    variables: Vec<(String, PathBuf)>,
}

impl Agent {
    /// With keys that the service knows; its events go over `transport`.
    pub fn new(service: &Service, folder: PathBuf, transport: &str) -> Self {
        Self::with(service, folder, transport, Vec::new())
    }

    /// The same, with variables.
    pub fn with(
        service: &Service,
        folder: PathBuf,
        transport: &str,
        variables: Vec<(String, PathBuf)>,
    ) -> Self {
        let agent = Self::bare(folder, variables);
        let data = service.said["data"].as_str().expect("a folder");
        agent.good(&["init", "--up", data, "--transport", transport]);
        let keys = agent.good(&["keys:generate"]);
        assert_eq!(keys["registered"], true, "{keys}");
        agent
    }

    /// A folder that is still to be made.
    pub fn bare(folder: PathBuf, variables: Vec<(String, PathBuf)>) -> Self {
        Self { folder, variables }
    }

    pub fn run(&self, arguments: &[&str]) -> (Option<i32>, Value, Value) {
        let mut command = sync();
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let output = command.arg(&self.folder).args(arguments).output().expect("stateset starts");
        let read = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or(Value::Null);
        (output.status.code(), read(&output.stdout), read(&output.stderr))
    }

    pub fn good(&self, arguments: &[&str]) -> Value {
        let (code, said, error) = self.run(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {said} {error}");
        said
    }

    pub fn refused(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let (code, _, error) = self.run(arguments);
        (code, error["error"]["code"].as_str().unwrap_or_default().to_owned())
    }

    pub fn config(&self) -> Value {
        let text = std::fs::read_to_string(self.folder.join("sync.json")).expect("a configuration");
        serde_json::from_str(&text).expect("JSON")
    }

    /// From now on.
    pub fn talks_to(&self, doors: &Doors) {
        let mut config = self.config();
        config["server"] = json!(doors.rest);
        config["grpc_server"] = json!(doors.grpc);
        std::fs::write(self.folder.join("sync.json"), config.to_string()).expect("is written");
    }

    pub fn id(&self) -> String {
        self.config()["agent_id"].as_str().expect("an agent").to_owned()
    }

    pub fn drafts(&self, range: std::ops::Range<u64>) -> PathBuf {
        let path = self.folder.join("drafts.jsonl");
        let lines = range.map(|n| {
            let draft = json!({"entity_type": "order", "entity_id": format!("ORD-{n:06}"),
                "event_type": "order.created", "payload": {"total": n}});
            format!("{draft}\n")
        });
        std::fs::write(&path, lines.collect::<String>()).expect("is written");
        path
    }

    pub fn append(&self, range: std::ops::Range<u64>) {
        let path = self.drafts(range);
        self.good(&["append", path.to_str().expect("a plain path")]);
    }

    /// Ids of the outbox in the order of appends, with the places that their receipts name.
    pub fn outbox(&self) -> Vec<(String, Option<u64>)> {
        let (mut all, mut from) = (Vec::new(), 1_u64);
        loop {
            let from_text = from.to_string();
            let page = self.good(&["log", "--outbox", "--from", &from_text, "--limit", "10000"]);
            let page = page.as_array().expect("a list");
            let entry = |entry: &Value| {
                let id = entry["envelope"]["event_id"].as_str().expect("an id").to_owned();
                (id, entry["receipt"]["sequenceNumber"].as_u64())
            };
            all.extend(page.iter().map(entry));
            match page.last() {
                Some(last) => from = last["position"].as_u64().expect("a place") + 1,
                None => return all,
            }
        }
    }
}
