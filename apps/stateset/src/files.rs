//! Files of the command line: `-` is stdin or stdout, and what is replaced is replaced whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

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
    let draft = path.with_extension("draft");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    match path.parent() {
        // A bare name has the empty path as its parent, which nobody can open.
        Some(folder) if cfg!(unix) && folder == Path::new("") => File::open(".")?.sync_all(),
        Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}
