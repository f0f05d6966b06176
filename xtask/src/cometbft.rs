//! CometBFT, which tests of the shared ledger start: built by Go from its published module, under the folder that cargo builds
//! in. `stateset-fixtures` finds it there.

use std::fs;

use crate::process::{Step, on_path, quietly, root, target};
use crate::report::{progress, say};

/// The release, as `go install` takes it; the same that `statesetd` names to users.
const MODULE: &str = "github.com/cometbft/cometbft/cmd/cometbft@v0.38.26";
const FOLDER: &str = "tools/bin";

/// Builds it where it is missing or of another release. What is missing is said here, and fails the tests in continuous
/// integration.
pub fn install() {
    if let Err(problem) = try_install() {
        say(&format!("cometbft: it is not installed: {problem}"));
    }
}

fn try_install() -> Result<(), String> {
    let folder = root().join(target()).join(FOLDER);
    let (program, held) = (folder.join("cometbft"), folder.join("cometbft.installed"));
    if program.is_file() && fs::read_to_string(&held).is_ok_and(|held| held == MODULE) {
        return Ok(());
    }
    if !on_path("go") {
        return Err("go is not installed (Debian: golang-go)".to_owned());
    }
    progress("building CometBFT");
    fs::create_dir_all(&folder).map_err(|problem| format!("{}: {problem}", folder.display()))?;
    // Go wants a whole path.
    let folder = folder.canonicalize().map_err(|problem| format!("{}: {problem}", folder.display()))?;
    quietly(&Step::new("go", ["install", MODULE]).env("GOBIN", folder))?;
    fs::write(&held, MODULE).map_err(|problem| format!("{}: {problem}", held.display()))
}
