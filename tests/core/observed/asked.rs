//! What the kernel asks for a command: the record holds all of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use builder_core::exec::{JobMount, JobMountKind, shown};
use builder_core::layer::{LayerPath, Meta};
use builder_core::view::observe::{Answers, Pathset, Question, Recorder};
use builder_core::view::{Node, NodeKind, Tree};

use crate::exec_support::{Bench, Memory, Seen, path, sh};

/// Runs a script and gives what it asked.
fn asked(bench: &Bench, script: &str, mounts: Vec<JobMount>) -> (Seen, Pathset) {
    let recorder = Arc::new(Recorder::default());
    let mut job = bench.job(sh(script), mounts);
    job.recorder = Some(Arc::clone(&recorder));
    let (seen, exit) = bench.try_run(job, &builder_core::exec::Cancel::new());
    let exit = exit.expect("it runs");
    assert!(exit.success(), "{script}: {}", seen.err());
    (seen, recorder.take().expect("it was served"))
}

fn scene() -> Option<Bench> {
    let mut bench = Bench::new()?;
    let tree = std::mem::take(&mut bench.tree);
    bench.tree = tree
        .dir("d")
        .file("d/one", 0o644, b"1")
        .file("d/two", 0o644, b"22")
        .dir("d/deep")
        .file("d/deep/x", 0o644, b"x")
        .link("l", "d/one")
        .file("big", 0o644, &vec![7; 300_000])
        .file("empty", 0o644, b"");
    Some(bench)
}

#[test]
fn each_kind_of_question_is_noted_and_nothing_that_was_not_asked() {
    use Question::{Content, Link, List, Node};
    let Some(bench) = scene() else { return };
    // What is asked, and what must not be.
    type Case =
        (&'static str, &'static [(&'static str, Question)], &'static [(&'static str, Question)]);
    let table: &[Case] = &[
        (
            "cat /d/one",
            &[("d", Node), ("d/one", Node), ("d/one", Content)],
            &[("d", List), ("d/two", Node)],
        ),
        ("test -e /d/none || true", &[("d/none", Node)], &[("d", List), ("d/one", Node)]),
        ("cat /l", &[("l", Node), ("l", Link), ("d/one", Content)], &[("d/two", Node)]),
        ("readlink /l", &[("l", Link)], &[("d/one", Node), ("d/one", Content)]),
        ("ls /d", &[("d", List)], &[("d/one", Content), ("d/deep", List)]),
        ("ls -l /d", &[("d", List), ("d/one", Node), ("d/two", Node)], &[("d/one", Content)]),
        ("find /d", &[("d", List), ("d/deep", List)], &[("d/one", Content)]),
        ("echo /d/*", &[("d", List)], &[("d/deep", List), ("d/one", Content)]),
        ("stat /d/two", &[("d/two", Node)], &[("d/two", Content), ("d", List)]),
        // Opened and not read, and empty: its size is its content.
        (": < /d/one", &[("d/one", Node)], &[("d/one", Content)]),
        ("cat /empty", &[("empty", Node)], &[]),
        // One byte of a large file: all of it counts.
        ("head -c 1 /big > /dev/null", &[("big", Content)], &[]),
        // Copied up to be changed.
        ("echo more >> /d/one", &[("d/one", Content)], &[("d", List)]),
        ("chmod 600 /d/two", &[("d/two", Node)], &[("d", List)]),
        // Overwritten whole: it is never read.
        ("echo new > /d/one", &[("d/one", Node)], &[("d", List)]),
        ("rm /d/one", &[("d/one", Node)], &[("d/one", Content)]),
        ("mv /d/one /d/three", &[("d/one", Content), ("d/three", Node)], &[("d/two", Node)]),
        ("rm -r /d/deep", &[("d/deep", List), ("d/deep/x", Node)], &[("d/one", Node)]),
        // A child in the background, and what it leaves to do.
        ("(cat /d/two > /out &) ; wait; sleep 0.1", &[("d/two", Content)], &[]),
        (
            "cat /d/one | cat > /d/one.new; cat /d/one.new",
            &[("d/one", Content)],
            &[("d/one.new", Content)],
        ),
    ];
    for (script, noted, not) in table {
        let (_, asked) = asked(&bench, script, Vec::new());
        assert!(asked.asked(0, &LayerPath::root()).has(Node), "{script}");
        for (at, question) in *noted {
            assert!(asked.asked(0, &path(at)).has(*question), "{script}: {at} {question:?}");
        }
        for (at, question) in *not {
            assert!(!asked.asked(0, &path(at)).has(*question), "{script}: {at} {question:?}");
        }
    }
}

#[test]
fn each_mount_is_asked_for_itself_and_each_step_anew() {
    let Some(bench) = scene() else { return };
    let other: Arc<dyn Tree> = Arc::new(Memory::new().dir("s").file("s/a", 0o644, b"a"));
    let mount = || {
        let (tree, source) = (Arc::clone(&other), path("s"));
        vec![JobMount {
            target: "/mnt".to_owned(),
            kind: JobMountKind::Tree { tree, source, writable: false },
        }]
    };
    // The second mount of one tree has a cache of its own: nothing is missed.
    for _ in 0..2 {
        let (_, asked) = asked(&bench, "cat /mnt/a /d/one", mount());
        let of_mount = asked.iter().map(|(tree, ..)| tree).max().expect("some tree");
        assert!(of_mount > 0);
        assert!(asked.asked(of_mount, &path("s/a")).has(Question::Content));
        assert!(asked.asked(0, &path("d/one")).has(Question::Content));
        assert!(!asked.asked(0, &path("mnt/a")).has(Question::Node));
    }
}

#[test]
fn names_are_bytes_and_nodes_of_every_type_are_told_apart() {
    let Some(mut bench) = scene() else { return };
    let odd: &[u8] = b"d/\xff\xfe \n'";
    let node = |kind| Node { meta: Meta::root_owned(0o644), kind, links: None };
    bench.tree = std::mem::take(&mut bench.tree)
        .with(odd, node(NodeKind::File { size: 1 }), b"y")
        .with(b"d/socket", node(NodeKind::Socket), b"")
        .with(b"d/pipe", node(NodeKind::Fifo), b"")
        .with(b"d/null", node(NodeKind::CharDevice { major: 1, minor: 3 }), b"");
    let (_, asked) = asked(&bench, "cd /d; stat -c %F * > /dev/null; cat *\\'", Vec::new());
    let at = LayerPath::new(odd).expect("a path");
    assert!(asked.asked(0, &at).has(Question::Content));
    for name in ["d/socket", "d/pipe", "d/null"] {
        assert!(asked.asked(0, &path(name)).has(Question::Node), "{name}");
    }
    let trees = |tree: &Memory| {
        let root: Arc<dyn Tree> = Arc::new(tree.clone());
        shown(&root, &[]).expect("it can be shown").trees
    };
    let answers = |tree: &Memory| Answers::of(&asked, &trees(tree), None).expect("it can be asked");
    let now = answers(&bench.tree);
    for other in [NodeKind::Fifo, NodeKind::CharDevice { major: 1, minor: 5 }] {
        let tree = bench.tree.clone().with(b"d/null", node(other), b"");
        let differs = now.differences(&answers(&tree), &asked);
        assert!(differs.iter().any(|d| d.path == path("d/null")), "{differs:?}");
    }
}

/// Design rule: what a step sees of a file does not depend on what else there
/// is, or "same answers" would not mean "same step".
#[test]
fn what_was_not_asked_changes_no_answer_and_no_result() {
    let Some(mut bench) = scene() else { return };
    let script = "stat -c '%i %h %s %b %Y %X %Z %o %a %u' /d/one /d /l > /seen; ls -i /d/deep >> /seen; \
                  cp -a /d/one /copy; touch -r /d/two /copy; chmod 640 /d/two; \
                  sed -i s/x/y/ /d/deep/x; cat /proc/self/mountinfo | wc -l >> /seen";
    let (seen, asked_then) = asked(&bench, script, Vec::new());
    let trees = |tree: &Memory| {
        let root: Arc<dyn Tree> = Arc::new(tree.clone());
        shown(&root, &[]).expect("it can be shown").trees
    };
    let then = Answers::of(&asked_then, &trees(&bench.tree), None).expect("answered");
    let more = std::mem::take(&mut bench.tree);
    bench.tree = (0..200).fold(more, |tree, at| tree.file(&format!("aa{at}"), 0o600, b"z"));
    let now = Answers::of(&asked_then, &trees(&bench.tree), None).expect("answered");
    // The root is listed by nothing here.
    assert_eq!(then, now, "{:?}", then.differences(&now, &asked_then));
    let (again, _) = asked(&bench, script, Vec::new());
    let bytes = |seen: &Seen| -> BTreeMap<String, Vec<u8>> {
        seen.entries.iter().map(|(path, (_, bytes))| (path.clone(), bytes.clone())).collect()
    };
    assert_eq!(bytes(&seen), bytes(&again));
}
