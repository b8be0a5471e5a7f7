//! Builds the recipe in a directory and follows the build with a sink of its
//! own: `build_recipe DIRECTORY STORE`.
//!
//! What to look at: [`Sink`] (called from many threads, must not dawdle), how
//! a mistake in a recipe is told with its place, and `runner_main()`.

#![expect(clippy::disallowed_macros, reason = "an example prints what it finds")]

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex};

use builder_core::digest::VertexId;
use builder_core::engine::{BuildRequest, Engine};
use builder_core::event::{Event, Sink, Status, Stream};
use builder_core::exec::{Cancel, RunnerPath, runner_main};
use builder_core::recipe::{self, Params};

/// Tells each step that ended, and what it wrote if it ran.
#[derive(Default)]
struct Teller {
    names: Mutex<HashMap<VertexId, String>>,
}

impl Teller {
    fn name(&self, vertex: &VertexId) -> String {
        self.names.lock().expect("no holder panics").get(vertex).cloned().unwrap_or_default()
    }
}

impl Sink for Teller {
    fn event(&self, event: Event) {
        match event {
            // The first event: later ones name vertices by their ids only.
            Event::Planned { vertices } => {
                let mut names = self.names.lock().expect("no holder panics");
                names.extend(vertices.into_iter().map(|vertex| (vertex.id, vertex.name)));
            }
            // Bytes as they were written: here they are simply passed on.
            Event::Output { stream: Stream::Stdout, bytes, .. } => {
                print!("{}", String::from_utf8_lossy(&bytes));
            }
            Event::Finished { vertex, status, reason, .. } => {
                let word = match status {
                    Status::Cached => "cached",
                    Status::Reused => "reused",
                    Status::Ran => "ran",
                    Status::Failed(_) => "failed",
                    Status::Canceled => "canceled",
                };
                println!("{word}: {} ({reason})", self.name(&vertex));
            }
            _ => {}
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // First of all: to run a step, the library starts this same executable
    // again, and then this call does not return.
    runner_main();

    let arguments: Vec<String> = std::env::args().collect();
    let [_, directory, store] = &arguments[..] else {
        return Err("usage: build_recipe DIRECTORY STORE".into());
    };
    let context = Path::new(directory).canonicalize()?;
    let file = context.join("recipe.yaml");
    let text = std::fs::read_to_string(&file)?;
    // Parsing reads nothing but the text; all mistakes come at once.
    let loaded = recipe::load(&text, &file, &context, &Params::default()).map_err(|mistakes| {
        let place = |d: &builder_core::frontend::Diagnostic| match &d.location {
            Some(at) => format!("{}:{}:{}: {}", at.file.display(), at.line, at.column, d.message),
            None => d.message.clone(),
        };
        mistakes.iter().map(place).collect::<Vec<_>>().join("\n")
    })?;

    let engine = Engine::builder(store)
        .runner(RunnerPath::CurrentExe)
        .sink(Arc::new(Teller::default()))
        .build()?;
    let request = BuildRequest {
        recipe: loaded.recipe_id,
        tags: vec!["example:latest".to_owned()],
        ..BuildRequest::new(loaded.plan)
    };
    // Another thread, or a signal handler, may call `cancel()` on a clone.
    let cancel = Cancel::new();
    let built = engine.build_blocking(&request, &cancel)?;
    println!("built {} {}", built.tags[0], built.digest);
    Ok(())
}
