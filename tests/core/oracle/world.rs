//! What a case is made of: a recipe, the files around it, and edits of both.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::rng::Rng;

/// All that a build depends on.
#[derive(Debug, Clone)]
pub(super) struct World {
    /// Content and mode of the files of the context's `app`.
    pub(super) files: BTreeMap<String, (String, u32)>,
    /// A file of the base.
    pub(super) word: String,
    /// Whether the base lies at its other path.
    pub(super) moved: bool,
    pub(super) used: u32,
    pub(super) unused: u32,
    pub(super) secret: u32,
    /// Whether layers are zstd instead of gzip.
    pub(super) zstd: bool,
    pub(super) stages: Vec<Stage>,
    /// Whether steps share cache mounts. What such a step finds there is not
    /// part of its key, so these worlds have no failing steps.
    pub(super) caches: bool,
    next: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Stage {
    pub(super) from: From,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Base,
    Stage(usize),
}

#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) id: u32,
    /// A word of the step that an edit changes.
    pub(super) salt: u32,
    pub(super) max_age: bool,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Makes `/out` and writes into it.
    Write,
    CopyContext {
        keep_mtime: bool,
    },
    CopyStage(usize),
    Remove,
    Symlink,
    /// Sets a variable: config only.
    Env,
    /// Reads all that is below `/out`.
    Concat,
    /// Writes the same whatever its words are: what follows must stand.
    Constant,
    /// Looks at modes, owners, sizes and times.
    Stat,
    BindContext,
    BindStage(usize),
    Param,
    Secret,
    /// Fails where a file of the context says so.
    Guard,
    /// Two steps: the first leaves its result in a cache mount, the second
    /// takes it from there.
    Cache,
    Test,
}

/// One step as it is written, and what the model must know of it.
pub(super) struct Written {
    pub(super) name: String,
    pub(super) words: Value,
    pub(super) kind: Kind,
    /// The cache mount that it has.
    pub(super) cache: Option<String>,
    pub(super) max_age: bool,
}

pub(super) const NAMES: [&str; 4] = ["a", "b", "d/c", "d/e"];

impl World {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let mut world = Self {
            files: BTreeMap::new(),
            word: "word".into(),
            moved: false,
            used: 0,
            unused: 0,
            secret: 0,
            zstd: rng.one_in(2),
            stages: Vec::new(),
            caches: rng.one_in(3),
            next: 0,
        };
        for name in NAMES {
            world.files.insert(name.into(), (format!("{name} {}\n", rng.below(3)), 0o644));
        }
        for at in 0..1 + rng.below(3) {
            let from = match at {
                0 => From::Base,
                _ if rng.one_in(2) => From::Base,
                _ => From::Stage(rng.below(at)),
            };
            world.stages.push(Stage { from, steps: Vec::new() });
            world.insert(at, 0, Kind::Write);
            for _ in 0..1 + rng.below(3) {
                let kind = world.kind(rng, at);
                let end = world.stages[at].steps.len();
                world.insert(at, end, kind);
            }
        }
        if world.caches {
            let at = rng.below(world.stages.len());
            world.insert(at, 1, Kind::Cache);
        }
        world
    }

    fn insert(&mut self, stage: usize, at: usize, kind: Kind) {
        let id = self.next;
        self.next += 1;
        let step = Step { id, salt: 0, max_age: id.is_multiple_of(4), kind };
        self.stages[stage].steps.insert(at, step);
    }

    fn kind(&self, rng: &mut Rng, stage: usize) -> Kind {
        let other = if stage == 0 { None } else { Some(rng.below(stage)) };
        match (rng.below(16), other) {
            (0, _) => Kind::Write,
            (1 | 2, _) => Kind::CopyContext { keep_mtime: rng.one_in(3) },
            (3 | 4, Some(other)) => Kind::CopyStage(other),
            (5, _) => Kind::Remove,
            (6, _) => Kind::Env,
            (7, _) => Kind::Constant,
            (8, _) => Kind::Stat,
            (9 | 10, Some(other)) => Kind::BindStage(other),
            (11, _) => Kind::Param,
            (12, _) => Kind::Secret,
            (13, _) if !self.caches => Kind::Guard,
            (14, _) => Kind::Test,
            (15, _) => Kind::Symlink,
            (9 | 10 | 13, _) => Kind::BindContext,
            _ => Kind::Concat,
        }
    }

    /// Changes something and says what.
    pub(super) fn edit(&mut self, rng: &mut Rng) -> String {
        let stage = rng.below(self.stages.len());
        let at = rng.below(self.stages[stage].steps.len());
        let name = (*rng.pick(&NAMES)).to_owned();
        match rng.below(15) {
            0 | 1 => {
                let content = format!("{name} {}\n", 10 + rng.below(5));
                self.files.entry(name.clone()).or_insert((String::new(), 0o644)).0 = content;
                format!("content of {name}")
            }
            2 => {
                let mode = *rng.pick(&[0o644, 0o600, 0o755]);
                self.files.entry(name.clone()).or_insert((name.clone(), mode)).1 = mode;
                format!("mode {mode:o} of {name}")
            }
            3 if !self.caches || name != "a" => match self.files.remove(&name) {
                Some(_) => format!("{name} is removed"),
                None => {
                    self.files.insert(name.clone(), ("back\n".into(), 0o644));
                    format!("{name} is back")
                }
            },
            4 if !self.caches => {
                let (from, to) = match self.files.values().any(|file| file.0 == "FAIL\n") {
                    true => ("FAIL\n", "good\n"),
                    false => ("", "FAIL\n"),
                };
                let file = self.files.values_mut().find(|file| from.is_empty() || file.0 == from);
                if let Some(file) = file {
                    file.0 = to.into();
                }
                "what a guard looks at".into()
            }
            5..=7 => {
                self.stages[stage].steps[at].salt += 1;
                let step = &self.stages[stage].steps[at];
                format!("words of step {} ({:?})", step.id, step.kind)
            }
            8 => {
                let kind = self.kind(rng, stage);
                self.insert(stage, at + 1, kind);
                format!("a new step {kind:?} in stage {stage}")
            }
            9 if at > 0 && self.stages[stage].steps[at].kind != Kind::Cache => {
                let gone = self.stages[stage].steps.remove(at);
                format!("without step {} ({:?})", gone.id, gone.kind)
            }
            10 => {
                self.used += 1;
                "the parameter that is used".into()
            }
            11 => {
                (self.unused, self.secret) = (self.unused + 1, self.secret + 1);
                "the parameter that is not used, and the secret".into()
            }
            12 => {
                self.word = format!("word {}", rng.below(4));
                "the base".into()
            }
            13 => {
                self.moved = !self.moved;
                "the base's path".into()
            }
            14 => {
                self.zstd = !self.zstd;
                "the compression".into()
            }
            _ => "nothing".into(),
        }
    }

    /// The recipe. YAML holds JSON.
    pub(super) fn recipe(&self) -> String {
        let mut stages = serde_json::Map::new();
        for (at, stage) in self.stages.iter().enumerate() {
            let from = match stage.from {
                From::Base => json!({ "rootfs": if self.moved { "base2" } else { "base" } }),
                From::Stage(other) => json!({ "stage": format!("s{other}") }),
            };
            let (mut steps, mut tests) = (Vec::new(), Vec::new());
            for written in self.written(at) {
                let mut words = written.words;
                words["name"] = json!(written.name);
                if written.max_age {
                    words["max_age"] = json!("1h");
                }
                let list = if written.kind == Kind::Test { &mut tests } else { &mut steps };
                list.push(words);
            }
            let stage = json!({ "from": from, "steps": steps, "tests": tests });
            stages.insert(format!("s{at}"), stage);
        }
        let params = json!({ "used": self.used.to_string(), "unused": self.unused.to_string() });
        json!({ "params": params, "stages": stages }).to_string()
    }

    /// The steps of a stage, tests last.
    pub(super) fn written(&self, stage: usize) -> Vec<Written> {
        let steps = &self.stages[stage].steps;
        let all = steps.iter().flat_map(|step| write(stage, step));
        let (tests, mut steps): (Vec<_>, Vec<_>) =
            all.partition(|written| written.kind == Kind::Test);
        steps.extend(tests);
        steps
    }
}

fn write(stage: usize, step: &Step) -> Vec<Written> {
    let Step { id, salt, max_age, kind } = *step;
    let run =
        |script: String, mounts: Value| json!({ "run": { "script": script, "mounts": mounts } });
    let bind = |source: &str, from: Option<usize>| {
        let mut mount = json!({ "bind": source, "target": "/mnt" });
        if let Some(from) = from {
            mount["from"] = json!(format!("s{from}"));
        }
        mount
    };
    let stat = "-exec stat -c '%n %a %u:%g %s %Y %h' {} + | sort";
    let cache = format!("c{id}");
    let words = match kind {
        Kind::Write => {
            json!({ "write": { "path": format!("/out/w{id}"), "content": format!("{id} {salt}\n") } })
        }
        Kind::CopyContext { keep_mtime } => {
            let mode = if salt % 2 == 0 { json!("0644") } else { json!("0640") };
            let dest = format!("/out/app{id}/");
            let mut copy = json!({ "src": "app/", "dest": dest, "keep_mtime": keep_mtime });
            if id % 2 == 0 {
                copy["mode"] = mode;
            }
            json!({ "copy": copy })
        }
        Kind::CopyStage(other) => {
            let dest = format!("/out/from{id}.{salt}/");
            json!({ "copy": { "from": format!("s{other}"), "src": "/out/", "dest": dest } })
        }
        Kind::Remove => {
            let path = format!("/out/*{}*", (u64::from(id) + u64::from(salt)) % 4);
            json!({ "remove": { "paths": path, "required": false } })
        }
        Kind::Symlink => {
            let (target, path) = (format!("w{salt}"), format!("/out/l{id}"));
            json!({ "symlink": { "target": target, "path": path } })
        }
        Kind::Env => json!({ "env": { format!("E{id}"): salt.to_string() } }),
        Kind::Concat => run(
            format!(
                "find /out -type f | sort | xargs cat > /tmp.{id}; mv /tmp.{id} /out/r{id}; \
                 cat /etc/word >> /out/r{id}; env | grep ^E >> /out/r{id} || true # {salt}"
            ),
            json!([]),
        ),
        Kind::Constant => run(format!("echo always > /out/k{id} # {salt}"), json!([])),
        Kind::Stat => run(
            format!(
                "cd /; find out -type f {stat} > /stat{id}; find out | sort >> /stat{id} # {salt}"
            ),
            json!([]),
        ),
        Kind::BindContext => run(
            format!("cd /mnt; find . -type f | sort | xargs cat > /out/b{id} # {salt}"),
            json!([bind("app", None)]),
        ),
        Kind::BindStage(other) => run(
            format!("cd /mnt; find . -type f {stat} > /out/s{id}; ls -R >> /out/s{id} # {salt}"),
            json!([bind("/out", Some(other))]),
        ),
        Kind::Param => run(format!("echo ${{{{ used }}}} {salt} > /out/p{id}"), json!([])),
        Kind::Secret => run(
            format!("test -s /run/secrets/s && echo {salt} > /out/x{id}"),
            json!([{ "secret": "s" }]),
        ),
        Kind::Guard => run(
            format!("if grep -rq FAIL /mnt; then exit 3; fi; echo {salt} > /out/g{id}"),
            json!([bind("app", None)]),
        ),
        Kind::Test => json!({ "run": format!("test -d /out && echo {id} {salt}") }),
        Kind::Cache => {
            let mount = json!({ "cache": cache, "target": "/cache" });
            let fill =
                run(format!("cat /mnt/a > /cache/x # {salt}"), json!([bind("app", None), mount]));
            let take = run(format!("cp /cache/x /out/c{id}"), json!([mount]));
            let written = |name, words| Written {
                name,
                words,
                kind,
                cache: Some(cache.clone()),
                max_age: false,
            };
            return vec![
                written(format!("s{stage}-{id}a"), fill),
                written(format!("s{stage}-{id}b"), take),
            ];
        }
    };
    let max_age = max_age && words.get("run").is_some();
    vec![Written { name: format!("s{stage}-{id}"), words, kind, cache: None, max_age }]
}
