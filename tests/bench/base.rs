//! The base of about 600 MB: Debian with compilers and Python, packages for a
//! later installation at hand. Made with mmdebstrap from the host's mirror, and
//! kept between runs, as are the bases that follow upon it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result, at};
use crate::options::Options;
use crate::peer::Docker;
use crate::process;

const PACKAGES: &str = "build-essential,git,perl,python3,python3-numpy,python3-venv";
/// What the workload `apt` installs, with what it depends on.
const AT_HAND: &str = "nginx-light curl rsync jq vim";

/// How a base moves on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bump {
    /// By a package that no command looks at.
    Unread,
    /// By another version of the shell, which every command looks at.
    Read,
}

impl Bump {
    fn name(self) -> &'static str {
        match self {
            Self::Unread => "unread",
            Self::Read => "read",
        }
    }

    /// The command that makes the next base of one.
    fn command(self) -> &'static str {
        match self {
            Self::Unread => "dpkg -i /opt/next/hello_*.deb",
            // Other bytes, as a security fix has, and another version.
            Self::Read => {
                "cp -p /bin/dash /bin/dash.new && printf '\\0' >> /bin/dash.new && \
                 mv /bin/dash.new /bin/dash && \
                 sed -i '/^Package: dash$/,/^$/s/^Version: .*/&+next1/' /var/lib/dpkg/status"
            }
        }
    }
}

/// What is done to the tree, as the last thing.
fn hook() -> String {
    format!(
        r#"set -e
rm -f "$1"/var/cache/apt/archives/*.deb
chroot "$1" apt-get install -qq -y --download-only --no-install-recommends {AT_HAND}
mkdir -p "$1/opt/debs"
mv "$1"/var/cache/apt/archives/*.deb "$1/opt/debs/"
chroot "$1" apt-get install -qq -y --download-only --no-install-recommends hello
mkdir -p "$1/opt/next"
mv "$1"/var/cache/apt/archives/*.deb "$1/opt/next/"
printf '#!/bin/sh\nexit 101\n' > "$1/usr/sbin/policy-rc.d"
chmod 755 "$1/usr/sbin/policy-rc.d""#
    )
}

/// The tar of the base; made if the cache lacks it.
pub(crate) fn tar(options: &Options, temp: &Path) -> Result<PathBuf> {
    let cache = options.cache();
    std::fs::create_dir_all(&cache).map_err(at(&cache))?;
    // Another content has another name.
    let version = content_hash(&[PACKAGES, &hook()]);
    let tar = cache.join(format!("base-{version:08x}.tar"));
    if tar.is_file() {
        return Ok(tar);
    }
    if !process::have("mmdebstrap") {
        return Err(Error::Needs("mmdebstrap, to make the base"));
    }
    eprintln!("making the base (once): {}", tar.display());
    let new = cache.join("base.new.tar");
    let mut make = Command::new("mmdebstrap");
    make.args(["--quiet", "--variant=minbase"]).arg(format!("--include={PACKAGES}"));
    make.arg(format!("--customize-hook={}", hook()));
    make.args(["--dpkgopt=force-unsafe-io", "bookworm"]).arg(&new).args(mirror(temp));
    process::run(&mut make, temp)?;
    std::fs::rename(&new, &tar).map_err(at(&tar))?;
    Ok(tar)
}

/// The image archive of the base, as `docker save` writes it.
pub(crate) fn archive(tar: &Path, docker: Option<&mut Docker>) -> Result<PathBuf> {
    let archive = tar.with_extension("image.tar");
    if archive.is_file() {
        return Ok(archive);
    }
    let docker = docker.ok_or(Error::Needs("docker, to make an archive of the base"))?;
    let new = tar.with_extension("image.new.tar");
    docker.pack(tar, &new)?;
    std::fs::rename(&new, &archive).map_err(at(&archive))?;
    Ok(archive)
}

/// The archives of the bases that follow upon that of `archive`, each upon the
/// one before.
pub(crate) fn next(
    archive: &Path,
    bumps: &[Bump],
    mut docker: Option<&mut Docker>,
) -> Result<Vec<PathBuf>> {
    let mut archives = vec![archive.to_owned()];
    for bump in bumps {
        let from = archives.last().expect("it starts with one").clone();
        let name = from.file_name().unwrap_or_default().to_string_lossy();
        let version = content_hash(&[&name, bump.command()]);
        let next = archive.with_extension(format!("{}-{version:08x}.tar", bump.name()));
        if !next.is_file() {
            let docker = docker.as_deref_mut();
            let docker = docker.ok_or(Error::Needs("docker, to make the bases that follow"))?;
            let new = next.with_extension("new.tar");
            docker.derive(&from, bump.command(), &new)?;
            std::fs::rename(&new, &next).map_err(at(&next))?;
        }
        archives.push(next);
    }
    Ok(archives.split_off(1))
}

fn content_hash(parts: &[&str]) -> u32 {
    parts
        .iter()
        .flat_map(|part| part.bytes())
        .fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// The host's own mirror of Debian; nothing where it has none.
fn mirror(temp: &Path) -> Option<String> {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(LABEL) $(CODENAME) $(REPO_URI)"]);
    let output = process::run(command.arg("Created-By: Packages"), temp).ok()?.output;
    let mirrors = output.lines().filter_map(|line| line.strip_prefix("Debian bookworm "));
    mirrors.map(str::to_owned).next()
}
