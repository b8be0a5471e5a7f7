//! Views: what a stack of layers looks like, merged lazily.
//!
//! Everything that reads files of images reads a [`Tree`], by path; nothing is
//! unpacked. [`View`] is the tree of a stack of layers.

pub mod digest;
pub mod lookup;
#[doc(hidden)]
pub mod memory;
mod merge;
pub mod observe;
pub mod passwd;
pub mod walk;

use std::io;
use std::sync::Arc;

pub use merge::View;

use crate::digest::ContentDigest;
use crate::layer::{Kind, LayerError, LayerPath, Meta, Mtime};

/// Errors of trees.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A layer of the stack could not be read.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// A file of the host could not be read.
    #[error("reading {path}: {source}")]
    Io {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file of the context is not what it was when the build looked first.
    #[error("{path} changed during the build")]
    Changed {
        /// Which.
        path: String,
    },
    /// A character device 0:0 cannot be shown to a step.
    #[error("{path} is a character device 0:0, which overlayfs would take for a deletion")]
    Whiteout {
        /// Which.
        path: String,
    },
    /// The path is absent, or of the wrong type for what was asked.
    #[error("{path} is not a {expected}")]
    Type {
        /// Which.
        path: String,
        /// `file`, `directory`, `symbolic link`.
        expected: &'static str,
    },
}

/// What a tree says of one path. Content is asked for on its own, so that
/// looking at a file does not read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Owner, mode, time, attributes.
    pub meta: Meta,
    /// What it is.
    pub kind: NodeKind,
    /// For a file of several names: the first of those that are in this tree, and how many are.
    pub links: Option<Links>,
}

/// The other names of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Links {
    /// The first name in the order of paths: the identity of the group.
    pub first: LayerPath,
    /// How many names the tree has of it: at least 2.
    pub count: u32,
}

/// The type of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    /// A regular file.
    File {
        /// Length in bytes.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Its target as written.
        target: Vec<u8>,
    },
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// Random access to a file's bytes. Content never changes while it is open.
pub trait ReadAt: Send + Sync {
    /// Reads at `offset`; short only at the end of the file.
    ///
    /// # Errors
    /// If the bytes cannot be read or are not what they should be.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
}

/// A file tree that can be asked, by path. No method follows symbolic links:
/// where an ancestor of the path is not a directory, the path is absent.
pub trait Tree: Send + Sync {
    /// What is at `path`; `None` if nothing is. The root always is.
    ///
    /// # Errors
    /// [`TreeError`].
    fn node(&self, path: &LayerPath) -> Result<Option<Node>, TreeError>;
    /// The names in a directory, sorted by bytes, each with its node.
    ///
    /// # Errors
    /// [`TreeError`].
    fn list(&self, path: &LayerPath) -> Result<Vec<(Vec<u8>, Node)>, TreeError>;
    /// The digest of a regular file's content.
    ///
    /// # Errors
    /// [`TreeError`].
    fn content(&self, path: &LayerPath) -> Result<ContentDigest, TreeError>;
    /// As `content`, where it is known without reading the file.
    fn at_hand(&self, path: &LayerPath) -> Option<ContentDigest> {
        self.content(path).ok()
    }
    /// Opens a regular file.
    ///
    /// # Errors
    /// [`TreeError`].
    fn open(&self, path: &LayerPath) -> Result<Arc<dyn ReadAt>, TreeError>;
    /// A regular file's bytes from first to last. Fails at the end where they
    /// are not those that `content` told.
    ///
    /// # Errors
    /// Those of `open`.
    fn stream(&self, path: &LayerPath) -> Result<Box<dyn io::Read + Send>, TreeError> {
        Ok(Box::new(FromStart { file: self.open(path)?, offset: 0 }))
    }
    /// Whether any node may have extended attributes. Where none has, nobody
    /// need ask.
    fn has_xattrs(&self) -> bool {
        true
    }
    /// The time that the host's file has, where the tree shows another one;
    /// `None` where the tree's own is all there is.
    ///
    /// # Errors
    /// Where the host's file cannot be looked at.
    fn host_mtime(&self, _path: &LayerPath) -> Result<Option<Mtime>, TreeError> {
        Ok(None)
    }
    /// The host's file that a regular file is, where that has several names and
    /// the tree does not know all of them (`links`); `None` elsewhere.
    ///
    /// # Errors
    /// Where the host's file cannot be looked at.
    fn host_file(&self, _path: &LayerPath) -> Result<Option<HostFile>, TreeError> {
        Ok(None)
    }
}

/// A file of the host as it was seen once: equal for two names only where both
/// were names of it, and nothing changed it between. Not to be kept: another
/// build, and another machine, know the same file by another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HostFile(pub [u64; 7]);

struct FromStart {
    file: Arc<dyn ReadAt>,
    offset: u64,
}

impl io::Read for FromStart {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(self.offset, buf)?;
        self.offset += read as u64;
        Ok(read)
    }
}

impl NodeKind {
    /// The same as a layer has it; `content` is that of a regular file.
    #[must_use]
    pub fn with_content(self, content: ContentDigest) -> Kind {
        match self {
            Self::File { size } => Kind::File { size, content },
            Self::Directory => Kind::Directory,
            Self::Symlink { target } => Kind::Symlink { target },
            Self::CharDevice { major, minor } => Kind::CharDevice { major, minor },
            Self::BlockDevice { major, minor } => Kind::BlockDevice { major, minor },
            Self::Fifo => Kind::Fifo,
            Self::Socket => Kind::Socket,
        }
    }
}

impl Node {
    /// Whether this is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        matches!(self.kind, NodeKind::Directory)
    }
}

/// Whether overlayfs would take an extended attribute as one of its own, as
/// root or in a user namespace. No layer carries it, no lower shows it.
pub(crate) fn is_overlays(name: &[u8]) -> bool {
    [&b"trusted.overlay."[..], b"user.overlay."].iter().any(|prefix| name.starts_with(prefix))
}
