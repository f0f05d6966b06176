//! A language model at the tools, in raw requests of each revision, and by the public inspector.

mod approvals;
mod between;
mod client;
mod commerce;
mod http;
mod inspector;
mod invoices;
mod keys;
mod offline;
mod overtaken;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use stateset_acceptance::stateset;

/// The root of this workspace.
fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The tool server, without the caller's configuration.
fn mcp(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STATESET_") {
            command.env_remove(name);
        }
    }
    command
}

/// It lies beside the `stateset` under test; where that is the one of this workspace it is built first, as that was.
fn program() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let beside = stateset().with_file_name("stateset-mcp");
        if std::env::var_os("STATESET_BINARY").is_none() {
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let mut build = Command::new(cargo);
            build.current_dir(workspace()).args([
                "build",
                "--package",
                "stateset-mcp-app",
                "--bin",
                "stateset-mcp",
            ]);
            let status = build.status().expect("cargo starts");
            assert!(status.success(), "stateset-mcp could not be built: {status}");
        }
        assert!(beside.exists(), "there is no stateset-mcp beside {}", stateset().display());
        beside
    })
}
