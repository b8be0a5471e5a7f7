//! The second half of `from: {debian: ...}`: configuring what was unpacked.
//!
//! dpkg runs a package's `preinst`, unpacks, and later configures. Here all is
//! unpacked at once by the source, so the script runs every `preinst` first
//! and then lets dpkg configure all packages in its own order. Afterwards it
//! removes what would differ from run to run.

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
        ..plain(Command::Shell(CONFIGURE.to_owned()), ExecKind::Packages)
    }
}
