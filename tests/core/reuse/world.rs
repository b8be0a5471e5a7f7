//! All that a build depends on: bases, a context, a recipe; at random, and as
//! it is written for Phoenix.

use serde_json::{Value, json};

use super::heavy;
use super::tree::{self, Item, Tree, What};
use super::words::{self, Scope};
use crate::oracle::rng::Rng;

/// Layers of a base above the tools, lowest first.
pub(super) type Base = Vec<Tree>;

#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) bases: Vec<Base>,
    /// Of the context's `app`.
    pub(super) context: Tree,
    pub(super) stages: Vec<Stage>,
    /// Whether steps may leave things to one another in caches. What they find
    /// there is the last that was left, so these worlds are edited once only.
    pub(super) pairs: bool,
    /// Whether the bases are a Debian, and steps use its tools.
    pub(super) heavy: bool,
    next: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Stage {
    pub(super) from: From,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Base(usize),
    Stage(usize),
}

#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) id: u32,
    pub(super) does: Does,
}

#[derive(Debug, Clone)]
pub(super) enum Does {
    Run(Run),
    /// The first leaves in a cache what the second takes from there.
    Pair(Run, Run),
    /// As it stands in the recipe.
    Words(Value),
}

/// A `run` step.
#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    pub(super) commands: Vec<String>,
    /// Further keys: user, workdir, env.
    pub(super) keys: Vec<(String, Value)>,
    pub(super) mounts: Vec<Value>,
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nwww:x:33:33:www:/d:/bin/sh\n\
                      dev:x:1000:1000:dev:/e:/bin/sh\n";
const GROUP: &str = "root:x:0:\nwww:x:33:dev\ndev:x:1000:\nmore:x:50:www\n";

/// The files of users: what one step asks of them is one line.
pub(super) const USERS: [(&str, [&str; 4]); 2] = [
    (
        "etc/passwd",
        [
            PASSWD,
            "root:x:0:0:root:/root:/bin/sh\nwww:x:33:50:www:/e:/bin/sh\n\
             dev:x:1000:1000:dev:/e:/bin/sh\n",
            "root:x:0:0:root:/root:/bin/sh\nnew:x:7:7:new:/:/bin/sh\nwww:x:33:33:www:/d:/bin/sh\n\
             dev:x:1000:1000:dev:/e:/bin/sh\n",
            "root:x:0:0:ROOT:/d:/bin/sh\nwww:x:33:33:www:/d:/bin/sh\ndev:x:1000:0:dev:/d:/bin/sh\n",
        ],
    ),
    (
        "etc/group",
        [
            GROUP,
            "root:x:0:\nwww:x:33:\ndev:x:1000:\nmore:x:50:www,dev\n",
            "root:x:0:\nwww:x:34:dev\ndev:x:1000:www\nmore:x:50:\n",
            "root:x:0:\nwww:x:33:dev\ndev:x:1000:\nmore:x:50:www\nlast:x:99:\n",
        ],
    ),
];

impl World {
    pub(super) fn new(rng: &mut Rng, heavy: bool) -> Self {
        let mut lowest = tree::random(rng);
        if heavy {
            heavy::lay(rng, &mut lowest);
        } else {
            let users = USERS.map(|(path, texts)| (path.to_owned(), Item::file(texts[0])));
            lowest.extend(users);
        }
        let mut bases = vec![vec![lowest.clone()], vec![lowest]];
        // The second stands on the first, or differs from it here and there.
        for base in bases.iter_mut().skip(rng.below(2)) {
            base.push(tree::upper(rng));
        }
        let mut context = tree::random(rng);
        context.retain(|_, item| {
            matches!(item.what, What::File(_) | What::Dir { .. } | What::Symlink(_))
        });
        let pairs = rng.one_in(4);
        let mut world = Self { bases, context, stages: Vec::new(), pairs, heavy, next: 0 };
        let stages = [1, 1, 2, 2, 3][rng.below(5)];
        for at in 0..stages {
            let from = match at {
                0 => From::Base(0),
                _ if rng.one_in(3) => From::Base(rng.below(2)),
                _ => From::Stage(rng.below(at)),
            };
            world.stages.push(Stage { from, steps: Vec::new() });
            for _ in 0..[5, 3, 2][stages - 1] {
                let step = world.step(rng, at, world.stages[at].steps.len());
                world.stages[at].steps.push(step);
            }
        }
        world
    }

    /// A new step for a place.
    pub(super) fn step(&mut self, rng: &mut Rng, stage: usize, at: usize) -> Step {
        let above = &self.stages[stage].steps[..at];
        // The same words elsewhere, on other files.
        if rng.one_in(10) {
            // Later stages may name this one.
            let stages = &self.stages[..=stage];
            let all: Vec<&Step> = stages.iter().flat_map(|stage| &stage.steps).collect();
            let again = all.into_iter().rfind(|step| matches!(step.does, Does::Run(_)));
            if let Some(again) = again {
                return again.clone();
            }
        }
        let results = above.iter().map(|step| step.id).collect();
        let id = self.next;
        self.next += 1;
        let does = match rng.below(20) {
            0 | 1 => Does::Words(copy_context(rng)),
            2 if stage > 0 => Does::Words(copy_stage(rng, stage)),
            3 => Does::Words(file_step(rng)),
            4 if self.pairs => {
                let scope = Scope::new(results, &[], false);
                let mount = json!({ "cache": format!("p{id}"), "target": "/cache" });
                let fill = vec![
                    "rm -rf /cache/*; exec > /cache/x 2>&1".to_owned(),
                    words::read(&scope, rng),
                ];
                let take = vec!["cat /cache/x".to_owned(), words::read(&scope, rng)];
                let run = |commands| Run { commands, mounts: vec![mount.clone()], keys: vec![] };
                Does::Pair(run(fill), run(take))
            }
            _ => Does::Run(run(rng, id, stage, results, self.heavy)),
        };
        Step { id, does }
    }

    /// The recipe. YAML holds JSON.
    pub(super) fn recipe(&self) -> String {
        let mut stages = serde_json::Map::new();
        for (at, stage) in self.stages.iter().enumerate() {
            let from = match stage.from {
                From::Base(base) => json!({ "oci": format!("../base{base}") }),
                From::Stage(other) => json!({ "stage": format!("s{other}") }),
            };
            let steps: Vec<Value> = stage.steps.iter().flat_map(written).collect();
            stages.insert(format!("s{at}"), json!({ "from": from, "steps": steps }));
        }
        json!({ "stages": stages }).to_string()
    }
}

fn written(step: &Step) -> Vec<Value> {
    let id = step.id;
    match &step.does {
        Does::Words(words) => vec![words.clone()],
        Does::Run(run) => vec![run.written(&id.to_string())],
        Does::Pair(fill, take) => {
            vec![fill.written(&format!("{id}.fill")), take.written(&id.to_string())]
        }
    }
}

impl Run {
    /// All that the commands say and how each ends goes into a file of the step.
    fn written(&self, out: &str) -> Value {
        let mut script = format!("set +e; OUT=/out/{out}; exec > $OUT 2>&1\n");
        for command in &self.commands {
            script.push_str(command);
            script.push_str("\necho = $?\n");
        }
        script.push_str("true\n");
        // None of them takes long: what does, hangs.
        let mut run = json!({ "script": script, "timeout": "120s", "mounts": self.mounts });
        for (key, value) in &self.keys {
            run[key] = value.clone();
        }
        json!({ "run": run })
    }
}

fn run(rng: &mut Rng, id: u32, stage: usize, results: Vec<u32>, heavy: bool) -> Run {
    let mut run = Run::default();
    let mut mounted = Vec::new();
    let served = !rng.one_in(3);
    if rng.one_in(3) {
        let target = *rng.pick(&["/mnt", "/mnt", "/d/m", "/e/a", "/d/l/m"]);
        mounted.push(target.to_owned());
        run.mounts.push(if served {
            bind(rng, target, stage)
        } else {
            json!({ "tmpfs": true, "target": target })
        });
    }
    let scope = Scope::new(results, &mounted, served);
    // An empty file system has the time of day.
    let steady = served || mounted.iter().all(|target| target == "/mnt");
    for _ in 0..if steady { [0, 1, 1, 2][rng.below(4)] } else { 0 } {
        run.commands.push(words::look(&scope, rng));
    }
    if heavy && rng.one_in(2) {
        run.commands.push(heavy::look(rng));
    }
    for _ in 0..[0, 1, 1, 2][rng.below(4)] {
        run.commands.push(words::change(&scope, rng));
        if rng.one_in(2) {
            run.commands.push(words::read(&scope, rng));
        }
    }
    if heavy && rng.one_in(2) {
        run.commands.push(heavy::make(rng));
    }
    if rng.one_in(2) || run.commands.is_empty() {
        run.commands.push(words::read(&scope, rng));
    }
    if rng.one_in(12) {
        run.mounts.push(json!({ "cache": format!("c{id}"), "target": "/cache", "mode": "0777" }));
        run.commands.push(words::cached(&scope, rng));
    }
    if heavy && rng.one_in(12) {
        run.keys.push(("user".to_owned(), json!("www-data")));
    } else if !heavy && rng.one_in(6) {
        let user = *rng.pick(&["www", "dev", "www:more", "1000:1000", "33", "dev:50"]);
        run.keys.push(("user".to_owned(), json!(user)));
    }
    if rng.one_in(14) {
        let dir = *rng.pick(&["/d", "/e", "out", "bin"]);
        run.keys.push(("workdir".to_owned(), json!(dir)));
    }
    if rng.one_in(10) {
        run.keys.push(("env".to_owned(), json!({ "V": *rng.pick(&["1", "2"]) })));
    }
    run
}

fn bind(rng: &mut Rng, target: &str, stage: usize) -> Value {
    let source = *rng.pick(&["app", "app/d", "app/e", "app/d/s"]);
    let mut mount = json!({ "bind": source, "target": target });
    if stage > 0 && rng.one_in(2) {
        mount["from"] = json!(format!("s{}", rng.below(stage)));
        mount["bind"] = json!(*rng.pick(&["/", "/d", "/e", "/out", "/e/a"]));
    }
    if rng.one_in(4) {
        mount["writable"] = json!(true);
    }
    mount
}

fn copy_context(rng: &mut Rng) -> Value {
    let source = *rng.pick(&["app/", "app/d/", "app/d/s/", "app/e/", "app/*/*.h", "app/d/[a-s]"]);
    let dest = *rng.pick(&["/new/", "/new/", "/e/new/", "/d/new/", "/d/"]);
    let mut copy = json!({ "src": source, "dest": dest });
    if rng.one_in(4) {
        copy["keep_mtime"] = json!(true);
    }
    if rng.one_in(5) {
        copy["owner"] = json!(*rng.pick(&["www", "33:0", "dev"]));
    }
    if rng.one_in(6) {
        copy["mode"] = json!("0640");
    }
    if rng.one_in(6) {
        copy["exclude"] = json!(["**/a", "app/e/b"]);
    }
    json!({ "copy": copy })
}

fn copy_stage(rng: &mut Rng, stage: usize) -> Value {
    let other = rng.below(stage);
    let source = *rng.pick(&["/d/", "/e/", "/out/", "/etc/group"]);
    let dest = *rng.pick(&["/d/new/", "/e/new/", "/new/"]);
    let keep = rng.one_in(2);
    json!({ "copy": { "from": format!("s{other}"), "src": source, "dest": dest, "keep_mtime": keep } })
}

fn file_step(rng: &mut Rng) -> Value {
    let path = format!("/{}", tree::slot(rng));
    match rng.below(6) {
        0 => json!({ "write": { "path": path, "content": "written\n", "mode": "0755" } }),
        1 => json!({ "write": { "path": "/new/file", "content": "one\n" } }),
        2 => json!({ "mkdir": [path] }),
        3 => json!({ "symlink": { "target": "../d", "path": "/new/link" } }),
        4 => json!({ "env": { "V": path } }),
        _ => json!({ "remove": { "paths": format!("{path}*"), "required": false } }),
    }
}
