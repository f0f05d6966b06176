//! Two processes that are killed without warning while messages go from one to the other.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stateset_ledger_types::ids::EntityId;
use stateset_peer::frame::{MessageType, SessionId};
use stateset_peer::message::{Reject, RejectCode};
use stateset_peer::store::{Kept, StoreError, Stored, check_session_store};
use stateset_peer::{Answer, Config, Delivery, Handler, MemoryStore, Peers, Question, SessionStore};

use crate::world::{Company, Ledger, config, number, numbered, session};

/// A store whose changes are lines of a file, done again when it is opened. A last line without its end is none.
struct Journal {
    memory: MemoryStore,
    file: Mutex<File>,
}

impl Journal {
    fn open(path: &Path) -> Self {
        let memory = MemoryStore::default();
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        std::fs::write(path, whole).unwrap();
        for line in whole.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let peer: EntityId = words[1].parse().unwrap();
            let at = |i: usize| words[i].parse::<u64>().unwrap();
            let kind = |i: usize| MessageType::from_code(words[i].parse().unwrap()).unwrap();
            let bytes = |i: usize| ves::hex::decode_vec(words[i]).unwrap();
            match words[0] {
                "push" => drop(memory.push(&peer, SessionId(at(2)), kind(3), &bytes(4))),
                "acknowledge" => drop(memory.acknowledge(&peer, SessionId(at(2)), at(3) as u32)),
                "keep" => drop(memory.keep(&peer, SessionId(at(2)), at(3) as u32, kind(4), &bytes(5))),
                "handled" => drop(memory.handled(&peer, at(2))),
                other => panic!("{other}"),
            }
        }
        let file = OpenOptions::new().append(true).open(path).unwrap();
        Self { memory, file: Mutex::new(file) }
    }

    /// Does it and writes it, in the order of all.
    fn done<T>(&self, line: &str, work: impl FnOnce(&MemoryStore) -> T) -> T {
        let mut file = self.file.lock().unwrap();
        file.write_all(format!("{line}\n").as_bytes()).unwrap();
        work(&self.memory)
    }
}

impl SessionStore for Journal {
    fn push(&self, p: &EntityId, s: SessionId, kind: MessageType, payload: &[u8]) -> Result<u32, StoreError> {
        let line = format!("push {p} {} {} {}", s.0, kind.code(), ves::hex::encode(payload));
        self.done(&line, |memory| memory.push(p, s, kind, payload))
    }
    fn outbox(&self, peer: &EntityId, after: u64, limit: usize) -> Result<Vec<Stored>, StoreError> {
        self.memory.outbox(peer, after, limit)
    }
    fn acknowledge(&self, p: &EntityId, s: SessionId, sequence: u32) -> Result<(), StoreError> {
        self.done(&format!("acknowledge {p} {} {sequence}", s.0), |memory| memory.acknowledge(p, s, sequence))
    }
    fn keep(
        &self,
        p: &EntityId,
        s: SessionId,
        q: u32,
        kind: MessageType,
        payload: &[u8],
    ) -> Result<Kept, StoreError> {
        let line = format!("keep {p} {} {q} {} {}", s.0, kind.code(), ves::hex::encode(payload));
        self.done(&line, |memory| memory.keep(p, s, q, kind, payload))
    }
    fn inbox(&self, peer: &EntityId, limit: usize) -> Result<Vec<Stored>, StoreError> {
        self.memory.inbox(peer, limit)
    }
    fn handled(&self, peer: &EntityId, place: u64) -> Result<(), StoreError> {
        self.done(&format!("handled {peer} {place}"), |memory| memory.handled(peer, place))
    }
    fn peers(&self) -> Result<Vec<EntityId>, StoreError> {
        self.memory.peers()
    }
}

#[test]
fn the_journal_of_these_tests_is_a_store_of_sessions() {
    let file = Folder::new("journal");
    check_session_store(|| Journal::open(&file.0.join("journal")));
}

/// A folder that ends with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("stateset-peer-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Writes down the number of each message.
struct Written(Mutex<File>);

impl Handler for Written {
    async fn deliver(&self, delivery: Delivery) -> Result<(), String> {
        let line = format!("{}\n", number(&delivery));
        self.0.lock().unwrap().write_all(line.as_bytes()).map_err(|error| error.to_string())
    }
    async fn answer(&self, _from: EntityId, _question: Question) -> Answer {
        Answer::Reject(Reject::new(RejectCode::NotFound, "nothing is kept here"))
    }
}

/// Where a child finds its folder, and whether it sends.
const CHILD: &str = "STATESET_PEER_CHILD";
/// Messages of a whole run.
const MESSAGES: u32 = 2000;

/// The other processes: this test binary, asked for this test alone.
#[tokio::test]
async fn child() {
    let Ok(child) = std::env::var(CHILD) else { return };
    let (role, rest) = child.split_once(' ').unwrap();
    let (port, folder) = rest.split_once(' ').unwrap();
    let folder = PathBuf::from(folder);
    let (a, b) = (Company::new(1), Company::new(2));
    let ledger = Ledger::of(&[&a, &b]);
    let own = if role == "sends" { &a } else { &b };
    let store = Arc::new(Journal::open(&folder.join(role)));
    let written = OpenOptions::new().create(true).append(true).open(folder.join("written")).unwrap();
    let listen = (role == "receives").then(|| format!("127.0.0.1:{port}").parse().unwrap());
    let config = Config { listen, ..config(own) };
    let handler = Arc::new(Written(Mutex::new(written)));
    let peers = Peers::start(config, own.identity(), ledger, store.clone(), handler).await.unwrap();
    if role == "sends" {
        peers.know(b.id, vec![format!("127.0.0.1:{port}")]);
        let journal = std::fs::read_to_string(folder.join(role)).unwrap();
        let sent = journal.lines().filter(|line| line.starts_with("push")).count();
        for n in u32::try_from(sent).unwrap() + 1..=MESSAGES {
            assert_eq!(peers.send(b.id, session(5), &numbered(n)).await, Ok(n));
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
    }
    // Until it is killed.
    std::future::pending::<()>().await;
}

/// A child that ends with the test.
struct Process(Child);

impl Process {
    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(role: &str, port: u16, folder: &Path) -> Process {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["processes::child", "--exact", "--nocapture"])
        .env(CHILD, format!("{role} {port} {}", folder.display()))
        .stdout(Stdio::null())
        .spawn();
    Process(child.unwrap())
}

#[test]
fn killed_processes_lose_nothing_and_keep_the_order() {
    let folder = Folder::new("killed");
    let port = stateset_fixtures::free_port();
    let [mut sends, mut receives] = ["sends", "receives"].map(|role| spawn(role, port, &folder.0));
    let written = || -> Vec<u32> {
        let text = std::fs::read_to_string(folder.0.join("written")).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    };
    for round in 0..8u64 {
        std::thread::sleep(Duration::from_millis(120 + 37 * round % 100));
        let (child, role) = if round % 2 == 0 { (&mut sends, "sends") } else { (&mut receives, "receives") };
        child.kill();
        *child = spawn(role, port, &folder.0);
    }
    let began = Instant::now();
    while written().last() != Some(&MESSAGES) && began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    sends.kill();
    receives.kill();
    let mut numbers = written();
    let repeated = numbers.len();
    // What was being handled when its process was killed may come again, at once.
    numbers.dedup();
    assert_eq!(numbers, (1..=MESSAGES).collect::<Vec<_>>());
    assert!(repeated - numbers.len() <= 4, "one for each time that the receiver was killed");
}
