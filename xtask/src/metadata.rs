//! What `cargo metadata` and git say about the workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::{Step, capture};

/// How one package uses another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// In what it builds, or in its build script.
    Code,
    /// In its tests, examples and benchmarks alone.
    Tests,
}

/// A package of this workspace.
#[derive(Debug, Clone)]
pub struct Member {
    pub name: String,
    /// Its folder below the root, with `/`: `protocol/ves`.
    pub folder: String,
    /// Folders of the workspace packages it names.
    pub uses: Vec<(String, Use)>,
}

/// A package from elsewhere.
#[derive(Debug, Clone)]
pub struct External {
    pub name: String,
    pub version: String,
    /// SPDX expression, if it states one.
    pub licence: Option<String>,
}

pub struct Workspace {
    pub members: Vec<Member>,
    pub externals: Vec<External>,
}

/// Manifest of the workspace that the product is made of.
pub const PRODUCT: &str = "Cargo.toml";

/// Reads the whole dependency graph of a workspace; `--locked`, so a lock file that lags behind is an error.
pub fn workspace(manifest: &str) -> Result<Workspace, String> {
    let metadata = ["metadata", "--format-version", "1", "--locked", "--all-features", "--manifest-path"];
    let text = capture(&Step::cargo(metadata).arg(manifest))?;
    let json: Value = serde_json::from_str(&text).map_err(|problem| format!("cargo metadata: {problem}"))?;
    let root = PathBuf::from(json["workspace_root"].as_str().unwrap_or_default());
    let members: Vec<&str> =
        json["workspace_members"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let packages = json["packages"].as_array().ok_or("cargo metadata names no packages")?;
    let (own, foreign): (Vec<_>, Vec<_>) =
        packages.iter().partition(|package| package["id"].as_str().is_some_and(|id| members.contains(&id)));
    let folders: BTreeMap<String, String> =
        own.iter().map(|package| (text_of(package, "name"), folder(package, &root))).collect();
    let built = built(manifest)?;
    let externals = foreign.iter().map(|package| external(package));
    Ok(Workspace {
        members: own.iter().map(|package| member(package, &root, &folders)).collect(),
        externals: externals
            .filter(|package| built.contains(&format!("{} v{}", package.name, package.version)))
            .collect(),
    })
}

/// Every package that some build takes in, as `NAME vVERSION`. The graph of `cargo metadata` has more: what a package
/// would only use under a feature that nothing turns on, where another feature names it weakly (`name?/feature`).
fn built(manifest: &str) -> Result<BTreeSet<String>, String> {
    let tree = ["tree", "--workspace", "--all-features", "--target", "all", "--edges", "normal,build,dev"];
    let more = ["--locked", "--prefix", "none", "--manifest-path", manifest];
    let text = capture(&Step::cargo(tree.into_iter().chain(more)))?;
    let name_and_version = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    Ok(text.lines().map(name_and_version).collect())
}

fn member(package: &Value, root: &Path, folders: &BTreeMap<String, String>) -> Member {
    let dependencies = package["dependencies"].as_array().into_iter().flatten();
    let uses = dependencies.filter(|dependency| dependency["path"].is_string()).filter_map(|dependency| {
        let folder = folders.get(dependency["name"].as_str()?)?;
        let how = if dependency["kind"].as_str() == Some("dev") { Use::Tests } else { Use::Code };
        Some((folder.clone(), how))
    });
    Member { name: text_of(package, "name"), folder: folder(package, root), uses: uses.collect() }
}

fn external(package: &Value) -> External {
    External {
        name: text_of(package, "name"),
        version: text_of(package, "version"),
        licence: package["license"].as_str().map(str::to_owned),
    }
}

fn text_of(package: &Value, member: &str) -> String {
    package[member].as_str().unwrap_or_default().to_owned()
}

fn folder(package: &Value, root: &Path) -> String {
    let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap_or_default());
    let folder = manifest.parent().unwrap_or(&manifest);
    folder.strip_prefix(root).unwrap_or(folder).to_string_lossy().replace('\\', "/")
}

/// Files that are in the repository or would be added to it, relative to the root.
pub fn tracked_files() -> Result<Vec<String>, String> {
    // A checkout that belongs to another user, as in a container, is read all the same.
    let git = ["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let list = capture(&Step::new("git", git))?;
    let mut files: Vec<String> =
        list.split('\0').filter(|file| !file.is_empty()).map(str::to_owned).collect();
    files.retain(|file| Path::new(file).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}
