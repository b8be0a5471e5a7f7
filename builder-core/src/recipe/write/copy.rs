//! `copy` and `add`.

use super::Unsaid;
use super::stage::{Writer, octal, owner};
use super::take::Taken;
use super::yaml::{Entry, Yaml, entry};
use crate::plan::Vertex;
use crate::plan::op::{Copy, CopySource, ExcludeFrom, Git, Http, Mode, Unpack};

/// The sources of a copy, by where they come from.
#[derive(Default)]
struct Sources<'a> {
    /// Of the context, or of what `from` names.
    paths: Vec<String>,
    from: Option<String>,
    urls: Vec<&'a Http>,
    git: Option<&'a Git>,
    files: Vec<Entry>,
    /// What is done with archives among the paths, and among the downloads.
    unpack: [Option<Unpack>; 2],
    /// The keys that they stand at.
    order: Vec<&'static str>,
}

impl Sources<'_> {
    fn met(&mut self, kind: &'static str) {
        if !self.order.contains(&kind) {
            self.order.push(kind);
        }
    }
}

impl<'a> Writer<'a> {
    /// The verb and what it says.
    pub(super) fn copy(
        &mut self,
        vertex: &'a Vertex,
        copy: &'a Copy,
    ) -> Result<(&'static str, Yaml), Unsaid> {
        let sources = self.sources(vertex, copy)?;
        let [paths, urls] = sources.unpack;
        let unpacks = paths == Some(Unpack::Archives);
        let add = unpacks || !sources.urls.is_empty() || sources.git.is_some();
        // They are copied in the order in which their keys stand.
        let mut entries = Vec::new();
        for kind in &sources.order {
            match *kind {
                "src" => {
                    entries.push(entry("src", Yaml::one_or_more(&sources.paths)));
                    let from = sources.from.as_ref();
                    entries.extend(from.map(|from| entry("from", Yaml::text(from))));
                }
                "url" => entries.extend(downloads(&sources.urls)),
                "git" => entries.extend(sources.git.into_iter().flat_map(repository)),
                _ => entries.push(entry("files", Yaml::Map(sources.files.clone()))),
            }
        }
        let usual = [None, Some(Unpack::Archives)].contains(&paths)
            && [None, Some(Unpack::Never)].contains(&urls);
        if add && !usual {
            let both = [paths, urls].into_iter().flatten().any(|rule| rule == Unpack::Archives);
            entries.push(entry("unpack", Yaml::Plain(both.to_string())));
        }
        let of_context = entries.len() == 1 && !sources.paths.is_empty();
        entries.push(entry("dest", Yaml::text(&copy.dest)));
        let words = entries.len();
        options(copy, &mut entries);
        let verb = if add { "add" } else { "copy" };
        if of_context && entries.len() == words {
            return Ok((verb, Yaml::texts(sources.paths.iter().chain([&copy.dest]))));
        }
        Ok((verb, Yaml::Map(entries)))
    }

    fn sources(&mut self, vertex: &'a Vertex, copy: &'a Copy) -> Result<Sources<'a>, Unsaid> {
        let mut sources = Sources::default();
        let mut place = None;
        for source in &copy.sources {
            let (input, path, unpack) = match source {
                CopySource::Path { input, path, unpack } => (vertex.inputs[*input], path, *unpack),
                CopySource::Inline { name, content } => {
                    let Ok(text) = String::from_utf8(content.clone()) else {
                        return Err(self.unsaid(vertex, "a recipe is text, and this file is none"));
                    };
                    if sources.files.iter().any(|known| known.key == *name) {
                        return Err(self.unsaid(vertex, format!("`{name}` stands here twice")));
                    }
                    sources.met("files");
                    sources.files.push(entry(name, Yaml::text(text)));
                    continue;
                }
            };
            let from = match self.taken(input, vertex)? {
                Taken::Url(http) => {
                    sources.met("url");
                    sources.urls.push(http);
                    sources.unpack[1] = Some(unpack);
                    continue;
                }
                Taken::Git(git) if path == "." && sources.git.is_none() => {
                    sources.met("git");
                    sources.git = Some(git);
                    continue;
                }
                Taken::Git(_) => self.named(input, vertex)?,
                Taken::Context => None,
                Taken::Named(name) => Some(name),
            };
            if *place.get_or_insert(input) != input {
                return Err(self.unsaid(vertex, "a copy of a recipe takes from one place"));
            }
            sources.met("src");
            sources.paths.push(path.clone());
            sources.from = from;
            sources.unpack[0] = Some(unpack);
        }
        Ok(sources)
    }
}

fn options(copy: &Copy, entries: &mut Vec<Entry>) {
    let yes = |key: &str, is: bool| is.then(|| entry(key, Yaml::Plain("true".to_owned())));
    if !copy.exclude.is_empty() {
        entries.push(entry("exclude", Yaml::one_or_more(&copy.exclude)));
        if copy.exclude_from == ExcludeFrom::Source {
            entries.push(entry("exclude_from", Yaml::text("source")));
        }
    }
    entries.extend(copy.owner.as_deref().map(|whose| entry("owner", owner(whose))));
    entries.extend(copy.mode.as_ref().map(|mode| entry("mode", changed(mode))));
    entries.extend(yes("keep_mtime", copy.keep_mtime));
    entries.extend(yes("parents", copy.parents));
    entries.extend(yes("link", copy.link));
    let matches = copy.allow_empty && super::same::may_match_nothing(&copy.sources);
    entries.extend(yes("allow_empty", matches));
}

fn changed(mode: &Mode) -> Yaml {
    mode.as_octal().map_or_else(|| Yaml::text(mode.to_string()), octal)
}

/// Files of the web.
fn downloads(urls: &[&Http]) -> Vec<Entry> {
    let all: Vec<String> = urls.iter().map(|http| http.url.clone()).collect();
    let checksum = urls.iter().find_map(|http| http.checksum);
    let checksum = checksum.map(|sum| entry("checksum", Yaml::text(sum.to_string())));
    std::iter::once(entry("url", Yaml::one_or_more(&all))).chain(checksum).collect()
}

/// What says which commit.
pub(super) fn repository(git: &Git) -> Vec<Entry> {
    let Git { remote, reference, subdir, keep_git_dir, submodules, commit } = git;
    let text = |key: &str, text: &String| entry(key, Yaml::text(text));
    let mut entries = vec![text("git", remote)];
    entries.extend(reference.as_ref().map(|reference| text("ref", reference)));
    entries.extend((!subdir.is_empty()).then(|| text("subdir", subdir)));
    entries.extend(commit.as_ref().map(|commit| text("commit", commit)));
    entries.extend(keep_git_dir.then(|| entry("keep_git_dir", Yaml::Plain("true".into()))));
    entries.extend((!submodules).then(|| entry("submodules", Yaml::Plain("false".into()))));
    entries
}
