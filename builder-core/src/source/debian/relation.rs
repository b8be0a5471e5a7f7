//! Relations between packages: `a (>= 1) | b, c:any`.
//!
//! In: the text of a `Depends`-like field. Out: its groups of alternatives.

use std::cmp::Ordering;
use std::fmt;

use super::version;

/// How a version is constrained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Earlier,
    EarlierOrEqual,
    Exactly,
    LaterOrEqual,
    Later,
}

/// One alternative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Relation<'a> {
    /// The package's name, real or virtual.
    pub(super) name: &'a str,
    /// What stands after `name:`.
    pub(super) arch: Option<&'a str>,
    version: Option<(Operator, &'a str)>,
}

impl<'a> Relation<'a> {
    /// Parses one alternative; `None` if it is none.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (head, constraint) = match text.split_once('(') {
            Some((head, rest)) => (head.trim(), Some(rest.trim().strip_suffix(')')?.trim())),
            None => (text.trim(), None),
        };
        let (name, arch) = match head.split_once(':') {
            Some((name, arch)) => (name, Some(arch)),
            None => (head, None),
        };
        let version = match constraint {
            Some(constraint) => Some(parse_constraint(constraint)?),
            None => None,
        };
        is_name(name).then_some(Self { name, arch, version })
    }

    /// Whether a version fulfils the constraint; without one, any does.
    pub(super) fn admits(&self, candidate: &str) -> bool {
        let Some((operator, wanted)) = self.version else { return true };
        let order = version::compare(candidate, wanted);
        match operator {
            Operator::Earlier => order == Ordering::Less,
            Operator::EarlierOrEqual => order != Ordering::Greater,
            Operator::Exactly => order == Ordering::Equal,
            Operator::LaterOrEqual => order != Ordering::Less,
            Operator::Later => order == Ordering::Greater,
        }
    }

    /// Whether something that provides the name fulfils this: an unversioned
    /// `Provides` fulfils unversioned relations only.
    pub(super) fn admits_provided(&self, provided: Option<&str>) -> bool {
        self.version.is_none() || provided.is_some_and(|version| self.admits(version))
    }

    /// For `Provides: name (= version)`: the version.
    pub(super) fn provided_version(&self) -> Option<&'a str> {
        self.version.map(|(_, version)| version)
    }
}

impl fmt::Display for Relation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if let Some(arch) = self.arch {
            write!(f, ":{arch}")?;
        }
        let Some((operator, version)) = self.version else { return Ok(()) };
        let sign = match operator {
            Operator::Earlier => "<<",
            Operator::EarlierOrEqual => "<=",
            Operator::Exactly => "=",
            Operator::LaterOrEqual => ">=",
            Operator::Later => ">>",
        };
        write!(f, " ({sign} {version})")
    }
}

fn parse_constraint(text: &str) -> Option<(Operator, &str)> {
    let signs = [
        ("<<", Operator::Earlier),
        ("<=", Operator::EarlierOrEqual),
        (">=", Operator::LaterOrEqual),
        (">>", Operator::Later),
        ("=", Operator::Exactly),
        ("<", Operator::EarlierOrEqual),
        (">", Operator::LaterOrEqual),
    ];
    let (sign, operator) = signs.into_iter().find(|(sign, _)| text.starts_with(sign))?;
    let version = text[sign.len()..].trim();
    (!version.is_empty()).then_some((operator, version))
}

/// Whether `text` may name a package: it becomes part of file names.
pub(super) fn is_name(text: &str) -> bool {
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'_');
    text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && text.len() <= 200
        && text.bytes().all(valid)
}

/// The groups of a relation field; each needs one of its alternatives. `None` if malformed.
pub(super) fn groups(text: &str) -> Option<Vec<Vec<Relation<'_>>>> {
    text.split(',')
        .map(str::trim)
        .filter(|group| !group.is_empty())
        .map(|group| group.split('|').map(Relation::parse).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_alternatives_versions_and_qualifiers_are_read() {
        let parsed = groups("a (>= 1:2-3) | b, c:any, d(<<4) ,").expect("valid");
        let shown: Vec<Vec<String>> =
            parsed.iter().map(|g| g.iter().map(ToString::to_string).collect()).collect();
        assert_eq!(shown, [vec!["a (>= 1:2-3)", "b"], vec!["c:any"], vec!["d (<< 4)"]]);
        assert!(parsed[0][0].admits("1:2-3") && !parsed[0][0].admits("2"));
        assert!(!parsed[0][0].admits_provided(None) && parsed[0][1].admits_provided(None));
    }

    #[test]
    fn malformed_relations_are_refused() {
        for bad in ["a (", "a ()", "a (>= )", "a (~ 1)", "| a", "../x", "a b", "a/b", "(= 1)"] {
            assert_eq!(groups(bad), None, "{bad}");
        }
    }
}
