//! Names of images in a store: `NAME[:TAG]`.

/// A text that cannot name an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` cannot name an image: {why}")]
pub struct TagError {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Checks a name by the rules of references (distribution spec, "Pulling
/// manifests") and adds `:latest` where it has no tag.
///
/// # Errors
/// [`TagError`].
pub fn normalise_tag(text: &str) -> Result<String, TagError> {
    let refuse = |why| TagError { text: text.to_owned(), why };
    if text.contains('@') {
        return Err(refuse("a name that is given cannot have a digest"));
    }
    let slash = text.rfind('/').map_or(0, |at| at + 1);
    let (name, tag) = match text[slash..].rfind(':') {
        Some(at) => (&text[..slash + at], &text[slash + at + 1..]),
        None => (text, "latest"),
    };
    let tag_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if tag.is_empty()
        || tag.len() > 128
        || !tag.chars().all(tag_char)
        || tag.starts_with(['.', '-'])
    {
        return Err(refuse(
            "a tag is up to 128 letters, digits, `_`, `.`, `-`, the first no `.` or `-`",
        ));
    }
    if name.is_empty() || name.len() > 255 {
        return Err(refuse("a name has 1 to 255 characters"));
    }
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => {
            (Some(host), path)
        }
        _ => (None, name),
    };
    let host_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    if host.is_some_and(|host| !host.chars().all(host_char)) {
        return Err(refuse("its registry is not a host name"));
    }
    if !path.split('/').all(is_component) {
        return Err(refuse(
            "a name is lower-case letters and digits, joined by `.`, `_`, `__`, `-` or `/`",
        ));
    }
    Ok(format!("{name}:{tag}"))
}

fn is_component(component: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let joined = component.split(alphanumeric).filter(|joint| !joint.is_empty());
    component.starts_with(alphanumeric)
        && component.ends_with(alphanumeric)
        && joined
            .into_iter()
            .all(|joint| matches!(joint, "." | "_" | "__") || joint.chars().all(|c| c == '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_get_a_tag() {
        for (given, name) in [
            ("hello", "hello:latest"),
            ("hello:1.0", "hello:1.0"),
            ("a/b/c", "a/b/c:latest"),
            ("localhost:5000/a", "localhost:5000/a:latest"),
            ("localhost:5000/a:x", "localhost:5000/a:x"),
            ("my--app__x.y_z", "my--app__x.y_z:latest"),
        ] {
            assert_eq!(normalise_tag(given).as_deref(), Ok(name), "{given}");
        }
    }

    #[test]
    fn bad_names_are_refused() {
        for bad in [
            "",
            ":x",
            "a:",
            "A",
            "a b",
            "a:-x",
            "a//b",
            "/a",
            "a/",
            "-a",
            "a@sha256:x",
            "a..b",
            "a:b:c!",
        ] {
            assert!(normalise_tag(bad).is_err(), "{bad}");
        }
    }
}
