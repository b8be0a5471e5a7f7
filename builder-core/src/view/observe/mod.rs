//! What a tree was asked, and whether another tree gives the same answers.
//!
//! In: questions, as whoever serves or reads a tree notes them ([`Recorder`]).
//! Out: a [`Pathset`], and for any trees the [`Answers`] to it. Two trees that
//! give the same answers to all that a process asked are the same tree to that
//! process, whatever else they hold: the constructive traces of "Build systems
//! à la carte" (Mokhov et al. 2018), with the pathsets and the weak and strong
//! fingerprints of `BuildXL`.
//!
//! Invariant: an answer depends on everything that the served view shows to
//! whoever asks, and on nothing else (`answer` has the table). It is computed
//! from tables of contents: no file is read, unless the tree is a directory of
//! the host that was never hashed.

mod answer;
mod pathset;
mod recorder;
mod watched;

pub use answer::{Answer, Answers, Blind, Difference, is_absent};
pub use pathset::{Asked, Pathset, PathsetError, Question};
pub use recorder::Recorder;
pub use watched::Watched;

/// Raised when the same questions may be answered otherwise, or mean other ones.
pub const VERSION: u32 = 1;
