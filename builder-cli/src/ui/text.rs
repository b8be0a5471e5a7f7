//! Bytes that a step wrote, as text that is safe to show.
//!
//! Invariant: what comes out holds no control character but tab, so a step
//! can neither move the cursor nor retitle the terminal.

use std::time::Duration;

/// A line longer than this is shown in pieces.
const LONGEST_LINE: usize = 64 * 1024;

/// One line as a terminal would finally show it: what a carriage return
/// overwrote is gone, escape sequences too.
pub(super) fn clean(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let shown = text.trim_end_matches('\r');
    let shown = shown.rsplit('\r').next().unwrap_or(shown);
    let plain = console::strip_ansi_codes(shown);
    plain
        .chars()
        .map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

/// Time as `0.1s`, `12.3s`, `3m05s`, `2h03m`.
pub(super) fn seconds(time: Duration) -> String {
    let whole = time.as_secs();
    match whole {
        0..60 => format!("{:.1}s", time.as_secs_f64()),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
    }
}

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Takes more bytes and gives the lines that they complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.rest.extend_from_slice(piece);
            if let Some(line) = self.rest.strip_suffix(b"\n") {
                lines.push(clean(line));
                self.rest.clear();
            } else if self.rest.len() >= LONGEST_LINE {
                lines.push(clean(&self.rest));
                self.rest.clear();
            }
        }
        lines
    }

    /// What is left without a newline at its end.
    pub(super) fn finish(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.rest);
        (!rest.is_empty()).then(|| clean(&rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_output_of_a_step_can_steer_the_terminal() {
        let table: [(&[u8], &str); 7] = [
            (b"plain \xc3\xa9", "plain é"),
            (b"\x1b[31mred\x1b[0m", "red"),
            (b"\x1b]0;title\x07text", "text"),
            (b"10%\r20%\r100%\r", "100%"),
            (b"a\x08b\x00", "a\u{fffd}b\u{fffd}"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
            (b"a\tb", "a\tb"),
        ];
        for (bytes, text) in table {
            assert_eq!(clean(bytes), text);
        }
        for byte in 0..=255_u8 {
            let text = clean(&[byte, b'[', b'2', b'J']);
            assert!(!text.contains(|c: char| c.is_control() && c != '\t'), "{byte}");
        }
    }

    #[test]
    fn lines_come_whole_however_the_bytes_are_cut() {
        let text = b"one\ntwo\r\n\nlast";
        for cut in 0..text.len() {
            let mut lines = Lines::default();
            let mut got = lines.push(&text[..cut]);
            got.extend(lines.push(&text[cut..]));
            got.extend(lines.finish());
            assert_eq!(got, ["one", "two", "", "last"], "cut at {cut}");
        }
    }

    #[test]
    fn endless_line_is_shown_in_pieces() {
        let mut lines = Lines::default();
        assert!(lines.push(&vec![b'x'; LONGEST_LINE - 1]).is_empty());
        assert_eq!(lines.push(b"x").len(), 1);
        assert_eq!(lines.finish(), None);
    }

    #[test]
    fn times_are_short_at_every_scale() {
        let table = [(0, "0.0s"), (1_250, "1.2s"), (59_900, "59.9s"), (185_000, "3m05s")];
        for (millis, text) in table {
            assert_eq!(seconds(Duration::from_millis(millis)), text);
        }
        assert_eq!(seconds(Duration::from_secs(7_383)), "2h03m");
    }
}
