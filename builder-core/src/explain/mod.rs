//! Looks back: what steps looked at, why they ran, what nobody ever looked at.
//!
//! In: the history of a recipe's builds, and what the cache keeps of what each
//! execution saw. Out: plain values for a command line or a program to show.
//! Nothing is run or changed.
//!
//! | file | what it tells |
//! |---|---|
//! | `find` | which step a person means |
//! | `looked` | what an execution asked of its trees, by kind and directory |
//! | `compare` | what differs between two executions of a step |
//! | `often` | which paths made steps run of late |
//! | `unused` | what of an image no step and no test looked at |
//! | `packages` | the same by package, where the image has a database of dpkg |
//!
//! Limitations: only what builds in this store did is known, and only the last
//! few builds of each recipe; builds in which nothing happened are not among
//! them. Of a mount it is known what was asked, not how large it was.

mod compare;
mod find;
mod looked;
mod often;
mod packages;
mod step;
mod unused;

pub use compare::{Compared, PartChange};
pub use find::{Steps, WhichStep};
pub use looked::{Count, DirectoryLooked, Looked, LookedAt, Totals};
pub use often::{Often, often};
pub use packages::PackageUnused;
pub use step::{Against, Explained, NotKnown, Ran, explain_step};
pub use unused::{LayerUnused, PlaceUnused, Size, Unused, unused};

use crate::cache::{Cache, CacheError, PastBuild};
use crate::digest::BlobDigest;
use crate::image::ImageError;
use crate::layer::LayerError;
use crate::view::TreeError;

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The recipe has never been built in this store.
    #[error("no build of this recipe is known in this store")]
    NoHistory,
    /// No step is called so.
    #[error("no step of the recipe's last builds is called `{wanted}`")]
    NoStep {
        /// What was asked for.
        wanted: String,
        /// What was perhaps meant.
        similar: Option<String>,
    },
    /// Several steps are called so.
    #[error("`{wanted}` may be any of {}", names.join(", "))]
    SeveralSteps {
        /// What was asked for.
        wanted: String,
        /// Number and name of each.
        names: Vec<String>,
    },
    /// There is no such build.
    #[error("no build {wanted} of this recipe is known; {}", known(*oldest, *newest))]
    NoBuild {
        /// What was asked for.
        wanted: String,
        /// The oldest that is known.
        oldest: u32,
        /// The newest.
        newest: u32,
    },
    /// The step was no part of that build.
    #[error("build {build} did not come to `{step}`")]
    NotInBuild {
        /// The build.
        build: u32,
        /// The step.
        step: String,
    },
    /// No build made the image.
    #[error("no build that is known in this store made {image}")]
    NotBuiltHere {
        /// Which.
        image: BlobDigest,
    },
    /// None of the recipe's builds ended well.
    #[error("no build of this recipe that is known ended well")]
    NoImage,
    /// The cache could not be read.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The image could not be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A layer could not be read.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// Files of the image could not be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

fn known(oldest: u32, newest: u32) -> String {
    format!("builds {oldest} to {newest} are")
}

/// The newest build that made `image`, of whatever recipe.
///
/// # Errors
/// [`ExplainError::NotBuiltHere`] where none is known.
pub fn build_of(cache: &Cache, image: BlobDigest) -> Result<PastBuild, ExplainError> {
    let histories = cache.histories()?.into_iter();
    let builds = histories.flat_map(|history| history.builds);
    let of_image = builds.filter(|build| build.image == Some(image));
    of_image.max_by_key(|build| build.at).ok_or(ExplainError::NotBuiltHere { image })
}
