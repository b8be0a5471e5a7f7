//! `packages`: the script that installs with apt and leaves nothing behind.
//!
//! The same packages give the same bytes: lists, downloads, logs, apt's binary
//! caches, dpkg's backups and ldconfig's auxiliary cache are removed (but not
//! the directories, which are apt's own), and what belongs to one machine (host
//! keys of ssh, machine ids) is not kept. There is
//! no cache mount for downloads on purpose: a writable one is an output, and
//! would tie the key of each later step to this step's run.

use super::run::plain;
use crate::plan::op::{Command, Exec, ExecKind};

/// Two functions of the shell, `before` and `after`.
pub(super) const SCRUB: &str = include_str!("scrub.sh");

/// dpkg need not sync what is captured anyway, and has nobody to ask.
const OPTIONS: &str = "-o DPkg::Options::=--force-unsafe-io \
                       -o DPkg::Options::=--force-confdef -o DPkg::Options::=--force-confold";

/// Installs packages whose names were checked (`scalar::is_package`).
pub(super) fn install(names: &[String]) -> Exec {
    let quoted: Vec<_> = names.iter().map(|name| format!("'{name}'")).collect();
    let script = format!(
        "{SCRUB}\n\
         before\n\
         apt-get -q update\n\
         apt-get -q install -y --no-install-recommends {OPTIONS} {}\n\
         apt-get -q clean\n\
         after\n\
         find /var/lib/apt/lists /var/cache/apt -type f -delete\n",
        quoted.join(" ")
    );
    Exec {
        env: vec![("DEBIAN_FRONTEND".to_owned(), "noninteractive".to_owned())],
        user: Some("0:0".to_owned()),
        workdir: Some("/".to_owned()),
        ..plain(Command::Shell(script), ExecKind::Packages)
    }
}
