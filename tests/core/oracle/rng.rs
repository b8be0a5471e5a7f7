//! Random numbers that stay the same for ever: a seed is a case.

use crate::mutate;

/// The generator of the mutations, with what a world is made by.
pub(super) struct Rng(mutate::Rng);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(mutate::Rng::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// At least 0, less than `n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0.below(n)
    }

    /// True in one of `n` cases.
    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}
