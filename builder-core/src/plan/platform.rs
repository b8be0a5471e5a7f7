//! What an image is for, as it is written: `os/arch[/variant]`.

use std::fmt;

use super::op::ImagePlatform;

impl ImagePlatform {
    /// Reads it; `None` where it is malformed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_good = |part: &str| {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
            !part.is_empty() && part.bytes().all(plain)
        };
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts[..] {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant.to_owned())),
            _ => return None,
        };
        let (os, architecture) = (os.to_owned(), architecture.to_owned());
        parts.iter().all(|part| is_good(part)).then_some(Self { os, architecture, variant })
    }
}

impl fmt::Display for ImagePlatform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { os, architecture, variant } = self;
        write!(f, "{os}/{architecture}")?;
        variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_read_as_it_is_shown_and_nothing_else_is_one() {
        for text in ["linux/amd64", "linux/arm/v7"] {
            assert_eq!(ImagePlatform::parse(text).map(|p| p.to_string()), Some(text.to_owned()));
        }
        for bad in ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/a b", "linux/arm/"] {
            assert_eq!(ImagePlatform::parse(bad), None, "{bad}");
        }
    }
}
