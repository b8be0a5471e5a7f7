//! Debian versions and their order (deb-version(7)).
//!
//! In: two version texts. Out: which is newer. Any text is comparable; what
//! is not a valid version is compared by the same rules.

use std::cmp::Ordering;

/// Compares two versions as `dpkg --compare-versions` does.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (epoch_a, upstream_a, revision_a) = split(a);
    let (epoch_b, upstream_b, revision_b) = split(b);
    number(epoch_a.as_bytes(), epoch_b.as_bytes())
        .then_with(|| part(upstream_a.as_bytes(), upstream_b.as_bytes()))
        .then_with(|| part(revision_a.as_bytes(), revision_b.as_bytes()))
}

/// Epoch, upstream version, revision.
fn split(version: &str) -> (&str, &str, &str) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
    (epoch, upstream, revision)
}

/// Compares decimal numbers of any length.
fn number(a: &[u8], b: &[u8]) -> Ordering {
    let strip = |n: &[u8]| n.iter().position(|d| *d != b'0').unwrap_or(n.len());
    let (a, b) = (&a[strip(a)..], &b[strip(b)..]);
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// Where a character sorts: `~` before the end, letters before all else.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        None => 0,
        Some(b'~') => -1,
        Some(b) if b.is_ascii_digit() => 0,
        Some(b) if b.is_ascii_alphabetic() => i32::from(*b),
        Some(b) => i32::from(*b) + 256,
    }
}

/// Compares upstream versions or revisions: text and numbers by turns.
fn part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    let text = |s: &[u8]| s.iter().position(u8::is_ascii_digit).unwrap_or(s.len());
    let digits = |s: &[u8]| s.iter().position(|c| !c.is_ascii_digit()).unwrap_or(s.len());
    while !a.is_empty() || !b.is_empty() {
        let (end_a, end_b) = (text(a), text(b));
        for at in 0..end_a.max(end_b) {
            let (x, y) = (a[..end_a].get(at), b[..end_b].get(at));
            match weight(x).cmp(&weight(y)) {
                Ordering::Equal => {}
                order => return order,
            }
        }
        (a, b) = (&a[end_a..], &b[end_b..]);
        let (end_a, end_b) = (digits(a), digits(b));
        match number(&a[..end_a], &b[..end_b]) {
            Ordering::Equal => {}
            order => return order,
        }
        (a, b) = (&a[end_a..], &b[end_b..]);
    }
    Ordering::Equal
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn order_is_that_of_dpkg() {
        for (a, order, b) in [
            ("1.0", Ordering::Equal, "1.0-0"),
            ("1.0", Ordering::Equal, "0:1.0"),
            ("1.0", Ordering::Equal, "1.00"),
            ("1.0~rc1", Ordering::Less, "1.0"),
            ("1.0~~", Ordering::Less, "1.0~"),
            ("1.0", Ordering::Less, "1.0a"),
            ("1.0a", Ordering::Less, "1.0+"),
            ("1.9", Ordering::Less, "1.10"),
            ("2:0.1", Ordering::Greater, "1:9"),
            ("1.2-1", Ordering::Less, "1.2-1+deb12u1"),
            ("1.2-1+b1", Ordering::Less, "1.2-1+deb12u1"),
            ("1.2-3-4", Ordering::Greater, "1.2-2-9"),
            ("99999999999999999999999", Ordering::Greater, "9999999999999999999999"),
            ("", Ordering::Less, "0a"),
        ] {
            assert_eq!(compare(a, b), order, "{a} {b}");
            assert_eq!(compare(b, a), order.reverse(), "{b} {a}");
        }
    }

    proptest! {
        #[test]
        fn it_is_an_order(a in "[0-9a-b.~+:-]{0,8}", b in "[0-9a-b.~+:-]{0,8}", c in "[0-9a-b.~+:-]{0,8}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            if compare(&a, &b) != Ordering::Greater && compare(&b, &c) != Ordering::Greater {
                prop_assert_ne!(compare(&a, &c), Ordering::Greater);
            }
        }
    }
}
