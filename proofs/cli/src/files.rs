//! Files of the command line, read with a bound and written whole or not at all.

use std::io::{Read as _, Write as _};
use std::path::Path;

use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::output;

/// Reads at most `bytes_max` bytes of text; `-` is stdin. Wiped when dropped: it may be an amount or an opening.
pub fn read(path: &Path, bytes_max: usize) -> Result<Zeroizing<String>, Failure> {
    let failed =
        |error: std::io::Error| Failure::input("IO", format!("cannot read {}: {error}", path.display()));
    let mut text = Zeroizing::new(String::new());
    let limit = bytes_max as u64 + 1;
    if path.as_os_str() == "-" {
        std::io::stdin().lock().take(limit).read_to_string(&mut text).map_err(failed)?;
    } else {
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(limit).read_to_string(&mut text).map_err(failed)?;
    }
    match text.len() > bytes_max {
        true => {
            Err(Failure::input("TOO_LARGE", format!("{} has more than {bytes_max} bytes", path.display())))
        }
        false => Ok(text),
    }
}

/// Writes `text` under its name only when all of it is written; `-` is stdout. A link is followed; a device or a pipe takes
/// the text as it is.
pub fn write(path: &Path, text: &str) -> Result<(), Failure> {
    if path.as_os_str() == "-" {
        output::stdout(text);
        return Ok(());
    }
    let failed = |error: std::io::Error| cannot_write(path, &error);
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if std::fs::metadata(&target).is_ok_and(|found| !found.is_file()) {
        let mut file = std::fs::OpenOptions::new().write(true).open(&target).map_err(failed)?;
        return file.write_all(text.as_bytes()).map_err(failed);
    }
    beside(&target, text).map_err(failed)?.persist(&target).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Asked before any work: a secret that is replaced is lost, and what was proved with it cannot be proved again.
pub fn check_new(path: &Path) -> Result<(), Failure> {
    if path.as_os_str() == "-" {
        let message =
            "--keep-opening takes a file and not -: what it keeps is secret, and stdout is for the result";
        return Err(Failure::input("USAGE", message).hint("name a file that is not there yet"));
    }
    match path.symlink_metadata() {
        Ok(_) => Err(Failure::input("EXISTS", format!("{} exists and is not replaced", path.display()))
            .hint("name another file; --opening takes one that was kept")),
        Err(_) => Ok(()),
    }
}

/// Asked before any work: the proof would be written over the opening that it was made with.
pub fn check_apart(kept: &Path, output: &Path) -> Result<(), Failure> {
    // Neither needs to be there, but its folder does.
    let place = |path: &Path| Some((folder_of(path).canonicalize().ok()?, path.file_name()?.to_owned()));
    if kept == output || place(kept).is_some_and(|kept| Some(kept) == place(output)) {
        let message = format!("--keep-opening and --output both name {}", output.display());
        return Err(Failure::input("USAGE", message)
            .hint("the proof is to be passed on and the opening is secret: name two files"));
    }
    Ok(())
}

/// Writes a secret for its owner alone, and never over another file.
pub fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| cannot_write(path, &error);
    beside(path, text).map_err(failed)?.persist_noclobber(path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed("IO", format!("cannot write {}: {error}", path.display()))
}

/// In the same folder, so that the last step is a rename.
fn beside(path: &Path, text: &str) -> std::io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::NamedTempFile::new_in(folder_of(path))?;
    file.write_all(text.as_bytes())?;
    Ok(file)
}

/// A bare name has the empty path as its parent, which nobody can open.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
