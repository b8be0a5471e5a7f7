//! The options that are about Dockerfiles, by the names of `docker build`.

use builder_core::image::Platform;
use clap::{Args, ValueEnum};

use crate::values::{UlimitArg, host, key_value, label, memory, platform, ulimit};

/// What a Dockerfile does not say itself.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Dockerfiles")]
pub(crate) struct DockerfileArgs {
    /// Set an ARG; without a value to that of the environment (repeatable)
    #[arg(long = "build-arg", value_name = "NAME[=VALUE]")]
    pub(crate) build_args: Vec<String>,

    #[arg(help = "Files under a name for FROM, --from and from=: NAME=DIR, \
NAME=oci-layout://DIR[:TAG], NAME=docker-image://IMAGE, NAME=GIT (repeatable)")]
    #[arg(long = "build-context", value_name = "NAME=PLACE", value_parser = key_value)]
    pub(crate) contexts: Vec<(String, String)>,

    /// Set a label of the image (repeatable)
    #[arg(long = "label", value_name = "NAME[=VALUE]", value_parser = label)]
    pub(crate) labels: Vec<(String, String)>,

    /// Add a name to the steps' /etc/hosts (repeatable)
    #[arg(long = "add-host", value_name = "HOST:IP", value_parser = host)]
    pub(crate) hosts: Vec<(String, String)>,

    /// The network of steps that do not say it themselves
    #[arg(long, value_enum, value_name = "NETWORK")]
    pub(crate) network: Option<RunNetworkArg>,

    /// The size of the steps' /dev/shm
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub(crate) shm_size: Option<u64>,

    /// Limit the steps: nofile=1024:2048 (repeatable)
    #[arg(long = "ulimit", value_name = "NAME=SOFT[:HARD]", value_parser = ulimit)]
    pub(crate) ulimits: Vec<UlimitArg>,

    /// Allow steps to have all rights
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) allow: Vec<Allowed>,

    /// What the image is for [default: this host]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = platform)]
    pub(crate) platform: Option<Platform>,
}

/// The network of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RunNetworkArg {
    /// The host's
    Default,
    /// The host's
    Host,
    /// None but a loopback device
    None,
}

/// What steps may be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Allowed {
    /// RUN --security=insecure
    #[value(name = "security.insecure")]
    Insecure,
    /// RUN --network=host, which is always allowed
    #[value(name = "network.host")]
    Host,
}
