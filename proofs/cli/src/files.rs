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

/// Writes `text` under its name only when all of it is written; `-` is stdout.
pub fn write(path: &Path, text: &str) -> Result<(), Failure> {
    if path.as_os_str() == "-" {
        output::stdout(text);
        return Ok(());
    }
    let failed =
        |error: std::io::Error| Failure::failed("IO", format!("cannot write {}: {error}", path.display()));
    // In the same folder, so that the last step is a rename.
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
