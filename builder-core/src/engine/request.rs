//! What is asked of an engine, and what it answers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::digest::BlobDigest;
use crate::layer::Compression;
use crate::output::Dest;
use crate::plan::Plan;
use crate::solve::{Agent, LockMode, NoCache, StepReport};
use crate::source::debian::LockFile;

/// The kinds of outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputKind {
    /// An OCI layout as a tar archive.
    Oci,
    /// An OCI layout as a directory.
    OciDir,
    /// What `docker load` reads.
    Docker,
    /// The merged root file system as one tar.
    Tar,
    /// The merged root file system as a directory.
    Local,
}

/// An output and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputSpec {
    /// What.
    pub kind: OutputKind,
    /// Where.
    pub dest: Dest,
    /// With what a rebase elsewhere needs, which tells paths and commands: for
    /// OCI layouts.
    pub records: bool,
}

/// A build to be done.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// What to build.
    pub plan: Plan,
    /// Identity of the recipe, so that a build is compared with earlier builds
    /// of the same one: its canonical path, say.
    pub recipe: String,
    /// The stage that becomes the image; the last one where absent.
    pub stage: Option<String>,
    /// Names for the image; `:latest` is added where there is no tag.
    pub tags: Vec<String>,
    /// Where to bring it.
    pub outputs: Vec<OutputSpec>,
    /// Bring it into the container engine of the settings, too.
    pub load: bool,
    /// Which reuse is forbidden.
    pub no_cache: NoCache,
    /// Run tests that have passed before.
    pub retest: bool,
    /// Make again what stands, and compare.
    pub paranoid: bool,
    /// Try steps before those above them have ended, where an earlier build says
    /// that they look at nothing of what those write.
    pub run_ahead: bool,
    /// Build again in a second, empty store and compare.
    pub check_reproducible: bool,
    /// Compression of the layers that are made.
    pub compression: Compression,
    /// Values of secrets by id.
    pub secrets: BTreeMap<String, Vec<u8>>,
    /// Agents for ssh mounts by id.
    pub ssh: BTreeMap<String, Agent>,
    /// Whether steps may be insecure that ask for it.
    pub allow_insecure: bool,
    /// The config's `created`, in seconds since the Unix epoch
    /// (`SOURCE_DATE_EPOCH`); a constant where absent.
    pub created: Option<i64>,
    /// Annotations of the index's descriptor: what may change without the
    /// image changing (revision, build time).
    pub annotations: BTreeMap<String, String>,
    /// What is pinned.
    pub lock: LockFile,
    /// How the lock is used.
    pub lock_mode: LockMode,
    /// Names, among `tags` or beside them, under which the image also goes to
    /// registries, once all else is well.
    pub push: Vec<String>,
    /// Ask registries which images names mean, whatever the store and the lock
    /// have.
    pub pull: bool,
}

impl BuildRequest {
    /// A build of the last stage of `plan`, everything else by default.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            recipe: String::new(),
            stage: None,
            tags: Vec::new(),
            outputs: Vec::new(),
            load: false,
            no_cache: NoCache::Never,
            retest: false,
            paranoid: false,
            run_ahead: true,
            check_reproducible: false,
            compression: Compression::Gzip,
            secrets: BTreeMap::new(),
            ssh: BTreeMap::new(),
            allow_insecure: false,
            created: None,
            annotations: BTreeMap::new(),
            lock: LockFile::default(),
            lock_mode: LockMode::Use,
            push: Vec::new(),
            pull: false,
        }
    }
}

/// A finished build.
#[derive(Debug, Clone)]
pub struct BuildResult {
    /// Digest of the manifest.
    pub digest: BlobDigest,
    /// Digest of the config.
    pub config_digest: BlobDigest,
    /// Manifest, config and layers together, in bytes.
    pub size: u64,
    /// The names that were given, with their tags.
    pub tags: Vec<String>,
    /// The steps, in plan order.
    pub steps: Vec<StepReport>,
    /// The lock as it is now, if the build added to it.
    pub new_lock: Option<LockFile>,
}

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImagePlace {
    /// In the store: its manifest's digest.
    Store(BlobDigest),
    /// An OCI layout, as a directory or an archive; as a new base also a
    /// docker-archive or a root file system.
    Path {
        /// Absolute.
        path: PathBuf,
        /// Its name or digest, where there is more than one image.
        tag: Option<String>,
    },
}

/// An image's steps to be taken to another base.
#[derive(Debug, Clone)]
pub struct RebaseRequest {
    /// The image.
    pub image: ImagePlace,
    /// The new base.
    pub onto: ImagePlace,
    /// What the new base is called, for annotations.
    pub onto_name: String,
    /// Names for what it becomes; `:latest` is added where there is no tag.
    pub tags: Vec<String>,
    /// Where to bring it.
    pub outputs: Vec<OutputSpec>,
    /// Bring it into the container engine of the settings, too.
    pub load: bool,
    /// As [`BuildRequest::push`].
    pub push: Vec<String>,
    /// Values of secrets by id, for steps that run.
    pub secrets: BTreeMap<String, Vec<u8>>,
    /// As [`BuildRequest::annotations`].
    pub annotations: BTreeMap<String, String>,
}

/// What a build would do.
#[derive(Debug, Clone)]
pub struct PlanReport {
    /// The steps, in plan order; `Ran` means that it would run.
    pub steps: Vec<StepReport>,
}
