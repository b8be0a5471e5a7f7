//! A Dockerfile is lowered as several command lines would have it, on bases
//! with and without triggers.

use std::path::PathBuf;

use builder_core::dockerfile::ast::Dockerfile;
use builder_core::dockerfile::lint::Checks;
use builder_core::dockerfile::{Context, Options, git_reference, lower, predefined};
use builder_core::frontend::{Base, Class, Resolver, SourceFile, Unresolved, Wanted};
use builder_core::plan::Plan;
use builder_core::plan::op::{FileOp, Op, Ulimit};

use super::words::{diagnosed, variables};

/// Lowers with nothing said beside the file, with all that can be said, and up
/// to the first stage that has a name.
pub(crate) fn lower_in_every_way(file: &Dockerfile, source: &SourceFile) {
    let first = file.stages.iter().find_map(|stage| stage.name.as_ref());
    let bare = Options { build_platform: "linux/amd64".to_owned(), ..Options::default() };
    let target = first.map(|name| Options { target: Some(name.value.clone()), ..everything() });
    for options in [bare, everything()].into_iter().chain(target) {
        drop(predefined(file, &options));
        let mut checks = Checks::new(file, source, None);
        match lower(file, source, &options, &mut Images, &mut checks) {
            Ok(lowered) => hangs_together(&lowered.plan),
            Err(wrong) => diagnosed(source, &wrong),
        }
        let last = source.line(source.text().len());
        for warning in checks.finish() {
            let end = warning.end_line;
            assert!(warning.location.line <= end && end <= last, "{warning:?}");
        }
    }
}

fn everything() -> Options {
    let local = |path: &str, ignore: &[&str]| Context::Local {
        path: PathBuf::from(path),
        ignore: ignore.iter().map(|&line| line.to_owned()).collect(),
    };
    let git = git_reference("https://host/a.git#v1:sub").expect("it is one").expect("it is good");
    let contexts = [
        ("files", local("/files", &[])),
        ("replaced", local("/replaced", &["*"])),
        ("image", Context::Image("triggers".to_owned())),
        ("layout", Context::Layout { path: PathBuf::from("/layout"), tag: None }),
        ("git", Context::Git(git)),
        ("archive", Context::Archive(PathBuf::from("/a.tar"))),
    ];
    Options {
        context: Some(local("/context", &["*", "!a", "!b/**/c", "b/d", "?.o"])),
        contexts: contexts.map(|(name, context)| (name.to_owned(), context)).into(),
        build_args: variables(),
        hosts: vec![("host".to_owned(), "::1".to_owned())],
        shm_size: Some(1 << 20),
        ulimits: vec![Ulimit { name: "nofile".to_owned(), soft: Some(1), hard: None }],
        insecure: true,
        build_platform: "linux/amd64".to_owned(),
        target_platform: Some("linux/arm/v7".to_owned()),
        all_stages: true,
        ..Options::default()
    }
}

/// Bases by the first letters of their names.
struct Images;

impl Resolver for Images {
    fn resolve(&mut self, wanted: &Wanted) -> Result<Base, Unresolved> {
        let name = match wanted {
            Wanted::Image { reference, .. } => reference.clone(),
            Wanted::Layout { path, .. } => path.display().to_string(),
        };
        let onbuild: &[&str] = match name.get(..3) {
            Some("non") => {
                let (message, help) = ("there is none".to_owned(), None);
                return Err(Unresolved { message, help, class: Class::Unavailable });
            }
            Some("bar") => return Ok(Base { name, ..Base::default() }),
            Some("tri") => &[
                "ARG A=1",
                "ENV B=${A:-x}",
                "COPY --from=a /x* /y/",
                "RUN --mount=from=b,target=/m true",
                "COPY <<E /e\n$A\nE",
                "WORKDIR $B/../x",
            ],
            Some("wro") => &["FROM x"],
            _ => &[],
        };
        Ok(Base {
            name: format!("docker.io/library/{name}:latest"),
            digest: None,
            platform: "linux/amd64".to_owned(),
            env: variables().into_iter().collect(),
            user: Some("user:group".to_owned()),
            workdir: Some("work//../dir".to_owned()),
            shell: Some(vec!["/bin/bash".to_owned(), "-c".to_owned()]),
            onbuild: onbuild.iter().map(|&line| line.to_owned()).collect(),
        })
    }
}

/// Each vertex stands behind its inputs and takes from no others.
fn hangs_together(plan: &Plan) {
    let mut ids = std::collections::HashSet::new();
    for vertex in plan.vertices() {
        assert!(vertex.inputs.iter().all(|input| ids.contains(input)), "{vertex:?}");
        assert!(ids.insert(vertex.id), "{vertex:?}");
        let taken: Vec<usize> = match &vertex.op {
            Op::File(FileOp::Copy(copy)) => copy.inputs(),
            Op::Exec(exec) => {
                exec.mounts.iter().filter_map(|mount| Some(mount.kind.takes()?.0)).collect()
            }
            _ => Vec::new(),
        };
        assert!(taken.iter().all(|at| (1..vertex.inputs.len()).contains(at)), "{vertex:?}");
    }
    assert_eq!(plan.targets().len(), 1);
    assert!(plan.targets().iter().all(|target| ids.contains(&target.vertex)));
}
