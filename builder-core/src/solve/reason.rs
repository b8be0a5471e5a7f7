//! Why a step runs, in one sentence: pure.
//!
//! In: what was decided, the parts of the key, those of the nearest earlier
//! build. Out: text for progress, metadata and `plan`.

use super::decide::Miss;
use super::observed::Sight;
use crate::plan::key::{self, Parts};
use crate::view::observe::{Difference, Question};

/// Longest value that is shown whole.
const SHOWN: usize = 60;

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

/// The sentence for a step that runs. `origins` names what made each layer of
/// the step's root, lowest first.
#[must_use]
pub(super) fn reason(
    miss: &Miss,
    new: &Parts,
    old: Option<&Parts>,
    origins: &[String],
    (sight, gone): (Option<&Sight>, Option<Gone>),
) -> String {
    match miss {
        Miss::Checked(_) => {
            "its result stands, and is made again to compare (--paranoid)".to_owned()
        }
        Miss::Forbidden => "reuse is forbidden by --no-cache".to_owned(),
        Miss::Retest => "tests are forced by --retest".to_owned(),
        Miss::TooOld { age, max } => {
            format!("its result is {} old, more than max_age {}", span(*age), span(max.as_secs()))
        }
        Miss::NoRecord if gone.is_some() => gone.map_or("", Gone::sentence).to_owned(),
        Miss::NoRecord => match (sight, old) {
            (Some(Sight::Evicted), _) => Gone::Removed.sentence().to_owned(),
            (Some(Sight::Differs(differences)), _) if !differences.is_empty() => {
                differs(differences)
            }
            (_, None) => "no earlier build of this recipe came to it".to_owned(),
            (_, Some(old)) => match new.first_difference(old) {
                Some(difference) => sentence(difference, origins),
                None => "its result is gone from the store".to_owned(),
            },
        },
    }
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

/// What a step sees now that it did not see before.
pub(super) fn differs(differences: &[Difference]) -> String {
    let Some((first, rest)) = differences.split_first() else { return String::new() };
    let Difference { tree, path, question, is_new, is_gone } = first;
    let path = match tree {
        0 => path.display(),
        _ => format!("{} of a mount", path.display()),
    };
    let what = match question {
        Question::Content => format!("it reads {path}, which changed"),
        Question::Link => format!("it follows {path}, which leads elsewhere"),
        Question::List => format!("it lists {path}, in which names changed"),
        Question::Node if *is_new => format!("it looks for {path}, which is new"),
        Question::Node if *is_gone => format!("it looks for {path}, which is gone"),
        Question::Node => {
            format!("it looks at {path}, whose type, size, mode, owner or time changed")
        }
    };
    match rest.len() {
        0 => what,
        more => format!("{what} (and {more} more)"),
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

    fn parts(list: &[(&str, &str)]) -> Parts {
        let mut parts = Parts::new();
        for (name, value) in list {
            parts.push(*name, value);
        }
        parts
    }

    #[test]
    fn the_sentence_names_what_differs() {
        let old = parts(&[("command", "make"), ("layer 1", "sha256:aa")]);
        let origins = ["copy `. /app`".to_owned()];
        let because =
            |new: &Parts| reason(&Miss::NoRecord, new, Some(&old), &origins, (None, None));
        let command = parts(&[("command", "make all"), ("layer 1", "sha256:aa")]);
        assert_eq!(because(&command), "command changed from `make` to `make all`");
        let layer = parts(&[("command", "make"), ("layer 1", "sha256:bb")]);
        assert_eq!(because(&layer), "layer 1 of its root (from copy `. /app`) changed");
        assert_eq!(
            because(&parts(&[("command", "make")])),
            "layer 1 of its root (from copy `. /app`) is gone"
        );
        assert!(because(&old).contains("gone from the store"));
        let command = |gone| reason(&Miss::NoRecord, &command, Some(&old), &[], (None, Some(gone)));
        assert_eq!(command(Gone::Removed), "its result was removed from the store");
        assert_eq!(command(Gone::Failed), "its earlier run failed or was stopped");
        let old_age = Miss::TooOld { age: 700_000, max: Duration::from_secs(604_800) };
        assert_eq!(
            reason(&old_age, &old, None, &[], (None, None)),
            "its result is 8d old, more than max_age 7d"
        );
    }
}
