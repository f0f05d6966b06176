//! `cargo xtask schemathesis`: requests made from the OpenAPI document, good and bad, against a real server with real
//! events. It finds answers that fail inside (5xx), and answers that the document does not know.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use crate::check::Tally;
use crate::process::{Step, capture, in_ci, quietly, run_and_keep, target};
use crate::programs::Built;
use crate::report::{fail, progress, say};

const REQUIREMENTS: &str = "testing/openapi/requirements.txt";
/// The same requests each time.
const SEED: &str = "20260101";
/// Requests of one operation in the random phase: the whole takes two to three minutes.
const EXAMPLES: &str = "20";
/// Whether a request that the schema allows is accepted is not asked: rules between two members (an agent's events
/// name that agent, a range has its end after its start) can't be written in a schema.
const EXCLUDED: &str = "positive_data_acceptance";
/// Answers 503, as documented, until a chain is joined: no server error, but a 5xx.
const WITHOUT_CHAIN: &str = "commitAndAnchor";
const EVENTS: usize = 40;

pub fn main() -> ExitCode {
    let tally = run(&Built::default());
    say(&format!("schemathesis: {} passed, {} failed", tally.passed, tally.failed));
    if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One count for each operation. What can't be run here is a failure in continuous integration, and is said elsewhere.
pub fn run(built: &Built) -> Tally {
    let program = match install() {
        Ok(program) => program,
        Err(problem) if in_ci() => {
            fail(&format!("schemathesis can't be installed: {problem}"));
            return Tally { passed: 0, failed: 1 };
        }
        Err(problem) => {
            say(&format!("schemathesis: not run here: {problem}"));
            return Tally::default();
        }
    };
    match against_a_server(&program, built) {
        Ok(tally) => tally,
        Err(problem) => {
            fail(&problem);
            Tally { passed: 0, failed: 1 }
        }
    }
}

/// The pinned packages in an environment of their own; made again when the pins change.
fn install() -> Result<PathBuf, String> {
    let folder = Path::new("target/schemathesis/python");
    let (program, stamp) = (folder.join("bin/schemathesis"), folder.join("requirements.txt"));
    let wanted = fs::read_to_string(REQUIREMENTS).map_err(|problem| format!("{REQUIREMENTS}: {problem}"))?;
    if program.is_file() && fs::read_to_string(&stamp).is_ok_and(|held| held == wanted) {
        return Ok(program);
    }
    progress("installing schemathesis");
    let path = folder.to_string_lossy();
    quietly(&Step::new("python3", ["-m", "venv", "--clear", &path]))?;
    let pip = folder.join("bin/pip");
    quietly(&Step::new(pip, ["install", "--quiet", "--no-deps", "--requirement", REQUIREMENTS]))?;
    fs::write(&stamp, wanted).map_err(|problem| format!("{}: {problem}", stamp.display()))?;
    Ok(program)
}

fn against_a_server(program: &Path, built: &Built) -> Result<Tally, String> {
    let stateset = match built.program("bin", "stateset") {
        Some(stateset) => stateset,
        None => {
            quietly(&Step::cargo(["build", "--quiet", "--locked", "--package", "stateset"]))?;
            target().join("debug/stateset")
        }
    };
    let folder = Path::new("target/schemathesis/run");
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|problem| format!("{}: {problem}", folder.display()))?;
    }
    fs::create_dir_all(folder).map_err(|problem| format!("{}: {problem}", folder.display()))?;
    let data = folder.join("data").to_string_lossy().into_owned();
    let server = Server::start(&stateset, &data, &[])?;
    seed(&stateset, &data, folder)?;
    let key = fs::read_to_string(Path::new(&data).join("admin-api-key"))
        .map_err(|problem| format!("the admin key: {problem}"))?;
    let (location, header) = (format!("{}/openapi.json", server.url), format!("x-api-key: {}", key.trim()));
    let outcome = run_and_keep(
        &Step::new(
            program,
            [
                "run",
                &location,
                "--header",
                &header,
                "--seed",
                SEED,
                "--max-examples",
                EXAMPLES,
                "--exclude-checks",
                EXCLUDED,
                "--exclude-operation-id",
                WITHOUT_CHAIN,
                "--continue-on-failure",
                "--no-color",
            ],
        )
        // Its own folder: it keeps notes of earlier failures where it stands.
        .env("HYPOTHESIS_STORAGE_DIRECTORY", folder.join("hypothesis")),
    );
    drop(server);
    let tested = number_after(&outcome.output, "Tested:").unwrap_or(0);
    let failed = number_before(&outcome.output, " unique failures").unwrap_or(0);
    Ok(match outcome.ok() && tested > 0 {
        true => Tally { passed: tested, failed: 0 },
        false => Tally { passed: tested.saturating_sub(failed), failed: failed.max(1) },
    })
}

/// Events of an agent, most of them committed.
fn seed(stateset: &Path, data: &str, folder: &Path) -> Result<(), String> {
    let drafts: String = (1..=EVENTS)
        .map(|n| {
            format!(
                "{{\"entity_type\":\"order\",\"entity_id\":\"ORD-{}\",\"event_type\":\"order.created\",\
                 \"payload\":{{\"total\":\"{n}.00\"}}}}\n",
                n % 7
            )
        })
        .collect();
    let (drafts_file, signed) = (folder.join("drafts.jsonl"), folder.join("signed.jsonl"));
    fs::write(&drafts_file, drafts).map_err(|problem| format!("{}: {problem}", drafts_file.display()))?;
    let (drafts_file, signed) = (drafts_file.to_string_lossy(), signed.to_string_lossy());
    for arguments in [
        &["event", "sign", &drafts_file, "--out", &signed][..],
        &["event", "push", &signed],
        &["commit", "--to", "30"],
    ] {
        capture(&Step::new(stateset, arguments.iter().copied().chain(["--data", data])))?;
    }
    Ok(())
}

/// `stateset up` on a port that the system chose; stopped when dropped.
pub struct Server {
    child: Child,
    url: String,
}

impl Server {
    /// `more` are further options of `up`.
    pub fn start(stateset: &Path, data: &str, more: &[&str]) -> Result<Self, String> {
        let mut command = Command::new(stateset);
        command.args(["up", "--listen", "127.0.0.1:0", "--json", "--data", data]).args(more);
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|problem| format!("{}: {problem}", stateset.display()))?;
        let mut output = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut line = String::new();
        let read = output.read_line(&mut line);
        let said: serde_json::Value = match read {
            Ok(n) if n > 0 => serde_json::from_str(&line).map_err(|problem| format!("{line}: {problem}"))?,
            _ => return Err("stateset up ended before it listened".to_owned()),
        };
        let url = said["url"].as_str().ok_or_else(|| format!("no url in {line}"))?.to_owned();
        // What else it says is read to the end, or it would stop at a full pipe.
        std::thread::spawn(move || {
            let mut rest = String::new();
            let _ = output.read_to_string(&mut rest);
        });
        Ok(Self { child, url })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The number that follows `label`.
fn number_after(text: &str, label: &str) -> Option<u64> {
    let rest = text.split(label).nth(1)?.trim_start();
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The number that stands before `label`.
fn number_before(text: &str, label: &str) -> Option<u64> {
    let before = text.split(label).next().filter(|before| before.len() < text.len())?;
    before.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_counted() {
        let text = "API Operations:\n  Selected: 30/30\n  Tested: 29\n\n  2290 generated, 8 found 8 unique failures, 51 skipped\n";
        assert_eq!(number_after(text, "Tested:"), Some(29));
        assert_eq!(number_before(text, " unique failures"), Some(8));
        assert_eq!(number_before("2290 generated", " unique failures"), None);
    }
}
