//! The order in which packages can be configured.
//!
//! In: the control files of a set that is closed under dependencies. Out:
//! indices: each package after those that it depends on, a cycle whole and at
//! once; the essential packages and all that they need before any other.
//!
//! Limitation: of alternatives all that are in the set count, whatever their
//! versions.

use std::collections::HashMap;

use super::control;
use super::relation;

/// A package as its order sees it.
#[derive(Debug, Default)]
pub(super) struct Ordered {
    essential: bool,
    /// A script of it runs before it is configured, and counts on its pre-dependencies.
    early: bool,
    /// Indices.
    needs: Vec<usize>,
}

/// Reads control files; beside each, whether there is a `preinst`.
pub(super) fn read(packages: &[(&str, bool)]) -> Vec<Ordered> {
    let fields: Vec<_> = packages
        .iter()
        .map(|(text, _)| control::paragraphs(text, "control").unwrap_or_default())
        .collect();
    let get = |at: usize, field| fields[at].first().and_then(|f| f.get(field)).unwrap_or("");
    let mut providers: HashMap<&str, Vec<usize>> = HashMap::new();
    for at in 0..packages.len() {
        providers.entry(get(at, "Package")).or_default().push(at);
        for provided in relation::groups(get(at, "Provides")).unwrap_or_default().iter().flatten() {
            providers.entry(provided.name).or_default().push(at);
        }
    }
    let needs = |at: usize, field| {
        let groups = relation::groups(get(at, field)).unwrap_or_default();
        let names = groups.into_iter().flatten().map(|wanted| wanted.name);
        names
            .flat_map(|name| providers.get(name).into_iter().flatten())
            .copied()
            .collect::<Vec<_>>()
    };
    let each = packages.iter().enumerate().map(|(at, (_, preinst))| Ordered {
        essential: get(at, "Essential").eq_ignore_ascii_case("yes"),
        early: *preinst && !get(at, "Pre-Depends").is_empty(),
        needs: [needs(at, "Pre-Depends"), needs(at, "Depends")].concat(),
    });
    each.collect()
}

/// The order.
pub(super) fn order(packages: &[Ordered]) -> Vec<usize> {
    let all: Vec<usize> = (0..packages.len()).collect();
    let essential = all.iter().copied().filter(|at| packages[*at].essential);
    let mut base: Vec<usize> = essential.collect();
    let mut done = vec![false; packages.len()];
    base = closure(packages, &base, &done);
    let mut order = Vec::new();
    for part in [base, all] {
        emit(packages, &part, &mut done, &mut order);
    }
    order
}

/// Appends a closed part: again and again what waits for nothing, and where all
/// wait, the smallest set that waits for nothing but itself.
fn emit(packages: &[Ordered], part: &[usize], done: &mut [bool], order: &mut Vec<usize>) {
    loop {
        let before = order.len();
        for &at in part {
            if !done[at] && packages[at].needs.iter().all(|need| done[*need] || *need == at) {
                done[at] = true;
                order.push(at);
            }
        }
        if order.len() > before {
            continue;
        }
        let waiting = part.iter().filter(|at| !done[**at]);
        let Some(mut cycle) =
            waiting.map(|at| closure(packages, &[*at], done)).min_by_key(Vec::len)
        else {
            return;
        };
        cycle.sort_by_key(|at| (!packages[*at].early, *at));
        for at in cycle {
            done[at] = true;
            order.push(at);
        }
    }
}

/// `roots` and all that they need and that is not done; sorted.
fn closure(packages: &[Ordered], roots: &[usize], done: &[bool]) -> Vec<usize> {
    let mut found = vec![false; packages.len()];
    let mut todo = roots.to_vec();
    while let Some(at) = todo.pop() {
        if !found[at] && !done[at] {
            found[at] = true;
            todo.extend(&packages[at].needs);
        }
    }
    (0..packages.len()).filter(|at| found[*at]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(controls: &[(&str, &str)]) -> Vec<String> {
        let texts: Vec<String> = controls
            .iter()
            .map(|(name, fields)| format!("Package: {name}\nVersion: 1\n{fields}"))
            .collect();
        let read = read(&texts.iter().map(|text| (text.as_str(), true)).collect::<Vec<_>>());
        order(&read).into_iter().map(|at| controls[at].0.to_owned()).collect()
    }

    #[test]
    fn what_is_needed_comes_first_and_the_essential_before_all_others() {
        let order = ordered(&[
            ("app", "Depends: lib (>= 2) | other, awk\n"),
            ("base", "Essential: yes\nPre-Depends: libc\n"),
            ("lib", "Depends: libc\n"),
            ("libc", ""),
            ("mawk", "Provides: awk\nDepends: zlib\n"),
            ("zlib", ""),
        ]);
        assert_eq!(order, ["libc", "base", "lib", "zlib", "mawk", "app"]);
    }

    #[test]
    fn a_cycle_stays_together_before_what_needs_it() {
        let order = ordered(&[
            ("a", "Depends: b\n"),
            ("b", "Depends: c\n"),
            ("c", "Pre-Depends: x\nDepends: b, c\n"),
            ("d", "Depends: a\n"),
            ("x", ""),
        ]);
        assert_eq!(order, ["x", "c", "b", "a", "d"]);
    }
}
