//! Tests of the command line: one file per command or promise. Each runs the
//! real `phoenix` with a store and a home of its own.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "tests are told by their environment what may be skipped, and say what was"
)]

mod build;
mod certificates;
mod completions;
mod concurrent;
mod context_changes;
mod convert;
mod crash;
mod damaged_store;
mod dockerfile;
mod dockerfile_runs;
mod doctor;
mod exit_codes;
mod explain;
mod from_engine;
mod from_git;
mod full_disk;
mod help;
mod images;
mod init;
mod interrupt;
mod load;
mod no_test_forgotten;
mod phoenix;
mod plan;
mod platforms;
mod projects;
mod prune;
mod reasons;
mod rebase;
mod recipes;
mod registry;
mod remote;
mod run;
mod single_id;
mod ssh;
mod sshd;
mod step_errors;
mod validate;
mod watch;
mod workload;

#[path = "../support/mod.rs"]
mod support;
