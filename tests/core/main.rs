//! Tests of the library against the world.

mod recipe;

#[path = "../support/mod.rs"]
mod support;

mod interop_docker;
mod interop_image;
