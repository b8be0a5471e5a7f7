//! `RUN --mount`: comma-separated fields, read once their variables are known.
//!
//! In: a flag's value and what expands its values. Out: a [`Mount`], or the
//! first thing that is wrong, in `BuildKit`'s words.
//!
//! Fields are read in their order: `required` counts for a secret only after
//! `type=secret`, as in `BuildKit`. What a mount of some type must have beside
//! (a target, say) is for lowering to ask.

use crate::frontend::{Diagnostic, SourceFile};

use super::ast::Word;
use super::units;

/// A `--mount` as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountSpec {
    /// The flag's value.
    pub text: Word,
    /// `from=`, which takes no variables, so that it is known before any is.
    pub from: Option<String>,
}

/// Every key, as suggestions name them.
const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
    "env",
];

impl MountSpec {
    /// Takes a flag's value.
    pub(super) fn new(source: &SourceFile, text: Word) -> Result<Self, Diagnostic> {
        let mut spec = Self { text, from: None };
        for field in spec.fields(source)? {
            let Some((key, value)) = field.split_once('=') else { continue };
            if !key.eq_ignore_ascii_case("from") {
                continue;
            }
            if value.find('$').is_some_and(|at| at + 1 < value.len()) {
                let message = "'from' doesn't support variable expansion";
                let help = "give the image a stage of its own and name that";
                return Err(source.diagnostic(spec.text.span, message).help(help));
            }
            spec.from = Some(value.to_owned());
        }
        Ok(spec)
    }

    /// Reads the fields, each value of which goes through `expand` first.
    ///
    /// # Errors
    /// What is wrong with them, or what `expand` says.
    pub fn mount(
        &self,
        source: &SourceFile,
        expand: &mut dyn FnMut(&str) -> Result<String, Diagnostic>,
    ) -> Result<Mount, Diagnostic> {
        let fail = |fault: Fault| {
            let diagnostic = source.diagnostic(self.text.span, fault.message);
            match fault.wrong {
                Some((wrong, right)) => diagnostic.suggest(&wrong, right.iter().copied()),
                None => diagnostic,
            }
        };
        let mut mount = Mount::default();
        let mut read_only = None;
        for field in self.fields(source)? {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key.to_ascii_lowercase(), Some(expand(value)?)),
                None => (field.to_ascii_lowercase(), None),
            };
            match value {
                Some(value) => mount.set(&key, value, &field, &mut read_only).map_err(fail)?,
                None => mount.switch(&key, &field, &mut read_only).map_err(fail)?,
            }
        }
        mount.finish(read_only).map_err(|message| fail(message.into()))
    }

    fn fields(&self, source: &SourceFile) -> Result<Vec<String>, Diagnostic> {
        fields(&self.text.value).map_err(|why| {
            source.diagnostic(self.text.span, format!("failed to parse csv mounts: {why}"))
        })
    }
}

/// What is wrong, and a word that may be misspelt with what it may be.
struct Fault {
    message: String,
    wrong: Option<(String, &'static [&'static str])>,
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self { message, wrong: None }
    }
}

/// The fields of one line of comma-separated values.
fn fields(text: &str) -> Result<Vec<String>, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let len = rest.find(',').unwrap_or(rest.len());
                let field = &rest[..len];
                if field.contains('"') {
                    return Err("bare \" in non-quoted field");
                }
                (field.to_owned(), &rest[len..])
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(fields),
        }
    }
}

/// A field up to its closing quote; two quotes are one.
fn quoted_field(mut rest: &str) -> Result<(String, &str), &'static str> {
    let mut field = String::new();
    loop {
        let Some((part, after)) = rest.split_once('"') else {
            return Err("extraneous or missing \" in quoted-field");
        };
        field.push_str(part);
        match after.chars().next() {
            Some('"') => {
                field.push('"');
                rest = &after[1..];
            }
            None | Some(',') => return Ok((field, after)),
            Some(_) => return Err("extraneous or missing \" in quoted-field"),
        }
    }
}

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MountType {
    /// A directory or file of the context, a stage or an image.
    #[default]
    Bind,
    /// A directory that outlives the build.
    Cache,
    /// An empty directory in memory.
    Tmpfs,
    /// A secret's file or variable.
    Secret,
    /// A socket of an ssh agent.
    Ssh,
}

impl MountType {
    const NAMES: [&'static str; 5] = ["bind", "cache", "tmpfs", "secret", "ssh"];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "bind" => Self::Bind,
            "cache" => Self::Cache,
            "tmpfs" => Self::Tmpfs,
            "secret" => Self::Secret,
            "ssh" => Self::Ssh,
            _ => return None,
        })
    }
}

/// Who may use a cache at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Anyone.
    Shared,
    /// Each its own.
    Private,
    /// One after the other.
    Locked,
}

/// A `--mount`, its variables expanded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mount {
    /// What.
    pub kind: MountType,
    /// A stage, context or image.
    pub from: Option<String>,
    /// A path in it; of a secret, its id.
    pub source: Option<String>,
    /// Where it appears.
    pub target: Option<String>,
    /// Whether it cannot be written: as said, else so unless it is a cache or
    /// a tmpfs.
    pub read_only: bool,
    /// Bytes a tmpfs may hold; 0 where not said.
    pub size: u64,
    /// Id of a cache, secret or ssh agent.
    pub id: Option<String>,
    /// Of a cache; `None` where not said.
    pub sharing: Option<Sharing>,
    /// Whether a secret or ssh agent must be there.
    pub required: bool,
    /// The variable that holds the secret; `Some("")` for one of its id.
    pub env: Option<String>,
    /// Mode of a secret, socket or cache.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
}

impl Mount {
    /// A field without a value.
    fn switch(
        &mut self,
        key: &str,
        field: &str,
        read_only: &mut Option<bool>,
    ) -> Result<(), Fault> {
        match key {
            "readonly" | "ro" => *read_only = Some(true),
            "readwrite" | "rw" => *read_only = Some(false),
            "required" => {
                self.must_be(&[MountType::Secret, MountType::Ssh], key)?;
                self.required = true;
            }
            _ => return Err(format!("invalid field '{field}' must be a key=value pair").into()),
        }
        Ok(())
    }

    fn set(
        &mut self,
        key: &str,
        value: String,
        field: &str,
        read_only: &mut Option<bool>,
    ) -> Result<(), Fault> {
        let boolean = |value: &str| {
            units::boolean(value).ok_or_else(|| format!("invalid value for {key}: {value}"))
        };
        let number = |radix, value: &str| {
            // Go takes no sign where none can be.
            let parsed = u32::from_str_radix(value, radix).ok().filter(|_| !value.starts_with('+'));
            parsed.ok_or_else(|| format!("invalid value {value} for {key}"))
        };
        match key {
            "type" => match MountType::parse(&value) {
                Some(kind) => self.kind = kind,
                None => {
                    let message = format!("unsupported mount type {value:?}");
                    return Err(Fault { message, wrong: Some((value, &MountType::NAMES)) });
                }
            },
            "from" => self.from = some(value),
            "source" | "src" => self.source = some(value),
            "target" | "dst" | "destination" => self.target = some(value),
            "readonly" | "ro" => *read_only = Some(boolean(&value)?),
            "readwrite" | "rw" => *read_only = Some(!boolean(&value)?),
            "required" => {
                self.must_be(&[MountType::Secret, MountType::Ssh], key)?;
                self.required = boolean(&value)?;
            }
            "size" => {
                self.must_be(&[MountType::Tmpfs], key)?;
                let size = units::bytes(&value);
                self.size = size.ok_or_else(|| format!("invalid value for {key}: {value}"))?;
            }
            "id" => self.id = some(value),
            "sharing" => match value.to_ascii_lowercase().as_str() {
                "shared" => self.sharing = Some(Sharing::Shared),
                "private" => self.sharing = Some(Sharing::Private),
                "locked" => self.sharing = Some(Sharing::Locked),
                _ => {
                    let message = format!("unsupported sharing value {value:?}");
                    let right = &["shared", "private", "locked"];
                    return Err(Fault { message, wrong: Some((value, right)) });
                }
            },
            "mode" => self.mode = Some(number(8, &value)?),
            "uid" => self.uid = Some(number(10, &value)?),
            "gid" => self.gid = Some(number(10, &value)?),
            "env" => self.env = Some(value),
            _ => {
                let message = format!("unexpected key '{key}' in '{field}'");
                return Err(Fault { message, wrong: Some((key.to_owned(), &KEYS)) });
            }
        }
        Ok(())
    }

    fn must_be(&self, kinds: &[MountType], key: &str) -> Result<(), String> {
        match kinds.contains(&self.kind) {
            true => Ok(()),
            false => Err(format!("unexpected key '{key}' for mount type '{}'", self.kind.name())),
        }
    }

    /// Checks what only the whole shows.
    fn finish(mut self, read_only: Option<bool>) -> Result<Self, String> {
        let kind = self.kind;
        let owned = matches!(kind, MountType::Secret | MountType::Ssh | MountType::Cache);
        let given = [("mode", self.mode), ("uid", self.uid), ("gid", self.gid)];
        let first = given.iter().find(|(_, value)| value.is_some());
        if let Some((key, _)) = first.filter(|_| !owned) {
            return Err(format!("{key} not allowed for {:?} type mounts", kind.name()));
        }
        let writable = matches!(kind, MountType::Cache | MountType::Tmpfs);
        self.read_only = read_only.unwrap_or(!writable);
        if kind == MountType::Secret {
            if self.from.is_some() {
                return Err("secret mount should not have a from".to_owned());
            }
            if self.sharing.is_some() {
                return Err("secret mount should not define sharing".to_owned());
            }
            if self.source.is_none() && self.target.is_none() && self.id.is_none() {
                let message = "invalid secret mount. one of source, target required";
                return Err(message.to_owned());
            }
            if self.source.is_some() && self.id.is_some() {
                return Err("both source and id can't be set".to_owned());
            }
        }
        if self.sharing.is_some() && kind != MountType::Cache {
            return Err(format!("invalid cache sharing set for {} mount", kind.name()));
        }
        Ok(self)
    }
}

/// An empty value is as none.
fn some(value: String) -> Option<String> {
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests;
