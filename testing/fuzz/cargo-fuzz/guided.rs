//! One program for all targets: `STATESET_FUZZ_TARGET` names the one to run. Started by `cargo xtask fuzz TARGET --guided`.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use stateset_fuzz::{TARGETS, Target};

static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var("STATESET_FUZZ_TARGET").unwrap_or_default();
    TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("there is no target {name:?}"))
});

fuzz_target!(|data: &[u8]| {
    (TARGET.run)(data);
});
