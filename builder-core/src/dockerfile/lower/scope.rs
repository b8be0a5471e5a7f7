//! Variables: what is set where.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use super::Options;
use super::place;
use crate::dockerfile::ast::Dockerfile;
use crate::dockerfile::expand::{ALL_VALUES, Expander, Variables};
use crate::dockerfile::lint::Checks;
use crate::frontend::{Diagnostic, SourceFile};

/// What a variable takes beside its name and value.
const ENTRY: usize = 128;

/// Names with values, in the order in which they were first set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    pairs: Vec<(String, String)>,
    places: HashMap<String, usize>,
    bytes: usize,
    /// How many bytes words may still bring in: of this and of all that were
    /// made of it.
    left: Rc<Cell<usize>>,
}

impl Default for Scope {
    fn default() -> Self {
        let left = Rc::new(Cell::new(ALL_VALUES));
        Self { pairs: Vec::new(), places: HashMap::new(), bytes: 0, left }
    }
}

impl Scope {
    /// One with nothing in it, of which no more may be brought in than is left
    /// of this.
    pub(super) fn emptied(&self) -> Self {
        Self { left: Rc::clone(&self.left), ..Self::default() }
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        match self.places.get(name) {
            Some(&at) => {
                let known = &mut self.pairs[at].1;
                self.bytes = self.bytes - known.len() + value.len();
                value.clone_into(known);
            }
            None => {
                self.bytes += ENTRY + 2 * name.len() + value.len();
                self.places.insert(name.to_owned(), self.pairs.len());
                self.pairs.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    /// About how much memory all names and values take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.places.get(name).map(|&at| self.pairs[at].1.as_str())
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.pairs.iter().map(|(name, _)| name.as_str()).collect()
    }
}

impl FromIterator<(String, String)> for Scope {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        let mut scope = Self::default();
        for (name, value) in pairs {
            scope.set(&name, &value);
        }
        scope
    }
}

impl Variables for Scope {
    fn get(&self, name: &str) -> Option<&str> {
        self.value(name)
    }

    fn left(&self) -> Option<&Cell<usize>> {
        Some(&self.left)
    }
}

/// What `FROM` may use: platforms, and the `ARG`s before the first stage.
pub(super) fn globals(
    file: &Dockerfile,
    source: &SourceFile,
    options: &Options,
    checks: &mut Checks<'_>,
) -> Result<Scope, Box<Diagnostic>> {
    let builtin = builtin(file, options);
    checks.default_bases(&builtin.pairs);
    let mut scope = builtin;
    for arg in file.global_args() {
        let name = &arg.name.value;
        if let Some(value) = options.build_args.get(name) {
            scope.set(name, value);
        } else if let Some(value) = &arg.value {
            let expanded = Expander::new(file.escape()).word(&value.value, &scope);
            let expanded = expanded.map_err(|error| {
                Box::new(source.diagnostic(place::at(value.span, &error), error.to_string()))
            })?;
            scope.set(name, &expanded.text);
        }
    }
    Ok(scope)
}

/// The arguments that are there without being declared before the first stage.
pub(super) fn builtin(file: &Dockerfile, options: &Options) -> Scope {
    let build = options.build_platform.as_str();
    let target = options.target_platform.as_deref().unwrap_or(build);
    let last = file.stages.last().and_then(|stage| stage.name.as_ref());
    let stage = options.target.as_deref().or(last.map(|name| name.value.as_str()));
    let part = |platform: &str, at| platform.split('/').nth(at).unwrap_or_default().to_owned();
    let all = [
        ("BUILDPLATFORM", build.to_owned()),
        ("BUILDOS", part(build, 0)),
        ("BUILDOSVERSION", String::new()),
        ("BUILDARCH", part(build, 1)),
        ("BUILDVARIANT", part(build, 2)),
        ("TARGETPLATFORM", target.to_owned()),
        ("TARGETOS", part(target, 0)),
        ("TARGETOSVERSION", String::new()),
        ("TARGETARCH", part(target, 1)),
        ("TARGETVARIANT", part(target, 2)),
        ("TARGETSTAGE", stage.filter(|s| !s.is_empty()).unwrap_or("default").to_owned()),
    ];
    let given = |name: &str, value| options.build_args.get(name).cloned().unwrap_or(value);
    all.into_iter().map(|(name, value)| (name.to_owned(), given(name, value))).collect()
}
