//! Phoenix as a library: container images and golden images without a daemon.
//!
//! A base plus a recipe of steps becomes a content-addressed OCI image; what
//! nothing has changed for comes from the cache.
//!
//! ```
//! use builder_core::engine::{BuildRequest, Engine};
//! use builder_core::exec::{Cancel, RunnerPath};
//! use builder_core::plan::op::{FileOp, Op, Source};
//! use builder_core::plan::{PlanBuilder, Target, VertexMeta};
//!
//! // A program whose builds run processes calls this first in its `main`.
//! builder_core::exec::runner_main();
//!
//! let mut plan = PlanBuilder::new();
//! let base = plan.add(Op::Source(Source::Scratch), &[], VertexMeta::default());
//! let write = FileOp::Write {
//!     path: "/greeting".into(),
//!     content: b"hello".to_vec(),
//!     owner: None,
//!     mode: None,
//! };
//! let image = plan.add(Op::File(write), &[base], VertexMeta::default());
//! plan.target(Target {
//!     stage: "main".into(),
//!     vertex: image,
//!     tests: vec![],
//!     annotations: Default::default(),
//! });
//!
//! # let dir = tempfile::tempdir()?;
//! # let store = dir.path().join("store");
//! let engine = Engine::builder(store).runner(RunnerPath::CurrentExe).build()?;
//! let request = BuildRequest { tags: vec!["hello".into()], ..BuildRequest::new(plan.finish()) };
//! let built = engine.build_blocking(&request, &Cancel::new())?;
//! println!("{} {}", built.tags[0], built.digest);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Data flows down once: a frontend ([`recipe`]) parses and lowers to a
//! [`plan`]; the solver decides by [`cache`] keys what must run; `source`,
//! `fileop` and [`exec`] do the work on [`view`]s of [`layer`]s in the
//! [`store`]; [`output`] brings the image out. Progress goes to an
//! [`event::Sink`], errors come back as typed values. [`store`] tells what is
//! on disk.
//!
//! Three programs in `examples/` show more: `build_recipe` (a recipe from a
//! file, a sink of one's own), `plan_in_code` (as above, with config and an
//! OCI archive) and `read_image` (config, layers and files of an image).

pub mod cache;
pub mod cancel;
pub mod chain;
pub mod convert;
pub mod daemon;
pub mod digest;
pub mod dockerfile;
pub mod engine;
pub mod error;
pub mod event;
pub mod exec;
pub mod explain;
pub mod fileop;
pub mod frontend;
pub mod image;
pub mod layer;
pub mod output;
pub mod pattern;
pub mod plan;
pub mod recipe;
pub mod registry;
pub mod root;
pub mod rooted;
pub mod solve;
pub mod source;
pub mod store;
pub mod view;

#[cfg(test)]
#[path = "../../tests/fuzz/mutate.rs"]
#[expect(
    clippy::disallowed_methods,
    reason = "a test is told by its environment how long it goes on"
)]
mod mutate;
