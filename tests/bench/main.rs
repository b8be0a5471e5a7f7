//! Phoenix beside Docker (BuildKit) and Buildah, on workloads made here.
//!
//! In: names of workloads, options. Out: a table of seconds, ratios and peak
//! memory, with the aims beside what was measured. All that is compared is run
//! interleaved, and the fastest run of each counts: so what else the machine
//! does falls on all alike.
//!
//! Guards: nothing is left behind. Everything runs in a mount and a pid
//! namespace of its own, below one temporary directory (`confine`).
//!
//! Limitation: needs root. Docker's daemon is not a child of what is timed, so
//! its memory is not told.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "it is told by its environment where to work, makes files of its own, and prints a table"
)]

mod base;
mod confine;
mod error;
mod noise;
mod options;
mod peer;
mod process;
mod run;
mod table;
mod workload;

use std::process::ExitCode;

use clap::Parser as _;

use crate::options::Options;

fn main() -> ExitCode {
    // `cargo test --benches` starts this too, without `--bench`: it must not measure.
    if !std::env::args().any(|arg| arg == "--bench" || arg == confine::INSIDE) {
        println!("nothing is measured without `--bench`, which `cargo bench` gives");
        return ExitCode::SUCCESS;
    }
    let options = Options::parse();
    let result = match &options.inside {
        Some(dir) => run::run(&options, dir),
        None => confine::enter(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
