//! Sources: what brings files in from outside.

pub mod debian;
