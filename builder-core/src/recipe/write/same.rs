//! Whether two plans make the same layers and configs.
//!
//! In: a plan. Out: for each vertex its [`Form`]: a hash of all that decides its
//! layers, and what became of the config. What names, places and history say is
//! put aside, and so is where a change of the config stands, unless a process or
//! a path in between can see it.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use super::fold::fold;
use crate::digest::VertexId;
use crate::plan::op::{
    CacheInitial, ConfigPatch, Copy, CopySource, ExcludeFrom, Exec, FileOp, Mount, MountKind, Op,
    Source,
};
use crate::plan::{Plan, Vertex};

/// What a vertex makes.
#[derive(Debug, Clone)]
pub(super) struct Form {
    /// Of the operations below it.
    layers: blake3::Hash,
    config: Rc<ConfigPatch>,
    /// The working directory as far as it is known.
    workdir: String,
}

impl Form {
    /// Whether both make the same layers.
    pub(super) fn same_layers(&self, other: &Self) -> bool {
        self.layers == other.layers
    }

    /// Whether both make the same config of the same base.
    pub(super) fn same_config(&self, other: &Self) -> bool {
        let sorted = |form: &Self| {
            let mut config = (*form.config).clone();
            config.expose.sort();
            config.volumes.sort();
            config
        };
        sorted(self) == sorted(other)
    }
}

/// The forms of all vertices; `more` is ignored of the context beyond what the
/// plan says.
pub(super) fn forms(plan: &Plan, more: &[String]) -> HashMap<VertexId, Form> {
    let mut forms: HashMap<VertexId, Form> = HashMap::new();
    for vertex in plan.vertices() {
        let form = form(vertex, &forms, more);
        forms.insert(vertex.id, form);
    }
    forms
}

fn form(vertex: &Vertex, forms: &HashMap<VertexId, Form>, more: &[String]) -> Form {
    let input = |at: usize| &forms[&vertex.inputs[at]];
    let mut told = String::new();
    match &vertex.op {
        Op::Source(source) => {
            source_told(source, more, &mut told);
            let workdir = if *source == Source::Scratch { "/" } else { "the base's" };
            let (layers, config) = (blake3::hash(told.as_bytes()), Rc::default());
            return Form { layers, config, workdir: workdir.to_owned() };
        }
        Op::Config(patch) => {
            let below = input(0);
            let workdir = patch.workdir.clone().unwrap_or_else(|| below.workdir.clone());
            let config = Rc::new(fold(&below.config, patch));
            return Form { layers: below.layers, config, workdir };
        }
        Op::Exec(exec) => {
            let below = input(0);
            let seen = (&below.config.env, &below.config.user);
            write!(told, "{seen:?} {:?}", exec.command.argv()).expect("a string takes all");
            exec_told(exec, &|at| input(at).layers, &mut told);
        }
        Op::File(FileOp::Copy(copy)) => copy_told(copy, &|at| input(at).layers, &mut told),
        Op::File(other) => write!(told, "{other:?}").expect("a string takes all"),
    }
    let below = input(0);
    write!(told, " in {:?} on {}", below.workdir, below.layers).expect("a string takes all");
    let layers = blake3::hash(told.as_bytes());
    Form { layers, config: Rc::clone(&below.config), workdir: below.workdir.clone() }
}

fn source_told(source: &Source, more: &[String], told: &mut String) {
    let source = match source.clone() {
        // What it means is found again when the recipe is built.
        Source::Image { reference, digest: _, platform } => {
            Source::Image { reference, digest: None, platform }
        }
        Source::Local { name, path, mut ignore } => {
            if name == "context" {
                ignore.extend(more.iter().cloned());
            }
            Source::Local { name: String::new(), path: clean(&path), ignore }
        }
        Source::Oci { path, tag, platform } => Source::Oci { path: clean(&path), tag, platform },
        Source::Rootfs { path } => Source::Rootfs { path: clean(&path) },
        other => other,
    };
    write!(told, "{source:?}").expect("a string takes all");
}

/// A path without `.` and `..`, by its text.
pub(super) fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(out.pop()),
            part => out.push(part),
        }
    }
    out
}

fn exec_told(exec: &Exec, tree: &dyn Fn(usize) -> blake3::Hash, told: &mut String) {
    let Exec {
        command: _, // told as it is executed
        env,
        workdir,
        user,
        network,
        security,
        hosts,
        hostname,
        shm_size,
        ulimits,
        timeout,
        mounts,
        kind,
        trace,
    } = exec;
    let words = (env, workdir, user, network, security, hosts, hostname, shm_size);
    write!(told, "{words:?} {:?}", (ulimits, timeout, kind, trace)).expect("a string takes all");
    for Mount { target, kind } in mounts {
        let mut kind = kind.clone();
        let input = match &mut kind {
            MountKind::Bind { input, .. } => Some(input),
            MountKind::Cache { initial: Some(CacheInitial { input, .. }), .. } => Some(input),
            _ => None,
        };
        let taken = input.map(|input| tree(std::mem::take(input)));
        write!(told, " {target:?} {kind:?} {taken:?}").expect("a string takes all");
    }
}

fn copy_told(copy: &Copy, tree: &dyn Fn(usize) -> blake3::Hash, told: &mut String) {
    let Copy {
        sources,
        dest,
        exclude,
        exclude_from,
        owner,
        mode,
        keep_mtime,
        parents,
        link,
        allow_empty,
    } = copy;
    for source in sources {
        match source {
            CopySource::Path { input, path, unpack } => {
                write!(told, "{} {path:?} {unpack:?} ", tree(*input))
            }
            CopySource::Inline { name, content } => write!(told, "{name:?} {content:?} "),
        }
        .expect("a string takes all");
    }
    let exclude_from = if exclude.is_empty() { ExcludeFrom::Root } else { *exclude_from };
    let allow_empty = *allow_empty && may_match_nothing(sources);
    let words = (dest, exclude, exclude_from, owner, mode, keep_mtime, parents, link, allow_empty);
    write!(told, "{words:?}").expect("a string takes all");
}

/// Whether a source is a glob.
pub(super) fn may_match_nothing(sources: &[CopySource]) -> bool {
    let glob = |source: &CopySource| matches!(source, CopySource::Path { path, .. } if path.contains(['*', '?', '[']));
    sources.iter().any(glob)
}
