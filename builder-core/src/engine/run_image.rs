//! `phoenix run`: a command in an image, on a throwaway upper.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::Inner;
use crate::digest::BlobDigest;
use crate::error::Result;
use crate::event::Stream;
use crate::exec::{Cancel, Exit, Job, JobSink, Keep, Process, Stdio, TerminalSize};
use crate::image::read_image;
use crate::layer::{Entry, Layer};
use crate::plan::op::Network;
use crate::view::{View, passwd};

/// A command to run in an image.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// The image's manifest (or index).
    pub image: BlobDigest,
    /// Arguments over the image's `cmd`; the entrypoint stays.
    pub command: Vec<String>,
    /// Replaces the entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// Variables over the image's.
    pub env: Vec<(String, String)>,
    /// Replaces the image's working directory.
    pub workdir: Option<String>,
    /// Replaces the image's user.
    pub user: Option<String>,
    /// Network access.
    pub network: Network,
}

/// The standard streams of a command in an image.
pub enum RunStreams<'a> {
    /// The caller's own.
    Own,
    /// A terminal of the command's own.
    Terminal {
        /// How large it is at first.
        size: TerminalSize,
        /// Takes its other end, before the command starts, as
        /// [`JobSink::terminal`].
        take: &'a mut dyn FnMut(OwnedFd),
    },
}

/// Keeps nothing, and hands a terminal on.
struct Streams<'a>(RunStreams<'a>);

impl JobSink for Streams<'_> {
    fn output(&mut self, _: Stream, _: &[u8]) {}
    fn captured(&mut self, _: &Entry, _: Option<&mut dyn Read>) -> io::Result<()> {
        Ok(())
    }
    fn terminal(&mut self, terminal: OwnedFd) {
        if let RunStreams::Terminal { take, .. } = &mut self.0 {
            take(terminal);
        }
    }
}

pub(super) fn run(
    inner: &Inner,
    request: &RunRequest,
    streams: RunStreams<'_>,
    cancel: &Cancel,
) -> Result<Exit> {
    let inner = &inner.until(cancel);
    let work = inner.store.work_dir()?;
    let lease = inner.store.lease()?;
    work.pin(&request.image)?;
    // It may run for long: the pin keeps its image, the lease would stop all pruning.
    drop(lease);
    let image = read_image(&inner.store, &request.image)?;
    let layers: Result<Vec<Layer>, _> =
        image.layers.iter().map(|desc| Layer::open(&inner.store, desc)).collect();
    let view = Arc::new(View::new(layers?));
    let config = &image.config;
    let spec = request.user.as_deref().or(config.config.user.as_deref()).unwrap_or_default();
    let user = passwd::resolve(&*view, spec)?;
    let mut argv =
        request.entrypoint.clone().or(config.config.entrypoint.clone()).unwrap_or_default();
    if !request.command.is_empty() {
        argv.extend(request.command.iter().cloned());
    } else if request.entrypoint.is_none() {
        argv.extend(config.config.cmd.clone().unwrap_or_default());
    }
    if argv.is_empty() {
        argv.push("/bin/sh".to_owned());
    }
    let mut env = crate::solve::environment(config.env_pairs(), &request.env, &user.home);
    let stdio = match &streams {
        RunStreams::Own => Stdio::Inherit,
        RunStreams::Terminal { size, .. } => {
            if env.iter().all(|(name, _)| name != "TERM") {
                // The one that every image's terminfo has.
                env.push(("TERM".to_owned(), "xterm".to_owned()));
            }
            Stdio::Terminal(*size)
        }
    };
    let process = Process {
        argv,
        env: crate::solve::with_proxies(env, &inner.proxy_env),
        cwd: request.workdir.clone().unwrap_or_else(|| config.workdir().to_owned()),
        uid: user.uid,
        gid: user.gid,
        groups: user.groups,
        network: request.network,
        stdio,
        ..Process::new([""; 0])
    };
    let root = work.path().join("root");
    std::fs::create_dir(&root)
        .map_err(|source| crate::error::Error::Io { path: root.clone(), source })?;
    let job = Job {
        root: view,
        work: root,
        process,
        mounts: Vec::new(),
        keep: Keep::Discard,
        recorder: None,
    };
    Ok(inner.executor.run(job, &mut Streams(streams), cancel)?)
}
