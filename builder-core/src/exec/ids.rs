//! Which ids a sandbox can have on this host, and getting them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{getegid, geteuid};

use super::{ExecError, Process};

/// How ids inside a sandbox relate to the host's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdMap {
    /// The same: Phoenix is root, and there is no user namespace.
    Root,
    /// Root inside is the user; the others are of their subordinate ranges.
    Full {
        /// First and count of the user's range in `/etc/subuid`.
        uids: (u32, u32),
        /// First and count of the user's range in `/etc/subgid`.
        gids: (u32, u32),
    },
    /// Root inside is the user, and there is no other id.
    Single,
}

/// Where distributions put the programs that write maps.
const PROGRAMS: [&str; 4] = ["/usr/bin", "/bin", "/usr/local/bin", "/run/wrappers/bin"];

impl IdMap {
    /// What this user can have here.
    #[must_use]
    pub fn detect() -> Self {
        if geteuid().is_root() {
            return Self::Root;
        }
        let uid = geteuid().as_raw();
        let name = user_name(&fs::read_to_string("/etc/passwd").unwrap_or_default(), uid);
        let range = |file: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            subordinate(&text, uid, name.as_deref())
        };
        match (range("/etc/subuid"), range("/etc/subgid")) {
            (Some(uids), Some(gids))
                if program("newuidmap").is_some() && program("newgidmap").is_some() =>
            {
                Self::Full { uids, gids }
            }
            _ => Self::Single,
        }
    }

    /// Refuses, before it starts, a process that needs ids that there are not.
    pub(super) fn check(&self, process: &Process) -> Result<(), ExecError> {
        let (users, groups) = match self {
            Self::Root => return Ok(()),
            // The id at the count is the last: root itself is one more.
            Self::Full { uids, gids } => (uids.1, gids.1),
            Self::Single => (0, 0),
        };
        let refuse = |what: String| Err(ExecError::SingleId { what });
        if process.uid > users {
            return refuse(format!("user {}", process.uid));
        }
        if let Some(gid) = process.groups.iter().chain([&process.gid]).find(|gid| **gid > groups) {
            return refuse(format!("group {gid}"));
        }
        if process.needs_ids && *self == Self::Single {
            return refuse("installing packages".to_owned());
        }
        Ok(())
    }

    /// Writes the maps of a process in a new user namespace.
    pub(super) fn write(&self, pid: u32) -> Result<(), ExecError> {
        let Self::Full { uids, gids } = self else { return Ok(()) };
        write_map("newuidmap", pid, geteuid().as_raw(), *uids)?;
        write_map("newgidmap", pid, getegid().as_raw(), *gids)
    }
}

fn write_map(name: &str, pid: u32, own: u32, (first, count): (u32, u32)) -> Result<(), ExecError> {
    let fail = |stderr: String| ExecError::IdMapping { program: name.to_owned(), stderr };
    let path = program(name).ok_or_else(|| fail("not found".to_owned()))?;
    let args = [pid, 0, own, 1, 1, first, count].map(|number| number.to_string());
    let output = Command::new(path)
        .args(args)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|error| fail(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(fail(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

fn program(name: &str) -> Option<PathBuf> {
    PROGRAMS.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.exists())
}

fn user_name(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// The largest range of the user in a file like `/etc/subuid`.
fn subordinate(text: &str, uid: u32, name: Option<&str>) -> Option<(u32, u32)> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let who = fields.next()?;
            let range: (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
            (Some(who) == name || who.parse() == Ok(uid)).then_some(range)
        })
        .filter(|(first, count)| *count > 0 && first.checked_add(*count).is_some())
        .max_by_key(|(_, count): &(u32, u32)| *count)
}

/// The setting of this host that keeps ordinary users from user namespaces.
pub(super) fn restriction() -> Option<String> {
    restricted_by(&|path| fs::read_to_string(path).ok())
}

/// The same of a host whose settings `read` gives.
pub(super) fn restricted_by(read: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    const SETTINGS: [(&str, &str, &str); 3] = [
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        ("/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces=15000"),
    ];
    SETTINGS.iter().find_map(|(path, bad, cure)| {
        let value = read(path)?;
        (value.trim() == *bad).then(|| format!("{path} is {bad}; `sysctl -w {cure}`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_range_of_the_user_counts_by_name_or_number() {
        let text = "a:100000:65536\nb:5:1\n1000:200000:70000\n#c\na:x:1\na:4294967295:9\n";
        assert_eq!(subordinate(text, 7, Some("a")), Some((100_000, 65_536)));
        assert_eq!(subordinate(text, 1000, Some("a")), Some((200_000, 70_000)));
        assert_eq!(subordinate(text, 8, None), None);
        assert_eq!(user_name("root:x:0:0\na:x:7:7::/:/bin/sh", 7), Some("a".to_owned()));
    }

    #[test]
    fn ids_that_there_are_not_are_refused_before_the_start() {
        let process = |uid, gid, needs_ids| Process { uid, gid, needs_ids, ..Process::new(["x"]) };
        let full = IdMap::Full { uids: (100_000, 65_536), gids: (100_000, 65_536) };
        for (map, process, good) in [
            (IdMap::Root, process(99_999, 0, true), true),
            (full.clone(), process(65_534, 65_534, true), true),
            (full, process(65_537, 0, false), false),
            (IdMap::Single, process(0, 0, false), true),
            (IdMap::Single, process(33, 0, false), false),
            (IdMap::Single, process(0, 33, false), false),
            (IdMap::Single, process(0, 0, true), false),
        ] {
            let result = map.check(&process);
            assert_eq!(result.is_ok(), good, "{map:?} {process:?}");
            if let Err(error) = result {
                let text = error.to_string();
                assert!(text.contains("uidmap") && text.contains("/etc/subuid"), "{text}");
            }
        }
    }
}
