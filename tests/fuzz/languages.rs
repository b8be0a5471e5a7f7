//! The floors of `builder-core` that are pure text, and the targets, as a crate
//! that is built in a minute. That the languages need nothing of the floors
//! above is held by `tests/core/floors.rs`.

// The targets know the languages by the name of the whole.
extern crate self as builder_core;

#[path = "../../builder-core/src/digest/mod.rs"]
pub mod digest;
#[path = "../../builder-core/src/dockerfile/mod.rs"]
pub mod dockerfile;
#[path = "../../builder-core/src/frontend/mod.rs"]
pub mod frontend;
#[path = "../../builder-core/src/pattern/mod.rs"]
pub mod pattern;
#[path = "../../builder-core/src/plan/mod.rs"]
pub mod plan;
#[path = "../../builder-core/src/recipe/mod.rs"]
pub mod recipe;
pub mod targets;
