//! Credentials for a repository behind http.
//!
//! In: the secrets of a build, and a remote that may say a user and a password. Out:
//! the remote without them, and the variables by which git learns who asks, for this
//! host alone. The names are BuildKit's: `GIT_AUTH_HEADER` is the value of the header,
//! `GIT_AUTH_TOKEN` a token, as GitHub and GitLab give them to programs; with `.HOST`
//! behind it a name is for that host only, and comes first. A secret comes before what
//! the remote says.
//!
//! Invariant: what is secret is in git's environment, never in its arguments, which
//! every user of this host can read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The user that a token stands for.
const TOKEN_USER: &str = "x-access-token";

/// Says user and password once the host wants to know them, as git itself does with
/// those of a URL: a header would be sent unasked, and a host that refuses a user
/// without a password would do so where it lets everybody in. The shell says them
/// itself, so they are no arguments of a program; the function drops those of git's.
const HELPER: &str = r#"!f() { printf 'username=%s\npassword=%s\n' "$PHOENIX_GIT_USER" "$PHOENIX_GIT_PASSWORD"; }; f"#;

/// A variable of git's environment; a secret.
pub(super) type Variable = (&'static str, OsString);

/// A remote over http.
struct Remote<'a> {
    scheme: &'a str,
    /// `user` or `user:password`, as they are written in a URL.
    user: Option<&'a str>,
    host: &'a str,
    /// All that follows the host.
    rest: &'a str,
}

/// `None` where it is another kind of remote.
fn of_http(remote: &str) -> Option<Remote<'_>> {
    let (scheme, rest) = remote.split_once("://")?;
    if !["https", "http"].contains(&scheme) {
        return None;
    }
    let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    Some(Remote { scheme, user, host, rest })
}

/// A remote as git's arguments and a checkout may name it: without who asks, where
/// that is said to a server by http.
pub(crate) fn anonymous(remote: &str) -> String {
    match of_http(remote) {
        Some(Remote { scheme, user: Some(_), host, rest }) => format!("{scheme}://{host}{rest}"),
        _ => remote.to_owned(),
    }
}

/// What git must know of who asks this remote; `None` where no user can be called so.
pub(super) fn variables(
    remote: &str,
    secrets: &BTreeMap<String, Vec<u8>>,
) -> Option<Vec<Variable>> {
    let Some(Remote { scheme, user, host, rest: _ }) = of_http(remote) else {
        return Some(Vec::new());
    };
    let setting = |key: String, value: String| {
        vec![
            ("GIT_CONFIG_COUNT", "1".into()),
            ("GIT_CONFIG_KEY_0", key.into()),
            ("GIT_CONFIG_VALUE_0", value.into()),
        ]
    };
    if let Some(said) = header(host, secrets) {
        let key = format!("http.{scheme}://{host}/.extraheader");
        return Some(setting(key, format!("Authorization: {said}")));
    }
    let Some(user) = user.filter(|user| !user.is_empty()) else { return Some(Vec::new()) };
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let (user, password) = (percent_decoded(user), percent_decoded(password));
    // A line's end would be another line of what is told to git.
    if user.iter().chain(&password).any(u8::is_ascii_control) {
        return None;
    }
    let mut all = setting(format!("credential.{scheme}://{host}.helper"), HELPER.to_owned());
    all.push(("PHOENIX_GIT_USER", OsString::from_vec(user)));
    all.push(("PHOENIX_GIT_PASSWORD", OsString::from_vec(password)));
    Some(all)
}

/// What a secret says of who asks.
fn header(host: &str, secrets: &BTreeMap<String, Vec<u8>>) -> Option<String> {
    let secret = |name: &str| {
        let own = secrets.get(&format!("{name}.{host}"));
        let bytes = own.or_else(|| secrets.get(name))?;
        let text = std::str::from_utf8(bytes).ok()?.trim();
        // A second line would be a second header.
        Some(text).filter(|text| !text.is_empty() && !text.contains(char::is_control))
    };
    match (secret("GIT_AUTH_HEADER"), secret("GIT_AUTH_TOKEN")) {
        (Some(header), _) => Some(header.to_owned()),
        (None, Some(token)) => {
            Some(format!("Basic {}", STANDARD.encode(format!("{TOKEN_USER}:{token}"))))
        }
        (None, None) => None,
    }
}

/// `%40` as `@`; what is no such thing stays as it is.
fn percent_decoded(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, tail @ ..] = rest {
        let decoded = match tail {
            [high, low, ..] if *first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        let decoded = decoded.and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        bytes.push(decoded.unwrap_or(*first));
        rest = if decoded.is_some() { &tail[2..] } else { tail };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(remote: &str, secrets: &[(&str, &str)]) -> Vec<(&'static str, String)> {
        let secrets = secrets.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec()));
        let told = variables(remote, &secrets.collect()).expect("a user that there may be");
        told.into_iter().map(|(n, v)| (n, v.into_string().expect("UTF-8"))).collect()
    }

    fn said(remote: &str, secrets: &[(&str, &str)]) -> Option<(String, String)> {
        let told = told(remote, secrets);
        let value = |name| told.iter().find(|(known, _)| *known == name).map(|(_, v)| v.clone());
        Some((value("GIT_CONFIG_KEY_0")?, value("GIT_CONFIG_VALUE_0")?))
    }

    #[test]
    fn a_token_or_header_is_told_to_its_host_alone() {
        let token = ("GIT_AUTH_TOKEN", "t\n");
        let value = "Authorization: Basic eC1hY2Nlc3MtdG9rZW46dA==".to_owned();
        let key = "http.https://h:1/.extraheader".to_owned();
        assert_eq!(said("https://u@h:1/a.git", &[token]), Some((key, value)));
        let header = ("GIT_AUTH_HEADER", "Bearer x");
        let found = said("http://h/a", &[token, header]).expect("a setting");
        assert_eq!(found.1, "Authorization: Bearer x");
        let other = ("GIT_AUTH_HEADER.h", "Bearer y");
        assert_eq!(said("http://h/a", &[header, other]).expect("one").1, "Authorization: Bearer y");
        assert_eq!(said("http://g/a", &[other]), None);
        assert_eq!(said("ssh://h/a", &[token]), None);
        assert_eq!(said("git@h:a", &[token]), None);
        assert_eq!(said("http://h/a", &[("GIT_AUTH_HEADER", "a\nb: c")]), None);
    }
    #[test]
    fn a_user_is_told_to_its_host_when_it_asks() {
        let key = "credential.https://h:1.helper".to_owned();
        let remote = "https://u%41:p%40%3a%25x%@h:1/a.git";
        assert_eq!(said(remote, &[]), Some((key, HELPER.to_owned())));
        let who = |remote| {
            let all = told(remote, &[]).into_iter();
            all.filter(|(n, _)| n.starts_with("PHOENIX")).map(|(_, v)| v).collect::<Vec<_>>()
        };
        assert_eq!(who(remote), ["uA", "p@:%x%"]);
        assert_eq!(who("http://token@h/a"), ["token", ""]);
        assert_eq!(who("http://a@b:c@h/a"), ["a@b", "c"]);
        for remote in ["http://h/a@b", "http://@h/a", "http://h?a@b", "ssh://u:p@h/a", "u@h:a"] {
            assert!(told(remote, &[]).is_empty(), "{remote}");
        }
        // A secret comes first.
        let found = said("http://u:p@h/a", &[("GIT_AUTH_HEADER", "Bearer x")]).expect("one");
        assert_eq!(found.1, "Authorization: Bearer x");
        for remote in ["http://u:a%0ahost=x@h/a", "http://u%00@h/a"] {
            assert_eq!(variables(remote, &BTreeMap::new()), None, "{remote}");
        }
    }

    #[test]
    fn a_remote_is_named_without_who_asks() {
        for (remote, named) in [
            ("https://u:p@host/x", "https://host/x"),
            ("https://u@host:1", "https://host:1"),
            ("https://a@b:c@host/a@b", "https://host/a@b"),
            ("https://host/a@b", "https://host/a@b"),
            ("git@host:x", "git@host:x"),
            ("ssh://git@host/x", "ssh://git@host/x"),
        ] {
            assert_eq!(anonymous(remote), named);
        }
    }
}
