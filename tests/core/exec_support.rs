//! What the tests of `exec` share: a tree in memory with a busybox in it, a
//! runner, a sink that remembers.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use builder_core::digest::ContentDigest;
use builder_core::event::Stream;
use builder_core::exec::{
    Cancel, ExecError, Executor, Exit, Job, JobMount, JobSink, Keep, Process, RunnerPath, Sandbox,
};
use builder_core::layer::{Change, Entry, Kind, LayerPath, Meta};
use builder_core::view::{Node, NodeKind, ReadAt, Tree, TreeError};

/// Says loudly that a test does nothing here, or fails where it must not be so.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("PHOENIX_TESTS_STRICT").is_none(), "cannot run: {why}");
    eprintln!("SKIPPED: {why}");
}

/// The runner: built once, beside this test's own executable.
pub(crate) fn runner() -> PathBuf {
    std::env::var_os("EXEC_TEST_RUNNER")
        .map_or_else(|| crate::support::example::example("runner"), PathBuf::from)
}

/// A static busybox of this host.
pub(crate) fn busybox() -> Option<Vec<u8>> {
    ["/bin/busybox", "/usr/bin/busybox"].iter().find_map(|path| {
        let bytes = fs::read(path).ok()?;
        // A dynamic one names its loader.
        (!bytes.windows(7).any(|w| w == b"/ld-lin")).then_some(bytes)
    })
}

/// A tree in memory.
#[derive(Default, Clone)]
pub(crate) struct Memory(BTreeMap<LayerPath, (Node, Arc<Vec<u8>>)>);

pub(crate) fn path(text: &str) -> LayerPath {
    LayerPath::new(text).expect("a good path")
}

impl Memory {
    pub(crate) fn new() -> Self {
        let mut tree = Self::default();
        tree.put("/", 0o755, 0, NodeKind::Directory, b"");
        tree
    }
    pub(crate) fn put(&mut self, at: &str, mode: u32, uid: u32, kind: NodeKind, content: &[u8]) {
        let meta = Meta { uid, gid: uid, ..Meta::root_owned(mode) };
        self.0.insert(path(at), (Node { meta, kind, links: None }, Arc::new(content.to_vec())));
    }
    pub(crate) fn dir(mut self, at: &str) -> Self {
        self.put(at, 0o755, 0, NodeKind::Directory, b"");
        self
    }
    pub(crate) fn file(mut self, at: &str, mode: u32, content: &[u8]) -> Self {
        self.put(at, mode, 0, NodeKind::File { size: content.len() as u64 }, content);
        self
    }
    /// Puts any node.
    pub(crate) fn with(mut self, at: &[u8], node: Node, content: &[u8]) -> Self {
        let at = LayerPath::new(at).expect("a good path");
        self.0.insert(at, (node, Arc::new(content.to_vec())));
        self
    }
    pub(crate) fn link(mut self, at: &str, target: &str) -> Self {
        self.put(at, 0o777, 0, NodeKind::Symlink { target: target.into() }, b"");
        self
    }
}

impl Tree for Memory {
    fn has_xattrs(&self) -> bool {
        self.0.values().any(|(node, _)| !node.meta.xattrs.is_empty())
    }
    fn node(&self, path: &LayerPath) -> Result<Option<Node>, TreeError> {
        Ok(self.0.get(path).map(|(node, _)| node.clone()))
    }
    fn list(&self, path: &LayerPath) -> Result<Vec<(Vec<u8>, Node)>, TreeError> {
        let below = self.0.iter().filter(|(at, _)| at.parent().as_ref() == Some(path));
        Ok(below.map(|(at, (node, _))| (at.name().to_vec(), node.clone())).collect())
    }
    fn content(&self, path: &LayerPath) -> Result<ContentDigest, TreeError> {
        Ok(ContentDigest::of(&self.0[path].1))
    }
    fn open(&self, path: &LayerPath) -> Result<Arc<dyn ReadAt>, TreeError> {
        Ok(Arc::new(Bytes(self.0[path].1.clone())))
    }
}

struct Bytes(Arc<Vec<u8>>);

impl ReadAt for Bytes {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let rest = self.0.get(usize::try_from(offset).expect("small")..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}

/// A busybox and the few files that a root file system has.
pub(crate) fn base() -> Option<Memory> {
    let busybox = busybox()?;
    let mut tree = Memory::new().dir("bin").dir("etc").dir("home").dir("opt").dir("tmp");
    tree.put("tmp", 0o1777, 0, NodeKind::Directory, b"");
    tree = tree.file("bin/busybox", 0o755, &busybox);
    for name in
        "sh cat echo id ls mkdir rm rmdir mount umount chmod chown ln mv cp sleep hostname stat \
         ip ifconfig grep touch true false env pwd readlink unshare dd su mknod mkfifo kill head wc seq test"
            .split_whitespace()
    {
        tree = tree.link(&format!("bin/{name}"), "busybox");
    }
    let passwd = b"root:x:0:0:root:/root:/bin/sh\nwww:x:33:33:www:/opt:/bin/sh\n";
    Some(tree.file("etc/passwd", 0o644, passwd).file("etc/group", 0o644, b"root:x:0:\nwww:x:33:\n"))
}

/// Remembers all that a job gives.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) out: Vec<u8>,
    pub(crate) err: Vec<u8>,
    pub(crate) entries: BTreeMap<String, (Entry, Vec<u8>)>,
    /// Directories that hide what was there before.
    pub(crate) opaque: Vec<String>,
}

impl JobSink for Seen {
    fn output(&mut self, stream: Stream, bytes: &[u8]) {
        match stream {
            Stream::Stdout => self.out.extend_from_slice(bytes),
            Stream::Stderr => self.err.extend_from_slice(bytes),
        }
    }
    fn captured(&mut self, entry: &Entry, content: Option<&mut dyn Read>) -> io::Result<()> {
        if entry.change == Change::Opaque {
            self.opaque.push(entry.path.display());
            return Ok(());
        }
        let mut bytes = Vec::new();
        if let Some(content) = content {
            content.read_to_end(&mut bytes)?;
        }
        self.entries.insert(entry.path.display(), (entry.clone(), bytes));
        Ok(())
    }
}

impl Seen {
    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }
    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.err).into_owned()
    }
    /// Captured paths but the root, in order.
    pub(crate) fn paths(&self) -> Vec<&str> {
        self.entries.keys().map(String::as_str).filter(|path| *path != "/").collect()
    }
    pub(crate) fn meta(&self, path: &str) -> (&Meta, &Kind) {
        match &self.entries[path].0.change {
            Change::Present { meta, kind } => (meta, kind),
            other => panic!("{path} is {other:?}"),
        }
    }
}

/// A shell script as a process.
pub(crate) fn sh(script: &str) -> Process {
    let env = vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())];
    Process { env, ..Process::new(["/bin/sh", "-e", "-c", script]) }
}

/// A place to run jobs in.
pub(crate) struct Bench {
    pub(crate) sandbox: Sandbox,
    pub(crate) work: tempfile::TempDir,
    pub(crate) tree: Memory,
}

impl Bench {
    /// As this user; `None` (said loudly) where this host cannot.
    pub(crate) fn new() -> Option<Self> {
        let Some(tree) = base() else {
            skip("no static busybox (busybox-static)");
            return None;
        };
        if fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").is_err() {
            skip("/dev/fuse cannot be opened");
            return None;
        }
        let sandbox = Sandbox::detect(RunnerPath::Path(runner())).expect("there is a runner");
        Some(Self { sandbox, work: tempfile::tempdir().expect("a directory"), tree })
    }

    pub(crate) fn job(&self, process: Process, mounts: Vec<JobMount>) -> Job {
        let work = tempfile::tempdir_in(self.work.path()).expect("a directory").keep();
        Job {
            root: Arc::new(self.tree.clone()),
            work,
            process,
            mounts,
            keep: Keep::Capture,
            recorder: None,
        }
    }

    pub(crate) fn try_run(&self, job: Job, cancel: &Cancel) -> (Seen, Result<Exit, ExecError>) {
        let work = job.work.clone();
        let mut seen = Seen::default();
        let exit = self.sandbox.run(job, &mut seen, cancel);
        assert!(is_empty(&work), "the work directory is emptied");
        (seen, exit)
    }

    /// Runs a process that must run; it may fail.
    pub(crate) fn run(&self, process: Process, mounts: Vec<JobMount>) -> (Seen, Exit) {
        let (seen, exit) = self.try_run(self.job(process, mounts), &Cancel::new());
        let exit =
            exit.unwrap_or_else(|error| panic!("{error}: {:?}", std::error::Error::source(&error)));
        (seen, exit)
    }

    /// Runs a script that must succeed.
    pub(crate) fn sh(&self, script: &str) -> Seen {
        let (seen, exit) = self.run(sh(script), Vec::new());
        assert!(exit.success(), "{exit:?}: {} {}", seen.out(), seen.err());
        seen
    }
}

/// Runs an ignored test (`module::name`) as an ordinary user.
pub(crate) fn as_user(test: &str, user: &str) {
    if !rustix::process::geteuid().is_root() {
        skip("not root, so no user can be made");
        return;
    }
    let fuse = Path::new("/dev/fuse");
    if !fuse.exists() {
        skip("no /dev/fuse");
        return;
    }
    if !Path::new("/usr/bin/newuidmap").exists() {
        skip("no newuidmap (uidmap)");
        return;
    }
    let _ = Command::new("useradd").args(["--create-home", user]).stderr(Stdio::null()).status();
    let id = Command::new("id").args(["-u", user]).output().expect("id runs");
    let uid: u32 = String::from_utf8_lossy(&id.stdout).trim().parse().expect("the user is there");
    if fuse.metadata().expect("it is there").mode() & 0o006 != 0o006 {
        fs::set_permissions(fuse, fs::Permissions::from_mode(0o666)).expect("ours");
    }
    let place = tempfile::Builder::new().prefix("phoenix-user").tempdir().expect("a directory");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    let copies = [std::env::current_exe().expect("this"), runner()].map(|from| {
        let to = place.path().join(from.file_name().expect("a name"));
        fs::copy(&from, &to).expect("it is copied");
        to
    });
    let tmp = place.path().join("tmp");
    fs::create_dir(&tmp).expect("made");
    std::os::unix::fs::chown(&tmp, Some(uid), Some(uid)).expect("ours");
    let output = Command::new(&copies[0])
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env("TMPDIR", &tmp)
        .env("EXEC_TEST_RUNNER", &copies[1])
        .current_dir("/")
        .uid(uid)
        .gid(uid)
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    let _ = io::stderr().write_all(said.as_bytes());
}

pub(crate) fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).expect("a directory").next().is_none()
}
