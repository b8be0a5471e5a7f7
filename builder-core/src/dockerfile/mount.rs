//! `RUN --mount`: comma-separated fields, read once their variables are known.
//!
//! In: a flag's value and what expands its values. Out: a [`Mount`].

use crate::frontend::Diagnostic;
use crate::frontend::SourceFile;

use super::ast::Word;

/// A `--mount` as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountSpec {
    /// The flag's value.
    pub text: Word,
    /// `from=`, which takes no variables, so that it is known before any is.
    pub from: Option<String>,
}

impl MountSpec {
    /// Reads the fields, each value of which goes through `expand` first.
    ///
    /// # Errors
    /// What is wrong with them, or what `expand` says.
    pub fn mount(
        &self,
        source: &SourceFile,
        expand: &mut dyn FnMut(&str) -> Result<String, Diagnostic>,
    ) -> Result<Mount, Diagnostic> {
        let _ = expand;
        Err(source.diagnostic(self.text.span, "mounts are not read yet"))
    }
}

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MountType {
    /// A directory or file of the context, a stage or an image.
    #[default]
    Bind,
    /// A directory that outlives the build.
    Cache,
    /// An empty directory in memory.
    Tmpfs,
    /// A secret's file or variable.
    Secret,
    /// A socket of an ssh agent.
    Ssh,
}

/// Who may use a cache at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Anyone.
    Shared,
    /// Each its own.
    Private,
    /// One after the other.
    Locked,
}

/// A `--mount`, its variables expanded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mount {
    /// What.
    pub kind: MountType,
    /// A stage, context or image.
    pub from: Option<String>,
    /// A path in it; of a secret, its id.
    pub source: Option<String>,
    /// Where it appears.
    pub target: Option<String>,
    /// Whether it cannot be written: as said, else so unless it is a cache or
    /// a tmpfs.
    pub read_only: bool,
    /// Bytes a tmpfs may hold; 0 where not said.
    pub size: u64,
    /// Id of a cache, secret or ssh agent.
    pub id: Option<String>,
    /// Of a cache; `None` where not said.
    pub sharing: Option<Sharing>,
    /// Whether a secret or ssh agent must be there.
    pub required: bool,
    /// The variable that holds the secret; `Some("")` for one of its id.
    pub env: Option<String>,
    /// Mode of a secret, socket or cache.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
}
