//! The smallest program that can be a runner: for an embedder whose own
//! executable cannot be, see `RunnerPath::Path`. The tests use it so.

fn main() -> std::process::ExitCode {
    builder_core::exec::runner_main();
    // Reached only when a person starts it.
    std::process::ExitCode::FAILURE
}
