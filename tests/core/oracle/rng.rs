//! Random numbers that stay the same for ever: a seed is a case.

use crate::mutate;

/// The generator of the mutations, with what a world is made by.
pub(crate) struct Rng(mutate::Rng);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        // Its states are a fixed step apart, so neighbouring seeds as they are,
        // or as multiples of that step, would give one stream from other places.
        let scattered = mutate::Rng::new(seed).below(usize::MAX);
        Self(mutate::Rng::new(scattered as u64))
    }

    /// At least 0, less than `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0.below(n)
    }

    /// True in one of `n` cases.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}
