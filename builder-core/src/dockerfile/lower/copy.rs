//! `COPY` and `ADD`: one copy operation each.

use super::place::Place;
use super::remote::{git_reference, is_url};
use super::stage::State;
use super::stages::Reference;
use super::{Context, Lowering};
use crate::digest::{BlobDigest, VertexId};
use crate::dockerfile::ast::{Add, Copy, Heredoc, SourceArg, Word};
use crate::dockerfile::expand::Expander;
use crate::frontend::{Diagnostic, Span};
use crate::plan::op::{
    self, CopySource, ExcludeFrom, FileOp, Git, Http, Mode, Op, Source, Unpack, file_name_of,
    literal_path,
};

type Lowered = Result<(), Box<Diagnostic>>;

/// A copy that is being put together.
struct Draft {
    op: op::Copy,
    inputs: Vec<VertexId>,
    /// What history says, word by word.
    said: Vec<String>,
}

impl Draft {
    fn new(keyword: &str, state: &State) -> Self {
        let op = op::Copy {
            allow_empty: true,
            exclude_from: ExcludeFrom::Source,
            ..op::Copy::new([], "")
        };
        Self { op, inputs: vec![state.vertex], said: vec![keyword.to_owned()] }
    }

    /// The index of an input, added where it is new.
    fn input(&mut self, vertex: VertexId) -> usize {
        let after_state = self.inputs.iter().skip(1).position(|known| *known == vertex);
        after_state.map_or_else(
            || {
                self.inputs.push(vertex);
                self.inputs.len() - 1
            },
            |at| at + 1,
        )
    }

    fn path(&mut self, vertex: VertexId, path: String, unpack: bool) {
        let unpack = if unpack { Unpack::Archives } else { Unpack::Never };
        let input = self.input(vertex);
        self.op.sources.push(CopySource::Path { input, path, unpack });
    }
}

impl Lowering<'_, '_> {
    pub(super) fn copy(
        &mut self,
        at: usize,
        place: &Place<'_>,
        copy: &Copy,
        state: &mut State,
    ) -> Lowered {
        let mut draft = Draft::new("COPY", state);
        draft.op.parents = copy.parents;
        if copy.parents {
            draft.said.push("--parents".to_owned());
        }
        let (chown, chmod) = (copy.chown.as_ref(), copy.chmod.as_ref());
        self.flags(place, (chown, chmod, copy.link, &copy.exclude), &mut draft, state)?;
        let reference = match &copy.from {
            None => None,
            Some(from) => {
                let found = self.graph.copied_from(from);
                Some(found.map_err(|wrong| place.wrong(wrong.span, wrong.message))?)
            }
        };
        if let (Some(Reference::Stage(stage)), Some(from)) = (&reference, &copy.from)
            && !self.done.contains_key(stage)
        {
            let (name, own) = (&from.value, self.graph.name(at));
            let message = format!(
                "cannot copy from stage \"{name}\", it needs to be defined before current stage \"{own}\""
            );
            return Err(place.wrong(from.span, message));
        }
        let span = place.checked();
        for source in &copy.sources {
            let word = match source {
                SourceArg::Heredoc(_) => continue,
                SourceArg::Path(word) => word,
            };
            let text = self.word(place, word, state)?;
            draft.said.push(text.clone());
            if git_reference(&text).is_some() {
                return Err(place.wrong(word.span, "source can't be a git ref for COPY"));
            }
            if is_url(&text) {
                return Err(place.wrong(word.span, "source can't be a URL for COPY"));
            }
            let tree = match &reference {
                Some(reference) => self.tree(at, reference, span),
                None => {
                    self.ignored(place, "Copy", &text);
                    self.build_context(at, span)
                }
            };
            draft.path(tree, if copy.parents { pivoted(&text) } else { matched(&text) }, false);
        }
        self.inline(place, &copy.sources, &mut draft, state)?;
        self.finish(at, place, &copy.dest, draft, state)
    }

    pub(super) fn add(
        &mut self,
        at: usize,
        place: &Place<'_>,
        add: &Add,
        state: &mut State,
    ) -> Lowered {
        let mut draft = Draft::new("ADD", state);
        let (chown, chmod) = (add.chown.as_ref(), add.chmod.as_ref());
        self.flags(place, (chown, chmod, add.link, &add.exclude), &mut draft, state)?;
        let checksum = match &add.checksum {
            Some(word) => Some(self.checksum(place, add, word, state)?),
            None => None,
        };
        let (mut of_servers, mut of_this_host) = (false, false);
        let span = place.checked();
        for source in &add.sources {
            let word = match source {
                SourceArg::Heredoc(_) => continue,
                SourceArg::Path(word) => word,
            };
            let text = self.word(place, word, state)?;
            draft.said.push(text.clone());
            if let Some(git) = git_reference(&text) {
                let git = git.map_err(|message| place.wrong(word.span, message))?;
                let git = with_flags(git, add, checksum.as_deref());
                let git = git.map_err(|message| place.wrong(word.span, message))?;
                let vertex = self.remote(at, place, Source::Git(git));
                draft.path(vertex, ".".to_owned(), false);
            } else if is_url(&text) {
                let digest = checksum.as_deref().map(str::parse::<BlobDigest>).transpose();
                let digest = digest.map_err(|error| place.wrong(word.span, error.to_string()))?;
                let name = file_name_of(&text);
                let http = Http { url: text, name: name.clone(), checksum: digest };
                let vertex = self.remote(at, place, Source::Http(http));
                of_servers = true;
                draft.path(vertex, literal_path(&name), add.unpack.unwrap_or(false));
            } else {
                self.ignored(place, "Add", &text);
                let context = self.build_context(at, span);
                of_this_host |= matches!(self.options.context, Some(Context::Local { .. }));
                draft.path(context, matched(&text), add.unpack.unwrap_or(true));
            }
        }
        // A download has the time that its server tells; files of this host have none
        // but the constant, and one operation keeps the times of all or of none.
        draft.op.keep_mtime = of_servers && !of_this_host;
        self.inline(place, &add.sources, &mut draft, state)?;
        self.finish(at, place, &add.dest, draft, state)
    }

    /// What both instructions say with flags.
    fn flags(
        &mut self,
        place: &Place<'_>,
        (chown, chmod, link, exclude): (Option<&Word>, Option<&Word>, bool, &[Word]),
        draft: &mut Draft,
        state: &State,
    ) -> Lowered {
        if let Some(word) = chown {
            let owner = self.word(place, word, state)?;
            if !owner.is_empty() {
                draft.said.push(format!("--chown={owner}"));
                draft.op.owner = Some(owner);
            }
        }
        if let Some(word) = chmod {
            let text = self.word(place, word, state)?;
            if !text.is_empty() {
                draft.said.push(format!("--chmod={text}"));
                draft.op.mode = Some(mode(place, word.span, &text)?);
            }
        }
        // With a mode the peer copies as it does without --link.
        draft.op.link = link && draft.op.mode.is_none();
        draft.op.exclude = exclude.iter().map(|word| word.value.clone()).collect();
        Ok(())
    }

    fn checksum(
        &mut self,
        place: &Place<'_>,
        add: &Add,
        word: &Word,
        state: &State,
    ) -> Result<String, Box<Diagnostic>> {
        let text = self.word(place, word, state)?;
        let wrong = |message: &str| Err(place.wrong(word.span, message));
        let [source] = &add.sources[..] else {
            return wrong("checksum can't be specified for multiple sources");
        };
        let remote = match source {
            SourceArg::Heredoc(_) => false,
            SourceArg::Path(path) => {
                let path = self.word(place, path, state)?;
                is_url(&path) || git_reference(&path).is_some()
            }
        };
        if remote { Ok(text) } else { wrong("checksum requires HTTP(S) or Git sources") }
    }

    fn remote(&mut self, at: usize, place: &Place<'_>, source: Source) -> VertexId {
        let meta = self.told(at, place, String::new());
        let meta = crate::plan::VertexMeta { history: op::HistoryLine::Nothing, ..meta };
        self.builder.add(Op::Source(source), &[], meta)
    }

    /// The files that stand in the Dockerfile itself.
    fn inline(
        &mut self,
        place: &Place<'_>,
        sources: &[SourceArg],
        draft: &mut Draft,
        state: &State,
    ) -> Lowered {
        for source in sources {
            let SourceArg::Heredoc(heredoc) = source else { continue };
            let content = self.content(place, heredoc, state)?.into_bytes();
            draft.said.push(format!("<<{}", heredoc.name));
            let name = heredoc.name.clone();
            draft.op.sources.push(CopySource::Inline { name, content });
        }
        Ok(())
    }

    fn content(
        &mut self,
        place: &Place<'_>,
        heredoc: &Heredoc,
        state: &State,
    ) -> Result<String, Box<Diagnostic>> {
        let text = heredoc.chomped();
        if !heredoc.expand {
            return Ok(text);
        }
        let expanded = Expander::heredoc().word(&text, &state.env);
        let expanded = expanded.map_err(|error| place.expand(heredoc.span, &error))?;
        self.unset(place, &expanded.unmatched, state);
        Ok(expanded.text)
    }

    fn finish(
        &mut self,
        at: usize,
        place: &Place<'_>,
        dest: &Word,
        draft: Draft,
        state: &mut State,
    ) -> Lowered {
        let dest = self.word(place, dest, state)?;
        let Draft { mut op, inputs, mut said } = draft;
        said.push(dest.clone());
        op.dest = if dest.is_empty() || dest == "." { "./".to_owned() } else { dest };
        let meta = self.told(at, place, format!("{} # buildkit", said.join(" ")));
        state.vertex = self.builder.add(Op::File(FileOp::Copy(op)), &inputs, meta);
        Ok(())
    }

    fn ignored(&mut self, place: &Place<'_>, keyword: &str, path: &str) {
        if let Some(Context::Local { ignore, .. }) = &self.options.context {
            self.checks.copied(place.checked(), keyword, path, ignore);
        }
    }
}

/// A git source with what the flags of its `ADD` add.
fn with_flags(mut git: Git, add: &Add, checksum: Option<&str>) -> Result<Git, String> {
    if let Some(keep) = add.keep_git_dir {
        git.keep_git_dir = keep;
    }
    match (&git.commit, checksum) {
        (Some(one), Some(other)) if one != other => {
            return Err(format!("checksum mismatch \"{other}\" != \"{one}\""));
        }
        (None, Some(checksum)) => git.commit = Some(checksum.to_owned()),
        _ => {}
    }
    Ok(git)
}

fn mode(place: &Place<'_>, span: Span, text: &str) -> Result<Mode, Box<Diagnostic>> {
    Mode::parse(text).map_err(|error| {
        let message = format!("invalid chmod parameter: '{text}'");
        let mut wrong = place.wrong(span, message);
        wrong.help = Some(error.to_string());
        wrong
    })
}

/// A path from the root of what it is in, which `..` does not leave.
fn within(path: &str) -> String {
    let clean = super::config::absolute("/", path);
    match clean.strip_prefix('/') {
        Some("") | None => ".".to_owned(),
        Some(rest) => rest.to_owned(),
    }
}

/// As [`within`] for what may be a pattern, in which several stars are one.
fn matched(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let (mut escaped, mut star) = (false, false);
    for c in within(path).chars() {
        let again = star && c == '*';
        if !again {
            out.push(c);
        }
        star = c == '*' && !escaped;
        escaped = c == '\\' && !escaped;
    }
    out
}

/// A source of `COPY --parents`: each side of the pivot for itself.
fn pivoted(path: &str) -> String {
    match path.split_once("/./") {
        None => within(path),
        Some((before, after)) => format!("{}/./{}", within(before), within(after)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_within_and_pivots_are_kept() {
        for (path, wanted) in
            [("a/b/", "a/b"), ("/a", "a"), ("../../x", "x"), (".", "."), ("/", "."), ("", ".")]
        {
            assert_eq!(within(path), wanted);
        }
        assert_eq!(matched("a/**/b***\\**"), "a/*/b*\\**");
        assert_eq!(pivoted("a/./b/../c"), "a/./c");
        assert_eq!(pivoted("../a/b"), "a/b");
    }
}
