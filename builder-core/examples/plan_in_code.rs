//! Builds an image whose plan is made in code, with no file and no recipe:
//! `plan_in_code STORE ARCHIVE`. The image goes to the store and, as an OCI
//! archive, to a file that other tools read.

#![expect(clippy::disallowed_macros, reason = "an example prints what it finds")]

use std::collections::BTreeMap;
use std::error::Error;

use builder_core::digest::VertexId;
use builder_core::engine::{BuildRequest, Engine, OutputKind, OutputSpec};
use builder_core::exec::{Cancel, RunnerPath, runner_main};
use builder_core::output::Dest;
use builder_core::plan::op::{ConfigPatch, FileOp, Op, Source};
use builder_core::plan::{Plan, PlanBuilder, Target, VertexMeta};

/// Adds a vertex that changes one state into the next.
fn then(plan: &mut PlanBuilder, state: VertexId, name: &str, op: Op) -> VertexId {
    // A name is for people: it is in no key, and changes no image.
    let meta = VertexMeta { name: name.to_owned(), ..VertexMeta::default() };
    plan.add(op, &[state], meta)
}

/// An image that holds one file and says what is to be run in it.
fn plan() -> Plan {
    let mut plan = PlanBuilder::new();
    let scratch = plan.add(Op::Source(Source::Scratch), &[], VertexMeta::default());
    let greeting = FileOp::Write {
        path: "/etc/greeting".to_owned(),
        content: b"Hello from code\n".to_vec(),
        owner: Some("1000:1000".to_owned()),
        mode: Some(0o640),
    };
    let state = then(&mut plan, scratch, "write the greeting", Op::File(greeting));
    let config = ConfigPatch {
        cmd: Some(vec!["/bin/greet".to_owned()]),
        labels: BTreeMap::from([("org.example.made".to_owned(), "in code".to_owned())]),
        ..ConfigPatch::default()
    };
    let state = then(&mut plan, state, "config", Op::Config(config));
    // Any state can be an image; a plan may declare several.
    plan.target(Target {
        stage: "main".to_owned(),
        vertex: state,
        tests: Vec::new(),
        annotations: BTreeMap::new(),
    });
    plan.finish()
}

fn main() -> Result<(), Box<dyn Error>> {
    // This plan runs no process. A program whose plans may do so (`Op::Exec`)
    // makes this its first call, and nothing else is needed.
    runner_main();

    let arguments: Vec<String> = std::env::args().collect();
    let [_, store, archive] = &arguments[..] else {
        return Err("usage: plan_in_code STORE ARCHIVE".into());
    };
    let engine = Engine::builder(store).runner(RunnerPath::CurrentExe).build()?;
    let request = BuildRequest {
        tags: vec!["in-code:1".to_owned()],
        outputs: vec![OutputSpec {
            kind: OutputKind::Oci,
            dest: Dest::Path(archive.into()),
            records: false,
        }],
        ..BuildRequest::new(plan())
    };
    let built = engine.build_blocking(&request, &Cancel::new())?;
    for step in &built.steps {
        println!("{:?}: {}", step.status, step.name);
    }
    println!("{} {}", built.tags[0], built.digest);
    Ok(())
}
