//! Fuzz targets for every decoder and every verifier, written once and run in three ways:
//!
//! - as bounded properties in every build (`tests/it/main.rs`), from a fixed seed;
//! - for longer, by `cargo xtask fuzz [TARGET] [--seconds N]`, which keeps a failing input and names it;
//! - guided by coverage, by `cargo xtask fuzz TARGET --guided`, where cargo-fuzz is installed (`cargo-fuzz/`).
//!
//! A target is a function of bytes. It panics when a property is broken; it tells whether the input was accepted, so
//! that the mutator keeps what gets further. Absence of panics is the least of what each one asserts: decoders
//! print back what they read, verifiers refuse whatever was changed, and fast paths agree with plain ones.

mod input;
mod mutate;
mod runner;
pub mod targets;

pub use input::Input;
pub use mutate::Mutator;
pub use runner::{Bounds, Failure, Summary, run_bounded};

/// One fuzz target.
#[derive(Clone, Copy)]
pub struct Target {
    pub name: &'static str,
    /// The property, for a person.
    pub holds: &'static str,
    /// Panics when the property is broken; true when the input was accepted.
    pub run: fn(&[u8]) -> bool,
    /// Inputs to start from: small, valid and varied.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target, in the order of the specification's sections.
pub const TARGETS: &[Target] = targets::ALL;

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
