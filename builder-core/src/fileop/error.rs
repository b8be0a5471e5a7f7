//! Why files could not be changed.

use crate::layer::{LayerError, PathError};
use crate::pattern::PatternError;
use crate::view::TreeError;
use crate::view::passwd::PasswdError;

/// Errors of file operations.
#[derive(Debug, thiserror::Error)]
pub enum FileOpError {
    /// The target or what is copied from could not be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The layer could not be written.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// A file of the context is not what it was when the key was computed.
    #[error("{path} changed during the build")]
    Changed {
        /// Which, below the context's root.
        path: String,
    },
    /// The owner is not known in the image.
    #[error("owner `{owner}`: {source}")]
    Owner {
        /// As it was written.
        owner: String,
        /// Why not.
        source: PasswdError,
    },
    /// A source or a path to remove names nothing.
    #[error("`{pattern}` matches nothing{}", did_you_mean(.near))]
    NoMatch {
        /// As it was written.
        pattern: String,
        /// Names that are there and look alike.
        near: Vec<String>,
    },
    /// A source is a symbolic link that leads nowhere.
    #[error("`{pattern}` names {link}, a symbolic link to {target}, which is not found")]
    Dangling {
        /// As it was written.
        pattern: String,
        /// The link, below the root of what is copied from.
        link: String,
        /// Where it leads there.
        target: String,
    },
    /// A source is there and left out as a whole.
    #[error("`exclude` leaves out all that `{pattern}` names")]
    Excluded {
        /// As it was written.
        pattern: String,
    },
    /// A source climbs above the root of what is copied from.
    #[error("`{path}` leads out of what is copied from")]
    Escapes {
        /// As it was written.
        path: String,
    },
    /// A path is malformed.
    #[error("path `{path}`: {source}")]
    Path {
        /// As it was written.
        path: String,
        /// What is wrong.
        source: PathError,
    },
    /// A glob is malformed.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// Something on the way is not a directory.
    #[error("{path} stands below {parent}, which is not a directory")]
    Parent {
        /// What would be made.
        path: String,
        /// What is in its way.
        parent: String,
    },
    /// There is a directory where something else would be made.
    #[error("{path} is a directory: it cannot be replaced by a {wanted}")]
    IsDirectory {
        /// Where.
        path: String,
        /// `file`, `symbolic link`.
        wanted: &'static str,
    },
    /// There is something else where a directory would be made.
    #[error("{path} is not a directory: it cannot be replaced by one")]
    NotADirectory {
        /// Where.
        path: String,
    },
    /// A path names a directory by its form (`x/`), or the root.
    #[error("`{path}` does not name a {wanted}")]
    Name {
        /// As it was written.
        path: String,
        /// `file`, `symbolic link`, `file or directory below the root`.
        wanted: &'static str,
    },
    /// What a symbolic link would say is no path.
    #[error("`{target}` cannot be the target of a symbolic link")]
    LinkTarget {
        /// As it was written.
        target: String,
    },
    /// A file that begins as an archive cannot be unpacked.
    #[error("unpacking {path}: {source}")]
    Archive {
        /// Which.
        path: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync + 'static>,
    },
    /// A copy was given nothing to copy from: a defect of the caller.
    #[error("there is nothing to copy from")]
    NoSource,
}

impl FileOpError {
    /// The file of a context that changed during the build, if that is why.
    #[must_use]
    pub fn changed(&self) -> Option<String> {
        match self {
            Self::Changed { path } | Self::Tree(TreeError::Changed { path }) => Some(path.clone()),
            _ => None,
        }
    }
}

fn did_you_mean(near: &[String]) -> String {
    match near {
        [] => String::new(),
        near => format!("; there is {}", near.join(", ")),
    }
}
