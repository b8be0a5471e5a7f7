//! The solver against a naive oracle: whatever was edited and built before,
//! a build gives the image that a build in an empty store gives, and runs no
//! step that the rules let stand.
//!
//! `PHOENIX_ORACLE_CASES=1000` tries more cases, `PHOENIX_ORACLE_SEED=7` one.

mod model;
mod reuse;
pub(crate) mod rng;
mod world;

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use builder_core::engine::{BuildRequest, Engine};
use builder_core::error::Error;
use builder_core::exec::{Cancel, RunnerPath};
use builder_core::layer::Compression;
use builder_core::recipe::{self, Params};
use builder_core::solve::{NoCache, StepReport, StepStatus};

use self::rng::Rng;
use self::world::World;
use crate::exec_support::{busybox, runner, skip};

/// Cases that failed once.
const REGRESSIONS: &[u64] = &[];

/// How often each world is edited.
const EDITS: usize = 4;

/// How a build ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ended {
    Image(String),
    /// The name of the step that failed.
    Failed(String),
}

/// A context on disk, a store that lives through all edits, and what the model
/// knows of it.
struct Case {
    dir: tempfile::TempDir,
    engine: Engine,
    jobs: usize,
    /// What was done, to tell when it went wrong.
    log: String,
    seen: HashSet<String>,
    /// Those of `seen` that were made too long ago for a `max_age`.
    aged: HashSet<String>,
    fresh: HashMap<String, Ended>,
}

/// A directory, in memory where there is one: the promises here are not about
/// what survives a power cut, and syncing would take most of the time.
pub(crate) fn place() -> tempfile::TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory.or_else(|_| tempfile::tempdir()).expect("a directory")
}

fn engine(store: &Path, jobs: usize) -> Engine {
    let builder = Engine::builder(store).runner(RunnerPath::Path(runner())).jobs(jobs);
    builder.build().expect("a store can be made")
}

fn base(at: &Path, busybox: &[u8], word: &str) {
    let write = |name: &str, bytes: &[u8], mode| {
        let path = at.join(name);
        fs::create_dir_all(path.parent().expect("it is below")).expect("made");
        // What is the same keeps its time: in a base, times count.
        if fs::read(&path).is_ok_and(|old| old == bytes) {
            return;
        }
        fs::write(&path, bytes).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        let file = fs::File::options().write(true).open(&path).expect("there");
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)).expect("set");
    };
    write("bin/busybox", busybox, 0o755);
    write("etc/word", word.as_bytes(), 0o644);
    for tool in "sh cat find sort xargs mv env grep true echo stat ls test cp".split(' ') {
        let link = at.join("bin").join(tool);
        if link.symlink_metadata().is_err() {
            std::os::unix::fs::symlink("busybox", &link).expect("linked");
            let times = rustix::fs::Timestamps {
                last_access: rustix::fs::Timespec { tv_sec: 1_000_000, tv_nsec: 0 },
                last_modification: rustix::fs::Timespec { tv_sec: 1_000_000, tv_nsec: 0 },
            };
            let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::utimensat(rustix::fs::CWD, &link, &times, flags).expect("set");
        }
    }
}

impl Case {
    fn new(jobs: usize) -> Self {
        let dir = place();
        let engine = engine(&dir.path().join("store"), jobs);
        let (seen, aged, fresh) = (HashSet::new(), HashSet::new(), HashMap::new());
        Self { dir, engine, jobs, log: String::new(), seen, aged, fresh }
    }

    fn context(&self) -> PathBuf {
        self.dir.path().join("context")
    }

    /// Brings the world to disk. Every file is written again, so that all
    /// times differ from those of the build before.
    fn write(&self, world: &World, busybox: &[u8]) {
        let context = self.context();
        for name in ["base", "base2"] {
            base(&context.join(name), busybox, &world.word);
        }
        let app = context.join("app");
        let _ = fs::remove_dir_all(&app);
        fs::create_dir_all(app.join("d")).expect("made");
        for (name, (content, mode)) in &world.files {
            let path = app.join(name);
            fs::write(&path, content).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).expect("set");
        }
    }

    fn request(&self, world: &World) -> BuildRequest {
        let (text, context) = (world.recipe(), self.context());
        let file = context.join("recipe.yaml");
        let loaded = recipe::load(&text, &file, &context, &Params::default());
        let loaded = loaded.unwrap_or_else(|found| panic!("{text}\n{found:?}"));
        BuildRequest {
            recipe: loaded.recipe_id,
            secrets: [("s".to_owned(), format!("secret {}", world.secret).into_bytes())].into(),
            compression: if world.zstd { Compression::Zstd } else { Compression::Gzip },
            ..BuildRequest::new(loaded.plan)
        }
    }

    /// What a build in an empty store gives.
    fn built_anew(&mut self, world: &World) -> Ended {
        let fingerprint =
            format!("{:?}{}{}{}", world.files, world.word, world.zstd, world.recipe());
        if let Some(known) = self.fresh.get(&fingerprint) {
            // Files that keep their times have them from the disk, not from the world.
            if !world.recipe().contains("\"keep_mtime\":true") {
                return known.clone();
            }
        }
        let store = tempfile::tempdir_in(self.dir.path()).expect("a directory");
        let engine = engine(store.path(), self.jobs);
        let (ended, _) = ended(engine.build_blocking(&self.request(world), &Cancel::new()));
        self.fresh.insert(fingerprint, ended.clone());
        ended
    }

    /// Builds with all that was built before, and checks all promises.
    fn build(&mut self, world: &World, no_cache: NoCache) {
        let request = BuildRequest { no_cache, ..self.request(world) };
        let planned = self.engine.plan_blocking(&request, &Cancel::new()).expect("a plan").steps;
        let (got, reports) = ended(self.engine.build_blocking(&request, &Cancel::new()));
        for report in &reports {
            writeln!(self.log, "    {:?} {}: {}", report.status, report.name, report.reason)
                .expect("a string takes all");
        }
        let wanted = self.built_anew(world);
        // Of several that fail at the same time, which is first is chance.
        let both_failed = matches!((&got, &wanted), (Ended::Failed(_), Ended::Failed(_)));
        let alike = got == wanted || self.jobs > 1 && both_failed;
        assert!(alike, "{got:?} and not {wanted:?}\n{}\n{}", self.log, world.recipe());
        self.rules(world, &reports, &request.no_cache);
        // Which of two equal steps comes first is chance where several run at once.
        if self.jobs == 1 {
            self.foretold(&planned, &reports);
        }
    }

    /// No step ran that had to stand, and each ran that had to.
    fn rules(&mut self, world: &World, reports: &[StepReport], no_cache: &NoCache) {
        let expected = model::keys(world, reports);
        for step in &expected {
            let report = reports.iter().find(|r| r.name == step.name).expect("it has one");
            let forced = no_cache.forbids(Some(&step.name), "")
                || step.max_age && self.aged.contains(&step.key);
            let ran = report.status == StepStatus::Ran;
            let may = forced || !self.seen.contains(&step.key);
            assert!(may || !ran, "{} ran: {}\n{}", step.name, report.reason, self.log);
            assert!(ran || !forced, "{} stood\n{}", step.name, self.log);
        }
        for step in expected {
            let report = reports.iter().find(|r| r.name == step.name).expect("it has one");
            if report.status == StepStatus::Ran {
                self.aged.remove(&step.key);
            }
            self.seen.insert(step.key);
        }
    }

    /// What the plan said is what the build did, where it supposed nothing.
    fn foretold(&self, planned: &[StepReport], reports: &[StepReport]) {
        let knows =
            |plan: &&StepReport| plan.status != StepStatus::Waits && plan.supposes.is_empty();
        for plan in planned.iter().filter(knows) {
            let Some(report) = reports.iter().find(|report| report.id == plan.id) else { continue };
            let (said, did) = ((plan.status, &plan.reason), (report.status, &report.reason));
            assert_eq!(said, did, "{}\n{}", plan.name, self.log);
        }
    }

    /// Makes all results two hours older.
    fn age(&mut self) {
        let store = self.engine.store();
        for area in ["results", "sources"] {
            for name in store.list_records(area).expect("listed") {
                let bytes = store.get_record(area, &name).expect("read").expect("it was listed");
                let mut record: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
                let ran_at = match area {
                    "results" => &mut record["ran_at"],
                    _ => &mut record["run"]["ran_at"],
                };
                *ran_at = (ran_at.as_i64().expect("seconds") - 7200).into();
                let bytes = serde_json::to_vec(&record).expect("JSON");
                store.put_record(area, &name, &bytes).expect("written");
            }
        }
        self.aged.clone_from(&self.seen);
    }
}

fn ended(result: Result<builder_core::engine::BuildResult, Error>) -> (Ended, Vec<StepReport>) {
    match result {
        Ok(built) => (Ended::Image(built.digest.to_string()), built.steps),
        Err(Error::Step { error, steps }) => (Ended::Failed(error.step.clone()), steps),
        Err(error) => panic!("{error:?}"),
    }
}

/// The reuse that a build is forbidden. A step that shares a cache mount finds
/// there what the last run left, so these are forced together or not at all.
fn forbidden(rng: &mut Rng, world: &World) -> NoCache {
    if rng.one_in(8) {
        return NoCache::All;
    }
    if world.caches || !rng.one_in(4) {
        return NoCache::Never;
    }
    let stage = rng.below(world.stages.len());
    let steps = world.written(stage);
    NoCache::Steps(vec![steps[rng.below(steps.len())].name.clone()])
}

fn run(seed: u64, busybox: &[u8]) {
    let mut rng = Rng::new(seed);
    let mut world = World::new(&mut rng);
    let mut case = Case::new(1 + rng.below(2));
    let first = world.clone();
    writeln!(case.log, "seed {seed}: {}", world.recipe()).expect("a string takes all");
    case.write(&world, busybox);
    case.build(&world, NoCache::Never);
    for _ in 0..EDITS {
        for _ in 0..1 + rng.below(2) {
            let what = world.edit(&mut rng);
            writeln!(case.log, "edit: {what}").expect("a string takes all");
        }
        if rng.one_in(5) {
            case.age();
            case.log.push_str("results are two hours older\n");
        }
        let no_cache = forbidden(&mut rng, &world);
        writeln!(case.log, "build, reuse forbidden: {no_cache:?}").expect("a string takes all");
        case.write(&world, busybox);
        case.build(&world, no_cache);
    }
    case.log.push_str("all as it was first\n");
    case.write(&first, busybox);
    case.build(&first, NoCache::Never);
}

pub(crate) fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn a_build_gives_what_a_build_in_an_empty_store_gives_and_runs_no_more_than_it_must() {
    let Some(busybox) = busybox() else {
        return skip("no static busybox (busybox-static)");
    };
    if fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").is_err() {
        return skip("/dev/fuse cannot be opened");
    }
    let seeds: Vec<u64> = match number("PHOENIX_ORACLE_SEED") {
        Some(seed) => vec![seed],
        None => {
            let cases = number("PHOENIX_ORACLE_CASES").unwrap_or(60);
            REGRESSIONS.iter().copied().chain(1..=cases).collect()
        }
    };
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(seed) =
                    seeds.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    run(*seed, &busybox);
                }
            });
        }
    });
}
