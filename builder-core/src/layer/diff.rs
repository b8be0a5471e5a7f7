//! Which paths two layers differ in, and in what.
//!
//! In: two layers. Out: differences in the order of paths, for people: used to
//! say why a build is not reproducible. Limitation: entries of both layers are
//! held in memory.

use std::cmp::Ordering;
use std::fmt;

use super::{Change, Entry, Kind, Layer, LayerError, LayerPath, Meta};

/// What two layers say differently of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Only the first layer has an entry for it.
    OnlyFirst {
        /// Where.
        path: LayerPath,
    },
    /// Only the second layer has an entry for it.
    OnlySecond {
        /// Where.
        path: LayerPath,
    },
    /// Both have one.
    Changed {
        /// Where.
        path: LayerPath,
        /// In what they differ: `content`, `mode`, `mtime` and so on.
        aspects: Vec<&'static str>,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnlyFirst { path } => write!(f, "{} is in the first only", path.display()),
            Self::OnlySecond { path } => write!(f, "{} is in the second only", path.display()),
            Self::Changed { path, aspects } => {
                write!(f, "{} differs in {}", path.display(), aspects.join(", "))
            }
        }
    }
}

/// Compares two layers entry by entry.
///
/// # Errors
/// If the table of either is damaged and cannot be made again.
pub fn diff(first: &Layer, second: &Layer) -> Result<Vec<Difference>, LayerError> {
    Ok(compare(&first.entries()?, &second.entries()?))
}

fn compare(mut first: &[Entry], mut second: &[Entry]) -> Vec<Difference> {
    let mut differences = vec![];
    loop {
        let order = match (first.first(), second.first()) {
            (None, None) => return differences,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => a.path.cmp(&b.path).then(is_opaque(a).cmp(&is_opaque(b))),
        };
        if order == Ordering::Equal {
            let aspects = aspects(&first[0].change, &second[0].change);
            if !aspects.is_empty() {
                differences.push(Difference::Changed { path: first[0].path.clone(), aspects });
            }
        } else if order.is_lt() {
            differences.push(Difference::OnlyFirst { path: first[0].path.clone() });
        } else {
            differences.push(Difference::OnlySecond { path: second[0].path.clone() });
        }
        first = &first[usize::from(order.is_le())..];
        second = &second[usize::from(order.is_ge())..];
    }
}

/// A directory may have two entries: itself, then that it is opaque.
fn is_opaque(entry: &Entry) -> bool {
    entry.change == Change::Opaque
}

fn aspects(first: &Change, second: &Change) -> Vec<&'static str> {
    match (first, second) {
        (
            Change::Present { meta: meta_a, kind: kind_a },
            Change::Present { meta: meta_b, kind: kind_b },
        ) => {
            let mut aspects = meta_aspects(meta_a, meta_b);
            aspects.extend(kind_aspect(kind_a, kind_b));
            aspects
        }
        (Change::Hardlink { .. }, Change::Hardlink { .. }) if first != second => {
            vec!["hard link target"]
        }
        _ if first != second => vec!["type"],
        _ => vec![],
    }
}

fn meta_aspects(first: &Meta, second: &Meta) -> Vec<&'static str> {
    let Meta { mode, uid, gid, mtime, xattrs } = first;
    [
        (*mode != second.mode, "mode"),
        (*uid != second.uid || *gid != second.gid, "owner"),
        (*mtime != second.mtime, "mtime"),
        (*xattrs != second.xattrs, "extended attributes"),
    ]
    .into_iter()
    .filter_map(|(differs, aspect)| differs.then_some(aspect))
    .collect()
}

fn kind_aspect(first: &Kind, second: &Kind) -> Option<&'static str> {
    if first == second {
        return None;
    }
    Some(match (first, second) {
        (Kind::File { .. }, Kind::File { .. }) => "content",
        (Kind::Symlink { .. }, Kind::Symlink { .. }) => "target",
        (Kind::CharDevice { .. }, Kind::CharDevice { .. })
        | (Kind::BlockDevice { .. }, Kind::BlockDevice { .. }) => "device number",
        _ => "type",
    })
}
