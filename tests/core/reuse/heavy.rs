//! Cases with heavy tools: dpkg, python, gcc and ldconfig on a Debian, with
//! what they look for in several places laid here and there.
//!
//! The base is made once by mmdebstrap and kept beside temporary files.

use std::path::PathBuf;
use std::process::Command;

use super::tree::{Item, Tree, What};
use crate::oracle::rng::Rng;

const PACKAGES: &str = "gcc,libc6-dev,python3";

/// Files that the tools look for, each as it may be: of one size mostly.
const LAID: [(&str, [&str; 3]); 8] = [
    ("d/mine.h", ["#define MINE 1\n", "#define MINE 2\n", "#define MINE 30\n"]),
    ("usr/include/mine.h", ["#define MINE 4\n", "#define MINE 5\n", "#error no\n"]),
    ("usr/local/include/mine.h", ["#define MINE 6\n", "#define MINE 7\n", ""]),
    ("d/mine.py", ["x = 1\n", "x = 2\n", "import json; x = 3\n"]),
    ("usr/lib/python3/dist-packages/mine.py", ["x = 4\n", "x = 5\n", "x =\n"]),
    ("usr/lib/python3/dist-packages/pack/__init__.py", ["y = 1\n", "y = 2\n", "import mine\n"]),
    ("etc/ld.so.conf.d/mine.conf", ["/opt/a\n", "/opt/b\n", "/usr/lib/gcc/x86_64-linux-gnu/12\n"]),
    ("usr/share/doc/unread", ["one\n", "two\n", "three\n"]),
];

/// What may go from the Debian itself.
const GONE: [&str; 5] = [
    "usr/share/doc/gcc",
    "usr/lib/python3.11/json/tool.py",
    "usr/include/stdio.h",
    "etc/ld.so.conf.d/libc.conf",
    "usr/lib/python3.11/json/__pycache__",
];

/// The tar of the base; `None` where it cannot be made.
pub(super) fn base() -> Option<PathBuf> {
    let tar = std::env::temp_dir().join("phoenix-reuse-base.tar");
    if !tar.is_file() {
        let part = tar.with_extension("part.tar");
        let mut make = Command::new("mmdebstrap");
        make.args(["--quiet", "--variant=minbase", "--include", PACKAGES, "bookworm"]).arg(&part);
        make.status().ok().filter(std::process::ExitStatus::success)?;
        std::fs::hard_link(&part, &tar).expect("it is named");
        std::fs::remove_file(&part).expect("it has its other name");
    }
    Some(tar)
}

/// Lays out most of the files.
pub(super) fn lay(rng: &mut Rng, tree: &mut Tree) {
    for (path, texts) in LAID {
        if !rng.one_in(3) {
            tree.insert(path.to_owned(), Item::file(texts[rng.below(3)]));
        }
    }
}

/// A file that the tools look for, and what it is to be.
pub(super) fn edit(rng: &mut Rng, tree: &Tree) -> (String, Option<Item>) {
    if rng.one_in(6) {
        let path = (*rng.pick(&GONE)).to_owned();
        let gone = (!tree.contains_key(&path)).then(|| Item::plain(What::Gone));
        return (path, gone);
    }
    let (path, texts) = rng.pick(&LAID);
    let item = match rng.below(6) {
        0 => None,
        1 => tree.get(*path).map(|item| Item { mtime: (1_234_567, 0), ..item.clone() }),
        _ => Some(Item::file(texts[rng.below(3)])),
    };
    ((*path).to_owned(), item)
}

/// What a tool may be asked before anything is changed: what python compiles
/// it marks with the times of the sources.
pub(super) fn look(rng: &mut Rng) -> String {
    match rng.below(8) {
        0 => "python3 -c 'import json, textwrap; print(json.dumps([1]))'".to_owned(),
        1 => "python3 -c 'import sys; sys.path.insert(0, \"/d\"); import mine; print(mine.x)'".to_owned(),
        2 => "python3 -c 'import pack; print(pack)'".to_owned(),
        3 => "python3 -m compileall -q /usr/lib/python3/dist-packages /d".to_owned(),
        4 => "python3 -B -c 'import os; print(sorted(os.listdir(\"/d\")), os.stat(\"/usr/bin\").st_mode)'".to_owned(),
        5 => "find /usr/include -maxdepth 1 -newer /usr/bin/env | sort".to_owned(),
        6 => "perl -e 'print -s \"/d/a\", -M \"/d/b\" > 9, \"\\n\"'".to_owned(),
        _ => "python3 -m json.tool /d/a".to_owned(),
    }
}

/// What tools make.
pub(super) fn make(rng: &mut Rng) -> String {
    match rng.below(13) {
        0 | 1 => gcc("-I/d", "mine.h"),
        2 => gcc("-O1", "mine.h"),
        3 => gcc("-static", "stdio.h"),
        4 => "gcc -E -P -include mine.h -x c /dev/null; ar rc /e/lib.a /d/a; ar t /e/lib.a".to_owned(),
        5 => "ldconfig; rm -f /var/cache/ldconfig/aux-cache; ldconfig -p | md5sum".to_owned(),
        6 | 7 => package("1", "/d/a"),
        8 => package("2", "/d/mine.h"),
        9 => "dpkg --purge mine; rm -f /var/log/dpkg.log".to_owned(),
        10 => "dpkg -l | md5sum; dpkg -S /usr/bin/gcc /opt/mine".to_owned(),
        11 => "update-alternatives --install /usr/bin/mine mine /d/a 1; rm -f /var/log/alternatives.log".to_owned(),
        _ => "getent passwd www-data; grep -rl mine /etc | sort".to_owned(),
    }
}

fn gcc(flag: &str, header: &str) -> String {
    format!(
        "printf '#include <{header}>\\n#ifndef MINE\\n#define MINE 9\\n#endif\\nint main() {{ return MINE; }}\\n' > /tmp/m.c; \
         gcc {flag} -o /e/prog /tmp/m.c && /e/prog; echo $?; rm -f /tmp/m.c"
    )
}

fn package(version: &str, file: &str) -> String {
    format!(
        "mkdir -p /tmp/p/DEBIAN /tmp/p/opt; \
         printf 'Package: mine\\nVersion: {version}\\nArchitecture: all\\nMaintainer: m\\nDescription: d\\n' \
         > /tmp/p/DEBIAN/control; cp {file} /tmp/p/opt/mine; chmod -R a+rX,u+w,go-s /tmp/p; \
         dpkg-deb -b /tmp/p /tmp/p.deb > /dev/null 2>&1 && dpkg -i /tmp/p.deb; \
         rm -rf /tmp/p /tmp/p.deb /var/log/dpkg.log"
    )
}
