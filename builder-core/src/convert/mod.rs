//! A Dockerfile as a recipe that makes the same layers and the same config.
//!
//! In: a [`Request`], and whoever knows images ([`Resolver`]). Out: the text of a
//! recipe, with what a reader should be told; or why there is none. Only the
//! image's history is in other words.
//!
//! The Dockerfile is lowered as for a build, and `recipe::write` writes the plan
//! and proves that it is the same. All stages are written, unless one is asked
//! for by name. An `ARG` becomes a parameter where that is exact (`params`); the
//! head of the recipe names those that do not. What else lowering decides is fixed:
//! the platform, triggers and variables of a base.
//!
//! Pure: nothing is read or written.

mod comments;
mod params;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use crate::dockerfile::ast::Dockerfile;
use crate::dockerfile::lint::Checks;
use crate::dockerfile::{Lowered, Options, lower};
use crate::frontend::{Base, Class, Diagnostic, Resolver, SourceFile, Unresolved, Wanted};
use crate::plan::Plan;
use crate::recipe::write::{self, Draft, Meant, Param, Part, Unsaid};
use params::{Candidate, Fixed};

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
    let mut images = Known { resolver: Some(resolver), known: BTreeMap::new() };
    let lowered = lowered(request, &mut images, &mut notes).map_err(|wrong| vec![*wrong])?;
    // What was not asked for now is not needed by marks either.
    images.resolver = None;
    let (candidates, mut fixed) = params::sorted_out(request.file, request.source, request.options);
    let plain = written(request, &lowered, None, &[], &fixed)?;
    let mut marked = |kept: &[Candidate], fixed: &[Fixed]| {
        let mut options = lowered.options.clone();
        let marks = kept.iter().map(|kept| (kept.name.clone(), kept.mark.clone()));
        options.build_args.extend(marks);
        let marked = of(request, &options, &mut images).ok()?;
        written(request, &marked, Some(&lowered), kept, fixed).ok()
    };
    if candidates.is_empty() {
        return Ok(Converted { text: plain, notes });
    }
    if let Some(text) = marked(&candidates, &fixed) {
        return Ok(Converted { text, notes });
    }
    let (kept, rest): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|one| marked(std::slice::from_ref(one), &fixed).is_some());
    let why = "no param can stand where it is used";
    let rest = rest.into_iter();
    fixed.extend(rest.map(|one| Fixed { name: one.name, value: Some(one.default), why }));
    let text = match marked(&kept, &fixed) {
        Some(text) => text,
        None => written(request, &lowered, None, &[], &fixed)?,
    };
    Ok(Converted { text, notes })
}

/// A plan, and what it was made with.
struct Planned {
    lowered: Lowered,
    options: Options,
}

/// Knows the images that were asked for before.
struct Known<'a> {
    resolver: Option<&'a mut dyn Resolver>,
    known: BTreeMap<Wanted, Base>,
}

impl Resolver for Known<'_> {
    fn resolve(&mut self, wanted: &Wanted) -> Result<Base, Unresolved> {
        if let Some(base) = self.known.get(wanted) {
            return Ok(base.clone());
        }
        let Some(resolver) = &mut self.resolver else {
            let (message, help) = ("the image is not known".to_owned(), None);
            return Err(Unresolved { message, help, class: Class::Unavailable });
        };
        let base = resolver.resolve(wanted)?;
        self.known.insert(wanted.clone(), base.clone());
        Ok(base)
    }
}

fn of(
    request: &Request<'_>,
    options: &Options,
    images: &mut Known<'_>,
) -> Result<Planned, Box<Diagnostic>> {
    let Request { source, file, .. } = request;
    let mut checks = Checks::new(file, source, None);
    let mut lowered = lower(file, source, options, images, &mut checks)?;
    if !request.labels.is_empty() {
        lowered.plan.label(request.labels);
    }
    Ok(Planned { lowered, options: options.clone() })
}

/// With all stages where that can be, else with those that the target needs.
fn lowered(
    request: &Request<'_>,
    images: &mut Known<'_>,
    notes: &mut Vec<Diagnostic>,
) -> Result<Planned, Box<Diagnostic>> {
    let with = |all_stages| Options { all_stages, ..request.options.clone() };
    if request.options.target.is_some() || request.file.stages.len() == 1 {
        return of(request, &with(false), images);
    }
    let wrong = match of(request, &with(true), images) {
        Ok(planned) => return Ok(planned),
        Err(wrong) => wrong,
    };
    let planned = of(request, &with(false), images)?;
    let message = format!("stages that the last one does not need are left out: {}", wrong.message);
    notes.push(Diagnostic { message, ..*wrong });
    Ok(planned)
}

/// The recipe of a plan that holds the marks of `kept`; `meant` is without them.
fn written(
    request: &Request<'_>,
    planned: &Planned,
    meant: Option<&Planned>,
    kept: &[Candidate],
    fixed: &[Fixed],
) -> Result<String, Vec<Diagnostic>> {
    let plan = &planned.lowered.plan;
    let comments::Comments { mut head, above } = comments::of(request.source);
    if !fixed.is_empty() && !head.is_empty() {
        head.push(String::new());
    }
    head.extend(fixed.iter().map(Fixed::to_string));
    let param = |one: &Candidate| Param {
        name: one.name.clone(),
        default: one.default.clone(),
        mark: one.mark.clone(),
        line: one.line,
    };
    let meant = meant.map(|planned| Meant {
        plan: &planned.lowered.plan,
        vertices: parts(&planned.lowered).into_iter().map(|part| part.vertex).collect(),
    });
    let draft = Draft {
        ignore: itself(request, plan),
        comments: above,
        head,
        params: kept.iter().map(param).collect(),
        meant,
        ..Draft::new(plan, parts(&planned.lowered), request.base)
    };
    write::write(&draft)
        .map_err(|all| all.into_iter().map(|unsaid| told(request.source, unsaid)).collect())
}

/// Patterns of the recipe and its lock, where a plan would take them in.
fn itself(request: &Request<'_>, plan: &Plan) -> Vec<String> {
    let place = request.place.and_then(Path::to_str);
    let Some(place) = place.filter(|place| write::is_taken(plan, place)) else {
        return Vec::new();
    };
    let lock = Path::new(place).with_extension("lock");
    vec![literal(place), literal(&lock.to_string_lossy())]
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
