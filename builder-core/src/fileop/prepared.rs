//! An operation resolved: what its key holds, and the layer it writes.

use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::draft::{Content, Item};
use super::{FileOpError, Input, Inputs};
use crate::digest::ContentDigest;
use crate::layer::{
    Change, Compression, Entry, Kind, LayerDesc, LayerError, LayerPath, LayerWriter,
};
use crate::store::Store;
use crate::view::{Tree, TreeError};

/// Most entries that are named one by one.
const NAMED: usize = 2000;

/// From how many files of a context on it pays to hash on many threads.
const PARALLEL: usize = 32;

/// As [`LayerWriter::append`].
pub(super) type Append<'a> =
    dyn FnMut(&Entry, Option<&mut dyn Read>) -> Result<(), LayerError> + 'a;

/// Every entry of the layer that an operation would write, sorted, content
/// named by digest.
pub struct Prepared {
    items: Vec<(LayerPath, Item)>,
    inputs: Inputs,
}

impl Prepared {
    pub(super) fn new(
        mut items: Vec<(LayerPath, Item)>,
        inputs: Inputs,
    ) -> Result<Self, FileOpError> {
        for (number, input) in &inputs {
            digests(&mut items, *number, input)?;
        }
        Ok(Self { items, inputs })
    }

    /// Named hashes for the operation's key: each entry enters exactly one of
    /// them, whole (`file /app/x`). Where there are more than 2,000 entries,
    /// they are taken together by directory (`files below /app`).
    pub fn entries(&self) -> impl Iterator<Item = (String, String)> {
        let depth = self.depth();
        let groups = self.items.chunk_by(move |(a, _), (b, _)| match depth {
            Some(depth) => same_top(a, b, depth),
            None => false,
        });
        groups.map(move |group| {
            let mut hasher = blake3::Hasher::new();
            for (path, item) in group {
                item.change.hash_at(path, &mut hasher);
            }
            let name = match (group, depth) {
                ([(path, _)], _) => format!("file {}", path.display()),
                (group, depth) => format!("files below {}", top(group, depth.unwrap_or(0))),
            };
            (name, format!("blake3:{}", hasher.finalize().to_hex()))
        })
    }

    #[cfg(test)]
    pub(super) fn items(&self) -> impl Iterator<Item = (&LayerPath, &Change)> {
        self.items.iter().map(|(path, item)| (path, &item.change))
    }

    /// The greatest depth at which directories are few enough; `None` where
    /// each entry may be named.
    fn depth(&self) -> Option<usize> {
        if self.items.len() <= NAMED {
            return None;
        }
        let few = |depth: &usize| {
            let pairs = self.items.windows(2);
            pairs.filter(|pair| !same_top(&pair[0].0, &pair[1].0, *depth)).count() < NAMED
        };
        Some((1..=8).rev().find(few).unwrap_or(0))
    }

    /// Writes the layer; `None` where nothing changes. What is copied is read
    /// again and compared with the digests in the key.
    ///
    /// # Errors
    /// [`FileOpError`]; then the store has no new layer.
    pub fn write(
        &self,
        store: &Store,
        compression: Compression,
    ) -> Result<Option<LayerDesc>, FileOpError> {
        if self.items.is_empty() {
            return Ok(None);
        }
        let mut writer = LayerWriter::new(store, compression)?;
        self.append_all(&mut |entry, content| writer.append(entry, content))?;
        Ok(Some(writer.finish()?))
    }

    /// Gives every entry to `append`, with its content.
    pub(super) fn append_all(&self, append: &mut Append<'_>) -> Result<(), FileOpError> {
        for (path, item) in &self.items {
            let entry = Entry { path: path.clone(), change: item.change.clone() };
            match &item.content {
                Content::Nothing => append(&entry, None)?,
                Content::Inline(bytes) => append(&entry, Some(&mut &bytes[..]))?,
                Content::Copied(number, from) => {
                    let input = self.inputs.get(number).ok_or(FileOpError::NoSource)?;
                    copy(append, &entry, (input, from)).map_err(|e| explain(input, from, e))?;
                }
            }
        }
        Ok(())
    }
}

fn copy(
    append: &mut Append<'_>,
    entry: &Entry,
    (input, from): (&Input, &LayerPath),
) -> Result<(), FileOpError> {
    let Change::Present { kind: Kind::File { size, .. }, .. } = &entry.change else {
        return Ok(append(entry, None)?);
    };
    let mut content = input.tree.stream(from)?;
    append(entry, Some(&mut content.by_ref().take(*size)))?;
    // A file that grew is not the one that was hashed either. Its reader
    // checks the whole once it is at the end.
    let rest = content.read(&mut [0]);
    match rest.map_err(|source| LayerError::Content { path: from.display(), source })? {
        0 => Ok(()),
        more => Err(FileOpError::Layer(LayerError::ContentLength {
            path: from.display(),
            expected: *size,
            actual: size + more as u64,
        })),
    }
}

/// Gives an error that says that a file of the context changed its name.
pub(super) fn explain(input: &Input, from: &LayerPath, error: FileOpError) -> FileOpError {
    let changed = match &error {
        FileOpError::Layer(LayerError::Content { source, .. }) => {
            source.get_ref().is_some_and(is_changed) || gone(source)
        }
        FileOpError::Layer(error) => {
            matches!(error, LayerError::ContentDigest { .. } | LayerError::ContentLength { .. })
        }
        FileOpError::Tree(TreeError::Io { source, .. }) => gone(source),
        FileOpError::Tree(error) => {
            matches!(error, TreeError::Changed { .. } | TreeError::Type { .. })
        }
        _ => false,
    };
    match changed && input.is_context {
        true => FileOpError::Changed { path: from.display() },
        false => error,
    }
}

fn is_changed(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    error.downcast_ref::<TreeError>().is_some_and(|e| matches!(e, TreeError::Changed { .. }))
}

fn gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn same_top(a: &LayerPath, b: &LayerPath, depth: usize) -> bool {
    a.components().take(depth).eq(b.components().take(depth))
}

fn top(group: &[(LayerPath, Item)], depth: usize) -> String {
    let first = group.first().map(|(path, _)| path.components().take(depth).collect::<Vec<_>>());
    format!("/{}", String::from_utf8_lossy(&first.unwrap_or_default().join(&b'/')))
}

/// Fills in the digests of what is copied.
fn digests(
    items: &mut [(LayerPath, Item)],
    number: usize,
    Input { tree, is_context }: &Input,
) -> Result<(), FileOpError> {
    let (source, from_context) = (tree.as_ref(), *is_context);
    let mut wanted: Vec<(&LayerPath, &mut ContentDigest)> = items
        .iter_mut()
        .filter_map(|(_, item)| match (&item.content, &mut item.change) {
            (
                Content::Copied(at, from),
                Change::Present { kind: Kind::File { content, .. }, .. },
            ) if *at == number => Some((from, content)),
            _ => None,
        })
        .collect();
    // A layer's table has them at hand; a context may have to read its files,
    // if it did not for an earlier build.
    if from_context {
        wanted.retain_mut(|(path, digest)| match source.at_hand(path) {
            Some(known) => {
                **digest = known;
                false
            }
            None => true,
        });
    }
    let threads = match from_context && wanted.len() >= PARALLEL {
        true => std::thread::available_parallelism().map_or(1, |n| n.get().min(16)),
        false => 1,
    };
    if threads == 1 {
        for (path, digest) in wanted {
            *digest = source.content(path)?;
        }
        return Ok(());
    }
    let paths: Vec<&LayerPath> = wanted.iter().map(|(path, _)| *path).collect();
    for (index, digest) in hashed(&paths, source, threads)? {
        *wanted[index].1 = digest;
    }
    Ok(())
}

fn hashed(
    paths: &[&LayerPath],
    source: &dyn Tree,
    threads: usize,
) -> Result<Vec<(usize, ContentDigest)>, TreeError> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((index, path)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            paths.get(index).map(|path| (index, path))
        } {
            done.push((index, source.content(path)?));
        }
        Ok::<_, TreeError>(done)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut all = Vec::with_capacity(paths.len());
        for worker in workers {
            match worker.join() {
                Ok(done) => all.extend(done?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(all)
    })
}
