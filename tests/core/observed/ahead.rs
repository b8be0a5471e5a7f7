//! Steps that run before those above them have ended: never another image.

use std::fs;
use std::path::{Path, PathBuf};

use builder_core::engine::{BuildRequest, BuildResult, Engine, OutputKind, OutputSpec};
use builder_core::exec::{Cancel, RunnerPath};
use builder_core::output::Dest;
use builder_core::recipe::{self, Params};
use builder_core::solve::{NoCache, StepStatus};

use crate::exec_support::{busybox, runner, skip};

struct Scene {
    dir: tempfile::TempDir,
    engine: Engine,
}

fn engine(store: &Path, jobs: usize) -> Engine {
    let builder = Engine::builder(store).runner(RunnerPath::Path(runner())).jobs(jobs);
    builder.build().expect("a store can be made")
}

impl Scene {
    /// `None` (said loudly) where steps cannot run.
    fn new(jobs: usize) -> Option<Self> {
        let Some(busybox) = busybox() else {
            skip("no static busybox (busybox-static)");
            return None;
        };
        if fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").is_err() {
            skip("/dev/fuse cannot be opened");
            return None;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let bin = dir.path().join("context/base/bin");
        fs::create_dir_all(&bin).expect("made");
        fs::write(bin.join("busybox"), busybox).expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(bin.join("busybox"), mode).expect("set");
        for tool in ["sh", "cat", "sleep", "echo", "test", "ls", "true"] {
            std::os::unix::fs::symlink("busybox", bin.join(tool)).expect("linked");
        }
        let engine = engine(&dir.path().join("store"), jobs);
        Some(Self { dir, engine })
    }

    fn context(&self) -> PathBuf {
        self.dir.path().join("context")
    }

    fn request(&self, steps: &str) -> BuildRequest {
        self.request_from("rootfs: base", steps)
    }

    fn request_from(&self, from: &str, steps: &str) -> BuildRequest {
        let text = format!("from: {{{from}}}\nsteps:\n{steps}");
        let (context, file) = (self.context(), Path::new("recipe.yaml"));
        let loaded = recipe::load(&text, file, &context, &Params::default()).expect("it is right");
        BuildRequest { recipe: loaded.recipe_id, ..BuildRequest::new(loaded.plan) }
    }

    fn built(&self, request: &BuildRequest) -> BuildResult {
        self.engine.build_blocking(request, &Cancel::new()).expect("it can be built")
    }

    /// The same in an empty store, one step after the other.
    fn anew(&self, request: &BuildRequest) -> String {
        let store = tempfile::tempdir_in(self.dir.path()).expect("a directory");
        let engine = engine(store.path(), 1);
        let request =
            BuildRequest { run_ahead: false, no_cache: NoCache::Never, ..request.clone() };
        let built = engine.build_blocking(&request, &Cancel::new()).expect("it can be built");
        assert!(built.steps.iter().all(|step| !step.ahead));
        built.digest.to_string()
    }

    /// Which steps ran ahead, by what they say they do; the image is checked.
    fn ahead(&self, request: &BuildRequest) -> Vec<String> {
        let built = self.built(request);
        assert_eq!(built.digest.to_string(), self.anew(request));
        let ahead = built.steps.iter().filter(|step| step.ahead);
        assert!(ahead.clone().all(|step| step.status == StepStatus::Ran));
        ahead.map(|step| step.name.clone()).collect()
    }
}

fn all(request: BuildRequest) -> BuildRequest {
    BuildRequest { no_cache: NoCache::All, ..request }
}

const THREE: &str = "
  - {name: a, run: sleep 0.4; echo a > /a}
  - {name: b, run: sleep 0.4; echo b > /b}
  - {name: c, run: cat /a /b > /c; sleep 0.1}
";

#[test]
fn steps_that_see_nothing_of_each_other_run_together() {
    let Some(scene) = Scene::new(4) else { return };
    let request = scene.request(THREE);
    assert!(scene.ahead(&request).is_empty(), "nothing is known of them yet");
    assert_eq!(scene.ahead(&all(request.clone())), ["b"], "`c` reads what `a` writes");
    let off = BuildRequest { run_ahead: false, ..all(request) };
    assert!(scene.ahead(&off).is_empty());
}

#[test]
fn steps_on_an_image_that_was_made_elsewhere_run_together() {
    let (Some(there), Some(scene)) = (Scene::new(1), Scene::new(4)) else { return };
    let image = OutputSpec {
        kind: OutputKind::Docker,
        dest: Dest::Path(scene.context().join("image.tar")),
        records: false,
    };
    there.built(&BuildRequest { outputs: vec![image], ..there.request("  - mkdir: /x\n") });
    let request = scene.request_from("oci: image.tar", THREE);
    assert!(scene.ahead(&request).is_empty(), "nothing is known of them yet");
    assert_eq!(scene.ahead(&all(request)), ["b"]);
}

#[test]
fn one_job_leaves_nothing_to_run_ahead_on() {
    let Some(scene) = Scene::new(1) else { return };
    let request = scene.request(THREE);
    scene.built(&request);
    assert!(scene.ahead(&all(request)).is_empty());
}

#[test]
fn a_trial_that_saw_another_root_is_thrown_away() {
    let Some(scene) = Scene::new(2) else { return };
    // Nothing above writes `/x`, until it does.
    let second =
        "  - {name: b, run: if test -e /x; then cat /x > /b; else echo none > /b; fi; sleep 0.3}\n";
    let first = |script: &str| format!("  - {{name: a, run: sleep 0.5; {script}}}\n{second}");
    scene.built(&scene.request(&first("echo a > /a")));
    let edited = scene.request(&first("echo a > /x"));
    assert!(scene.ahead(&edited).is_empty());
    // And back: now `b` is known to look at what `a` writes.
    assert!(scene.ahead(&all(edited)).is_empty());
}

#[test]
fn a_trial_that_fails_is_no_error() {
    let Some(scene) = Scene::new(2) else { return };
    let second = "  - {name: b, run: if test -e /flag; then cat /made > /b; else echo > /b; fi}\n";
    let first = |script: &str| format!("  - {{name: a, run: sleep 0.5; {script}}}\n{second}");
    scene.built(&scene.request(&first("echo a > /a")));
    // Without what `a` makes now, `b` fails.
    fs::write(scene.context().join("base/flag"), "").expect("written");
    assert!(scene.ahead(&scene.request(&first("echo a > /made"))).is_empty());
    scene.anew(&scene.request(&first("echo a > /made")));
}

#[test]
fn none_passes_a_step_that_may_write_its_cache() {
    let Some(scene) = Scene::new(2) else { return };
    let step = |name: &str, script: &str, id: &str| {
        format!(
            "  - {{name: {name}, run: {{script: {script}, mounts: [{{cache: {id}, target: /c}}]}}}}\n"
        )
    };
    let one = step("a", "sleep 0.4; echo a > /a", "x");
    let same = scene.request(&format!("{one}{}", step("b", "sleep 0.1; echo b > /b", "x")));
    scene.built(&same);
    assert!(scene.ahead(&all(same)).is_empty());
    let other = scene.request(&format!("{one}{}", step("b", "sleep 0.1; echo b > /b", "y")));
    scene.built(&other);
    assert_eq!(scene.ahead(&all(other)), ["b"]);
}

#[test]
fn a_failed_step_ends_the_build_and_what_ran_ahead() {
    let Some(scene) = Scene::new(2) else { return };
    let steps = |first: &str| {
        format!("  - {{name: a, run: {first}}}\n  - {{name: b, run: sleep 0.6; echo b > /b}}\n")
    };
    scene.built(&scene.request(&steps("sleep 0.3; echo a > /a")));
    let request = all(scene.request(&steps("sleep 0.3; exit 3")));
    let failed = scene.engine.build_blocking(&request, &Cancel::new());
    assert!(failed.is_err());
    let work = scene.dir.path().join("store/phoenix/work");
    let left = fs::read_dir(work)
        .expect("there")
        .filter_map(Result::ok)
        .filter(|entry| fs::read_dir(entry.path()).is_ok_and(|mut dir| dir.next().is_some()));
    assert_eq!(left.count(), 0);
}

/// What Phoenix looks up for a step by name is not among what the step asks.
#[test]
fn a_trial_as_another_user_is_thrown_away() {
    let Some(scene) = Scene::new(2) else { return };
    let etc = scene.context().join("base/etc");
    fs::create_dir_all(&etc).expect("made");
    fs::write(etc.join("passwd"), "www:x:33:33::/:/bin/sh\n").expect("written");
    let steps = |uid: u32| {
        format!(
            "  - {{name: a, run: 'sleep 0.5; echo www:x:{uid}:{uid}::/:/bin/sh > /etc/passwd'}}\n  \
             - {{name: b, run: {{script: 'echo > /tmp/b', user: www}}}}\n"
        )
    };
    fs::create_dir_all(scene.context().join("base/tmp")).expect("made");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
    fs::set_permissions(scene.context().join("base/tmp"), mode).expect("set");
    scene.built(&scene.request(&steps(33)));
    assert_eq!(scene.ahead(&all(scene.request(&steps(33)))), ["b"]);
    assert!(scene.ahead(&all(scene.request(&steps(44)))).is_empty());
}

/// A step that was looked at while there was no sense in trying it is looked at
/// again once more is there.
#[test]
fn what_may_not_start_yet_may_start_later() {
    let Some(scene) = Scene::new(2) else { return };
    fs::write(scene.context().join("base/in"), "1").expect("written");
    let steps = "
  - {name: a, run: sleep 0.5; cat /in > /a}
  - {name: x, run: sleep 0.5; cat /a > /x}
  - {name: y, run: sleep 0.5; cat /a > /y}
";
    scene.built(&scene.request(steps));
    fs::write(scene.context().join("base/in"), "22").expect("written");
    assert_eq!(scene.ahead(&scene.request(steps)), ["y"]);
}

/// The step above makes no layer, so the trial stood on the true root.
#[test]
fn a_trial_on_the_true_root_is_told_as_one() {
    let Some(scene) = Scene::new(2) else { return };
    fs::write(scene.context().join("base/in"), "1").expect("written");
    let steps = "
  - {name: a, run: cat /in > /dev/null; sleep 0.6}
  - {name: b, run: echo HELLO; cat /in > /b}
";
    scene.built(&scene.request(steps));
    fs::write(scene.context().join("base/in"), "22").expect("written");
    assert_eq!(scene.ahead(&scene.request(steps)), ["b"]);
}

/// Two steps that hold the same port, which only one can at a time.
#[test]
fn a_step_that_fails_beside_a_trial_runs_once_more_alone() {
    let Some(scene) = Scene::new(2) else { return };
    for tool in ["httpd", "kill"] {
        let link = scene.context().join("base/bin").join(tool);
        std::os::unix::fs::symlink("busybox", link).expect("linked");
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr());
    let port = port.expect("a port is free").port();
    let serve = format!("httpd -f -p 127.0.0.1:{port} & sleep 1; kill $!");
    let steps = format!(
        "  - {{name: a, run: 'sleep 0.5; {serve}; echo > /a'}}\n  - {{name: b, run: '{serve}; echo > /b'}}\n"
    );
    scene.built(&scene.request(&steps));
    // The trial of `b` has the port while `a` wants it.
    let again = scene.built(&all(scene.request(&steps)));
    assert_eq!(again.digest.to_string(), scene.anew(&scene.request(&steps)));
}

#[test]
fn a_step_that_is_given_a_secret_waits_for_its_turn() {
    let Some(scene) = Scene::new(2) else { return };
    let steps = "
  - {name: a, run: sleep 0.5; echo a > /a}
  - {name: b, run: {script: echo b > /b, mounts: [{secret: s}]}}
";
    let secrets = [("s".to_owned(), b"hush".to_vec())].into();
    let request = BuildRequest { secrets, ..scene.request(steps) };
    scene.built(&request);
    assert!(scene.ahead(&all(request)).is_empty());
}
