//! Why measuring ended.

use std::io;
use std::path::{Path, PathBuf};

/// Why measuring ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// This host cannot.
    #[error("needs {0}")]
    Needs(&'static str),
    /// There is no workload of that name.
    #[error("there is no workload `{name}`; there are: {known}")]
    Unknown { name: String, known: String },
    /// A file could not be used.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// A program did not start.
    #[error("{program} does not start: {source}")]
    Start { program: String, source: io::Error },
    /// A program failed.
    #[error("{command} failed ({how}):\n{output}")]
    Failed { command: String, how: String, output: String },
    /// The measured step did not tell how long it took.
    #[error("the step of {peer} did not tell its time:\n{output}")]
    NoTime { peer: &'static str, output: String },
    /// A signal came.
    #[error("interrupted")]
    Interrupted,
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Names the file in an error.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::File { path, source }
}
