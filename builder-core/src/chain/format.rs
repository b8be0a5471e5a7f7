//! A chain as bytes: JSON, compressed by zstd.

use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

use super::Chain;

/// The most bytes of the artifact's payload.
pub const MAX_BYTES: u64 = 64 << 20;
/// The most that it may hold uncompressed.
const MAX_PLAIN: usize = 256 << 20;
/// The most steps and tests.
const MAX_STEPS: usize = 10_000;
/// A build waits for it.
const ZSTD_LEVEL: i32 = 3;

/// Why bytes are no chain that is read.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// They are not compressed as they should be.
    #[error("it is not compressed by zstd, or does not say its size")]
    Packing,
    /// They break a bound.
    #[error("it has {found} {what}, more than the {limit} that are read")]
    TooMany {
        /// `steps`, `bytes`.
        what: &'static str,
        /// How many.
        found: usize,
        /// The bound.
        limit: usize,
    },
    /// They are not the JSON that they should be.
    #[error("it is not valid: {0}")]
    Json(#[from] serde_json::Error),
}

/// The bytes of a chain.
///
/// # Panics
/// Never: all keys of its maps are strings or numbers.
#[must_use]
pub fn encode(chain: &Chain) -> Vec<u8> {
    let plain = crate::image::canonical_json(chain);
    zstd::bulk::compress(&plain, ZSTD_LEVEL).expect("memory is there to compress into")
}

/// Reads what anybody wrote.
///
/// # Errors
/// [`ChainError`].
pub fn decode(bytes: &[u8]) -> Result<Chain, ChainError> {
    let size = zstd::zstd_safe::get_frame_content_size(bytes).ok().flatten();
    let size = size.and_then(|size| usize::try_from(size).ok()).ok_or(ChainError::Packing)?;
    within("bytes", size, MAX_PLAIN)?;
    let plain = zstd::bulk::decompress(bytes, size).map_err(|_| ChainError::Packing)?;
    let chain: Chain = serde_json::from_slice(&plain)?;
    within("steps", chain.steps.len() + chain.tests.len(), MAX_STEPS)?;
    Ok(chain)
}

fn within(what: &'static str, found: usize, limit: usize) -> Result<(), ChainError> {
    if found <= limit { Ok(()) } else { Err(ChainError::TooMany { what, found, limit }) }
}

/// Bytes, in hexadecimal digits.
pub(super) mod digits {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(
        bytes: &[u8],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        hex::encode(bytes).serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        hex::decode(&*text).map_err(serde::de::Error::custom)
    }
}

/// A path, in hexadecimal digits: it need not be text.
pub(super) mod path {
    use super::*;
    use crate::layer::LayerPath;

    pub(in super::super) fn serialize<S: Serializer>(
        path: &LayerPath,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        digits::serialize(path.as_bytes(), serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<LayerPath, D::Error> {
        LayerPath::new(digits::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
