//! The command line.

use std::path::PathBuf;

/// Measures Phoenix beside Docker (BuildKit) and Buildah
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "peers")]
pub(crate) struct Options {
    /// Workloads: first, app, big, small, apt, compile, delta, wait, compute [default: all]
    pub(crate) names: Vec<String>,

    /// Only these builders (phoenix, docker, buildah; repeatable)
    #[arg(long, value_name = "NAME")]
    pub(crate) peer: Vec<String>,

    /// Repeat each measurement so many times as often
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) times: usize,

    /// Where the 600 MB base is kept between runs [default: phoenix-bench in the XDG cache
    /// directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,

    /// Where stores and workloads lie while this runs; no tmpfs [default: $TMPDIR]
    #[arg(long, value_name = "DIR")]
    pub(crate) temp: Option<PathBuf>,

    /// A phoenix to measure instead of the one just built
    #[arg(long, value_name = "FILE")]
    pub(crate) phoenix: Option<PathBuf>,

    /// Have Phoenix build the Dockerfile that the others build, and not the recipe
    #[arg(long)]
    pub(crate) dockerfile: bool,

    /// Show what the builders print
    #[arg(long)]
    pub(crate) verbose: bool,

    /// Set where this is the inner process
    #[arg(long, hide = true, value_name = "DIR")]
    pub(crate) inside: Option<PathBuf>,

    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// Whether a builder is wanted.
    pub(crate) fn wants(&self, peer: &str) -> bool {
        self.peer.is_empty() || self.peer.iter().any(|name| name == peer)
    }

    /// Shows what a builder printed, where that is wanted.
    pub(crate) fn show(&self, output: &str) {
        if self.verbose {
            eprint!("{output}");
        }
    }

    /// The directory of the base.
    pub(crate) fn cache(&self) -> PathBuf {
        self.cache.clone().unwrap_or_else(|| {
            let xdg = std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty());
            let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
            let cache = xdg.map(PathBuf::from).or_else(home).unwrap_or_else(std::env::temp_dir);
            cache.join("phoenix-bench")
        })
    }
}
