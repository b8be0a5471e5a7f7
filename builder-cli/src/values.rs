//! Values of options, as they were typed: pairs, sizes, outputs, secrets.
//!
//! In: one argument. Out: a typed value, or what is wrong with it in a sentence
//! that clap shows beside the option. Nothing is looked up here.

use std::path::PathBuf;

use builder_core::image::{ParsePlatformError, Platform};
use clap::ValueEnum;

/// A kind of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputKind {
    /// OCI layout: a directory, or an archive where PATH ends in `.tar`
    Oci,
    /// Archive for `docker load`
    Docker,
    /// The root file system as one tar
    Tar,
    /// The root file system as a directory
    Local,
    /// The container engine that DOCKER_HOST or the current context names
    Engine,
    /// A name in the store
    Image,
    /// A name at a registry
    Registry,
}

/// `-o`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OutputArg {
    /// What.
    pub(crate) kind: OutputKind,
    /// Where to; `-` is standard output. Empty for an engine.
    pub(crate) dest: PathBuf,
    /// With what `phoenix rebase` needs elsewhere.
    pub(crate) records: bool,
    /// Of an image or a registry: names; all that the image has where empty.
    pub(crate) names: Vec<String>,
    /// Whether those go to registries.
    pub(crate) push: bool,
}

impl OutputArg {
    /// Whether it is written to no file.
    pub(crate) fn is_name(&self) -> bool {
        matches!(self.kind, OutputKind::Image | OutputKind::Registry)
    }

    /// Whether it goes to standard output.
    pub(crate) fn is_stdout(&self) -> bool {
        self.dest.as_os_str() == "-"
    }
}

/// Where a secret comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretSource {
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Env(String),
}

/// `--secret`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SecretArg {
    /// What steps call it.
    pub(crate) id: String,
    /// Where it comes from.
    pub(crate) source: SecretSource,
}

/// Reads `NAME=VALUE`.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// What is told of a Dockerfile without building it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallMethod {
    /// Nothing: it is built.
    Build,
    /// What the checks find.
    Check,
    /// What a target takes from outside.
    Outline,
    /// The stages.
    Targets,
}

/// `--call`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallArg {
    /// What.
    pub(crate) method: CallMethod,
    /// As JSON.
    pub(crate) json: bool,
}

/// Reads `METHOD[,format=json|text]`.
pub(crate) fn call(text: &str) -> Result<CallArg, String> {
    let (method, rest) = text.split_once(',').unwrap_or((text, ""));
    let json = match rest {
        "" | "format=text" => false,
        "format=json" => true,
        other => return Err(format!("`{other}` is not format=json or format=text")),
    };
    let method = match method {
        "build" => CallMethod::Build,
        "check" | "lint" => CallMethod::Check,
        "outline" => CallMethod::Outline,
        "targets" => CallMethod::Targets,
        other => return Err(format!("`{other}` is not build, check, outline or targets")),
    };
    Ok(CallArg { method, json })
}

/// `--ssh`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SshArg {
    /// What steps call it.
    pub(crate) id: String,
    /// A socket or private keys; the agent of the environment where empty.
    pub(crate) paths: Vec<PathBuf>,
}

/// Reads `ID[=SOCKET|KEY[,KEY]]`.
pub(crate) fn ssh(text: &str) -> Result<SshArg, String> {
    let (id, paths) = text.split_once('=').unwrap_or((text, ""));
    if id.is_empty() {
        return Err("expected ID or ID=PATH".to_owned());
    }
    let paths = paths.split(',').filter(|path| !path.is_empty()).map(PathBuf::from).collect();
    Ok(SshArg { id: id.to_owned(), paths })
}

/// Reads `NAME=VALUE` or `NAME`, which has no value.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    if name.is_empty() {
        Err("expected NAME=VALUE".to_owned())
    } else {
        Ok((name.into(), value.into()))
    }
}

/// Reads `NAME=VALUE`, where `manifest:` may say what is annotated.
pub(crate) fn annotation(text: &str) -> Result<(String, String), String> {
    let (place, rest) = match text.split_once('=').map_or(text, |(name, _)| name).split_once(':') {
        Some((place, _)) => (place, &text[place.len() + 1..]),
        None => ("manifest", text),
    };
    match place {
        "manifest" => key_value(rest),
        "index" | "manifest-descriptor" | "index-descriptor" => {
            Err(format!("only the manifest can be annotated, not the {place}"))
        }
        _ => Err(format!("`{place}` cannot be annotated: only `manifest`")),
    }
}

/// Reads `HOST:IP` or `HOST=IP`.
pub(crate) fn host(text: &str) -> Result<(String, String), String> {
    let (name, address) = text.split_once(['=', ':']).ok_or("expected HOST:IP")?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let is_name = !name.is_empty() && !name.contains(char::is_whitespace);
    if is_name && address.parse::<std::net::IpAddr>().is_ok() {
        return Ok((name.to_owned(), address.to_owned()));
    }
    Err(format!("`{address}` is not the address of a host"))
}

/// `--ulimit`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UlimitArg {
    /// Which limit.
    pub(crate) name: String,
    /// What counts at first; none where absent.
    pub(crate) soft: Option<u64>,
    /// Up to what it may be raised; none where absent.
    pub(crate) hard: Option<u64>,
}

/// Reads `NAME=SOFT[:HARD]`; -1 is no limit.
pub(crate) fn ulimit(text: &str) -> Result<UlimitArg, String> {
    let (name, limits) = text.split_once('=').ok_or("expected NAME=SOFT[:HARD]")?;
    if !builder_core::plan::op::ULIMITS.contains(&name) {
        let known = builder_core::plan::op::ULIMITS.join(", ");
        return Err(format!("unknown limit `{name}`, expected one of: {known}"));
    }
    let number = |text: &str| match text {
        "-1" | "unlimited" => Ok(None),
        text => text.parse().map(Some).map_err(|_| format!("`{text}` is not a number")),
    };
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let (soft, hard) = (number(soft)?, number(hard)?);
    if soft.unwrap_or(u64::MAX) > hard.unwrap_or(u64::MAX) {
        return Err("the soft limit is above the hard one".to_owned());
    }
    Ok(UlimitArg { name: name.to_owned(), soft, hard })
}

/// Reads a number of bytes: `10`, `10kB`, `1.5GB`, `512MiB`, in any case and
/// with or without the B.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    bytes(text, 1000_f64)
}

/// The same for memory, of which a kB is 1024 bytes as Docker counts it.
pub(crate) fn memory(text: &str) -> Result<u64, String> {
    bytes(text, 1024_f64)
}

fn bytes(text: &str, thousand: f64) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size like 10GB or 512MiB");
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let unit = unit.trim().to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let (prefix, base) = match unit.strip_suffix('i') {
        Some(prefix) if !prefix.is_empty() => (prefix, 1024_f64),
        _ => (unit, thousand),
    };
    let power = match prefix {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(wrong()),
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "no sign was read, and a fraction of a byte is no loss"
    )]
    Ok((number * base.powi(power)) as u64)
}

/// Reads `a=b,c=d` where each key is one of `known` and stands once at most.
fn fields<'a>(text: &'a str, known: &[&str]) -> Result<Vec<(&'a str, &'a str)>, String> {
    let mut found: Vec<(&str, &str)> = Vec::new();
    for field in text.split(',') {
        let (key, value) =
            field.split_once('=').ok_or_else(|| format!("`{field}` is not KEY=VALUE"))?;
        if !known.contains(&key) {
            return Err(format!("unknown key `{key}`, expected one of: {}", known.join(", ")));
        }
        if found.iter().any(|(other, _)| *other == key) {
            return Err(format!("`{key}` is given twice"));
        }
        if value.is_empty() {
            return Err(format!("`{key}` is empty"));
        }
        found.push((key, value));
    }
    Ok(found)
}

fn field<'a>(fields: &[(&str, &'a str)], key: &str) -> Option<&'a str> {
    fields.iter().find(|(other, _)| *other == key).map(|(_, value)| *value)
}

/// The types of outputs, for messages.
const TYPES: &str = "oci, docker, tar, local, engine, image or registry";

/// Reads `type=KIND,dest=PATH`, for `oci` with `records=true`; or
/// `type=image|registry,name=NAME`, or `type=engine`. As with `docker build` a path
/// alone is a directory, `-` an archive of the files on standard output, an archive
/// without `dest` goes there too, and `type=docker` without `dest` to the engine.
pub(crate) fn output_spec(text: &str) -> Result<OutputArg, String> {
    if let Some(dest) = path_alone(text) {
        let kind = if dest == "-" { OutputKind::Tar } else { OutputKind::Local };
        return Ok(OutputArg {
            kind,
            dest: dest.into(),
            records: false,
            names: vec![],
            push: false,
        });
    }
    let fields = fields(text, &["type", "dest", "records", "name", "push"])?;
    let kind = field(&fields, "type").ok_or_else(|| format!("`type` is missing: {TYPES}"))?;
    let kind = OutputKind::from_str(kind, false)
        .map_err(|_| format!("unknown type `{kind}`: expected {TYPES}"))?;
    let (kind, dest) = match (kind, field(&fields, "dest")) {
        (OutputKind::Docker, None) => (OutputKind::Engine, ""),
        (OutputKind::Oci | OutputKind::Tar, None) => (kind, "-"),
        (_, dest) => (kind, dest.unwrap_or_default()),
    };
    let flag = |key: &str| match field(&fields, key) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(format!("`{key}` is true or false, and not `{other}`")),
    };
    let names = field(&fields, "name").map(str::to_owned).into_iter().collect();
    let (records, push) = (flag("records")?, flag("push")? || kind == OutputKind::Registry);
    let output = OutputArg { kind, dest: dest.into(), records, names, push };
    fits(&output, |key| field(&fields, key).is_some())?;
    Ok(output)
}

/// The path, where an output is nothing else.
fn path_alone(text: &str) -> Option<&str> {
    let is_path = !text.is_empty() && !text.contains(['=', ',']);
    // A type that was meant as one is no directory.
    let is_type = !text.contains('/') && OutputKind::from_str(text, false).is_ok();
    Some(text).filter(|_| is_path && !is_type)
}

/// Whether the kind of output takes what is said of it.
fn fits(output: &OutputArg, has: impl Fn(&str) -> bool) -> Result<(), String> {
    let wrong = match (output.kind, output.is_name()) {
        (OutputKind::Engine, _) if has("dest") => {
            "an engine has no `dest`: DOCKER_HOST says where it is"
        }
        (OutputKind::Engine, _) if has("name") || has("push") || output.records => {
            "an engine gets the names of the image, and nothing else"
        }
        (OutputKind::Engine, _) => return Ok(()),
        (_, true) if has("dest") => "an image that is named has no `dest`",
        (_, false) if output.dest.as_os_str().is_empty() => "`dest` is missing",
        (_, false) if has("name") || has("push") => {
            "`name` and `push` go with type=image and type=registry"
        }
        (OutputKind::Oci, _) => return Ok(()),
        _ if output.records => "only an OCI layout can hold records",
        (OutputKind::Local, _) if output.is_stdout() => {
            "a directory cannot be written to standard output"
        }
        _ => return Ok(()),
    };
    Err(wrong.to_owned())
}

/// Reads a platform: `os/arch[/variant]`, an architecture alone, or `local`.
pub(crate) fn platform(text: &str) -> Result<Platform, String> {
    if text.contains(',') {
        return Err("an image is for one platform; build once for each".to_owned());
    }
    match text {
        "local" => Ok(Platform::host()),
        _ if text.contains('/') || text == "linux" => text.parse(),
        _ => format!("linux/{text}").parse(),
    }
    .map_err(|error: ParsePlatformError| error.to_string())
}

/// Reads `id=ID`, with `src=FILE` or `env=VARIABLE`; `type=file` or `type=env`
/// may be said too.
pub(crate) fn secret_spec(text: &str) -> Result<SecretArg, String> {
    let fields = fields(text, &["id", "src", "source", "env", "type"])?;
    let id = field(&fields, "id").ok_or("`id` is missing")?.to_owned();
    let src = field(&fields, "src").or(field(&fields, "source"));
    let (src, env) = match (field(&fields, "type"), src, field(&fields, "env")) {
        (None | Some("file"), src, env) => (src, env),
        // Docker takes the variable from `src` too.
        (Some("env"), src, env) => (None, env.or(src)),
        (Some(other), ..) => return Err(format!("`type` is file or env, and not `{other}`")),
    };
    let source = match (src, env) {
        (Some(src), None) => SecretSource::File(PathBuf::from(src)),
        (None, Some(env)) => SecretSource::Env(env.to_owned()),
        (None, None) => SecretSource::Env(id.clone()),
        (Some(_), Some(_)) => return Err("`src` and `env` exclude each other".to_owned()),
    };
    Ok(SecretArg { id, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_type_and_destination_and_nothing_else() {
        let good = output_spec("type=oci,dest=out.tar").expect("parses");
        let (kind, dest) = (OutputKind::Oci, "out.tar".into());
        let expected = OutputArg { kind, dest, records: false, names: vec![], push: false };
        assert_eq!(good, expected);
        let registry = output_spec("type=registry,name=a:1").expect("parses");
        assert!(registry.push && registry.names == ["a:1"] && registry.is_name());
        assert!(!output_spec("type=image,name=a").expect("parses").push);
        assert!(output_spec("type=image,push=true").expect("parses").push);
        assert!(output_spec("dest=-,type=tar").expect("parses").is_stdout());
        assert_eq!(output_spec("type=engine").expect("parses").kind, OutputKind::Engine);
        assert!(output_spec("type=oci,dest=x,records=true").expect("parses").records);
        for bad in [
            "",
            "oci",
            "type=local",
            "dest=x",
            "type=oci,dest=",
            "type=vhd,dest=x",
            "type=oci,type=tar,dest=x",
            "type=oci,dest=x,mode=1",
            "type=local,dest=-",
            "type=engine,dest=x",
            "type=engine,records=true",
            "type=registry,dest=x",
            "type=oci,dest=x,name=a",
            "type=image,records=true",
        ] {
            assert!(output_spec(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn output_is_said_in_short_as_with_docker() {
        let of = |text| {
            let output = output_spec(text).expect("parses");
            (output.kind, output.dest.display().to_string())
        };
        assert_eq!(of("out"), (OutputKind::Local, "out".to_owned()));
        assert_eq!(of("./tar"), (OutputKind::Local, "./tar".to_owned()));
        assert_eq!(of("-"), (OutputKind::Tar, "-".to_owned()));
        assert_eq!(of("type=tar"), (OutputKind::Tar, "-".to_owned()));
        assert_eq!(of("type=oci"), (OutputKind::Oci, "-".to_owned()));
        assert_eq!(of("type=docker"), (OutputKind::Engine, String::new()));
        for bad in ["tar", "registry", "out,push=true"] {
            assert!(output_spec(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn secret_comes_from_one_place_the_variable_of_its_name_by_default() {
        let secret = |text| secret_spec(text).map(|secret| secret.source);
        assert_eq!(secret("id=a,src=f"), Ok(SecretSource::File("f".into())));
        assert_eq!(secret("id=a,env=V"), Ok(SecretSource::Env("V".into())));
        assert_eq!(secret("id=TOKEN"), Ok(SecretSource::Env("TOKEN".into())));
        for bad in ["src=f", "id=a,src=f,env=V", "id=", "a"] {
            assert!(secret(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn platform_is_one_in_the_form_that_is_compared() {
        let platform = |text| platform(text).map(|platform| platform.to_string());
        assert_eq!(platform("linux/arm64/v8"), Ok("linux/arm64".to_owned()));
        assert_eq!(platform("aarch64"), Ok("linux/arm64".to_owned()));
        assert_eq!(platform("linux/arm"), Ok("linux/arm/v7".to_owned()));
        assert_eq!(platform("local"), Ok(Platform::host().to_string()));
        for bad in ["", "linux", "linux/", "a/b/c/d", "linux/amd64,linux/arm64"] {
            assert!(platform(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn size_is_a_number_with_a_decimal_or_binary_unit() {
        let table = [
            ("0", 0),
            ("123", 123),
            ("10kB", 10_000),
            ("1.5GB", 1_500_000_000),
            ("2g", 2_000_000_000),
            ("512MiB", 512 << 20),
            ("1kib", 1024),
        ];
        for (text, bytes) in table {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        assert_eq!((memory("8m"), memory("1.5gb")), (Ok(8 << 20), Ok(3 << 29)));
        for bad in ["", "GB", "-1", "1x", "1..2", "1ib", "many"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn param_value_may_hold_equal_signs_and_may_be_empty() {
        assert_eq!(key_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(key_value("a="), Ok(("a".to_owned(), String::new())));
        assert!(key_value("=b").is_err() && key_value("ab").is_err());
    }
}
