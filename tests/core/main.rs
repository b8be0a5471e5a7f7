//! Tests of the library against the world.

mod recipe;
