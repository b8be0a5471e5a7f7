//! Names of images in registries, as Docker reads them.
//!
//! In: what a user writes (`debian`, `localhost:5000/app:1`, `app@sha256:...`).
//! Out: registry, repository, tag and digest, none of them guessed twice:
//! equal references mean the same image of the same registry.
//!
//! Limitation: digests of SHA-256 only.

use std::fmt;
use std::str::FromStr;

use crate::digest::BlobDigest;
use crate::image::{TagError, normalise_tag};

/// The registry of names that tell none.
const DEFAULT_REGISTRY: &str = "docker.io";
/// Where that registry keeps what has no owner.
const OFFICIAL: &str = "library/";

/// An image of a registry: by tag, by digest or by both, of which the digest counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<BlobDigest>,
}

impl Reference {
    /// Host and port, as `docker.io` or `localhost:5000`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path inside the registry, as `library/debian`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; only a reference with a digest can lack one.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest or index, where one is told.
    #[must_use]
    pub fn digest(&self) -> Option<BlobDigest> {
        self.digest
    }

    /// The same image, pinned.
    #[must_use]
    pub fn with_digest(mut self, digest: BlobDigest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// The whole name without the digest, as `docker.io/library/debian:bookworm`.
    #[must_use]
    pub fn name(&self) -> String {
        let Self { registry, repository, tag, digest: _ } = self;
        let tag = tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        format!("{registry}/{repository}{tag}")
    }

    /// The shortest name that means the same, as `debian:bookworm`, without
    /// the digest.
    #[must_use]
    pub fn familiar(&self) -> String {
        let name = self.name();
        match name.strip_prefix("docker.io/") {
            Some(rest) => match rest.strip_prefix(OFFICIAL) {
                Some(short) if !short.contains('/') => short.to_owned(),
                _ => rest.to_owned(),
            },
            None => name,
        }
    }
}

impl FromStr for Reference {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let refuse = |why| TagError { text: text.to_owned(), why };
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) => {
                let digest = digest.parse::<BlobDigest>();
                let digest =
                    digest.map_err(|_| refuse("its digest is not `sha256:` and 64 hex digits"))?;
                (named, Some(digest))
            }
            None => (text, None),
        };
        let whole = normalise_tag(named)
            .map_err(|TagError { text: _, why }| TagError { text: text.to_owned(), why })?;
        // A digest alone is no tag, least of all `latest`.
        let tagged = whole == named || digest.is_none();
        let (path, tag) = whole.rsplit_once(':').expect("a normalised name has a tag");
        let (registry, path) = match path.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
            _ => (DEFAULT_REGISTRY, path),
        };
        let registry = registry.to_ascii_lowercase();
        let registry = match registry.as_str() {
            "index.docker.io" | "registry-1.docker.io" => DEFAULT_REGISTRY.to_owned(),
            _ => registry,
        };
        if path.len() == 64 && path.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(refuse("64 hex digits look like a digest"));
        }
        let official = registry == DEFAULT_REGISTRY && !path.contains('/');
        let repository = if official { format!("{OFFICIAL}{path}") } else { path.to_owned() };
        Ok(Self { registry, repository, tag: tagged.then(|| tag.to_owned()), digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())?;
        self.digest.map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_what_they_mean_to_docker() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let table = [
            ("debian", "docker.io/library/debian:latest", "debian:latest"),
            ("debian:bookworm", "docker.io/library/debian:bookworm", "debian:bookworm"),
            ("library/debian", "docker.io/library/debian:latest", "debian:latest"),
            ("me/app:1", "docker.io/me/app:1", "me/app:1"),
            ("index.docker.io/me/app", "docker.io/me/app:latest", "me/app:latest"),
            ("docker.io/debian", "docker.io/library/debian:latest", "debian:latest"),
            ("Quay.io/a/b/c:x", "quay.io/a/b/c:x", "quay.io/a/b/c:x"),
            ("localhost/a", "localhost/a:latest", "localhost/a:latest"),
            ("localhost:5000/a:x", "localhost:5000/a:x", "localhost:5000/a:x"),
            ("127.0.0.1:5000/a", "127.0.0.1:5000/a:latest", "127.0.0.1:5000/a:latest"),
            ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
        ];
        for (text, name, familiar) in table {
            let plain: Reference = text.parse().expect(text);
            assert_eq!((plain.name().as_str(), plain.digest()), (name, None), "{text}");
            assert_eq!(plain.familiar(), familiar, "{text}");
            assert_eq!(plain.to_string().parse::<Reference>().expect("whole"), plain);
        }
        let pinned: Reference = format!("debian@{digest}").parse().expect("pinned");
        assert_eq!((pinned.tag(), pinned.name().as_str()), (None, "docker.io/library/debian"));
        assert_eq!(pinned.to_string(), format!("docker.io/library/debian@{digest}"));
        let both: Reference = format!("debian:12@{digest}").parse().expect("both");
        assert_eq!((both.tag(), both.digest()), (Some("12"), pinned.digest()));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let hex = "ab".repeat(32);
        for bad in [
            "",
            "A",
            "a b",
            "a:",
            "a//b",
            "a@",
            "a@sha256:12",
            "a@sha512:12",
            "https://quay.io/a",
            "quay.io/",
            "-a",
            &hex,
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
    }
}
