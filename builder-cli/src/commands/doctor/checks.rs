//! Judges what was seen: pure, so that every host can be tested on any.

use super::host::{Helper, Host};
use super::{Check, Level};
use crate::output::size;

/// Oldest kernel: overlayfs in a user namespace with `userxattr` came with 5.11;
/// all else is older (openat2 and `FUSE_NO_OPENDIR_SUPPORT` 5.6, close_range 5.9).
const OLDEST_KERNEL: (u32, u32) = (5, 11);
/// A user namespace needs this many ids for all of a distribution's users.
const ENOUGH_IDS: u64 = 65_536;
const LITTLE_SPACE: u64 = 2_000_000_000;

/// One check for each thing that a build needs, in the order to mend them.
pub(super) fn judge(host: &Host) -> Vec<Check> {
    let mut checks = vec![kernel(host), privilege(host)];
    if host.uid != 0 {
        checks.extend([user_namespaces(host), subordinate_ids(host)]);
    }
    checks.extend([overlay(host), fuse(host), seccomp(host), store(host), debian(host)]);
    checks
}

fn ok(name: &'static str, found: impl Into<String>) -> Check {
    Check { name, level: Level::Ok, found: found.into(), advice: None }
}

fn warn(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Check {
    Check { name, level: Level::Warn, found: found.into(), advice: Some(advice.into()) }
}

fn fail(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Check {
    Check { name, level: Level::Fail, found: found.into(), advice: Some(advice.into()) }
}

fn kernel(host: &Host) -> Check {
    let found = format!("Linux {} {}", host.kernel, host.architecture);
    let (major, minor) = OLDEST_KERNEL;
    match version(&host.kernel) {
        Some(version) if version >= OLDEST_KERNEL => ok("kernel", found),
        Some(_) => fail("kernel", found, format!("Linux {major}.{minor} or newer is needed")),
        None => warn("kernel", found, format!("Linux {major}.{minor} or newer is needed")),
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn privilege(host: &Host) -> Check {
    match host.uid {
        0 => ok("privilege", "root"),
        uid => ok("privilege", format!("rootless, as user {uid}")),
    }
}

fn user_namespaces(host: &Host) -> Check {
    const NAME: &str = "user namespaces";
    if host.max_user_namespaces == Some(0) {
        let advice = "sudo sysctl -w user.max_user_namespaces=15000";
        return fail(NAME, "user.max_user_namespaces is 0", advice);
    }
    if host.unprivileged_userns_clone == Some(0) {
        let advice = "sudo sysctl -w kernel.unprivileged_userns_clone=1";
        return fail(NAME, "kernel.unprivileged_userns_clone is 0", advice);
    }
    match (&host.user_namespace, host.apparmor_restricts) {
        (Some(Ok(())), _) => ok(NAME, "one could be made"),
        (_, Some(1..)) => fail(
            NAME,
            "restricted by AppArmor",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0\n\
             or an AppArmor profile for phoenix that allows `userns`",
        ),
        (Some(Err(error)), _) => fail(
            NAME,
            format!("none could be made: {error}"),
            "run as root, or let this user make user namespaces (in a container: \
             --security-opt seccomp=unconfined, or --privileged)",
        ),
        (None, _) => {
            warn(NAME, "not tried: there is no `unshare`", "install util-linux to have it tried")
        }
    }
}

fn subordinate_ids(host: &Host) -> Check {
    const NAME: &str = "subordinate ids";
    let (uids, gids) = host.subordinate;
    let single = "without them `run` steps have one user and group id only";
    let privileged = |helper: &Option<Helper>| helper.as_ref().is_some_and(|h| h.privileged);
    if host.newuidmap.is_none() || host.newgidmap.is_none() {
        let found = "newuidmap and newgidmap are not there";
        return warn(NAME, found, format!("sudo apt-get install uidmap ({single})"));
    }
    if !privileged(&host.newuidmap) || !privileged(&host.newgidmap) {
        let helpers = host.newuidmap.iter().chain(&host.newgidmap);
        let paths: Vec<_> = helpers.map(|helper| helper.path.display().to_string()).collect();
        let advice = format!("sudo chmod u+s {} ({single})", paths.join(" "));
        return warn(NAME, "newuidmap or newgidmap is not set-user-id", advice);
    }
    let found = format!("{uids} user ids, {gids} group ids");
    if uids.min(gids) >= ENOUGH_IDS {
        return ok(NAME, found);
    }
    let advice = format!(
        "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 \"$USER\"\n({single})"
    );
    warn(NAME, found, advice)
}

fn overlay(host: &Host) -> Check {
    const NAME: &str = "overlayfs";
    match &host.overlay {
        Some(Ok(())) if host.uid == 0 => ok(NAME, "mounts, with its upper at the store"),
        Some(Ok(())) => ok(NAME, "mounts in a user namespace, with its upper at the store"),
        Some(Err(error)) => fail(
            NAME,
            format!("does not mount: {error}"),
            "sudo modprobe overlay, and put the store on ext4, xfs, btrfs or tmpfs (--store); \
             else a copy of the base is made for each step",
        )
        .softened(),
        None => warn(NAME, "could not be tried", "see the store below; `unshare` is needed to try"),
    }
}

fn fuse(host: &Host) -> Check {
    match &host.fuse {
        Ok(()) => ok("fuse", "/dev/fuse opens"),
        Err(error) => warn(
            "fuse",
            format!("/dev/fuse: {error}"),
            "sudo modprobe fuse; sudo chmod 0666 /dev/fuse (in a container: --device /dev/fuse)\n\
             until then the base is written out for each step, which is slower",
        ),
    }
}

fn seccomp(host: &Host) -> Check {
    match &host.seccomp_actions {
        Some(actions) if actions.split_whitespace().any(|a| a == "errno") => {
            ok("seccomp", "filters work")
        }
        _ => fail("seccomp", "no filters", "a kernel with CONFIG_SECCOMP_FILTER is needed"),
    }
}

fn store(host: &Host) -> Check {
    let path = host.store.display();
    if let Err(error) = &host.store_writable {
        let advice = "choose another with --store or PHOENIX_STORE";
        return fail("store", format!("{path} cannot be written: {error}"), advice);
    }
    let Some(fs) = &host.store_fs else {
        return warn("store", format!("{path}"), "its file system could not be told");
    };
    let kind = file_system(fs.magic);
    let found = format!("{path} on {}, {} free", kind.unwrap_or("another kind"), size(fs.free));
    match kind {
        Some("nfs" | "cifs" | "fuse" | "overlayfs" | "9p") => {
            warn("store", found, "uppers of overlayfs need a local disk: choose one with --store")
        }
        Some("tmpfs") => warn("store", found, "it lives in memory and is gone after a restart"),
        _ if fs.free < LITTLE_SPACE => {
            warn("store", found, "a Debian base and a few steps need 2 GB")
        }
        _ => ok("store", found),
    }
}

fn debian(host: &Host) -> Check {
    if host.debian_keyring {
        return ok("debian keyring", "this host's own");
    }
    warn(
        "debian keyring",
        "none on this host",
        "`from: {debian: ...}` then needs `keyring` and `mirror` in the recipe\n\
         (or: sudo apt-get install debian-archive-keyring)",
    )
}

/// By statfs(2).
fn file_system(magic: u64) -> Option<&'static str> {
    Some(match magic {
        0xef53 => "ext4",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0xf2f5_2010 => "f2fs",
        0x2fc1_2fc1 => "zfs",
        0x0102_1994 => "tmpfs",
        0x6969 => "nfs",
        0xff53_4d42 | 0xfe53_4d42 => "cifs",
        0x6573_5546 => "fuse",
        0x794c_7630 => "overlayfs",
        0x0102_1997 => "9p",
        _ => return None,
    })
}

impl Check {
    /// The same as a warning, where there is a slower way.
    fn softened(self) -> Self {
        Self { level: Level::Warn, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::super::host::StoreFs;
    use super::*;

    fn good(uid: u32) -> Host {
        let helper = |name: &str| Some(Helper { path: name.into(), privileged: true });
        Host {
            uid,
            kernel: "6.1.0-13-amd64".to_owned(),
            architecture: "x86_64".to_owned(),
            max_user_namespaces: Some(15_000),
            unprivileged_userns_clone: Some(1),
            apparmor_restricts: None,
            user_namespace: (uid != 0).then_some(Ok(())),
            subordinate: (65_536, 65_536),
            newuidmap: helper("/usr/bin/newuidmap"),
            newgidmap: helper("/usr/bin/newgidmap"),
            overlay: Some(Ok(())),
            fuse: Ok(()),
            seccomp_actions: Some("kill_process errno allow\n".to_owned()),
            store: "/home/u/.local/share/phoenix".into(),
            store_fs: Some(StoreFs { magic: 0xef53, free: 50_000_000_000 }),
            store_writable: Ok(()),
            debian_keyring: true,
        }
    }

    #[test]
    fn good_host_has_nothing_to_mend_as_root_and_rootless() {
        for uid in [0, 1000] {
            let checks = judge(&good(uid));
            assert!(
                checks.iter().all(|c| c.level == Level::Ok && c.advice.is_none()),
                "{checks:?}"
            );
        }
    }

    #[test]
    fn each_lack_is_named_with_what_to_do() {
        type Change = fn(&mut Host);
        let refused = || Err("Operation not permitted".to_owned());
        let table: [(&str, Level, Change); 16] = [
            ("kernel", Level::Fail, |h| h.kernel = "5.10.0-28-amd64".to_owned()),
            ("kernel", Level::Fail, |h| h.kernel = "4.19".to_owned()),
            ("kernel", Level::Warn, |h| h.kernel = "rolling".to_owned()),
            ("user namespaces", Level::Fail, |h| h.max_user_namespaces = Some(0)),
            ("user namespaces", Level::Fail, |h| h.unprivileged_userns_clone = Some(0)),
            ("user namespaces", Level::Fail, |h| {
                h.apparmor_restricts = Some(1);
                h.user_namespace = Some(Err("write failed".to_owned()));
            }),
            ("user namespaces", Level::Warn, |h| h.user_namespace = None),
            ("subordinate ids", Level::Warn, |h| h.newuidmap = None),
            ("subordinate ids", Level::Warn, |h| {
                h.newgidmap = Some(Helper { path: "/x".into(), privileged: false });
            }),
            ("subordinate ids", Level::Warn, |h| h.subordinate = (65_536, 0)),
            ("overlayfs", Level::Warn, |h| h.overlay = Some(Err("unknown type".to_owned()))),
            ("fuse", Level::Warn, |h| h.fuse = Err("Permission denied".to_owned())),
            ("seccomp", Level::Fail, |h| h.seccomp_actions = None),
            ("store", Level::Warn, |h| {
                h.store_fs = Some(StoreFs { magic: 0x6969, free: u64::MAX });
            }),
            ("store", Level::Warn, |h| h.store_fs = Some(StoreFs { magic: 0xef53, free: 5 })),
            ("debian keyring", Level::Warn, |h| h.debian_keyring = false),
        ];
        for (name, level, change) in table {
            let mut host = good(1000);
            change(&mut host);
            let lacks: Vec<_> = judge(&host).into_iter().filter(|c| c.level != Level::Ok).collect();
            assert_eq!(lacks.len(), 1, "{name}: {lacks:?}");
            assert_eq!((lacks[0].name, lacks[0].level), (name, level));
            assert!(lacks[0].advice.is_some(), "{name}");
        }
        let mut host = good(1000);
        host.store_writable = refused();
        host.user_namespace = Some(refused());
        let lacks = judge(&host).into_iter().filter(|c| c.level == Level::Fail).count();
        assert_eq!(lacks, 2);
    }

    #[test]
    fn root_needs_no_user_namespace() {
        let mut host = good(0);
        host.max_user_namespaces = Some(0);
        host.newuidmap = None;
        host.subordinate = (0, 0);
        assert!(judge(&host).iter().all(|check| check.level == Level::Ok));
    }
}
