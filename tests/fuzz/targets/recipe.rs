//! A recipe: read, and lowered.

use std::path::Path;

use builder_core::recipe::{Params, load};

/// All that is done with a recipe.
pub fn recipe(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (file, base) = (Path::new("recipe.yaml"), Path::new("/ctx"));
    if let Err(found) = load(&text, file, base, &Params::default()) {
        assert!(!found.is_empty());
    }
}
