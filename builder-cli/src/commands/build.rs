//! `phoenix build`: a recipe becomes an image.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use builder_core::engine::{BuildRequest, BuildResult, OutputKind, OutputSpec};
use builder_core::event::Event;
use builder_core::frontend::closest;
use builder_core::layer::Compression;
use builder_core::output::Dest;
use builder_core::plan::Plan;
use builder_core::solve::{Agent, LockMode, NoCache, StepReport, StepStatus};
use builder_core::view::observe::Difference;
use serde_json::{Value, json};

use super::dockerfile::Found;
use super::engine::Opener;
use super::recipe::Reading;
use crate::args::{Allowed, BuildArgs, CompressionArg, Progress, RecipeArgs, ReuseArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::settings::Settings;
use crate::ui::{Built, Ending, View};
use crate::values::{
    CallArg, CallMethod, OutputArg, OutputKind as Kind, SecretArg, SecretSource, SshArg,
};
use crate::{diagnostic, files, hints, interrupt, output, revision, ui};

/// What `--check` stands for.
const CHECK: CallArg = CallArg { method: CallMethod::Check, json: false };
/// No secret is longer.
const MAX_SECRET: u64 = 1 << 20;
/// Most causes that are told of a step.
const MAX_BECAUSE: usize = 100;

/// Builds.
pub(crate) fn run(args: &BuildArgs, settings: &Settings) -> Result<Exit, CliError> {
    let call = args.call.filter(|call| call.method != CallMethod::Build);
    if let Some(how) = call.or_else(|| args.check.then_some(CHECK)) {
        return super::dockerfile::call(args, how, settings);
    }
    if args.watch {
        return super::watch::run(args, settings);
    }
    once(args, settings, &interrupt::listen(|| ())?)?;
    Ok(Exit::Done)
}

/// Builds once.
pub(crate) fn once(
    args: &BuildArgs,
    settings: &Settings,
    interrupt: &Interrupt,
) -> Result<(), CliError> {
    let stdout_taken = match args.outputs.iter().filter(|output| output.is_stdout()).count() {
        0 => false,
        1 => true,
        _ => return Err(CliError::StdoutTwice),
    };
    places(&args.outputs)?;
    let progress = if args.quiet { Progress::Quiet } else { args.progress };
    let settings = &settings.with_proxies(&args.recipe.docker.build_args);
    let view = ui::view(progress, settings.terminal, stdout_taken);
    let jobs = args.jobs.map(usize::from);
    let built = interrupt.stops(|cancel| {
        let secrets = secrets(&args.reuse.secrets, settings)?;
        let agents = agents(&args.ssh, settings)?;
        let engine = Opener::new(settings, jobs, Arc::clone(&view) as _, cancel);
        let engine = engine.knowing(secrets, agents);
        let asked = whole(args, settings, &engine)?;
        for warning in args.habits.told().iter().chain(&asked.warnings) {
            view.event(Event::Warning { vertex: None, message: warning.clone() });
        }
        let mut built = engine.get()?.build_blocking(&asked.request, cancel)?;
        if built.new_lock.is_none() && asked.lock_is_new {
            built.new_lock = Some(asked.request.lock);
        }
        write_files(args, built)
    });
    close(&*view, &built, settings);
    let built = built?;
    if progress == Progress::Quiet && !stdout_taken {
        output::line(&built.digest.to_string())?;
    }
    Ok(())
}

/// All that is asked of a build.
fn whole(args: &BuildArgs, settings: &Settings, engine: &Opener<'_>) -> Result<Asked, CliError> {
    let (tags, push) = names(&args.tags, &args.outputs, args.push)?;
    let asked = request(&args.recipe, &args.reuse, settings, engine)?;
    let mut request = BuildRequest {
        tags,
        push,
        outputs: args.outputs.iter().filter_map(output_spec).collect(),
        load: args.load || args.outputs.iter().any(|output| output.kind == Kind::Engine),
        compression: match args.compression {
            CompressionArg::Gzip => Compression::Gzip,
            CompressionArg::Zstd => Compression::Zstd,
        },
        check_reproducible: args.check_reproducible,
        run_ahead: !args.no_run_ahead,
        ssh: engine.agents.clone(),
        allow_insecure: args.recipe.docker.allow.contains(&Allowed::Insecure),
        annotations: revision::annotations(&args.recipe.dir, settings.source_date_epoch()?),
        ..asked.request
    };
    for (name, value) in &args.annotations {
        request.plan.annotate(name, value);
    }
    Ok(Asked { request, ..asked })
}

/// Who answers steps' questions for keys.
pub(crate) fn agents(
    args: &[SshArg],
    settings: &Settings,
) -> Result<BTreeMap<String, Agent>, CliError> {
    let agent = |SshArg { id, paths }: &SshArg| {
        let agent = match &paths[..] {
            [] => {
                let socket = settings.variable("SSH_AUTH_SOCK").filter(|path| !path.is_empty());
                Agent::Socket(socket.ok_or_else(|| CliError::NoAgent { id: id.clone() })?.into())
            }
            [socket] if is_socket(socket) => Agent::Socket(socket.clone()),
            keys => Agent::Keys(keys.to_vec()),
        };
        Ok((id.clone(), agent))
    };
    args.iter().map(agent).collect()
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    path.metadata().is_ok_and(|meta| meta.file_type().is_socket())
}

/// Tells a view how it ended.
pub(crate) fn close(view: &dyn View, built: &Result<BuildResult, CliError>, settings: &Settings) {
    match built {
        Ok(built) => view.close(&Ending::Built(&summary(built))),
        Err(error) => failed(view, error, settings),
    }
}

/// Tells a view of what went wrong.
pub(crate) fn failed(view: &dyn View, error: &CliError, settings: &Settings) {
    let exit = error.exit().code();
    let store = settings.store().ok();
    let chain = diagnostic::chain(error);
    let hints = hints::hints(error, store.as_deref());
    let (output, place) = (diagnostic::output(error), diagnostic::location(error));
    let (chain, hints) = (&chain, &hints);
    view.close(&Ending::Failed { exit, chain, hints, output, place });
}

/// A request, with what belongs to it.
pub(crate) struct Asked {
    pub(crate) request: BuildRequest,
    /// What the checks of a Dockerfile found, a line each.
    pub(crate) warnings: Vec<String>,
    /// Whether reading it pinned what the lock does not.
    lock_is_new: bool,
    /// A file that the request names and that goes with this.
    #[expect(dead_code, reason = "it is kept until the build has ended")]
    keeps: Option<tempfile::TempPath>,
}

/// The part of a request that building and planning share.
pub(crate) fn request(
    recipe: &RecipeArgs,
    reuse: &ReuseArgs,
    settings: &Settings,
    engine: &Opener<'_>,
) -> Result<Asked, CliError> {
    let lock_mode = if reuse.locked { LockMode::Require } else { LockMode::Use };
    let locks = super::recipe::locks(recipe, lock_mode)?;
    let (target, pull) = (reuse.target.as_deref(), reuse.pull);
    let how = Reading { target, pull, ..Reading::new(&locks) };
    let loaded = super::recipe::load(recipe, how, settings, engine)?;
    let (lock, lock_is_new) = locks.state();
    let mut plan = loaded.plan;
    let forbidden = forbidden(reuse);
    known_steps(&forbidden, &plan)?;
    if !recipe.docker.labels.is_empty() {
        plan.label(&recipe.docker.labels.iter().cloned().collect());
    }
    let is_recipe = matches!(super::dockerfile::find(recipe), Found::Recipe(_));
    let warnings = loaded.warnings.iter().map(diagnostic::warning).collect();
    let request = BuildRequest {
        recipe: loaded.recipe_id,
        // A Dockerfile was lowered for its target only.
        stage: reuse.target.clone().filter(|_| is_recipe),
        no_cache: no_cache(&forbidden),
        retest: reuse.retest,
        paranoid: reuse.paranoid,
        secrets: engine.secrets.clone(),
        created: created(recipe, settings)?,
        lock,
        lock_mode,
        pull: reuse.pull,
        ..BuildRequest::new(plan)
    };
    Ok(Asked { request, warnings, lock_is_new, keeps: loaded.keeps })
}

/// When the image says it was made: as the `SOURCE_DATE_EPOCH` of the build's
/// arguments says, else that of the environment.
fn created(recipe: &RecipeArgs, settings: &Settings) -> Result<Option<i64>, CliError> {
    let given = recipe.docker.build_args.iter().rev();
    let mut given = given.filter_map(|arg| arg.strip_prefix("SOURCE_DATE_EPOCH="));
    match given.next().filter(|value| !value.is_empty()) {
        Some(value) => match value.trim().parse() {
            Ok(seconds) => Ok(Some(seconds)),
            Err(_) => Err(CliError::SourceDateEpoch { value: value.to_owned() }),
        },
        None => settings.source_date_epoch(),
    }
}

/// The names that the image gets here, and those under which it goes to
/// registries.
pub(crate) fn names(
    tags: &[String],
    outputs: &[OutputArg],
    all: bool,
) -> Result<(Vec<String>, Vec<String>), CliError> {
    let mut tags = tags.to_vec();
    let named = outputs.iter().flat_map(|output| &output.names);
    for name in named {
        if !tags.contains(name) {
            tags.push(name.clone());
        }
    }
    let mut push: Vec<String> = Vec::new();
    for output in outputs.iter().filter(|output| output.push) {
        // Without names of its own it means all that are given.
        let own = if output.names.is_empty() { &tags } else { &output.names };
        push.extend(own.iter().filter(|name| !push.contains(name)).cloned().collect::<Vec<_>>());
    }
    if all {
        push.clone_from(&tags);
    }
    if push.is_empty() && (all || outputs.iter().any(|output| output.push)) {
        return Err(CliError::PushWhat);
    }
    Ok((tags, push))
}

/// The steps and stages that are not to be reused; all where one has no name. What
/// scripts say for a flag, `--no-cache=true`, is no step.
fn forbidden(reuse: &ReuseArgs) -> Vec<String> {
    let said = reuse.no_cache.iter().filter(|step| *step != "false");
    let said = said.map(|step| if step == "true" { String::new() } else { step.clone() });
    said.chain(reuse.no_cache_filter.iter().cloned()).collect()
}

/// `--no-cache` alone stands for all, whatever else is named.
fn no_cache(steps: &[String]) -> NoCache {
    if steps.is_empty() {
        NoCache::Never
    } else if steps.iter().any(String::is_empty) {
        NoCache::All
    } else {
        NoCache::Steps(steps.to_vec())
    }
}

/// A misspelt step would be reused without a word.
fn known_steps(wanted: &[String], plan: &Plan) -> Result<(), CliError> {
    let metas = || plan.vertices().iter().map(|vertex| &vertex.meta);
    let names = || metas().flat_map(|meta| [meta.step.as_deref(), Some(meta.stage.as_str())]);
    for name in wanted.iter().filter(|name| !name.is_empty()) {
        if !names().flatten().any(|known| known == name) {
            let similar = closest(name, names().flatten()).map(str::to_owned);
            return Err(CliError::NoStep { name: name.clone(), similar });
        }
    }
    Ok(())
}

/// What an output is written beside must be there, which is better known before
/// the build than after it.
pub(crate) fn places(outputs: &[OutputArg]) -> Result<(), CliError> {
    for output in outputs.iter().filter(|output| !output.is_stdout() && !output.is_name()) {
        let parent = output.dest.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
            let source = io::ErrorKind::NotFound.into();
            let path = parent.to_owned();
            return Err(CliError::File { action: "finding the output's directory", path, source });
        }
    }
    Ok(())
}

/// An output as the engine knows it; `None` where it is a container engine or a name.
pub(crate) fn output_spec(arg: &OutputArg) -> Option<OutputSpec> {
    let archive = arg.is_stdout() || arg.dest.extension().is_some_and(|e| e == "tar");
    let kind = match arg.kind {
        Kind::Oci if archive => OutputKind::Oci,
        Kind::Oci => OutputKind::OciDir,
        Kind::Docker => OutputKind::Docker,
        Kind::Tar => OutputKind::Tar,
        Kind::Local => OutputKind::Local,
        Kind::Engine | Kind::Image | Kind::Registry => return None,
    };
    let dest = if arg.is_stdout() { Dest::Stdout } else { Dest::Path(arg.dest.clone()) };
    Some(OutputSpec { kind, dest, records: arg.records })
}

pub(crate) fn secrets(
    args: &[SecretArg],
    settings: &Settings,
) -> Result<BTreeMap<String, Vec<u8>>, CliError> {
    let value = |SecretArg { id, source }: &SecretArg| {
        let value = match source {
            SecretSource::File(path) => files::read(path, MAX_SECRET)?,
            SecretSource::Env(name) => settings
                .variable_bytes(name)
                .ok_or_else(|| CliError::SecretUnset { id: id.clone(), variable: name.clone() })?,
        };
        Ok((id.clone(), value))
    };
    args.iter().map(value).collect()
}

fn write_files(args: &BuildArgs, built: BuildResult) -> Result<BuildResult, CliError> {
    if let (Some(lock), Some(path)) = (&built.new_lock, super::recipe::lock_to_write(&args.recipe))
    {
        files::write(&path, lock.to_text().as_bytes())?;
    }
    write_metadata(args.metadata_file.as_deref(), &built)?;
    if let Some(path) = &args.iidfile {
        files::write(path, built.config_digest.to_string().as_bytes())?;
    }
    Ok(built)
}

/// Writes `--metadata-file`, where one is asked for.
pub(crate) fn write_metadata(path: Option<&Path>, built: &BuildResult) -> Result<(), CliError> {
    let Some(path) = path else { return Ok(()) };
    let metadata = serde_json::to_vec_pretty(&metadata(built)).expect("keys are strings");
    files::write(path, &metadata)
}

/// What `--metadata-file` holds.
fn metadata(built: &BuildResult) -> Value {
    json!({
        "image": {
            "digest": built.digest,
            "config_digest": built.config_digest,
            "tags": built.tags,
        },
        "steps": built.steps.iter().map(step).collect::<Vec<_>>(),
    })
}

/// A step as `--metadata-file` and `plan --format json` tell it. `because` has
/// at most [`MAX_BECAUSE`] of what a step that runs looks at and what changed.
pub(crate) fn step(step: &StepReport) -> Value {
    let because = step.because.iter().take(MAX_BECAUSE).map(because);
    json!({
        "id": step.id,
        "name": step.name,
        "stage": step.stage,
        "status": word(step.status),
        "ahead": step.ahead,
        "reason": step.reason,
        "duration_ms": u64::try_from(step.duration.as_millis()).unwrap_or(u64::MAX),
        "layer": step.layer,
        "because": because.collect::<Vec<_>>(),
    })
}

/// `tree` is 0 for the root; the others are mounts, with the path in what is
/// mounted. `question` is `node` (is it there, and its metadata), `list`, `link`
/// or `content`.
fn because(difference: &Difference) -> Value {
    let Difference { tree, path, question, is_new, is_gone } = difference;
    let path = path.display();
    json!({
        "tree": tree,
        "path": path,
        "question": question,
        "is_new": is_new,
        "is_gone": is_gone,
    })
}

fn word(status: StepStatus) -> &'static str {
    match status {
        StepStatus::Cached => "cached",
        StepStatus::Reused => "reused",
        StepStatus::Ran => "ran",
        StepStatus::Waits => "depends",
    }
}

fn summary(built: &BuildResult) -> Built {
    let count = |status| built.steps.iter().filter(|step| step.status == status).count();
    Built {
        digest: built.digest.to_string(),
        config_digest: built.config_digest.to_string(),
        tags: built.tags.clone(),
        cached: count(StepStatus::Cached),
        reused: count(StepStatus::Reused),
        ran: count(StepStatus::Ran),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use builder_core::digest::{BlobDigest, DiffId, VertexId};
    use builder_core::layer::LayerPath;
    use builder_core::view::observe::Question;

    use super::*;

    #[test]
    fn metadata_has_exactly_the_documented_shape() {
        let built = BuildResult {
            digest: BlobDigest::from_bytes([1; 32]),
            config_digest: BlobDigest::from_bytes([2; 32]),
            size: 5,
            tags: vec!["app:1".to_owned()],
            steps: vec![StepReport {
                id: VertexId::from_bytes([3; 32]),
                name: "run `make`".to_owned(),
                stage: "main".to_owned(),
                status: StepStatus::Ran,
                reason: "`Makefile` differs".to_owned(),
                duration: Duration::from_millis(1234),
                layer: Some(DiffId::from_bytes([4; 32])),
                saw: None,
                because: vec![Difference {
                    tree: 0,
                    path: LayerPath::new("app/Makefile").expect("a plain path"),
                    question: Question::Content,
                    is_new: false,
                    is_gone: false,
                }],
                ahead: false,
                detail: None,
                supposes: Vec::new(),
            }],
            new_lock: None,
        };
        insta::assert_json_snapshot!(metadata(&built));
    }

    #[test]
    fn no_cache_without_a_step_stands_for_all() {
        let of =
            |steps: &[&str]| no_cache(&steps.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&[]), NoCache::Never);
        assert_eq!(of(&["a", ""]), NoCache::All);
        assert_eq!(of(&["a", "b"]), NoCache::Steps(vec!["a".to_owned(), "b".to_owned()]));
    }
}
