//! The build context and the Dockerfile's text, wherever they are: a directory,
//! standard input (the Dockerfile itself, or an archive with it), a git
//! repository. The context of a repository is the commit that the Dockerfile was
//! read of.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use builder_core::dockerfile::{self, Context, git_reference, ignore_patterns};
use builder_core::engine::Looked;
use builder_core::plan::op::Source;

use super::super::engine::Opener;
use super::find::{NAMES, STDIN, is_remote};
use crate::args::RecipeArgs;
use crate::error::CliError;
use crate::files;

/// No Dockerfile is longer.
const MAX_DOCKERFILE: u64 = 4 << 20;
/// What a Dockerfile without a name is called.
const DEFAULT_NAME: &str = NAMES[0];

/// What was found.
pub(super) struct Given {
    /// What messages call the file.
    pub name: PathBuf,
    pub text: String,
    pub context: Option<Context>,
    /// An archive that must stay for as long as the plan is used.
    pub keeps: Option<tempfile::TempPath>,
}

/// Reads what `args` names; `path` is the Dockerfile, where it is known.
pub(super) fn read(
    args: &RecipeArgs,
    path: Option<&Path>,
    engine: &Opener<'_>,
) -> Result<Given, CliError> {
    let from_stdin = path.is_some_and(|path| path.as_os_str() == STDIN);
    if args.dir.as_os_str() == STDIN {
        if from_stdin {
            return Err(CliError::StdinTwice);
        }
        return of_stdin(path, engine);
    }
    if is_remote(&args.dir) {
        return of_git(&args.dir, path, from_stdin, engine);
    }
    let dir = files::absolute(&args.dir)?;
    let (name, text) = match path {
        Some(_) if from_stdin => (PathBuf::from(DEFAULT_NAME), stdin_text()?),
        Some(path) => (path.to_owned(), dockerfile_text(path, args)?),
        None => return Err(CliError::NothingToBuild { dir: args.dir.clone() }),
    };
    let ignore = ignored(&dir, (!from_stdin).then_some(name.as_path()))?;
    let context = Some(Context::Local { path: dir, ignore });
    Ok(Given { name, text, context, keeps: None })
}

fn dockerfile_text(path: &Path, args: &RecipeArgs) -> Result<String, CliError> {
    let bytes = files::read(path, MAX_DOCKERFILE).map_err(|error| match error {
        CliError::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            let context = args.dir.display().to_string();
            CliError::NoDockerfile { path: path.to_owned(), context }
        }
        other => other,
    })?;
    text_of(bytes, path)
}

/// The patterns of a directory: those beside the Dockerfile, else its own.
pub(super) fn ignored(dir: &Path, dockerfile: Option<&Path>) -> Result<Vec<String>, CliError> {
    let beside = dockerfile.map(|file| {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(".dockerignore");
        file.with_file_name(name)
    });
    for path in beside.into_iter().chain([dir.join(".dockerignore")]) {
        match files::read_text(&path) {
            Ok(text) => return Ok(ignore_patterns(&text)),
            Err(CliError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Vec::new())
}

fn stdin_failed(source: std::io::Error) -> CliError {
    CliError::Stdin { source }
}

fn text_of(bytes: Vec<u8>, path: &Path) -> Result<String, CliError> {
    let path = path.to_owned();
    dockerfile::text(bytes).map_err(|source| CliError::NotText { path, source })
}

fn stdin_text() -> Result<String, CliError> {
    let mut bytes = Vec::new();
    let mut limited = std::io::stdin().lock().take(MAX_DOCKERFILE + 1);
    limited.read_to_end(&mut bytes).map_err(stdin_failed)?;
    if bytes.len() as u64 > MAX_DOCKERFILE {
        return Err(stdin_failed(std::io::ErrorKind::FileTooLarge.into()));
    }
    text_of(bytes, Path::new(DEFAULT_NAME))
}

/// Standard input is an archive, or else a Dockerfile that has no context.
fn of_stdin(path: Option<&Path>, engine: &Opener<'_>) -> Result<Given, CliError> {
    let mut stdin = std::io::stdin().lock();
    let mut head = Vec::new();
    stdin.by_ref().take(512).read_to_end(&mut head).map_err(stdin_failed)?;
    if !is_archive(&head) {
        let mut limited = stdin.take(MAX_DOCKERFILE);
        limited.read_to_end(&mut head).map_err(stdin_failed)?;
        let (name, text) = (PathBuf::from(DEFAULT_NAME), text_of(head, Path::new(DEFAULT_NAME))?);
        return Ok(Given { name, text, context: None, keeps: None });
    }
    let mut archive = tempfile::NamedTempFile::new().map_err(stdin_failed)?;
    archive.write_all(&head).map_err(stdin_failed)?;
    std::io::copy(&mut stdin, &mut archive).map_err(stdin_failed)?;
    archive.seek(SeekFrom::Start(0)).map_err(stdin_failed)?;
    let keeps = archive.into_temp_path();
    let source = Source::Rootfs { path: keeps.to_path_buf() };
    let (name, text, _) = found_in(source, path, "standard input", engine)?;
    let context = Some(Context::Archive(keeps.to_path_buf()));
    Ok(Given { name, text, context, keeps: Some(keeps) })
}

/// A tar, plain or compressed, by its first bytes.
fn is_archive(head: &[u8]) -> bool {
    let magics: [&[u8]; 4] = [b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"];
    magics.iter().any(|magic| head.starts_with(magic))
        || head.get(257..262).is_some_and(|magic| magic == b"ustar")
}

fn of_git(
    dir: &Path,
    path: Option<&Path>,
    from_stdin: bool,
    engine: &Opener<'_>,
) -> Result<Given, CliError> {
    let text = dir.to_string_lossy();
    let url = match text.strip_prefix("github.com/") {
        Some(rest) => {
            let (repository, fragment) = rest.split_once('#').unwrap_or((rest, ""));
            let repository = repository.trim_end_matches('/').trim_end_matches(".git");
            format!("https://github.com/{repository}.git#{fragment}")
        }
        None => text.into_owned(),
    };
    let git = git_reference(&url).and_then(Result::ok);
    let git = git.ok_or_else(|| CliError::BadContext { context: url.clone() })?;
    if from_stdin {
        let (name, text) = (PathBuf::from(DEFAULT_NAME), stdin_text()?);
        return Ok(Given { name, text, context: Some(Context::Git(git)), keeps: None });
    }
    let (name, text, looked) = found_in(Source::Git(git.clone()), path, &url, engine)?;
    // A push in between must not give one commit's Dockerfile the files of another.
    let git = looked.git().cloned().unwrap_or(git);
    Ok(Given { name, text, context: Some(Context::Git(git)), keeps: None })
}

/// The Dockerfile in a context that is no directory.
fn found_in(
    source: Source,
    path: Option<&Path>,
    context: &str,
    engine: &Opener<'_>,
) -> Result<(PathBuf, String, Looked), CliError> {
    let looked = engine.look(source)?;
    let names: Vec<String> = match path {
        Some(path) => vec![path.to_string_lossy().into_owned()],
        None => NAMES.map(str::to_owned).to_vec(),
    };
    for name in names {
        if let Some(bytes) = looked.read(&name, MAX_DOCKERFILE)? {
            let text = text_of(bytes, Path::new(&name))?;
            return Ok((PathBuf::from(name), text, looked));
        }
    }
    let path = path.unwrap_or(Path::new(NAMES[0]));
    Err(CliError::NoDockerfile { path: path.to_owned(), context: context.to_owned() })
}
