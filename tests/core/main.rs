//! Tests of `builder-core` as a whole: one file per topic.

mod contract_root;
mod debian;
mod floors;
mod identity;
mod oracle;
mod recipe;

#[path = "../support/mod.rs"]
mod support;

mod exec_crash;
mod exec_steps;
mod exec_support;
mod interop_docker;
mod interop_image;
mod seccomp_docker;
