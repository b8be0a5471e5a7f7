//! `copy` and `add`: files of the context, of a stage, of the web, of git.

use super::decode::{Decoder, Entries, brief, optional};
use super::keys;
use super::model::{Action, Input};
use super::node::{Kind, Node};
use super::step::{Made, patterns, stage};
use crate::frontend::Spanned;
use crate::plan::op::{
    Copy, CopySource, ExcludeFrom, FileOp, Git, Http, Mode, Source, Unpack, file_name_of,
    literal_path,
};

/// A list, or a mapping.
pub(super) fn copy(decoder: &Decoder<'_>, node: &Node) -> Option<Made> {
    if let Kind::Seq(nodes) = &node.kind {
        return listed(decoder, node, nodes.len(), ("copy", Unpack::Never));
    }
    let map = decoder.map(node, "`copy`", keys::COPY)?;
    let mut gathered = Gathered::default();
    for (kind, ..) in map.present(&["src", "files"]) {
        match kind {
            "src" => gathered.context(decoder, &map, Unpack::Never)?,
            _ => gathered.files(decoder, &map)?,
        }
    }
    if gathered.sources.is_empty() {
        return decoder.wrong(node.span, "`copy` needs `src` or `files`");
    }
    gathered.made(decoder, &map, "copy")
}

/// A list, or a mapping.
pub(super) fn add(decoder: &Decoder<'_>, node: &Node) -> Option<Made> {
    if let Kind::Seq(nodes) = &node.kind {
        return listed(decoder, node, nodes.len(), ("add", Unpack::Archives));
    }
    let map = decoder.map(node, "`add`", keys::ADD)?;
    let unpack = optional(&map, "unpack", |node| decoder.boolean(node));
    let rule = |otherwise: bool| match unpack.unwrap_or(otherwise) {
        true => Unpack::Archives,
        false => Unpack::Never,
    };
    let mut gathered = Gathered::default();
    for (kind, ..) in map.present(&["src", "url", "git", "files"]) {
        match kind {
            "src" => gathered.context(decoder, &map, rule(true))?,
            "url" => gathered.web(decoder, &map, rule(false))?,
            "git" => gathered.git(decoder, &map)?,
            _ => gathered.files(decoder, &map)?,
        }
    }
    Gathered::without_git(decoder, &map);
    if gathered.sources.is_empty() {
        return decoder.wrong(node.span, "`add` needs `src`, `url`, `git` or `files`");
    }
    gathered.made(decoder, &map, "add")
}

fn listed(
    decoder: &Decoder<'_>,
    node: &Node,
    length: usize,
    (verb, unpack): (&str, Unpack),
) -> Option<Made> {
    let mut texts = decoder.one_or_more(node)?;
    if length < 2 {
        let message = format!("a list for `{verb}` is sources and a destination");
        return decoder.wrong(node.span, message);
    }
    let dest = texts.pop()?.value;
    let paths = within(decoder, texts)?;
    let mut gathered = Gathered::default();
    gathered.paths(Input::Context, paths, unpack);
    let copy = Copy { sources: gathered.sources, ..Copy::new([], dest) };
    Some(Made {
        title: brief(&format!("{verb} {} -> {}", gathered.shown.join(" "), copy.dest)),
        inputs: gathered.inputs,
        action: Action::Files(vec![FileOp::Copy(copy)]),
    })
}

/// Keys that say more of a repository.
pub(super) const OF_GIT: [&str; 5] = ["ref", "subdir", "keep_git_dir", "submodules", "commit"];

/// A commit of the repository that `node` names.
pub(super) fn repository(decoder: &Decoder<'_>, map: &Entries<'_>, node: &Node) -> Option<Git> {
    let text = |key: &str| optional(map, key, |node| decoder.filled(node));
    let flag = |key: &str| optional(map, key, |node| decoder.boolean(node));
    Some(Git {
        remote: decoder.filled(node)?,
        reference: text("ref"),
        subdir: text("subdir").unwrap_or_default(),
        keep_git_dir: flag("keep_git_dir").unwrap_or(false),
        submodules: flag("submodules").unwrap_or(true),
        commit: text("commit"),
    })
}

/// The sources of a copy, with what they are taken from.
#[derive(Default)]
struct Gathered {
    inputs: Vec<Input>,
    sources: Vec<CopySource>,
    /// As a title names them.
    shown: Vec<String>,
}

impl Gathered {
    fn paths(&mut self, from: Input, paths: Vec<String>, unpack: Unpack) {
        let stage = match &from {
            Input::Stage(stage) => format!("{}:", stage.value),
            Input::Context | Input::Source(_) => String::new(),
        };
        self.inputs.push(from);
        let input = self.inputs.len();
        for (at, path) in paths.into_iter().enumerate() {
            let stage = if at == 0 { stage.as_str() } else { "" };
            self.shown.push(format!("{stage}{path}"));
            self.sources.push(CopySource::Path { input, path, unpack });
        }
    }

    /// `src` and `from`.
    fn context(&mut self, decoder: &Decoder<'_>, map: &Entries<'_>, unpack: Unpack) -> Option<()> {
        let from = map.get("from").map_or(Some(Input::Context), |node| stage(decoder, node));
        let Some(node) = map.get("src") else { return Some(()) };
        let paths = within(decoder, decoder.one_or_more(node)?)?;
        self.paths(from?, paths, unpack);
        Some(())
    }

    /// `url` and `checksum`.
    fn web(&mut self, decoder: &Decoder<'_>, map: &Entries<'_>, unpack: Unpack) -> Option<()> {
        let urls = match map.get("url") {
            Some(node) => decoder.one_or_more(node)?,
            None => Vec::new(),
        };
        let mut checksum = None;
        if let Some(node) = map.get("checksum") {
            let text = decoder.filled(node)?;
            let Ok(digest) = text.parse() else {
                return decoder.wrong(node.span, "expected sha256: and 64 digits");
            };
            if urls.len() != 1 {
                return decoder.wrong(node.span, "`checksum` goes with one `url`");
            }
            checksum = Some(digest);
        }
        for url in urls {
            if !["http://", "https://"].iter().any(|scheme| url.value.starts_with(scheme)) {
                return decoder.wrong(url.span, "a url begins with http:// or https://");
            }
            let name = file_name_of(&url.value);
            self.shown.push(name.clone());
            let http = Http { url: url.value, name: name.clone(), checksum };
            self.inputs.push(Input::Source(Source::Http(http)));
            let input = self.inputs.len();
            // It names one file, whatever letters are in it.
            let path = literal_path(&name);
            self.sources.push(CopySource::Path { input, path, unpack });
        }
        Some(())
    }

    /// What says more of `git` stands alone.
    fn without_git(decoder: &Decoder<'_>, map: &Entries<'_>) {
        let alone = OF_GIT.iter().filter(|_| map.get("git").is_none());
        for key in alone {
            if let Some((node, _)) = map.entry(key) {
                decoder.wrong::<()>(node.span, format!("`{key}` goes with `git`"));
            }
        }
    }

    /// `git` and what says more of it.
    fn git(&mut self, decoder: &Decoder<'_>, map: &Entries<'_>) -> Option<()> {
        let node = map.get("git")?;
        let git = repository(decoder, map, node)?;
        self.shown.push("git".to_owned());
        self.inputs.push(Input::Source(Source::Git(git)));
        let (input, path) = (self.inputs.len(), ".".to_owned());
        self.sources.push(CopySource::Path { input, path, unpack: Unpack::Never });
        Some(())
    }

    fn files(&mut self, decoder: &Decoder<'_>, map: &Entries<'_>) -> Option<()> {
        let Some(node) = map.get("files") else { return Some(()) };
        for (name, content) in decoder.pairs(node)? {
            if name.contains('/') || name == "." || name == ".." {
                return decoder
                    .wrong(node.span, format!("`{}` is not a file's name", brief(&name)));
            }
            self.shown.push(name.clone());
            self.sources.push(CopySource::Inline { name, content: content.into_bytes() });
        }
        Some(())
    }

    fn made(self, decoder: &Decoder<'_>, map: &Entries<'_>, verb: &str) -> Option<Made> {
        let dest = decoder.required(map, "dest").and_then(|node| decoder.filled(node));
        let flag = |key: &str| optional(map, key, |node| decoder.boolean(node)).unwrap_or(false);
        let words = [("root", ExcludeFrom::Root), ("source", ExcludeFrom::Source)];
        let exclude_from =
            optional(map, "exclude_from", |node| decoder.choice(node, &words)).unwrap_or_default();
        let mut exclude =
            optional(map, "exclude", |node| patterns(decoder, node)).unwrap_or_default();
        if exclude_from == ExcludeFrom::Root {
            exclude.iter_mut().for_each(|pattern| *pattern = relative(pattern));
        }
        let copy = Copy {
            sources: self.sources,
            exclude,
            exclude_from,
            owner: optional(map, "owner", |node| decoder.owner(node)),
            mode: optional(map, "mode", |node| mode(decoder, node)),
            keep_mtime: flag("keep_mtime"),
            parents: flag("parents"),
            link: flag("link"),
            allow_empty: flag("allow_empty"),
            ..Copy::new([], dest?)
        };
        Some(Made {
            title: brief(&format!("{verb} {} -> {}", self.shown.join(" "), copy.dest)),
            inputs: self.inputs,
            action: Action::Files(vec![FileOp::Copy(copy)]),
        })
    }
}

/// A pattern of the root: a slash at its start says nothing.
fn relative(pattern: &str) -> String {
    match pattern.trim().strip_prefix('!') {
        Some(rest) => format!("!{}", rest.trim_start().trim_start_matches('/')),
        None => pattern.trim().trim_start_matches('/').to_owned(),
    }
}

/// Octal digits, or a change.
fn mode(decoder: &Decoder<'_>, node: &Node) -> Option<Mode> {
    let symbols = node.text().filter(|text| text.contains(['+', '-', '=']));
    let Some(text) = symbols else { return decoder.mode(node).map(Mode::octal) };
    Mode::parse(text).map_or_else(|error| decoder.wrong(node.span, error.to_string()), Some)
}

/// Sources that do not climb out of what they are in.
fn within(decoder: &Decoder<'_>, sources: Vec<Spanned<String>>) -> Option<Vec<String>> {
    let checked = sources.into_iter().map(|source| {
        if source.value.split('/').any(|part| part == "..") {
            let diagnostic = decoder.source.diagnostic(source.span, "a path to copy holds `..`");
            return decoder.report(diagnostic.help("a copy cannot leave the context or stage"));
        }
        Some(source.value)
    });
    checked.collect()
}
