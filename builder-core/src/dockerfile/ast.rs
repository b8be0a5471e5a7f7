//! What a Dockerfile says, as it was written: the tree that [`super::parse`]
//! makes and that lowering, checks and outlines read.
//!
//! Words hold their quotes, escapes and variables; whoever knows which
//! variables are in scope hands them to [`super::expand`]. JSON arrays are
//! decoded already.

use std::time::Duration;

use crate::frontend::{Span, Spanned};

use super::mount::MountSpec;

/// A piece of text and where it stands. Where a continuation cut it in two the
/// span covers both parts, so it may be longer than the text.
pub type Word = Spanned<String>;

/// A whole Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// The parser directives at the top.
    pub directives: Directives,
    /// The instructions before the first `FROM`: each is an `ARG`.
    pub preamble: Vec<Instruction>,
    /// At least one.
    pub stages: Vec<Stage>,
    /// Instructions that have an empty line where one continues (the line
    /// that ends them).
    pub empty_continuations: Vec<Span>,
}

impl Dockerfile {
    /// The `ARG`s before the first `FROM`, in their order.
    pub fn global_args(&self) -> impl Iterator<Item = &Arg> {
        self.preamble.iter().flat_map(|instruction| match &instruction.kind {
            InstructionKind::Arg(args) => args.as_slice(),
            _ => &[],
        })
    }

    /// The character that escapes and continues lines: `\` or `` ` ``.
    #[must_use]
    pub fn escape(&self) -> char {
        self.directives.escape.as_ref().map_or(super::ESCAPE, |escape| escape.value)
    }

    /// The index of the stage of this name, in any case; of several the last,
    /// as later ones hide earlier ones.
    #[must_use]
    pub fn stage(&self, name: &str) -> Option<usize> {
        self.stages.iter().rposition(|stage| {
            stage.name.as_ref().is_some_and(|own| own.value.eq_ignore_ascii_case(name))
        })
    }
}

/// The parser directives: comments of the form `# name=value` before all else.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directives {
    /// `syntax`: the image of the frontend that the author asks for.
    pub syntax: Option<Word>,
    /// `escape`.
    pub escape: Option<Spanned<char>>,
    /// `check`.
    pub check: Option<Spanned<Check>>,
}

/// What `# check=` asks of the checks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Check {
    /// Rules that are not to be checked.
    pub skip: Rules,
    /// Experimental rules that are.
    pub experimental: Rules,
    /// Whether a warning fails the build.
    pub error: bool,
}

/// A set of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rules {
    /// Every one.
    All,
    /// Those of these names, which need not exist.
    Named(Vec<String>),
}

impl Default for Rules {
    fn default() -> Self {
        Self::Named(Vec::new())
    }
}

impl Rules {
    /// Whether a rule is among them.
    #[must_use]
    pub fn contains(&self, rule: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.iter().any(|name| name == rule),
        }
    }
}

/// A `FROM` and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// All lines of the `FROM`.
    pub span: Span,
    /// `FROM`, as written.
    pub keyword: Word,
    /// The instruction on one line, its continuations joined.
    pub original: String,
    /// What it starts from, unexpanded: an image, `scratch`, an earlier stage.
    pub image: Word,
    /// `--platform`, unexpanded.
    pub platform: Option<Word>,
    /// The name it has, in lower case.
    pub name: Option<Word>,
    /// `AS` and the name, as written.
    pub alias: Option<(Word, Word)>,
    /// The text of `# NAME text` above it.
    pub description: Option<String>,
    /// The comments right above it.
    pub comments: Vec<Word>,
    /// In their order.
    pub instructions: Vec<Instruction>,
}

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// All its lines, those of its heredocs too.
    pub span: Span,
    /// As written.
    pub keyword: Word,
    /// The instruction on one line, its continuations joined, without the
    /// contents of its heredocs; what `created_by` and step names show.
    pub original: String,
    /// The comments right above it.
    pub comments: Vec<Word>,
    /// What it does.
    pub kind: InstructionKind,
}

/// What an instruction does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstructionKind {
    /// `ADD`.
    Add(Add),
    /// `ARG`: one or more.
    Arg(Vec<Arg>),
    /// `CMD`.
    Cmd(CommandLine),
    /// `COPY`.
    Copy(Copy),
    /// `ENTRYPOINT`.
    Entrypoint(CommandLine),
    /// `ENV`: one or more.
    Env(Vec<Pair>),
    /// `EXPOSE`: words that [`super::expose::ports`] reads once expanded (each
    /// may become several), sorted as `BuildKit` sorts them.
    Expose(Vec<Word>),
    /// `HEALTHCHECK`.
    Healthcheck(Healthcheck),
    /// `LABEL`: one or more.
    Label(Vec<Pair>),
    /// `MAINTAINER`, not to be expanded.
    Maintainer(Word),
    /// `ONBUILD`: an instruction that [`super::parse_trigger`] reads where the
    /// image is used as a base; with the contents of its heredocs.
    Onbuild(Word),
    /// `RUN`.
    Run(Run),
    /// `SHELL`, not to be expanded.
    Shell(Vec<String>),
    /// `STOPSIGNAL`.
    Stopsignal(Word),
    /// `USER`.
    User(Word),
    /// `VOLUME`.
    Volume(Vec<Word>),
    /// `WORKDIR`.
    Workdir(Word),
}

/// A command in one of its two forms, not to be expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandLine {
    /// Text for the shell; may be empty.
    Shell(String),
    /// Program and arguments, from a JSON array; may be empty.
    Exec(Vec<String>),
}

/// `RUN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The command. Where it has heredocs a shell reads them: see `heredocs`.
    pub command: CommandLine,
    /// What the command reads, in the order of `<<NAME` in it.
    pub heredocs: Vec<Heredoc>,
    /// `--mount`, in their order.
    pub mounts: Vec<MountSpec>,
    /// `--network`; [`RunNetwork::Default`] where it was not given.
    pub network: RunNetwork,
    /// `--security`.
    pub security: Security,
    /// `--device`, which lowering refuses: see [`super::unsupported`].
    pub devices: Vec<Word>,
}

/// `RUN --network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunNetwork {
    /// What the build gives every step.
    #[default]
    Default,
    /// None.
    None,
    /// The host's.
    Host,
}

/// `RUN --security`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Security {
    /// As every step.
    #[default]
    Sandbox,
    /// With all rights.
    Insecure,
}

/// Text that stands in the Dockerfile below the instruction that reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it, without quotes; the name of the file it makes.
    pub name: String,
    /// The number before `<<`; 0 where there is none.
    pub descriptor: u64,
    /// Whether variables in it are expanded (by `COPY` and `ADD`; in `RUN` the
    /// shell does it): no part of the name was quoted.
    pub expand: bool,
    /// Whether leading tabs are removed (`<<-`).
    pub chomp: bool,
    /// The lines as written, with their line ends and leading tabs.
    pub content: String,
    /// Where the content stands.
    pub span: Span,
}

impl Heredoc {
    /// The content without leading tabs, if they are to be removed.
    #[must_use]
    pub fn chomped(&self) -> String {
        if !self.chomp {
            return self.content.clone();
        }
        self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// What `COPY` and `ADD` take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceArg {
    /// A path, pattern, URL or git reference, unexpanded.
    Path(Word),
    /// A file that stands in the Dockerfile; `chomped` is its content.
    Heredoc(Heredoc),
}

/// `COPY`. Flags are unexpanded; `chown` and `chmod` are to be expanded,
/// `from` and `exclude` are not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Copy {
    /// `--from`: a stage's name or number, a named context, an image.
    pub from: Option<Word>,
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`.
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`.
    pub exclude: Vec<Word>,
    /// At least one.
    pub sources: Vec<SourceArg>,
    /// Where to; unexpanded.
    pub dest: Word,
}

/// `ADD`. Flags are unexpanded; `chown`, `chmod` and `checksum` are to be
/// expanded, `exclude` is not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Add {
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`.
    pub chmod: Option<Word>,
    /// `--checksum`.
    pub checksum: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--keep-git-dir`, where given.
    pub keep_git_dir: Option<bool>,
    /// `--unpack`, where given.
    pub unpack: Option<bool>,
    /// `--exclude`.
    pub exclude: Vec<Word>,
    /// At least one.
    pub sources: Vec<SourceArg>,
    /// Where to; unexpanded.
    pub dest: Word,
}

/// One name of an `ARG`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arg {
    /// Unexpanded.
    pub name: Word,
    /// The default, unexpanded; `None` where there is no `=`.
    pub value: Option<Word>,
    /// The text of `# NAME text` above it.
    pub description: Option<String>,
}

/// One pair of an `ENV` or `LABEL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Unexpanded.
    pub key: Word,
    /// Unexpanded.
    pub value: Word,
    /// Whether a space stood between them, not `=`.
    pub legacy: bool,
}

/// `HEALTHCHECK`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Healthcheck {
    /// `NONE`: the base's is taken away.
    None,
    /// `CMD`. What was not given, or as 0, is `None`.
    Check {
        /// What to run.
        command: CommandLine,
        /// `--interval`.
        interval: Option<Duration>,
        /// `--timeout`.
        timeout: Option<Duration>,
        /// `--start-period`.
        start_period: Option<Duration>,
        /// `--start-interval`.
        start_interval: Option<Duration>,
        /// `--retries`.
        retries: Option<u32>,
    },
}
