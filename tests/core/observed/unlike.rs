//! Where nothing may be recorded, nothing is: the step has its key only.

use std::io;
use std::sync::Arc;

use builder_core::digest::ContentDigest;
use builder_core::exec::{Cancel, ExecError, IdMap, RootKind};
use builder_core::layer::LayerPath;
use builder_core::view::observe::Recorder;
use builder_core::view::{Node, ReadAt, Tree, TreeError};

use crate::exec_support::{Bench, Memory, Seen, sh};

/// A tree of which one file cannot be read, or is shorter than it says.
struct Broken(Memory, Fault);

#[derive(Clone, Copy)]
enum Fault {
    Error,
    Short,
}

struct Bytes(Fault);

impl ReadAt for Bytes {
    fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
        match self.0 {
            Fault::Error => Err(io::ErrorKind::InvalidData.into()),
            Fault::Short => Ok(0),
        }
    }
}

impl Tree for Broken {
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
        if path.display() == "/bad" { Ok(Arc::new(Bytes(self.1))) } else { self.0.open(path) }
    }
}

#[test]
fn a_read_error_or_a_short_read_voids_a_step_that_succeeds() {
    let Some(bench) = Bench::new() else { return };
    for fault in [Fault::Error, Fault::Short] {
        let tree = bench.tree.clone().file("bad", 0o644, b"content");
        let recorder = Arc::new(Recorder::default());
        let mut job = bench.job(sh("cat /bad || true"), Vec::new());
        job.root = Arc::new(Broken(tree, fault));
        job.recorder = Some(Arc::clone(&recorder));
        let (_, exit) = bench.try_run(job, &Cancel::new());
        assert!(matches!(exit, Err(ExecError::Tree(_))), "{exit:?}");
    }
}

#[test]
fn a_root_that_is_written_out_tells_nothing() {
    let Some(mut bench) = Bench::new() else { return };
    bench.sandbox = bench.sandbox.clone().with(IdMap::Root, RootKind::Unpacked);
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let recorder = Arc::new(Recorder::default());
    let mut job = bench.job(sh("cat /etc/passwd > /dev/null"), Vec::new());
    job.recorder = Some(Arc::clone(&recorder));
    let (_, exit): (Seen, _) = bench.try_run(job, &Cancel::new());
    assert!(exit.expect("it runs").success());
    assert!(recorder.take().is_err());
}
