//! The front door: build, plan, rebase, run.
//!
//! In: a [`Plan`](crate::plan::Plan) and what the caller wants of it
//! ([`BuildRequest`]). Out: an image in the store, its outputs, and a report
//! ([`BuildResult`]).
//!
//! Every call exists twice: blocking (`*_blocking`, any thread) and async
//! (runs on a thread of its own; dropping the future cancels the work and
//! leaves nothing behind).
//!
//! Invariant: no tag and no output is written unless every step and every test
//! of the target passed.

mod build;
mod image;
mod look;
mod prune;
mod rebase;
mod remember;
mod reproducible;
mod request;
mod resolve_image;
mod run_image;
mod session;
mod steps;
mod transfer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use look::{LookRequest, Looked};
pub use prune::{PruneRequest, Pruned};
pub use request::{
    BuildRequest, BuildResult, ImagePlace, OutputKind, OutputSpec, PlanReport, RebaseRequest,
};
pub use resolve_image::{ImageQuery, ResolvedImage};
pub use run_image::{RunRequest, RunStreams};
pub use transfer::{PullRequest, PushRequest, Transferred};

use crate::cache::Cache;
use crate::daemon;
use crate::error::{Error, Result};
use crate::event::{Event, Silent, Sink};
use crate::exec::{Cancel, Executor, IdMap, RootKind, RunnerPath, Sandbox};
use crate::image::Platform;
use crate::registry;
pub use crate::solve::Agent;
use crate::solve::Locks;
use crate::source::debian;
use crate::store::Store;
use crate::view::observe::Blind;

/// How often removing what a crashed build left is tried.
const SWEEPS: u32 = 20;
const SWEEP_PAUSE: Duration = Duration::from_millis(50);

/// Builds images into one store. Cheap to clone; any number of builds may run
/// at the same time.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Clone)]
pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) cache: Cache,
    pub(crate) executor: Arc<dyn Executor>,
    pub(crate) sandbox: Sandbox,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) jobs: usize,
    pub(crate) platform: Platform,
    pub(crate) debian: debian::Settings,
    pub(crate) daemon: daemon::Settings,
    pub(crate) registry: registry::Settings,
    pub(crate) proxy_env: Vec<(String, String)>,
    pub(crate) blind: Option<Blind>,
    #[expect(dead_code, reason = "dropped with the last handle")]
    temporary: Arc<Temporary>,
}

/// Removes an engine's temporary files when its last handle goes, whatever a
/// thread that is still about to end holds of the store.
struct Temporary(Store);

impl Drop for Temporary {
    fn drop(&mut self) {
        self.0.drop_temporary();
    }
}

impl Inner {
    /// The same for work that ends once `cancel` is set.
    pub(crate) fn until(&self, cancel: &Cancel) -> Self {
        let store = self.store.until(cancel);
        Self { cache: Cache::new(store.clone()), store, ..self.clone() }
    }
}

/// Settings of an [`Engine`].
pub struct EngineBuilder {
    store: PathBuf,
    runner: RunnerPath,
    sandbox: Option<(IdMap, RootKind)>,
    sink: Arc<dyn Sink>,
    jobs: usize,
    debian: debian::Settings,
    daemon: daemon::Settings,
    registry: registry::Settings,
    proxy_env: Vec<(String, String)>,
    blind: Option<Blind>,
}

impl Engine {
    /// Begins the settings of an engine whose store is at `store`.
    #[must_use]
    pub fn builder(store: impl Into<PathBuf>) -> EngineBuilder {
        EngineBuilder {
            store: store.into(),
            runner: RunnerPath::default(),
            sandbox: None,
            sink: Arc::new(Silent),
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            debian: debian::Settings::default(),
            daemon: daemon::Settings::default(),
            registry: registry::Settings::default(),
            proxy_env: Vec::new(),
            blind: None,
        }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    /// The cache.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        &self.inner.cache
    }

    /// Builds, tests, tags and exports what `request` asks for.
    ///
    /// # Errors
    /// [`Error`]; then nothing was tagged or exported.
    pub fn build_blocking(&self, request: &BuildRequest, cancel: &Cancel) -> Result<BuildResult> {
        if request.check_reproducible {
            reproducible::build(&self.inner, request, cancel)
        } else {
            build::build(&self.inner, request, cancel)
        }
    }

    /// Says what [`Self::build_blocking`] would do, as far as that can be known
    /// without running anything.
    ///
    /// # Errors
    /// [`Error`] where the recipe, the context or the store cannot be read.
    pub fn plan_blocking(&self, request: &BuildRequest, cancel: &Cancel) -> Result<PlanReport> {
        build::plan(&self.inner, request, cancel)
    }

    /// Takes the steps of an image to another base; runs those only that the
    /// new base gives something else.
    ///
    /// # Errors
    /// [`Error`]; then nothing was tagged or exported.
    pub fn rebase_blocking(&self, request: &RebaseRequest, cancel: &Cancel) -> Result<BuildResult> {
        rebase::rebase(&self.inner, request, cancel)
    }

    /// Says what [`Self::rebase_blocking`] would do. The new base and, where it
    /// is not in the store, the image are brought in for that.
    ///
    /// # Errors
    /// [`Error`] where the image, its steps or the base cannot be read.
    pub fn plan_rebase_blocking(
        &self,
        request: &RebaseRequest,
        cancel: &Cancel,
    ) -> Result<PlanReport> {
        rebase::plan(&self.inner, request, cancel)
    }

    /// Resolves every base of the plan anew and gives the lock.
    ///
    /// # Errors
    /// [`Error`] where a base cannot be resolved.
    pub fn lock_blocking(
        &self,
        request: &BuildRequest,
        cancel: &Cancel,
    ) -> Result<debian::LockFile> {
        build::lock(&self.inner, request, cancel)
    }

    /// Says which image a name means, and gives its config: the one that
    /// `locks` has, the store's, else a registry's, of which no layer is fetched
    /// for that. What a registry says is put into `locks`.
    ///
    /// # Errors
    /// [`Error`] where the name is none, no such image is found, or the lock that
    /// is required does not have it.
    pub fn resolve_image(
        &self,
        query: &ImageQuery,
        locks: &Locks,
        cancel: &Cancel,
    ) -> Result<ResolvedImage> {
        resolve_image::resolve(&self.inner, query, locks, cancel)
    }

    /// Brings a base or a context in, unless it is there, and shows it.
    ///
    /// # Errors
    /// [`Error`] where it cannot be had or read.
    pub fn look_blocking(&self, request: &LookRequest, cancel: &Cancel) -> Result<Looked> {
        look::look(&self.inner, request, cancel)
    }

    /// Brings an image of a registry into the store, and names it.
    ///
    /// # Errors
    /// [`Error`]; then no name was given.
    pub fn pull_blocking(&self, request: &PullRequest, cancel: &Cancel) -> Result<Transferred> {
        transfer::pull(&self.inner, request, cancel)
    }

    /// Brings an image of the store to a registry.
    ///
    /// # Errors
    /// [`Error`]; then the name means there what it meant before.
    pub fn push_blocking(&self, request: &PushRequest, cancel: &Cancel) -> Result<Transferred> {
        transfer::push(&self.inner, request, cancel)
    }

    /// Runs a command in an image of the store, on a throwaway upper.
    ///
    /// # Errors
    /// [`Error`] where the image cannot be read or the process not be run.
    pub fn run_image_blocking(
        &self,
        request: &RunRequest,
        streams: RunStreams<'_>,
        cancel: &Cancel,
    ) -> Result<crate::exec::Exit> {
        run_image::run(&self.inner, request, streams, cancel)
    }

    /// Removes from the store what nothing needs. Waits for builds that run.
    ///
    /// # Errors
    /// [`Error`] where the store cannot be read or a file not be removed.
    pub fn prune_blocking(&self, request: &PruneRequest, cancel: &Cancel) -> Result<Pruned> {
        prune::prune(&self.inner.until(cancel), request)
    }

    /// As [`Self::build_blocking`]; dropping the future cancels the build.
    ///
    /// # Errors
    /// As there.
    pub async fn build(&self, request: BuildRequest) -> Result<BuildResult> {
        let engine = self.clone();
        on_thread(move |cancel| engine.build_blocking(&request, cancel)).await
    }

    /// As [`Self::plan_blocking`].
    ///
    /// # Errors
    /// As there.
    pub async fn plan(&self, request: BuildRequest) -> Result<PlanReport> {
        let engine = self.clone();
        on_thread(move |cancel| engine.plan_blocking(&request, cancel)).await
    }
}

/// Runs `work` on a thread of its own. Needs no runtime of a particular kind.
async fn on_thread<T: Send + 'static>(
    work: impl FnOnce(&Cancel) -> Result<T> + Send + 'static,
) -> Result<T> {
    struct CancelOnDrop(Cancel);
    impl Drop for CancelOnDrop {
        fn drop(&mut self) {
            self.0.cancel();
        }
    }
    let cancel = Cancel::new();
    let guard = CancelOnDrop(cancel.clone());
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let spawned = std::thread::Builder::new().name("phoenix-build".to_owned()).spawn(move || {
        // The receiver is gone when the future was dropped: nobody to tell.
        let _ = sender.send(work(&cancel));
    });
    spawned.map_err(Error::Thread)?;
    let result = receiver.await.unwrap_or(Err(Error::Panicked));
    drop(guard);
    result
}

impl EngineBuilder {
    /// What is executed as the runner of sandboxes.
    #[must_use]
    pub fn runner(mut self, runner: RunnerPath) -> Self {
        self.runner = runner;
        self
    }

    /// How sandboxes map ids and make roots, instead of what the host allows.
    #[must_use]
    pub fn sandbox(mut self, ids: IdMap, root: RootKind) -> Self {
        self.sandbox = Some((ids, root));
        self
    }

    /// Who is told what happens.
    #[must_use]
    pub fn sink(mut self, sink: Arc<dyn Sink>) -> Self {
        self.sink = sink;
        self
    }

    /// How many steps run at the same time; at least 1.
    #[must_use]
    pub fn jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs.max(1);
        self
    }

    /// Where Debian's mirrors and keyrings are found, and proxies for downloads.
    #[must_use]
    pub fn debian(mut self, settings: debian::Settings) -> Self {
        self.debian = settings;
        self
    }

    /// Where container engines are found.
    #[must_use]
    pub fn daemon(mut self, settings: daemon::Settings) -> Self {
        self.daemon = settings;
        self
    }

    /// How registries are reached, and as whom.
    #[must_use]
    pub fn registry(mut self, settings: registry::Settings) -> Self {
        self.registry = settings;
        self
    }

    /// Variables that every step gets and that are in no key and no image:
    /// proxies.
    #[must_use]
    pub fn proxy_env(mut self, env: Vec<(String, String)>) -> Self {
        self.proxy_env = env;
        self
    }

    /// Forgets a kind of what steps look at, so that results are reused wrongly:
    /// for a test that must find that.
    #[doc(hidden)]
    #[must_use]
    pub fn blind_to(mut self, blind: Blind) -> Self {
        self.blind = Some(blind);
        self
    }

    /// Opens the store, looks at what the host allows, and removes what crashed
    /// builds left.
    ///
    /// # Errors
    /// [`Error`] where the store cannot be opened.
    pub fn build(self) -> Result<Engine> {
        let store = Store::open(&self.store)?;
        let sandbox = Sandbox::detect(self.runner)?;
        let sandbox = match self.sandbox {
            Some((ids, root)) => sandbox.with(ids, root),
            None => sandbox,
        };
        sweep(&store, &sandbox, &*self.sink);
        let inner = Inner {
            temporary: Arc::new(Temporary(store.clone())),
            cache: Cache::new(store.clone()),
            store,
            executor: Arc::new(sandbox.clone()),
            sandbox,
            sink: self.sink,
            jobs: self.jobs,
            platform: Platform::host(),
            debian: self.debian,
            daemon: self.daemon,
            registry: self.registry,
            proxy_env: self.proxy_env,
            blind: self.blind,
        };
        Ok(Engine { inner: Arc::new(inner) })
    }
}

/// Removes work directories of crashed builds in which files belong to
/// subordinate ids. That they stay harms no build, so it is no error.
fn sweep(store: &Store, sandbox: &Sandbox, sink: &dyn Sink) {
    let mut failed = None;
    for _ in 0..SWEEPS {
        let stale = store.stale_work_dirs();
        if stale.is_empty() {
            return;
        }
        let dirs: Vec<&Path> = stale.iter().map(PathBuf::as_path).collect();
        match sandbox.clean(&dirs) {
            Ok(()) => failed = None,
            // What was killed just now may still be about to end.
            Err(error) => {
                failed = Some((stale, error));
                std::thread::sleep(SWEEP_PAUSE);
            }
        }
    }
    if let Some((dirs, error)) = failed {
        let dirs = dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ");
        let why = crate::solve::chain(&error);
        let message = format!("what a killed build left cannot be removed: {dirs}: {why}");
        sink.event(Event::Warning { vertex: None, message });
    }
}
