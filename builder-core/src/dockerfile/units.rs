//! Values as Go reads them: durations, sizes, booleans.

use std::time::Duration;

/// A boolean, as `strconv.ParseBool` reads it.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// A duration that is not negative, as `time.ParseDuration` reads it: `1h2m`,
/// `1.5s`, `300ms`. `None` where it is negative.
pub(super) fn duration(text: &str) -> Result<Option<Duration>, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(Some(Duration::ZERO));
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanos: u64 = 0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (value, after) = rest.split_at(number);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(invalid());
        }
        let scale: u64 = match unit {
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            "ns" => 1,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
        };
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        let part =
            whole.checked_mul(scale).and_then(|part| part.checked_add(part_of(fraction, scale)));
        nanos = part.and_then(|part| nanos.checked_add(part)).ok_or_else(invalid)?;
        rest = after;
    }
    if nanos > i64::MAX as u64 {
        return Err(invalid());
    }
    Ok((!negative || nanos == 0).then_some(Duration::from_nanos(nanos)))
}

/// A decimal fraction of a unit, in nanoseconds, rounded down.
fn part_of(fraction: &str, scale: u64) -> u64 {
    let mut sum: u64 = 0;
    let mut unit = scale;
    for digit in fraction.bytes().take(18) {
        unit /= 10;
        sum += u64::from(digit - b'0') * unit;
    }
    sum
}

/// A number of bytes, as Docker reads it: `64m`, `1.5 GiB`; units are powers
/// of 1024.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let last = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')?;
    let (number, unit) = text.split_at(last + 1);
    let number = number.strip_suffix(' ').unwrap_or(number);
    let decimal = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = number.parse().ok().filter(|_| decimal)?;
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return None,
    };
    let bytes = number * (1_u64 << shift) as f64;
    // Beyond what a signed number holds nothing is meant.
    (bytes < 9.2e18).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let table = [
            ("0", 0),
            ("5s", 5_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("+300ms", 300_000_000),
            ("1us1ns", 1_001),
            ("0s", 0),
        ];
        for (text, nanos) in table {
            assert_eq!(duration(text), Ok(Some(Duration::from_nanos(nanos))), "{text}");
        }
        assert_eq!(duration("-5s"), Ok(None));
        let table = [
            ("", "time: invalid duration \"\""),
            ("5", "time: missing unit in duration \"5\""),
            ("5x", "time: unknown unit \"x\" in duration \"5x\""),
            ("s", "time: invalid duration \"s\""),
            ("1.2.3s", "time: invalid duration \"1.2.3s\""),
            ("99999999999h", "time: invalid duration \"99999999999h\""),
        ];
        for (text, error) in table {
            assert_eq!(duration(text), Err(error.to_owned()), "{text}");
        }
    }

    #[test]
    fn sizes_have_binary_units() {
        let table = [
            ("64", 64),
            ("64b", 64),
            ("1k", 1 << 10),
            ("1.5 GiB", 3 << 29),
            ("2MB", 2 << 20),
            ("0", 0),
        ];
        for (text, bytes_of) in table {
            assert_eq!(bytes(text), Some(bytes_of), "{text}");
        }
        for text in ["", "m", "-1", "1x", "1kbb", "inf", "1e3", "99999999p", ".", "1  m"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
