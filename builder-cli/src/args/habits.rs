//! Options that scripts for `docker build` have and that change nothing here.
//!
//! They are taken, so that a script need not be changed, and those that ask for
//! something are answered with a word.

use clap::Args;

/// Hidden from the help.
#[derive(Debug, Default, Args)]
pub(crate) struct Habits {
    /// Nothing is left of a step in any case
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    rm: Option<bool>,

    /// The same
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    force_rm: Option<bool>,

    /// Contexts are read where they are
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    compress: Option<bool>,

    /// There is one builder
    #[arg(long, hide = true, value_name = "NAME")]
    builder: Option<String>,

    /// Steps are not limited
    #[arg(long, short = 'm', hide = true, value_name = "SIZE")]
    memory: Option<String>,

    /// Steps are not limited
    #[arg(long, hide = true, value_name = "SIZE", allow_hyphen_values = true)]
    memory_swap: Option<String>,

    /// Steps are not limited
    #[arg(long, short = 'c', hide = true, value_name = "N")]
    cpu_shares: Option<String>,

    /// Steps are not limited
    #[arg(long, hide = true, value_name = "N")]
    cpu_period: Option<String>,

    /// Steps are not limited
    #[arg(long, hide = true, value_name = "N")]
    cpu_quota: Option<String>,

    /// Steps are not limited
    #[arg(long, hide = true, value_name = "CPUS")]
    cpuset_cpus: Option<String>,

    /// Steps are not limited
    #[arg(long, hide = true, value_name = "NODES")]
    cpuset_mems: Option<String>,

    /// Steps are in no cgroup of their own
    #[arg(long, hide = true, value_name = "PATH")]
    cgroup_parent: Option<String>,

    /// For Windows
    #[arg(long, hide = true, value_name = "HOW")]
    isolation: Option<String>,

    /// Caches are not shared yet
    #[arg(long, hide = true, value_name = "PLACE")]
    cache_from: Vec<String>,

    /// Caches are not shared yet
    #[arg(long, hide = true, value_name = "PLACE")]
    cache_to: Vec<String>,

    /// None is made
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    provenance: Option<String>,

    /// None is made
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    sbom: Option<String>,
}

impl Habits {
    /// What was asked for and is not done, a line each.
    pub(crate) fn told(&self) -> Vec<String> {
        let limits = [
            ("--memory", &self.memory),
            ("--memory-swap", &self.memory_swap),
            ("--cpu-shares", &self.cpu_shares),
            ("--cpu-period", &self.cpu_period),
            ("--cpu-quota", &self.cpu_quota),
            ("--cpuset-cpus", &self.cpuset_cpus),
            ("--cpuset-mems", &self.cpuset_mems),
            ("--cgroup-parent", &self.cgroup_parent),
        ];
        let limits = limits.into_iter().filter(|(_, value)| value.is_some());
        let limits = limits.map(|(name, _)| format!("{name} does nothing: steps are not limited"));
        let caches = [("--cache-from", &self.cache_from), ("--cache-to", &self.cache_to)];
        let caches = caches.into_iter().filter(|(_, places)| !places.is_empty());
        let caches = caches
            .map(|(name, _)| format!("{name} does nothing: what is cached is not shared yet"));
        let attested = [("--provenance", &self.provenance), ("--sbom", &self.sbom)];
        let attested = attested.into_iter().filter(|(_, value)| {
            value.as_ref().is_some_and(|value| value != "false" && value != "disabled=true")
        });
        let attested = attested.map(|(name, _)| format!("{name} does nothing: none is made"));
        limits.chain(caches).chain(attested).collect()
    }
}
