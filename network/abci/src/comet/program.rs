//! Finding the program `cometbft`.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How it is installed; the release that our tests run.
pub const INSTALL: &str = "go install github.com/cometbft/cometbft/cmd/cometbft@v0.38.26";
/// The line of releases that speaks our ABCI and makes our blocks.
const LINE: &str = "0.38.";

/// Why there is no CometBFT to start.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    #[error(
        "cometbft is not found: install it with `{INSTALL}`, or name it with --cometbft or STATESET_COMETBFT"
    )]
    Nowhere,
    #[error("{}: it does not run: {problem}; install it with `{INSTALL}`", .place.display())]
    Broken { place: PathBuf, problem: String },
    #[error("{}: it is of version {version}, and {LINE}x is needed; install it with `{INSTALL}`", .place.display())]
    OtherVersion { place: PathBuf, version: String },
}

/// A CometBFT of the right line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    pub place: PathBuf,
    pub version: String,
}

impl Program {
    /// Takes `given`, or what `STATESET_COMETBFT` names, or the first of the search path, or where Go installs programs.
    /// `variable` reads the environment.
    ///
    /// # Errors
    /// [`Missing`], with the cure.
    pub fn find(given: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, Missing> {
        let named = given.map(Path::to_owned).or_else(|| variable("STATESET_COMETBFT").map(PathBuf::from));
        match named {
            Some(place) => Self::at(place),
            None => {
                let path = variable("PATH").unwrap_or_default();
                let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
                folders.extend(variable("GOBIN").map(PathBuf::from));
                folders.extend(variable("GOPATH").map(|place| PathBuf::from(place).join("bin")));
                folders.extend(variable("HOME").map(|place| PathBuf::from(place).join("go/bin")));
                let found =
                    folders.into_iter().map(|folder| folder.join("cometbft")).find(|file| file.is_file());
                Self::at(found.ok_or(Missing::Nowhere)?)
            }
        }
    }

    fn at(place: PathBuf) -> Result<Self, Missing> {
        match version(&place) {
            Ok(version) if version.trim_start_matches('v').starts_with(LINE) => Ok(Self { place, version }),
            Ok(version) => Err(Missing::OtherVersion { place, version }),
            Err(problem) => Err(Missing::Broken { place, problem: problem.to_string() }),
        }
    }
}

fn version(place: &Path) -> io::Result<String> {
    let output = Command::new(place).arg("version").output()?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && !said.is_empty() {
        Ok(said)
    } else {
        Err(io::Error::other(format!("`cometbft version` ended with {}", output.status)))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn fake(folder: &Path, says: &str) -> PathBuf {
        let place = folder.join("cometbft");
        std::fs::write(&place, format!("#!/bin/sh\necho {says}\n")).unwrap();
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755)).unwrap();
        place
    }

    #[test]
    fn the_cure_is_named_when_it_is_missing_or_of_another_line() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = Program::find(None, |_| None).unwrap_err().to_string();
        assert!(nowhere.contains("go install") && nowhere.contains("@v0.38."), "{nowhere}");
        let broken = Program::find(Some(&folder.path().join("none")), |_| None).unwrap_err();
        assert!(matches!(broken, Missing::Broken { .. }), "{broken}");
        let place = fake(folder.path(), "1.0.1");
        let other = Program::find(Some(&place), |_| None).unwrap_err().to_string();
        assert!(other.contains("1.0.1") && other.contains("go install"), "{other}");
    }

    #[test]
    fn it_is_found_on_the_search_path_and_where_go_installs() {
        let folder = tempfile::tempdir().unwrap();
        let place = fake(folder.path(), "0.38.26");
        for variable in ["PATH", "GOBIN"] {
            let found = Program::find(None, |name| (name == variable).then(|| folder.path().into())).unwrap();
            assert_eq!((found.place, found.version.as_str()), (place.clone(), "0.38.26"));
        }
    }
}
