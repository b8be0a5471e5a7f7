//! The packages of a lock as the entries of one layer.
//!
//! In: a lock whose packages are in `downloads`. Out: entries in the
//! order of paths, with their contents. Packages are taken apart on all cores
//! into spools; nothing but the names is kept in memory.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::{Digest as _, Sha256};

use super::control;
use super::database::{self, Named};
use super::deb::{self, Contents, Data, DataEntry, Spool};
use super::merge::{Tree, Unpacked};
use super::{DebianError, Lock, LockedPackage, Progress, Report};
use super::{download, partial};
use crate::digest::ContentDigest;
use crate::event::Unit;
use crate::layer::{Change, Entry, Kind, LayerPath, Meta, Mtime, Xattrs};

/// Takes one entry of the layer and, for a file, its content.
pub(super) type Append<'s> =
    &'s mut dyn FnMut(&Entry, Option<&mut dyn Read>) -> Result<(), DebianError>;

/// A package taken apart, and the spool that its files are in.
struct Taken {
    contents: Contents,
    spool: usize,
}

/// Gives all entries of the layer to `append`. `work` is for temporary files.
pub(super) fn assemble(
    lock: &Lock,
    downloads: &Path,
    work: &Path,
    report: Report<'_>,
    append: Append<'_>,
) -> Result<(), DebianError> {
    let (taken, spools) = take_apart(lock, downloads, work, report)?;
    let replaces: Vec<String> = taken.iter().map(|t| field(&t.contents, "Replaces")).collect();
    let unpacked: Vec<Unpacked<'_>> = lock
        .packages
        .iter()
        .zip(&taken)
        .zip(&replaces)
        .map(|((package, taken), replaces)| Unpacked {
            name: &package.name,
            version: &package.version,
            replaces,
            contents: &taken.contents,
        })
        .collect();
    let mut tree = Tree::default();
    merged_usr(&unpacked, &mut tree)?;
    // base-files owns the directories that all others share.
    let mut order: Vec<usize> = (0..unpacked.len()).collect();
    order.sort_by_key(|at| (unpacked[*at].name != "base-files", unpacked[*at].name));
    for at in order {
        tree.add(at, &unpacked)?;
    }
    add_database(lock, &taken, &spools, &mut tree)?;
    put(&mut tree, "etc/apt/sources.list", 0o644, sources_list(lock).into_bytes())?;
    write(&tree, &taken, &spools, append)
}

fn field(contents: &Contents, name: &str) -> String {
    let control = control::paragraphs(&contents.control, "control").unwrap_or_default();
    control.first().and_then(|c| c.get(name)).unwrap_or("").to_owned()
}

/// The image's apt sources: the mirrors of the lock.
fn sources_list(lock: &Lock) -> String {
    let line = |s: &super::LockedSource| {
        format!("deb {} {} {}\n", s.mirror, s.suite, s.components.join(" "))
    };
    lock.sources.iter().map(line).collect()
}

/// Takes all packages apart, on all cores.
fn take_apart(
    lock: &Lock,
    downloads: &Path,
    work: &Path,
    report: Report<'_>,
) -> Result<(Vec<Taken>, Vec<File>), DebianError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let mut order: Vec<usize> = (0..lock.packages.len()).collect();
    // The largest first, so that no core is left with one at the end.
    order.sort_by_key(|at| std::cmp::Reverse(lock.packages[*at].size));
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let results: Mutex<BTreeMap<usize, Taken>> = Mutex::default();
    let worker = |spool_at: usize| -> Result<File, DebianError> {
        let path = work.join(format!("spool-{spool_at}"));
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let mut spool = Spool::new(file.map_err(DebianError::io("making", &path))?);
        while let Some(&at) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            let package = &lock.packages[at];
            let taken = take(package, downloads, &mut spool).inspect_err(|_| {
                next.store(order.len(), Ordering::Relaxed);
            })?;
            results
                .lock()
                .expect("no holder panics")
                .insert(at, Taken { contents: taken, spool: spool_at });
            report(Progress {
                what: "unpacking",
                done: done.fetch_add(1, Ordering::Relaxed) as u64 + 1,
                total: Some(order.len() as u64),
                unit: Unit::Items,
            });
        }
        spool.finish().map_err(DebianError::io("writing", &path))
    };
    let spools: Result<Vec<File>, DebianError> = std::thread::scope(|scope| {
        let worker = &worker;
        let threads: Vec<_> = (0..threads).map(|at| scope.spawn(move || worker(at))).collect();
        threads.into_iter().map(|t| t.join().expect("taking apart does not panic")).collect()
    });
    let spools = spools?;
    Ok((results.into_inner().expect("no holder panics").into_values().collect(), spools))
}

/// Takes one package apart, after checking its digest.
fn take(
    package: &LockedPackage,
    downloads: &Path,
    spool: &mut Spool,
) -> Result<Contents, DebianError> {
    let path = download::path_of(downloads, &package.sha256);
    let mut file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(DebianError::NotFetched { package: package.name.clone() });
        }
        other => other.map_err(DebianError::io("reading", &path))?,
    };
    let fail = |reason: String| DebianError::Package { package: package.name.clone(), reason };
    let mut hash = Sha256::new();
    partial::copy_into(&mut file, &mut hash).map_err(DebianError::io("reading", &path))?;
    if <[u8; 32]>::from(hash.finalize()) != *package.sha256.as_bytes() {
        return Err(fail("the downloaded file is damaged".into()));
    }
    deb::read(&mut file, spool).map_err(fail)
}

/// Links `/bin` and the like into `/usr`, where the set has a package that
/// says that the base is so.
fn merged_usr(packages: &[Unpacked<'_>], tree: &mut Tree) -> Result<(), DebianError> {
    if !packages.iter().any(|p| matches!(p.name, "usrmerge" | "usr-is-merged")) {
        return Ok(());
    }
    let used = |name: &str| {
        let entries = packages.iter().flat_map(|p| &p.contents.entries);
        entries.into_iter().any(|e| e.path.components().next() == Some(name.as_bytes()))
    };
    for name in ["bin", "sbin", "lib", "lib32", "lib64", "libo32", "libx32"] {
        if used(name) {
            let data = Data::Symlink(format!("usr/{name}").into_bytes());
            tree.put(DataEntry::plain(own_path(name)?, 0o777, data));
            tree.put(DataEntry::plain(own_path(&format!("usr/{name}"))?, 0o755, Data::Directory));
        }
    }
    Ok(())
}

fn own_path(path: &str) -> Result<LayerPath, DebianError> {
    LayerPath::new(path)
        .map_err(|e| DebianError::Package { package: path.into(), reason: e.to_string() })
}

/// Puts a file of ours where the path leads.
fn put(tree: &mut Tree, path: &str, mode: u32, content: Vec<u8>) -> Result<(), DebianError> {
    let place = tree.place(&own_path(path)?);
    let place = place.map_err(|reason| DebianError::Package { package: path.into(), reason })?;
    tree.put(DataEntry::plain(place, mode, Data::Bytes(content)));
    Ok(())
}

fn add_database(
    lock: &Lock,
    taken: &[Taken],
    spools: &[File],
    tree: &mut Tree,
) -> Result<(), DebianError> {
    let read = |spool: usize| {
        move |offset: u64, size: u64| {
            let mut bytes = Vec::new();
            Spooled { file: &spools[spool], offset, left: size }
                .read_to_end(&mut bytes)
                .map(|_| bytes)
        }
    };
    let readers: Vec<_> = taken.iter().map(|t| read(t.spool)).collect();
    let named: Vec<Named<'_>> = lock
        .packages
        .iter()
        .zip(taken)
        .zip(&readers)
        .map(|((p, t), read)| Named { name: &p.name, arch: &p.arch, contents: &t.contents, read })
        .collect();
    let files = database::files(&named, &lock.arch)
        .map_err(|reason| DebianError::Package { package: "dpkg's database".into(), reason })?;
    for (path, mode, content) in files {
        put(tree, &path, mode, content)?;
    }
    Ok(())
}

/// A part of a spool.
struct Spooled<'f> {
    file: &'f File,
    offset: u64,
    left: u64,
}

impl Read for Spooled<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let n = self.file.read_at(&mut buf[..want], self.offset)?;
        self.offset += n as u64;
        self.left -= n as u64;
        Ok(n)
    }
}

/// Writes the tree in the order of paths. Of a link group the first name is
/// the file and the others are links to it.
fn write(
    tree: &Tree,
    taken: &[Taken],
    spools: &[File],
    append: Append<'_>,
) -> Result<(), DebianError> {
    let first = first_names(tree)?;
    for (path, node) in &tree.nodes {
        let target = match &node.entry.data {
            Data::Hardlink(target) => Some(end_of_links(tree, target)?),
            Data::File { .. } => Some(path),
            _ => None,
        };
        let entry = target.map_or(node, |target| &tree.nodes[target]);
        match target.and_then(|target| first.get(target)) {
            Some(first) if *first != path => {
                let change = Change::Hardlink { target: (*first).clone() };
                append(&Entry { path: path.clone(), change }, None)?;
                continue;
            }
            _ => {}
        }
        let unknown = ContentDigest::from_bytes([0; 32]);
        let (kind, content): (Kind, Option<Box<dyn Read + '_>>) = match &entry.entry.data {
            Data::File { offset, size } => {
                let spool = entry.package.map_or(0, |at| taken[at].spool);
                let reader = Spooled { file: &spools[spool], offset: *offset, left: *size };
                (Kind::File { size: *size, content: unknown }, Some(Box::new(reader)))
            }
            Data::Bytes(bytes) => {
                let kind =
                    Kind::File { size: bytes.len() as u64, content: ContentDigest::of(bytes) };
                (kind, Some(Box::new(&bytes[..])))
            }
            Data::Directory => (Kind::Directory, None),
            Data::Symlink(target) => (Kind::Symlink { target: target.clone() }, None),
            Data::Char(major, minor) => (Kind::CharDevice { major: *major, minor: *minor }, None),
            Data::Block(major, minor) => (Kind::BlockDevice { major: *major, minor: *minor }, None),
            Data::Fifo => (Kind::Fifo, None),
            Data::Hardlink(_) => unreachable!("the end of links is a file"),
        };
        let DataEntry { path: _, mode, uid, gid, mtime, data: _ } = &entry.entry;
        let mtime = if kind.is_dir() { Mtime::CONSTANT } else { *mtime };
        let meta = Meta { mode: *mode, uid: *uid, gid: *gid, mtime, xattrs: Xattrs::new() };
        let entry = Entry { path: path.clone(), change: Change::Present { meta, kind } };
        match content {
            Some(mut content) => append(&entry, Some(&mut *content))?,
            None => append(&entry, None)?,
        }
    }
    Ok(())
}

/// The file that a hard link leads to in the end.
fn end_of_links<'t>(
    tree: &'t Tree,
    mut target: &'t LayerPath,
) -> Result<&'t LayerPath, DebianError> {
    for _ in 0..40 {
        match tree.nodes.get(target).map(|n| &n.entry.data) {
            Some(Data::Hardlink(next)) => target = next,
            Some(Data::File { .. }) => return Ok(target),
            _ => break,
        }
    }
    let reason = "a hard link leads to no file".to_owned();
    Err(DebianError::Package { package: target.display(), reason })
}

/// For each file that has several names, the first of them.
fn first_names(tree: &Tree) -> Result<BTreeMap<&LayerPath, &LayerPath>, DebianError> {
    let mut first = BTreeMap::new();
    for (path, node) in &tree.nodes {
        if let Data::Hardlink(target) = &node.entry.data {
            let file = end_of_links(tree, target)?;
            first.entry(file).or_insert(path.min(file));
        }
    }
    Ok(first)
}
