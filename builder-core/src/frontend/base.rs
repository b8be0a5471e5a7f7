//! What a frontend must know of the images that a file names: their config.
//!
//! A frontend does no I/O: whoever calls it hands it a [`Resolver`].

use std::path::PathBuf;

use super::Class;
use crate::digest::BlobDigest;

/// An image that a file builds on or takes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Wanted {
    /// By name, in the store or a registry.
    Image {
        /// As the user wrote it.
        reference: String,
        /// `os/arch[/variant]`; the build's where absent.
        platform: Option<String>,
    },
    /// In an OCI layout.
    Layout {
        /// Absolute.
        path: PathBuf,
        /// The tag or reference, where there is more than one image.
        tag: Option<String>,
        /// `os/arch[/variant]`, where an image is there for several; the build's
        /// where absent.
        platform: Option<String>,
    },
}

/// An image, as far as a frontend needs to know it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Base {
    /// Its full name.
    pub name: String,
    /// Its manifest's, where its name was resolved to one.
    pub digest: Option<BlobDigest>,
    /// What it is for, `os/arch[/variant]`.
    pub platform: String,
    /// Variables, in order.
    pub env: Vec<(String, String)>,
    /// Who its processes run as, if it says so.
    pub user: Option<String>,
    /// Where its processes start, if it says so.
    pub workdir: Option<String>,
    /// What a Dockerfile's shell forms run in, if it says so.
    pub shell: Option<Vec<String>>,
    /// Instructions for a Dockerfile that builds on it.
    pub onbuild: Vec<String>,
}

/// Why an image is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unresolved {
    /// What went wrong, with its causes.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Whether the name itself is wrong, or the image cannot be had.
    pub class: Class,
}

/// Knows images.
pub trait Resolver {
    /// The image, whose layers need not be there yet.
    ///
    /// # Errors
    /// [`Unresolved`] where there is none, or it cannot be asked for.
    fn resolve(&mut self, wanted: &Wanted) -> Result<Base, Unresolved>;
}
