//! What forbids reuse, and edits that once were not seen.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use builder_core::engine::{BuildRequest, Engine};
use builder_core::exec::Cancel;
use builder_core::layer::Compression;
use builder_core::recipe::{self, Params};
use builder_core::solve::{NoCache, StepReport, StepStatus};

use super::{base, engine, place};
use crate::exec_support::{busybox, skip};

/// A context with a base, and a store.
struct Scene {
    dir: tempfile::TempDir,
    engine: Engine,
}

impl Scene {
    /// `None` (said loudly) where steps cannot run.
    fn new() -> Option<Self> {
        let Some(busybox) = busybox() else {
            skip("no static busybox (busybox-static)");
            return None;
        };
        if fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").is_err() {
            skip("/dev/fuse cannot be opened");
            return None;
        }
        let dir = place();
        let engine = engine(&dir.path().join("store"), 1);
        base(&dir.path().join("context/base"), &busybox, "word");
        fs::create_dir(dir.path().join("context/app")).expect("made");
        fs::write(dir.path().join("context/app/a"), "a").expect("written");
        Some(Self { dir, engine })
    }

    fn context(&self) -> PathBuf {
        self.dir.path().join("context")
    }

    fn request(&self, text: &str) -> BuildRequest {
        let (context, file) = (self.context(), Path::new("recipe.yaml"));
        let loaded = recipe::load(text, file, &context, &Params::default()).expect("it is right");
        BuildRequest { recipe: loaded.recipe_id, ..BuildRequest::new(loaded.plan) }
    }

    /// The image's digest, and the names of the steps that ran.
    fn built(&self, request: &BuildRequest) -> (String, Vec<String>) {
        let built = self.engine.build_blocking(request, &Cancel::new()).expect("it can be built");
        let ran = built.steps.into_iter().filter(|step| step.status == StepStatus::Ran);
        (built.digest.to_string(), ran.map(|step| step.name).collect())
    }

    fn ran(&self, text: &str, no_cache: NoCache) -> Vec<String> {
        self.built(&BuildRequest { no_cache, ..self.request(text) }).1
    }

    /// What the same build gives in an empty store.
    fn built_anew(&self, request: &BuildRequest) -> String {
        let store = tempfile::tempdir_in(self.dir.path()).expect("a directory");
        let engine = engine(store.path(), 1);
        let built = engine.build_blocking(request, &Cancel::new()).expect("it can be built");
        built.digest.to_string()
    }
}

fn steps(names: &[&str]) -> NoCache {
    NoCache::Steps(names.iter().map(|name| (*name).to_owned()).collect())
}

const RECIPE: &str = "
stages:
  first:
    from: {rootfs: base}
    steps:
      - {name: copy, copy: [app/, /app/]}
      - {name: run, run: cat /app/a > /b}
      - {name: links, mkdir: [/x, /y]}
      - {name: gone, remove: {paths: /none, required: false}}
    tests:
      - {name: test, run: test -e /b}
";

#[test]
fn no_cache_forbids_reuse_of_sources_files_runs_and_tests() {
    let Some(scene) = Scene::new() else { return };
    let all = ["from base", "copy", "run", "links", "links", "gone", "test"];
    assert_eq!(scene.ran(RECIPE, NoCache::Never), all);
    assert_eq!(scene.ran(RECIPE, NoCache::Never), [""; 0]);
    assert_eq!(scene.ran(RECIPE, NoCache::All), all);
    assert_eq!(scene.ran(RECIPE, steps(&["first"])), all, "a stage's name");
    for name in ["copy", "run", "gone", "test"] {
        assert_eq!(scene.ran(RECIPE, steps(&[name])), [name]);
    }
    assert_eq!(scene.ran(RECIPE, steps(&["links"])), ["links", "links"]);
    assert_eq!(scene.ran(RECIPE, steps(&["other"])), [""; 0]);
    assert_eq!(scene.ran(RECIPE, NoCache::Never), [""; 0]);
}

#[test]
fn a_step_that_two_stages_have_is_forbidden_by_either_name_and_takes_the_smaller_age() {
    let Some(scene) = Scene::new() else { return };
    let text = "
stages:
  one:
    from: {rootfs: base}
    steps:
      - {run: echo x > /x}
  two:
    from: {rootfs: base}
    steps:
      - {name: deps, max_age: 0s, run: echo x > /x}
      - {copy: {from: one, src: /x, dest: /y}}
";
    assert_eq!(scene.ran(text, NoCache::Never).len(), 3);
    let again = BuildRequest { no_cache: steps(&["deps"]), ..scene.request(text) };
    assert_eq!(scene.built(&again).1, ["run echo x > /x"]);
    let stage = BuildRequest { no_cache: steps(&["two"]), ..scene.request(text) };
    assert_eq!(scene.built(&stage).1.len(), 3, "all that stage two needs of its own");
}

#[test]
fn a_stage_that_is_mounted_is_seen_with_its_times() {
    let Some(scene) = Scene::new() else { return };
    let text = "
stages:
  kept:
    from: {rootfs: base}
    steps:
      - {copy: {src: app/a, dest: /app/a, keep_mtime: true}}
  reads:
    from: {rootfs: base}
    steps:
      - run:
          script: stat -c %Y /mnt/a > /time
          mounts: [{bind: /app, from: kept, target: /mnt}]
";
    let touch = |secs| {
        let file = fs::File::options().write(true).open(scene.context().join("app/a"));
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        file.expect("there").set_modified(time).expect("set");
    };
    let request = scene.request(text);
    touch(1_000);
    assert_eq!(scene.built(&request).0, scene.built_anew(&request));
    touch(2_000);
    assert_eq!(scene.built(&request).0, scene.built_anew(&request));
}

#[test]
fn another_compression_gives_what_an_empty_store_gives() {
    let Some(scene) = Scene::new() else { return };
    for compression in [Compression::Gzip, Compression::Zstd, Compression::None, Compression::Gzip]
    {
        let request = BuildRequest { compression, ..scene.request(RECIPE) };
        let plan = scene.engine.plan_blocking(&request, &Cancel::new()).expect("a plan");
        let (digest, ran) = scene.built(&request);
        assert_eq!(digest, scene.built_anew(&request), "{compression:?}");
        // The base is not there yet, and nothing is known of what stands on it.
        let runs = |step: &&StepReport| matches!(step.status, StepStatus::Ran | StepStatus::Waits);
        let would = plan.steps.iter().filter(runs).count();
        assert_eq!(would, ran.len(), "{compression:?}");
    }
}
