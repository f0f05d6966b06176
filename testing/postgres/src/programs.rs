//! The server's programs, and who may run them.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where distributions keep the programs of each version: `BASE/VERSION/bin`.
const BASES: [&str; 2] = ["/usr/lib/postgresql", "/opt/postgresql"];

/// Full path of one of the server's programs, of the newest version that is installed.
pub fn program(name: &str) -> PathBuf {
    let mut folders: Vec<(u32, PathBuf)> = Vec::new();
    for base in BASES {
        for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
            let version = entry.file_name().to_str().and_then(|name| name.parse().ok()).unwrap_or(0);
            folders.push((version, entry.path().join("bin")));
        }
    }
    folders.sort();
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    let places = folders.into_iter().rev().map(|(_, folder)| folder).chain(std::env::split_paths(&in_path));
    places.map(|folder| folder.join(name)).find(|path| path.is_file()).unwrap_or_else(|| {
        panic!("{name} is not under /usr/lib/postgresql/*/bin nor in PATH: install the package `postgresql`")
    })
}

/// The user and group that the server runs as: it refuses to run as root.
pub fn server_user() -> Option<(u32, u32)> {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    is_root.then(|| (id("-u"), id("-g")))
}

fn id(of: &str) -> u32 {
    let output = Command::new("id").args([of, "postgres"]).output().expect("`id` runs");
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().unwrap_or_else(|_| panic!("no user `postgres`: install the package `postgresql`"))
}

/// A command run as the server's user, with messages in English.
pub fn command(name: &str) -> Command {
    let mut command = match server_user() {
        Some((user, group)) => {
            let mut command = Command::new("setpriv");
            command
                .args([format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".to_owned()])
                .arg("--")
                .arg(program(name));
            command
        }
        None => Command::new(program(name)),
    };
    // The folder a test runs in may be closed to that user.
    command.current_dir("/").env("LC_ALL", "C").env_remove("PGDATA").stdin(Stdio::null());
    command
}

/// Runs to the end; panics with the output of a command that fails.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Gives a file or folder to the server's user.
pub fn hand_over(path: &Path) {
    if let Some((user, group)) = server_user() {
        std::os::unix::fs::chown(path, Some(user), Some(group))
            .unwrap_or_else(|error| panic!("giving {} to the server: {error}", path.display()));
    }
}
