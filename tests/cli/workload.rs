//! What the tests of faults build, where, and what may not be left after it.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::phoenix::{Home, Said, said};

const TOOLS: [&str; 16] = [
    "cat", "chown", "cp", "dd", "echo", "grep", "head", "ls", "mkdir", "rm", "sh", "sleep", "test",
    "touch", "true", "wc",
];

/// Says loudly that a test does nothing here, or fails where it must not be so.
pub(crate) fn skip(why: &str) {
    let strict = std::env::var_os("PHOENIX_TESTS_STRICT").is_some_and(|v| v == "1");
    assert!(!strict, "must not skip: {why}");
    println!("SKIPPED: {why}");
}

/// A directory with contexts and stores, and who builds there.
pub(crate) struct Place {
    pub(crate) home: Home,
    user: Option<u32>,
    program: PathBuf,
}

impl Place {
    /// Of whoever runs the tests.
    pub(crate) fn new() -> Self {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_phoenix"));
        Self { home: Home::new(), user: None, program }
    }

    /// The same with the base of [`Self::base`].
    pub(crate) fn with_base() -> Option<Self> {
        let place = Self::new();
        place.base("ctx/base.tar").then_some(place)
    }

    /// Gives all of it to an ordinary user with subordinate ids, who is made if
    /// need be; to be called when everything is there.
    pub(crate) fn of_user(mut self) -> Option<Self> {
        if !rustix::process::geteuid().is_root() || !Path::new("/usr/bin/newuidmap").exists() {
            skip("needs root, to be another user, and uidmap");
            return None;
        }
        let name = "phoenix-full";
        let _ =
            Command::new("useradd").args(["--create-home", name]).stderr(Stdio::null()).status();
        let id = Command::new("id").args(["-u", name]).output().expect("id runs");
        let uid: u32 = String::from_utf8_lossy(&id.stdout).trim().parse().expect("a user");
        let fuse = fs::metadata("/dev/fuse").expect("it was there");
        if fuse.permissions().mode() & 0o006 != 0o006 {
            fs::set_permissions("/dev/fuse", fs::Permissions::from_mode(0o666)).expect("ours");
        }
        // Where the tests are built may be closed to others.
        let program = self.home.path("phoenix");
        fs::copy(&self.program, &program).expect("copied");
        let owner = format!("{uid}:{uid}");
        let given = Command::new("chown").args(["-R", &owner]).arg(self.root()).status();
        assert!(given.expect("chown runs").success());
        (self.user, self.program) = (Some(uid), program);
        Some(self)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.home.path("")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        self.home.write(name, text);
    }

    /// Writes a tar with a shell; whether it can run here.
    pub(crate) fn base(&self, name: &str) -> bool {
        let busybox =
            ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|p| Path::new(p).exists());
        let fuse = File::options().read(true).write(true).open("/dev/fuse").is_ok();
        let Some(busybox) = busybox.filter(|_| fuse) else {
            skip("busybox-static or /dev/fuse is missing");
            return false;
        };
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("below the home")).expect("made");
        let mut tar = tar::Builder::new(File::create(path).expect("made"));
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o755);
        header.set_entry_type(tar::EntryType::Directory);
        for dir in ["bin/", "etc/", "tmp/"] {
            tar.append_data(&mut header, dir, &[][..]).expect("appended");
        }
        let busybox = fs::read(busybox).expect("read");
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(busybox.len() as u64);
        tar.append_data(&mut header, "bin/busybox", &busybox[..]).expect("appended");
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        for tool in TOOLS {
            let name = format!("bin/{tool}");
            tar.append_link(&mut header, name, "busybox").expect("appended");
        }
        tar.finish().is_ok()
    }

    /// Writes a context with a recipe that has every kind of work in it.
    pub(crate) fn whole_recipe(&self) {
        for number in 0..12 {
            self.write(&format!("ctx/app/f{number}"), &format!("file {number}\n"));
        }
        noise(&self.path("ctx/app/big"), 1 << 20);
        symlink("f1", self.path("ctx/app/link")).expect("linked");
        // By this the processes of its steps are known; it is in no image.
        let mark = format!("PLACE: {}", self.root().display());
        self.write("ctx/recipe.yaml", &WHOLE.replace("MARK", &mark));
    }

    /// `phoenix` as who this place is of.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).current_dir(self.root()).stdin(Stdio::null());
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("HOME", self.root()).env("PATH", path);
        if let Some(uid) = self.user {
            command.uid(uid).gid(uid);
        }
        command
    }

    /// `phoenix build ctx -t t:1` in a store of this place.
    pub(crate) fn build(&self, store: &str, more: &[&str]) -> Command {
        let args = [&["--store", store, "build", "ctx", "-t", "t:1"], more].concat();
        self.command(&args)
    }

    pub(crate) fn run(&self, args: &[&str]) -> Said {
        said(self.command(args).output().expect("phoenix starts"))
    }

    /// Builds to the end, which must be good; the image's digest.
    pub(crate) fn digest(&self, store: &str) -> String {
        self.digest_of(store, &[])
    }

    pub(crate) fn digest_of(&self, store: &str, more: &[&str]) -> String {
        let output = self.build(store, &[&["-q"], more].concat()).output();
        let said = said(output.expect("phoenix starts"));
        assert_eq!(said.code, Some(0), "{said:?}");
        said.stdout.trim().to_owned()
    }

    /// Waits until no process, mount or temporary file of a store is there.
    pub(crate) fn nothing_left(&self, store: &str) {
        let store = self.path(store);
        let work = store.join("phoenix/work");
        let name = store.to_str().expect("UTF-8").to_owned();
        let left = || {
            let mut left = Vec::new();
            let entries = fs::read_dir(&work).into_iter().flatten().flatten();
            left.extend(entries.map(|entry| entry.path().display().to_string()));
            left.extend(mentioned("mountinfo", &name).map(|pid| format!("a mount seen by {pid}")));
            left.extend(self.processes());
            left
        };
        let mounts = fs::read_to_string("/proc/mounts").expect("/proc");
        assert!(!mounts.contains(&name), "{mounts}");
        let begun = Instant::now();
        while !left().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(20), "left: {:#?}", left());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Processes of builds of this place: phoenix and steps have it in their
    /// environment, runners stand in it.
    fn processes(&self) -> Vec<String> {
        let root = self.root();
        let name = root.to_str().expect("UTF-8");
        let mut found: Vec<String> = mentioned("environ", name).collect();
        for entry in fs::read_dir("/proc").expect("/proc").flatten() {
            let at = |link: &str| fs::read_link(entry.path().join(link)).unwrap_or_default();
            if at("cwd").starts_with(&root) || at("exe").starts_with(&root) {
                let line = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
                found.push(format!("{}: {}", entry.path().display(), line.replace('\0', " ")));
            }
        }
        found
    }

    /// Checks that each blob is what its name says, and that no record and no
    /// name promises what is not there.
    pub(crate) fn store_is_whole(&self, store: &str) {
        use builder_core::digest::BlobDigest;
        let root = self.path(store);
        for entry in fs::read_dir(root.join("blobs/sha256")).expect("blobs").flatten() {
            let bytes = fs::read(entry.path()).expect("a blob");
            let name = entry.file_name().into_string().expect("hex");
            assert_eq!(BlobDigest::of(&bytes).hex(), name, "a damaged blob");
        }
        let store = builder_core::store::Store::open(&root).expect("a store");
        let named = builder_core::cache::Cache::new(store.clone()).named().expect("records");
        for layer in named.iter().flat_map(|named| &named.layers) {
            let size = store.blob_size(&layer.blob).expect("read");
            assert_eq!(size, Some(layer.size), "a record names {}", layer.blob);
        }
        let images = store.refs().expect("an index");
        let roots = images
            .iter()
            .map(|(_, descriptor)| builder_core::image::blob_digest(descriptor).expect("a digest"));
        let reached = builder_core::image::reach(&store, roots).expect("read");
        for blob in reached.blobs {
            assert!(store.blob_size(&blob).expect("read").is_some(), "an image needs {blob}");
        }
    }
}

/// Processes that have `word` in a file of their /proc.
fn mentioned(file: &'static str, word: &str) -> impl Iterator<Item = String> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    entries.filter_map(move |entry| {
        let text = fs::read(entry.path().join(file)).ok()?;
        let found = text.windows(word.len()).any(|part| part == word.as_bytes());
        found.then(|| entry.path().display().to_string())
    })
}

/// Writes `size` bytes that do not compress, the same ones every time.
pub(crate) fn noise(path: &Path, size: usize) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    fs::create_dir_all(path.parent().expect("below the home")).expect("made");
    let mut file = std::io::BufWriter::new(File::create(path).expect("made"));
    for _ in 0..size / 8 {
        file.write_all(&random.next().to_le_bytes()).expect("written");
    }
    file.flush().expect("written");
}

/// Xorshift: enough for moments in time.
pub(crate) struct Random(u64);

impl Random {
    /// From `PHOENIX_TEST_SEED`, or the clock; the seed is printed.
    pub(crate) fn seeded() -> Self {
        let given = std::env::var("PHOENIX_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
        let seed: u64 = given.unwrap_or(now.as_nanos() as u64) | 1;
        println!("PHOENIX_TEST_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A part of `whole`, evenly.
    pub(crate) fn part(&mut self, whole: Duration) -> Duration {
        whole.mul_f64((self.next() % 10_000) as f64 / 10_000.0)
    }
}

/// Tells threads of a scope to end, also where the test fails: else the scope
/// would wait for them for ever.
pub(crate) struct Over<'a>(pub(crate) &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until `holds`.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Two stages, a base from a tar, copies, steps with mounts, owners, a test.
const WHOLE: &str = r"
stages:
  build:
    from: {rootfs: base.tar}
    steps:
      - copy: [app/, /src/]
      - name: compile
        run:
          script: |
            mkdir -p /out /cache/x
            for i in 1 2 3 4; do cat /src/f* > /out/o$i; echo $i > /cache/x/$i; done
            cp /mnt/big /out/big
            chown 33:44 /out/o1 /cache/x/2
          env: {MARK}
          mounts:
            - {cache: objects, target: /cache}
            - {bind: app, target: /mnt}
      - run: chown 7:8 /src/f1; rm /src/f2; head -c 100000 /out/big > /out/small
  image:
    from: {rootfs: base.tar}
    steps:
      - copy: {from: build, src: /out/, dest: /app/}
      - run: echo made > /app/made
      - write: {path: /etc/motd, content: hello}
    config: {cmd: [/bin/sh]}
    tests:
      - grep -q hello /etc/motd
";
