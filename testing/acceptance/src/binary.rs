//! The program under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, ensure};

/// Names a `stateset` to test instead of the one of this workspace.
const OVERRIDE: &str = "STATESET_BINARY";

/// The `stateset` program of this workspace, in the profile of these tests; built once, if it has to be.
///
/// # Panics
/// When it cannot be built.
pub fn stateset() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| match std::env::var_os(OVERRIDE) {
        Some(path) => path.into(),
        None => build("stateset", "stateset").expect("the stateset program could not be built"),
    })
}

/// The `stateset-sync` program, like [`stateset`].
///
/// # Panics
/// When it cannot be built.
pub fn stateset_sync() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| beside_or_built("stateset-sync-app", "stateset-sync"))
}

/// The `set-anchor` program, like [`stateset`].
///
/// # Panics
/// When it cannot be built.
pub fn set_anchor() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| beside_or_built("set-anchor-app", "set-anchor"))
}

/// A program that lies beside the one of [`stateset`] where that is given, else built like it.
fn beside_or_built(package: &str, program: &str) -> PathBuf {
    let beside = std::env::var_os(OVERRIDE).map(|path| Path::new(&path).with_file_name(program));
    let built = || build(package, program).unwrap_or_else(|error| panic!("{program}: {error:#}"));
    beside.filter(|path| path.is_file()).unwrap_or_else(built)
}

/// The root of this workspace.
pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Cargo says where it put the program, so no layout of folders is assumed.
fn build(package: &str, program: &str) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(workspace()).args(["build", "--package", package, "--bin", program]);
    command.args(["--message-format", "json-render-diagnostics"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.stderr(std::process::Stdio::inherit()).output().context("starting cargo")?;
    ensure!(output.status.success(), "cargo build ended with {}", output.status);
    let text = String::from_utf8(output.stdout).context("reading cargo's messages")?;
    let messages = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let programs = messages.filter(|message| message["target"]["name"] == program);
    let mut paths = programs.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    paths.next_back().context("cargo named no program")
}
