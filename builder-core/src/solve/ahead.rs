//! Looks at the contexts of copies while the steps before them are decided.
//!
//! On a build where nothing changed most of the time goes to stats of the
//! context's files, one copy after the other; this does them on another core.
//! It changes no result: what it saw is what the copies would have seen.

use std::sync::atomic::{AtomicBool, Ordering};

use super::session::Session;
use crate::layer::LayerPath;
use crate::plan::op::{CopySource, FileOp, Op, Source};
use crate::plan::{Plan, Vertex};

/// Looks at what the copies among `vertices` name plainly, until `over`.
pub(super) fn look(session: &Session<'_>, plan: &Plan, vertices: &[&Vertex], over: &AtomicBool) {
    let stop = || over.load(Ordering::Relaxed) || session.stop.is_canceled();
    for vertex in vertices {
        let Op::File(FileOp::Copy(copy)) = &vertex.op else { continue };
        // What is left out may be large.
        if !copy.exclude.is_empty() {
            continue;
        }
        for source in &copy.sources {
            let CopySource::Path { input, path: source, .. } = source else { continue };
            let input = vertex.inputs.get(*input).and_then(|id| plan.vertex(*id));
            let Some(Op::Source(Source::Local { name: _, path, ignore })) =
                input.map(|input| &input.op)
            else {
                continue;
            };
            let Ok(context) = session.context(path, ignore) else { return };
            // A pattern names nothing itself, and is passed over.
            if let Ok(source) = LayerPath::new(source) {
                context.look_ahead(&source, &stop);
            }
        }
    }
}
