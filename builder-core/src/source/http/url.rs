//! URLs as they may be shown.

/// Without credentials, and with nothing of a query but that there is one: both
/// may be secrets.
pub(super) fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let rest = rest.split('#').next().unwrap_or_default();
    let (place, query) = match rest.split_once('?') {
        Some((place, _)) => (place, "?..."),
        None => (rest, ""),
    };
    let (host, path) = place.find('/').map_or((place, ""), |at| place.split_at(at));
    let host = host.rsplit('@').next().unwrap_or_default();
    let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
    format!("{scheme}{host}{path}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_a_url_are_not_shown() {
        for (url, expected) in [
            ("https://user:pass@host/a/b", "https://host/a/b"),
            ("https://host/a@b?token=x#y", "https://host/a@b?..."),
            ("http://a@b@host:80", "http://host:80"),
            ("https://host?key", "https://host?..."),
            ("host/path", "host/path"),
            ("", ""),
        ] {
            assert_eq!(shown(url), expected, "{url}");
        }
    }
}
