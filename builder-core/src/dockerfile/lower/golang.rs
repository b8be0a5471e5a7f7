//! How Go prints values: what history says is written with its `%q` and `%v`.

use std::fmt::Write as _;

/// A list of strings as `%q` prints it.
pub(super) fn quoted_list(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
    format!("[{}]", items.join(" "))
}

/// A list as `%v` prints it.
pub(super) fn list(items: &[String]) -> String {
    format!("[{}]", items.join(" "))
}

/// A string as `strconv.Quote` gives it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if !c.is_control() => out.push(c),
            c if c.is_ascii() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}

/// A duration in nanoseconds as `time.Duration` prints it.
pub(super) fn duration(nanos: u64) -> String {
    const SECOND: u64 = 1_000_000_000;
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < SECOND {
        let (unit, per) = match nanos {
            0..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        return format!("{}{unit}", fraction(nanos, per));
    }
    let (minutes, rest) = (nanos / (60 * SECOND), nanos % (60 * SECOND));
    let (hours, minutes) = (minutes / 60, minutes % 60);
    let seconds = fraction(rest, SECOND);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// `value / per`, with no more digits than it has.
fn fraction(value: u64, per: u64) -> String {
    let digits = usize::try_from(per.ilog10()).expect("a small number");
    if value.is_multiple_of(per) {
        return (value / per).to_string();
    }
    let text = format!("{}.{:0digits$}", value / per, value % per);
    text.trim_end_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_quoted_as_go_quotes_them() {
        for (text, wanted) in [
            ("plain", r#""plain""#),
            ("a \"b\" \\", r#""a \"b\" \\""#),
            ("tab\tline\n\r", r#""tab\tline\n\r""#),
            ("ünïcode", r#""ünïcode""#),
            ("\u{1}\u{7f}", r#""\x01\x7f""#),
        ] {
            assert_eq!(quoted(text), wanted);
        }
        let list = ["/bin/sh".to_owned(), "-c".to_owned(), "echo \"x\"".to_owned()];
        assert_eq!(quoted_list(&list), r#"["/bin/sh" "-c" "echo \"x\""]"#);
    }

    #[test]
    fn durations_are_printed_as_go_prints_them() {
        for (nanos, wanted) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (2_000_000, "2ms"),
            (30_000_000_000, "30s"),
            (90_500_000_000, "1m30.5s"),
            (3_600_000_000_000, "1h0m0s"),
        ] {
            assert_eq!(duration(nanos), wanted);
        }
    }
}
