//! Commits of git repositories, through the `git` program.
//!
//! In: a remote, and what of it. Out: the commit that it is now ([`resolve`]),
//! and a layer of that commit's files ([`layer`]): root's, 0644 or 0755, with
//! the constant time, so the same commit is the same layer everywhere.
//!
//! Guards: nothing of the user's configuration, environment, keys or hooks plays a
//! part; nothing asks for a password, and none is an argument or in a layer; a
//! submodule reaches no files of this host; what is untrusted never is an option; a
//! subdirectory is inside; a cancel ends all that git has started.
//!
//! Limitations: where `.git` is kept, how a server packs objects is not ours to
//! choose, so two stores may hold another layer of the same commit.

mod auth;
mod program;
mod running;
mod tree;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use self::auth::anonymous;
use self::program::Program;
use crate::layer::{Compression, LayerDesc, LayerError};
use crate::plan::op::Git;
use crate::source::http::shown_url;
use crate::store::{Store, StoreError};

/// Raised when the same commit may become another layer than before.
pub const VERSION: &str = "1";

/// Why a commit could not be had.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no program.
    #[error("`git` cannot be run: install git")]
    NoProgram(#[source] io::Error),
    /// The program failed.
    #[error("`git {what}` of {remote} failed: {said}")]
    Failed {
        /// `fetch`, `ls-remote`.
        what: String,
        /// As it may be shown.
        remote: String,
        /// What it said at last.
        said: String,
    },
    /// The remote begins as an option would, or has a scheme that is not used.
    #[error("{remote} is not a repository that can be reached: https, http, ssh, git or file")]
    Remote {
        /// As it may be shown.
        remote: String,
    },
    /// The reference is malformed.
    #[error("`{reference}` is not a branch, tag or commit")]
    Reference {
        /// As it was written.
        reference: String,
    },
    /// The remote lacks it.
    #[error("{remote} has no `{reference}`")]
    Unknown {
        /// As it may be shown.
        remote: String,
        /// As it was written.
        reference: String,
    },
    /// It is another commit than it must be.
    #[error("{remote} is at commit {actual} and should be at {expected}")]
    Commit {
        /// As it may be shown.
        remote: String,
        /// As it was written.
        expected: String,
        /// What it is.
        actual: String,
    },
    /// The subdirectory is none.
    #[error("the repository has no directory `{subdir}`")]
    Subdir {
        /// As it was written.
        subdir: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The layer could not be written.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// A file of the checkout failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The work was canceled.
    #[error("canceled")]
    Canceled,
}

/// What a reference is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The commit, or the tag that is one; all digits.
    pub commit: String,
    /// The commit behind an annotated tag.
    pub peeled: Option<String>,
    /// The full name of what it was found as.
    pub name: Option<String>,
}

impl Resolved {
    /// The commit whose files they are.
    #[must_use]
    pub fn files(&self) -> &str {
        self.peeled.as_deref().unwrap_or(&self.commit)
    }
}

/// What the caller knows of this host.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// Variables that say how the network is reached.
    pub proxies: &'a [(String, String)],
    /// The socket of an ssh agent.
    pub agent: Option<&'a Path>,
    /// Of the build; the module's `auth` says which of them count.
    pub secrets: &'a BTreeMap<String, Vec<u8>>,
}

/// The same as what it was resolved to, whatever happens to the remote meanwhile: the
/// reference is the commit, or `NAME@{COMMIT}` where the name is known. No name of git's
/// holds `@{`. Of both the layer is that of the name.
#[must_use]
pub fn pinned(git: &Git, resolved: &Resolved) -> Git {
    let commit = resolved.files();
    let reference = match &resolved.name {
        Some(name) => format!("{name}@{{{commit}}}"),
        None => commit.to_owned(),
    };
    // What it must be, it was found to be: of a tag that may be the tag and not this.
    Git { reference: Some(reference), commit: None, ..git.clone() }
}

/// What [`pinned`] wrote.
fn of_pinned(reference: &str) -> Option<Resolved> {
    let (name, commit) = reference.strip_suffix('}')?.split_once("@{")?;
    let resolved =
        || Resolved { commit: commit.to_owned(), peeled: None, name: Some(name.to_owned()) };
    (name.starts_with("refs/") && is_commit(commit)).then(resolved)
}

/// What `git` names now. Asks the network unless it names a commit.
///
/// # Errors
/// [`GitError`].
pub fn resolve(store: &Store, git: &Git, settings: Settings<'_>) -> Result<Resolved, GitError> {
    let shown = shown_url(&git.remote);
    let reference = git.reference.as_deref().unwrap_or("HEAD");
    check(git)?;
    if is_commit(reference) {
        let resolved = Resolved { commit: reference.to_owned(), peeled: None, name: None };
        return agrees(git, &shown, resolved);
    }
    if let Some(resolved) = of_pinned(reference) {
        return agrees(git, &shown, resolved);
    }
    let program = Program::new(store, git, settings)?;
    let peeled = format!("{reference}^{{}}");
    let listed = program.run(None, "ls-remote", &["--", program.url(), reference, &peeled])?;
    let found = found(&listed, reference).ok_or_else(|| GitError::Unknown {
        remote: shown.clone(),
        reference: reference.to_owned(),
    })?;
    agrees(git, &shown, found)
}

/// The layer of a resolved commit's files.
///
/// # Errors
/// [`GitError`].
pub fn layer(
    store: &Store,
    git: &Git,
    resolved: &Resolved,
    (settings, compression): (Settings<'_>, Compression),
) -> Result<LayerDesc, GitError> {
    check(git)?;
    let program = Program::new(store, git, settings)?;
    let checkout = program.home().join("checkout");
    let work = Some(checkout.as_path());
    std::fs::create_dir(&checkout)
        .map_err(|source| GitError::Io { path: checkout.clone(), source })?;
    let format = if resolved.commit.len() == 64 { "sha256" } else { "sha1" };
    let format = format!("--object-format={format}");
    program.run(work, "init", &["-q", "--template=", "-b", "master", &format])?;
    program.run(work, "remote", &["add", "--", "origin", program.url()])?;
    fetch(&program, git, resolved)?;
    let commit = resolved.files();
    program.run(work, "checkout", &["-q", "--detach", commit])?;
    if git.submodules && checkout.join(".gitmodules").exists() {
        let how = ["update", "-q", "--init", "--recursive", "--depth=1"];
        program.run(work, "submodule", &how)?;
    }
    if git.keep_git_dir {
        // Without the times of this checkout.
        program.run(work, "read-tree", &[commit])?;
    }
    tree::layer(store, &checkout, (&git.subdir, git.keep_git_dir), compression)
}

/// Brings the commit, and as little else as the server allows.
fn fetch(program: &Program<'_>, git: &Git, resolved: &Resolved) -> Result<(), GitError> {
    let checkout = program.home().join("checkout");
    let work = Some(checkout.as_path());
    let commit = &resolved.commit;
    let there = || program.run(work, "cat-file", &["-e", &format!("{commit}^{{commit}}")]).is_ok();
    let name = match &resolved.name {
        // A branch that is checked out by its name stays known by it.
        Some(name) => format!("+{name}:{name}"),
        None => commit.clone(),
    };
    let near = ["-q", "--no-tags", "--depth=1", "-u", "--", program.url(), &name];
    let first = program.run(work, "fetch", &near);
    if first.is_ok() && there() {
        return Ok(());
    }
    // It moved meanwhile, or the server gives no commit by its digits.
    let all = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"];
    let shallow = checkout.join(".git/shallow").exists();
    let mut far = vec!["-q"];
    far.extend(shallow.then_some("--unshallow"));
    far.extend(["--", program.url(), all[0], all[1]]);
    program.run(work, "fetch", &far)?;
    match there() {
        true => Ok(()),
        false => {
            Err(GitError::Unknown { remote: shown_url(&git.remote), reference: commit.clone() })
        }
    }
}

/// Refuses what could be taken for something else than it is.
fn check(git: &Git) -> Result<(), GitError> {
    let bad = |c: char| c.is_control() || c.is_whitespace();
    if git.remote.starts_with('-') || git.remote.is_empty() || git.remote.contains(bad) {
        return Err(GitError::Remote { remote: shown_url(&git.remote) });
    }
    if let Some((scheme, _)) = git.remote.split_once("://")
        && !["https", "http", "ssh", "git", "file"].contains(&scheme)
    {
        return Err(GitError::Remote { remote: shown_url(&git.remote) });
    }
    // `ext::command` and its like run commands.
    if git.remote.split_once("::").is_some_and(|(helper, _)| !helper.contains(['/', '[', '@'])) {
        return Err(GitError::Remote { remote: shown_url(&git.remote) });
    }
    for reference in git.reference.iter().chain(&git.commit) {
        let odd = |c: char| bad(c) || "^~:?*[\\".contains(c);
        if reference.starts_with('-') || reference.is_empty() || reference.contains(odd) {
            return Err(GitError::Reference { reference: reference.clone() });
        }
    }
    Ok(())
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn agrees(git: &Git, shown: &str, resolved: Resolved) -> Result<Resolved, GitError> {
    let Some(expected) = &git.commit else { return Ok(resolved) };
    let lower = expected.to_ascii_lowercase();
    let is_it = |commit: &String| commit.to_ascii_lowercase().starts_with(&lower);
    if is_it(&resolved.commit) || resolved.peeled.as_ref().is_some_and(is_it) {
        return Ok(resolved);
    }
    let (remote, actual) = (shown.to_owned(), resolved.files().to_owned());
    Err(GitError::Commit { remote, expected: expected.clone(), actual })
}

/// What the lines of `ls-remote` say of a reference: a full name, then a branch,
/// then a tag, as BuildKit prefers them.
fn found(listed: &str, reference: &str) -> Option<Resolved> {
    let lines: Vec<(&str, &str)> =
        listed.lines().filter_map(|line| line.split_once('\t')).collect();
    let commit = |name: &str| {
        let line = lines.iter().find(|(_, known)| *known == name);
        line.map(|(commit, _)| (*commit).to_owned()).filter(|commit| is_commit(commit))
    };
    if reference == "HEAD" {
        return Some(Resolved { commit: commit("HEAD")?, peeled: None, name: None });
    }
    let after = |prefix: &str| reference.strip_prefix(prefix).unwrap_or(reference).to_owned();
    let full = format!("refs/{}", after("refs/"));
    let branch = format!("refs/heads/{}", after("refs/heads/"));
    let tag = format!("refs/tags/{}", after("refs/tags/"));
    for name in [full, branch, tag] {
        if let Some(commit_of) = commit(&name) {
            let peeled = commit(&format!("{name}^{{}}"));
            return Some(Resolved { commit: commit_of, peeled, name: Some(name) });
        }
    }
    None
}

#[cfg(test)]
mod tests;
