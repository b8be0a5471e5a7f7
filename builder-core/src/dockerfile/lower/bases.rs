//! What stages start from and what is copied from outside of all stages.

use std::collections::BTreeMap;

use super::stage::{BaseName, State};
use super::stages::{From, Reference, wanted_of};
use super::{Context, Lowering};
use crate::digest::VertexId;
use crate::frontend::{Base, Resolver, Span, Unresolved, Wanted};
use crate::plan::VertexMeta;
use crate::plan::op::{ConfigPatch, Copy, FileOp, HistoryLine, ImagePlatform, Op, Source};

/// The search path of an image that has none (containerd's default for Unix).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The images that were asked for.
#[derive(Default)]
pub(super) struct Bases(BTreeMap<Wanted, Base>);

impl Bases {
    pub(super) fn ask(
        &mut self,
        wanted: &Wanted,
        resolver: &mut dyn Resolver,
    ) -> Result<(), Unresolved> {
        if !self.0.contains_key(wanted) {
            let base = resolver.resolve(wanted)?;
            self.0.insert(wanted.clone(), base);
        }
        Ok(())
    }

    /// What came of [`Self::ask`].
    pub(super) fn get(&self, wanted: &Wanted) -> &Base {
        self.0.get(wanted).expect("every image of a needed stage was asked for")
    }
}

impl Lowering<'_, '_> {
    /// The state that a stage's first instruction finds.
    pub(super) fn base(&mut self, at: usize) -> State {
        let stage = self.graph.stage(at);
        let span = stage.span;
        match self.graph.from(at).clone() {
            From::Scratch => {
                let vertex = self.source_vertex(Source::Scratch, at, span, "FROM scratch");
                self.first(at, vertex, &Base::default(), None)
            }
            From::Stage(base) => {
                let mut state = self.done[&base].inherited();
                state.env_of_config();
                state
            }
            From::Context { name, platform } => self.context_state(at, &name, platform, span),
            From::Image { name, platform } => {
                let wanted = Wanted::Image { reference: name, platform };
                self.judge(&wanted, span);
                self.image_state(at, &wanted, span)
            }
        }
    }

    /// Tells of an image that is for another platform than was asked for.
    fn judge(&mut self, wanted: &Wanted, span: Span) {
        let Wanted::Image { reference, platform } = wanted else { return };
        let found = &self.bases.get(wanted).platform;
        let expected = platform.as_ref().unwrap_or(&self.options.build_platform);
        // Who asks for no platform takes what this host can run, as under BuildKit.
        let is_asked = platform.is_some() || self.options.target_platform.is_some();
        if !is_asked && (expected.as_str(), found.as_str()) == ("linux/amd64", "linux/386") {
            return;
        }
        self.checks.base_platform(span, reference, expected, found);
    }

    fn image_state(&mut self, at: usize, wanted: &Wanted, span: Span) -> State {
        let vertex = self.image(at, wanted, span);
        let base = self.bases.get(wanted).clone();
        let name = BaseName { name: base.name.clone(), digest: base.digest };
        self.first(at, vertex, &base, Some(name))
    }

    fn context_state(
        &mut self,
        at: usize,
        name: &str,
        platform: Option<String>,
        span: Span,
    ) -> State {
        let context = &self.options.contexts[name];
        if let Some(wanted) = wanted_of(context, platform) {
            return self.image_state(at, &wanted, span);
        }
        // The files are all that there is: they become a root file system.
        let tree = self.context_tree(at, name, span);
        let meta = self.meta(at, span, format!("FROM {name}"));
        let scratch = self.builder.add(Op::Source(Source::Scratch), &[], meta.clone());
        // Only an archive says when its files changed; a directory of this host is not
        // asked, so that what is made of it is the same everywhere.
        let keep_mtime = matches!(context, Context::Archive(_));
        let copy = Copy { keep_mtime, ..Copy::new([".".to_owned()], "/") };
        let vertex = self.builder.add(Op::File(FileOp::Copy(copy)), &[scratch, tree], meta);
        self.first(at, vertex, &Base::default(), None)
    }

    /// A stage's state on a base that is no stage.
    fn first(&mut self, at: usize, vertex: VertexId, base: &Base, name: Option<BaseName>) -> State {
        let mut state = State {
            vertex,
            env: self.globals.emptied(),
            config_env: base.env.iter().cloned().collect(),
            args: Vec::new(),
            user: base.user.clone().filter(|user| !user.is_empty()),
            workdir: base.workdir.clone().filter(|dir| !dir.is_empty()),
            shell: base.shell.clone().filter(|shell| !shell.is_empty()),
            onbuild: Vec::new(),
            cmd: None,
            workdir_is_set: false,
            base: name,
        };
        let mut patch = ConfigPatch::default();
        if state.base.is_none() {
            // An image on no other one starts at the root, and says so.
            patch.workdir = Some("/".to_owned());
        }
        if state.config_env.value("PATH").is_none() {
            state.config_env.set("PATH", PATH);
            patch.env = vec![("PATH".to_owned(), PATH.to_owned())];
        }
        if !base.onbuild.is_empty() {
            patch.onbuild = Some(Vec::new());
        }
        if patch != ConfigPatch::default() {
            let span = self.graph.stage(at).span;
            let mut meta = self.meta(at, span, "config of the base");
            meta.history = HistoryLine::Nothing;
            state.vertex = self.builder.add(Op::Config(patch), &[vertex], meta);
        }
        state.env_of_config();
        state
    }

    /// Says in the config of the target what the image is for, where the command
    /// line does: whatever its bases are for.
    pub(super) fn for_platform(&mut self, at: usize, state: &mut State) {
        let Some(text) = &self.options.target_platform else { return };
        let platform = ImagePlatform::parse(text).map(Box::new);
        let span = self.graph.stage(at).span;
        let mut meta = self.meta(at, span, format!("platform {text}"));
        meta.history = HistoryLine::Nothing;
        let patch = ConfigPatch { platform, ..ConfigPatch::default() };
        state.vertex = self.builder.add(Op::Config(patch), &[state.vertex], meta);
    }

    fn meta(&self, at: usize, span: Span, name: impl Into<String>) -> VertexMeta {
        VertexMeta {
            name: name.into(),
            stage: self.graph.name(at),
            location: Some(self.source.location(span)),
            ..VertexMeta::default()
        }
    }

    fn source_vertex(&mut self, op: Source, at: usize, span: Span, name: &str) -> VertexId {
        let meta = self.meta(at, span, name);
        self.builder.add(Op::Source(op), &[], meta)
    }

    fn image(&mut self, at: usize, wanted: &Wanted, span: Span) -> VertexId {
        let base = self.bases.get(wanted);
        let (op, name) = match wanted {
            Wanted::Image { reference, platform } => {
                let (reference, platform) = (reference.clone(), platform.clone());
                let name = format!("FROM {reference}");
                (Source::Image { reference, digest: base.digest, platform }, name)
            }
            Wanted::Layout { path, tag, platform } => {
                let name = format!("FROM {}", path.display());
                let (path, tag, platform) = (path.clone(), tag.clone(), platform.clone());
                (Source::Oci { path, tag, platform }, name)
            }
        };
        self.source_vertex(op, at, span, &name)
    }

    /// The tree of what an instruction of stage `at` takes from.
    pub(super) fn tree(&mut self, at: usize, reference: &Reference, span: Span) -> VertexId {
        match reference {
            Reference::Stage(stage) => self.done[stage].vertex,
            Reference::Scratch => self.source_vertex(Source::Scratch, at, span, "FROM scratch"),
            Reference::Context(name) => self.context_tree(at, name, span),
            Reference::Image(name) => {
                let platform = self.options.foreign_platform();
                let wanted = Wanted::Image { reference: name.clone(), platform };
                self.judge(&wanted, span);
                self.image(at, &wanted, span)
            }
        }
    }

    /// A context that the command line names.
    fn context_tree(&mut self, at: usize, name: &str, span: Span) -> VertexId {
        if let Some(&vertex) = self.trees.get(name) {
            return vertex;
        }
        let context = &self.options.contexts[name];
        let vertex = self.context_vertex(at, name, context, span);
        self.trees.insert(name.to_owned(), vertex);
        vertex
    }

    /// The build context, if there is one.
    pub(super) fn build_context(&mut self, at: usize, span: Span) -> VertexId {
        if let Some(vertex) = self.context {
            return vertex;
        }
        let vertex = match &self.options.context {
            Some(context) => self.context_vertex(at, "context", context, span),
            None => self.source_vertex(Source::Scratch, at, span, "no context"),
        };
        *self.context.insert(vertex)
    }

    fn context_vertex(&mut self, at: usize, name: &str, context: &Context, span: Span) -> VertexId {
        let op = match context {
            Context::Local { path, ignore } => {
                Source::Local { name: name.to_owned(), path: path.clone(), ignore: ignore.clone() }
            }
            Context::Git(git) => Source::Git(git.clone()),
            Context::Archive(path) => Source::Rootfs { path: path.clone() },
            Context::Image(_) | Context::Layout { .. } => {
                let wanted = wanted_of(context, self.options.foreign_platform());
                let wanted = wanted.expect("it is an image");
                return self.image(at, &wanted, span);
            }
        };
        self.source_vertex(op, at, span, name)
    }
}
