//! A tar in any order as a sorted layer: its content goes through one file.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::sort::{Sorter, Spooled};
use super::{MAX_INFLATED, RootfsError};
use crate::layer::{self, Change, Compression, Kind, LayerDesc, LayerError, LayerWriter};
use crate::source::inflate::Packing;
use crate::store::Store;

/// Makes the layer of a tar.
pub(super) fn layer(
    store: &Store,
    path: &Path,
    file: File,
    compression: Compression,
) -> Result<LayerDesc, RootfsError> {
    let io = |source| RootfsError::Io { path: path.to_owned(), source };
    let packing = Packing::of(&file).map_err(io)?;
    let tar = packing.reader(file).map_err(io)?;
    layer_of(store, path, Box::new(store.cancel().guard(tar)), compression)
}

/// Makes the layer of a tar that streams by.
pub(super) fn layer_of(
    store: &Store,
    path: &Path,
    tar: Box<dyn Read + Send>,
    compression: Compression,
) -> Result<LayerDesc, RootfsError> {
    let io = |source| RootfsError::Io { path: path.to_owned(), source };
    let bad = |source| RootfsError::Layer { path: path.to_owned(), source };
    let work = store.work_dir()?;
    let spool = File::options()
        .create_new(true)
        .read(true)
        .write(true)
        .open(work.path().join("content"))
        .map_err(io)?;
    let mut tar = tar.take(MAX_INFLATED);
    let entries = read(&mut tar, &spool).map_err(bad)?;
    write(store, &entries, &spool, compression).map_err(bad)
}

fn read(tar: &mut dyn Read, spool: &File) -> Result<Vec<Spooled>, LayerError> {
    let mut sorter = Sorter::default();
    let mut end = 0;
    layer::read_tar(tar, &mut |entry, content| {
        let offset = end;
        if matches!(entry.change, Change::Present { kind: Kind::File { .. }, .. }) {
            end += copy_sparsely(content, spool, offset)
                .map_err(|source| LayerError::Io { action: "spooling content", source })?;
        }
        sorter.add(entry, offset);
        Ok(())
    })?;
    sorter.finish()
}

/// Copies all of `from` to `offset`; blocks of zeros become holes.
fn copy_sparsely(from: &mut dyn Read, mut to: &File, offset: u64) -> io::Result<u64> {
    let mut buf = vec![0; 1 << 16];
    let mut length = 0;
    to.seek(SeekFrom::Start(offset))?;
    loop {
        let read = match from.read(&mut buf) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        match buf[..read].iter().all(|b| *b == 0) {
            true => drop(to.seek(SeekFrom::Current(i64::try_from(read).expect("small")))?),
            false => to.write_all(&buf[..read])?,
        }
        length += read as u64;
    }
    if to.metadata()?.len() < offset + length {
        to.set_len(offset + length)?;
    }
    Ok(length)
}

fn write(
    store: &Store,
    entries: &[Spooled],
    spool: &File,
    compression: Compression,
) -> Result<LayerDesc, LayerError> {
    let mut writer = LayerWriter::new(store, compression)?;
    for Spooled { entry, offset } in entries {
        match &entry.change {
            Change::Present { kind: Kind::File { size, .. }, .. } => {
                let mut content = Slice { file: spool, at: *offset, left: *size };
                writer.append(entry, Some(&mut content))?;
            }
            _ => writer.append(entry, None)?,
        }
    }
    writer.finish()
}

/// A part of a file as a stream.
struct Slice<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Slice<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let length = buf.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut buf[..length], self.at)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_comes_out_of_the_spool_as_it_went_in() {
        let spool = tempfile::tempfile().expect("a temporary file");
        let parts = [vec![1; 100_000], vec![0; 300_000], b"x".to_vec(), Vec::new(), vec![0; 9]];
        let mut at = 0;
        for part in &parts {
            at += copy_sparsely(&mut &part[..], &spool, at).expect("good");
        }
        let mut at = 0;
        for part in &parts {
            let left = part.len() as u64;
            let mut back = Vec::new();
            Slice { file: &spool, at, left }.read_to_end(&mut back).expect("good");
            assert!(back == *part);
            at += left;
        }
    }
}
