//! What is said of an image beside it, in the index: the revision of what it
//! was built from, and when.
//!
//! In: the directory that is built. Out: annotations of the index's descriptor,
//! never of the manifest, so the image is the same without them. git itself is
//! asked for the revision, since its formats and settings are many; and only
//! where a `.git` stands in the directory or above it.
//!
//! Limitations: git may run filters that the repository's own configuration
//! names, as `git status` does.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

/// Annotation keys of the OCI image spec.
const REVISION: &str = "org.opencontainers.image.revision";
const CREATED: &str = "org.opencontainers.image.created";

/// The annotations for a build of `context`; `created` in seconds since the
/// Unix epoch, or now.
pub(crate) fn annotations(context: &Path, created: Option<i64>) -> BTreeMap<String, String> {
    let revision = revision(context).map(|revision| (REVISION.to_owned(), revision));
    time(created).into_iter().chain(revision).collect()
}

/// The annotations for what is made of no directory.
pub(crate) fn time(created: Option<i64>) -> BTreeMap<String, String> {
    let now = jiff::Timestamp::now().as_second();
    let time = jiff::Timestamp::from_second(created.unwrap_or(now));
    time.ok().map(|time| (CREATED.to_owned(), time.to_string())).into_iter().collect()
}

/// The commit that `dir` is of, with `-dirty` where something in `dir` is not
/// as in the commit.
fn revision(dir: &Path) -> Option<String> {
    let dir = dir.canonicalize().ok()?;
    dir.ancestors().find(|above| above.join(".git").exists())?;
    let commit = git(&dir, &["rev-parse", "--verify", "HEAD"])?;
    let changed = git(&dir, &["status", "--porcelain", "--", "."])?;
    Some(if changed.is_empty() { commit } else { format!("{commit}-dirty") })
}

/// What git says, if it succeeds.
fn git(dir: &Path, args: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    // No daemon of the repository's choice, and no lock that another git waits for.
    command.args(["-c", "core.fsmonitor=false", "-C"]).arg(dir).args(args);
    command.env("GIT_OPTIONAL_LOCKS", "0").stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}
