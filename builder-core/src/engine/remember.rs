//! What a build leaves for later ones and for people who ask: which key each
//! step had, and what happened and why.
//!
//! Invariant: nothing is written for a build in which nothing happened.

use std::collections::HashSet;
use std::time::SystemTime;

use super::Inner;
use super::request::BuildRequest;
use crate::cache::{BuildRecord, PastBuild};
use crate::error::Result;
use crate::image::WrittenImage;
use crate::solve::Solved;

/// What the builds of this recipe left before.
pub(super) struct Remembered {
    pub(super) earlier: Option<BuildRecord>,
}

impl Remembered {
    /// Keeps what a build leaves. `written` is the image, where the build ended well.
    pub(super) fn remember(
        self,
        inner: &Inner,
        request: &BuildRequest,
        solved: &Solved,
        written: Option<&WrittenImage>,
    ) -> Result<()> {
        let Self { earlier } = self;
        let image = written.map(|image| image.digest);
        let now = BuildRecord { image, ..solved.keys.clone() };
        let reached: HashSet<String> = now.steps.iter().map(|step| step.stage.clone()).collect();
        let whole = |stage: &str| image.is_some() && reached.contains(stage);
        let build = PastBuild { number: 0, at: seconds(), image, steps: solved.past.clone() };
        let same = Some(now.clone().over(earlier.clone(), &whole)) == earlier;
        let idle = match image {
            Some(_) => same && build.is_idle(),
            None => build.steps.is_empty(),
        };
        if idle {
            return Ok(());
        }
        if !same {
            inner.cache.save_build(&request.recipe, now, &whole)?;
        }
        Ok(inner.cache.add_build(&request.recipe, build)?)
    }
}

/// Now, since the Unix epoch.
fn seconds() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
