//! The user's files that the command line reads and writes itself.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::CliError;

/// How files are called that are written before they get their name.
pub(crate) const UNFINISHED: &str = ".phoenix-";

/// Reads a text, of 4 MiB at most.
pub(crate) fn read_text(path: &Path) -> Result<String, CliError> {
    let bytes = read(path, 4 << 20)?;
    String::from_utf8(bytes).map_err(|error| CliError::File {
        action: "reading",
        path: path.to_owned(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidData, error.utf8_error()),
    })
}

/// Reads at most `limit` bytes; a longer file is an error.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, CliError> {
    use std::io::Read;
    let fail = |source| CliError::File { action: "reading", path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(fail)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > limit {
        return Err(fail(std::io::ErrorKind::FileTooLarge.into()));
    }
    Ok(bytes)
}

/// Writes a whole file at once: whoever reads it sees the old or the new one.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let fail = |source| CliError::File { action: "writing", path: path.to_owned(), source };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    // Who watches a directory knows by that what to pass over.
    builder.prefix(UNFINISHED);
    // The file mode of the umask, as if it had been created in place.
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(parent.unwrap_or(Path::new("."))).map_err(fail)?;
    file.write_all(bytes).map_err(fail)?;
    file.persist(path).map(drop).map_err(|error| fail(error.error))
}

/// An absolute path without symbolic links.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, CliError> {
    let fail = |source| CliError::File { action: "opening", path: path.to_owned(), source };
    path.canonicalize().map_err(fail)
}
