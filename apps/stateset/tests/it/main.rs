//! The program as a user meets it: the real binary, its output, its exit status.

mod anchor;
mod attested;
mod bank;
mod commerce;
mod compliance;
mod demo;
mod dev_loop;
mod help;
mod invoices;
mod joined;
mod keys;
mod ledger;
mod local_chain;
mod log;
mod outputs;
mod passphrases;
mod pay;
mod payments;
mod proof;
mod quiet;
mod refusals;
mod service;
mod upgrades;

use std::path::Path;
use std::process::{Command, Output};

/// The program, with none of its variables in the environment and `folder` as its place.
pub fn stateset(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stateset"));
    for variable in ["DATA", "URL", "API_KEY", "TENANT", "STORE", "PASSPHRASE", "PAY_KEY", "LEDGER_NODE"] {
        command.env_remove(format!("STATESET_{variable}"));
    }
    command.env_remove("L2_RPC_URL").env_remove("SET_REGISTRY_ADDRESS");
    for variable in ["KEYSTORE", "PKCS11_MODULE", "PKCS11_TOKEN_LABEL", "PKCS11_PIN_FILE", "PKCS11_PIN"] {
        command.env_remove(variable);
    }
    command.env_remove("DATABASE_URL").env_remove("RUST_LOG").current_dir(folder);
    command
}

/// Runs to the end: exit status, stdout, stderr.
pub fn run(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = stateset(folder).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// Runs with `--json` and reads the one document of stdout.
pub fn json(folder: &Path, args: &[&str]) -> (i32, serde_json::Value) {
    let (status, stdout, stderr) = run(folder, &[&["--json"], args].concat());
    let value =
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{args:?}: {error}\n{stdout}\n{stderr}"));
    (status, value)
}
