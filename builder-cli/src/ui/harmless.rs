//! Events whose words cannot steer a terminal.
//!
//! In: an event as the library tells it. Out: the same, with control characters
//! of names from contexts, archives and images replaced. The bytes of a step's
//! own output are seen to where lines are made of them.

use builder_core::event::{Event, Status};

use crate::output::visible;

/// Makes the words of an event harmless.
pub(super) fn harmless(event: Event) -> Event {
    match event {
        Event::Started { vertex, reason } => Event::Started { vertex, reason: lines(&reason) },
        Event::Warning { vertex, message } => Event::Warning { vertex, message: lines(&message) },
        Event::Progress { vertex, what, done, total, unit } => {
            Event::Progress { vertex, what: lines(&what), done, total, unit }
        }
        Event::Finished { vertex, status, reason, duration, layer } => {
            let status = match status {
                Status::Failed(error) => Status::Failed(lines(&error)),
                Status::Cached | Status::Reused | Status::Ran | Status::Canceled => status,
            };
            Event::Finished { vertex, status, reason: lines(&reason), duration, layer }
        }
        Event::Planned { .. }
        | Event::Ahead { .. }
        | Event::Output { .. }
        | Event::Exporting { .. } => event,
    }
}

/// Line by line, as an error may have several.
fn lines(text: &str) -> String {
    text.lines().map(visible).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_cannot_steer_the_terminal() {
        let message = "bad name a\x1b[2Jb\n  in x\ry".to_owned();
        let Event::Warning { message, .. } = harmless(Event::Warning { vertex: None, message })
        else {
            panic!("it stays a warning");
        };
        assert_eq!(message, "bad name a\u{fffd}[2Jb\n  in x\u{fffd}y");
    }
}
