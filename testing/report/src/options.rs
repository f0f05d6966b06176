//! What every benchmark may be asked for, and its verdict.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::report::{Report, progress};

/// What it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct Options {
    /// Print JSON and append it as one line to the history
    #[arg(long)]
    pub json: bool,
    /// Small counts, to see that everything runs; goals are not judged
    #[arg(long)]
    pub quick: bool,
    /// Where --json keeps its lines
    #[arg(long, value_name = "FILE", hide_default_value = true, default_value_os_t = below_target("bench-history.jsonl"))]
    pub history: PathBuf,
    /// Where files are made and removed again: on the disk that is to be measured
    #[arg(long, value_name = "DIR", env = "BENCH_DATA", hide_env = true, hide_default_value = true,
          default_value_os_t = below_target("bench-data"))]
    pub data: PathBuf,
}

/// Below cargo's target; cargo starts a benchmark in the folder of its package, which is not where that is.
fn below_target(name: &str) -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    std::env::var_os("CARGO_TARGET_DIR").map_or(own, PathBuf::from).join(name)
}

impl Options {
    /// `full`, or `quick` in a quick run.
    pub fn count<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Makes the folder of `--data`.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn make_data(&self) -> Result<&Path> {
        std::fs::create_dir_all(&self.data).with_context(|| format!("making {}", self.data.display()))?;
        Ok(&self.data)
    }

    /// Prints the report as it was asked for. Returns how many goals are missed.
    ///
    /// # Errors
    /// When the history can't be written.
    pub fn tell(&self, mut report: Report) -> Result<usize> {
        if self.quick {
            report.notes.push("a quick run: counts are too small to judge".to_owned());
        }
        match self.json {
            true => report.print_json(&self.history)?,
            false => report.print_table(),
        }
        Ok(report.missed())
    }
}

/// Fails where something could not be measured, or so many goals are missed.
pub fn verdict(missed: Result<usize>) -> ExitCode {
    match missed {
        Ok(0) => return ExitCode::SUCCESS,
        Ok(missed) => progress(&format!("{missed} goals are missed")),
        Err(error) => progress(&format!("failed: {error:#}")),
    }
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::report::{Goal, Row};

    #[derive(Parser)]
    struct Asked {
        #[command(flatten)]
        options: Options,
    }

    fn read(args: &[&str]) -> Result<Options, clap::Error> {
        Asked::try_parse_from([&["bench"], args].concat()).map(|asked| asked.options)
    }

    #[test]
    fn options_are_read_and_others_are_named() {
        let options = read(&["--json", "--data", "/d", "--quick"]).unwrap();
        assert_eq!((options.json, options.quick, options.count(5, 2)), (true, true, 2));
        assert_eq!(options.data, PathBuf::from("/d"));
        assert!(options.history.ends_with("bench-history.jsonl"));
        assert!(read(&["--jsn"]).unwrap_err().to_string().contains("--jsn"));
        assert!(read(&["--history"]).is_err());
    }

    #[test]
    fn a_missed_goal_counts_unless_the_run_was_quick() {
        let tell = |args: &[&str]| {
            let row = |value| Row::new("rate", value, "/s").goal(Goal::AtLeast(1_000.0));
            let rows = vec![row(999.0), row(1_000.0), Row::new("unjudged", 1.0, "/s")];
            let options = read(args).unwrap();
            options.tell(Report { at: 0, quick: options.quick, cores: 1, rows, notes: Vec::new() }).unwrap()
        };
        assert_eq!(tell(&[]), 1);
        assert_eq!(tell(&["--quick"]), 0);
    }
}
