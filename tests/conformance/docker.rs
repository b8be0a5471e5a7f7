//! Debian's Docker and the `BuildKit` in it: one daemon for all cases.

use crate::base::Bases;
use crate::buildctl::error;
use crate::peer::{Outcome, Peer, outcome, said};
use crate::site::Site;
use crate::support::docker::Docker;

/// A daemon that has the bases.
pub(crate) struct OldDocker(Docker);

impl OldDocker {
    /// Starts one; `None` where there cannot be one (said loudly).
    pub(crate) fn start(bases: &Bases) -> Option<Self> {
        let docker = Docker::start()?;
        docker.run(&["load", "--quiet", "--input", &bases.archive.to_string_lossy()]);
        Some(Self(docker))
    }
}

impl Peer for OldDocker {
    fn version(&self) -> String {
        let version = self.0.run(&["version", "--format", "{{.Server.Version}}"]);
        format!("docker {}", version.trim())
    }

    fn build(&self, site: &Site<'_>, bases: &Bases) -> Outcome {
        let tag = format!("case:{}", site.case.name.replace('/', "-").to_lowercase());
        let mut build = self.0.client();
        build.env("DOCKER_BUILDKIT", "1").env("DOCKER_CONFIG", site.path("docker-config"));
        build.args(["build", "--progress=plain", "--network=none", "--tag", &tag]);
        for (flag, value) in &site.case.flags {
            build.arg(flag);
            if !value.is_empty() {
                build.arg(site.named(value));
            }
        }
        let answer = said(build.arg("ctx"), site);
        let archive = site.path("docker.tar");
        if answer.success {
            let path = archive.to_string_lossy();
            self.0.run(&["save", "--output", &path, &tag]);
        }
        outcome(&answer, &archive, site, bases, error)
    }
}
