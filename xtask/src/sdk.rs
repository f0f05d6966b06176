//! `cargo xtask sdk`: the libraries for TypeScript, Python and Go. Each is built as its users get it, holds the vectors of
//! `testing/vectors/libraries.json`, and runs the quick start of its own README against a real server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::check::Tally;
use crate::process::{Outcome, Step, in_ci, on_path, quietly, root, run, run_and_keep, target};
use crate::programs::Built;
use crate::report::{fail, progress, say};
use crate::schemathesis::Server;
use crate::wasm;

const TYPESCRIPT: &str = "agents/sdk/typescript";
const PYTHON: &str = "agents/sdk/python";
const GO: &str = "agents/sdk/go";
/// What is made on the way.
const FOLDER: &str = "target/sdk";

/// The tests of one library and its quick start, or why they cannot run here.
type Library = (&'static str, fn(&Path) -> Result<Tally, String>);
const LIBRARIES: [Library; 3] = [("typescript", typescript), ("python", python), ("go", go)];

pub fn main() -> ExitCode {
    let tally = test(&Built::default());
    say(&format!("sdk: {} passed, {} failed", tally.passed, tally.failed));
    if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One quick start each beside the tests. What can't be run here is a failure in continuous integration.
pub fn test(built: &Built) -> Tally {
    let mut total = Tally::default();
    let server = match serve(built) {
        Ok(server) => server,
        Err(problem) => {
            fail(&problem);
            return Tally { passed: 0, failed: 1 };
        }
    };
    for (name, test) in LIBRARIES {
        progress(&format!("library {name}"));
        let tally = match test(&server.data) {
            Ok(tally) => tally,
            Err(why) if in_ci() => {
                fail(&format!("{name}: {why}"));
                Tally { passed: 0, failed: 1 }
            }
            Err(why) => {
                say(&format!("{name}: not run here: {why}"));
                Tally::default()
            }
        };
        say(&format!("{name}: {} passed, {} failed", tally.passed, tally.failed));
        total.passed += tally.passed;
        total.failed += tally.failed;
    }
    total
}

/// A server that commits every second, on a folder that the quick starts read.
struct Served {
    _server: Server,
    data: PathBuf,
}

fn serve(built: &Built) -> Result<Served, String> {
    let named = std::env::var_os("STATESET_BINARY").map(PathBuf::from);
    let stateset = match named.or_else(|| built.program("bin", "stateset")) {
        Some(stateset) => stateset,
        None => {
            quietly(&Step::cargo(["build", "--quiet", "--locked", "--package", "stateset"]))?;
            target().join("debug/stateset")
        }
    };
    let folder = root_path(FOLDER).join("run");
    emptied(&folder)?;
    let data = folder.join("data");
    let server = Server::start(&stateset, &data.to_string_lossy(), &["--commit-seconds", "1"])?;
    Ok(Served { _server: server, data })
}

fn root_path(path: &str) -> PathBuf {
    fs::canonicalize(root()).unwrap_or_else(|_| root()).join(path)
}

fn typescript(data: &Path) -> Result<Tally, String> {
    for tool in ["node", "npm"] {
        if !on_path(tool) {
            return Err(format!("{tool} is not installed (Debian: nodejs, npm)"));
        }
    }
    let module = root_path(&wasm::build_for_javascript("ves-wasm")?);
    let folder = root_path(TYPESCRIPT);
    installed(
        "the tools of the TypeScript library",
        &folder.join("package-lock.json"),
        &folder.join("node_modules/.installed"),
        || {
            let npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
            quietly(&Step::new("npm", npm).within(&folder))
        },
    )?;
    let build = Step::new("node", ["scripts/build.mjs".as_ref(), module.as_os_str()]).within(&folder);
    if !run(&build).ok() {
        return Ok(Tally { passed: 0, failed: 1 });
    }
    let tests = ["vectors", "client"].map(|name| format!("test/{name}.test.mjs"));
    let node = ["--test".to_owned(), "--test-reporter".to_owned(), "tap".to_owned()].into_iter().chain(tests);
    let outcome = run_and_keep(&Step::new("node", node).within(&folder));
    let counted = Tally {
        passed: number_after(&outcome.output, "# pass ").unwrap_or(0),
        failed: number_after(&outcome.output, "# fail ").unwrap_or(0),
    };
    let project = root_path(FOLDER).join("typescript");
    packed(&folder, &project)?;
    extract(TYPESCRIPT, "js", &project.join("quickstart.mjs"))?;
    let quick_start = Step::new("node", ["quickstart.mjs"]).within(&project);
    Ok(judged(&outcome, counted, || run_quick_start(quick_start, data)))
}

/// The package as its users get it: packed, and installed in a folder where nothing else is.
fn packed(package: &Path, project: &Path) -> Result<(), String> {
    emptied(project)?;
    let to = project.to_string_lossy();
    quietly(&Step::new("npm", ["pack", "--silent", "--pack-destination", &to]).within(package))?;
    let archives = fs::read_dir(project).map_err(|problem| format!("{to}: {problem}"))?;
    let mut archives = archives.filter_map(Result::ok).map(|entry| entry.path());
    let archive = archives.find(|path| path.extension().is_some_and(|end| end == "tgz"));
    let archive = archive.ok_or_else(|| format!("npm pack wrote nothing into {to}"))?;
    fs::write(project.join("package.json"), "{\"private\": true}\n")
        .map_err(|problem| problem.to_string())?;
    // It depends on nothing, so nobody is asked.
    let install = ["install", "--offline", "--no-audit", "--no-fund", "--silent", &archive.to_string_lossy()];
    quietly(&Step::new("npm", install).within(project))
}

fn emptied(folder: &Path) -> Result<(), String> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|problem| format!("{}: {problem}", folder.display()))?;
    }
    fs::create_dir_all(folder).map_err(|problem| format!("{}: {problem}", folder.display()))
}

fn python(data: &Path) -> Result<Tally, String> {
    if !on_path("python3") {
        return Err("python3 is not installed (Debian: python3, python3-venv)".to_owned());
    }
    let (folder, venv) = (root_path(PYTHON), root_path(FOLDER).join("python"));
    let (python, requirements) = (venv.join("bin/python"), folder.join("requirements-test.txt"));
    let list = requirements.to_string_lossy();
    installed("what the Python library needs", &requirements, &venv.join("requirements.txt"), || {
        quietly(&Step::new("python3", ["-m", "venv", "--clear", &venv.to_string_lossy()]))?;
        quietly(&pip(&python, ["install", "-r", &list]))
    })?;
    // The wheel; what it is built with is among the requirements.
    let wheels = root_path(FOLDER).join("wheel");
    emptied(&wheels)?;
    let build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", &wheels.to_string_lossy(), "."];
    quietly(&pip(&python, build).within(&folder))?;
    let wheel = fs::read_dir(&wheels).map_err(|problem| problem.to_string())?.find_map(Result::ok);
    let wheel = wheel.ok_or("pip made no wheel")?.path().to_string_lossy().into_owned();
    quietly(&pip(&python, ["install", "--no-deps", "--force-reinstall", &wheel]))?;
    // And as its users install it: in an environment where nothing else is but what it asks for itself.
    let user = root_path(FOLDER).join("python-user");
    let user_python = user.join("bin/python");
    installed("the Python library for its user", &requirements, &user.join("requirements.txt"), || {
        quietly(&Step::new("python3", ["-m", "venv", "--clear", &user.to_string_lossy()]))?;
        quietly(&pip(&user_python, ["install", "--constraint", &list, &wheel]))
    })?;
    quietly(&pip(&user_python, ["install", "--no-deps", "--force-reinstall", &wheel]))?;
    let types = ["-m", "mypy", "--strict", "--cache-dir", "/dev/null", "src"];
    quietly(&Step::new(&python, types).within(&folder))?;
    let tests = ["-W", "error", "-m", "unittest", "discover", "-s", "tests", "-t", "tests"];
    let outcome = run_and_keep(&said_to_output(&python, &tests).within(&folder));
    let ran = number_after(&outcome.output, "Ran ").unwrap_or(0);
    let failed = ["failures=", "errors="].map(|what| number_after(&outcome.output, what).unwrap_or(0));
    let failed = failed.iter().sum::<u64>().min(ran);
    let quick_start = root_path(FOLDER).join("quickstart.py");
    extract(PYTHON, "python", &quick_start)?;
    let quick_start = Step::new(&user_python, [&quick_start]);
    Ok(judged(&outcome, Tally { passed: ran - failed, failed }, || run_quick_start(quick_start, data)))
}

fn pip<'a>(python: &Path, arguments: impl IntoIterator<Item = &'a str>) -> Step {
    let (command, rest) = (["-m", "pip", "--quiet", "--disable-pip-version-check"], arguments.into_iter());
    Step::new(python, command.into_iter().chain(rest))
}

/// The test runner of Python reports to standard error, which is not kept.
fn said_to_output(python: &Path, arguments: &[&str]) -> Step {
    let python = python.to_string_lossy();
    let shell = ["-c", "exec \"$0\" \"$@\" 2>&1", &python];
    Step::new("sh", shell.into_iter().chain(arguments.iter().copied()))
}

fn go(data: &Path) -> Result<Tally, String> {
    if !on_path("go") {
        return Err("go is not installed (Debian: golang-go)".to_owned());
    }
    let folder = root_path(GO);
    quietly(&Step::new("go", ["vet", "./..."]).within(&folder))?;
    let outcome = run_and_keep(&Step::new("go", ["test", "-count=1", "-v", "./..."]).within(&folder));
    let lines = |start: &str| outcome.output.lines().filter(|line| line.starts_with(start)).count() as u64;
    let counted = Tally { passed: lines("--- PASS"), failed: lines("--- FAIL") };
    let project = root_path(FOLDER).join("go");
    extract(GO, "go", &project.join("main.go"))?;
    let module = "stateset.example/client";
    let manifest = format!(
        "module quickstart\n\ngo 1.24\n\nrequire {module} v0.0.0\n\nreplace {module} => {}\n",
        folder.display()
    );
    fs::write(project.join("go.mod"), manifest).map_err(|problem| problem.to_string())?;
    Ok(judged(&outcome, counted, || run_quick_start(Step::new("go", ["run", "."]).within(project), data)))
}

/// The counted tests and one more, the quick start; a runner that failed without counting a failure is one.
fn judged(outcome: &Outcome, counted: Tally, quick_start: impl FnOnce() -> bool) -> Tally {
    let mut tally = counted;
    if (!outcome.ok() || counted.passed == 0) && counted.failed == 0 {
        tally.failed = 1;
    }
    if quick_start() {
        tally.passed += 1;
    } else {
        tally.failed += 1;
    }
    tally
}

/// Runs it where a reader would; its last words are that all was verified.
fn run_quick_start(step: Step, data: &Path) -> bool {
    let outcome = run_and_keep(&step.env("STATESET_DATA", data));
    outcome.ok() && outcome.output.trim_end().ends_with("verified")
}

/// Writes the program of the README's quick start.
fn extract(library: &str, language: &str, to: &Path) -> Result<(), String> {
    let readme = root_path(library).join("README.md");
    let text = fs::read_to_string(&readme).map_err(|problem| format!("{}: {problem}", readme.display()))?;
    let code = code_block(&text, language)
        .ok_or_else(|| format!("{}: no quick start in {language}", readme.display()))?;
    let folder = to.parent().ok_or("a file has a folder")?;
    fs::create_dir_all(folder).map_err(|problem| format!("{}: {problem}", folder.display()))?;
    fs::write(to, code).map_err(|problem| format!("{}: {problem}", to.display()))
}

/// The first block of this language.
fn code_block<'a>(text: &'a str, language: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("```{language}\n"))?;
    rest.split_once("```\n").map(|(code, _)| code)
}

/// Installs again when `wanted` changes; what was installed is kept in `held`.
fn installed(
    what: &str,
    wanted: &Path,
    held: &Path,
    install: impl FnOnce() -> Result<(), String>,
) -> Result<(), String> {
    let wanted = fs::read(wanted).map_err(|problem| format!("{}: {problem}", wanted.display()))?;
    if fs::read(held).is_ok_and(|held| held == wanted) {
        return Ok(());
    }
    progress(&format!("installing {what}"));
    install()?;
    fs::write(held, wanted).map_err(|problem| format!("{}: {problem}", held.display()))
}

/// The number that follows `label`, where it stands last.
fn number_after(text: &str, label: &str) -> Option<u64> {
    let rest = text.rsplit_once(label)?.1;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_start_is_the_first_block_of_its_language() {
        let text = "# Title\n```sh\nls\n```\n\n```js\nfirst();\n```\n```js\nsecond();\n```\n";
        assert_eq!(code_block(text, "js"), Some("first();\n"));
        assert_eq!(code_block(text, "go"), None);
    }

    #[test]
    fn reports_are_counted() {
        assert_eq!(
            number_after("Ran 3 tests in 1 s\nx\nFAILED (failures=2, errors=1)", "failures="),
            Some(2)
        );
        assert_eq!(number_after("# pass 12\n# fail 0\n", "# fail "), Some(0));
        assert_eq!(number_after("OK", "Ran "), None);
    }
}
