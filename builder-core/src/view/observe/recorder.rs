//! Notes down what is asked while a step runs.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::answer::Blind;
use super::pathset::{Asked, MAX_PATHS, Pathset, Question};
use crate::layer::LayerPath;

/// Takes the questions of one step, from any thread.
///
/// Invariant: what [`Self::take`] gives holds every question that was answered,
/// or it gives nothing.
#[derive(Debug, Default)]
pub struct Recorder {
    blind: Option<Blind>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    trees: BTreeMap<u16, HashMap<LayerPath, Asked>>,
    void: Option<&'static str>,
}

impl Recorder {
    /// One that leaves a kind of question out, for a test of tests.
    #[doc(hidden)]
    #[must_use]
    pub fn blind_to(blind: Option<Blind>) -> Self {
        Self { blind, ..Self::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `tree` is going to be asked. Its root always is.
    pub fn begin(&self, tree: u16) {
        self.state().note(tree, &LayerPath::root(), Question::Node);
    }

    /// Notes a question, before it is answered. `found`: whether there is
    /// anything at that path.
    pub fn note(&self, tree: u16, path: &LayerPath, question: Question, found: bool) {
        let left_out = match self.blind {
            None => false,
            Some(Blind::Found) => question == Question::Node && found && !path.is_root(),
            Some(Blind::Absent) => !found,
            Some(Blind::Listed) => question == Question::List,
            Some(Blind::Link) => question == Question::Link,
            Some(Blind::Content) => question == Question::Content,
            Some(_) => false,
        };
        if !left_out {
            self.state().note(tree, path, question);
        }
    }

    /// What was noted is not all that the step may have seen.
    pub fn void(&self, why: &'static str) {
        self.state().void.get_or_insert(why);
    }

    /// What was asked.
    ///
    /// # Errors
    /// Why that is not known.
    pub fn take(&self) -> Result<Pathset, &'static str> {
        let state = std::mem::take(&mut *self.state());
        if let Some(why) = state.void {
            return Err(why);
        }
        if !state.trees.contains_key(&0) {
            return Err("its root was not served");
        }
        Ok(state.pathset())
    }

    /// What was asked so far; `None` once that is not all.
    #[must_use]
    pub fn so_far(&self) -> Option<Pathset> {
        let state = self.state();
        state.void.is_none().then(|| state.pathset())
    }
}

impl State {
    fn pathset(&self) -> Pathset {
        let mut pathset = Pathset::default();
        for (tree, paths) in &self.trees {
            for (path, asked) in paths {
                asked.questions().for_each(|question| pathset.add(*tree, path.clone(), question));
            }
        }
        pathset
    }

    fn note(&mut self, tree: u16, path: &LayerPath, question: Question) {
        let paths = self.trees.entry(tree).or_default();
        if let Some(asked) = paths.get_mut(path) {
            *asked = asked.and(question);
        } else if paths.len() < MAX_PATHS / 2 {
            paths.insert(path.clone(), Asked::default().and(question));
        } else {
            self.void.get_or_insert("it looks at too many paths");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_served_or_went_wrong_is_not_known() {
        let path = LayerPath::new("a").expect("a path");
        let recorder = Recorder::default();
        assert!(recorder.take().is_err());
        recorder.begin(0);
        recorder.note(0, &path, Question::Node, false);
        recorder.note(0, &path, Question::Node, false);
        let known = recorder.take().expect("all was seen");
        assert_eq!(known.len(), 2);
        recorder.begin(0);
        recorder.void("it broke");
        recorder.void("again");
        assert_eq!(recorder.take(), Err("it broke"));
    }
}
