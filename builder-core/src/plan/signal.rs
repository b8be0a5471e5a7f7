//! Names of signals, as the config of an image may have them.

/// Names of Linux's signals, without `SIG`.
const SIGNALS: [&str; 37] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
    "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
    "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
    "UNUSED",
];

/// A number but 0, or a name, in any case and with or without `SIG`.
#[must_use]
pub fn is_signal(text: &str) -> bool {
    if let Ok(number) = text.parse::<i64>() {
        return number != 0;
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |prefix, most| {
        let number = name.strip_prefix(prefix).and_then(|rest: &str| rest.parse::<u8>().ok());
        number.is_some_and(|number| (1..=most).contains(&number))
    };
    SIGNALS.contains(&name) || offset("RTMIN+", 15) || offset("RTMAX-", 14)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_a_name_or_a_number() {
        for text in ["SIGTERM", "term", "15", "SIGRTMIN+3", "rtmax-2"] {
            assert!(is_signal(text), "{text}");
        }
        for text in ["", "0", "SIG", "STOPPED", "RTMIN+16"] {
            assert!(!is_signal(text), "{text}");
        }
    }
}
