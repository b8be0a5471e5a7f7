//! What steps take from beside their own state, by the name that it has in the
//! recipe: a stage, one that is made for the purpose, a context.

use std::path::{Component, Path, PathBuf};

use super::stage::Writer;
use super::yaml::{Notes, Yaml};
use super::{Unsaid, Written, same};
use crate::digest::VertexId;
use crate::plan::Vertex;
use crate::plan::op::{FileOp, Git, Http, Op, Source};

/// Where files come from.
pub(super) enum Taken<'a> {
    /// The recipe's own context.
    Context,
    /// A stage or a context of that name.
    Named(String),
    Url(&'a Http),
    Git(&'a Git),
}

impl<'a> Writer<'a> {
    /// What an input is; a repository is one that files are added from.
    pub(super) fn taken(&mut self, id: VertexId, by: &Vertex) -> Result<Taken<'a>, Unsaid> {
        if let Some(name) = self.names.get(&id) {
            return Ok(Taken::Named(name.clone()));
        }
        let vertex = self.vertex(id);
        match &vertex.op {
            Op::Source(Source::Local { name, path, .. }) if name == "context" => {
                if same::clean(path) != same::clean(self.draft.base) {
                    return Err(self.unsaid(by, "the context is not that of the recipe"));
                }
                Ok(Taken::Context)
            }
            Op::Source(Source::Http(http)) => Ok(Taken::Url(http)),
            Op::Source(Source::Git(git)) => Ok(Taken::Git(git)),
            _ => self.from(id, by).map(Taken::Named),
        }
    }

    /// The name behind `from` of an input; `None` for the recipe's context.
    pub(super) fn named(&mut self, id: VertexId, by: &Vertex) -> Result<Option<String>, Unsaid> {
        Ok(match self.taken(id, by)? {
            Taken::Context => None,
            Taken::Named(name) => Some(name),
            Taken::Git(_) => Some(self.from(id, by)?),
            Taken::Url(_) => return Err(self.unsaid(by, "a file of the web is no tree")),
        })
    }

    /// The name of a tree that has none yet: it becomes a context or a stage.
    fn from(&mut self, id: VertexId, by: &Vertex) -> Result<String, Unsaid> {
        let vertex = self.vertex(id);
        let (wish, context) = match &vertex.op {
            Op::Source(Source::Local { name, path, ignore }) => {
                let path = Yaml::text(self.relative(path));
                let context = match &ignore[..] {
                    [] => path,
                    ignore => {
                        let ignore = Yaml::texts(ignore);
                        Yaml::Map(vec![super::entry("path", path), super::entry("ignore", ignore)])
                    }
                };
                (name.as_str(), Some(context))
            }
            Op::Source(Source::Git(git)) => {
                (vertex.meta.name.as_str(), Some(Yaml::Map(super::copy::repository(git))))
            }
            Op::Source(Source::Rootfs { .. }) => {
                let why = "an archive on standard input has no name that a recipe could use";
                return Err(self.unsaid(by, why));
            }
            Op::Source(Source::Image { reference, .. }) => {
                let path = reference.split('@').next().unwrap_or_default();
                (path.rsplit('/').next().unwrap_or_default(), None)
            }
            Op::Source(Source::Oci { path, .. }) => {
                (path.file_name().and_then(|name| name.to_str()).unwrap_or_default(), None)
            }
            Op::Source(_) => ("empty", None),
            Op::File(FileOp::Write { .. }) => ("script", None),
            _ => ("part", None),
        };
        let name = self.unused(wish);
        self.names.insert(id, name.clone());
        match context {
            Some(context) => self.contexts.push((name.clone(), context)),
            None => {
                let entries = self.stage(None, id)?;
                let notes = Notes::default();
                self.beside.push(Written { name: name.clone(), notes, entries });
            }
        }
        Ok(name)
    }

    /// A name that fits a recipe and that nothing else has.
    pub(super) fn unused(&mut self, wish: &str) -> String {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let letter = |c: char| if fits(c) || "._-".contains(c) { c } else { '-' };
        let name: String = wish.to_ascii_lowercase().chars().map(letter).collect();
        let name = name.trim_matches(|c: char| !fits(c));
        let name = if name.is_empty() { "stage" } else { name };
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        let name = names.find(|name| !self.used.contains(name)).expect("numbers do not end");
        self.used.insert(name.clone());
        name
    }

    /// A path of this host as seen from the recipe's context.
    pub(super) fn relative(&self, path: &Path) -> String {
        let (path, base) = (same::clean(path), same::clean(self.draft.base));
        let parts = |path: &Path| {
            path.components().filter(|part| matches!(part, Component::Normal(_))).count()
        };
        let shared = path.components().zip(base.components()).take_while(|(a, b)| a == b).count();
        let up = base.components().count() - shared;
        // A path that has nothing to do with the context is as good as it is.
        if shared <= 1 || up >= parts(&base) {
            return path.display().to_string();
        }
        let rest = path.components().skip(shared);
        let steps = std::iter::repeat_n(Component::ParentDir, up);
        let relative: PathBuf = steps.chain(rest).collect();
        match relative.as_os_str().is_empty() {
            true => ".".to_owned(),
            false => relative.display().to_string(),
        }
    }
}
