//! Which paths made steps run of late: pure, from the history of a recipe.

use std::collections::{BTreeMap, BTreeSet};

use crate::cache::{History, PastStep};
use crate::view::observe::Question;

/// A path, and what it made run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Often {
    /// Which tree: 0 is the root, the others are mounts.
    pub tree: u16,
    /// The path.
    pub path: String,
    /// What was asked of it.
    pub questions: BTreeSet<Question>,
    /// How many times a step ran and this was among what had changed.
    pub times: usize,
    /// How many of these times it was all that had changed.
    pub alone: usize,
    /// The steps.
    pub steps: BTreeSet<String>,
}

/// The paths that made steps run in the builds of `history`, of those that
/// `of` takes, the most frequent first.
pub fn often(history: &History, of: &dyn Fn(&PastStep) -> bool) -> Vec<Often> {
    let mut all: BTreeMap<(u16, &str), Often> = BTreeMap::new();
    let steps = history.builds.iter().flat_map(|build| &build.steps);
    for step in steps.filter(|step| !step.causes.is_empty() && of(step)) {
        let mut counted = BTreeSet::new();
        for cause in &step.causes {
            let place = (cause.tree, cause.path.as_str());
            let often = all.entry(place).or_insert_with(|| Often {
                tree: cause.tree,
                path: cause.path.clone(),
                questions: BTreeSet::new(),
                times: 0,
                alone: 0,
                steps: BTreeSet::new(),
            });
            often.questions.insert(cause.question);
            often.times += usize::from(counted.insert(place));
            often.steps.insert(step.name.clone());
        }
        if let (1, [place]) = (counted.len(), counted.iter().collect::<Vec<_>>().as_slice())
            && step.causes.len() == step.causes_in_all
            && let Some(often) = all.get_mut(place)
        {
            often.alone += 1;
        }
    }
    let mut all: Vec<Often> = all.into_values().collect();
    all.sort_by_key(|often| std::cmp::Reverse((often.times, often.alone)));
    all
}

#[cfg(test)]
mod tests {
    use super::super::step::tests::{build, step};
    use super::*;
    use crate::cache::Cause;

    fn ran(name: &str, causes: &[(&str, Question)]) -> PastStep {
        let cause = |(path, question): &(&str, Question)| Cause {
            tree: 0,
            path: (*path).to_owned(),
            question: *question,
            is_new: false,
            is_gone: false,
        };
        let causes: Vec<Cause> = causes.iter().map(cause).collect();
        PastStep { causes_in_all: causes.len(), causes, ..step("main", name) }
    }

    #[test]
    fn a_path_counts_once_for_each_time_that_a_step_ran() {
        let status = ("/var/lib/dpkg/status", Question::Content);
        let metadata = ("/var/lib/dpkg/status", Question::Node);
        let first =
            vec![ran("a", &[status, metadata]), ran("b", &[status, ("/x", Question::Node)])];
        let second = vec![ran("a", &[status]), ran("c", &[]), ran("d", &[("/x", Question::Node)])];
        let history = History { builds: vec![build(2, true, second), build(1, true, first)] };
        let told: Vec<(String, usize, usize, usize)> = often(&history, &|_| true)
            .into_iter()
            .map(|often| (often.path, often.times, often.alone, often.steps.len()))
            .collect();
        let wanted = [("/var/lib/dpkg/status", 3, 2, 2), ("/x", 2, 1, 2)];
        assert_eq!(told, wanted.map(|(p, times, alone, n)| (p.to_owned(), times, alone, n)));
        assert_eq!(often(&history, &|step| step.name == "d").len(), 1);
    }
}
