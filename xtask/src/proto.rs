//! `cargo xtask proto`: the Rust code of the .proto files, which is in the repository so that no build needs a protobuf
//! compiler. A stamp beside the .proto files says what the code was written from; `check` compares it, without
//! compiling the generator.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use crate::check::Findings;
use crate::process::{Step, run};
use crate::report::{fail, say};

/// What decides the generated code.
const SOURCES: &[&str] = &[
    "protocol/wire/proto/stateset/sequencer/v1/sequencer.proto",
    "protocol/wire/proto/stateset/sequencer/v2/sequencer.proto",
    "xtask/proto/Cargo.lock",
    "xtask/proto/Cargo.toml",
    "xtask/proto/src/main.rs",
];

/// What the generator writes, and its place.
const OUTPUTS: &[(&str, &str)] = &[
    ("messages/stateset.sequencer.v1.rs", "protocol/wire/src/proto/v1.rs"),
    ("messages/stateset.sequencer.v2.rs", "protocol/wire/src/proto/v2.rs"),
    ("services/stateset.sequencer.v1.rs", "sequencer/api/src/grpc/generated/v1.rs"),
    ("services/stateset.sequencer.v2.rs", "sequencer/api/src/grpc/generated/v2.rs"),
    ("descriptors.bin", "sequencer/api/src/grpc/generated/descriptors.bin"),
];

const STAMP: &str = "protocol/wire/proto/generated.txt";
const FOLDER: &str = "target/proto";

/// First line of every generated Rust file; house rules on length do not hold there.
pub const HEADER: &str =
    "// Written by `cargo xtask proto` from protocol/wire/proto. Change the .proto file instead.\n";

pub fn main() -> ExitCode {
    match write() {
        Ok(()) => {
            say(&format!("{} files written, {STAMP} says from what", OUTPUTS.len()));
            ExitCode::SUCCESS
        }
        Err(problem) => {
            fail(&problem);
            ExitCode::FAILURE
        }
    }
}

fn write() -> Result<(), String> {
    let manifest = ["run", "--quiet", "--manifest-path", "xtask/proto/Cargo.toml", "--", FOLDER];
    std::fs::create_dir_all(FOLDER).map_err(|problem| format!("{FOLDER}: {problem}"))?;
    if !run(&Step::cargo(manifest)).ok() {
        return Err("the generator failed".to_owned());
    }
    for (from, to) in OUTPUTS {
        place(&Path::new(FOLDER).join(from), Path::new(to)).map_err(|problem| format!("{to}: {problem}"))?;
    }
    let rust = OUTPUTS.iter().map(|(_, to)| *to).filter(|to| to.ends_with(".rs"));
    if !run(&Step::new("rustfmt", ["--edition", "2024"].into_iter().chain(rust))).ok() {
        return Err("the generated code could not be formatted".to_owned());
    }
    std::fs::write(STAMP, stamp()?).map_err(|problem| format!("{STAMP}: {problem}"))
}

fn place(from: &Path, to: &Path) -> std::io::Result<()> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut bytes = std::fs::read(from)?;
    if to.extension().is_some_and(|extension| extension == "rs") {
        bytes.splice(..0, HEADER.bytes());
    }
    std::fs::write(to, bytes)
}

/// The generated code was written from the .proto files as they are, and was not changed since.
pub fn check() -> Findings {
    let held = std::fs::read_to_string(STAMP).map_err(|problem| format!("{STAMP}: {problem}"));
    let compared = held.and_then(|held| {
        let found = stamp()?;
        let differing = found.lines().find(|line| !held.lines().any(|known| known == *line));
        match differing.and_then(|line| line.split_once("  ")) {
            Some((_, file)) => {
                Err(format!("{file} is not what {STAMP} was written for: run `cargo xtask proto`"))
            }
            None => Ok(()),
        }
    });
    compared.into()
}

/// One line for each source and each output: its sum, two spaces, its name.
fn stamp() -> Result<String, String> {
    let mut out = String::new();
    for file in SOURCES.iter().chain(OUTPUTS.iter().map(|(_, to)| to)) {
        let bytes = std::fs::read(file).map_err(|problem| format!("{file}: {problem}"))?;
        writeln!(out, "{:016x}  {file}", sum(&bytes)).map_err(|problem| problem.to_string())?;
    }
    Ok(out)
}

/// FNV-1a: against forgetting, not against malice.
fn sum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_fnv_1a() {
        assert_eq!(sum(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(sum(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(sum(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
