//! Finding an image of the store by what a user calls it, and its files.

use builder_core::digest::BlobDigest;
use builder_core::image::{Descriptor, Image, blob_digest, normalise_tag, read_image};
use builder_core::layer::{Layer, LayerPath};
use builder_core::store::Store;
use builder_core::view::View;

use crate::error::CliError;
use crate::settings::Settings;

/// The shortest start of a digest that is taken for one.
const SHORTEST_DIGEST: usize = 6;

/// An image and the names it has.
pub(crate) struct Named {
    /// Its descriptor in the index.
    pub(crate) descriptor: Descriptor,
    /// All names of that descriptor's digest.
    pub(crate) names: Vec<String>,
    /// The name that it was called by; none where it was called by a digest.
    pub(crate) called: Option<String>,
}

/// Opens the store.
pub(crate) fn store(settings: &Settings) -> Result<Store, CliError> {
    Ok(Store::open(&settings.store()?)?)
}

/// The image called `wanted`: a name, or the start of a digest, of its manifest
/// or of its config (docker's image id).
pub(crate) fn find(store: &Store, wanted: &str) -> Result<Named, CliError> {
    let images = store.images()?;
    let mut candidates = Vec::new();
    for (name, descriptor) in &images {
        candidates.push((name.as_deref(), blob_digest(descriptor)?));
    }
    let id = |digest: &BlobDigest| Some(read_image(store, digest).ok()?.config_digest);
    let (called, digest) = choose(&candidates, wanted, &id)?;
    let of_digest = || images.iter().zip(&candidates).filter(|(_, known)| known.1 == digest);
    let names = of_digest().filter_map(|((name, _), _)| name.clone()).collect();
    let same = |((name, _), _): &(&(Option<String>, Descriptor), _)| *name == called;
    let found = of_digest().find(same).or(of_digest().next());
    let ((_, descriptor), _) = found.expect("the digest was chosen from these");
    Ok(Named { descriptor: descriptor.clone(), names, called })
}

/// A name as it is, or with `:latest`, wins over the start of a digest.
fn choose(
    candidates: &[(Option<&str>, BlobDigest)],
    wanted: &str,
    id: &dyn Fn(&BlobDigest) -> Option<BlobDigest>,
) -> Result<(Option<String>, BlobDigest), CliError> {
    // Other tools write names that Phoenix would not.
    let names = [Some(wanted.to_owned()), normalise_tag(wanted).ok()];
    for name in names.into_iter().flatten() {
        if let Some((_, digest)) = candidates.iter().find(|(known, _)| *known == Some(&name)) {
            return Ok((Some(name), *digest));
        }
    }
    let hex = wanted.rsplit_once('@').map_or(wanted, |(_, digest)| digest);
    let hex = hex.strip_prefix("sha256:").unwrap_or(hex).to_ascii_lowercase();
    let begins =
        |digest: BlobDigest| hex.len() >= SHORTEST_DIGEST && digest.hex().starts_with(&hex);
    let digests = |of: &dyn Fn(&BlobDigest) -> Option<BlobDigest>| {
        let all = candidates.iter().map(|(_, digest)| *digest);
        let mut found: Vec<_> = all.filter(|digest| of(digest).is_some_and(begins)).collect();
        found.sort_unstable();
        found.dedup();
        found
    };
    let mut found = digests(&|digest| Some(*digest));
    if found.is_empty() && hex.len() >= SHORTEST_DIGEST {
        found = digests(id);
    }
    match found[..] {
        [digest] => Ok((None, digest)),
        [] => Err(CliError::NoImage { name: wanted.to_owned() }),
        _ => Err(CliError::Ambiguous { name: wanted.to_owned(), count: found.len() }),
    }
}

/// Reads the image called `wanted`.
pub(crate) fn read(store: &Store, wanted: &str) -> Result<(Named, Image), CliError> {
    let named = find(store, wanted)?;
    let image = read_image(store, &blob_digest(&named.descriptor)?)?;
    Ok((named, image))
}

/// The files of the image called `wanted`.
pub(crate) fn view(store: &Store, wanted: &str) -> Result<View, CliError> {
    let (_, image) = read(store, wanted)?;
    let layers: Result<Vec<Layer>, _> =
        image.layers.iter().map(|layer| Layer::open(store, layer)).collect();
    Ok(View::new(layers?))
}

/// A path as a user writes it, from the image's root. `..` goes up as far as
/// the root.
pub(crate) fn path(text: &str) -> Result<LayerPath, CliError> {
    let mut names: Vec<&str> = Vec::new();
    for name in text.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    let fail = |source| CliError::Path { path: text.to_owned(), source };
    LayerPath::new(names.join("/")).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(last: u8) -> BlobDigest {
        let mut bytes = [0xab; 32];
        bytes[31] = last;
        BlobDigest::from_bytes(bytes)
    }

    #[test]
    fn image_is_found_by_name_or_by_an_unambiguous_start_of_a_digest() {
        let candidates = [
            (Some("a:1"), digest(1)),
            (Some("a:latest"), digest(1)),
            (Some("b:latest"), digest(2)),
            (Some("Odd name"), digest(3)),
            (None, digest(4)),
        ];
        let id = |of: &BlobDigest| Some(BlobDigest::from_bytes([of.as_bytes()[31]; 32]));
        let find = |wanted: &str| choose(&candidates, wanted, &id);
        let found = |wanted: &str| find(wanted).expect("there").1;
        assert_eq!(find("a").expect("there"), (Some("a:latest".to_owned()), digest(1)));
        assert_eq!(found("b:latest"), digest(2));
        assert_eq!(found("Odd name"), digest(3));
        for by_digest in [digest(4).to_string(), digest(4).hex(), format!("x@{}", digest(4))] {
            assert_eq!(find(&by_digest).expect("there"), (None, digest(4)), "{by_digest}");
        }
        assert_eq!(found(&digest(2).hex().to_ascii_uppercase()), digest(2));
        assert_eq!(found(&format!("sha256:{}", "02".repeat(5))), digest(2), "the config's");
        assert!(matches!(find("ababab"), Err(CliError::Ambiguous { count: 4, .. })));
        assert_eq!(choose(&candidates[..2], "ababab", &id).expect("one image").1, digest(1));
        for none in ["a:2", "ababa", "", "sha256:", "c", "02020"] {
            assert!(matches!(find(none), Err(CliError::NoImage { .. })), "{none}");
        }
    }

    #[test]
    fn path_never_leaves_the_root() {
        let bytes = |text| path(text).expect("valid").as_bytes().to_vec();
        assert_eq!(bytes("/etc//./passwd"), b"etc/passwd");
        assert_eq!(bytes("../../a/b/.."), b"a");
        assert_eq!(bytes("/"), b"");
        assert!(path("a\0b").is_err());
    }
}
