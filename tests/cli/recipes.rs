//! The recipes of the repository, as a new user meets them: root and an
//! ordinary user with subordinate ids build the same images, and these run.
//!
//! Needs the host's mirror of Debian and, for `python` and `node`, the indices
//! that pip and npm ask.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::tools;

/// Installs so many packages that it is built once only, by root.
const LARGE: &str = "node";

/// Whom this host trusts: it may be behind a proxy that signs for others.
pub(crate) const TRUST: &str = "/etc/ssl/certs/ca-certificates.crt";

/// An ordinary user, made for the test and removed with the value.
struct User {
    name: &'static str,
    uid: u32,
    gid: u32,
}

impl User {
    fn make(name: &'static str) -> Self {
        // It may be there: an interrupted test leaves it.
        let _ = Command::new("useradd").args(["--no-create-home", name]).output();
        let id = |flag: &str| {
            let id = tools::run("id", [flag, name]);
            id.trim().parse().expect("a number")
        };
        Self { name, uid: id("-u"), gid: id("-g") }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = Command::new("userdel").arg(self.name).output();
    }
}

/// Someone who builds: a directory with a store and a copy of the recipes.
struct Builder<'u> {
    dir: PathBuf,
    user: Option<&'u User>,
}

impl Builder<'_> {
    fn new<'u>(dir: &Path, user: Option<&'u User>) -> Builder<'u> {
        fs::create_dir(dir).expect("made");
        tools::run("cp", ["-r".as_ref(), recipes().as_os_str(), dir.join("recipes").as_os_str()]);
        Builder { dir: dir.to_owned(), user }
    }

    fn command(&self, args: &[&str]) -> Command {
        let phoenix = self.dir.parent().expect("it is below").join("phoenix");
        let mut command = Command::new(phoenix);
        command.args(args).env_clear().env("HOME", &self.dir).env("PATH", path());
        command.current_dir(&self.dir);
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    fn run(&self, args: &[&str]) -> String {
        tools::success(&mut self.command(args)).trim().to_owned()
    }

    /// Builds a recipe under its own name, and gives the digest.
    fn build(&self, name: &str, more: &[&str]) -> String {
        let recipe = format!("recipes/{name}");
        let trust = format!("id=ca,src={TRUST}");
        let mut args = vec!["build", "-q", &recipe, "-t", name];
        if Path::new(TRUST).is_file() {
            args.extend(["--secret", &trust]);
        }
        args.extend(more);
        self.run(&args)
    }
}

fn path() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

fn recipes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes")
}

/// The names of all recipes.
fn names() -> Vec<String> {
    let listed = fs::read_dir(recipes()).expect("recipes are there").flatten();
    let dirs = listed.filter(|entry| entry.path().join("recipe.yaml").is_file());
    let mut names: Vec<_> = dirs.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Whether this host can do it (if not, that is said loudly).
pub(crate) fn able() -> bool {
    if !tools::root() || !tools::have(&["useradd", "newuidmap", "unshare", "busybox"]) {
        return false;
    }
    let fuse = Path::new("/dev/fuse");
    if !fuse.exists() {
        tools::skip("no /dev/fuse");
        return false;
    }
    if fuse.metadata().expect("it is there").mode() & 0o006 != 0o006 {
        fs::set_permissions(fuse, fs::Permissions::from_mode(0o666)).expect("root may");
    }
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    if !release.contains("ID=debian") {
        tools::skip("the host's apt knows no Debian");
        return false;
    }
    true
}

/// A directory and all that is in it becomes the user's.
fn give(dir: &Path, user: &User) {
    tools::run("chown", ["-R", &format!("{}:{}", user.uid, user.gid), &dir.display().to_string()]);
}

#[test]
fn every_recipe_is_built_and_is_the_same_image_for_root_and_for_an_ordinary_user() {
    if !able() {
        return;
    }
    let place = tempfile::Builder::new().prefix("phoenix-recipes").tempdir().expect("a directory");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    // The user cannot enter the directory that cargo builds in.
    fs::copy(env!("CARGO_BIN_EXE_phoenix"), place.path().join("phoenix")).expect("copied");
    let user = User::make("phoenix-recipes");
    let root = Builder::new(&place.path().join("root"), None);
    let other = Builder::new(&place.path().join("user"), Some(&user));
    let names = names();
    assert_eq!(names, ["cache", "hello", "node", "python", "web"]);
    let mut digests = Vec::new();
    for name in &names {
        // Writes the lock that the second build is held to.
        digests.push(root.build(name, &[]));
        let lock = format!("recipes/{name}/recipe.lock");
        fs::copy(root.dir.join(&lock), other.dir.join(&lock)).expect("the build locks its base");
    }
    // Nothing but what was downloaded is taken over.
    let downloads = ".local/share/phoenix/phoenix/downloads";
    fs::create_dir_all(other.dir.join(downloads).parent().expect("below")).expect("made");
    let (from, to) = (root.dir.join(downloads), other.dir.join(downloads));
    tools::run("cp", ["-r".as_ref(), from.as_os_str(), to.as_os_str()]);
    give(&other.dir, &user);
    chown(&other.dir, Some(user.uid), Some(user.gid)).expect("root may");
    for (name, digest) in names.iter().zip(&digests).filter(|(name, _)| *name != LARGE) {
        assert_eq!(&other.build(name, &["--locked"]), digest, "{name}");
    }
    for builder in [&root, &other] {
        assert_eq!(builder.run(&["run", "hello"]), "Hello, Phoenix!");
        assert_eq!(builder.run(&["run", "hello", "hello", "you"]), "Hello, you!");
    }
    let page = page_of_web(&root);
    assert!(page.contains("<title>Golden: index</title>"), "{page}");
}

/// Starts the image `web` in a network of its own and asks for its page.
fn page_of_web(builder: &Builder<'_>) -> String {
    let script = r#"
        busybox ip link set lo up
        "$@" run web & server=$!
        trap 'kill $server; wait $server || true' EXIT
        for attempt in $(seq 200); do
            if busybox wget -q -O - http://127.0.0.1/; then exit 0; fi
            sleep 0.1
        done
        exit 1"#;
    let phoenix = builder.command(&[]);
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-ec", script, "sh"]).arg(phoenix.get_program());
    command.env_clear().env("HOME", &builder.dir).env("PATH", path());
    tools::success(&mut command)
}
