//! A Dockerfile as a recipe that makes the same layers and the same config.
//!
//! In: a [`Request`], and whoever knows images ([`Resolver`]). Out: the text of a
//! recipe, with what a reader should be told; or why there is none. Only the
//! image's history is in other words.
//!
//! The Dockerfile is lowered as for a build, and `recipe::write` writes the plan
//! and proves that it is the same. All stages are written, unless one is asked
//! for by name. What is decided while lowering is fixed: what variables were set
//! to, the platform, triggers and variables of a base.
//!
//! Pure: nothing is read or written.

mod comments;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use crate::dockerfile::ast::Dockerfile;
use crate::dockerfile::lint::Checks;
use crate::dockerfile::{Lowered, Options, lower};
use crate::frontend::{Class, Diagnostic, Resolver, SourceFile};
use crate::recipe::write::{self, Draft, Part, Unsaid};

/// What is to be converted.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The text of the Dockerfile.
    pub source: &'a SourceFile,
    /// What was read of it.
    pub file: &'a Dockerfile,
    /// What it is given.
    pub options: &'a Options,
    /// Labels that the image gets beyond those of the file.
    pub labels: &'a BTreeMap<String, String>,
    /// The directory that the recipe's paths begin at. Absolute.
    pub base: &'a Path,
    /// Where the recipe will be, if that is in the context, as seen from there.
    pub place: Option<&'a Path>,
}

/// A recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// Its text.
    pub text: String,
    /// What its reader should know.
    pub notes: Vec<Diagnostic>,
}

/// Converts a Dockerfile.
///
/// # Errors
/// All that is wrong with it, or that a recipe cannot say.
pub fn convert(
    request: &Request<'_>,
    resolver: &mut dyn Resolver,
) -> Result<Converted, Vec<Diagnostic>> {
    let mut notes = Vec::new();
    let mut lowered = lowered(request, resolver, &mut notes).map_err(|wrong| vec![*wrong])?;
    if !request.labels.is_empty() {
        lowered.plan.label(request.labels);
    }
    let place = request.place.and_then(Path::to_str);
    let place = place.filter(|place| write::is_taken(&lowered.plan, place));
    let ignore = place.map(|place| {
        let lock = Path::new(place).with_extension("lock");
        vec![literal(place), literal(&lock.to_string_lossy())]
    });
    let comments::Comments { head, above } = comments::of(request.source);
    let draft = Draft {
        plan: &lowered.plan,
        parts: parts(&lowered),
        base: request.base,
        ignore: ignore.unwrap_or_default(),
        comments: above,
        head,
    };
    let text = write::write(&draft).map_err(|all| {
        all.into_iter().map(|unsaid| told(request.source, unsaid)).collect::<Vec<_>>()
    })?;
    Ok(Converted { text, notes })
}

/// With all stages where that can be, else with those that the target needs.
fn lowered(
    request: &Request<'_>,
    resolver: &mut dyn Resolver,
    notes: &mut Vec<Diagnostic>,
) -> Result<Lowered, Box<Diagnostic>> {
    let Request { source, file, options, .. } = request;
    let mut attempt = |all_stages| {
        let options = Options { all_stages, ..(*options).clone() };
        lower(file, source, &options, resolver, &mut Checks::new(file, source, None))
    };
    if options.target.is_some() || file.stages.len() == 1 {
        return attempt(false);
    }
    let wrong = match attempt(true) {
        Ok(lowered) => return Ok(lowered),
        Err(wrong) => wrong,
    };
    let lowered = attempt(false)?;
    let message = format!("stages that the last one does not need are left out: {}", wrong.message);
    notes.push(Diagnostic { message, ..*wrong });
    Ok(lowered)
}

fn parts(lowered: &Lowered) -> Vec<Part> {
    let target = lowered.plan.targets().last().map(|target| target.vertex);
    let part = |stage: &crate::dockerfile::LoweredStage| Part {
        name: stage.name.clone(),
        from: stage.from,
        // The one that is asked for may have got labels.
        vertex: target.filter(|_| stage.is_target).unwrap_or(stage.vertex),
        location: Some(stage.location.clone()),
    };
    lowered.stages.iter().map(part).collect()
}

/// A path as a pattern of `.dockerignore` that matches it alone.
fn literal(path: &str) -> String {
    let special = |c: char| "*?[]\\!#".contains(c);
    path.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

/// With the line that it is about.
fn told(source: &SourceFile, unsaid: Unsaid) -> Diagnostic {
    let Unsaid { what, location } = unsaid;
    let mut diagnostic = Diagnostic::unplaced(what);
    diagnostic.class = Class::Unsupported;
    if let Some(at) = &location {
        let line = source.lines(at.line, at.line).pop().map(|(_, line)| line);
        diagnostic.source_line = line.unwrap_or_default();
        let shown = diagnostic.source_line.chars().count().max(1);
        diagnostic.width = u32::try_from(shown).unwrap_or(1);
    }
    Diagnostic { location, ..diagnostic }
}
