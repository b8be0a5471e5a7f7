//! A destination that is whole or untouched.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::{Dest, OutputError};

/// Runs `write` on a file beside the destination and puts it in place if it
/// succeeds; standard output is written as it comes.
pub(super) fn write_to(
    dest: &Dest,
    write: impl FnOnce(&mut dyn Write) -> Result<(), OutputError>,
) -> Result<(), OutputError> {
    match dest {
        Dest::Path(path) => write_file(path, write),
        Dest::Stdout => {
            let mut out = BufWriter::with_capacity(1 << 18, io::stdout().lock());
            write(&mut out)?;
            out.flush().map_err(OutputError::io("writing", "standard output"))
        }
    }
}

/// Writes a file beside `path`, durably, and renames it over it.
pub(super) fn write_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), OutputError>,
) -> Result<(), OutputError> {
    use std::os::unix::fs::PermissionsExt as _;
    let io = || OutputError::io("writing", path.display());
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or_else(|| Path::new("."));
    // Not the private mode of temporary files: the umask decides.
    let temp = tempfile::Builder::new()
        .prefix(".phoenix-")
        .permissions(std::fs::Permissions::from_mode(0o666))
        .tempfile_in(parent)
        .map_err(io())?;
    let mut out = BufWriter::with_capacity(1 << 18, temp);
    write(&mut out)?;
    let temp = out.into_inner().map_err(io::IntoInnerError::into_error).map_err(io())?;
    temp.as_file().sync_all().map_err(io())?;
    temp.persist(path).map_err(|error| io()(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_what_was_there_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("x");
        write_file(&path, |out| {
            out.write_all(b"old").expect("written");
            Ok(())
        })
        .expect("good");
        let failed = write_file(&path, |out| {
            out.write_all(b"half").expect("written");
            Err(OutputError::DirectoryToStream)
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).expect("there"), b"old");
        assert_eq!(std::fs::read_dir(dir.path()).expect("there").count(), 1);
    }
}
