//! Files of the command line: `-` is stdin or stdout, and what is replaced is replaced whole.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::error::CliError;
use crate::output::Output;

/// Input larger than this is not read into memory.
const INPUT_BYTES_MAX: u64 = 1 << 30;

/// The text of a file, or of stdin for `-`.
pub fn read_text(path: &Path) -> Result<String, CliError> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| CliError::io("read", path, &error))?;
    if bytes.len() as u64 > INPUT_BYTES_MAX {
        return Err(CliError::input(
            "TOO_LARGE",
            format!("{} is larger than {INPUT_BYTES_MAX} bytes", path.display()),
        ));
    }
    String::from_utf8(bytes)
        .map_err(|_| CliError::input("NOT_UTF8", format!("{} is not UTF-8 text", path.display())))
}

/// Writes a result to a file, or to stdout for `-` and for none.
pub fn write_text(out: &Output, path: Option<&Path>, text: &str) -> Result<(), CliError> {
    match path {
        Some(path) if path != Path::new("-") => {
            fs::write(path, text).map_err(|error| CliError::io("write", path, &error))
        }
        _ => {
            out.raw(text);
            Ok(())
        }
    }
}

pub fn make_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Replaces a file so that a crash leaves the old or the new one; readable by its owner only.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    draft(path, bytes)?.persist(path)?;
    sync_folder(path)
}

/// Writes a file that is not there yet, whole and readable by its owner only; one that is there stays as it is.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    draft(path, bytes)?.persist_noclobber(path)?;
    sync_folder(path)
}

/// What is to become `path`, in a new file beside it. Its name is random and the file is made, never opened: a guessed
/// name would destroy what stands there, and lend its mode to a secret.
fn draft(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".").suffix(".draft");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600));
    let mut draft = builder.tempfile_in(folder_of(path))?;
    draft.write_all(bytes)?;
    draft.as_file().sync_all()?;
    Ok(draft)
}

/// A bare name has the empty path as its parent, which nobody can open.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// Whether two names are of one file, which need not be there; its folder must.
pub fn is_same(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| Some((folder_of(path).canonicalize().ok()?, path.file_name()?.to_owned()));
    one == other || place(one).is_some_and(|one| Some(one) == place(other))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder_of(path))?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_replaced_file_destroys_no_neighbour_and_takes_no_mode_from_one() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (path, neighbour) = (folder.path().join("opening.json"), folder.path().join("opening.draft"));
        fs::write(&neighbour, "mine").unwrap();
        fs::set_permissions(&neighbour, fs::Permissions::from_mode(0o644)).unwrap();
        for text in ["old", "new"] {
            replace(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_to_string(&neighbour).unwrap(), "mine");

        // A failure leaves no draft behind.
        fs::create_dir(folder.path().join("taken")).unwrap();
        assert!(replace(&folder.path().join("taken"), b"new").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }
}
