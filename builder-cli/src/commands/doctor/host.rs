//! Looks at the host: facts, no judgement.
//!
//! Nothing is changed. What only trying can tell (a user namespace, overlayfs
//! in one) is tried by `unshare` of util-linux in a temporary directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What was seen. `None` where it could not be told.
#[derive(Debug, Clone)]
pub(super) struct Host {
    pub(super) uid: u32,
    pub(super) kernel: String,
    pub(super) architecture: String,
    pub(super) max_user_namespaces: Option<u64>,
    /// Debian's own switch.
    pub(super) unprivileged_userns_clone: Option<u64>,
    /// AppArmor's restriction (Ubuntu 23.10 and newer).
    pub(super) apparmor_restricts: Option<u64>,
    pub(super) user_namespace: Option<Result<(), String>>,
    /// Subordinate ids of this user: how many user and group ids.
    pub(super) subordinate: (u64, u64),
    pub(super) newuidmap: Option<Helper>,
    pub(super) newgidmap: Option<Helper>,
    pub(super) overlay: Option<Result<(), String>>,
    pub(super) fuse: Result<(), String>,
    pub(super) seccomp_actions: Option<String>,
    pub(super) store: PathBuf,
    pub(super) store_fs: Option<StoreFs>,
    pub(super) store_writable: Result<(), String>,
    pub(super) debian_keyring: bool,
}

/// A set-id helper of the package uidmap.
#[derive(Debug, Clone)]
pub(super) struct Helper {
    pub(super) path: PathBuf,
    /// Whether it is set-user-id (or may be privileged by file capabilities).
    pub(super) privileged: bool,
}

/// The file system that the store is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoreFs {
    /// Its magic number.
    pub(super) magic: u64,
    /// Bytes that this user may still write.
    pub(super) free: u64,
}

/// Looks.
pub(super) fn look(store: &Path, search_path: &[PathBuf]) -> Host {
    let uid = rustix::process::geteuid().as_raw();
    let uname = rustix::system::uname();
    let existing = store.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let names = [user_name(uid), Some(uid.to_string())];
    Host {
        uid,
        kernel: uname.release().to_string_lossy().into_owned(),
        architecture: uname.machine().to_string_lossy().into_owned(),
        max_user_namespaces: number("/proc/sys/user/max_user_namespaces"),
        unprivileged_userns_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
        apparmor_restricts: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
        user_namespace: if uid == 0 { None } else { try_user_namespace() },
        subordinate: (
            subordinate_ids(&read("/etc/subuid"), &names),
            subordinate_ids(&read("/etc/subgid"), &names),
        ),
        newuidmap: find("newuidmap", search_path),
        newgidmap: find("newgidmap", search_path),
        overlay: try_overlay(existing, uid == 0),
        fuse: fs::File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .map(drop)
            .map_err(|error| error.to_string()),
        seccomp_actions: fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").ok(),
        store: store.to_owned(),
        store_fs: rustix::fs::statfs(existing).ok().map(|fs| StoreFs {
            magic: fs.f_type.cast_unsigned(),
            free: fs.f_bavail * fs.f_bsize.cast_unsigned(),
        }),
        store_writable: tempfile::tempfile_in(existing).map(drop).map_err(|e| e.to_string()),
        debian_keyring: ["/usr/share/keyrings", "/etc/apt/trusted.gpg.d"]
            .iter()
            .any(|dir| has_debian_keyring(Path::new(dir))),
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn user_name(uid: u32) -> Option<String> {
    let passwd = read("/etc/passwd");
    let mut lines = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let uid = uid.to_string();
    lines.find(|fields| fields.get(2) == Some(&uid.as_str())).map(|fields| fields[0].to_owned())
}

/// How many ids `text` (of subuid(5)) grants to one of `names` in one range, as
/// a sandbox uses one.
fn subordinate_ids(text: &str, names: &[Option<String>]) -> u64 {
    let count = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let ours = names.iter().flatten().any(|known| known == name);
        let count: u64 = fields.nth(1)?.trim().parse().ok()?;
        ours.then_some(count)
    };
    text.lines().filter_map(count).max().unwrap_or(0)
}

fn find(name: &str, search_path: &[PathBuf]) -> Option<Helper> {
    let path = search_path.iter().map(|dir| dir.join(name)).find(|path| path.is_file())?;
    let mode = path.metadata().ok()?.permissions().mode();
    let mut value = [0; 64];
    let capable = rustix::fs::getxattr(&path, "security.capability", &mut value).is_ok();
    Some(Helper { privileged: mode & 0o4000 != 0 || capable, path })
}

fn has_debian_keyring(dir: &Path) -> bool {
    let names = fs::read_dir(dir).into_iter().flatten().flatten();
    names.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("debian-archive"))
}

/// Runs a command; `None` if there is none of that name.
fn attempt(command: &mut Command) -> Option<Result<(), String>> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    if output.status.success() {
        return Some(Ok(()));
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Some(Err(stderr.lines().next().unwrap_or("it failed without a word").to_owned()))
}

fn try_user_namespace() -> Option<Result<(), String>> {
    attempt(Command::new("unshare").args(["--user", "--map-root-user", "--mount", "true"]))
}

/// Mounts an overlay whose upper is where the store is or will be, in a mount
/// namespace that ends with the attempt.
fn try_overlay(beside: &Path, root: bool) -> Option<Result<(), String>> {
    let dir = tempfile::Builder::new().prefix(".phoenix-doctor-").tempdir_in(beside).ok()?;
    for name in ["lower", "upper", "work", "merged"] {
        fs::create_dir(dir.path().join(name)).ok()?;
    }
    let options = "lowerdir=lower,upperdir=upper,workdir=work";
    let mut command = Command::new("unshare");
    if root {
        command.args(["--mount"]);
    } else {
        command.args(["--user", "--map-root-user", "--mount"]);
    }
    let userxattr = if root { "" } else { ",userxattr" };
    // The work directory that overlayfs makes is 0000: the shell removes it,
    // as only this namespace may.
    let script = format!(
        "mount -t overlay overlay -o {options}{userxattr} merged && umount merged; e=$?; \
         rm -rf work; exit $e"
    );
    let result = attempt(command.args(["sh", "-c", &script]).current_dir(dir.path()));
    let _ = dir.close();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subordinate_ids_are_counted_by_name_and_number_and_rubbish_is_skipped() {
        let text = "alice:100000:65536\n1000:165536:1000\nbob:1:2\nalice\nalice:x:y\n\nalice::";
        let names = [Some("alice".to_owned()), Some("1000".to_owned())];
        assert_eq!(subordinate_ids(text, &names), 65_536);
        assert_eq!(subordinate_ids(text, &[None]), 0);
    }
}
