//! Opening the engine with what the host and the user gave.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use builder_core::cancel::Cancel;
use builder_core::event::Sink;
use builder_core::registry;
use builder_core::source::debian;

use crate::error::CliError;
use crate::settings::Settings;
use builder_core::engine::{Agent, Engine, LookRequest, Looked};
use builder_core::plan::op::Source;

/// Opens the engine when it is first needed, once: a recipe that is wrong opens
/// no store.
pub(crate) struct Opener<'a> {
    settings: &'a Settings,
    jobs: Option<usize>,
    sink: Arc<dyn Sink>,
    engine: OnceCell<Engine>,
    /// Secrets by name.
    pub(crate) secrets: BTreeMap<String, Vec<u8>>,
    /// Agents by name.
    pub(crate) agents: BTreeMap<String, Agent>,
    /// Set when the work is to stop.
    pub(crate) cancel: &'a Cancel,
}

impl<'a> Opener<'a> {
    /// Opens nothing yet.
    pub(crate) fn new(
        settings: &'a Settings,
        jobs: Option<usize>,
        sink: Arc<dyn Sink>,
        cancel: &'a Cancel,
    ) -> Self {
        let (secrets, agents) = (BTreeMap::new(), BTreeMap::new());
        Self { settings, jobs, sink, engine: OnceCell::new(), secrets, agents, cancel }
    }

    /// The same, with what repositories may want to know.
    pub(crate) fn knowing(
        self,
        secrets: BTreeMap<String, Vec<u8>>,
        agents: BTreeMap<String, Agent>,
    ) -> Self {
        Self { secrets, agents, ..self }
    }

    /// Shows a base or a context.
    pub(crate) fn look(&self, source: Source) -> Result<Looked, CliError> {
        let (secrets, ssh) = (self.secrets.clone(), self.agents.clone());
        let request = LookRequest { source, secrets, ssh };
        Ok(self.get()?.look_blocking(&request, self.cancel)?)
    }

    /// The engine.
    pub(crate) fn get(&self) -> Result<&Engine, CliError> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let engine = open(self.settings, self.jobs, Arc::clone(&self.sink))?;
        Ok(self.engine.get_or_init(|| engine))
    }
}

/// Opens it; `jobs` is as many as processors where `None`.
pub(crate) fn open(
    settings: &Settings,
    jobs: Option<usize>,
    sink: Arc<dyn Sink>,
) -> Result<Engine, CliError> {
    let debian = debian::Settings { proxies: proxies(settings), ..debian::Settings::default() };
    let debian::Proxies { http, https, none_for } = debian.proxies.clone();
    let registry = registry::Settings {
        auth_files: settings.auth_files(),
        insecure: settings.insecure_registries.clone(),
        proxies: registry::Proxies { http, https, none_for },
        ..registry::Settings::default()
    };
    let mut builder = Engine::builder(settings.store()?)
        .sink(sink)
        .debian(debian)
        .registry(registry)
        .daemon(settings.daemon())
        .proxy_env(settings.proxies());
    if let Some(jobs) = jobs {
        builder = builder.jobs(jobs);
    }
    Ok(builder.build()?)
}

/// Lower-case names win, as in curl.
fn proxies(settings: &Settings) -> debian::Proxies {
    let all = settings.proxies();
    let get = |names: [&str; 2]| {
        let mut found = names.iter().filter_map(|name| all.iter().find(|(known, _)| known == name));
        found.next().map(|(_, value)| value.clone())
    };
    debian::Proxies {
        http: get(["http_proxy", "HTTP_PROXY"]),
        https: get(["https_proxy", "HTTPS_PROXY"]),
        none_for: get(["no_proxy", "NO_PROXY"]),
    }
}
