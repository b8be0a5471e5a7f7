//! JSON lines for programs: one object a line, schema 1.
//!
//! Every object has `event` and `at` (seconds since the build began). Fields
//! and events may be added within a schema number; nothing is renamed or
//! taken away. Digests are `algorithm:hex`; `step` is the step's id.
//!
//! | `event` | further fields |
//! |---|---|
//! | `begin` | `schema`, `version`: always the first line |
//! | `planned` | `steps`: `[{id, name, stage}]` in order |
//! | `started` | `step`, `reason` |
//! | `ahead` | `step`, `trial`: `began` before the steps above it have ended, or `taken`: its result is the step's, and its output follows |
//! | `progress` | `step`, `what`, `done`, `total` or null, `unit`: `bytes` or `items` |
//! | `output` | `step`, `stream`: `stdout` or `stderr`, `text` (U+FFFD for what is not UTF-8) |
//! | `warning` | `step` or null, `message` |
//! | `finished` | `step`, `status`: `cached`, `reused`, `ran`, `failed` or `canceled`, `error` or null, `reason`, `duration_ms`, `layer` or null |
//! | `exporting` | `what` |
//! | `built` | `image`: `{digest, config_digest, tags}`: the last line of a build that succeeded |
//! | `pulled`, `pushed` | `image`: `{name, digest, tags}`: the last line of one that succeeded |
//! | `failed` | `exit`, `message`, `causes`, `hints`, `place`: `{file, line, column}` in the recipe, or null: the last line of one that did not |

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use builder_core::event::{Event, PlannedVertex, Sink, Status, Stream, Trial, Unit};
use builder_core::plan::Location;
use serde_json::{Value, json};

use super::{Clock, Ending, View};

/// Version of what the module describes.
const SCHEMA: u32 = 1;

/// See the module.
pub(super) struct Json {
    clock: Clock,
    out: Mutex<Box<dyn Write + Send>>,
}

impl Json {
    /// A view that writes to `out`; writes the first line.
    pub(super) fn new(out: Box<dyn Write + Send>, clock: Clock) -> Self {
        let view = Self { clock, out: Mutex::new(out) };
        let version = env!("CARGO_PKG_VERSION");
        view.write("begin", json!({ "schema": SCHEMA, "version": version }));
        view
    }

    fn write(&self, event: &str, fields: Value) {
        let at = (self.clock)().as_millis();
        #[expect(clippy::cast_precision_loss, reason = "a build takes no 2^53 ms")]
        let mut line = json!({ "event": event, "at": at as f64 / 1000.0 });
        if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
            line.extend(fields);
        }
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // A reader that is gone must not end the build.
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}

impl Sink for Json {
    fn event(&self, event: Event) {
        let (name, fields) = fields(event);
        self.write(name, fields);
    }
}

impl View for Json {
    fn close(&self, ending: &Ending<'_>) {
        match ending {
            Ending::Built(built) => {
                let (digest, config, tags) = (&built.digest, &built.config_digest, &built.tags);
                let image = json!({ "digest": digest, "config_digest": config, "tags": tags });
                self.write("built", json!({ "image": image }));
            }
            Ending::Transferred { what, sentence: _, image } => {
                self.write(what, json!({ "image": image }));
            }
            Ending::Failed { exit, chain, hints, output: _, place } => {
                let (message, causes) = match chain {
                    [] => ("", &[][..]),
                    [message, causes @ ..] => (message.as_str(), causes),
                };
                let place = place.map(|Location { file, line, column }| {
                    json!({ "file": file.display().to_string(), "line": line, "column": column })
                });
                let fields = json!({
                    "exit": exit, "message": message, "causes": causes, "hints": hints,
                    "place": place,
                });
                self.write("failed", fields);
            }
        }
    }
}

fn fields(event: Event) -> (&'static str, Value) {
    match event {
        Event::Planned { vertices } => {
            let steps: Vec<Value> = vertices
                .into_iter()
                .map(|PlannedVertex { id, name, stage }| {
                    json!({ "id": id, "name": name, "stage": stage })
                })
                .collect();
            ("planned", json!({ "steps": steps }))
        }
        Event::Started { vertex, reason } => {
            ("started", json!({ "step": vertex, "reason": reason }))
        }
        Event::Progress { vertex, what, done, total, unit } => {
            let unit = match unit {
                Unit::Bytes => "bytes",
                Unit::Items => "items",
            };
            let fields = json!({
                "step": vertex, "what": what, "done": done, "total": total, "unit": unit,
            });
            ("progress", fields)
        }
        Event::Output { vertex, stream, bytes } => {
            let stream = match stream {
                Stream::Stdout => "stdout",
                Stream::Stderr => "stderr",
            };
            let text = String::from_utf8_lossy(&bytes);
            ("output", json!({ "step": vertex, "stream": stream, "text": text }))
        }
        Event::Ahead { vertex, trial } => {
            let trial = match trial {
                Trial::Began => "began",
                Trial::Taken => "taken",
            };
            ("ahead", json!({ "step": vertex, "trial": trial }))
        }
        Event::Warning { vertex, message } => {
            ("warning", json!({ "step": vertex, "message": message }))
        }
        Event::Finished { vertex, status, reason, duration, layer } => {
            let (status, error) = match status {
                Status::Cached => ("cached", None),
                Status::Reused => ("reused", None),
                Status::Ran => ("ran", None),
                Status::Failed(error) => ("failed", Some(error)),
                Status::Canceled => ("canceled", None),
            };
            let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            let fields = json!({
                "step": vertex, "status": status, "error": error, "reason": reason,
                "duration_ms": duration_ms, "layer": layer,
            });
            ("finished", fields)
        }
        Event::Exporting { what } => ("exporting", json!({ "what": what })),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use builder_core::digest::{DiffId, VertexId};

    use super::*;
    use crate::ui::Built;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("unlocked").write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn schema_1_is_as_documented() {
        let out = Shared::default();
        let view = Json::new(Box::new(out.clone()), Box::new(|| Duration::from_millis(1500)));
        let vertex = VertexId::from_bytes([1; 32]);
        let (name, stage) = ("run `make`".to_owned(), "main".to_owned());
        view.event(Event::Planned { vertices: vec![PlannedVertex { id: vertex, name, stage }] });
        view.event(Event::Started { vertex, reason: "no earlier result".to_owned() });
        let what = "downloading".to_owned();
        view.event(Event::Progress { vertex, what, done: 1, total: None, unit: Unit::Items });
        let bytes = b"a\xff\n".to_vec();
        view.event(Event::Output { vertex, stream: Stream::Stderr, bytes });
        view.event(Event::Warning { vertex: None, message: "careful".to_owned() });
        view.event(Event::Finished {
            vertex,
            status: Status::Failed("exit code 1".to_owned()),
            reason: String::new(),
            duration: Duration::from_millis(20),
            layer: Some(DiffId::from_bytes([2; 32])),
        });
        view.event(Event::Exporting { what: "oci to out.tar".to_owned() });
        view.close(&Ending::Built(&Built {
            digest: "sha256:a".to_owned(),
            config_digest: "sha256:b".to_owned(),
            tags: vec!["app:1".to_owned()],
            cached: 0,
            reused: 0,
            ran: 1,
        }));
        let (chain, hints) = (["a".to_owned(), "b".to_owned()], []);
        let file = Arc::new("recipe.yaml".into());
        let place = Some(&Location { file, line: 3, column: 5 });
        let (chain, hints, output) = (&chain, &hints, &b""[..]);
        view.close(&Ending::Failed { exit: 1, chain, hints, output, place });
        let text = String::from_utf8(out.0.lock().expect("unlocked").clone()).expect("UTF-8");
        let text = text.replace(&"01".repeat(32), "ID").replace(&"02".repeat(32), "LAYER");
        let text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION");
        insta::assert_snapshot!(text);
    }
}
