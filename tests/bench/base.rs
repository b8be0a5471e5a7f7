//! The base of about 600 MB: Debian with compilers and Python, packages for a
//! later installation at hand. Made with mmdebstrap from the host's mirror, and
//! kept between runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result, at};
use crate::options::Options;
use crate::peer::Docker;
use crate::process;

const PACKAGES: &str = "build-essential,git,perl,python3,python3-numpy";
/// What the workload `apt` installs, with what it depends on.
const AT_HAND: &str = "nginx-light curl rsync jq vim";

/// What is done to the tree, as the last thing.
fn hook() -> String {
    format!(
        r#"set -e
rm -f "$1"/var/cache/apt/archives/*.deb
chroot "$1" apt-get install -qq -y --download-only --no-install-recommends {AT_HAND}
mkdir -p "$1/opt/debs"
mv "$1"/var/cache/apt/archives/*.deb "$1/opt/debs/"
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
