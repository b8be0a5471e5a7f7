//! What is done with one input, by libFuzzer and as a test (`tests/core`).
//!
//! In: any bytes. Out: nothing, or a panic where a promise does not hold.
//! Deterministic: the same bytes do the same.

mod dockerfile;
mod ignore;
mod lowered;
mod recipe;
mod words;

pub use dockerfile::dockerfile;
pub use ignore::ignore;
pub use recipe::recipe;
pub use words::words;
