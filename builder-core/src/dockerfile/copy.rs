//! `COPY` and `ADD`.

use crate::frontend::Diagnostic;

use super::ast::{Add, Copy, InstructionKind, SourceArg, Word};
use super::flags::Takes;
use super::heredoc;
use super::instruction::Context;

type Result<T> = std::result::Result<T, Diagnostic>;

const COPY: &[(&str, Takes)] = &[
    ("chown", Takes::Text),
    ("from", Takes::Text),
    ("chmod", Takes::Text),
    ("link", Takes::Bool),
    ("exclude", Takes::Texts),
    ("parents", Takes::Bool),
];

const ADD: &[(&str, Takes)] = &[
    ("chown", Takes::Text),
    ("chmod", Takes::Text),
    ("link", Takes::Bool),
    ("keep-git-dir", Takes::Bool),
    ("checksum", Takes::Text),
    ("unpack", Takes::Bool),
    ("exclude", Takes::Texts),
];

pub(super) fn copy(context: &Context<'_>) -> Result<InstructionKind> {
    let args = arguments(context, "COPY")?;
    let flags = context.flags(COPY)?;
    let (sources, dest) = sources(context, args, "COPY")?;
    Ok(InstructionKind::Copy(Copy {
        from: flags.text("from"),
        chown: flags.text("chown"),
        chmod: flags.text("chmod"),
        link: flags.switch("link").unwrap_or_default(),
        parents: flags.switch("parents").unwrap_or_default(),
        exclude: flags.texts("exclude"),
        sources,
        dest,
    }))
}

pub(super) fn add(context: &Context<'_>) -> Result<InstructionKind> {
    let args = arguments(context, "ADD")?;
    let flags = context.flags(ADD)?;
    let (sources, dest) = sources(context, args, "ADD")?;
    Ok(InstructionKind::Add(Add {
        chown: flags.text("chown"),
        chmod: flags.text("chmod"),
        checksum: flags.text("checksum"),
        link: flags.switch("link").unwrap_or_default(),
        keep_git_dir: flags.switch("keep-git-dir"),
        unpack: flags.switch("unpack"),
        exclude: flags.texts("exclude"),
        sources,
        dest,
    }))
}

/// The arguments, the last of which is the destination.
fn arguments(context: &Context<'_>, keyword: &str) -> Result<(Vec<Word>, Word)> {
    let mut words = context.list()?;
    match words.pop() {
        Some(dest) if !words.is_empty() => Ok((words, dest)),
        _ => Err(context.fail(format!(
            "{keyword} requires at least two arguments, but only one was provided. \
             Destination could not be determined"
        ))),
    }
}

/// Paths and heredocs. One whose name was given twice has the content of the
/// last, as in `BuildKit`.
fn sources(
    context: &Context<'_>,
    (words, dest): (Vec<Word>, Word),
    keyword: &str,
) -> Result<(Vec<SourceArg>, Word)> {
    if heredoc::mark(&dest.value).is_some() {
        let message = format!("{keyword} cannot accept a heredoc as a destination");
        return Err(context.source.diagnostic(dest.span, message));
    }
    let sources = words.into_iter().map(|word| {
        let mark = heredoc::mark(&word.value);
        let found = mark.and_then(|mark| {
            let content = context.heredocs.iter().rfind(|heredoc| heredoc.name == mark.name)?;
            Some(mark.with(&content.content, content.span.start))
        });
        found.map_or_else(|| SourceArg::Path(word), SourceArg::Heredoc)
    });
    Ok((sources.collect(), dest))
}
