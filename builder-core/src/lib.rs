//! Phoenix as a library.
#![allow(missing_docs, reason = "skeleton")]

pub mod cache;
pub mod digest;
pub mod engine;
pub mod error;
pub mod event;
pub mod exec;
pub mod fileop;
pub mod frontend;
pub mod image;
pub mod layer;
pub mod output;
pub mod plan;
pub mod recipe;
pub mod root;
pub mod rooted;
pub mod solve;
pub mod source;
pub mod store;
pub mod view;
