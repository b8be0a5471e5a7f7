//! Which of several images is meant.

use std::path::Path;

use super::OciError;

/// An image that can be chosen.
pub(super) struct Candidate<T> {
    /// Its names, whole ones (`host/name:tag`) and bare tags.
    pub(super) names: Vec<String>,
    /// Its manifest's digest, in text.
    pub(super) digest: Option<String>,
    pub(super) item: T,
}

/// All candidates that `tag` means: several only if they bear the same name.
pub(super) fn select<T>(
    path: &Path,
    candidates: Vec<Candidate<T>>,
    tag: Option<&str>,
) -> Result<Vec<T>, OciError> {
    let names = || {
        let mut names: Vec<_> = candidates
            .iter()
            .flat_map(|c| match c.names.is_empty() {
                true => c.digest.iter().cloned().collect(),
                false => c.names.clone(),
            })
            .collect();
        names.sort();
        names.dedup();
        names
    };
    let path = path.to_owned();
    let Some(tag) = tag else {
        let same = candidates.windows(2).all(|two| {
            two[0].names == two[1].names
                || (two[0].digest.is_some() && two[0].digest == two[1].digest)
        });
        if candidates.is_empty() || !same {
            return Err(OciError::Ambiguous { names: names(), path });
        }
        return Ok(candidates.into_iter().map(|c| c.item).collect());
    };
    // The whole name first: a tag may not shadow it.
    for matches in [is_whole, is_tag] {
        if candidates.iter().any(|c| matches(c.names.as_slice(), c.digest.as_deref(), tag)) {
            let chosen = candidates
                .into_iter()
                .filter(|c| matches(c.names.as_slice(), c.digest.as_deref(), tag));
            return Ok(chosen.map(|c| c.item).collect());
        }
    }
    Err(OciError::NoSuchTag { names: names(), tag: tag.to_owned(), path })
}

fn is_whole(names: &[String], digest: Option<&str>, tag: &str) -> bool {
    digest == Some(tag) || names.iter().any(|name| name == tag)
}

fn is_tag(names: &[String], _digest: Option<&str>, tag: &str) -> bool {
    names.iter().any(|name| {
        let after = name.strip_suffix(tag);
        // `host/name:tag` by its tag, `docker.io/library/name:tag` by its short name.
        after.is_some_and(|rest| {
            rest.ends_with(':') && !tag.contains('/') || rest.ends_with('/') && tag.contains(':')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(images: &[(&[&str], &str)], tag: Option<&str>) -> Result<Vec<usize>, String> {
        let candidates = images.iter().enumerate().map(|(item, (names, digest))| Candidate {
            names: names.iter().map(ToString::to_string).collect(),
            digest: Some((*digest).to_owned()),
            item,
        });
        select(Path::new("x"), candidates.collect(), tag).map_err(|error| error.to_string())
    }

    #[test]
    fn a_name_a_tag_or_a_digest_means_one_image() {
        let images: &[(&[&str], &str)] =
            &[(&["host/app:1", "host/app:latest"], "d1"), (&["2"], "d2"), (&[], "d3")];
        for (tag, expected) in
            [("1", 0), ("latest", 0), ("host/app:1", 0), ("app:1", 0), ("2", 1), ("d3", 2)]
        {
            assert_eq!(choose(images, Some(tag)), Ok(vec![expected]), "{tag}");
        }
        let there = "there is 2, d3, host/app:1, host/app:latest";
        assert_eq!(choose(images, Some("3")), Err(format!("x has no image `3`; {there}")));
        let which = format!("x: say which image, as in `x:TAG`; {there}");
        assert_eq!(choose(images, None), Err(which));
    }

    #[test]
    fn without_a_name_there_must_be_one_image() {
        assert_eq!(choose(&[(&["1"], "d")], None), Ok(vec![0]));
        assert_eq!(choose(&[(&["1"], "d"), (&["2"], "d")], None), Ok(vec![0, 1]));
        assert_eq!(choose(&[(&["1"], "d"), (&["1"], "e")], None), Ok(vec![0, 1]));
        let none = "x: say which image, as in `x:TAG`; it has none";
        assert_eq!(choose(&[], None), Err(none.to_owned()));
    }
}
