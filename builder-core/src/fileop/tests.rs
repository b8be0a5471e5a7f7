//! What each operation makes of a target, as tables.

mod links;

use std::io::Read as _;

use proptest::prelude::*;

use super::prepared::explain;
use super::*;
use crate::digest::ContentDigest;
use crate::layer::LayerPath;
use crate::layer::{Change, Kind, LayerError, Meta};
use crate::plan::op::{Applies, Copy, CopySource, ExcludeFrom, Mode, Unpack};
use crate::view::memory::Memory;
use crate::view::{Links, Node, NodeKind, ReadAt, TreeError};

fn settings() -> Settings<'static> {
    Settings { cwd: "/srv", mtime: Mtime { secs: 7, nanos: 0 }, unpacker: &|_, _| Ok(None) }
}

fn input(tree: impl Tree + 'static, is_context: bool) -> Inputs {
    [(1, Input { tree: Arc::new(tree), is_context })].into()
}

fn plain(sources: &[&str], dest: &str) -> Copy {
    Copy::new(sources.iter().map(|s| (*s).to_owned()), dest)
}

fn excluding(sources: &[&str], dest: &str, exclude: &[&str]) -> Copy {
    Copy { exclude: exclude.iter().map(|s| (*s).to_owned()).collect(), ..plain(sources, dest) }
}

fn copied(copy: Copy, target: &Memory, source: &Memory) -> Result<Prepared, FileOpError> {
    prepare(&FileOp::Copy(copy), target, input(source.clone(), true), &settings())
}

fn done(op: FileOp, target: &Memory) -> Result<Prepared, FileOpError> {
    prepare(&op, target, Inputs::new(), &settings())
}

/// Entries as text: `f /path MODE UID:GID`.
fn shown(prepared: Result<Prepared, FileOpError>) -> Result<Vec<String>, String> {
    let prepared = prepared.map_err(|error| error.to_string())?;
    let paths: Vec<_> = prepared.items().map(|(path, _)| path.clone()).collect();
    assert!(paths.windows(2).all(|pair| pair[0] < pair[1]), "sorted: {paths:?}");
    let line = |(path, change): (&LayerPath, &Change)| {
        let path = path.display();
        match change {
            Change::Whiteout => format!("gone {path}"),
            Change::Opaque => format!("opaque {path}"),
            Change::Hardlink { target } => format!("same {path} {}", target.display()),
            Change::Present { meta, kind } => {
                assert_eq!(meta.mtime, settings().mtime, "{path}");
                let kind = match kind {
                    Kind::File { .. } => "file".to_owned(),
                    Kind::Directory => "dir".to_owned(),
                    Kind::Symlink { target } => {
                        return format!("link {path} {}", String::from_utf8_lossy(target));
                    }
                    other => format!("{other:?}"),
                };
                let owner = match (meta.uid, meta.gid) {
                    (0, 0) => String::new(),
                    (uid, gid) => format!(" {uid}:{gid}"),
                };
                format!("{kind} {path} {:o}{owner}", meta.mode)
            }
        }
    };
    Ok(prepared.items().map(line).collect())
}

fn target() -> Memory {
    Memory::new()
        .file("etc/passwd", "root:x:0:0::/root:\napp:x:1000:1001::/app:\n")
        .file("etc/group", "root:x:0:\nwww:x:33:\n")
        .directory("srv")
        .directory("srv/existing/sub")
        .mode("srv/existing", 0o700)
        .link("var/www", "/srv/existing")
        .link("up", "../../srv")
        .link("new", "/srv/later")
        .link("loop", "loop")
        .file("srv/file", "old")
}

fn context() -> Memory {
    Memory::new()
        .file("a.txt", "a")
        .file("b.txt", "b")
        .file("run", "#!")
        .mode("run", 0o4755)
        .file("dir/one", "1")
        .file("dir/sub/two", "2")
        .mode("dir/sub", 0o750)
        .link("dir/link", "one")
        .link("to-dir", "dir")
        .link("to-file", "/a.txt")
        .link("out", "../../../etc/passwd")
        .file("etc/passwd", "of the context")
}

#[test]
fn copies_follow_the_rules_of_the_dockerfile() {
    let into = |prefix: &str| {
        [
            format!("link {prefix}/link one"),
            format!("file {prefix}/one 644"),
            format!("dir {prefix}/sub 750"),
            format!("file {prefix}/sub/two 644"),
        ]
    };
    let made = |prefix: &str| {
        let mut all = vec![format!("dir {prefix} 755")];
        all.extend(into(prefix));
        all
    };
    let lines = |lines: &[&str]| lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>();
    let table: Vec<(&[&str], &str, Vec<String>)> = vec![
        // File to file, its parents made.
        (&["a.txt"], "/x/y/z", lines(&["dir /x 755", "dir /x/y 755", "file /x/y/z 644"])),
        (&["run"], "tool", lines(&["file /srv/tool 4755"])),
        (&["./dir/../a.txt"], "../x", lines(&["file /x 644"])),
        (&["/a.txt"], "/srv/file", lines(&["file /srv/file 644"])),
        // File into a directory: by its slash, or because it is one.
        (&["a.txt"], "/x/", lines(&["dir /x 755", "file /x/a.txt 644"])),
        (&["a.txt"], "/srv/existing", lines(&["file /srv/existing/a.txt 644"])),
        (&["a.txt"], ".", lines(&["file /srv/a.txt 644"])),
        (&["a.txt"], "/", lines(&["file /a.txt 644"])),
        // Many sources, listed or by a glob.
        (&["a.txt", "run"], "/x", lines(&["dir /x 755", "file /x/a.txt 644", "file /x/run 4755"])),
        (&["*.txt"], "/x", lines(&["dir /x 755", "file /x/a.txt 644", "file /x/b.txt 644"])),
        (&["a*"], "/x", lines(&["file /x 644"])),
        (&["d*/o[a-n]e"], "/x/", lines(&["dir /x 755", "file /x/one 644"])),
        (&["**/t?o"], "/x/", lines(&["dir /x 755", "file /x/two 644"])),
        // A directory: its content, merged into what is there.
        (&["dir"], "/x", made("/x")),
        (&["dir/"], "/x/", made("/x")),
        (&["dir"], "/srv/existing", into("/srv/existing").to_vec()),
        (&["di?"], "/srv/existing/", into("/srv/existing").to_vec()),
        // Links in the destination are followed, inside the target.
        (&["a.txt"], "/var/www", lines(&["file /srv/existing/a.txt 644"])),
        (&["a.txt"], "/var/www/sub/", lines(&["file /srv/existing/sub/a.txt 644"])),
        (&["a.txt"], "/up/x", lines(&["file /srv/x 644"])),
        (&["a.txt"], "/new", lines(&["file /srv/later 644"])),
        (&["a.txt"], "/../../x", lines(&["file /x 644"])),
        // A link that is named is followed, inside its root.
        (&["to-dir"], "/x", made("/x")),
        (&["to-file"], "/x/", lines(&["dir /x 755", "file /x/to-file 644"])),
        (&["to-dir/sub/two"], "/x", lines(&["file /x 644"])),
        (&["out"], "/x", lines(&["file /x 644"])),
    ];
    for (sources, dest, expected) in table {
        let got = shown(copied(plain(sources, dest), &target(), &context()));
        assert_eq!(got, Ok(expected), "{sources:?} to {dest}");
    }
    let out = copied(plain(&["out"], "/x"), &target(), &context()).expect("inside");
    let content = out.items().find_map(|(_, change)| match change {
        Change::Present { kind: Kind::File { content, .. }, .. } => Some(*content),
        _ => None,
    });
    assert_eq!(content, Some(ContentDigest::of(b"of the context")));
}

#[test]
fn copies_that_cannot_be_are_refused_with_the_reason() {
    let table: [(&[&str], &str, &str); 12] = [
        (&["c.txt"], "/x", "`c.txt` matches nothing; there is `a.txt`, `b.txt`"),
        (&["dir/oen"], "/x", "`dir/oen` matches nothing; there is `dir/one`"),
        (&["*.md"], "/x/", "`*.md` matches nothing"),
        (&["a.txt", "nope"], "/x/", "`nope` matches nothing"),
        (&["../a.txt"], "/x", "`../a.txt` leads out of what is copied from"),
        (&["dir/../../a.txt"], "/x", "`dir/../../a.txt` leads out of what is copied from"),
        (&["a.txt/b"], "/x", "`a.txt/b` matches nothing"),
        (&["[a"], "/x", "pattern `[a`: a `[` is not closed"),
        (&["dir"], "/srv/file", "/srv/file is not a directory: it cannot be replaced by one"),
        (&["a.txt"], "/srv/file/", "/srv/file is not a directory: it cannot be replaced by one"),
        (&["a.txt"], "/srv/file/x", "/srv/file/x stands below /srv/file, which is not a directory"),
        (&["a.txt"], "/loop", "loop is not a path without a loop of symbolic links"),
    ];
    for (sources, dest, expected) in table {
        let got = shown(copied(plain(sources, dest), &target(), &context()));
        assert_eq!(got, Err(expected.to_owned()), "{sources:?} to {dest}");
    }
    let dangling = Memory::new().file("l/f", "").link("l1", "/l/f").link("l2", "l/gone");
    let expected = "`l?` names /l2, a symbolic link to /l/gone, which is not found".to_owned();
    assert_eq!(shown(copied(plain(&["l?"], "/x/"), &target(), &dangling)), Err(expected));
    let without = copied(excluding(&["l?"], "/x/", &["l2"]), &target(), &dangling);
    let one = ["dir /x 755", "file /x/l1 644"].map(str::to_owned);
    assert_eq!(shown(without), Ok(one.to_vec()), "what is left out need not lead anywhere");
    let clash = Memory::new().file("dir/existing/x", "").file("flat/existing", "");
    let got = shown(copied(plain(&["flat"], "/srv"), &target(), &clash));
    assert_eq!(
        got,
        Err("/srv/existing is a directory: it cannot be replaced by a file".to_owned())
    );
    let got = shown(copied(plain(&["flat", "dir"], "/x"), &target(), &clash));
    assert_eq!(got, Err("/x/existing is not a directory: it cannot be replaced by one".to_owned()));
}

#[test]
fn later_sources_win_and_directories_merge() {
    let source = Memory::new().file("a/x", "1").file("a/only", "").file("b/x", "22");
    let prepared = copied(plain(&["a", "b"], "/d"), &target(), &source).expect("merged");
    let sizes: Vec<_> = prepared
        .items()
        .filter_map(|(path, change)| match change {
            Change::Present { kind: Kind::File { size, .. }, .. } => Some((path.display(), *size)),
            _ => None,
        })
        .collect();
    assert_eq!(sizes, [("/d/only".to_owned(), 0), ("/d/x".to_owned(), 2)]);
}

#[test]
fn excludes_leave_out_with_all_below() {
    let source = Memory::new()
        .file("src/a.rs", "")
        .file("src/a.o", "")
        .file("src/target/x/y", "")
        .file("src/target/keep", "");
    let get =
        |exclude: &[&str]| shown(copied(excluding(&["src"], "/x", exclude), &target(), &source));
    let base = ["dir /x 755", "file /x/a.rs 644"].map(str::to_owned);
    assert_eq!(get(&["**/*.o", "src/target"]), Ok(base.to_vec()));
    let mut kept = base.to_vec();
    kept.extend(["dir /x/target 755", "file /x/target/keep 644"].map(str::to_owned));
    assert_eq!(get(&["**/*.o", "src/target", "!src/target/keep"]), Ok(kept));
    assert_eq!(get(&["src"]), Err("`exclude` leaves out all that `src` names".to_owned()));
    let files = excluding(&["src/a.*"], "/x/", &["src/*.o"]);
    let expected = ["dir /x 755", "file /x/a.rs 644"].map(str::to_owned);
    assert_eq!(shown(copied(files, &target(), &source)), Ok(expected.to_vec()));
}

#[test]
fn owner_and_mode_are_those_asked_for_and_those_of_what_is_made_on_the_way() {
    let copy = Copy {
        owner: Some("app:www".to_owned()),
        mode: Some(Mode::octal(0o640)),
        ..plain(&["dir/sub"], "/p/x")
    };
    let expected = ["dir /p 640 1000:33", "dir /p/x 640 1000:33", "file /p/x/two 640 1000:33"];
    let got = shown(copied(copy, &target(), &context()));
    assert_eq!(got, Ok(expected.map(str::to_owned).to_vec()));
    // A change by symbols is one of what is copied only.
    let mode = Some(Mode::parse("u+x,g=u,o=").expect("a mode"));
    let copy = Copy { mode, ..plain(&["a.txt", "dir"], "/p/x/") };
    let got = shown(copied(copy, &target(), &context()));
    let expected = [
        "dir /p 755",
        "dir /p/x 755",
        "file /p/x/a.txt 770",
        "link /p/x/link one",
        "file /p/x/one 770",
        "dir /p/x/sub 770",
        "file /p/x/sub/two 770",
    ];
    assert_eq!(got, Ok(expected.map(str::to_owned).to_vec()));
    let copy = Copy { owner: Some("nobody".to_owned()), ..plain(&["a.txt"], "/x") };
    let error = shown(copied(copy, &target(), &context())).expect_err("unknown");
    assert_eq!(error, "owner `nobody`: the image has no user `nobody` in /etc/passwd");
}

#[test]
fn what_a_dockerfile_leaves_out_is_told_from_each_directory_that_it_names() {
    let get = |sources: &[&str], exclude: &[&str]| {
        let exclude_from = ExcludeFrom::Source;
        let copy = Copy { exclude_from, ..excluding(sources, "/x/", exclude) };
        shown(copied(copy, &target(), &context()))
    };
    let lines = |lines: &[&str]| Ok(lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>());
    let sub = lines(&["dir /x 755", "dir /x/sub 750", "file /x/sub/two 644"]);
    assert_eq!(get(&["dir"], &["one", "link"]), sub);
    assert_eq!(get(&["di*"], &["*", "!sub/two"]), sub);
    assert_eq!(get(&["dir"], &["*"]), lines(&["dir /x 755"]));
    // What is named itself is not left out.
    assert_eq!(get(&["a.txt"], &["a.txt", "*"]), lines(&["dir /x 755", "file /x/a.txt 644"]));
}

#[test]
fn parents_are_copied_with_what_a_source_names_below_its_pivot() {
    let source = || {
        Memory::new()
            .file("a/b/c/one", "1")
            .file("a/b/c/two", "2")
            .file("a/b2/c/three", "3")
            .file("a/other", "")
            .mode("a", 0o700)
            .mode("a/b", 0o711)
    };
    let get = |sources: &[&str], exclude: &[&str]| {
        let exclude_from = ExcludeFrom::Source;
        let copy = Copy { parents: true, exclude_from, ..excluding(sources, "/x", exclude) };
        shown(copied(copy, &target(), &source()))
    };
    let lines = |lines: &[&str]| Ok(lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>());
    let b = |prefix: &str| {
        let at = |line: &str| line.replace('@', prefix);
        ["dir @/c 755", "file @/c/one 644", "file @/c/two 644"].map(at)
    };
    let whole = |top: &[&str], prefix: &str| {
        let top = top.iter().map(|line| (*line).to_owned());
        Ok(top.chain(b(prefix)).collect::<Vec<_>>())
    };
    let top = ["dir /x 755", "dir /x/a 700", "dir /x/a/b 711"];
    assert_eq!(get(&["a/b/c"], &[]), whole(&top, "/x/a/b"));
    assert_eq!(get(&["/a/b/c/."], &[]), whole(&top, "/x/a/b"));
    assert_eq!(get(&["a/./b/c"], &[]), whole(&["dir /x 755", "dir /x/b 711"], "/x/b"));
    assert_eq!(get(&["a/b/./c/"], &[]), whole(&["dir /x 755"], "/x"));
    let one = lines(&["dir /x 755", "dir /x/c 755", "file /x/c/one 644", "file /x/c/three 644"]);
    assert_eq!(get(&["a/b*/./**/*e"], &[]), one);
    let all = [&top[..], &["dir /x/a/b/c 755", "file /x/a/b/c/two 644"]].concat();
    assert_eq!(get(&["a/b/c"], &["**/one"]), lines(&all));
    assert_eq!(get(&["a/x*"], &[]), lines(&["dir /x 755"]));
    let error = get(&["a/b/nope"], &[]).expect_err("absent");
    assert!(error.contains("`a/b/nope` matches nothing"), "{error}");
}

#[test]
fn a_link_looks_at_nothing_of_its_target_but_names_of_owners() {
    let copy = Copy { link: true, owner: Some("app".to_owned()), ..plain(&["a.txt"], "/up/x/") };
    let expected =
        ["dir /up 755 1000:1001", "dir /up/x 755 1000:1001", "file /up/x/a.txt 644 1000:1001"];
    let got = shown(copied(copy, &target(), &context()));
    assert_eq!(got, Ok(expected.map(str::to_owned).to_vec()));
    // Over a file too, which a copy into it is refused.
    let copy = Copy { link: true, ..plain(&["dir/sub"], "/srv/file") };
    let expected = ["dir /srv 755", "dir /srv/file 755", "file /srv/file/two 644"];
    let got = shown(copied(copy, &target(), &context()));
    assert_eq!(got, Ok(expected.map(str::to_owned).to_vec()));
}

#[test]
fn inline_files_are_copied_as_files_are() {
    let inline = |name: &str| CopySource::Inline { name: name.to_owned(), content: b"x".to_vec() };
    let copy = |sources: &[&str], dest: &str| {
        let sources = sources.iter().map(|name| inline(name)).collect();
        shown(copied(Copy { sources, ..plain(&[], dest) }, &target(), &context()))
    };
    let lines = |lines: &[&str]| Ok(lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>());
    assert_eq!(copy(&["one"], "/x"), lines(&["file /x 644"]));
    assert_eq!(copy(&["one"], "/srv/existing"), lines(&["file /srv/existing/one 644"]));
    assert_eq!(
        copy(&["one", "two"], "/x/"),
        lines(&["dir /x 755", "file /x/one 644", "file /x/two 644"])
    );
    let empty = Copy { allow_empty: true, ..plain(&["*.none"], "/x/") };
    assert_eq!(shown(copied(empty, &target(), &context())), lines(&[]));
    let astray = Copy { allow_empty: true, ..plain(&["nowhere/*.none"], "/x/") };
    let error = copied(astray, &target(), &context()).err().expect("no such directory").to_string();
    assert!(error.contains("`nowhere/*.none` matches nothing"), "{error}");
}

fn stage() -> Memory {
    let twin = |first: &str| Node {
        meta: Meta {
            xattrs: [(b"user.x".to_vec(), b"v".to_vec())].into(),
            uid: 5,
            mtime: Mtime { secs: 99, nanos: 9 },
            ..Meta::root_owned(0o644)
        },
        kind: NodeKind::File { size: 1 },
        links: Some(Links { first: LayerPath::new(first).expect("a path"), count: 3 }),
    };
    Memory::new()
        .put("out/b", twin("out/b"), b"x")
        .put("out/a/c", twin("out/b"), b"x")
        .put("other", twin("out/b"), b"x")
        .put("sock", Node { kind: NodeKind::Socket, ..twin("sock") }, b"")
}

#[test]
fn copies_from_a_stage_keep_owners_links_and_attributes() {
    let op = FileOp::Copy(plain(&["out", "sock"], "/d"));
    let prepared = prepare(&op, &target(), input(stage(), false), &settings());
    let xattrs = |prepared: &Prepared| {
        prepared.items().any(|(_, change)| match change {
            Change::Present { meta, .. } => meta.xattrs.contains_key(&b"user.x"[..]),
            _ => false,
        })
    };
    assert!(prepared.as_ref().is_ok_and(xattrs));
    // The first name that is copied holds the content, though it is not the
    // first in the stage.
    let expected = ["dir /d 755", "dir /d/a 755", "file /d/a/c 644 5:0", "same /d/b /d/a/c"];
    assert_eq!(shown(prepared), Ok(expected.map(str::to_owned).to_vec()));
    let op = FileOp::Copy(Copy { keep_mtime: true, ..plain(&["out"], "/d") });
    let prepared = prepare(&op, &target(), input(stage(), false), &settings());
    let times: Vec<i64> = prepared
        .expect("good")
        .items()
        .filter_map(|(_, change)| match change {
            Change::Present { meta, .. } => Some(meta.mtime.secs),
            _ => None,
        })
        .collect();
    assert_eq!(times, [7, 7, 99], "directories have the constant always");
}

#[test]
fn write_mkdir_and_symlink_change_what_must_change() {
    let write = |path: &str| FileOp::Write {
        path: path.to_owned(),
        content: b"x".to_vec(),
        owner: Some("app".to_owned()),
        mode: None,
    };
    let made = |path: &str| FileOp::Mkdir {
        path: path.to_owned(),
        owner: Some("app".to_owned()),
        mode: None,
        applies: Applies::Made,
    };
    let mkdir = |path: &str, mode| FileOp::Mkdir {
        path: path.to_owned(),
        owner: None,
        mode,
        applies: Applies::Last,
    };
    let link =
        |to: &str, path: &str| FileOp::Symlink { target: to.to_owned(), path: path.to_owned() };
    let table: [(FileOp, Result<&[&str], &str>); 20] = [
        (write("/x/y"), Ok(&["dir /x 755", "file /x/y 644 1000:1001"])),
        (write("y"), Ok(&["file /srv/y 644 1000:1001"])),
        (write("/new"), Ok(&["file /srv/later 644 1000:1001"])),
        (write("/srv"), Err("/srv is a directory: it cannot be replaced by a file")),
        (write("/x/"), Err("`/x/` does not name a file")),
        (write("/srv/file/x"), Err("/srv/file/x stands below /srv/file, which is not a directory")),
        (mkdir("/a/b", Some(0o1777)), Ok(&["dir /a 755", "dir /a/b 1777"])),
        (made("/a/b"), Ok(&["dir /a 755 1000:1001", "dir /a/b 755 1000:1001"])),
        (made("/srv/existing"), Ok(&[])),
        (made("/var/www/in"), Ok(&["dir /srv/existing/in 755 1000:1001"])),
        (mkdir("/srv/existing", None), Ok(&[])),
        (mkdir("/srv/existing", Some(0o700)), Ok(&[])),
        (mkdir("/srv/existing", Some(0o755)), Ok(&["dir /srv/existing 755"])),
        (mkdir("/var/www/in", None), Ok(&["dir /srv/existing/in 755"])),
        (
            mkdir("/srv/file", None),
            Err("/srv/file is not a directory: it cannot be replaced by one"),
        ),
        (link("../x", "/l/m"), Ok(&["dir /l 755", "link /l/m ../x"])),
        (link("/srv/later", "/new"), Ok(&[])),
        (link("y", "/new"), Ok(&["link /new y"])),
        (link("y", "/srv"), Err("/srv is a directory: it cannot be replaced by a symbolic link")),
        (link("", "/q"), Err("`` cannot be the target of a symbolic link")),
    ];
    for (op, expected) in table {
        let got = shown(done(op.clone(), &target()));
        let expected = expected.map(|lines| lines.iter().map(|l| (*l).to_owned()).collect());
        assert_eq!(got, expected.map_err(str::to_owned), "{op:?}");
    }
}

#[test]
fn removes_whiteout_what_is_there_and_nothing_else() {
    let remove = |paths: &[&str], required| FileOp::Remove {
        paths: paths.iter().map(|p| (*p).to_owned()).collect(),
        required,
    };
    let table: [(FileOp, Result<&[&str], &str>); 11] = [
        (remove(&["/srv/file"], true), Ok(&["gone /srv/file"])),
        (remove(&["/srv/*"], true), Ok(&["gone /srv/existing", "gone /srv/file"])),
        (remove(&["/srv/existing/sub", "/srv/"], true), Ok(&["gone /srv"])),
        (remove(&["/etc/pass*", "/e*/group"], true), Ok(&["gone /etc/group", "gone /etc/passwd"])),
        // A link itself; links on the way are followed.
        (remove(&["/var/www"], true), Ok(&["gone /var/www"])),
        (remove(&["/var/www/sub"], true), Ok(&["gone /srv/existing/sub"])),
        (remove(&["/srv/**"], true), Ok(&["gone /srv/existing", "gone /srv/file"])),
        (remove(&["/nope", "/tmp/*"], false), Ok(&[])),
        (remove(&["/srv/fiel"], true), Err("`/srv/fiel` matches nothing; there is `srv/file`")),
        (remove(&["/"], true), Err("`/` does not name a file or directory below the root")),
        (
            remove(&["../.."], false),
            Err("`../..` does not name a file or directory below the root"),
        ),
    ];
    for (op, expected) in table {
        let got = shown(done(op.clone(), &target()));
        let expected = expected.map(|lines| lines.iter().map(|l| (*l).to_owned()).collect());
        assert_eq!(got, expected.map_err(str::to_owned), "{op:?}");
    }
}

#[test]
fn many_entries_are_taken_together_and_all_of_them_count() {
    let tree = |changed: &str| {
        (0..2100).fold(Memory::new(), |tree, n| {
            let name = format!("d{}/f{n}", n % 3);
            let content = if name == changed { "other" } else { "same" };
            tree.file(&name, content)
        })
    };
    let entries = |changed: &str| -> Vec<_> {
        let copied = copied(plain(&["."], "/app"), &target(), &tree(changed));
        copied.expect("good").entries().collect()
    };
    let before = entries("");
    assert!(before.len() < 10, "{}", before.len());
    assert!(before.iter().any(|(name, _)| name == "files below /app/d1"), "{before:?}");
    let after = entries("d1/f1000");
    let differ: Vec<_> = before.iter().zip(&after).filter(|(a, b)| a != b).collect();
    assert_eq!(differ.len(), 1);
    assert_eq!(differ[0].0.0, "files below /app/d1");
}

#[test]
fn only_a_file_of_a_context_can_change_during_a_build() {
    let from = LayerPath::new("a.txt").expect("a path");
    let errors = || {
        let path = || "/x".to_owned();
        let changed = TreeError::Changed { path: path() };
        let source = std::io::Error::other(changed);
        [
            FileOpError::Layer(LayerError::ContentDigest { path: path() }),
            FileOpError::Layer(LayerError::ContentLength { path: path(), expected: 2, actual: 1 }),
            FileOpError::Layer(LayerError::Content { path: path(), source }),
            FileOpError::Tree(TreeError::Changed { path: path() }),
            FileOpError::Tree(TreeError::Io {
                path: path(),
                source: std::io::ErrorKind::NotFound.into(),
            }),
        ]
    };
    let mut input = Input { tree: Arc::new(context()), is_context: true };
    for error in errors() {
        let text = error.to_string();
        let changed = explain(&input, &from, error).changed();
        assert_eq!(changed, Some("/a.txt".to_owned()), "{text}");
    }
    let denied = std::io::ErrorKind::PermissionDenied.into();
    let denied = FileOpError::Tree(TreeError::Io { path: "/a.txt".to_owned(), source: denied });
    assert_eq!(explain(&input, &from, denied).changed(), None);
    input.is_context = false;
    let [damaged, ..] = errors();
    assert_eq!(explain(&input, &from, damaged).changed(), None);
}

/// A tree whose file `f` streams other bytes than those that were hashed.
struct Fickle(Memory, &'static str);

impl Tree for Fickle {
    fn node(&self, path: &LayerPath) -> Result<Option<Node>, TreeError> {
        self.0.node(path)
    }
    fn list(&self, path: &LayerPath) -> Result<Vec<(Vec<u8>, Node)>, TreeError> {
        self.0.list(path)
    }
    fn content(&self, path: &LayerPath) -> Result<ContentDigest, TreeError> {
        self.0.content(path)
    }
    fn open(&self, path: &LayerPath) -> Result<Arc<dyn ReadAt>, TreeError> {
        Memory::new().file("f", self.1).open(path)
    }
}

/// Takes entries as a writer of layers does; gives back the bytes of files.
fn appended(prepared: &Prepared) -> Result<Vec<(String, Vec<u8>)>, FileOpError> {
    let mut all = Vec::new();
    prepared.append_all(&mut |entry, content| {
        let path = entry.path.display();
        let (Change::Present { kind: Kind::File { size, content: expected }, .. }, Some(content)) =
            (&entry.change, content)
        else {
            return Ok(());
        };
        let mut bytes = Vec::new();
        let mut content = content.take(*size);
        let read = content.read_to_end(&mut bytes);
        let actual = read.map_err(|source| LayerError::Content { path: path.clone(), source })?;
        if actual as u64 != *size {
            let (expected, actual) = (*size, actual as u64);
            return Err(LayerError::ContentLength { path, expected, actual });
        }
        if ContentDigest::of(&bytes) != *expected {
            return Err(LayerError::ContentDigest { path });
        }
        all.push((path, bytes));
        Ok(())
    })?;
    Ok(all)
}

#[test]
fn what_is_written_is_what_the_key_says_or_an_error() {
    let copied = |streamed, from_context| {
        let source = Fickle(Memory::new().file("f", "one"), streamed);
        let op = FileOp::Copy(plain(&["f"], "/x"));
        prepare(&op, &target(), input(source, from_context), &settings()).expect("good")
    };
    assert_eq!(
        appended(&copied("one", true)).expect("unchanged"),
        [("/x".to_owned(), b"one".to_vec())]
    );
    for streamed in ["two", "", "on", "one and more"] {
        let error = appended(&copied(streamed, true)).expect_err(streamed);
        assert_eq!(error.changed(), Some("/f".to_owned()), "{streamed}");
        let error = appended(&copied(streamed, false)).expect_err(streamed);
        assert_eq!(error.changed(), None, "{streamed}");
    }
    let write = FileOp::Write {
        path: "/x".to_owned(),
        content: b"inline".to_vec(),
        owner: None,
        mode: None,
    };
    let written = appended(&done(write, &target()).expect("good")).expect("written");
    assert_eq!(written, [("/x".to_owned(), b"inline".to_vec())]);
}

proptest! {
    #[test]
    fn keys_are_equal_exactly_where_contents_are(
        a in tree_strategy(),
        b in tree_strategy(),
    ) {
        let entries = |files: &Files| -> Vec<_> {
            let prepared = copied(plain(&["."], "/app"), &target(), &memory(files));
            prepared.expect("good").entries().collect()
        };
        prop_assert_eq!(entries(&a), entries(&a));
        prop_assert_eq!(entries(&a) == entries(&b), a == b, "{:?} {:?}", a, b);
    }
}

type Files = BTreeMap<String, (u8, u32)>;

/// Few names, contents and modes, so that equal trees are often met.
fn tree_strategy() -> impl Strategy<Value = Files> {
    let file = (0_u8..2, prop_oneof![Just(0o644_u32), Just(0o755)]);
    proptest::collection::btree_map("[ab]/[xy]|[xy]", file, 0..3)
}

fn memory(files: &Files) -> Memory {
    files.iter().fold(Memory::new(), |tree, (path, (content, mode))| {
        tree.file(path, [*content]).mode(path, *mode)
    })
}

/// The entries of a tree as an archive tells them.
fn archive(tree: &Memory, of: &[&str]) -> Archive {
    let entry = |path: &&str| {
        let path = LayerPath::new(*path).expect("a path");
        let node = tree.node(&path).expect("asked").expect("it is there");
        let content = match node.kind {
            NodeKind::File { .. } => tree.content(&path).expect("a file"),
            _ => ContentDigest::from_bytes([0; 32]),
        };
        let change = Change::Present { meta: node.meta, kind: node.kind.with_content(content) };
        crate::layer::Entry { path, change }
    };
    Archive { tree: Arc::new(tree.clone()), entries: of.iter().map(entry).collect() }
}

#[test]
fn archives_replace_what_stands_in_their_way_and_merge_directories() {
    let target = || {
        Memory::new()
            .file("etc/passwd", "root:x:0:0::/root:\napp:x:1000:1001::/app:\n")
            .directory("d")
            .mode("d", 0o700)
            .file("d/x/deep", "")
            .link("d/l", "/far")
            .link("d/in", "../real")
            .file("far/kept", "")
            .directory("real")
    };
    let unpacked = |tree: &Memory, of: &[&str], owner: Option<&str>, dest: &str| {
        let archive = archive(tree, of);
        let unpacker =
            |_: &Input, path: &LayerPath| Ok((path.display() == "/a.tar").then(|| archive.clone()));
        let settings = Settings { unpacker: &unpacker, mtime: Mtime::CONSTANT, ..settings() };
        let mut copy = plain(&[], dest);
        let (input, path, unpack) = (1, "a.tar".to_owned(), Unpack::Archives);
        copy.sources = vec![CopySource::Path { input, path, unpack }];
        copy.owner = owner.map(str::to_owned);
        let context = self::input(Memory::new().file("a.tar", "no matter"), true);
        prepare(&FileOp::Copy(copy), &target(), context, &settings)
    };
    let lines = |prepared: Result<Prepared, FileOpError>| -> Vec<String> {
        let prepared = prepared.expect("unpacked");
        let line = |(path, change): (&LayerPath, &Change)| {
            let Change::Present { meta, kind } = change else { panic!("{change:?}") };
            let kind = match kind {
                Kind::Directory => "dir",
                Kind::Symlink { .. } => "link",
                _ => "file",
            };
            format!("{kind} {} {:o} {}", path.display(), meta.mode, meta.uid)
        };
        prepared.items().map(line).collect()
    };
    let tree = Memory::new().file("f", "1").file("s/g", "2").mode("s", 0o711).mode("f", 0o4755);
    // Into what is not there, as a directory whether it ends with a slash or not.
    let made = ["dir /new 755 0", "file /new/f 4755 0", "dir /new/s 711 0", "file /new/s/g 644 0"];
    assert_eq!(lines(unpacked(&tree, &["f", "s", "s/g"], None, "/new")), made);
    // An implied directory says nothing of one that is there.
    let merged = ["file /d/f 4755 1000", "dir /d/s 755 0", "file /d/s/g 644 1000"];
    assert_eq!(lines(unpacked(&tree, &["f", "s/g"], Some("app"), "/d")), merged);
    // A file for a directory, a directory for a link, and through a link.
    let tree = Memory::new().file("x", "").directory("l").file("l/y", "").file("in/z", "");
    let replaced = ["dir /d/l 755 0", "file /d/l/y 644 0", "file /d/x 644 0", "file /real/z 644 0"];
    assert_eq!(lines(unpacked(&tree, &["in/z", "l", "l/y", "x"], None, "/d/")), replaced);
    let onto_file = unpacked(&tree, &["x"], None, "/etc/passwd");
    assert!(matches!(onto_file, Err(FileOpError::NotADirectory { .. })));
}
