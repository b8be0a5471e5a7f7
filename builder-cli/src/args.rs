//! The command line as it was typed: types and help text, nothing resolved.
//!
//! Limitations: environment variables are not read here; `settings` does that.

mod dockerfile;
mod habits;

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};

pub(crate) use self::dockerfile::{Allowed, DockerfileArgs, RunNetworkArg};
use self::habits::Habits;
use crate::exit;
use crate::values::{
    CallArg, OutputArg, SecretArg, SshArg, annotation, call, key_value, output_spec, secret_spec,
    size, ssh,
};

/// phoenix: build container images and golden images from a base plus a recipe
#[derive(Debug, Parser)]
#[command(name = "phoenix", version, after_help = exit::TABLE, max_term_width = 100)]
#[command(propagate_version = false)]
pub(crate) struct Cli {
    /// Where images and results are kept [default: $PHOENIX_STORE, else `phoenix` in the XDG data
    /// directory]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) store: Option<PathBuf>,

    /// Speak to this registry without TLS, as to this machine itself (repeatable)
    #[arg(long = "insecure-registry", global = true, value_name = "HOST[:PORT]")]
    pub(crate) insecure_registries: Vec<String>,

    /// What to do
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// One per file in `commands/`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build an image from a recipe or a Dockerfile
    Build(Box<BuildArgs>),
    /// Say what a build would do and why, and run nothing
    Plan(PlanArgs),
    /// Say what a step looked at and why it ran, or what nobody ever looked at
    Explain(ExplainArgs),
    /// Take an image's steps to another base; run those only that it changes
    Rebase(Box<RebaseArgs>),
    /// Check a recipe without building
    Validate(ValidateArgs),
    /// Print the recipe's JSON Schema, for editors
    Schema,
    /// Write a first recipe
    Init(InitArgs),
    /// Write the recipe that makes the same as a Dockerfile
    Convert(Box<ConvertArgs>),
    /// Pin what a recipe or Dockerfile takes from outside in recipe.lock or Dockerfile.lock
    Lock(RecipeArgs),
    /// Say what this host can do, and what to do about what is missing
    Doctor(FormatArgs),
    /// List the images in the store
    Images(ImagesArgs),
    /// Bring an image of a registry into the store
    Pull(PullArgs),
    /// Bring an image of the store to a registry
    Push(PushArgs),
    /// Give an image another name
    Tag(TagArgs),
    /// Remove names of images from the store
    #[command(alias = "rmi")]
    Rm(RmArgs),
    /// Remove from the store what no image with a name needs
    Prune(PruneArgs),
    /// Show an image's digests, layers, config and annotations
    Inspect(ImageArgs),
    /// Show what each layer of an image came from
    History(ImageFormatArgs),
    /// List files of an image
    Ls(LsArgs),
    /// Print a file of an image
    Cat(CatArgs),
    /// Run a command in an image, on a throwaway copy
    Run(RunArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write those of all commands into a directory
    #[command(hide = true)]
    Man(ManArgs),
}

/// Which recipe, and what it is given.
#[derive(Debug, Args)]
pub(crate) struct RecipeArgs {
    /// The build context, with the recipe or Dockerfile: a directory, a git repository, or `-` for
    /// an archive or a Dockerfile on standard input
    #[arg(default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,

    /// The recipe (where it ends in .yaml) or Dockerfile; `-` is a Dockerfile on standard input
    /// [default: recipe.yaml, Dockerfile or Containerfile in DIR]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,

    /// Set a param of the recipe
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = key_value)]
    pub(crate) set: Vec<(String, String)>,

    #[command(flatten)]
    pub(crate) docker: DockerfileArgs,
}

/// What decides which steps run.
#[derive(Debug, Args)]
pub(crate) struct ReuseArgs {
    /// The stage to build [default: the last one]
    #[arg(long, value_name = "STAGE", visible_alias = "stage")]
    pub(crate) target: Option<String>,

    /// Reuse nothing, or not the result of STEP (repeatable)
    #[arg(long, value_name = "STEP", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "")]
    pub(crate) no_cache: Vec<String>,

    /// Reuse no result of these stages (repeatable)
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    pub(crate) no_cache_filter: Vec<String>,

    /// Run again what would be reused, compare what it makes, and fail naming what differs
    #[arg(long)]
    pub(crate) paranoid: bool,

    /// Run tests again that have passed before
    #[arg(long)]
    pub(crate) retest: bool,

    /// Take from outside only what the lock pins (see `phoenix lock`)
    #[arg(long)]
    pub(crate) locked: bool,

    /// Ask registries which images names mean now, whatever the store and the lock have
    #[arg(long, conflicts_with = "locked", action = ArgAction::Set, default_value = "false")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) pull: bool,

    /// A secret for steps that ask for it: id=ID,src=FILE or id=ID,env=VARIABLE (repeatable)
    #[arg(long = "secret", value_name = "SPEC", value_parser = secret_spec)]
    pub(crate) secrets: Vec<SecretArg>,
}

/// `phoenix build`
#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,

    #[command(flatten)]
    pub(crate) reuse: ReuseArgs,

    #[command(flatten)]
    pub(crate) habits: Habits,

    /// Name the image (repeatable)
    #[arg(short, long = "tag", value_name = "NAME[:TAG]")]
    pub(crate) tags: Vec<String>,

    #[arg(
        help = "An ssh agent for steps that ask for it: default, or ID=SOCKET, or ID=KEY[,KEY] \
(repeatable)"
    )]
    #[arg(long = "ssh", value_name = "ID[=PATH]", value_parser = ssh)]
    pub(crate) ssh: Vec<SshArg>,

    /// Only check the Dockerfile (the same as --call check); fails if there is a warning
    #[arg(long, action = ArgAction::Set, default_value = "false", value_name = "BOOL")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    pub(crate) check: bool,

    /// Only tell of the Dockerfile: check, outline or targets; with ,format=json for programs
    #[arg(long, value_name = "METHOD", value_parser = call)]
    pub(crate) call: Option<CallArg>,

    /// Set an annotation of the image's manifest (repeatable)
    #[arg(long = "annotation", value_name = "NAME=VALUE", value_parser = annotation)]
    pub(crate) annotations: Vec<(String, String)>,

    /// Also write the image elsewhere: type=oci|docker|tar|local,dest=PATH (`-` is standard
    /// output; repeatable) or type=engine; PATH alone is a directory, `-` alone a tar of the files; records=true adds to oci what `rebase` needs, which
    /// tells paths and commands; type=registry[,name=NAME] sends it to a registry,
    /// type=image,name=NAME[,push=true] names it
    #[arg(short, long = "output", value_name = "SPEC", value_parser = output_spec)]
    pub(crate) outputs: Vec<OutputArg>,

    /// Also bring the image into the container engine that DOCKER_HOST or Docker's current context
    /// names, else Docker's or Podman's on this host (the same as -o type=engine)
    #[arg(long, action = ArgAction::Set, default_value = "false", value_name = "BOOL")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    pub(crate) load: bool,

    /// Send the image to the registries of its names
    #[arg(long, action = ArgAction::Set, default_value = "false", value_name = "BOOL")]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    pub(crate) push: bool,

    /// How many steps run at the same time [default: one per processor]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,

    /// How progress is shown
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub(crate) progress: Progress,

    /// Print the image's digest and nothing else (the same as --progress quiet)
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Write digests, and what each step did and why, to FILE as JSON
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) metadata_file: Option<PathBuf>,

    /// Write the digest of the image's config (its "image id") to FILE
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) iidfile: Option<PathBuf>,

    /// How new layers are compressed
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub(crate) compression: CompressionArg,

    /// Build again whenever context, recipe or lock change, the plan first; Ctrl-C ends it
    #[arg(long)]
    pub(crate) watch: bool,

    /// Run each step only when all above it have ended
    #[arg(long)]
    pub(crate) no_run_ahead: bool,

    /// Build twice in fresh stores and name the files that differ
    #[arg(long)]
    pub(crate) check_reproducible: bool,
}

/// `phoenix plan`
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,

    #[command(flatten)]
    pub(crate) reuse: ReuseArgs,

    /// Also show how a text changed that makes a step run
    #[arg(long)]
    pub(crate) diff: bool,

    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// `phoenix explain`
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The directory with the recipe [default: .]; with --unused it may also be an image
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<String>,

    /// The step: its name, its number in the list, or a part of its name that no other has; it may
    /// stand alone where it names no directory with a recipe [default: lists builds and steps]
    pub(crate) step: Option<String>,

    /// The recipe [default: recipe.yaml in DIR]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,

    /// Also say what differs from an earlier build: its number, or the image that it made
    #[arg(long, value_name = "BUILD", conflicts_with = "unused")]
    pub(crate) against: Option<String>,

    /// List by size what of the image no step and no test ever looked at
    #[arg(long, conflicts_with = "step")]
    pub(crate) unused: bool,

    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// `phoenix rebase`
#[derive(Debug, Args)]
pub(crate) struct RebaseArgs {
    #[arg(help = "NAME[:TAG] or the start of its digest, or PATH[:TAG] of an OCI layout")]
    pub(crate) image: String,

    /// The new base: as IMAGE, or a root file system
    #[arg(long, value_name = "BASE")]
    pub(crate) onto: String,

    /// Name the result (repeatable)
    #[arg(short, long = "tag", value_name = "NAME[:TAG]")]
    pub(crate) tags: Vec<String>,

    /// Only say which steps would run, and why
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    /// A secret for steps that run: id=ID,src=FILE or id=ID,env=VARIABLE (repeatable)
    #[arg(long = "secret", value_name = "SPEC", value_parser = secret_spec)]
    pub(crate) secrets: Vec<SecretArg>,

    /// Also write the result elsewhere, as `phoenix build` does (repeatable)
    #[arg(short, long = "output", value_name = "SPEC", value_parser = output_spec)]
    pub(crate) outputs: Vec<OutputArg>,

    /// Also bring the result into a container engine, as `phoenix build` does
    #[arg(long)]
    pub(crate) load: bool,

    /// How progress is shown
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub(crate) progress: Progress,

    /// Print the result's digest and nothing else (the same as --progress quiet)
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Write digests, and what each step did and why, to FILE as JSON
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) metadata_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// `phoenix validate`
#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,

    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// `phoenix init`
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Where
    #[arg(default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,

    /// Replace a recipe that is there
    #[arg(long)]
    pub(crate) force: bool,
}

/// `phoenix convert`
#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    /// The Dockerfile, whose directory is the build context; or the context, with a Dockerfile in
    /// it; or `-` for a Dockerfile on standard input
    #[arg(default_value = ".", value_name = "DOCKERFILE", value_hint = ValueHint::AnyPath)]
    pub(crate) from: PathBuf,

    /// The Dockerfile, where DOCKERFILE is the context
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,

    /// Where the recipe goes; `-` is standard output [default: recipe.yaml beside the Dockerfile]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,

    /// Replace a recipe that is there
    #[arg(long)]
    pub(crate) force: bool,

    /// Write only this stage, and those that it needs
    #[arg(long, value_name = "STAGE", visible_alias = "stage")]
    pub(crate) target: Option<String>,

    #[command(flatten)]
    pub(crate) docker: DockerfileArgs,
}

/// How a listing is printed.
#[derive(Debug, Args)]
pub(crate) struct FormatArgs {
    /// How it is printed
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: Format,
}

/// `phoenix images`
#[derive(Debug, Args)]
pub(crate) struct ImagesArgs {
    /// Also images without a name
    #[arg(short, long)]
    pub(crate) all: bool,

    /// Print digests only
    #[arg(short, long)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// An image.
#[derive(Debug, Args)]
pub(crate) struct ImageArgs {
    #[arg(help = "NAME[:TAG], or the start of its digest or of its config's")]
    pub(crate) image: String,
}

/// An image, and how what is said of it is printed.
#[derive(Debug, Args)]
pub(crate) struct ImageFormatArgs {
    #[command(flatten)]
    pub(crate) image: ImageArgs,

    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// How moving an image is shown.
#[derive(Debug, Args)]
pub(crate) struct TransferArgs {
    /// How progress is shown
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub(crate) progress: Progress,

    /// Show no progress
    #[arg(short, long)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// `phoenix pull`
#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    #[arg(help = "NAME[:TAG] or NAME@DIGEST, as in docker pull")]
    pub(crate) name: String,

    /// Name it in the store [default: NAME]
    #[arg(short, long = "tag", value_name = "NAME[:TAG]")]
    pub(crate) tags: Vec<String>,

    /// The platform, where there are several: os/arch[/variant] [default: this machine's]
    #[arg(long, value_name = "PLATFORM")]
    pub(crate) platform: Option<String>,

    #[command(flatten)]
    pub(crate) transfer: TransferArgs,
}

/// `phoenix push`
#[derive(Debug, Args)]
pub(crate) struct PushArgs {
    #[arg(help = "NAME[:TAG], or the start of its digest or of its config's")]
    pub(crate) image: String,

    /// The name that it gets at the registry [default: the one that it has]
    #[arg(value_name = "NAME[:TAG]")]
    pub(crate) to: Option<String>,

    #[command(flatten)]
    pub(crate) transfer: TransferArgs,
}

/// `phoenix tag`
#[derive(Debug, Args)]
pub(crate) struct TagArgs {
    #[command(flatten)]
    pub(crate) image: ImageArgs,

    /// The new name
    #[arg(value_name = "NAME[:TAG]")]
    pub(crate) name: String,
}

/// `phoenix rm`
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    #[arg(help = "NAME[:TAG] of each, or the start of its digest")]
    #[arg(required = true, value_name = "IMAGE")]
    pub(crate) images: Vec<String>,
}

/// `phoenix prune`
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Also results of steps, downloads and cache mounts: all but the images that have names
    #[arg(short, long)]
    pub(crate) all: bool,

    /// Remove the results used longest ago until no more than SIZE (as 10GB, 512MiB) is needed
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) keep_storage: Option<u64>,

    /// Only say what would be removed
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,

    /// Do not ask
    #[arg(short, long)]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// `phoenix ls`
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    pub(crate) image: ImageArgs,

    /// The file or directory
    #[arg(default_value = "/")]
    pub(crate) path: String,

    /// Go into directories
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,

    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// `phoenix cat`
#[derive(Debug, Args)]
pub(crate) struct CatArgs {
    #[command(flatten)]
    pub(crate) image: ImageArgs,

    /// The file; symbolic links are followed within the image
    pub(crate) path: String,
}

/// `phoenix run`
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Give the command a terminal (done anyway where there is one at both ends)
    #[arg(short, long)]
    pub(crate) tty: bool,

    /// Pass standard input (always done)
    #[arg(short, long)]
    pub(crate) interactive: bool,

    /// Remove the copy afterwards (always done)
    #[arg(long, hide = true)]
    pub(crate) rm: bool,

    /// Set a variable, or pass on the one that is set here (repeatable)
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,

    /// Run as another user of the image
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub(crate) user: Option<String>,

    /// Start in another directory of the image
    #[arg(short, long, value_name = "PATH")]
    pub(crate) workdir: Option<String>,

    /// Run this program instead of the image's entrypoint; CMD are its arguments
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) entrypoint: Option<String>,

    /// The network that the command has
    #[arg(long, value_enum, default_value_t, value_name = "NETWORK")]
    pub(crate) network: NetworkArg,

    #[command(flatten)]
    pub(crate) image: ImageArgs,

    /// The command and its arguments [default: the image's entrypoint and command]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub(crate) command: Vec<String>,
}

/// `phoenix man`
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Where the pages go
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
}

/// `phoenix completions`
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// How a listing is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Progress {
    /// tty on a terminal, else plain
    #[default]
    Auto,
    /// What runs, with timers, redrawn in place
    Tty,
    /// Lines, for logs
    Plain,
    /// JSON lines on standard output, for programs
    Json,
    /// The image's digest only
    Quiet,
}

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum CompressionArg {
    /// Accepted everywhere
    #[default]
    Gzip,
    /// Faster and smaller; Docker 23 or Podman 4 and newer
    Zstd,
}

/// A network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum NetworkArg {
    /// The host's
    #[default]
    Host,
    /// None but a loopback device
    None,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn definition_holds_together() {
        Cli::command().debug_assert();
    }

    fn build(line: &str) -> Result<BuildArgs, clap::Error> {
        let words = ["phoenix", "build"].into_iter().chain(line.split_whitespace());
        Cli::try_parse_from(words).map(|cli| match cli.command {
            Command::Build(build) => *build,
            other => panic!("not a build: {other:?}"),
        })
    }

    #[test]
    fn no_cache_is_for_all_or_for_named_steps_and_never_eats_the_directory() {
        assert_eq!(build("").expect("parses").reuse.no_cache, Vec::<String>::new());
        let all = build("--no-cache app").expect("parses");
        assert_eq!(all.reuse.no_cache, [""]);
        assert_eq!(all.recipe.dir, PathBuf::from("app"));
        let two = build("--no-cache=a --no-cache=b").expect("parses");
        assert_eq!(two.reuse.no_cache, ["a", "b"]);
    }

    #[test]
    fn command_of_run_keeps_its_own_options() {
        let cli = Cli::try_parse_from(["phoenix", "run", "app:1", "ls", "-l", "--store"]);
        let Command::Run(run) = cli.expect("parses").command else { panic!("not run") };
        assert_eq!(run.command, ["ls", "-l", "--store"]);
    }
}
