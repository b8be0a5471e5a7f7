//! Opening the engine with what the host and the user gave.

use std::sync::Arc;

use builder_core::event::Sink;
use builder_core::source::debian;

use crate::error::CliError;
use crate::settings::Settings;
use builder_core::engine::Engine;

/// Opens it; `jobs` is as many as processors where `None`.
pub(crate) fn open(
    settings: &Settings,
    jobs: Option<usize>,
    sink: Arc<dyn Sink>,
) -> Result<Engine, CliError> {
    let debian = debian::Settings { proxies: proxies(settings), ..debian::Settings::default() };
    let mut builder = Engine::builder(settings.store()?)
        .sink(sink)
        .debian(debian)
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
