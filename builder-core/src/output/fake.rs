//! A tree in memory, and outputs of it read by GNU tar and by the kernel.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use super::local::{self, Owners};
use super::{OutputError, rootfs_tar};
use crate::digest::ContentDigest;
use crate::layer::{LayerPath, Meta};
use crate::view::{Links, Node, NodeKind, ReadAt, Tree, TreeError};

#[derive(Default)]
struct Fake {
    nodes: BTreeMap<LayerPath, (Node, Vec<u8>)>,
}

struct Bytes(Vec<u8>);

impl ReadAt for Bytes {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let start = usize::try_from(offset).expect("small").min(self.0.len());
        let length = buf.len().min(self.0.len() - start);
        buf[..length].copy_from_slice(&self.0[start..start + length]);
        Ok(length)
    }
}

impl Tree for Fake {
    fn node(&self, path: &LayerPath) -> Result<Option<Node>, TreeError> {
        Ok(self.nodes.get(path).map(|(node, _)| node.clone()))
    }
    fn list(&self, path: &LayerPath) -> Result<Vec<(Vec<u8>, Node)>, TreeError> {
        let below = self.nodes.iter().filter(|(at, _)| at.parent().as_ref() == Some(path));
        Ok(below.map(|(at, (node, _))| (at.name().to_vec(), node.clone())).collect())
    }
    fn content(&self, path: &LayerPath) -> Result<ContentDigest, TreeError> {
        Ok(ContentDigest::of(&self.nodes[path].1))
    }
    fn open(&self, path: &LayerPath) -> Result<Arc<dyn ReadAt>, TreeError> {
        Ok(Arc::new(Bytes(self.nodes[path].1.clone())))
    }
}

impl Fake {
    fn add(&mut self, path: impl AsRef<[u8]>, mode: u32, kind: NodeKind) -> &mut Node {
        let path = LayerPath::new(path).expect("a good path");
        let node = Node { meta: Meta::root_owned(mode), kind, links: None };
        &mut self.nodes.entry(path).or_insert((node, Vec::new())).0
    }

    fn file(&mut self, path: impl AsRef<[u8]>, mode: u32, content: &str) -> &mut Node {
        let size = content.len() as u64;
        let at = LayerPath::new(path.as_ref()).expect("a good path");
        self.add(path, mode, NodeKind::File { size });
        let entry = self.nodes.get_mut(&at).expect("just added");
        entry.1 = content.into();
        &mut entry.0
    }

    fn with_root() -> Self {
        let mut tree = Self::default();
        tree.add("", 0o755, NodeKind::Directory);
        tree
    }
}

/// One of every kind, and names and numbers that ustar cannot hold.
fn everything() -> Fake {
    let mut tree = Fake::with_root();
    tree.add("bin", 0o755, NodeKind::Directory);
    tree.file("bin/su", 0o4755, "set-id").meta.gid = 3_000_000;
    tree.file("bin/readonly", 0o444, "x").meta.xattrs =
        [(b"user.note".to_vec(), b"\0binary\n".to_vec())].into();
    tree.file("old", 0o644, "before 1970").meta.mtime.secs = -1_000;
    tree.file("fraction", 0o644, "f").meta.mtime.nanos = 500_000_000;
    tree.file(b"not-utf8-\xff\xfe", 0o644, "bytes");
    tree.file(format!("{0}/{0}/{0}", "n".repeat(120)), 0o600, "long");
    tree.add("n".repeat(120), 0o700, NodeKind::Directory);
    tree.add(format!("{0}/{0}", "n".repeat(120)), 0o1777, NodeKind::Directory);
    tree.add("link", 0o777, NodeKind::Symlink { target: vec![b't'; 300] });
    tree.add("pipe", 0o620, NodeKind::Fifo);
    tree.add("null", 0o666, NodeKind::CharDevice { major: 1, minor: 3 });
    tree.add("disk", 0o660, NodeKind::BlockDevice { major: 259, minor: 70_000 });
    let first = LayerPath::new("hard-1").expect("a good path");
    for name in ["hard-1", "zz/hard-2"] {
        tree.file(name, 0o640, "shared").links = Some(Links { first: first.clone(), count: 2 });
    }
    tree.add("zz", 0o755, NodeKind::Directory);
    tree
}

fn tar(tree: &Fake) -> Vec<u8> {
    let mut out = Vec::new();
    rootfs_tar::write_tree(tree, &mut out, &mut Vec::new()).expect("good");
    out
}

fn listing(dir: &Path) -> String {
    let format = "%P %y %m %U:%G %s %T@ %n %l\n";
    let find = Command::new("find").arg(dir).args(["!", "-type", "d", "-printf", format]).output();
    let find = find.expect("find runs");
    let format = "%P %y %m %U:%G %T@\n";
    let dirs = Command::new("find").arg(dir).args(["-type", "d", "-printf", format]).output();
    let both = [find.stdout, dirs.expect("find runs").stdout].concat();
    let mut lines: Vec<_> = String::from_utf8_lossy(&both).lines().map(ToOwned::to_owned).collect();
    lines.sort();
    lines.join("\n")
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "whether tests may be skipped is told by the environment"
)]
fn gnu_tar_makes_of_the_tar_what_local_makes_of_the_tree() {
    if !rustix::process::geteuid().is_root() {
        assert_ne!(std::env::var("PHOENIX_TESTS_STRICT").as_deref(), Ok("1"), "needs root");
        eprintln!("SKIPPED: owners and devices need root");
        return;
    }
    let (tree, dir) = (everything(), tempfile::tempdir().expect("a temporary directory"));
    let (there, mine) = (dir.path().join("gnu"), dir.path().join("local"));
    let archive = dir.path().join("x.tar");
    fs::write(&archive, tar(&tree)).expect("written");
    fs::create_dir(&there).expect("made");
    let mut gnu = Command::new("tar");
    gnu.args(["--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf"]).arg(&archive);
    let gnu = gnu.arg("-C").arg(&there).output().expect("tar runs");
    assert!(gnu.status.success(), "{}", String::from_utf8_lossy(&gnu.stderr));
    local::write_tree(&tree, mine.clone(), Owners::Image).expect("good");
    assert_eq!(listing(&there), listing(&mine));
    assert_eq!(listing(&mine).lines().count(), tree.nodes.len());
    let mut diff = Command::new("diff");
    diff.arg("-r").arg(there.join("bin")).arg(mine.join("bin"));
    assert!(diff.status().expect("diff runs").success());
    for root in [&there, &mine] {
        let mut value = [0; 16];
        let read = rustix::fs::getxattr(root.join("bin/readonly"), "user.note", &mut value[..]);
        assert_eq!(&value[..read.expect("there")], b"\0binary\n");
    }
}

#[test]
fn the_same_tree_is_the_same_tar() {
    assert!(tar(&everything()) == tar(&everything()));
}

#[test]
fn a_link_at_the_destination_is_replaced_and_never_followed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (outside, dest) = (dir.path().join("outside"), dir.path().join("dest"));
    fs::create_dir(&outside).expect("made");
    fs::write(outside.join("file"), "precious").expect("written");
    fs::create_dir(&dest).expect("made");
    symlink(&outside, dest.join("dir")).expect("made");
    symlink(outside.join("file"), dest.join("file")).expect("made");
    fs::write(dest.join("kept"), "kept").expect("written");
    let mut tree = Fake::with_root();
    tree.add("dir", 0o755, NodeKind::Directory);
    tree.file("dir/file", 0o644, "image");
    tree.file("file", 0o4644, "image");
    local::write_tree(&tree, dest.clone(), Owners::Caller).expect("good");
    assert_eq!(fs::read(outside.join("file")).expect("there"), b"precious");
    for (name, content) in [("dir/file", "image"), ("file", "image"), ("kept", "kept")] {
        assert_eq!(fs::read_to_string(dest.join(name)).expect("there"), content);
    }
    let mode = fs::metadata(dest.join("file")).expect("there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o644, "a caller's file has no set-id bit");
}

#[test]
fn a_directory_in_the_way_of_a_file_is_refused_and_stays() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir(dir.path().join("x")).expect("made");
    let mut tree = Fake::with_root();
    tree.file("x", 0o644, "image");
    let error = local::write_tree(&tree, dir.path().into(), Owners::Caller).expect_err("refused");
    assert!(matches!(error, OutputError::DirectoryInTheWay { .. }), "{error}");
    assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 1);
}
