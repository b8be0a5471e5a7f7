//! Shell commands, drawn from a grammar.
//!
//! A step first *looks* (times, owners, inode numbers, links of what lies below
//! it, told before anything is changed, since what a step makes itself has the
//! time of day), then it changes and reads. All is bounded: nothing reads what
//! it writes, or a directory that it copies into.

use super::tree::{DIRS, NAMES};
use crate::oracle::rng::Rng;

/// Where the paths of a script come from.
pub(super) struct Scope {
    dirs: Vec<String>,
    /// Results of earlier steps.
    results: Vec<u32>,
    /// Whether what is mounted has times that a step may see.
    timed: Vec<String>,
}

impl Scope {
    /// The directories that all share, and `mounted` ones.
    pub(super) fn new(results: Vec<u32>, mounted: &[String], served: bool) -> Self {
        let shared = || DIRS.iter().map(|dir| format!("/{dir}"));
        let with = |more: &[String]| shared().chain(more.iter().cloned()).collect::<Vec<_>>();
        // Twice: what is mounted is to be looked at.
        let dirs = with(&[mounted, mounted].concat());
        let timed = if served { dirs.clone() } else { with(&[]) };
        Self { dirs, results, timed }
    }

    fn dir(&self, rng: &mut Rng) -> String {
        rng.pick(&self.dirs).clone()
    }

    fn path(&self, rng: &mut Rng) -> String {
        within(&self.dirs, rng)
    }

    /// Something whose content may be taken, results of steps among them.
    fn read(&self, rng: &mut Rng) -> String {
        if !self.results.is_empty() && rng.one_in(4) {
            return format!("/out/{}", rng.pick(&self.results));
        }
        self.path(rng)
    }
}

fn within(dirs: &[String], rng: &mut Rng) -> String {
    let dir = rng.pick(dirs).clone();
    match rng.below(16) {
        0 => dir,
        // Through what may be a link to a directory.
        1 => format!("{dir}/l/{}", rng.pick(&NAMES)),
        2 => format!("{dir}/none"),
        _ => format!("{dir}/{}", rng.pick(&NAMES)),
    }
}

fn word(rng: &mut Rng) -> &'static str {
    ["one", "two", "six", "x=2", "seven"][rng.below(5)]
}

/// What shows metadata; for the beginning of a step.
pub(super) fn look(scope: &Scope, rng: &mut Rng) -> String {
    let (p, q) = (within(&scope.timed, rng), within(&scope.timed, rng));
    let d = rng.pick(&scope.timed).clone();
    match rng.below(22) {
        0 | 1 => format!("stat -c '%n %F %a %u:%g %s %h %i %b %X %Y %Z %t %T' {p}"),
        2 => format!("stat -L -c '%F %a %U %G %s %h %Y' {p}"),
        3 => format!("stat -c '%Y %n' {d}/*"),
        4 => format!("ls -lin {d}"),
        5 => format!("ls -lAR {d} | grep -v ^total"),
        6 => format!("ls -t {d}"),
        7 => format!("find {d} -newer {p} | sort"),
        8 => format!("find {d} -links +1 -o -perm -u+s -o -user 33 -o -size +0c"),
        9 => format!("[ {p} -nt {q} ] && echo newer; [ {p} -ot {q} ] && echo older"),
        10 => format!("date -u -r {p} +%s"),
        11 => format!("du -a {d}; du -sk {p}"),
        12 => format!("tar cf - {d} 2>/dev/null | md5sum"),
        13 => format!("stat -c '%i %n' {d}/* {p}"),
        14 => format!("probe walk {d}"),
        15 => format!("probe walk {p}"),
        16 => format!("ls -ldin {p} {q}"),
        17 => format!("stat -c %i {p} {q}; [ {p} -ef {q} ] && echo same"),
        18 => format!("stat -c %s {p}"),
        19 => format!("stat -c %h {p}; stat -c %a {q}"),
        20 => format!("find {d} -type f -mtime +9 -exec stat -c '%Y %n' {{}} +"),
        _ => format!("for f in {d}/*; do [ $f -nt {p} ] && echo $f; done"),
    }
}

/// What reads, and shows no times.
pub(super) fn read(scope: &Scope, rng: &mut Rng) -> String {
    let (p, q) = (scope.read(rng), scope.read(rng));
    let (d, e) = (scope.dir(rng), scope.dir(rng));
    match rng.below(40) {
        0..=2 => format!("cat {p}"),
        3 => format!("head -c 9 {p}; tail -n 1 {q}"),
        4 => format!("wc -c {p} {q}"),
        5 => format!("md5sum < {p}"),
        6 => format!("grep -r o {d}"),
        7 => format!("[ -e {p} ] && echo there || echo absent"),
        8 => format!("[ -s {p} ] && echo some; [ -d {q} ] && echo dir"),
        9 => format!("[ -x {p} ] && echo x; [ -w {p} ] && echo w; [ -L {p} ] && echo link"),
        10 => format!("readlink {p}; readlink -f {q}"),
        11 => format!("realpath {p}"),
        12..=14 => format!("ls {d}"),
        15 => format!("ls -d {d}/[a-c]* {e}/*.h"),
        16 => format!("echo {d}/*"),
        17 => format!("find {d}"),
        18 => format!("find {d} -type l -o -name '*.h' | sort"),
        19 => format!("for f in {d}/*; do echo $f; head -n 1 $f; done"),
        20 => format!("cmp {p} {q}"),
        21 => format!("sort {p} {q} | uniq -c"),
        22 => format!("(cd {p} && pwd -P && ls)"),
        23 => format!("(. {p}; echo $x)"),
        24 => format!("sh {p} word"),
        25 => format!("{p} word"),
        26 => format!("(PATH={d}:$PATH; command -v a y.h cat; a)"),
        27 => format!("stat -c '%a %u %g %F' {p}"),
        28 => format!("dd if={p} bs=1 skip=1 count=3 2>/dev/null"),
        29 => format!("while read -r line; do echo \"<$line>\"; done < {p}"),
        30 => format!("for n in $(head -c 30 {p}); do head -n 1 {d}/$n; done"),
        31 => format!("cat {d}/$(ls {e} | head -n 1)"),
        32 => format!("probe mmap {p}; cat {p}"),
        33 => format!("id; cat {p}"),
        34 => format!("ls -R {d}"),
        35 => format!("dd if={p} bs=1000 skip=300 2>/dev/null | md5sum"),
        36 => format!("tail -c 5 {p} | od -c"),
        37 => format!("test {p} -ef {q} && echo same"),
        38 => format!("(cat {p} > $OUT.1 2>&1) & (ls {d} > $OUT.2 2>&1) & wait"),
        _ => format!("env | grep ^V; cat {p}"),
    }
}

/// What changes files.
pub(super) fn change(scope: &Scope, rng: &mut Rng) -> String {
    let (p, q) = (scope.path(rng), scope.path(rng));
    let (d, e) = (scope.dir(rng), scope.dir(rng));
    let from = scope.read(rng);
    let w = word(rng);
    let mode = *rng.pick(&["644", "755", "600", "u+x", "g-r", "4755", "000"]);
    let owner = *rng.pick(&["33", "0:33", "1000:1000", "www", "www:www"]);
    let time = *rng.pick(&["@1000000", "@1234567", "@1999999999"]);
    match rng.below(52) {
        0 | 1 => format!("echo {w} > {p}"),
        2 | 3 => format!("echo {w} >> {p}"),
        4 => format!("true > {p}"),
        5 => format!("head -c 99 {from} > {p}.new && mv -f {p}.new {p}"),
        6 => format!("[ -d {from} ] || cp {from} {p}"),
        7 | 8 => format!("[ -d {from} ] || [ -d {p} ] || cp -a {from} {p}"),
        9 => format!("cp -a {d} $OUT.d"),
        10 => format!("cp -r {d} $OUT.d && mv $OUT.d {p}"),
        11 => format!("ln {p} {q}"),
        12 => format!("ln -f {p} {q}"),
        13 => format!("ln -s {d}/a {p}"),
        14 => format!("ln -sf none {p}"),
        15 => format!("ln -sfn {d} {p}"),
        16 | 17 => format!("mv {p} {q}"),
        18 => format!("mv {d} {e}/moved"),
        19 => format!("mv -f {p} {d}/.hidden"),
        20 => format!("probe rename {p} {q}"),
        21 => format!("probe swap {p} {q}"),
        22 => format!("probe link {p} {q}"),
        23 | 24 => format!("rm -f {p}"),
        25 => format!("rm -rf {d}"),
        26 | 27 => format!("rm -rf {d}; mkdir {d}"),
        28 => format!("rm -rf {d}/*; echo {w} > {d}/a"),
        29 => format!("mkdir -p {p}"),
        30 => format!("rmdir {p} {d}"),
        31 | 32 => format!("chmod {mode} {p}"),
        33 => format!("chmod -R g+w {d}"),
        34 => format!("chown {owner} {p}"),
        35 => format!("chown -h {owner} {d}/*"),
        36 => format!("chown -R {owner} {d}"),
        37 => format!("touch -c {p}; touch {q}"),
        38 => format!("touch -d {time} {p}"),
        39 => format!("touch -r {p} {q}"),
        40 => format!("sed -i 's/o/0/' {p} 2>/dev/null"),
        41 => {
            format!("for f in $(find {d} -type f | sort); do sed -i 's/e/3/' $f 2>/dev/null; done")
        }
        42 => format!("(tar cf /tmp/t {d} && tar xf /tmp/t -C {e}) 2>/dev/null; rm -f /tmp/t"),
        43 => format!("truncate -s 3 {p}"),
        44 => format!("echo {w} | dd of={p} conv=notrunc bs=1 seek=2 2>/dev/null"),
        45 => format!("find {d} -name '[by]*' -delete"),
        46 => format!("find {d} -newer {p} -type f -exec chmod o-r {{}} +"),
        47 => format!("probe set {p} user.k step; probe unset {q} user.other"),
        48 => format!("[ -e {p} ] || echo {w} > {q}"),
        49 => format!("grep -q o {from} && echo {w} > {q}"),
        50 => format!(
            "t=$(mktemp -p {d}) && echo {w} > $t && chmod 644 $t && \
             {{ [ -d {p} ] || mv -f $t {p} 2>/dev/null; }}; rm -f $t"
        ),
        _ => format!("for f in {d}/*; do [ -f $f ] && mv $f $f.old; done"),
    }
}

/// What uses a cache as one is to be used: what it tells does not depend on
/// what the cache holds.
pub(super) fn cached(scope: &Scope, rng: &mut Rng) -> String {
    let (p, q) = (scope.read(rng), scope.path(rng));
    format!(
        "k=/cache/$(cat {p} {q} 2>&1 | md5sum | head -c 32); [ -s $k ] || cat {p} {q} > $k 2>&1; \
         cat $k"
    )
}
