//! The protocol crate and the verifier of compliance proofs built for WebAssembly: the proof that they need no operating system;
//! and the verifier for JavaScript, built as it is shipped and run under Node.
//!
//! Two ways lead there: the target that rustup installs, or, where rustup cannot fetch it, Debian's compiler for the web,
//! which builds the standard library from source (docs/decisions/README.md, decision 2).

use std::path::Path;

use crate::check::{Findings, Tally};
use crate::debian;
use crate::process::{Step, capture, in_ci, on_path, quietly, run, run_and_keep};
use crate::report::{fail, progress, say};

const TARGET: &str = "wasm32-unknown-unknown";
const CRATES: [&str; 7] = [
    "ves",
    "stateset-ledger-types",
    "stateset-contracts",
    "stateset-ledger-app",
    "ves-wasm",
    "ves-stark-verifier",
    "ves-stark-wasm",
];
/// What JavaScript loads, with the profile that it is shipped in.
const FOR_JAVASCRIPT: &str = "ves-stark-wasm";
const PROFILE: &str = "wasm";
const MODULE: &str = "target/wasm/wasm32-unknown-unknown/wasm/ves_stark_wasm.wasm";
const JAVASCRIPT_TEST: &str = "proofs/wasm/js/ves-stark.test.mjs";
const DEBIAN_PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src", "lld-19"];
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_LINKER: &str = "wasm-ld-19";

/// What can build for WebAssembly here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Toolchain {
    /// The toolchain in use has the target.
    Own,
    /// Debian's, with the standard library as source.
    Debian,
}

pub fn check() -> Findings {
    let mut found = Findings::default();
    let Some(toolchain) = toolchain() else {
        found.skipped = Some(no_toolchain());
        return found;
    };
    for name in CRATES {
        // The profile of what is shipped, whose standard library and dependencies the test under Node has built.
        if let Err(problem) = quietly(&step(toolchain, name, &["--profile", PROFILE])) {
            found.problem(problem);
        }
    }
    found
}

/// Builds a crate's module as it is shipped. Where it lies.
pub fn build_for_javascript(name: &str) -> Result<String, String> {
    let toolchain = toolchain().ok_or_else(no_toolchain)?;
    progress(&format!("build {name} for WebAssembly"));
    quietly(&step(toolchain, name, &["--profile", PROFILE]))?;
    Ok(format!("target/wasm/{TARGET}/{PROFILE}/{}.wasm", name.replace('-', "_")))
}

/// Builds the module for JavaScript as it is shipped, and verifies golden bundles with it under Node. Its size is printed.
pub fn test_javascript() -> Tally {
    let one_failed = Tally { passed: 0, failed: 1 };
    let missing = match toolchain() {
        None => Err(no_toolchain()),
        Some(_) if !on_path("node") => Err("node is not installed".to_owned()),
        Some(toolchain) => Ok(toolchain),
    };
    let toolchain = match missing {
        Ok(toolchain) => toolchain,
        Err(why) if in_ci() => {
            fail(&why);
            return one_failed;
        }
        Err(why) => {
            say(&format!("javascript: not run here: {why}"));
            return Tally::default();
        }
    };
    if !run(&step(toolchain, FOR_JAVASCRIPT, &["--profile", PROFILE])).ok() {
        return one_failed;
    }
    let node = Step::new("node", ["--test", "--test-reporter", "tap", JAVASCRIPT_TEST])
        .env("VES_STARK_WASM", MODULE);
    let outcome = run_and_keep(&node);
    let number = |word: &str| {
        let line = outcome.output.lines().rev().find_map(|line| line.strip_prefix(word));
        line.and_then(|text| text.trim().parse().ok()).unwrap_or_default()
    };
    let counted = Tally { passed: number("# pass "), failed: number("# fail ") };
    if outcome.ok() == (counted.failed == 0 && counted.passed > 0) { counted } else { one_failed }
}

fn no_toolchain() -> String {
    format!(
        "neither the target {TARGET} (rustup target add {TARGET}) nor Debian's {} are installed; `cargo xtask install` installs them",
        DEBIAN_PACKAGES.join(", ")
    )
}

fn step(toolchain: Toolchain, name: &str, more: &[&str]) -> Step {
    match toolchain {
        Toolchain::Own => build(Step::cargo(arguments(name, more))),
        Toolchain::Debian => {
            let more = [&["-Z", "build-std=std,panic_abort"], more].concat();
            build(Step::new(DEBIAN_CARGO, arguments(name, &more)))
                .env("RUSTC", DEBIAN_RUSTC)
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", DEBIAN_LINKER)
        }
    }
}

fn arguments<'a>(name: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    // A cdylib is linked, so that a missing symbol shows; a folder of its own keeps the two compilers apart.
    let mut arguments =
        vec!["rustc", "--package", name, "--lib", "--crate-type", "cdylib", "--target", TARGET];
    arguments.extend(["--target-dir", "target/wasm", "--locked"]);
    arguments.extend(more);
    arguments
}

fn build(step: Step) -> Step {
    // Settings made for the native build would not fit this one.
    step.env("RUSTFLAGS", "").env("CARGO_INCREMENTAL", "0")
}

fn toolchain() -> Option<Toolchain> {
    let library =
        capture(&Step::new("rustc", ["--print", "target-libdir", "--target", TARGET])).unwrap_or_default();
    if !library.trim().is_empty() && Path::new(library.trim()).is_dir() {
        return Some(Toolchain::Own);
    }
    debian_is_complete().then_some(Toolchain::Debian)
}

fn debian_is_complete() -> bool {
    let sysroot = capture(&Step::new(DEBIAN_RUSTC, ["--print", "sysroot"])).unwrap_or_default();
    let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/std");
    Path::new(DEBIAN_CARGO).is_file() && !sysroot.is_empty() && source.is_dir() && on_path(DEBIAN_LINKER)
}

/// Installs what [`check`] needs, where that is possible without asking anyone; the check itself says what is missing.
pub fn install() {
    if !on_path("node") && debian::is_here() {
        progress("install Node, which runs the verifier for JavaScript");
        debian::install(&["nodejs"]);
    }
    if toolchain().is_some() {
        return;
    }
    progress("install what the WebAssembly build needs");
    if debian::is_here() && debian::install(DEBIAN_PACKAGES) {
        return;
    }
    if on_path("rustup") {
        run(&Step::new("rustup", ["target", "add", TARGET]));
    }
}
