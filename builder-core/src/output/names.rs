//! Names of images: the whole form for containerd, the short one for Docker.

/// `name` with registry, namespace and tag: `docker.io/library/app:latest`.
pub(super) fn whole(name: &str) -> String {
    let (path, tag) = split(name);
    let first = path.split('/').next().unwrap_or_default();
    let has_host = path.contains('/') && (first.contains(['.', ':']) || first == "localhost");
    match (has_host, path.contains('/')) {
        (true, _) => format!("{path}:{tag}"),
        (false, true) => format!("docker.io/{path}:{tag}"),
        (false, false) => format!("docker.io/library/{path}:{tag}"),
    }
}

/// `name` as Docker's users write it, with its tag: `app:latest`.
pub(super) fn familiar(name: &str) -> String {
    let whole = whole(name);
    let short = whole.strip_prefix("docker.io/").unwrap_or(&whole);
    short.strip_prefix("library/").unwrap_or(short).to_owned()
}

/// The tag of `name`, or `latest`.
pub(super) fn tag(name: &str) -> &str {
    split(name).1
}

fn split(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, tag),
        _ => (name, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_whole_and_a_familiar_form() {
        for (name, full, short) in [
            ("app", "docker.io/library/app:latest", "app:latest"),
            ("me/app:1", "docker.io/me/app:1", "me/app:1"),
            ("host.org/app:1", "host.org/app:1", "host.org/app:1"),
            ("localhost:5000/app", "localhost:5000/app:latest", "localhost:5000/app:latest"),
            ("localhost/app:2", "localhost/app:2", "localhost/app:2"),
            ("docker.io/library/app:3", "docker.io/library/app:3", "app:3"),
        ] {
            assert_eq!((whole(name).as_str(), familiar(name).as_str()), (full, short));
        }
        assert_eq!((tag("localhost:5000/app"), tag("a:1")), ("latest", "1"));
    }
}
