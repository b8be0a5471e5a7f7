//! The config of a state: what it began with, and what steps changed of it.
//!
//! It is put together when it is first asked for, so a thousand instructions
//! that only change it cost what they say, and not what all before them said.

use std::sync::{Arc, OnceLock};

use super::grown::Grown;
use crate::image::ImageConfig;
use crate::pattern::absolute;
use crate::plan::op::ConfigPatch;

/// See the module.
#[derive(Clone)]
pub(crate) struct Config {
    base: Arc<ImageConfig>,
    patches: Grown<ConfigPatch>,
    workdir: Arc<str>,
    whole: Arc<OnceLock<Arc<ImageConfig>>>,
}

impl Config {
    /// What nothing changed yet.
    pub(crate) fn new(config: ImageConfig) -> Self {
        let workdir = config.workdir().into();
        Self { base: Arc::new(config), patches: Grown::default(), workdir, whole: Arc::default() }
    }

    /// What it is after one more change.
    #[must_use]
    pub(crate) fn with(&self, patch: &ConfigPatch) -> Self {
        let (base, patches) = match self.whole.get() {
            Some(whole) => (whole, Grown::default()),
            None => (&self.base, self.patches.clone()),
        };
        let (base, patches) = (Arc::clone(base), patches.and(patch.clone()));
        let workdir = match &patch.workdir {
            Some(dir) => absolute(&self.workdir, dir).into(),
            None => Arc::clone(&self.workdir),
        };
        Self { base, patches, workdir, whole: Arc::default() }
    }

    /// Where processes start, without putting the whole together.
    pub(crate) fn workdir(&self) -> &str {
        &self.workdir
    }

    /// The whole of it.
    pub(crate) fn whole(&self) -> &ImageConfig {
        self.whole.get_or_init(|| {
            if self.patches.len() == 0 {
                return Arc::clone(&self.base);
            }
            let mut config = ImageConfig::clone(&self.base);
            self.patches.all().into_iter().for_each(|patch| config.apply(patch));
            Arc::new(config)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Config {
        Config::new(ImageConfig::empty(&"linux/amd64".parse().expect("a platform")))
    }

    fn env(name: &str) -> ConfigPatch {
        ConfigPatch { env: vec![(name.to_owned(), String::new())], ..ConfigPatch::default() }
    }

    #[test]
    fn it_is_the_same_whenever_it_is_asked_for() {
        let names = |config: &Config| {
            config.whole().env_pairs().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
        };
        let first = empty().with(&env("A"));
        let late = first.with(&env("B")).with(&env("C"));
        assert_eq!(names(&first), ["A"]);
        let early = first.with(&env("B"));
        assert_eq!(names(&early), ["A", "B"]);
        assert_eq!(names(&early.with(&env("C"))), names(&late));
    }

    #[test]
    fn the_working_directory_is_known_without_the_rest() {
        let to =
            |dir: &str| ConfigPatch { workdir: Some(dir.to_owned()), ..ConfigPatch::default() };
        let config = empty();
        assert_eq!(config.workdir(), "/");
        for (dir, expected) in [("b", "/a/b"), ("../b/", "/b"), ("/c/./d", "/c/d"), ("..", "/")] {
            let moved = config.with(&to("/a")).with(&to(dir));
            assert_eq!((moved.workdir(), moved.whole().workdir()), (expected, expected));
        }
    }
}
