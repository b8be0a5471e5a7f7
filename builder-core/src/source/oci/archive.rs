//! The members of a tar archive by name, read in place.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use super::OciError;
use super::headers::Headers;
use crate::source::inflate;
use crate::store::{Store, WorkDir};

/// The most members of an archive.
pub const MAX_MEMBERS: usize = 200_000;
/// The most bytes that a compressed archive may inflate to.
pub const MAX_INFLATED: u64 = 64 << 30;
/// The most links that are followed for one name.
pub(super) const MAX_LINKS: u32 = 8;

/// Where a member's bytes stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) size: u64,
}

#[derive(Debug)]
enum Member {
    File(Place),
    /// Another member's name.
    Link(String),
}

/// An indexed archive.
#[derive(Debug)]
pub(super) struct Archive {
    pub(super) file: File,
    members: HashMap<String, Member>,
    /// Holds the inflated file, where there is one.
    _work: Option<WorkDir>,
}

impl Archive {
    /// Opens and indexes an archive, inflating it first if it is compressed.
    pub(super) fn open(store: &Store, path: &Path, file: File) -> Result<Self, OciError> {
        let io = |source| OciError::Io { path: path.to_owned(), source };
        let (file, work) = match inflate::Packing::of(&file).map_err(io)? {
            inflate::Packing::None => (file, None),
            packing => {
                let work = store.work_dir()?;
                (unpack(store, path, file, packing, &work)?, Some(work))
            }
        };
        let members = index(path, &file)?;
        Ok(Self { file, members, _work: work })
    }

    /// Where a file stands; links are followed, inside the archive.
    pub(super) fn find(&self, name: &str) -> Option<Place> {
        let mut name = normal(name)?;
        for _ in 0..MAX_LINKS {
            match self.members.get(&name)? {
                Member::File(place) => return Some(*place),
                Member::Link(target) => name.clone_from(target),
            }
        }
        None
    }
}

fn unpack(
    store: &Store,
    path: &Path,
    file: File,
    packing: inflate::Packing,
    work: &WorkDir,
) -> Result<File, OciError> {
    let io = |source| OciError::Io { path: path.to_owned(), source };
    let mut inflated = File::options()
        .create_new(true)
        .read(true)
        .write(true)
        .open(work.path().join("archive.tar"))
        .map_err(io)?;
    let reader = packing.reader(file).map_err(io)?;
    let mut reader = store.cancel().guard(reader).take(MAX_INFLATED + 1);
    let length = io::copy(&mut reader, &mut inflated).map_err(io)?;
    if length > MAX_INFLATED {
        let reason = format!("it inflates to more than {MAX_INFLATED} bytes");
        return Err(OciError::Archive { path: path.to_owned(), reason });
    }
    inflated.flush().map_err(io)?;
    Ok(inflated)
}

fn index(path: &Path, file: &File) -> Result<HashMap<String, Member>, OciError> {
    let io = |source| OciError::Io { path: path.to_owned(), source };
    let refuse = |reason: String| OciError::Archive { path: path.to_owned(), reason };
    let length = file.metadata().map_err(io)?.len();
    let mut handle = file;
    handle.seek(SeekFrom::Start(0)).map_err(io)?;
    let headers = Headers::new();
    let mut archive = tar::Archive::new(headers.of(handle));
    let mut entries = archive.entries_with_seek().map_err(io)?;
    let mut members = HashMap::new();
    while let Some(entry) = headers.next(&mut entries) {
        let entry = entry.map_err(|error| refuse(error.to_string()))?;
        if members.len() >= MAX_MEMBERS {
            return Err(refuse(format!("it has more than {MAX_MEMBERS} members")));
        }
        let raw = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some(name) = normal(&raw) else {
            return Err(refuse(format!("the member `{raw}` leads out of it")));
        };
        let member = match entry.header().entry_type() {
            tar::EntryType::Regular | tar::EntryType::Continuous => {
                let place = Place { offset: entry.raw_file_position(), size: entry.size() };
                if place.offset.checked_add(place.size).is_none_or(|end| end > length) {
                    return Err(refuse(format!("it is cut off in `{name}`")));
                }
                Member::File(place)
            }
            kind @ (tar::EntryType::Symlink | tar::EntryType::Link) => {
                let target = entry.link_name_bytes().unwrap_or_default();
                let target = String::from_utf8_lossy(&target).into_owned();
                let base = if kind == tar::EntryType::Symlink { parent(&name) } else { "" };
                match normal(&format!("{base}/{target}")) {
                    Some(target) => Member::Link(target),
                    None => return Err(refuse(format!("the link `{name}` leads out of it"))),
                }
            }
            tar::EntryType::Directory => continue,
            kind => return Err(refuse(format!("the member `{name}` is of type {kind:?}"))),
        };
        // As for tar itself, the last of a name counts.
        members.insert(name, member);
    }
    Ok(members)
}

pub(super) fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// `a/./b/../c` as `a/c`; `None` for what climbs above the top.
pub(super) fn normal(name: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_ustar();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            let mut data = *content;
            if kind.is_symlink() || kind.is_hard_link() {
                header.as_mut_bytes()[157..157 + content.len()].copy_from_slice(content.as_bytes());
                data = "";
            }
            header.set_size(data.len() as u64);
            header.set_cksum();
            builder.append(&header, data.as_bytes()).expect("in memory");
        }
        builder.into_inner().expect("in memory")
    }

    fn indexed(bytes: &[u8]) -> Result<Archive, OciError> {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(bytes).expect("written");
        let members = index(Path::new("x.tar"), &file)?;
        Ok(Archive { file, members, _work: None })
    }

    const FILE: tar::EntryType = tar::EntryType::Regular;
    const SYMLINK: tar::EntryType = tar::EntryType::Symlink;

    #[test]
    fn members_are_found_by_name_and_through_links() {
        let bytes = archive(&[
            ("./a/layer.tar", FILE, "content"),
            ("b/layer.tar", SYMLINK, "../a/layer.tar"),
            ("loop", SYMLINK, "loop"),
        ]);
        let archive = indexed(&bytes).expect("good");
        let place = archive.find("b/layer.tar").expect("there");
        let at = usize::try_from(place.offset).expect("small");
        assert_eq!(&bytes[at..at + 7], b"content");
        assert!(archive.find("loop").is_none());
        assert!(archive.find("../a/layer.tar").is_none());
    }

    #[test]
    fn a_sparse_archive_takes_no_more_memory_than_headers_may_have() {
        use super::super::headers::tests::header;
        use tar::EntryType::{GNULongLink, GNULongName, XHeader};
        const SIZE: u64 = 60 << 30;
        for kind in [GNULongName, GNULongLink, XHeader] {
            let mut file = tempfile::tempfile().expect("a temporary file");
            file.write_all(&header(kind, SIZE)).expect("written");
            file.set_len(512 + SIZE + 512).expect("a sparse file");
            let error = index(Path::new("x.tar"), &file).expect_err("its header is too long");
            let OciError::Archive { reason, .. } = &error else { panic!("{error}") };
            assert!(reason.contains("too long"), "{error}");
            let went = file.stream_position().expect("a position");
            assert!(went <= 8 << 20, "{kind:?}: {went}");
        }
    }

    #[test]
    fn hostile_archives_are_refused() {
        let good = archive(&[("a", FILE, "0123456789")]);
        let broken = [&good[..100], &[b'x'; 412], &good[512..]].concat();
        for (what, bytes) in [
            ("name that climbs", archive(&[("a/../../b", FILE, "")])),
            ("link that climbs", archive(&[("a", SYMLINK, "../b")])),
            ("device", archive(&[("a", tar::EntryType::Char, "")])),
            ("cut off in content", good[..515].to_vec()),
            ("cut off in a header", good[..300].to_vec()),
            ("bad checksum", broken),
        ] {
            assert!(matches!(indexed(&bytes), Err(OciError::Archive { .. })), "{what}");
        }
    }
}
