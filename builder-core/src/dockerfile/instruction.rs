//! One instruction: its keyword, and what each makes of flags and words.
//!
//! In: an instruction on one line, taken apart, with its heredocs. Out: a
//! [`Stage`] or an [`Instruction`], or the first thing that is wrong with it,
//! in `BuildKit`'s words.

use crate::frontend::{Diagnostic, SourceFile, Span};

use super::ast::{Arg, Heredoc, Instruction, InstructionKind, Pair, Stage, Word};
use super::flags::{Flags, Takes};
use super::lines::Logical;
use super::scan::{self, Json, Scan};
use super::{command, copy, healthcheck};

/// Every instruction, as suggestions name it.
pub(super) const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// What an instruction is read from.
pub(super) struct Context<'a> {
    pub(super) source: &'a SourceFile,
    pub(super) logical: &'a Logical,
    pub(super) scan: &'a Scan,
    pub(super) heredocs: Vec<Heredoc>,
    pub(super) escape: char,
}

/// What it was.
pub(super) enum Parsed {
    Stage(Box<Stage>),
    Instruction(Box<Instruction>),
}

type Result<T> = std::result::Result<T, Diagnostic>;

impl Context<'_> {
    /// An error about the whole instruction.
    pub(super) fn fail(&self, message: impl Into<String>) -> Diagnostic {
        self.source.diagnostic_of_lines(self.logical.span, message)
    }

    /// The arguments as one text.
    pub(super) fn rest(&self) -> &str {
        &self.logical.text[self.scan.rest.clone()]
    }

    pub(super) fn word(&self, range: std::ops::Range<usize>) -> Word {
        self.logical.word(range)
    }

    /// The flags, of those that are known.
    pub(super) fn flags(&self, known: &[(&'static str, Takes)]) -> Result<Flags> {
        Flags::parse(self.source, &self.scan.flags, known)
    }

    /// The arguments between blanks.
    pub(super) fn spaced(&self) -> Vec<Word> {
        let ranges = scan::spaced(self.logical, self.scan.rest.clone());
        ranges.into_iter().map(|range| self.word(range)).collect()
    }

    /// The strings of a JSON array, if the arguments are one.
    pub(super) fn json(&self) -> Result<Option<Vec<String>>> {
        json(self, self.scan.rest.clone())
    }

    /// The strings of a JSON array, else the arguments between blanks.
    pub(super) fn list(&self) -> Result<Vec<Word>> {
        let span = self.logical.place(self.scan.rest.clone());
        let strings = self
            .json()?
            .map(|strings| strings.into_iter().map(|text| Word::new(text, span)).collect());
        Ok(strings.unwrap_or_else(|| self.spaced()))
    }

    /// The arguments as one word, of which there must be one.
    fn one(&self, keyword: &str) -> Result<Word> {
        match self.scan.rest.is_empty() {
            true => Err(self.fail(format!("{keyword} requires exactly one argument"))),
            false => Ok(self.word(self.scan.rest.clone())),
        }
    }

    fn at_least_one(&self, keyword: &str) -> Result<()> {
        match self.scan.rest.is_empty() {
            true => Err(self.fail(format!("{keyword} requires at least one argument"))),
            false => Ok(()),
        }
    }

    fn original(&self) -> String {
        self.logical.text.trim().to_owned()
    }
}

/// The strings of a JSON array at `range`, if that is one.
pub(super) fn json(
    context: &Context<'_>,
    range: std::ops::Range<usize>,
) -> Result<Option<Vec<String>>> {
    match scan::json(&context.logical.text[range.clone()]) {
        Json::Strings(strings) => Ok(Some(strings)),
        Json::No => Ok(None),
        Json::Mixed => {
            let message = "when using JSON array syntax, arrays must be comprised of strings only";
            Err(context.source.diagnostic(context.logical.place(range), message))
        }
    }
}

/// Reads an instruction.
pub(super) fn read(context: &Context<'_>) -> Result<Parsed> {
    let keyword = context.word(context.scan.keyword.clone());
    let kind = match keyword.value.to_ascii_uppercase().as_str() {
        "FROM" => return from(context, keyword).map(|stage| Parsed::Stage(Box::new(stage))),
        "ADD" => copy::add(context)?,
        "ARG" => InstructionKind::Arg(args(context)?),
        "CMD" => command::cmd(context)?,
        "COPY" => copy::copy(context)?,
        "ENTRYPOINT" => command::entrypoint(context)?,
        "ENV" => InstructionKind::Env(pairs(context, "ENV")?),
        "EXPOSE" => expose(context)?,
        "HEALTHCHECK" => InstructionKind::Healthcheck(healthcheck::read(context)?),
        "LABEL" => InstructionKind::Label(pairs(context, "LABEL")?),
        "MAINTAINER" => InstructionKind::Maintainer(one(context, "MAINTAINER")?),
        "ONBUILD" => InstructionKind::Onbuild(onbuild(context)?),
        "RUN" => command::run(context)?,
        "SHELL" => command::shell(context)?,
        // Flags are not looked at here, as BuildKit does not.
        "STOPSIGNAL" => InstructionKind::Stopsignal(context.one("STOPSIGNAL")?),
        "USER" => InstructionKind::User(one(context, "USER")?),
        "VOLUME" => volume(context)?,
        "WORKDIR" => InstructionKind::Workdir(one(context, "WORKDIR")?),
        other => {
            let message = format!("unknown instruction: {}", keyword.value);
            let diagnostic = context.source.diagnostic(keyword.span, message);
            return Err(diagnostic.suggest(other, KEYWORDS));
        }
    };
    Ok(Parsed::Instruction(Box::new(Instruction {
        span: context.logical.span,
        keyword,
        original: context.original(),
        comments: context.logical.comments.clone(),
        kind,
    })))
}

/// A stage without a name in the place of a `FROM` that is wrong, so that what
/// follows is not found wrong too.
pub(super) fn stage_that_fails(context: &Context<'_>) -> Option<Stage> {
    let keyword = context.word(context.scan.keyword.clone());
    let is_from = keyword.value.eq_ignore_ascii_case("FROM");
    is_from.then(|| nameless(keyword, context.logical.span))
}

/// The same where no `FROM` is.
pub(super) fn no_stage(instruction: Instruction) -> Stage {
    nameless(instruction.keyword, instruction.span)
}

fn nameless(keyword: Word, span: Span) -> Stage {
    Stage {
        span,
        keyword,
        original: String::new(),
        image: Word::default(),
        platform: None,
        name: None,
        alias: None,
        description: None,
        comments: Vec::new(),
        instructions: Vec::new(),
    }
}

fn from(context: &Context<'_>, keyword: Word) -> Result<Stage> {
    let mut words = context.spaced().into_iter();
    let (image, alias) = match (words.next(), words.next(), words.next(), words.next()) {
        (Some(image), None, ..) => (image, None),
        (Some(image), Some(mark), Some(name), None) if mark.value.eq_ignore_ascii_case("as") => {
            (image, Some((mark, name)))
        }
        _ => return Err(context.fail("FROM requires either one or three arguments")),
    };
    let name = alias.as_ref().map(|(_, name)| stage_name(context, name)).transpose()?;
    let flags = context.flags(&[("platform", Takes::Text)])?;
    let comments = context.logical.comments.clone();
    Ok(Stage {
        span: context.logical.span,
        keyword,
        original: context.original(),
        image,
        platform: flags.text("platform"),
        description: name.as_ref().and_then(|name| description(&comments, &name.value)),
        name,
        alias,
        comments,
        instructions: Vec::new(),
    })
}

fn stage_name(context: &Context<'_>, written: &Word) -> Result<Word> {
    let name = written.value.to_lowercase();
    let good = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'));
    match good {
        true => Ok(Word::new(name, written.span)),
        false => {
            let message = format!(
                "invalid name for build stage: {:?}, name can't start with a number or contain symbols",
                written.value
            );
            Err(context.source.diagnostic(written.span, message))
        }
    }
}

/// What the comments say of `name`: `# NAME text`.
fn description(comments: &[Word], name: &str) -> Option<String> {
    if name.is_empty() {
        return None;
    }
    let texts = comments.iter().filter_map(|it| it.value.strip_prefix(name)?.strip_prefix(' '));
    texts.map(str::to_owned).next()
}

/// An instruction that takes all that follows as one argument.
fn one(context: &Context<'_>, keyword: &str) -> Result<Word> {
    let word = context.one(keyword)?;
    context.flags(&[])?;
    Ok(word)
}

fn args(context: &Context<'_>) -> Result<Vec<Arg>> {
    context.at_least_one("ARG")?;
    let ranges = scan::words(context.logical, context.scan.rest.clone(), context.escape);
    let args = ranges.into_iter().map(|range| {
        let text = &context.logical.text[range.clone()];
        let (name, value) = match text.find('=') {
            Some(0) => {
                let span = context.logical.place(range);
                return Err(context.source.diagnostic(span, "ARG names can not be blank"));
            }
            Some(at) => {
                let cut = range.start + at;
                (context.word(range.start..cut), Some(context.word(cut + 1..range.end)))
            }
            None => (context.word(range), None),
        };
        let description = description(&context.logical.comments, &name.value);
        Ok(Arg { name, value, description })
    });
    args.collect()
}

fn pairs(context: &Context<'_>, keyword: &str) -> Result<Vec<Pair>> {
    context.flags(&[])?;
    let ranges = scan::words(context.logical, context.scan.rest.clone(), context.escape);
    let Some(first) = ranges.first() else {
        return Err(context.fail(format!("{keyword} requires at least one argument")));
    };
    if !context.logical.text[first.clone()].contains('=') {
        return legacy_pair(context, keyword).map(|pair| vec![pair]);
    }
    let pairs = ranges.into_iter().map(|range| {
        let text = &context.logical.text[range.clone()];
        let fail = |span: Span, message: String| context.source.diagnostic(span, message);
        match text.find('=') {
            None => {
                let message = format!(
                    "Syntax error - can't find = in {text:?}. Must be of the form: name=value"
                );
                Err(fail(context.logical.place(range), message))
            }
            Some(0) => {
                let message = format!("{keyword} names can not be blank");
                Err(fail(context.logical.place(range), message))
            }
            Some(at) => Ok(Pair {
                key: context.word(range.start..range.start + at),
                value: context.word(range.start + at + 1..range.end),
                legacy: false,
            }),
        }
    });
    pairs.collect()
}

/// `ENV name value that may have spaces`.
fn legacy_pair(context: &Context<'_>, keyword: &str) -> Result<Pair> {
    let rest = context.scan.rest.clone();
    let words = scan::spaced(context.logical, rest.clone());
    match words.as_slice() {
        [key, value, ..] => Ok(Pair {
            key: context.word(key.clone()),
            value: context.word(value.start..rest.end),
            legacy: true,
        }),
        _ => Err(context.fail(format!("{keyword} must have two arguments"))),
    }
}

fn expose(context: &Context<'_>) -> Result<InstructionKind> {
    context.at_least_one("EXPOSE")?;
    context.flags(&[])?;
    let mut ports = context.spaced();
    ports.sort_by(|a, b| a.value.cmp(&b.value));
    Ok(InstructionKind::Expose(ports))
}

fn volume(context: &Context<'_>) -> Result<InstructionKind> {
    let mut volumes = context.list()?;
    if volumes.is_empty() {
        return Err(context.fail("VOLUME requires at least one argument"));
    }
    context.flags(&[])?;
    for volume in &mut volumes {
        volume.value = volume.value.trim().to_owned();
        if volume.value.is_empty() {
            let message = "VOLUME specified can not be an empty string";
            return Err(context.source.diagnostic(volume.span, message));
        }
    }
    Ok(InstructionKind::Volume(volumes))
}

fn onbuild(context: &Context<'_>) -> Result<Word> {
    context.at_least_one("ONBUILD")?;
    context.flags(&[])?;
    let inner = scan::scan(context.logical, context.scan.rest.start, context.escape);
    let keyword = context.logical.text[inner.keyword.clone()].to_ascii_uppercase();
    let fail = |message: String| {
        context.source.diagnostic(context.logical.place(inner.keyword.clone()), message)
    };
    match keyword.as_str() {
        "ONBUILD" => {
            return Err(fail("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned()));
        }
        "MAINTAINER" | "FROM" => {
            return Err(fail(format!("{keyword} isn't allowed as an ONBUILD trigger")));
        }
        _ => {}
    }
    let mut trigger = context.logical.text[context.scan.keyword.end..].trim_start().to_owned();
    for heredoc in &context.heredocs {
        trigger.push('\n');
        trigger.push_str(&heredoc.content);
        trigger.push_str(&heredoc.name);
    }
    Ok(Word::new(trigger, context.logical.place(context.scan.rest.clone())))
}
