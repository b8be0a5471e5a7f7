//! File content that is the same on every run.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use crate::error::{Result, at};

const WORDS: &[&str] = &[
    "the", "phoenix", "rises", "from", "ashes", "of", "an", "image", "layer", "content", "digest",
    "value", "return", "if", "for", "while", "let", "const", "function", "import", "{", "}", "=>",
    "0", "1", "2048", "\n", "\n    ", "path", "request", "response", "error", "server", "client",
    "name", "config", "static", "void", "int", "self", "this", "none", "null", "true", "false",
];

/// A small generator (SplitMix64).
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// `len` bytes that do not compress.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend(self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }

    /// `len` bytes that compress about as well as source code does.
    pub(crate) fn text(&mut self, len: usize) -> Vec<u8> {
        let mut text = Vec::with_capacity(len + 32);
        while text.len() < len {
            let picked = self.next();
            match picked % 11 {
                0 => write!(text, "v{:05} ", picked >> 40).expect("memory takes it"),
                _ => {
                    let word = WORDS[usize::try_from(picked >> 32).unwrap_or(0) % WORDS.len()];
                    text.extend(word.bytes().chain(*b" "));
                }
            }
        }
        text.truncate(len);
        text
    }

    /// Writes a file of `len` bytes, of noise or of text.
    pub(crate) fn file(&mut self, path: &Path, len: usize, noise: bool) -> Result<()> {
        const PIECE: usize = 1 << 20;
        let file = std::fs::File::create(path).map_err(at(path))?;
        let mut file = BufWriter::new(file);
        let mut left = len;
        while left > 0 {
            let piece = left.min(PIECE);
            let bytes = if noise { self.bytes(piece) } else { self.text(piece) };
            file.write_all(&bytes).map_err(at(path))?;
            left -= piece;
        }
        file.flush().map_err(at(path))
    }
}
