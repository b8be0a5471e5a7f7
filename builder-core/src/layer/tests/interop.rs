//! GNU tar reads what the writer wrote.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::process::{Command, Stdio};

use super::*;

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "whether tests may be skipped is told by the environment"
)]
fn gnu_tar_extracts_every_type_of_file_as_root() {
    if !rustix::process::geteuid().is_root() {
        let strict = std::env::var("PHOENIX_TESTS_STRICT").as_deref() == Ok("1");
        assert!(!strict, "must not skip: not root");
        eprintln!("SKIPPED: extracting devices and owners needs root");
        return;
    }
    let mut owned = Meta { uid: 3_000_000, gid: 7, ..Meta::root_owned(0o4755) };
    owned.mtime = Mtime { secs: 1_234_567_890, nanos: 123_456_789 };
    owned.xattrs.insert(b"user.note".to_vec(), b"a\nb=c".to_vec());
    let content = ContentDigest::of(b"tool");
    let long = format!("d/{}/{}", "p".repeat(200), "q".repeat(200));
    let mut tool = piece("d/tool", owned, Kind::File { size: 4, content });
    tool.1 = b"tool".to_vec();
    let pieces = [
        directory("d"),
        piece("d/block", Meta::root_owned(0o600), Kind::BlockDevice { major: 7, minor: 260 }),
        piece("d/char", Meta::root_owned(0o600), Kind::CharDevice { major: 1, minor: 3 }),
        piece("d/fifo", Meta::root_owned(0o600), Kind::Fifo),
        file(b"d/latin-\xe9", "latin"),
        file(long.as_bytes(), "long"),
        piece("d/sym", Meta::root_owned(0o777), Kind::Symlink { target: vec![b'x'; 400] }),
        tool,
        change("d/tool2", Change::Hardlink { target: path("d/tool") }),
    ];
    let scratch = scratch();
    let mut sorted = pieces.to_vec();
    sorted.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
    let desc = write(&scratch.store, Compression::Gzip, 2, &sorted).expect("written");
    let out = tempfile::tempdir().expect("a temp directory");
    let blob = scratch.store.blob_file(&desc.blob).expect("there");
    let run = Command::new("tar")
        .args(["-xzpf", "-", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-C"])
        .arg(out.path())
        .stdin(Stdio::from(blob))
        .output()
        .expect("GNU tar runs");
    // Not a warning either: no header that GNU tar does not know.
    assert!(run.status.success() && run.stderr.is_empty(), "{run:?}");
    let at = |name: &str| out.path().join(name);
    let stat = |name: &str| at(name).symlink_metadata().expect("extracted");
    assert_eq!((stat("d/tool").uid(), stat("d/tool").gid()), (3_000_000, 7));
    assert_eq!(stat("d/tool").mode() & 0o7777, 0o4755);
    assert_eq!((stat("d/tool").mtime(), stat("d/tool").mtime_nsec()), (1_234_567_890, 123_456_789));
    assert_eq!(stat("d/tool").ino(), stat("d/tool2").ino());
    assert_eq!(stat("d/tool").nlink(), 2);
    assert!(stat("d/fifo").file_type().is_fifo() && stat("d/char").file_type().is_char_device());
    assert_eq!(stat("d/block").rdev(), rustix::fs::makedev(7, 260));
    assert_eq!(std::fs::read(at(&long)).expect("extracted"), b"long");
    assert_eq!(std::fs::read_link(at("d/sym")).expect("a link").as_os_str().len(), 400);
    let mut value = [0; 16];
    match rustix::fs::getxattr(at("d/tool"), "user.note", &mut value) {
        Ok(len) => assert_eq!(&value[..len], b"a\nb=c"),
        Err(error) => assert_eq!(error, rustix::io::Errno::NOTSUP, "no xattrs on this file system"),
    }
}
