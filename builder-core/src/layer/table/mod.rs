//! Tables of contents on disk: their format, how they are made and read.

mod build;
mod format;
mod read;

use std::io::BufWriter;
use std::path::PathBuf;

pub(super) use build::TableBuilder;
pub(super) use format::{Broken, Facts, Frame};
pub(super) use read::Table;

use tempfile::NamedTempFile;

use super::LayerError;
use crate::store::{Store, StoreError};

/// A table that is written but not yet in its place.
pub(super) struct Draft {
    temp: NamedTempFile,
    path: PathBuf,
}

impl Draft {
    /// Writes a table; what cannot be one is refused here, before anything of
    /// its layer is in the store.
    pub(super) fn new(
        store: &Store,
        table: TableBuilder,
        facts: Facts,
        frames: &[Frame],
    ) -> Result<Self, LayerError> {
        let path = store.table_path(&facts.blob);
        let mut temp = store.temp_file()?;
        table.write(BufWriter::new(temp.as_file_mut()), facts, frames)?;
        Ok(Self { temp, path })
    }

    /// Puts it into the store. It is not synced to disk: it is checked whenever
    /// it is read, and made again from the blob where it does not hold.
    pub(super) fn place(self) -> Result<(), LayerError> {
        persist(self.temp, self.path)
    }
}

fn persist(temp: NamedTempFile, path: PathBuf) -> Result<(), LayerError> {
    temp.persist(&path).map_err(|error| StoreError::Io {
        action: "writing",
        path,
        source: error.error,
    })?;
    Ok(())
}
