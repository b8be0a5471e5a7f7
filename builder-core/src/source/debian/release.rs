//! Releases: the signed list of an archive's indices.
//!
//! In: the verified text of an `InRelease`. Out: date, and digest and size of
//! each index. Only SHA-256 counts.

use std::collections::HashMap;

use super::DebianError;
use super::control;
use crate::digest::BlobDigest;

/// What a release says.
#[derive(Debug, Clone)]
pub(super) struct Release {
    pub(super) date: String,
    pub(super) origin: String,
    pub(super) by_hash: bool,
    files: HashMap<String, (BlobDigest, u64)>,
}

impl Release {
    /// Digest and size of a file, by its path below the suite's directory.
    pub(super) fn file(&self, path: &str) -> Option<(BlobDigest, u64)> {
        self.files.get(path).copied()
    }
}

/// Reads the text; checks that it is for `suite` and valid at `now` (Unix seconds).
pub(super) fn parse(
    text: &str,
    url: &str,
    suite: &str,
    now: u64,
    ignore_valid_until: bool,
) -> Result<Release, DebianError> {
    let refuse = |reason: String| DebianError::Release { url: url.to_owned(), reason };
    let paragraphs = control::paragraphs(text, url)?;
    let [fields] = &paragraphs[..] else {
        return Err(refuse("it is not one paragraph".into()));
    };
    let get = |field| fields.get(field).unwrap_or("");
    if ![get("Suite"), get("Codename")].contains(&suite) {
        let found = format!("{} ({})", get("Codename"), get("Suite"));
        return Err(refuse(format!("it is for {found}, not for {suite}")));
    }
    if time(get("Date")).is_none() {
        return Err(refuse("it has no date".into()));
    }
    if let Some(until) = fields.get("Valid-Until") {
        let end = time(until).ok_or_else(|| refuse(format!("bad Valid-Until `{until}`")))?;
        if end < now && !ignore_valid_until {
            return Err(DebianError::Expired { url: url.to_owned(), until: until.to_owned() });
        }
    }
    let mut files = HashMap::new();
    for line in get("SHA256").lines().filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let parsed = match words[..] {
            [hex, size, path] => {
                BlobDigest::from_hex(hex).ok().zip(size.parse().ok()).map(|f| (path, f))
            }
            _ => None,
        };
        let (path, file) = parsed.ok_or_else(|| refuse(format!("bad line `{line}`")))?;
        files.insert(path.to_owned(), file);
    }
    if files.is_empty() {
        return Err(refuse("it has no sha-256 digests".into()));
    }
    Ok(Release {
        date: get("Date").to_owned(),
        origin: get("Origin").to_owned(),
        by_hash: get("Acquire-By-Hash") == "yes",
        files,
    })
}

/// `Sat, 17 May 2025 09:08:00 UTC` in Unix seconds.
fn time(text: &str) -> Option<u64> {
    let text = text.trim().replace(" UTC", " +0000");
    let zoned = jiff::fmt::rfc2822::parse(&text).ok()?;
    u64::try_from(zoned.timestamp().as_second()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(more: &str) -> String {
        format!(
            "Suite: stable\nCodename: bookworm\nDate: Sat, 17 May 2025 09:08:00 UTC\n{more}SHA256:\n {} 7 main/Packages\n",
            "0".repeat(64)
        )
    }

    #[test]
    fn digests_are_found_by_path() {
        let release =
            parse(&text("Acquire-By-Hash: yes\n"), "u", "bookworm", 0, false).expect("valid");
        assert!(release.by_hash);
        assert_eq!(release.file("main/Packages"), Some((BlobDigest::from_bytes([0; 32]), 7)));
        assert_eq!(release.file("x"), None);
    }

    #[test]
    fn wrong_suites_and_expired_releases_are_refused() {
        assert!(parse(&text(""), "u", "trixie", 0, false).is_err());
        let until = text("Valid-Until: Sun, 18 May 2025 09:08:00 UTC\n");
        let end = 1_747_559_280;
        assert!(parse(&until, "u", "stable", end, false).is_ok());
        assert!(matches!(
            parse(&until, "u", "stable", end + 1, false),
            Err(DebianError::Expired { .. })
        ));
        assert!(parse(&until, "u", "stable", end + 1, true).is_ok());
    }

    #[test]
    fn malformed_releases_are_refused() {
        for bad in [
            String::new(),
            text("").replace("Date", "Dat"),
            text("").replace("SHA256", "SHA1"),
            text("").replace(" 7 ", " -7 "),
            text("Valid-Until: never\n"),
            text("") + "\nSuite: stable\n",
        ] {
            assert!(parse(&bad, "u", "bookworm", 0, false).is_err(), "{bad}");
        }
    }
}
