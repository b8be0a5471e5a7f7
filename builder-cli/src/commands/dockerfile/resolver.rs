//! The engine as the one who knows images.

use builder_core::engine::ImageQuery;
use builder_core::frontend::{Base, Class, Resolver, Unresolved, Wanted};
use builder_core::image::ImageConfig;
use builder_core::plan::op::Source;

use super::super::engine::Opener;
use super::super::recipe::Reading;
use crate::error::CliError;
use crate::exit::Exit;
use crate::{diagnostic, hints};

/// Asks the store and registries.
pub(super) struct Images<'a> {
    engine: &'a Opener<'a>,
    how: Reading<'a>,
    /// What an answer failed with.
    pub failed: Option<CliError>,
}

impl<'a> Images<'a> {
    pub(super) fn new(engine: &'a Opener<'a>, how: Reading<'a>) -> Self {
        Self { engine, how, failed: None }
    }

    fn ask(&self, wanted: &Wanted) -> Result<Base, CliError> {
        let engine = self.engine.get()?;
        match wanted {
            Wanted::Image { reference, platform } => {
                let (reference, platform) = (reference.clone(), platform.clone());
                let query = ImageQuery { reference, platform, pull: self.how.pull };
                let found = engine.resolve_image(&query, self.how.locks, self.engine.cancel)?;
                Ok(Base { digest: Some(found.digest), ..base(found.name, &found.config) })
            }
            Wanted::Layout { path, tag, platform } => {
                let (file, tag, platform) = (path.clone(), tag.clone(), platform.clone());
                let looked = self.engine.look(Source::Oci { path: file, tag, platform })?;
                let name = path.display().to_string();
                Ok(looked.config().map_or_else(Base::default, |config| base(name, config)))
            }
        }
    }
}

impl Resolver for Images<'_> {
    fn resolve(&mut self, wanted: &Wanted) -> Result<Base, Unresolved> {
        self.ask(wanted).map_err(|error| {
            let message = diagnostic::chain(&error).join(": ");
            let help = hints::hints(&error, None).into_iter().next();
            let class = match error.exit() {
                Exit::Usage | Exit::Recipe => Class::Invalid,
                _ => Class::Unavailable,
            };
            self.failed = Some(error);
            Unresolved { message, help, class }
        })
    }
}

fn base(name: String, config: &ImageConfig) -> Base {
    let list = |key: &str| {
        let found = config.config.other.get(key).and_then(|value| value.as_array());
        let texts = found.into_iter().flatten().filter_map(|item| item.as_str());
        texts.map(str::to_owned).collect::<Vec<String>>()
    };
    Base {
        name,
        digest: None,
        platform: config.platform().to_string(),
        env: config.env_pairs().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        user: config.config.user.clone(),
        workdir: config.config.working_dir.clone(),
        shell: Some(list("Shell")).filter(|shell| !shell.is_empty()),
        onbuild: list("OnBuild"),
    }
}
