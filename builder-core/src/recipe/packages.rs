//! `packages`: the script that installs with apt and leaves nothing behind.
//!
//! The same packages give the same bytes: lists, downloads, logs, apt's binary
//! caches, dpkg's backups and ldconfig's auxiliary cache are removed. There is
//! no cache mount for downloads on purpose: a writable one is an output, and
//! would tie the key of each later step to this step's run.

use super::run::plain;
use crate::plan::op::{Command, Exec, ExecKind};

/// Removes what differs from run to run after apt or dpkg has run.
pub(super) const CLEAN: &str = "\
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt/* \\
  /var/log/dpkg.log /var/log/alternatives.log \\
  /var/cache/ldconfig/aux-cache /var/lib/dpkg/*-old /var/cache/debconf/*-old
";

/// Installs packages whose names were checked (`scalar::is_package`).
pub(super) fn install(names: &[String]) -> Exec {
    let quoted: Vec<_> = names.iter().map(|name| format!("'{name}'")).collect();
    let script = format!(
        "apt-get -q update\n\
         apt-get -q install -y --no-install-recommends {}\n\
         apt-get -q clean\n{CLEAN}",
        quoted.join(" ")
    );
    Exec {
        env: vec![("DEBIAN_FRONTEND".to_owned(), "noninteractive".to_owned())],
        user: Some("0:0".to_owned()),
        workdir: Some("/".to_owned()),
        ..plain(Command::Shell(script), ExecKind::Packages)
    }
}
