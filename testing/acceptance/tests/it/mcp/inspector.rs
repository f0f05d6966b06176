//! The public inspector's command line, unmodified: `cargo xtask test` installs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use stateset_acceptance::Service;

use super::client::Http;
use super::{program, workspace};

#[allow(clippy::print_stderr, reason = "a test that did not run says so")]
fn inspector() -> Option<PathBuf> {
    let program =
        workspace().join("testing/mcp/js/node_modules/@modelcontextprotocol/inspector-cli/build/index.js");
    let is_there = program.exists() && Command::new("node").arg("--version").output().is_ok();
    if !is_there {
        assert!(std::env::var_os("CI").is_none(), "the inspector is missing: cargo xtask test installs it");
        eprintln!("NOT RUN: the inspector is not installed: npm ci in testing/mcp/js, or cargo xtask test");
    }
    is_there.then_some(program)
}

/// What the inspector prints of one method.
fn inspect(program: &Path, target: &[&str], method: &[&str]) -> Value {
    let mut command = Command::new("node");
    command.arg(program).args(target).args(method).env("RUST_LOG", "off");
    let output = command.output().expect("node runs");
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{method:?}: {out}{error}");
    serde_json::from_str(&out).unwrap_or_else(|problem| panic!("{problem}: {out}{error}"))
}

#[test]
fn the_public_inspector_uses_the_tools_over_stdio_and_http() {
    let Some(inspector) = inspector() else { return };
    let folder = tempfile::tempdir().unwrap();
    let service = Service::start(folder.path());
    let door = Http::start(folder.path(), &["--no-auth"]);
    let data = folder.path().to_str().expect("a plain name");
    let server = program().to_str().expect("a plain name");
    let stdio = [server, "stdio", "--data", data];
    let targets: [(&str, Vec<&str>); 2] = [("stdio", stdio.to_vec()), ("http", vec![door.url.as_str()])];
    for (name, target) in &targets {
        let tools = inspect(&inspector, target, &["--method", "tools/list"]);
        assert!(tools["tools"].as_array().is_some_and(|tools| tools.len() > 40), "{name}: {tools}");
        let id = format!("C-{name}");
        let (id_argument, email) = (format!("customer_id={id}"), "email=a@example.com");
        let create =
            ["--method", "tools/call", "--tool-name", "customer_create", "--tool-arg", &id_argument, email];
        let created = inspect(&inspector, target, &create);
        assert_eq!(created["structuredContent"]["entity"]["entity_id"], id.as_str(), "{name}: {created}");
        let read = ["--method", "resources/read", "--uri", &format!("stateset://entities/customer/{id}")];
        let text = inspect(&inspector, target, &read)["contents"][0]["text"].clone();
        let body: Value = serde_json::from_str(text.as_str().expect("a text")).unwrap();
        assert_eq!(body["state"]["status"], json!("active"), "{name}: {body}");
    }
    for (method, list) in [
        ("resources/list", "resources"),
        ("resources/templates/list", "resourceTemplates"),
        ("prompts/list", "prompts"),
    ] {
        let listed = inspect(&inspector, &targets[1].1, &["--method", method]);
        assert!(listed[list].as_array().is_some_and(|list| !list.is_empty()), "{method}: {listed}");
    }
    let prompt = ["--method", "prompts/get", "--prompt-name", "reconcile", "--prompt-args", "order_id=O-1"];
    let got = inspect(&inspector, &targets[1].1, &prompt);
    assert!(got["messages"][0]["content"]["text"].as_str().is_some_and(|text| text.contains("O-1")), "{got}");
    drop(service);
}
