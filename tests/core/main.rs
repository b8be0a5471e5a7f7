//! Tests of `builder-core` as a whole: one file per topic.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "tests are told by their environment what may be skipped, and write files of their own"
)]

mod contract_root;
mod debian;
mod examples;
mod floors;
mod identity;
mod observed;
mod oracle;
mod parsers;
mod recipe;
mod reuse;

#[path = "../fuzz/mutate.rs"]
mod mutate;
#[path = "../support/mod.rs"]
mod support;
#[path = "../fuzz/targets/mod.rs"]
pub mod targets;

mod exec_crash;
mod exec_steps;
mod exec_support;
mod exec_wishes;
mod interop_docker;
mod interop_image;
mod oci_schema;
mod seccomp_docker;
