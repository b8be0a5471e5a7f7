//! The second half of `from: {debian: ...}`: configuring what was unpacked.

use super::packages::CLEAN;
use super::run::plain;
use crate::plan::op::{Command, Debian, Exec, ExecKind};

/// The process that configures a Debian base's unpacked packages.
pub(super) fn debian_configure(debian: &Debian) -> Exec {
    // Everything that differs by suite or package is in the source's entries.
    let _ = debian;
    let variables = [
        ("DEBIAN_FRONTEND", "noninteractive"),
        ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
        ("LC_ALL", "C"),
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ];
    let script = format!("dpkg --force-confold --configure -a\n{CLEAN}");
    Exec {
        env: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        user: Some("0:0".to_owned()),
        workdir: Some("/".to_owned()),
        ..plain(Command::Shell(script), ExecKind::Packages)
    }
}
