//! The bytes of a Dockerfile as text.
//!
//! Files from before UTF-8 have names of people in their comments; nobody should
//! have to convert them. What means something must be UTF-8.

/// Where a file is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no UTF-8 text")]
pub struct NotText {
    /// The line, from 1.
    pub line: u32,
    /// The byte in it, from 1.
    pub column: u32,
}

/// The text of a file; in lines that are comments, bytes that are no UTF-8 become
/// U+FFFD.
///
/// # Errors
/// [`NotText`] for the first such byte elsewhere.
pub fn text(bytes: Vec<u8>) -> Result<String, NotText> {
    let bytes = match String::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(error) => error.into_bytes(),
    };
    let mut text = String::with_capacity(bytes.len());
    for (line, at) in bytes.split_inclusive(|byte| *byte == b'\n').zip(1_u32..) {
        match std::str::from_utf8(line) {
            Ok(line) => text.push_str(line),
            Err(_) if line.trim_ascii_start().starts_with(b"#") => {
                text.push_str(&String::from_utf8_lossy(line));
            }
            Err(error) => {
                let column = u32::try_from(error.valid_up_to()).unwrap_or(u32::MAX);
                return Err(NotText { line: at, column: column.saturating_add(1) });
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_comments_may_be_in_another_encoding() {
        let of = |bytes: &[u8]| text(bytes.to_vec());
        assert_eq!(of("FROM a # ä\n".as_bytes()), Ok("FROM a # ä\n".to_owned()));
        assert_eq!(of(b" # caf\xe9\nFROM a"), Ok(" # caf\u{fffd}\nFROM a".to_owned()));
        assert_eq!(of(b"FROM a\nRUN \xe9"), Err(NotText { line: 2, column: 5 }));
        assert_eq!(of(b""), Ok(String::new()));
    }
}
