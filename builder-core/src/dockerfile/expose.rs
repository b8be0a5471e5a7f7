//! What `EXPOSE` takes, once expanded: `[ip:][host:]port[-port][/protocol]`.
//!
//! In: one word. Out: the ports of the container; what is said of the host
//! means nothing, but must be right.

use std::net::IpAddr;

/// Why a word is no port, as `BuildKit` says it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PortError(pub String);

/// What an `EXPOSE` word says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports {
    /// The first.
    pub first: u16,
    /// The last, which may be the first.
    pub last: u16,
    /// In lower case.
    pub protocol: String,
    /// Whether the protocol has capitals, which a check warns of.
    pub capitals: bool,
    /// Whether an address or a port of the host was given, which a check warns
    /// of.
    pub mapped: bool,
}

impl Ports {
    /// Each port as an image's config names it: `80/tcp`. There may be 65,536.
    pub fn names(&self) -> impl Iterator<Item = String> + '_ {
        (self.first..=self.last).map(|port| format!("{port}/{}", self.protocol))
    }
}

/// Reads one expanded word.
///
/// # Errors
/// What is wrong with it.
pub fn ports(word: &str) -> Result<Ports, PortError> {
    let (front, container) = word.rsplit_once(':').unwrap_or(("", word));
    let (ip, host) = front.rsplit_once(':').unwrap_or(("", front));
    let (port, protocol) = container.split_once('/').unwrap_or((container, ""));
    let invalid = |why: &str| PortError(format!("invalid port: {word:?}: {why}"));
    if port.is_empty() {
        return Err(invalid("no port specified"));
    }
    let lower = protocol.to_lowercase();
    match lower.as_str() {
        "" | "tcp" | "udp" | "sctp" => {}
        _ => return Err(invalid(&format!("invalid proto: {protocol}"))),
    }
    let bare = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
    if !ip.is_empty() && bare.parse::<IpAddr>().is_err() {
        return Err(PortError(format!("invalid IP address: {ip}")));
    }
    let (first, last) =
        range(port).ok_or_else(|| PortError(format!("invalid containerPort: {port}")))?;
    if !host.is_empty() {
        let (from, to) =
            range(host).ok_or_else(|| PortError(format!("invalid hostPort: {host}")))?;
        if first != last && last - first != to - from {
            let what = "invalid ranges specified for container and host Ports";
            return Err(PortError(format!("{what}: {port} and {host}")));
        }
    }
    let capitals = lower != protocol;
    let mapped = !ip.is_empty() || !host.is_empty();
    let protocol = if lower.is_empty() { "tcp".to_owned() } else { lower };
    Ok(Ports { first, last, protocol, capitals, mapped })
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_says_ports_of_the_container() {
        let table = [
            ("80", (80, 80, "tcp", false, false)),
            ("80/udp", (80, 80, "udp", false, false)),
            ("80-90/SCTP", (80, 90, "sctp", true, false)),
            ("8080:80", (80, 80, "tcp", false, true)),
            ("80-90:80", (80, 80, "tcp", false, true)),
            ("127.0.0.1:80:81", (81, 81, "tcp", false, true)),
            ("127.0.0.1::81", (81, 81, "tcp", false, true)),
            ("[::1]:80:81/tcp", (81, 81, "tcp", false, true)),
            ("::1::81", (81, 81, "tcp", false, true)),
            ("0-65535", (0, 65535, "tcp", false, false)),
            ("80-80", (80, 80, "tcp", false, false)),
        ];
        for (word, (first, last, protocol, capitals, mapped)) in table {
            let expected = Ports { first, last, protocol: protocol.to_owned(), capitals, mapped };
            assert_eq!(ports(word), Ok(expected), "{word}");
        }
        let names: Vec<_> = ports("1-3/udp").expect("good").names().collect();
        assert_eq!(names, ["1/udp", "2/udp", "3/udp"]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let table = [
            ("", "invalid port: \"\": no port specified"),
            ("/tcp", "invalid port: \"/tcp\": no port specified"),
            ("80/foo", "invalid port: \"80/foo\": invalid proto: foo"),
            ("x", "invalid containerPort: x"),
            ("90-80", "invalid containerPort: 90-80"),
            ("65536", "invalid containerPort: 65536"),
            ("-1", "invalid containerPort: -1"),
            ("x:80", "invalid hostPort: x"),
            ("1.2.3:80:80", "invalid IP address: 1.2.3"),
            (
                "80-82:90-91",
                "invalid ranges specified for container and host Ports: 90-91 and 80-82",
            ),
        ];
        for (word, expected) in table {
            assert_eq!(ports(word), Err(PortError(expected.to_owned())), "{word}");
        }
    }
}
