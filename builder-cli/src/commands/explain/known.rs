//! Paths that are well known to make many steps run, and how to order steps for
//! them: pure.

/// What such a path is, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    /// What it is.
    pub(super) what: &'static str,
    /// What to do.
    pub(super) hint: &'static str,
}

const PACKAGES: Known = Known {
    what: "the package database",
    hint: "all that installs packages changes it and all that asks for packages reads it: install \
           in few steps, above those that only use what is installed",
};

/// A beginning of paths, or (`*` first) an end of them, and what they are.
const TABLE: [(&str, Known); 16] = [
    ("/var/lib/dpkg", PACKAGES),
    ("/var/lib/rpm", PACKAGES),
    ("/lib/apk/db", PACKAGES),
    (
        "/etc/ld.so.cache",
        Known {
            what: "the cache of shared libraries",
            hint: "every program that is linked to libraries reads it, and what installs a library \
                   writes it: install libraries above the steps that run programs",
        },
    ),
    (
        "/etc/passwd",
        Known {
            what: "the users",
            hint: "whatever looks up a name reads it: add users and install services above the \
                   steps that only run programs",
        },
    ),
    (
        "/etc/group",
        Known {
            what: "the groups",
            hint: "whatever looks up a name reads it: add groups and install services above the \
                   steps that only run programs",
        },
    ),
    (
        "/etc/nsswitch.conf",
        Known { what: "how names are looked up", hint: "set it up in the base or a first step" },
    ),
    (
        "*/__pycache__",
        Known {
            what: "compiled Python modules",
            hint: "Python looks for them beside each module and writes them where it may: compile \
                   once where packages are installed, or set PYTHONDONTWRITEBYTECODE=1",
        },
    ),
    (
        "/var/lib/apt/lists",
        Known {
            what: "the package lists of apt",
            hint: "`packages:` leaves none behind; else remove them in the step that fetched them, \
                   or keep them in a cache mount",
        },
    ),
    (
        "/var/cache/apt",
        Known {
            what: "the package cache of apt",
            hint: "`packages:` leaves none behind; else keep it in a cache mount",
        },
    ),
    (
        "/var/cache/debconf",
        Known {
            what: "answers to questions of packages",
            hint: "what installs packages writes them: install in few steps, above the others",
        },
    ),
    (
        "/etc/alternatives",
        Known {
            what: "which of several programs a name means",
            hint: "packages set them: install above the steps that use such a name",
        },
    ),
    (
        "/var/cache/fontconfig",
        Known { what: "the cache of fonts", hint: "install fonts above the steps that use them" },
    ),
    (
        "/usr/share/mime",
        Known { what: "the database of file types", hint: "packages write it: install them first" },
    ),
    (
        "/tmp",
        Known {
            what: "temporary files",
            hint: "an earlier step left some: remove them in it, or mount a tmpfs there",
        },
    ),
    (
        "/root/.cache",
        Known {
            what: "a cache in a home directory",
            hint: "put a cache mount there, so that it is in no layer",
        },
    ),
];

/// What is known of a path of a step's root.
pub(super) fn known(path: &str) -> Option<Known> {
    let is = |pattern: &str| match pattern.strip_prefix('*') {
        Some(part) => path.ends_with(part) || path.contains(&format!("{part}/")),
        None => {
            path.strip_prefix(pattern).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
    };
    TABLE.iter().find(|(pattern, _)| is(pattern)).map(|(_, known)| *known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_known_by_their_beginning_or_by_a_directory_in_them() {
        let what = |path: &str| known(path).map(|known| known.what);
        let table = [
            ("/var/lib/dpkg/status", Some("the package database")),
            ("/var/lib/dpkg", Some("the package database")),
            ("/var/lib/dpkgx", None),
            ("/etc/ld.so.cache", Some("the cache of shared libraries")),
            ("/etc/passwd", Some("the users")),
            ("/etc/passwd-", None),
            ("/usr/lib/python3/__pycache__/a.pyc", Some("compiled Python modules")),
            ("/app/__pycache__", Some("compiled Python modules")),
            ("/app/main.py", None),
            ("/", None),
        ];
        for (path, wanted) in table {
            assert_eq!(what(path), wanted, "{path}");
        }
    }
}
