//! The directory that a case is built in: its context in `ctx`, what else it
//! has beside it. In: the sections of a case. Out: files, made from text.

use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::case::{Case, Section, unescape};
use crate::served::Served;
use crate::{base, support::tools};

/// A case, ready to be built.
pub(crate) struct Site<'a> {
    /// The case.
    pub(crate) case: &'a Case,
    /// Commands run here.
    pub(crate) dir: tempfile::TempDir,
    /// What stands for the names in braces.
    names: Vec<(&'static str, String)>,
}

impl<'a> Site<'a> {
    /// Writes the case below `served`'s root, so that its files can be had over HTTP and git.
    pub(crate) fn make(case: &'a Case, served: &Served) -> Self {
        let dir = tempfile::tempdir_in(served.root()).expect("a temporary directory");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(dir.path(), mode).expect("it is ours");
        let name = dir.path().file_name().expect("it has one").to_string_lossy().into_owned();
        let mut site = Self { case, dir, names: served.names(&name) };
        std::fs::create_dir(site.path("ctx")).expect("a new directory");
        for section in case.sections.iter().filter(|section| section.path.starts_with("../git/")) {
            site.write(section);
        }
        if site.path("git").is_dir() {
            let commit = commit(&site.path("git"));
            site.names.push(("{{COMMIT}}", commit));
        }
        for section in case.sections.iter().filter(|section| !section.path.starts_with("../git/")) {
            site.write(section);
        }
        site
    }

    /// A path in its directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Text with addresses in the place of names in braces.
    pub(crate) fn named(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    /// Text with names in braces in the place of addresses.
    pub(crate) fn unnamed(&self, text: &str) -> String {
        let dir = self.dir.path().to_string_lossy().into_owned();
        let names = self.names.iter().cloned().chain([("{{DIR}}", dir)]);
        names.fold(text.to_owned(), |text, (name, value)| text.replace(&value, name))
    }

    fn write(&self, section: &Section) {
        let place = String::from_utf8(unescape(&section.path)).expect("paths are UTF-8");
        let path = match place.strip_prefix("../") {
            Some(beside) => self.path(beside),
            None => self.path("ctx").join(&place),
        };
        let parent = path.parent().expect("it is below the site");
        std::fs::create_dir_all(parent).expect("a directory can be made");
        let mut content = self.named(&section.body).into_bytes();
        let mut mode = None;
        for (key, value) in &section.attributes {
            match key.as_str() {
                "dir" => return make_dir(&path, &section.attributes),
                "symlink" => return symlink(value, &path).expect("a new link"),
                "hardlink" => {
                    let target = self.path("ctx").join(value);
                    return std::fs::hard_link(target, &path).expect("a new link");
                }
                "raw" => content = unescape(section.body.trim_end_matches('\n')),
                "noise" => content = noise(value.parse().expect("a size")),
                "mode" => mode = Some(value.as_str()),
                "tar" => content = packed(&section.body, value),
                _ => panic!("{}: `{key}` is no attribute", self.case.name),
            }
        }
        std::fs::write(&path, content).expect("a new file");
        set_mode(&path, mode.unwrap_or("0644"));
    }
}

fn make_dir(path: &Path, attributes: &[(String, String)]) {
    std::fs::create_dir_all(path).expect("a directory can be made");
    let mode = attributes.iter().find(|(key, _)| key == "mode");
    set_mode(path, mode.map_or("0755", |(_, mode)| mode));
}

fn set_mode(path: &Path, mode: &str) {
    let mode = u32::from_str_radix(mode, 8).expect("a mode in octal");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// Bytes that look random and are always the same.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(step).flatten().take(size).collect()
}

/// An archive of the entries that lines tell.
fn packed(lines: &str, compression: &str) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    base::entries(&mut archive, lines);
    let bytes = archive.into_inner().expect("memory takes all");
    match compression {
        "" => bytes,
        "gz" => {
            let level = flate2::Compression::default();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(&bytes).expect("memory takes all");
            encoder.finish().expect("memory takes all")
        }
        "zst" => zstd::encode_all(&bytes[..], 3).expect("memory takes all"),
        "xz" => piped("xz", &bytes),
        "bz2" => piped("bzip2", &bytes),
        _ => panic!("`{compression}` is no compression"),
    }
}

fn piped(program: &str, bytes: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("tests/setup installs it");
    let mut stdin = child.stdin.take().expect("it is piped");
    // What a case packs fits in a pipe.
    stdin.write_all(bytes).expect("it reads");
    drop(stdin);
    child.wait_with_output().expect("it ends").stdout
}

/// Makes a repository of a directory and gives its commit, the same each time:
/// branch `main` with tag `v1`, and `next` with one file more.
fn commit(dir: &Path) -> String {
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.arg("-C").arg(dir).args(["-c", "init.defaultBranch=main"]).args(args);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "one");
            command.env(format!("GIT_{who}_EMAIL"), "one@example.org");
            command.env(format!("GIT_{who}_DATE"), "2024-01-01T00:00:00Z");
        }
        tools::success(&mut command)
    };
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "one"]);
    git(&["tag", "v1"]);
    git(&["checkout", "-q", "-b", "next"]);
    std::fs::write(dir.join("next.txt"), "next\n").expect("a new file");
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "next"]);
    git(&["checkout", "-q", "main"]);
    git(&["rev-parse", "HEAD"]).trim().to_owned()
}
