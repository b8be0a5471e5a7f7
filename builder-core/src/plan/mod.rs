//! The plan: a graph of content-addressed operations.
//!
//! In: operations from a frontend. Out: a [`Plan`] whose vertices are in
//! topological order, each with an id that is the hash of what it does and of
//! its inputs' ids. Two equal definitions are one vertex.
//!
//! A plan is pure data: making one touches no file, and nothing below it knows
//! what language it was written in.

mod encode;
mod graph;
pub mod key;
mod mode;
pub mod op;
mod platform;
mod signal;

pub use graph::{Location, Plan, PlanBuilder, Target, TargetTest, Vertex, VertexMeta};
pub use op::HistoryLine;
pub use signal::is_signal;
