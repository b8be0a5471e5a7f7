//! A case as text: a head of `key: value`, then sections, each behind a line
//! `-- NAME ATTRIBUTE… --`. In: the file. Out: its parts, as they stand there.
//! What a peer made of the case stands in the sections `expect …`, at the end.
//! What a wrongly written case panics with names it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Whether Debian's Docker is asked too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Docker {
    /// It knows all that the case is about.
    Asked,
    /// It does not, for this reason.
    Not(String),
}

/// A question that is not a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// What the checks find.
    Check,
    /// The stages.
    Targets,
    /// What can be given to the build.
    Outline,
}

impl Call {
    /// As it is typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Targets => "targets",
            Self::Outline => "outline",
        }
    }
}

/// A file of the case.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    /// Where it lies: in the context, or beside it behind `../`.
    pub(crate) path: String,
    /// What is said of it, in order: `mode=0755`, `dir`.
    pub(crate) attributes: Vec<(String, String)>,
    /// The lines up to the next section.
    pub(crate) body: String,
}

/// One case.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// `GROUP/NAME`.
    pub(crate) name: String,
    /// Where it is written.
    pub(crate) file: PathBuf,
    /// What it shows.
    pub(crate) title: String,
    /// Flags of `docker build`, each with its value.
    pub(crate) flags: Vec<(String, String)>,
    /// What is in the environment of the command.
    pub(crate) env: Vec<(String, String)>,
    /// Whether Docker is asked.
    pub(crate) docker: Docker,
    /// A question instead of a build.
    pub(crate) call: Option<Call>,
    /// What an error must say.
    pub(crate) words: Vec<String>,
    /// What Phoenix says in the place of these words.
    pub(crate) ours: Vec<String>,
    /// Named differences that are wanted: who, which.
    pub(crate) differs: Vec<(String, String)>,
    /// Its files.
    pub(crate) sections: Vec<Section>,
    /// The peer and its version that the expectation was recorded from.
    pub(crate) recorded: Option<String>,
    /// What must come of it, by what it is: `tree`, `config`, `history`, `error`, ….
    pub(crate) expect: BTreeMap<String, String>,
}

impl Case {
    /// Reads a case.
    pub(crate) fn read(name: String, file: &Path) -> Self {
        let text = std::fs::read_to_string(file).expect("a case can be read");
        let mut case = Self {
            name,
            file: file.to_owned(),
            title: String::new(),
            flags: Vec::new(),
            env: Vec::new(),
            docker: Docker::Asked,
            call: None,
            words: Vec::new(),
            ours: Vec::new(),
            differs: Vec::new(),
            sections: Vec::new(),
            recorded: None,
            expect: BTreeMap::new(),
        };
        let mut lines = text.split_inclusive('\n').peekable();
        while let Some(line) = lines.next_if(|line| marker(line).is_none()) {
            case.head(line.trim_end());
        }
        while let Some(line) = lines.next() {
            let words = marker(line).expect("the last loop ended at one");
            let mut body = String::new();
            while let Some(line) = lines.next_if(|line| marker(line).is_none()) {
                body.push_str(line);
            }
            case.section(&words, body);
        }
        case
    }

    fn head(&mut self, line: &str) {
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        let wrong = || panic!("{}: `{line}` is no line of a head", self.name);
        let (key, value) = line.split_once(": ").unwrap_or_else(wrong);
        match key {
            "title" => value.clone_into(&mut self.title),
            "flag" => {
                let (flag, value) = value.split_once(' ').unwrap_or((value, ""));
                self.flags.push((flag.to_owned(), value.to_owned()));
            }
            "env" => {
                let (name, value) = value.split_once('=').unwrap_or_else(wrong);
                self.env.push((name.to_owned(), value.to_owned()));
            }
            "docker" if value == "yes" => self.docker = Docker::Asked,
            "docker" => {
                let why = value.strip_prefix("no (").and_then(|rest| rest.strip_suffix(')'));
                let Some(why) = why else { panic!("{}: docker: yes | no (why)", self.name) };
                self.docker = Docker::Not(why.to_owned());
            }
            "call" => {
                let known = [Call::Check, Call::Targets, Call::Outline];
                let call = known.into_iter().find(|call| call.name() == value);
                self.call = Some(call.unwrap_or_else(|| panic!("{}: call {value}", self.name)));
            }
            "words" => self.words = value.split(" | ").map(str::to_owned).collect(),
            "ours" => self.ours = value.split(" | ").map(str::to_owned).collect(),
            "differs" => {
                let (who, which) = value.split_once(' ').unwrap_or_else(wrong);
                self.differs.push((who.to_owned(), which.to_owned()));
            }
            "recorded" => self.recorded = Some(value.to_owned()),
            _ => panic!("{}: `{key}` is no key of a head", self.name),
        }
    }

    fn section(&mut self, words: &[String], body: String) {
        if words[0] == "expect" {
            assert!(words.len() == 2, "{}: expect WHAT", self.name);
            self.expect.insert(words[1].clone(), body);
            return;
        }
        let attribute = |word: &String| {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            (key.to_owned(), value.to_owned())
        };
        let attributes = words[1..].iter().map(attribute).collect();
        self.sections.push(Section { path: words[0].clone(), attributes, body });
    }
}

/// The words of a line that opens a section.
fn marker(line: &str) -> Option<Vec<String>> {
    let inner = line.trim_end_matches('\n').strip_prefix("-- ")?.strip_suffix(" --")?;
    let words: Vec<String> = inner.split(' ').map(str::to_owned).collect();
    (!words[0].is_empty()).then_some(words)
}

/// All cases below `dir`, by name.
pub(crate) fn all(dir: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    for group in sorted(dir) {
        let in_group = group.file_name().expect("a name").to_string_lossy().into_owned();
        for file in sorted(&group) {
            let stem = file.file_stem().expect("a name").to_string_lossy().into_owned();
            let known = file.extension().is_some_and(|extension| extension == "txt");
            assert!(known, "{} is no case", file.display());
            cases.push(Case::read(format!("{in_group}/{stem}"), &file));
        }
    }
    cases
}

fn sorted(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("cases are there").flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Bytes from text in which `\n`, `\r`, `\t`, `\\` and `\xNN` stand for what
/// they do in Rust.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, used) = match (first, tail) {
            (b'\\', [b'n', ..]) => (b'\n', 2),
            (b'\\', [b'r', ..]) => (b'\r', 2),
            (b'\\', [b't', ..]) => (b'\t', 2),
            (b'\\', [b'\\', ..]) => (b'\\', 2),
            (b'\\', [b'x', high, low, ..]) => {
                let digits = [*high, *low].map(char::from).iter().collect::<String>();
                (u8::from_str_radix(&digits, 16).expect("two hexadecimal digits"), 4)
            }
            (byte, _) => (*byte, 1),
        };
        bytes.push(byte);
        rest = &rest[used..];
    }
    bytes
}
