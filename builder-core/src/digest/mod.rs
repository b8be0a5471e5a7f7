//! Content addresses: one type per meaning, so that they can never be mixed up.
//!
//! In: bytes, or the text form of a digest. Out: 32-byte values that print and
//! parse as `algorithm:hex` ([OCI image spec, "Digests"][oci]).
//!
//! Digests that others read are SHA-256. Digests that only Phoenix reads are
//! BLAKE3, which is about four times as fast on one core.
//!
//! [oci]: https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A text that is not a digest of the expected algorithm.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a {algorithm} digest: expected `{algorithm}:` and 64 lower-case hex digits"
)]
pub struct ParseDigestError {
    /// What was given.
    pub text: String,
    /// The algorithm that the type requires.
    pub algorithm: &'static str,
}

macro_rules! digest_type {
    ($(#[$doc:meta])* $name:ident, $algorithm:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The algorithm's name as it stands before the colon.
            pub const ALGORITHM: &'static str = $algorithm;

            /// Takes the 32 raw bytes of an already computed hash.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// The 32 raw bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The 64 lower-case hex digits, without the algorithm.
            #[must_use]
            pub fn hex(&self) -> String {
                hex::encode(self.0)
            }

            /// The first 12 hex digits, for people.
            #[must_use]
            pub fn short(&self) -> String {
                hex::encode(&self.0[..6])
            }

            /// Takes 64 lower-case hex digits without the algorithm.
            ///
            /// # Errors
            /// [`ParseDigestError`] for anything else.
            pub fn from_hex(text: &str) -> Result<Self, ParseDigestError> {
                let refuse = || ParseDigestError {
                    text: text.to_owned(),
                    algorithm: $algorithm,
                };
                let canonical = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                let mut bytes = [0; 32];
                if !canonical || hex::decode_to_slice(text, &mut bytes).is_err() {
                    return Err(refuse());
                }
                Ok(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($algorithm, ":{}"), self.hex())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseDigestError;

            fn from_str(text: &str) -> Result<Self, ParseDigestError> {
                text.strip_prefix(concat!($algorithm, ":"))
                    .and_then(|hex| Self::from_hex(hex).ok())
                    .ok_or_else(|| ParseDigestError {
                        text: text.to_owned(),
                        algorithm: $algorithm,
                    })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

digest_type! {
    /// SHA-256 of a blob as it is stored (for a layer: compressed).
    BlobDigest, "sha256"
}
digest_type! {
    /// SHA-256 of a layer's uncompressed tar
    /// ([OCI image spec, "Layer DiffID"](https://github.com/opencontainers/image-spec/blob/main/config.md#layer-diffid)).
    DiffId, "sha256"
}
digest_type! {
    /// Identity of a stack of layers
    /// ([OCI image spec, "Layer ChainID"](https://github.com/opencontainers/image-spec/blob/main/config.md#layer-chainid)).
    ChainId, "sha256"
}
digest_type! {
    /// Identity of a vertex *within one plan*: its operation and its inputs'
    /// ids. Says nothing about content, so it is never a cache key.
    VertexId, "blake3"
}
digest_type! {
    /// Identity of a vertex's work *across builds and machines*: its operation
    /// and the content of all that it reads.
    CacheKey, "blake3"
}
digest_type! {
    /// BLAKE3 of a regular file's bytes.
    ContentDigest, "blake3"
}
digest_type! {
    /// What a process is given, without the trees that it sees: steps of equal
    /// ones may stand for each other if they would see the same.
    WeakFingerprint, "blake3"
}
digest_type! {
    /// Identity of a set of questions that a step asked of its trees.
    PathsetId, "blake3"
}
digest_type! {
    /// Those questions with all their answers.
    StrongFingerprint, "blake3"
}

impl BlobDigest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl ContentDigest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl ChainId {
    /// The ChainID of `layers`, lowest first; `None` for an empty stack.
    #[must_use]
    pub fn of(layers: &[DiffId]) -> Option<Self> {
        let (first, rest) = layers.split_first()?;
        Some(rest.iter().fold(Self(first.0), |chain, diff_id| {
            Self(Sha256::digest(format!("{chain} {diff_id}").as_bytes()).into())
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_and_is_strict() {
        let digest = BlobDigest::of(b"");
        let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse(), Ok(digest));
        for bad in ["", "sha256:", &text[..70], &text.to_uppercase(), "blake3:00", &text[7..]] {
            assert!(bad.parse::<BlobDigest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn chain_id_of_one_layer_is_its_diff_id() {
        let a = DiffId::from_bytes([1; 32]);
        let b = DiffId::from_bytes([2; 32]);
        assert_eq!(ChainId::of(&[]), None);
        assert_eq!(ChainId::of(&[a]).map(|c| *c.as_bytes()), Some([1; 32]));
        let expected: [u8; 32] = Sha256::digest(format!("{a} {b}").as_bytes()).into();
        assert_eq!(ChainId::of(&[a, b]).map(|c| *c.as_bytes()), Some(expected));
    }
}
