//! Finding an image of the store by what a user calls it, and its files.

use builder_core::digest::BlobDigest;
use builder_core::image::{Descriptor, Image, blob_digest, read_image};
use builder_core::layer::{Layer, LayerPath};
use builder_core::store::Store;
use builder_core::view::View;

use crate::error::CliError;
use crate::settings::Settings;

/// The shortest start of a digest that is taken for one.
const SHORTEST_DIGEST: usize = 6;

/// An image and the names it has.
pub(crate) struct Named {
    /// The descriptor that a name points at.
    pub(crate) descriptor: Descriptor,
    /// All names of that descriptor's digest.
    pub(crate) names: Vec<String>,
}

/// Opens the store.
pub(crate) fn store(settings: &Settings) -> Result<Store, CliError> {
    Ok(Store::open(&settings.store()?)?)
}

/// `NAME` is `NAME:latest`.
pub(crate) fn full_name(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains(':') { name.to_owned() } else { format!("{name}:latest") }
}

/// The image called `wanted`: a name, or the start of a digest.
pub(crate) fn find(store: &Store, wanted: &str) -> Result<Named, CliError> {
    let refs = store.refs()?;
    let mut candidates = Vec::new();
    for (name, descriptor) in &refs {
        candidates.push((name.as_str(), blob_digest(descriptor)?));
    }
    let digest = choose(&candidates, wanted)?;
    let mut names = Vec::new();
    let mut found = None;
    for ((name, descriptor), (_, known)) in refs.iter().zip(&candidates) {
        if *known == digest {
            names.push(name.clone());
            found.get_or_insert_with(|| descriptor.clone());
        }
    }
    let descriptor = found.expect("the digest was chosen from these");
    Ok(Named { descriptor, names })
}

/// A name wins over the start of a digest.
fn choose(candidates: &[(&str, BlobDigest)], wanted: &str) -> Result<BlobDigest, CliError> {
    let full = full_name(wanted);
    if let Some((_, digest)) = candidates.iter().find(|(name, _)| *name == full) {
        return Ok(*digest);
    }
    let hex = wanted.strip_prefix("sha256:").unwrap_or(wanted);
    let matching = |(_, digest): &&(&str, BlobDigest)| {
        hex.len() >= SHORTEST_DIGEST && digest.hex().starts_with(hex)
    };
    let mut digests: Vec<_> = candidates.iter().filter(matching).map(|(_, d)| *d).collect();
    digests.sort_unstable();
    digests.dedup();
    match digests[..] {
        [digest] => Ok(digest),
        [] => Err(CliError::NoImage { name: wanted.to_owned() }),
        _ => Err(CliError::Ambiguous { name: wanted.to_owned(), count: digests.len() }),
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

    #[test]
    fn name_without_a_tag_is_latest_and_a_port_is_no_tag() {
        assert_eq!(full_name("app"), "app:latest");
        assert_eq!(full_name("app:1"), "app:1");
        assert_eq!(full_name("host:5000/app"), "host:5000/app:latest");
    }

    #[test]
    fn image_is_found_by_name_or_by_an_unambiguous_start_of_its_digest() {
        let digest = |last: u8| {
            let mut bytes = [0xab; 32];
            bytes[31] = last;
            BlobDigest::from_bytes(bytes)
        };
        let candidates = [("a:1", digest(1)), ("a:latest", digest(1)), ("b:latest", digest(2))];
        let found = |wanted: &str| choose(&candidates, wanted);
        assert_eq!(found("a").expect("there"), digest(1));
        assert_eq!(found("b:latest").expect("there"), digest(2));
        assert_eq!(found(&digest(2).to_string()).expect("there"), digest(2));
        assert_eq!(found(&digest(2).hex()).expect("there"), digest(2));
        assert!(matches!(found("ababab"), Err(CliError::Ambiguous { count: 2, .. })));
        assert_eq!(choose(&candidates[..2], "ababab").expect("one image"), digest(1));
        for none in ["a:2", "ababa", "", "sha256:", "c"] {
            assert!(matches!(found(none), Err(CliError::NoImage { .. })), "{none}");
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
