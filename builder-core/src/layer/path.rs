//! Paths inside a layer or a view.
//!
//! In: names from archives, tables, the kernel. Out: [`LayerPath`], which is
//! relative, normal and can therefore never leave its root.

use std::cmp::Ordering;
use std::fmt;

/// The longest path that is accepted, in bytes. Linux's `PATH_MAX` is 4,096;
/// archives may hold longer ones below directories entered one by one.
pub const MAX_PATH: usize = 32 * 1024;
/// Most components of a path. By its name no file of Linux has more than 2,048.
const MAX_DEPTH: usize = 4096;

/// Why a name is no [`LayerPath`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It holds a `..` component.
    #[error("it has a `..` component")]
    Parent,
    /// It holds a NUL byte.
    #[error("it holds a NUL byte")]
    Nul,
    /// A component is longer than 255 bytes, or the whole than [`MAX_PATH`].
    #[error("it is too long")]
    TooLong,
    /// A single name was expected.
    #[error("it is not a single name")]
    NotAName,
}

/// A path relative to a root: bytes, components joined by single slashes, no
/// leading or trailing slash, no `.` or `..`, no NUL. The root is empty.
///
/// The order is by component, so that a directory is followed at once by all
/// that is below it (plain byte order would put `a.b` between `a` and `a/b`).
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct LayerPath(Vec<u8>);

impl LayerPath {
    /// The root itself.
    #[must_use]
    pub const fn root() -> Self {
        Self(Vec::new())
    }

    /// Normalises `name`: leading, trailing and doubled slashes and `.`
    /// components are dropped.
    ///
    /// # Errors
    /// [`PathError`] where a component is `..` or over-long, or a NUL is found.
    pub fn new(name: impl AsRef<[u8]>) -> Result<Self, PathError> {
        let name = name.as_ref();
        let mut path = Vec::with_capacity(name.len());
        for component in name.split(|&b| b == b'/') {
            match component {
                b"" | b"." => continue,
                b".." => return Err(PathError::Parent),
                _ if component.contains(&0) => return Err(PathError::Nul),
                _ if component.len() > 255 => return Err(PathError::TooLong),
                _ => {
                    if !path.is_empty() {
                        path.push(b'/');
                    }
                    path.extend_from_slice(component);
                }
            }
        }
        Self::bounded(path)
    }

    fn bounded(path: Vec<u8>) -> Result<Self, PathError> {
        // Only a long path can be deep, and most are short.
        let deep = |path: &[u8]| path.iter().filter(|byte| **byte == b'/').count() >= MAX_DEPTH;
        if path.len() > MAX_PATH || (path.len() >= 2 * MAX_DEPTH && deep(&path)) {
            return Err(PathError::TooLong);
        }
        Ok(Self(path))
    }

    /// This path with one more component.
    ///
    /// # Errors
    /// [`PathError`] if `name` is not a single normal component.
    pub fn join(&self, name: &[u8]) -> Result<Self, PathError> {
        if name.is_empty() || name == b"." || name.contains(&b'/') {
            return Err(PathError::NotAName);
        }
        match name {
            b".." => return Err(PathError::Parent),
            _ if name.contains(&0) => return Err(PathError::Nul),
            _ if name.len() > 255 => return Err(PathError::TooLong),
            _ => {}
        }
        let mut path = Vec::with_capacity(self.0.len() + 1 + name.len());
        path.extend_from_slice(&self.0);
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Self::bounded(path)
    }

    /// This path followed by all components of `tail`.
    #[must_use]
    pub fn concat(&self, tail: &Self) -> Self {
        match (self.is_root(), tail.is_root()) {
            (true, _) => tail.clone(),
            (_, true) => self.clone(),
            _ => Self([&self.0[..], b"/", &tail.0].concat()),
        }
    }

    /// Whether this is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The parent directory; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.split().map(|(parent, _)| parent)
    }

    /// The last component; empty for the root.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        self.0.rsplit(|&b| b == b'/').next().unwrap_or_default()
    }

    /// Parent and last component; `None` for the root.
    #[must_use]
    pub fn split(&self) -> Option<(Self, &[u8])> {
        if self.is_root() {
            return None;
        }
        let name = self.name();
        let parent = &self.0[..self.0.len() - name.len()];
        let parent = parent.strip_suffix(b"/").unwrap_or(parent);
        Some((Self(parent.to_vec()), name))
    }

    /// The components, top first.
    pub fn components(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/').filter(|c| !c.is_empty())
    }

    /// All proper ancestors, the root first.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        let slashes = self.0.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
        (!self.is_root())
            .then(Self::root)
            .into_iter()
            .chain(slashes.map(|at| Self(self.0[..at].to_vec())))
    }

    /// Whether this is `other` or below it.
    #[must_use]
    pub fn starts_with(&self, other: &Self) -> bool {
        self.strip_prefix(other).is_some()
    }

    /// What remains of this path below `other`.
    #[must_use]
    pub fn strip_prefix(&self, other: &Self) -> Option<Self> {
        if other.is_root() {
            return Some(self.clone());
        }
        match self.0.strip_prefix(&other.0[..])? {
            b"" => Some(Self::root()),
            [b'/', rest @ ..] => Some(Self(rest.to_vec())),
            _ => None,
        }
    }

    /// The bytes, without a leading slash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path for people and files of this host: UTF-8 where it is, with
    /// replacement characters where not, and a leading slash.
    #[must_use]
    pub fn display(&self) -> String {
        format!("/{}", String::from_utf8_lossy(&self.0))
    }
}

impl Ord for LayerPath {
    fn cmp(&self, other: &Self) -> Ordering {
        // Neighbours have long beginnings in common, which are skipped in words.
        const WORD: usize = 16;
        let words = self.0.chunks_exact(WORD).zip(other.0.chunks_exact(WORD));
        let same = WORD * words.take_while(|(a, b)| a == b).count();
        let rank = |b: &u8| if *b == b'/' { 0 } else { u16::from(*b) + 1 };
        self.0[same..].iter().map(rank).cmp(other.0[same..].iter().map(rank))
    }
}

impl PartialOrd for LayerPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for LayerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.display(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> LayerPath {
        LayerPath::new(text).expect("a good path")
    }

    #[test]
    fn names_are_normalised_and_never_climb() {
        assert_eq!(path("./a//b/./c/").as_bytes(), b"a/b/c");
        assert_eq!(path("/").as_bytes(), b"");
        assert_eq!(LayerPath::new("a/../b"), Err(PathError::Parent));
        assert_eq!(LayerPath::new("a\0b"), Err(PathError::Nul));
        assert_eq!(LayerPath::new("x".repeat(256)), Err(PathError::TooLong));
        assert_eq!(path("a").join(b"b/c"), Err(PathError::NotAName));
        assert_eq!(path("a").join(b".."), Err(PathError::Parent));
        assert_eq!(path("a").join(b"b\0"), Err(PathError::Nul));
        assert_eq!(path("a").join(&[b'x'; 256]), Err(PathError::TooLong));
        assert_eq!(path("").join(b"b"), Ok(path("b")));
    }

    #[test]
    fn a_directory_is_followed_by_what_is_below_it() {
        let mut paths = ["a.b", "a/b", "a", "a/b/c", "a0", ""].map(path);
        paths.sort();
        assert_eq!(paths, ["", "a", "a/b", "a/b/c", "a.b", "a0"].map(path));
        // Also where what differs is at or behind the end of a word.
        for len in [14, 15, 16, 17, 31, 32, 33] {
            let long = "x".repeat(len);
            let mut paths = ["a.b", "a/b", "a", "a/b/c", "a0"].map(|p| path(&format!("{long}{p}")));
            let sorted = ["a", "a/b", "a/b/c", "a.b", "a0"].map(|p| path(&format!("{long}{p}")));
            paths.sort();
            assert_eq!(paths, sorted, "{len}");
        }
    }

    #[test]
    fn parts() {
        assert_eq!(path("a/b/c").parent(), Some(path("a/b")));
        assert_eq!(path("a").parent(), Some(LayerPath::root()));
        assert_eq!(LayerPath::root().parent(), None);
        let ancestors: Vec<_> = path("a/b/c").ancestors().collect();
        assert_eq!(ancestors, ["", "a", "a/b"].map(path));
        assert_eq!(path("a/b").strip_prefix(&path("a")), Some(path("b")));
        assert_eq!(path("ab").strip_prefix(&path("a")), None);
        assert_eq!(path("a").concat(&path("b/c")), path("a/b/c"));
    }
}
