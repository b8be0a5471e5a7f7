//! Why a step runs, in one sentence: pure.
//!
//! In: what was decided, the parts of the key, those of the nearest earlier
//! build. Out: text for progress, metadata and `plan`.

use std::collections::BTreeSet;

use super::decide::Miss;
use super::observed::Sight;
use super::report::Detail;
use crate::plan::key::{self, Parts};
use crate::view::observe::{Difference, Question};

/// Longest value that is shown whole.
const SHOWN: usize = 60;
/// Most names that are listed.
const NAMES: usize = 3;

/// Why there is no result of exactly the key that a step has, where that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// There was one, and it was pruned.
    Removed,
    /// The build before came to the same and did not end well.
    Failed,
}

impl Gone {
    fn sentence(self) -> &'static str {
        match self {
            Self::Removed => "its result was removed from the store",
            Self::Failed => "its earlier run failed or was stopped",
        }
    }
}

/// What is known of a step and of what it was before.
pub(super) struct Facts<'a> {
    /// The parts of its key.
    pub new: &'a Parts,
    /// Those that it had in the build before.
    pub old: Option<&'a Parts>,
    /// What made each layer of its root, lowest first.
    pub origins: &'a [String],
    /// The parts of what its process is given, and was given then, where these
    /// are not the same.
    pub given: Option<(&'a Parts, &'a Parts)>,
    /// What is known of earlier executions; of the first difference where the
    /// process sees it, and how it came to be.
    pub seen: Option<(&'a Sight, Option<&'a str>, Option<&'a Detail>)>,
    /// What became of an earlier result of this very key.
    pub gone: Option<Gone>,
    /// Why what it looks at is not recorded, where it is a process and that is so.
    pub unwatched: Option<&'a str>,
}

/// The sentence for a step that runs.
#[must_use]
pub(super) fn reason(miss: &Miss, facts: &Facts<'_>) -> String {
    match miss {
        Miss::Checked(_) => {
            "its result stands, and is made again to compare (--paranoid)".to_owned()
        }
        Miss::Forbidden => "reuse is forbidden by --no-cache".to_owned(),
        Miss::Retest => "tests are forced by --retest".to_owned(),
        Miss::TooOld { age, max } => {
            format!("its result is {} old, more than max_age {}", span(*age), span(max.as_secs()))
        }
        Miss::NoRecord => no_record(facts),
    }
}

fn no_record(facts: &Facts<'_>) -> String {
    let Facts { new, old, origins, given, seen, gone, unwatched } = facts;
    if let Some(gone) = gone {
        return gone.sentence().to_owned();
    }
    match (seen, old) {
        (Some((Sight::Evicted, ..)), _) => Gone::Removed.sentence().to_owned(),
        (Some((Sight::Differs(_, differences), place, detail)), _) if !differences.is_empty() => {
            differs(differences, *place, *detail)
        }
        (_, None) => "no earlier build of this recipe came to it".to_owned(),
        (_, Some(old)) => {
            let first = new.first_difference(old);
            // What it stands on would not have made it run, had it been given the same.
            let first = match given.and_then(|(new, old)| new.first_difference(old)) {
                Some(given) if first.as_ref().is_none_or(is_ground) => Some(given),
                _ => first,
            };
            match (first, unwatched) {
                // It might have been reused, had it been watched.
                (Some(difference), Some(why)) if is_ground(&difference) => {
                    let what = sentence(difference, origins);
                    format!("{what}; what it looks at is not recorded ({why})")
                }
                (Some(difference), _) => sentence(difference, origins),
                (None, _) => "its result is gone from the store".to_owned(),
            }
        }
    }
}

/// Whether it is what a process stands on that differs, not what it is given.
fn is_ground(difference: &key::Difference<'_>) -> bool {
    let (key::Difference::Changed { name, .. }
    | key::Difference::Added { name, .. }
    | key::Difference::Removed { name, .. }) = difference;
    name.starts_with("layer ") || name.starts_with("content of mount ")
}

/// The sentence for a step whose result stands.
#[must_use]
pub(super) fn stands() -> String {
    "nothing that it depends on has changed".to_owned()
}

/// The sentence for a step that has the key of one that this build ran.
#[must_use]
pub(super) fn made_alike() -> String {
    "a step of this build that does the same on the same content made its result".to_owned()
}

/// The sentence for a step whose result stands although something changed.
#[must_use]
pub(super) fn unseen(new: &Parts, then: Option<&Parts>, origins: &[String]) -> String {
    match then.and_then(|then| new.first_difference(then)) {
        Some(difference) => {
            format!("{}; it looks at nothing of that", sentence(difference, origins))
        }
        None => "all that it looks at is as it was".to_owned(),
    }
}

/// The sentence for one whose result would stand, if these made what they made.
#[must_use]
pub(super) fn hangs_on(steps: &[String], watched: bool) -> String {
    let names = steps.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" and ");
    let (leave, make) = if steps.len() == 1 { ("leaves", "makes") } else { ("leave", "make") };
    if watched {
        format!("would be reused if {names} {leave} what it looks at as it did last time")
    } else {
        format!("would stand if {names} {make} again what was made last time")
    }
}

/// What a step sees now that it did not see before.
pub(super) fn differs(
    differences: &[Difference],
    place: Option<&str>,
    detail: Option<&Detail>,
) -> String {
    let Some(first) = differences.first() else { return String::new() };
    let Difference { tree, path, question, is_new, is_gone } = first;
    let path = match (place, tree) {
        (Some(place), _) => place.to_owned(),
        (None, 0) => path.display(),
        (None, _) => format!("{} of a mount", path.display()),
    };
    let what = match (question, detail) {
        (Question::Content, Some(Detail::Text { added, removed, .. })) => {
            format!("it reads {path}, which changed (+{added} -{removed} lines)")
        }
        (Question::Content, _) => format!("it reads {path}, which changed"),
        (Question::Link, Some(Detail::Target { from, to })) => {
            format!("it follows {path}, which leads to {} instead of {}", short(to), short(from))
        }
        (Question::Link, _) => format!("it follows {path}, which leads elsewhere"),
        (Question::List, Some(Detail::Names { came, went }))
            if !came.is_empty() || !went.is_empty() =>
        {
            format!("it lists {path}, {}", moved(came, went))
        }
        (Question::List, _) => format!("it lists {path}, in which names changed"),
        (Question::Node, _) if *is_new => format!("it looks for {path}, which is new"),
        (Question::Node, _) if *is_gone => format!("it looks for {path}, which is gone"),
        (Question::Node, Some(Detail::Metadata(fields))) if !fields.is_empty() => {
            let of = |(what, from, to): &(&str, String, String)| {
                format!("{what} changed from {} to {}", short(from), short(to))
            };
            let fields: Vec<String> = fields.iter().map(of).collect();
            format!("it looks at {path}, whose {}", fields.join(" and "))
        }
        (Question::Node, _) => {
            format!("it looks at {path}, whose type, size, mode, owner or time changed")
        }
    };
    let others: BTreeSet<_> = differences.iter().map(|other| (other.tree, &other.path)).collect();
    match others.len() - 1 {
        0 => what,
        more => format!("{what} (and {more} more)"),
    }
}

/// Names that came and went.
fn moved(came: &[String], went: &[String]) -> String {
    let list = |names: &[String]| {
        let shown: Vec<&str> = names.iter().take(NAMES).map(String::as_str).collect();
        match names.len().saturating_sub(NAMES) {
            0 => shown.join(", "),
            more => format!("{} and {more} more", shown.join(", ")),
        }
    };
    match (came, went) {
        (came, []) => format!("where {} came", list(came)),
        ([], went) => format!("where {} went", list(went)),
        (came, went) => format!("where {} came and {} went", list(came), list(went)),
    }
}

pub(super) fn sentence(difference: key::Difference<'_>, origins: &[String]) -> String {
    match difference {
        key::Difference::Changed { name, old, new } if is_opaque(old) || is_opaque(new) => {
            format!("{} changed", with_origin(name, origins))
        }
        key::Difference::Changed { name, old, new } => {
            format!("{name} changed from `{}` to `{}`", short(old), short(new))
        }
        key::Difference::Added { name, new } if is_opaque(new) => {
            format!("{} is new", with_origin(name, origins))
        }
        key::Difference::Added { name, new } => format!("{name} is new: `{}`", short(new)),
        key::Difference::Removed { name, .. } => format!("{} is gone", with_origin(name, origins)),
    }
}

fn is_opaque(value: &str) -> bool {
    value.starts_with("sha256:") || value.starts_with("blake3:")
}

fn with_origin(name: &str, origins: &[String]) -> String {
    let number = name.strip_prefix("layer ").and_then(|n| n.parse::<usize>().ok());
    let Some(number) = number else { return name.to_owned() };
    match number.checked_sub(1).and_then(|at| origins.get(at)) {
        // A base is called `from ...` already.
        Some(origin) => {
            let origin = origin.strip_prefix("from ").unwrap_or(origin);
            format!("{name} of its root (from {origin})")
        }
        None => format!("{name} of its root"),
    }
}

fn short(value: &str) -> String {
    let line = value.lines().next().unwrap_or_default();
    let cut: String = line.chars().take(SHOWN).collect();
    if cut.len() < value.len() { format!("{cut}…") } else { cut }
}

fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::layer::LayerPath;

    fn parts(list: &[(&str, &str)]) -> Parts {
        let mut parts = Parts::new();
        for (name, value) in list {
            parts.push(*name, value);
        }
        parts
    }

    fn facts<'a>(new: &'a Parts, old: Option<&'a Parts>, origins: &'a [String]) -> Facts<'a> {
        Facts { new, old, origins, given: None, seen: None, gone: None, unwatched: None }
    }

    #[test]
    fn what_a_process_is_given_is_named_before_what_it_stands_on() {
        let (old, new) = (parts(&[("layer 1", "sha256:aa")]), parts(&[("layer 1", "sha256:bb")]));
        let (was, is) = (parts(&[("ids", "1:1 1")]), parts(&[("ids", "2:2 2")]));
        let told = |given| {
            let facts = Facts { given, ..facts(&new, Some(&old), &[]) };
            reason(&Miss::NoRecord, &facts)
        };
        assert_eq!(told(None), "layer 1 of its root changed");
        assert_eq!(told(Some((&is, &was))), "ids changed from `1:1 1` to `2:2 2`");
        let unwatched = Facts { unwatched: Some("trace: off"), ..facts(&new, Some(&old), &[]) };
        assert_eq!(
            reason(&Miss::NoRecord, &unwatched),
            "layer 1 of its root changed; what it looks at is not recorded (trace: off)"
        );
    }

    #[test]
    fn a_difference_is_told_with_what_is_known_of_it() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let fields = vec![("mode", "0644".to_owned(), "0600".to_owned())];
        let text = Detail::Text { added: 2, removed: 1, diff: String::new() };
        let table = [
            (Question::Content, text, "it reads /a, which changed (+2 -1 lines)"),
            (Question::Content, Detail::Forgotten, "it reads /a, which changed"),
            (
                Question::Node,
                Detail::Metadata(fields),
                "it looks at /a, whose mode changed from 0644 to 0600",
            ),
            (
                Question::List,
                Detail::Names { came: names(&["b", "c", "d", "e"]), went: names(&["f"]) },
                "it lists /a, where b, c, d and 1 more came and f went",
            ),
            (
                Question::Link,
                Detail::Target { from: "b".to_owned(), to: "c".to_owned() },
                "it follows /a, which leads to c instead of b",
            ),
        ];
        for (question, detail, told) in table {
            let path = LayerPath::new("a").expect("a plain path");
            let one = Difference { tree: 0, path, question, is_new: false, is_gone: false };
            assert_eq!(differs(std::slice::from_ref(&one), Some("/a"), Some(&detail)), told);
            let two = [one.clone(), Difference { tree: 1, ..one }];
            assert_eq!(differs(&two, None, Some(&detail)), format!("{told} (and 1 more)"));
        }
    }

    #[test]
    fn the_sentence_names_what_differs() {
        let old = parts(&[("command", "make"), ("layer 1", "sha256:aa")]);
        let origins = ["copy `. /app`".to_owned()];
        let because = |new: &Parts| reason(&Miss::NoRecord, &facts(new, Some(&old), &origins));
        let command = parts(&[("command", "make all"), ("layer 1", "sha256:aa")]);
        assert_eq!(because(&command), "command changed from `make` to `make all`");
        let layer = parts(&[("command", "make"), ("layer 1", "sha256:bb")]);
        assert_eq!(because(&layer), "layer 1 of its root (from copy `. /app`) changed");
        assert_eq!(
            because(&parts(&[("command", "make")])),
            "layer 1 of its root (from copy `. /app`) is gone"
        );
        assert!(because(&old).contains("gone from the store"));
        let command = |gone| {
            let facts = Facts { gone: Some(gone), ..facts(&command, Some(&old), &[]) };
            reason(&Miss::NoRecord, &facts)
        };
        assert_eq!(command(Gone::Removed), "its result was removed from the store");
        assert_eq!(command(Gone::Failed), "its earlier run failed or was stopped");
        let old_age = Miss::TooOld { age: 700_000, max: Duration::from_secs(604_800) };
        let told = reason(&old_age, &facts(&old, None, &[]));
        assert_eq!(told, "its result is 8d old, more than max_age 7d");
    }
}
