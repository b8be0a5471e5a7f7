//! The set of packages that a base consists of.
//!
//! In: all that can be installed, and what is asked for. Out: the set, closed
//! under `Pre-Depends` and `Depends`, without conflicts. The roots are those of
//! `mmdebstrap --variant=minbase`: essential packages, those of priority
//! `required`, `apt`, and the included ones. Of alternatives the first that can
//! be met is taken, unless one is in the set already; of the providers of a
//! virtual package the one of the highest priority, then the first by name.
//!
//! Limitations: no backtracking. A choice that leads to a conflict later is an
//! error that names both packages; `include` one of the alternatives then.

use std::collections::{BTreeMap, VecDeque};

use super::DebianError;
use super::index::Universe;
use super::relation::{self, Relation};
use super::version;

/// Picks the packages; indices into the universe, sorted by package name.
pub(super) fn solve(
    universe: &Universe<'_>,
    include: &[String],
) -> Result<Vec<usize>, DebianError> {
    let mut solver = Solver {
        universe,
        chosen: BTreeMap::new(),
        queue: VecDeque::new(),
        because: BTreeMap::new(),
    };
    for wanted in include {
        solver.root(wanted)?;
    }
    for name in universe.names() {
        let Some(at) = universe.candidate(name) else { continue };
        let package = &universe.packages[at];
        if package.essential || package.priority == "required" || name == "apt" {
            solver.choose(at, None);
        }
    }
    if !solver.chosen.contains_key("apt") {
        return Err(solver.refuse("apt".into(), "no suite has it".into(), None));
    }
    while let Some(at) = solver.queue.pop_front() {
        solver.expand(at)?;
    }
    solver.check_conflicts()?;
    Ok(solver.chosen.into_values().collect())
}

struct Solver<'u, 'a> {
    universe: &'u Universe<'a>,
    chosen: BTreeMap<&'a str, usize>,
    queue: VecDeque<usize>,
    /// Which package brought another in.
    because: BTreeMap<&'a str, &'a str>,
}

impl<'a> Solver<'_, 'a> {
    /// Takes `name` or `name=version` from the recipe; of several versions that
    /// fit, the highest.
    fn root(&mut self, wanted: &str) -> Result<(), DebianError> {
        let (name, version) = match wanted.split_once('=') {
            Some((name, version)) => (name, Some(version)),
            None => (wanted, None),
        };
        let found = match version {
            None => self.universe.candidate(name).or_else(|| {
                let providers = self.universe.providers(&Relation::parse(name)?);
                (providers.len() == 1).then(|| providers[0])
            }),
            Some(pattern) => {
                let version = |at: &usize| self.universe.packages[*at].version;
                let all = self.universe.versions(name).iter().copied();
                all.filter(|at| fits(pattern, version(at))).reduce(|best, other| {
                    let newer = version::compare(version(&other), version(&best)).is_gt();
                    if newer { other } else { best }
                })
            }
        };
        let at = found.ok_or_else(|| self.refuse(wanted.into(), self.why_absent(name), None))?;
        match self.chosen.get(self.universe.packages[at].name) {
            Some(other) if *other != at => {
                Err(self.refuse(wanted.into(), "another version is included too".into(), None))
            }
            _ => {
                self.choose(at, None);
                Ok(())
            }
        }
    }

    fn why_absent(&self, name: &str) -> String {
        let versions = self.universe.versions(name);
        if versions.is_empty() {
            return "no suite has it".into();
        }
        let versions: Vec<_> =
            versions.iter().map(|at| self.universe.packages[*at].version).collect();
        format!("the suites have {}", versions.join(", "))
    }

    /// Adds a package, unless one of that name is in.
    fn choose(&mut self, at: usize, because: Option<&'a str>) {
        let name = self.universe.packages[at].name;
        if self.chosen.contains_key(name) {
            return;
        }
        self.chosen.insert(name, at);
        self.queue.push_back(at);
        if let Some(because) = because {
            self.because.insert(name, because);
        }
    }

    /// Chooses what a package needs.
    fn expand(&mut self, at: usize) -> Result<(), DebianError> {
        let package = &self.universe.packages[at];
        for field in [package.pre_depends, package.depends] {
            let groups = relation::groups(field).ok_or_else(|| {
                self.refuse(package.name.into(), format!("malformed relation `{field}`"), None)
            })?;
            for group in groups {
                self.meet(&group, package.name)?;
            }
        }
        Ok(())
    }

    /// Meets one group of alternatives.
    fn meet(&mut self, group: &[Relation<'_>], needed_by: &'a str) -> Result<(), DebianError> {
        let met = |wanted: &Relation<'_>| {
            self.chosen.values().any(|at| self.universe.fulfils(*at, wanted))
        };
        if group.iter().any(met) {
            return Ok(());
        }
        let found = group.iter().flat_map(|wanted| self.options(wanted)).next();
        match found {
            Some(at) => {
                self.choose(at, Some(needed_by));
                Ok(())
            }
            None => {
                let names: Vec<String> = group.iter().map(ToString::to_string).collect();
                let reason = group.first().map_or_else(String::new, |r| self.why_absent(r.name));
                Err(self.refuse(names.join(" | "), reason, Some(needed_by)))
            }
        }
    }

    /// What could meet one alternative, best first.
    fn options(&self, wanted: &Relation<'_>) -> Vec<usize> {
        let fits = |at: &usize| {
            !self.chosen.contains_key(self.universe.packages[*at].name)
                && self.universe.fulfils(*at, wanted)
                && !self.excluded(*at)
        };
        let real = self.universe.candidate(wanted.name);
        real.into_iter().chain(self.universe.providers(wanted)).filter(fits).collect()
    }

    /// Whether a package and the chosen ones exclude each other.
    fn excluded(&self, at: usize) -> bool {
        let clash = |a: usize, b: usize| self.clash(a, b).is_some();
        self.chosen.values().any(|other| clash(at, *other) || clash(*other, at))
    }

    /// The relation by which `a` excludes `b`.
    fn clash(&self, a: usize, b: usize) -> Option<String> {
        let (one, other) = (&self.universe.packages[a], &self.universe.packages[b]);
        if one.name == other.name || (one.conflicts.is_empty() && one.breaks.is_empty()) {
            return None;
        }
        [(one.conflicts, "conflicts"), (one.breaks, "breaks")].into_iter().find_map(
            |(field, verb)| {
                let groups = relation::groups(field)?;
                let hit = groups.iter().flatten().find(|r| self.universe.fulfils(b, r))?;
                Some(format!("{verb}: {hit}"))
            },
        )
    }

    fn check_conflicts(&self) -> Result<(), DebianError> {
        for a in self.chosen.values() {
            for b in self.chosen.values() {
                if let Some(relation) = self.clash(*a, *b) {
                    return Err(DebianError::Conflict {
                        package: self.universe.packages[*a].name.into(),
                        other: self.universe.packages[*b].name.into(),
                        relation,
                    });
                }
            }
        }
        Ok(())
    }

    fn refuse(&self, wanted: String, reason: String, needed_by: Option<&str>) -> DebianError {
        let mut path: Vec<String> = Vec::new();
        let mut next = needed_by;
        while let Some(name) = next {
            path.push(name.to_owned());
            next = self.because.get(name).copied();
        }
        path.reverse();
        DebianError::Unsatisfiable { wanted, reason, path }
    }
}

/// Whether a version is as asked for; `*` stands for any text, as for apt.
fn fits(pattern: &str, version: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == version };
    let Some(mut left) = version.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().expect("a split has a last part");
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, more: &str) -> String {
        format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: pool/{name}.deb\n\
             Size: 1\nSHA256: {}\n{more}\n\n",
            "0".repeat(64)
        )
    }

    fn solved(index: &str, include: &[&str]) -> Result<Vec<String>, DebianError> {
        let mut universe = Universe::default();
        universe.add(index, "test", "amd64", 0)?;
        let include: Vec<String> = include.iter().map(|s| (*s).to_owned()).collect();
        let set = solve(&universe, &include)?;
        let show = |at: usize| {
            let p = &universe.packages[at];
            format!("{}={}", p.name, p.version)
        };
        Ok(set.into_iter().map(show).collect())
    }

    fn base() -> String {
        package("apt", "1", "Depends: libc")
            + &package("libc", "2", "")
            + &package("extra", "1", "")
    }

    #[test]
    fn essential_required_and_apt_are_taken_with_dependencies_only() {
        let index = base()
            + &package("bash", "1", "Essential: yes\nPre-Depends: readline (>= 8)")
            + &package("readline", "8", "")
            + &package("tz", "1", "Priority: required\nRecommends: extra");
        let set = solved(&index, &[]).expect("solvable");
        assert_eq!(set, ["apt=1", "bash=1", "libc=2", "readline=8", "tz=1"]);
    }

    #[test]
    fn alternatives_take_the_first_that_can_be_met_unless_one_is_in() {
        let index = base()
            + &package("x", "1", "Depends: absent | old (>= 9) | second | third")
            + &package("old", "1", "")
            + &package("second", "1", "")
            + &package("third", "1", "");
        assert!(solved(&index, &["x"]).expect("solvable").contains(&"second=1".into()));
        let with_third = solved(&index, &["x", "third"]).expect("solvable");
        assert!(with_third.contains(&"third=1".into()) && !with_third.contains(&"second=1".into()));
    }

    #[test]
    fn virtual_packages_are_met_by_priority_and_version() {
        let index = base()
            + &package("x", "1", "Depends: awk")
            + &package("v", "1", "Depends: awk (>= 2)")
            + &package("aaa", "1", "Priority: optional\nProvides: awk (= 3)")
            + &package("mawk", "1", "Priority: important\nProvides: awk");
        assert!(solved(&index, &["x"]).expect("solvable").contains(&"mawk=1".into()));
        assert!(solved(&index, &["v"]).expect("solvable").contains(&"aaa=1".into()));
    }

    #[test]
    fn the_highest_version_wins_and_one_can_be_asked_for() {
        let index = base() + &package("x", "1.9", "") + &package("x", "1.10", "");
        assert!(solved(&index, &["x"]).expect("solvable").contains(&"x=1.10".into()));
        assert!(solved(&index, &["x=1.9"]).expect("solvable").contains(&"x=1.9".into()));
        assert!(solved(&index, &["x=1.*"]).expect("solvable").contains(&"x=1.10".into()));
        assert!(solved(&index, &["x=*9"]).expect("solvable").contains(&"x=1.9".into()));
        assert!(solved(&index, &["x=1.9*9"]).is_err());
        assert!(solved(&index, &["x=3"]).is_err());
        assert!(solved(&index, &["x=1.9", "x"]).is_err());
    }

    #[test]
    fn what_cannot_be_met_or_excludes_each_other_is_an_error_with_its_path() {
        let index = base()
            + &package("x", "1", "Depends: y")
            + &package("y", "1", "Depends: z (>= 2)")
            + &package("z", "1", "")
            + &package("c", "1", "Conflicts: extra");
        match solved(&index, &["x"]) {
            Err(DebianError::Unsatisfiable { path, .. }) => assert_eq!(path, ["x", "y"]),
            other => panic!("{other:?}"),
        }
        assert!(matches!(solved(&index, &["c", "extra"]), Err(DebianError::Conflict { .. })));
        assert!(matches!(solved("", &[]), Err(DebianError::Unsatisfiable { .. })));
    }
}
