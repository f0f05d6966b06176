//! The protocol crate and the verifier of compliance proofs built for WebAssembly: the proof that they need no operating system.
//!
//! Two ways lead there: the target that rustup installs, or, where rustup cannot fetch it, Debian's compiler for the web,
//! which builds the standard library from source (docs/decisions/README.md, decision 2).

use std::path::Path;

use crate::check::Findings;
use crate::debian;
use crate::process::{Step, capture, on_path, quietly, run};
use crate::report::progress;

const TARGET: &str = "wasm32-unknown-unknown";
const CRATES: [&str; 2] = ["ves", "ves-stark-verifier"];
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
        found.skipped = Some(format!(
            "neither the target {TARGET} (rustup target add {TARGET}) nor Debian's {} are installed; `cargo xtask install` installs them",
            DEBIAN_PACKAGES.join(", ")
        ));
        return found;
    };
    for name in CRATES {
        if let Err(problem) = quietly(&step(toolchain, name)) {
            found.problem(problem);
        }
    }
    found
}

fn step(toolchain: Toolchain, name: &str) -> Step {
    match toolchain {
        Toolchain::Own => build(Step::cargo(arguments(name, &[]))),
        Toolchain::Debian => {
            build(Step::new(DEBIAN_CARGO, arguments(name, &["-Z", "build-std=std,panic_abort"])))
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
