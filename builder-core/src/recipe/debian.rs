//! The second half of `from: {debian: ...}`: configuring what was unpacked.
//!
//! dpkg runs a package's `preinst`, unpacks, and later configures. Here all is
//! unpacked at once by the source. The script first does this for the essential
//! packages and what they need, as their scripts are what all others count on;
//! then it runs each further `preinst` in the order of dependencies, and lets
//! dpkg configure the rest. Afterwards it removes what would differ from run to
//! run.
//!
//! Limitations: a package that diverts a file of another one, and brings its
//! own of that name, is refused by the source as a conflict of files; a
//! `packages` step installs it.

use super::packages::SCRUB;
use super::run::plain;
use crate::plan::op::{Command, Debian, Exec, ExecKind};

/// What runs in the unpacked base.
const CONFIGURE: &str = include_str!("debian_configure.sh");

/// The process that configures a Debian base's unpacked packages.
pub(super) fn debian_configure(debian: &Debian) -> Exec {
    // Everything that differs by suite or package is in the source's entries.
    let _ = debian;
    let variables = [
        ("DEBIAN_FRONTEND", "noninteractive"),
        ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
        ("LC_ALL", "C.UTF-8"),
        ("HOME", "/root"),
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ];
    Exec {
        env: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        user: Some("0:0".to_owned()),
        workdir: Some("/".to_owned()),
        ..plain(Command::Shell(format!("{SCRUB}\n{CONFIGURE}")), ExecKind::Packages)
    }
}
