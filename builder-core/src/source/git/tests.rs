//! Repositories made by the test, over `file:`.

use std::path::Path;
use std::process::Command;

use super::*;
use crate::layer::{Change, Kind, Layer};

#[expect(clippy::disallowed_methods, reason = "tests are told what may be skipped")]
fn has_git() -> bool {
    let there = Command::new("git").arg("--version").output().is_ok();
    if !there {
        eprintln!("SKIPPED: no git");
        assert!(std::env::var_os("PHOENIX_TESTS_STRICT").is_none(), "no git");
    }
    there
}

fn git(at: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"])
        .args(["-c", "protocol.file.allow=always", "-c", "core.hooksPath=/dev/null"])
        .args(arguments)
        .current_dir(at)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_DATE", "2001-01-01T00:00:00Z")
        .env("GIT_COMMITTER_DATE", "2001-01-01T00:00:00Z")
        .output()
        .expect("git runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A repository with a branch, two tags and a submodule.
fn repository(at: &Path) -> String {
    let (inner, outer) = (at.join("inner"), at.join("outer"));
    std::fs::create_dir_all(&inner).expect("made");
    git(&inner, &["init", "-q"]);
    std::fs::write(inner.join("in"), "in").expect("written");
    git(&inner, &["add", "."]);
    git(&inner, &["commit", "-qm", "inner"]);
    std::fs::create_dir_all(outer.join("d/e")).expect("made");
    git(&outer, &["init", "-q"]);
    std::fs::write(outer.join("d/e/f"), "one").expect("written");
    std::fs::write(outer.join("run"), "#!").expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(outer.join("run"), mode).expect("set");
    std::os::unix::fs::symlink("d", outer.join("link")).expect("linked");
    let url = format!("file://{}", inner.display());
    git(&outer, &["submodule", "--quiet", "add", &url, "sub"]);
    git(&outer, &["add", "."]);
    git(&outer, &["commit", "-qm", "one"]);
    git(&outer, &["tag", "plain"]);
    git(&outer, &["tag", "-am", "annotated", "annotated"]);
    git(&outer, &["checkout", "-qb", "other"]);
    std::fs::write(outer.join("d/e/f"), "two").expect("written");
    git(&outer, &["commit", "-qam", "two"]);
    git(&outer, &["checkout", "-q", "main"]);
    format!("file://{}", outer.display())
}

fn of(remote: &str, reference: Option<&str>) -> Git {
    Git {
        remote: remote.to_owned(),
        reference: reference.map(str::to_owned),
        subdir: String::new(),
        keep_git_dir: false,
        submodules: true,
        commit: None,
    }
}

static NO_SECRETS: BTreeMap<String, Vec<u8>> = BTreeMap::new();
const SETTINGS: Settings<'static> = Settings { proxies: &[], agent: None, secrets: &NO_SECRETS };

/// The layer's paths, with what tells them apart.
fn shown(store: &Store, git: &Git) -> Result<Vec<String>, GitError> {
    let resolved = resolve(store, git, SETTINGS)?;
    let desc = layer(store, git, &resolved, (SETTINGS, Compression::Gzip))?;
    let entries = Layer::open(store, &desc).expect("open").entries().expect("read");
    let line = |entry: &crate::layer::Entry| {
        let Change::Present { meta, kind } = &entry.change else { panic!("{entry:?}") };
        assert_eq!((meta.uid, meta.gid), (0, 0));
        let kind = match kind {
            Kind::Directory => "dir".to_owned(),
            Kind::Symlink { target } => String::from_utf8_lossy(target).into_owned(),
            Kind::File { size, .. } => format!("{size} bytes"),
            other => format!("{other:?}"),
        };
        format!("{} {:o} {kind}", entry.path.display(), meta.mode)
    };
    Ok(entries.iter().map(line).collect())
}

#[test]
fn a_commit_is_a_layer_of_its_files_and_submodules() {
    if !has_git() {
        return;
    }
    let place = tempfile::tempdir().expect("a directory");
    let store = Store::open(&place.path().join("store")).expect("a store");
    let remote = repository(place.path());
    let one = shown(&store, &of(&remote, None)).expect("fetched");
    let has = |line: &str| one.iter().any(|known| known.starts_with(line));
    for line in [
        "/d 755 dir",
        "/d/e/f 644 3 bytes",
        "/run 755 2 bytes",
        "/link 777 d",
        "/sub/in 644 2 bytes",
        "/.gitmodules 644",
    ] {
        assert!(has(line), "{line}: {one:?}");
    }
    assert!(!has("/.git ") && !has("/sub/.git"), "{one:?}");
    let head = git(&place.path().join("outer"), &["rev-parse", "HEAD"]);
    let other = git(&place.path().join("outer"), &["rev-parse", "other"]);
    for name in ["main", "plain", "annotated", "refs/tags/annotated", "heads/main", &head] {
        let resolved = resolve(&store, &of(&remote, Some(name)), SETTINGS).expect(name);
        assert_eq!(resolved.files(), head, "{name}");
        assert_eq!(shown(&store, &of(&remote, Some(name))).expect(name), one, "{name}");
    }
    let resolved = resolve(&store, &of(&remote, Some("other")), SETTINGS).expect("a branch");
    assert_eq!(resolved.commit, other);
    // A commit that no name has is found all the same.
    git(&place.path().join("outer"), &["commit", "-q", "--allow-empty", "-m", "later"]);
    assert_eq!(shown(&store, &of(&remote, Some(&head))).expect("an old one"), one);
    let without = Git { submodules: false, ..of(&remote, Some("plain")) };
    let without = shown(&store, &without).expect("fetched");
    assert!(!without.iter().any(|line| line.starts_with("/sub/in")), "{without:?}");
    let sub = Git { subdir: "d/e".to_owned(), ..of(&remote, Some("plain")) };
    assert_eq!(shown(&store, &sub).expect("fetched"), ["/f 644 3 bytes"]);
    let kept = Git { keep_git_dir: true, ..of(&remote, Some("plain")) };
    let kept = shown(&store, &kept).expect("fetched");
    assert!(kept.iter().any(|line| line.starts_with("/.git/HEAD 644")), "{kept:?}");
    assert!(!kept.iter().any(|line| line.contains("/logs") || line.contains("FETCH_HEAD")));
    let again = Git { keep_git_dir: true, ..of(&remote, Some("plain")) };
    assert_eq!(shown(&store, &again).expect("fetched"), kept);
}

#[test]
fn what_is_not_what_it_should_be_is_refused() {
    if !has_git() {
        return;
    }
    let place = tempfile::tempdir().expect("a directory");
    let store = Store::open(&place.path().join("store")).expect("a store");
    let remote = repository(place.path());
    let error = |git: &Git| shown(&store, git).expect_err("refused");
    assert!(matches!(error(&of(&remote, Some("nope"))), GitError::Unknown { .. }));
    let pinned = Git { commit: Some("abc123".to_owned()), ..of(&remote, Some("main")) };
    assert!(matches!(error(&pinned), GitError::Commit { .. }));
    let head = git(&place.path().join("outer"), &["rev-parse", "HEAD"]);
    let pinned = Git { commit: Some(head[..7].to_owned()), ..of(&remote, Some("main")) };
    assert!(shown(&store, &pinned).is_ok());
    for subdir in ["../inner", "link/e", "run", "nope", ".git", "d/../.."] {
        let git = Git { subdir: subdir.to_owned(), ..of(&remote, None) };
        assert!(matches!(error(&git), GitError::Subdir { .. }), "{subdir}");
    }
    for bad in ["--upload-pack=touch x", "-x", "ext::sh -c true", "ext::x", "fd::3", "foo://x", ""]
    {
        assert!(matches!(error(&of(bad, None)), GitError::Remote { .. }), "{bad}");
    }
    for bad in ["--all", "a b", "a:b", "^a", ""] {
        let refused = error(&of(&remote, Some(bad)));
        assert!(matches!(refused, GitError::Reference { .. }), "{bad}: {refused}");
    }
    let gone = format!("file://{}/gone", place.path().display());
    assert!(matches!(error(&of(&gone, None)), GitError::Failed { .. }));
}

#[test]
fn a_password_is_neither_shown_nor_kept() {
    let place = tempfile::tempdir().expect("a directory");
    let store = Store::open(place.path()).expect("a store");
    if !has_git() {
        return;
    }
    let git = of("http://user:hush@127.0.0.1:9/x.git", None);
    let error = shown(&store, &git).expect_err("nobody is there").to_string();
    assert!(!error.contains("hush"), "{error}");
}

#[test]
fn a_silent_server_is_left_at_once_and_sees_no_password_in_arguments() {
    if !has_git() {
        return;
    }
    let place = tempfile::tempdir().expect("a directory");
    let cancel = crate::cancel::Cancel::new();
    let store = Store::open(place.path()).expect("a store").until(&cancel);
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = server.local_addr().expect("bound").to_string();
    let git = of(&format!("http://user:hush-hush@{address}/x.git"), None);
    let asking = std::thread::spawn(move || resolve(&store, &git, SETTINGS));
    let (mut connection, _) = server.accept().expect("it is asked");
    let mut seen = Vec::new();
    for process in std::fs::read_dir("/proc").expect("processes").flatten() {
        let said = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        seen.push(String::from_utf8_lossy(&said).into_owned());
    }
    cancel.cancel();
    let refused = asking.join().expect("no panic").expect_err("nothing was said");
    assert!(matches!(refused, GitError::Canceled), "{refused}");
    // Who asked was not git itself but one that it started; that one has ended too.
    let patience = std::time::Duration::from_secs(60);
    connection.set_read_timeout(Some(patience)).expect("set");
    let ended = io::copy(&mut connection, &mut io::sink());
    let reset = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionReset;
    assert!(ended.as_ref().is_ok() || ended.as_ref().is_err_and(reset), "{ended:?}");
    assert!(seen.iter().any(|said| said.contains(&address)), "the test saw nothing: {seen:?}");
    assert!(!seen.iter().any(|said| said.contains("hush-hush")), "{seen:?}");
}

#[test]
fn what_is_pinned_stays_what_it_was_and_as_it_was_called() {
    if !has_git() {
        return;
    }
    let place = tempfile::tempdir().expect("a directory");
    let store = Store::open(&place.path().join("store")).expect("a store");
    let remote = repository(place.path());
    let outer = place.path().join("outer");
    let names = [None, Some("main"), Some("annotated"), Some("plain"), Some("refs/heads/main")];
    let mut all = Vec::new();
    for name in names {
        let git = Git { keep_git_dir: true, ..of(&remote, name) };
        let resolved = resolve(&store, &git, SETTINGS).expect("there");
        let (before, at) = (shown(&store, &git).expect("fetched"), pinned(&git, &resolved));
        let again = resolve(&store, &at, SETTINGS).expect("there");
        assert_eq!((again.files(), &again.name), (resolved.files(), &resolved.name), "{name:?}");
        assert_eq!(shown(&store, &at).expect("fetched"), before, "{name:?}");
        all.push((Git { keep_git_dir: false, ..at }, again));
    }
    // What a tag must be may be the tag itself.
    let tag = git(&outer, &["rev-parse", "annotated"]);
    let expected = Git { commit: Some(tag), ..of(&remote, Some("annotated")) };
    let resolved = resolve(&store, &expected, SETTINGS).expect("it is that");
    assert!(resolve(&store, &pinned(&expected, &resolved), SETTINGS).is_ok());
    // A push in between.
    std::fs::write(outer.join("d/e/f"), "three").expect("written");
    git(&outer, &["commit", "-qam", "three"]);
    git(&outer, &["tag", "-fam", "moved", "annotated"]);
    for (at, before) in all {
        assert_eq!(resolve(&store, &at, SETTINGS).expect("there"), before, "{at:?}");
        let files = shown(&store, &at).expect("fetched");
        assert!(files.iter().any(|line| line == "/d/e/f 644 3 bytes"), "{at:?}: {files:?}");
    }
    let digits = "0".repeat(40);
    for reference in [format!("main@{{{digits}}}"), "refs/heads/main@{1}".to_owned()] {
        let refused = resolve(&store, &of(&remote, Some(&reference)), SETTINGS);
        assert!(matches!(refused, Err(GitError::Unknown { .. })), "{refused:?}");
    }
}
