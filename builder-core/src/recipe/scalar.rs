//! Texts that mean something: modes, durations, sizes, owners, ports, packages.
//!
//! All pure; `None` or `false` is "not one of these".

use std::time::Duration;

/// `644`, `0644`, `0o644`: three or four octal digits.
pub(super) fn mode(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let octal = matches!(digits.len(), 3 | 4) && digits.bytes().all(|b| (b'0'..=b'7').contains(&b));
    octal.then(|| u32::from_str_radix(digits, 8).ok()).flatten()
}

/// `90s`, `1h30m`, `7d`: numbers with units, largest first is not demanded.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|&at| at > 0)?;
        let amount: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let seconds = |unit: u64| amount.checked_mul(unit).map(Duration::from_secs);
        let part = match &rest[..unit] {
            "ns" => Duration::from_nanos(amount),
            "us" => Duration::from_micros(amount),
            "ms" => Duration::from_millis(amount),
            "s" => seconds(1)?,
            "m" => seconds(60)?,
            "h" => seconds(3_600)?,
            "d" => seconds(86_400)?,
            "w" => seconds(604_800)?,
            _ => return None,
        };
        rest = &rest[unit..];
        total = total.checked_add(part)?;
    }
    (!text.is_empty()).then_some(total)
}

/// `1024`, `64k`, `10m`, `2g`: powers of 1024, not zero.
pub(super) fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['k', 'K', 'm', 'M', 'g', 'G']);
    let factor: u64 = match &text[digits.len()..] {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return None,
    };
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let bytes = plain.then(|| digits.parse::<u64>().ok()).flatten()?.checked_mul(factor)?;
    (bytes > 0).then_some(bytes)
}

/// `SOFT[:HARD]`, `-1` for none; one number is both.
pub(super) fn ulimit(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let one = |text: &str| match text {
        "-1" => Some(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok().map(Some),
        _ => None,
    };
    let (soft, hard) = text.split_once(':').unwrap_or((text, text));
    let (soft, hard) = (one(soft)?, one(hard)?);
    let fits = match (soft, hard) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(soft), Some(hard)) => soft <= hard,
    };
    fits.then_some((soft, hard))
}

/// `user[:group]` or `:group`, names or numbers.
pub(super) fn is_owner(text: &str) -> bool {
    let name = |name: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-$@\\".contains(c);
        let number = name.bytes().all(|byte| byte.is_ascii_digit());
        let fits = !number || name.parse::<u32>().is_ok_and(|id| id != u32::MAX);
        !name.is_empty() && !name.starts_with('-') && name.chars().all(allowed) && fits
    };
    match text.split_once(':') {
        Some((user, group)) => (user.is_empty() || name(user)) && name(group),
        None => name(text),
    }
}

/// `80`, `80/tcp`, `53/udp`, with its protocol.
pub(super) fn port(text: &str) -> Option<String> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let plain = number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u16 = plain.then(|| number.parse().ok()).flatten()?;
    (number > 0 && matches!(protocol, "tcp" | "udp" | "sctp"))
        .then(|| format!("{number}/{protocol}"))
}

/// `name[:arch][=version]` by Debian's rules; a version may hold `*`.
pub(super) fn is_package(text: &str) -> bool {
    let (name, version) = match text.split_once('=') {
        Some((name, version)) => (name, Some(version)),
        None => (text, None),
    };
    let (name, arch) = name.split_once(':').unwrap_or((name, "any"));
    let low = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let word = |text: &str, more: &str| text.chars().all(|c| low(c) || more.contains(c));
    let version_char = |c: char| c.is_ascii_alphanumeric() || ".+:~*-".contains(c);
    name.len() >= 2
        && name.starts_with(low)
        && word(name, "+.-")
        && !name.ends_with(['+', '-'].as_slice()) | name.ends_with("++")
        && !arch.is_empty()
        && word(arch, "-")
        && version.is_none_or(|version| !version.is_empty() && version.chars().all(version_char))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_text_is_what_it_says() {
        assert_eq!(
            ["644", "0644", "0o4755", "0o7777"].map(mode),
            [Some(0o644), Some(0o644), Some(0o4755), Some(0o7777)]
        );
        assert_eq!(["9", "0689", "", "00644", "+644", "0x644"].map(mode), [None; 6]);
        let seconds = |text| duration(text).map(|d| d.as_secs());
        assert_eq!(["7d", "1h30m", "90s"].map(seconds), [Some(604_800), Some(5400), Some(90)]);
        assert_eq!(
            ["", "7", "d", "7x", "-7d", "99999999999999999999d", "99999999999999w", "7é"]
                .map(duration),
            [None; 8]
        );
        assert_eq!(["64k", "10M", "7"].map(size), [Some(65_536), Some(10 << 20), Some(7)]);
        assert_eq!(["", "k", "0", "1kk", "99999999999g", "1é"].map(size), [None; 6]);
        assert!(["root", "1000:1000", "app:www-data", ":staff"].into_iter().all(is_owner));
        assert!(!["", ":", "a:b:c", "a b", "4294967295", "-x"].into_iter().any(is_owner));
        assert_eq!(
            ["80", "53/udp", "0", "70000", "80/x", ""].map(port),
            [Some("80/tcp".to_owned()), Some("53/udp".to_owned()), None, None, None, None]
        );
        assert!(
            ["nginx", "curl=7.88*", "g++", "libc6:i386", "libstdc++6=1:2~3-4"]
                .into_iter()
                .all(is_package)
        );
        assert!(
            !["", "x", "Nginx", "a;b", "curl=", "-y", "nginx-", "curl=$(x)", "a b"]
                .into_iter()
                .any(is_package)
        );
    }
}
