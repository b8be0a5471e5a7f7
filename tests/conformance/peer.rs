//! Who builds cases, and what comes of one.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::base::Bases;
use crate::built;
use crate::site::Site;

/// A builder of Dockerfiles.
pub(crate) trait Peer: Sync {
    /// Its name and version.
    fn version(&self) -> String;

    /// Builds a case and gives what came of it, as the sections of an expectation.
    fn build(&self, site: &Site<'_>, bases: &Bases) -> Outcome;
}

/// What came of a case, by what it is: `tree`, `config`, `history`, or `error`,
/// or the answer to a call.
pub(crate) type Outcome = BTreeMap<String, String>;

/// What a command said.
pub(crate) struct Said {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command in the directory of a case, with the environment of the case.
pub(crate) fn said(command: &mut Command, site: &Site<'_>) -> Said {
    command.current_dir(site.dir.path()).stdin(Stdio::null());
    for (name, value) in &site.case.env {
        command.env(name, site.named(value));
    }
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    Said { success: output.status.success(), stdout, stderr }
}

/// What came of a build that wrote an archive or failed.
pub(crate) fn outcome(
    said: &Said,
    archive: &Path,
    site: &Site<'_>,
    bases: &Bases,
    error: impl Fn(&Said) -> String,
) -> Outcome {
    if said.success {
        return built::sections(archive, site, bases);
    }
    Outcome::from([("error".to_owned(), site.unnamed(&error(said)))])
}
