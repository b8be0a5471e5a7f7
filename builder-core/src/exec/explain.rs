//! What a fault in the runner means on this host: pure, so that every host can
//! be tested on any.

use super::spec::{Fault, FaultKind};
use super::{ExecError, IdMap};

/// The error that a fault of the runner is; `restriction` is asked for the host's
/// setting only where it may be the cause.
pub(super) fn explain(
    fault: &Fault,
    map: &IdMap,
    restriction: impl FnOnce() -> Option<String>,
) -> ExecError {
    let source = fault.error();
    let denied = matches!(fault.errno, libc::EPERM | libc::EACCES | libc::ENOSPC | libc::EUSERS);
    let what = fault.what.clone();
    if denied
        && *map != IdMap::Root
        && matches!(fault.kind, FaultKind::UserNamespace | FaultKind::Setup | FaultKind::Fuse)
        && let Some(why) = restriction()
    {
        return ExecError::UserNamespaces { why };
    }
    match fault.kind {
        FaultKind::UserNamespace if denied && *map != IdMap::Root => {
            ExecError::UserNamespaces { why: format!("{what}: {source}") }
        }
        FaultKind::Setup | FaultKind::UserNamespace => ExecError::Setup { action: what, source },
        FaultKind::Fuse => ExecError::Fuse { source },
        FaultKind::Overlay => ExecError::Overlay { source },
        FaultKind::NotFound => ExecError::NotFound { program: what },
        FaultKind::NotExecutable => ExecError::NotExecutable { program: what, source },
        FaultKind::Cwd => ExecError::Cwd { cwd: what, source },
        FaultKind::Limit => ExecError::Limit { name: what, source },
        FaultKind::Mount => ExecError::Mount { target: what, why: source.to_string() },
        FaultKind::Capture => ExecError::Capture(what),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ids::restricted_by;
    use super::*;

    fn told(kind: FaultKind, errno: i32, map: &IdMap, setting: Option<(&str, &str)>) -> String {
        let fault = Fault { kind, what: "mounting /proc".to_owned(), errno };
        let read = |path: &str| setting.filter(|(p, _)| *p == path).map(|(_, v)| v.to_owned());
        let error = explain(&fault, map, || restricted_by(&read));
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    }

    #[test]
    fn what_a_host_forbids_is_named_with_the_command_that_allows_it() {
        let full = IdMap::Full { uids: (1, 65_536), gids: (1, 65_536) };
        let apparmor = Some(("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n"));
        let debian = Some(("/proc/sys/kernel/unprivileged_userns_clone", "0"));
        // AppArmor lets the namespace be made and denies what comes then.
        for kind in [FaultKind::Setup, FaultKind::UserNamespace, FaultKind::Fuse] {
            for map in [&full, &IdMap::Single] {
                let text = told(kind, libc::EACCES, map, apparmor);
                let cure = "`sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`";
                assert!(text.contains(cure) && text.contains("user namespaces"), "{text}");
            }
        }
        let text = told(FaultKind::UserNamespace, libc::EPERM, &full, debian);
        assert!(text.contains("`sysctl -w kernel.unprivileged_userns_clone=1`"), "{text}");
        let text = told(FaultKind::UserNamespace, libc::ENOSPC, &full, None);
        assert!(text.contains("user namespaces") && text.contains("mounting /proc"), "{text}");
    }

    #[test]
    fn a_setting_for_others_is_not_blamed() {
        let apparmor = Some(("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"));
        let root = told(FaultKind::Setup, libc::EPERM, &IdMap::Root, apparmor);
        assert!(root.starts_with("mounting /proc: "), "{root}");
        let other = told(FaultKind::Setup, libc::EIO, &IdMap::Single, apparmor);
        assert!(other.starts_with("mounting /proc: "), "{other}");
        let allowed = Some(("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "0"));
        let allowed = told(FaultKind::Setup, libc::EPERM, &IdMap::Single, allowed);
        assert!(allowed.starts_with("mounting /proc: "), "{allowed}");
    }

    #[test]
    fn a_kernel_without_overlayfs_or_fuse_is_told_apart() {
        let overlay = told(FaultKind::Overlay, libc::ENODEV, &IdMap::Single, None);
        assert!(overlay.contains("modprobe overlay") && overlay.contains("5.11"), "{overlay}");
        let fuse = told(FaultKind::Fuse, libc::ENOENT, &IdMap::Root, None);
        assert!(fuse.contains("modprobe fuse"), "{fuse}");
    }
}
