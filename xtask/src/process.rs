//! Running other programs.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use crate::report::{fail, pass_on, progress};

/// Root of the workspace. Cargo names xtask's own folder; its parent is the root.
pub fn root() -> PathBuf {
    let own = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("xtask"), PathBuf::from);
    own.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Where cargo builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from)
}

/// The cargo that started us, so that a chosen toolchain stays chosen.
pub fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Whether this is a run of continuous integration, where nothing may be left out quietly.
pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

/// One program with its arguments and environment.
pub struct Step {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
}

impl Step {
    pub fn new<A: Into<OsString>>(program: impl Into<OsString>, args: impl IntoIterator<Item = A>) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            folder: None,
        }
    }
    pub fn cargo<A: Into<OsString>>(args: impl IntoIterator<Item = A>) -> Self {
        Self::new(cargo(), args)
    }
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }
    /// Runs in this folder; the program is named by a whole path or found on the search path.
    pub fn within(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }

    /// As a person would type it.
    fn line(&self) -> String {
        let program = Path::new(&self.program).file_name().unwrap_or(&self.program).to_string_lossy();
        let mut line = program.into_owned();
        for arg in &self.args {
            line.push(' ');
            line.push_str(&arg.to_string_lossy());
        }
        line
    }
}

/// How a step ended.
pub struct Outcome {
    /// The program's exit code; `None` when it did not start or a signal ended it.
    pub code: Option<i32>,
    /// Its standard output, where it was kept.
    pub output: String,
}

impl Outcome {
    pub fn ok(&self) -> bool {
        self.code == Some(0)
    }
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code.map_or(1, |code| u8::try_from(code).unwrap_or(1)))
    }
}

/// Runs the step with our own input and output.
pub fn run(step: &Step) -> Outcome {
    progress(&step.line());
    let code = match step.command().status() {
        Ok(status) => status.code(),
        Err(problem) => {
            fail(&format!("{}: {problem}", step.line()));
            None
        }
    };
    Outcome { code, output: String::new() }
}

/// Runs the step, passes its standard output on line by line and keeps it.
pub fn run_and_keep(step: &Step) -> Outcome {
    progress(&step.line());
    let started = Instant::now();
    let mut child = match step.command().stdout(Stdio::piped()).spawn() {
        Ok(child) => child,
        Err(problem) => {
            fail(&format!("{}: {problem}", step.line()));
            return Outcome { code: None, output: String::new() };
        }
    };
    let mut output = String::new();
    if let Some(stdout) = child.stdout.take() {
        let mut reader = BufReader::new(stdout);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&line);
            pass_on(&text);
            output.push_str(&text);
            line.clear();
        }
    }
    let code = child.wait().ok().and_then(|status| status.code());
    progress(&format!("took {} s", started.elapsed().as_secs()));
    Outcome { code, output }
}

/// Runs the step and keeps its standard output, which is for a program; what it says to people is seen.
pub fn run_for_output(step: &Step) -> Outcome {
    progress(&step.line());
    let started = Instant::now();
    let ended = step.command().stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    progress(&format!("took {} s", started.elapsed().as_secs()));
    match ended {
        Ok(output) => Outcome {
            code: output.status.code(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
        },
        Err(problem) => {
            fail(&format!("{}: {problem}", step.line()));
            Outcome { code: None, output: String::new() }
        }
    }
}

/// Runs the step and keeps what it printed to standard output, however it ended.
pub fn silently(step: &Step) -> Outcome {
    match step.command().stdin(Stdio::null()).output() {
        Ok(output) => Outcome {
            code: output.status.code(),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
        },
        Err(problem) => {
            fail(&format!("{}: {problem}", step.line()));
            Outcome { code: None, output: String::new() }
        }
    }
}

/// Runs the step silently and keeps what it printed to standard output; `Err` says what went wrong.
pub fn capture(step: &Step) -> Result<String, String> {
    let output = step
        .command()
        .stdin(Stdio::null())
        .output()
        .map_err(|problem| format!("{}: {problem}", step.line()))?;
    if !output.status.success() {
        return Err(format!(
            "{} failed:\n{}",
            step.line(),
            String::from_utf8_lossy(&output.stderr).trim_end()
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs the step silently; on failure everything that it printed is the error.
pub fn quietly(step: &Step) -> Result<(), String> {
    let output = step
        .command()
        .stdin(Stdio::null())
        .output()
        .map_err(|problem| format!("{}: {problem}", step.line()))?;
    if output.status.success() {
        return Ok(());
    }
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(format!("{} failed:\n{}{}", step.line(), out, err.trim_end()))
}

/// Whether `program` is found on the search path.
pub fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}
