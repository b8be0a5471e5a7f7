//! Chains as anybody may have written them.

use super::*;
use crate::mutate::{Rng, as_it_is, hammer};
use crate::plan::op::{
    Command, Copy, CopySource, ExecKind, Mode, Mount, MountKind, Network, Security, Ulimit,
};
use crate::view::observe::Question;

fn path(text: &str) -> LayerPath {
    LayerPath::new(text).expect("a test's path is valid")
}

fn link(name: &str, act: Act) -> Link {
    let mut given = Parts::new();
    given.push("script", "make");
    let pathset = [(0, path(""), Question::Node), (0, path("usr/a"), Question::Content)];
    let pathset: Pathset = pathset.into_iter().collect();
    let answers = Answers::from_plain(&[7; 32]).expect("two answers");
    Link {
        name: name.to_owned(),
        history: HistoryLine::Says { created_by: name.to_owned(), comment: None },
        stage: "main".to_owned(),
        act,
        key: Some(CacheKey::from_bytes([1; 32])),
        layer: Some(DiffId::from_bytes([2; 32])),
        execution: Some(CacheKey::from_bytes([3; 32])),
        seen: Some(Seen::new(given, &pathset, &answers)),
        cwd: "/".to_owned(),
        owner: Some((1, 2)),
        inputs: [(1, input())].into(),
    }
}

fn input() -> Input {
    let caches = [("c".to_owned(), [CacheKey::from_bytes([4; 32])].into())].into();
    let (source, path) = ("src".to_owned(), path("src"));
    let part = Part { source, path, is_dir: true, content: "blake3:00".to_owned() };
    Input { root: (0o755, 0, 0), xattrs: false, caches, parts: vec![part] }
}

fn chain() -> Chain {
    let kind = MountKind::Bind { input: 1, source: "src".into(), writable: false };
    let nofile = Ulimit { name: "nofile".into(), soft: Some(9), hard: None };
    let exec = Exec {
        env: vec![("A".into(), "1".into())],
        user: Some("app".into()),
        network: Network::None,
        security: Security::Insecure,
        hosts: vec![("a".into(), "::1".into())],
        ulimits: vec![nofile],
        timeout: Some(std::time::Duration::from_secs(9)),
        mounts: vec![Mount { target: "/m".into(), kind }],
        ..Exec::new(Command::Shell("make".into()), ExecKind::Step)
    };
    let inline = CopySource::Inline { name: "x".into(), content: b"\xff".to_vec() };
    let mut copy = Copy {
        exclude: vec!["*.o".into()],
        owner: Some("app".into()),
        mode: Some(Mode::parse("u=rwX").expect("a mode")),
        ..Copy::new([".".to_owned()], "/app/")
    };
    copy.sources.push(inline);
    let write = FileOp::Write {
        path: "/x".into(),
        content: b"\xff\0text".to_vec(),
        owner: None,
        mode: None,
    };
    let patch = ConfigPatch { user: Some("app".into()), ..ConfigPatch::default() };
    Chain {
        base: 1,
        mtime: 946_684_800,
        compression: Compression::Gzip,
        annotations: [("a".to_owned(), "b".to_owned())].into(),
        secrets: ["token".to_owned()].into(),
        steps: vec![
            link("copy", Act::File(FileOp::Copy(copy))),
            link("write", Act::File(write)),
            link("make", Act::Exec(exec.clone())),
            link("config", Act::Config(patch)),
        ],
        tests: vec![link("test", Act::Exec(Exec { kind: ExecKind::Test, ..exec }))],
    }
}

fn packed(plain: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(plain, 1).expect("compressed")
}

#[test]
fn a_chain_is_read_as_it_was_written() {
    let chain = chain();
    assert_eq!(decode(&encode(&chain)).expect("good"), chain);
    let (pathset, answers) =
        chain.steps[0].seen.as_ref().expect("it saw").open().expect("they fit");
    assert_eq!((pathset.len(), answers.fit(&pathset)), (2, true));
    assert_eq!(chain.layers().count(), 4);
}

#[test]
fn what_breaks_a_bound_or_does_not_fit_is_refused() {
    let refused = |bytes: &[u8]| decode(bytes).expect_err("it is bad").to_string();
    assert!(refused(b"").contains("zstd"));
    assert!(refused(b"{}").contains("zstd"));
    let good = encode(&chain());
    assert!(refused(&good[..good.len() / 2]).contains("zstd"));
    assert!(refused(&packed(b"[]")).contains("not valid"));
    // A frame that says it holds more than may be read.
    let mut huge = packed(&vec![0; 1 << 20]);
    let at = huge.windows(4).position(|four| four == (1_u32 << 20).to_le_bytes());
    let at = at.expect("its size stands in its header");
    huge[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(refused(&huge).contains("more than the"), "{}", refused(&huge));
    let config = Link { seen: None, inputs: BTreeMap::new(), ..chain().steps[3].clone() };
    let many = Chain { steps: vec![config; 10_001], ..chain() };
    assert!(
        refused(&encode(&many)).contains("10001 steps") || {
            refused(&encode(&many)).contains("steps")
        }
    );
    let mut short = chain().steps[0].seen.clone().expect("it saw");
    short.answers.truncate(16);
    assert!(short.open().is_err(), "fewer answers than questions");
}

/// Mutates what is inside: outside, every change is found by zstd.
#[test]
fn no_mutation_of_a_chain_makes_it_panic() {
    let plain = crate::image::canonical_json(&chain());
    let unmended: &dyn Fn(&mut [u8], &mut Rng) = &as_it_is;
    hammer("chain", &[plain], unmended, &|bytes| {
        if let Ok(chain) = decode(&packed(bytes)) {
            for seen in chain.steps.iter().filter_map(|step| step.seen.as_ref()) {
                let _ = seen.open();
            }
        }
    });
    hammer("chain-packed", &[encode(&chain())], unmended, &|bytes| {
        let _ = decode(bytes);
    });
}
