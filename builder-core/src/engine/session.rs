//! What the steps of any work of an engine share.

use std::collections::BTreeMap;

use super::Inner;
use crate::exec::Cancel;
use crate::layer::{Compression, Mtime};
use crate::solve::{Agent, Locks, NoCache, Session};

/// What all work gives that gives none.
static NO_AGENTS: BTreeMap<String, Agent> = BTreeMap::new();

/// A session with what the engine knows, and all else as it is by default.
pub(super) fn session<'a>(
    inner: &'a Inner,
    secrets: &'a BTreeMap<String, Vec<u8>>,
    locks: &'a Locks,
    stop: Cancel,
    dry: bool,
) -> Session<'a> {
    Session {
        store: &inner.store,
        cache: &inner.cache,
        executor: &*inner.executor,
        sink: &*inner.sink,
        stop,
        jobs: inner.jobs,
        platform: inner.platform.clone(),
        compression: Compression::Gzip,
        mtime: Mtime::CONSTANT,
        no_cache: &NoCache::Never,
        retest: false,
        paranoid: false,
        run_ahead: false,
        blind: inner.blind,
        dry,
        secrets,
        agents: &NO_AGENTS,
        allow_insecure: false,
        proxy_env: &inner.proxy_env,
        debian: &inner.debian,
        daemon: &inner.daemon,
        registry: &inner.registry,
        pull: false,
        locks,
        earlier: None,
        shared: Default::default(),
    }
}
