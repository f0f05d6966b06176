//! A benchmark that lies beside the crate it is about: its options, its report, its verdict.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};

use crate::report::{Report, Row, progress};

/// What it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Print JSON and append it as one line to the history.
    pub json: bool,
    /// Small counts, to see that everything runs; goals are not judged.
    pub quick: bool,
    /// Where `--json` keeps its lines.
    pub history: PathBuf,
    /// Where files are made and removed again: on the disk that is measured.
    pub data: PathBuf,
}

impl Options {
    fn read(args: impl Iterator<Item = OsString>, data: Option<OsString>, target: &Path) -> Result<Self> {
        let mut options = Self {
            json: false,
            quick: false,
            history: target.join("bench-history.jsonl"),
            data: data.map_or_else(|| target.join("bench-data"), PathBuf::from),
        };
        let mut args = args;
        while let Some(arg) = args.next() {
            let mut value =
                || args.next().map(PathBuf::from).context("a path is missing after the last option");
            match arg.to_str() {
                Some("--json") => options.json = true,
                Some("--quick") => options.quick = true,
                Some("--history") => options.history = value()?,
                Some("--data") => options.data = value()?,
                // Cargo says so to every benchmark.
                Some("--bench") => {}
                _ => bail!("{}: expected --json, --quick, --history FILE, --data DIR", arg.display()),
            }
        }
        Ok(options)
    }

    /// `full`, or `quick` in a quick run.
    pub fn count<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// Measures, tells, and fails where it could not be measured or a goal is missed. Files are made in `--data`, else in
/// `BENCH_DATA`, else below cargo's target.
pub fn main(measure: impl FnOnce(&Options, &mut Vec<String>) -> Result<Vec<Row>>) -> ExitCode {
    // Cargo starts a benchmark in the folder of its package, which is not where the target is.
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(own, PathBuf::from);
    let options = Options::read(std::env::args_os().skip(1), std::env::var_os("BENCH_DATA"), &target);
    match options.and_then(|options| tell(&options, measure)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(missed) => {
            progress(&format!("{missed} goals are missed"));
            ExitCode::FAILURE
        }
        Err(error) => {
            progress(&format!("failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// How many goals are missed.
fn tell(
    options: &Options,
    measure: impl FnOnce(&Options, &mut Vec<String>) -> Result<Vec<Row>>,
) -> Result<usize> {
    std::fs::create_dir_all(&options.data).with_context(|| format!("making {}", options.data.display()))?;
    let mut notes = Vec::new();
    let rows = measure(options, &mut notes)?;
    if options.quick {
        notes.push("a quick run: counts are too small to judge".to_owned());
    }
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let report = Report { at, quick: options.quick, cores, rows, notes };
    match options.json {
        true => report.print_json(&options.history)?,
        false => report.print_table(),
    }
    Ok(report.missed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Goal;

    fn read(args: &[&str]) -> Result<Options> {
        Options::read(args.iter().map(OsString::from), None, Path::new("/t"))
    }

    #[test]
    fn options_are_those_of_the_other_benchmarks_and_others_are_named() {
        let options = read(&["--bench", "--json", "--data", "/d", "--quick"]).unwrap();
        assert_eq!((options.json, options.quick, options.count(5, 2)), (true, true, 2));
        assert_eq!(
            (options.data, options.history),
            (PathBuf::from("/d"), PathBuf::from("/t/bench-history.jsonl"))
        );
        assert!(read(&["--jsn"]).unwrap_err().to_string().contains("--jsn"));
        assert!(read(&["--history"]).is_err());
    }

    #[test]
    fn a_missed_goal_counts_unless_the_run_was_quick() {
        let folder = std::env::temp_dir();
        let options = |quick| Options { json: false, quick, history: folder.join("h"), data: folder.clone() };
        let rows = || {
            let row = |value| Row::new("rate", value, "/s").goal(Goal::AtLeast(1_000.0));
            vec![row(999.0), row(1_000.0), Row::new("unjudged", 1.0, "/s")]
        };
        assert_eq!(tell(&options(false), |_, _| Ok(rows())).unwrap(), 1);
        assert_eq!(tell(&options(true), |_, _| Ok(rows())).unwrap(), 0);
    }
}
