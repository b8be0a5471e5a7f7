//! Git repositories and URLs, as `ADD` and contexts name them.
//!
//! A git reference is `git://`, `ssh://`, `user@host:path`, or an `http(s)://`
//! URL whose path ends with `.git`; `#REF:SUBDIR` or a query
//! (`?branch=&subdir=`) may follow (BuildKit's `dfgitutil`).

use reqwest::Url;

use crate::plan::op::Git;

/// Whether a source is to be downloaded.
pub(super) fn is_url(text: &str) -> bool {
    (text.starts_with("http://") || text.starts_with("https://")) && git_reference(text).is_none()
}

/// The repository that `text` names; `None` where it is no git reference.
#[must_use]
pub fn git_reference(text: &str) -> Option<Result<Git, String>> {
    let (remote, query, fragment) = match text.split_once("://") {
        Some((scheme, _)) => {
            let scheme = scheme.to_ascii_lowercase();
            if !matches!(&*scheme, "http" | "https" | "ssh" | "git") {
                return None;
            }
            let mut url = Url::parse(text).ok()?;
            if scheme.starts_with("http") && !url.path().ends_with(".git") {
                return None;
            }
            let fragment = url.fragment().unwrap_or_default().to_owned();
            let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
            url.set_fragment(None);
            url.set_query(None);
            (url.to_string(), query, fragment)
        }
        None => of_scp(text)?,
    };
    let (reference, subdir) = fragment.split_once(':').unwrap_or((&fragment, ""));
    let mut git = Git {
        remote,
        reference: Some(reference.to_owned()).filter(|reference| !reference.is_empty()),
        subdir: within(subdir),
        keep_git_dir: false,
        submodules: true,
        commit: None,
    };
    Some(with_query(&mut git, query).map(|()| git))
}

/// A remote, its query, its fragment.
type Parts = (String, Vec<(String, String)>, String);

/// `user@host:path`, with what follows it.
fn of_scp(text: &str) -> Option<Parts> {
    let (user, rest) = text.split_once('@')?;
    let (host, _) = rest.split_once(':')?;
    let word = |text: &str, more: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    if !word(user, "-_") || !word(host, "-.") {
        return None;
    }
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (remote, query) = rest.split_once('?').unwrap_or((rest, ""));
    // Only its query is read as that of a URL.
    let url = Url::parse(&format!("git://host/?{query}")).ok()?;
    let query = url.query_pairs().into_owned().collect();
    Some((remote.to_owned(), query, fragment.to_owned()))
}

fn within(path: &str) -> String {
    super::config::absolute("/", path).trim_start_matches('/').to_owned()
}

fn with_query(git: &mut Git, query: Vec<(String, String)>) -> Result<(), String> {
    let (mut seen, mut tag, mut branch) = (Vec::new(), None, None);
    for (key, value) in query {
        if seen.contains(&key) {
            return Err(format!("query \"{key}\" has multiple values"));
        }
        let switch = matches!(&*key, "submodules" | "keep-git-dir" | "fetch-by-commit");
        if value.is_empty() && !switch {
            return Err(format!("query \"{key}\" has no value"));
        }
        match &*key {
            "ref" => reference(git, value)?,
            "tag" => tag = Some(prefixed("refs/tags/", &value)),
            "branch" => branch = Some(prefixed("refs/heads/", &value)),
            "subdir" => {
                let subdir = within(&value);
                if !git.subdir.is_empty() && git.subdir != subdir {
                    return Err(format!("subdir conflicts: \"{}\" vs \"{subdir}\"", git.subdir));
                }
                git.subdir = subdir;
            }
            "checksum" | "commit" => git.commit = Some(value),
            "keep-git-dir" => git.keep_git_dir = boolean("keep-git-dir", &value)?,
            "submodules" => git.submodules = boolean("submodules", &value)?,
            // Times are constant here, and a commit is all that is asked for.
            "fetch-by-commit" => drop(boolean("fetch-by-commit", &value)?),
            "mtime" if matches!(&*value, "checkout" | "commit") => {}
            "mtime" => {
                let wanted = "(must be \"checkout\" or \"commit\")";
                return Err(format!("invalid mtime value: \"{value}\" {wanted}"));
            }
            _ => return Err(format!("unexpected query \"{key}\"")),
        }
        seen.push(key);
    }
    if tag.is_some() && branch.is_some() {
        return Err("branch conflicts with tag".to_owned());
    }
    tag.or(branch).map_or(Ok(()), |name| reference(git, name))
}

fn reference(git: &mut Git, name: String) -> Result<(), String> {
    match &git.reference {
        Some(known) if *known != name => Err(format!("ref conflicts: \"{known}\" vs \"{name}\"")),
        _ => {
            git.reference = Some(name);
            Ok(())
        }
    }
}

fn prefixed(prefix: &str, name: &str) -> String {
    if name.starts_with(prefix) { name.to_owned() } else { format!("{prefix}{name}") }
}

/// What Go's `strconv.ParseBool` takes, and nothing for true.
fn boolean(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("invalid {key} value: \"{value}\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(text: &str) -> Option<(String, Option<String>, String)> {
        let git = git_reference(text)?.expect("a good reference");
        Some((git.remote, git.reference, git.subdir))
    }

    #[test]
    fn git_references_are_told_from_urls_and_paths() {
        for text in ["a/b.git", "https://x.org/a.tar", "./git@x:y", "file:///a.git", "a:b"] {
            assert_eq!(git(text), None, "{text}");
        }
        let some = |remote: &str, reference: Option<&str>, subdir: &str| {
            Some((remote.to_owned(), reference.map(str::to_owned), subdir.to_owned()))
        };
        assert_eq!(git("https://x.org/a.git"), some("https://x.org/a.git", None, ""));
        assert_eq!(
            git("https://x.org/a.git#v1:sub/../dir"),
            some("https://x.org/a.git", Some("v1"), "dir")
        );
        assert_eq!(
            git("git@x.org:a/b.git?tag=v1&subdir=d"),
            some("git@x.org:a/b.git", Some("refs/tags/v1"), "d")
        );
        assert_eq!(git("git://x.org/a#:../../e"), some("git://x.org/a", None, "e"));
        assert!(is_url("https://x.org/a.tar") && !is_url("https://x.org/a.git"));
    }

    #[test]
    fn a_query_that_contradicts_itself_is_an_error() {
        for (query, wanted) in [
            ("?ref=a&ref=b", "query \"ref\" has multiple values"),
            ("?tag=a&branch=b", "branch conflicts with tag"),
            ("?subdir=", "query \"subdir\" has no value"),
            ("?nonsense=1", "unexpected query \"nonsense\""),
            ("?keep-git-dir=maybe", "invalid keep-git-dir value: \"maybe\""),
        ] {
            let found = git_reference(&format!("https://x.org/a.git{query}"));
            assert_eq!(found, Some(Err(wanted.to_owned())));
        }
    }
}
