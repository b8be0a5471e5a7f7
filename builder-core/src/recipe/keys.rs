//! Every key of a recipe: its name, what it is for, and what its value may be.
//!
//! The parser takes the known keys from here and the JSON Schema the whole, so
//! that the two cannot disagree about which keys there are.
//!
//! Limitation: a schema cannot see how a number was written, so it lets a bare
//! `644` pass as a mode, which the parser refuses.

mod values;

use serde_json::{Map, Value, json};

use self::values::{
    add, as_written, boolean, choice, command, condition, config, contexts, copy, debian, duration,
    from, healthcheck, hosts, image, integer, is_true, mkdir, mode, modes, mounts,
    non_empty_command, one_or_more, owner, pairs, params, ports, remove, run, size, stages, steps,
    symlink, tests, text, texts, ulimits, workdir, write,
};

/// A key of a mapping.
pub(super) struct Field {
    pub(super) name: &'static str,
    about: &'static str,
    value: fn() -> Value,
}

const fn field(name: &'static str, about: &'static str, value: fn() -> Value) -> Field {
    Field { name, about, value }
}

/// The schema of a mapping with these keys.
pub(super) fn object(fields: &[Field], required: &[&str]) -> Value {
    let mut properties = Map::new();
    for Field { name, about, value } in fields {
        let mut value = value();
        if let Some(object) = value.as_object_mut() {
            object.insert("description".to_owned(), json!(about));
        }
        properties.insert((*name).to_owned(), value);
    }
    json!({
        "type": "object", "properties": properties,
        "required": required, "additionalProperties": false,
    })
}

/// As [`object`], and exactly one of `one` is there.
fn one_of(fields: &[Field], one: &[&str], required: &[&str]) -> Value {
    let mut schema = object(fields, required);
    schema["oneOf"] = one.iter().map(|name| json!({ "required": [name] })).collect();
    schema
}

pub(super) const VERBS: &[&str] = &[
    "run", "copy", "add", "write", "mkdir", "symlink", "remove", "packages", "user", "env", "arg",
    "workdir",
];
pub(super) const MOUNT_KINDS: &[&str] = &["bind", "cache", "tmpfs", "secret", "ssh"];
/// What a stage consists of, at the top level too where there is only one.
pub(super) const STAGE_KEYS: &[&str] = &["from", "steps", "config", "tests"];

pub(super) const TOP: &[Field] = &[
    field(
        "params",
        "Parameters: NAME: default, or NAME: {default, description}; without default it must be set by --set or PHOENIX_PARAM_NAME. Used as ${{ NAME }} in any value.",
        params,
    ),
    field(
        "mtime",
        "Modification time of files, in seconds since 1970, instead of Phoenix's constant; enters every cache key.",
        integer,
    ),
    field(
        "ignore",
        "What of the context is left out, by the rules of .dockerignore; directories that are left out whole are never entered.",
        one_or_more,
    ),
    field(
        "contexts",
        "Further directories and git repositories, by name, for from of copy, add and mounts: a path relative to the context, or a mapping.",
        contexts,
    ),
    field(
        "shell",
        "What scripts of run are given to; [/bin/sh, -e, -c] where absent.",
        non_empty_command,
    ),
    field(
        "stages",
        "Several named images; instead of from, steps, config and tests at the top. The last is the default target.",
        stages,
    ),
    field("from", "What the image starts from: exactly one of the keys.", from),
    field("steps", "What is done to the base, in order.", steps),
    field("config", "The image's config.", config),
    field("tests", "Commands that must pass in a throwaway copy of the finished image.", tests),
];
pub(super) const STAGE: &[Field] = &[
    field("from", "What the image starts from: exactly one of the keys.", from),
    field("steps", "What is done to the base, in order.", steps),
    field("config", "The image's config.", config),
    field("tests", "Commands that must pass in a throwaway copy of the finished image.", tests),
];
pub(super) const PARAM: &[Field] = &[
    field("default", "Its value where none is given.", as_written),
    field("description", "What it is for.", text),
];
pub(super) const FROM: &[Field] = &[
    field("debian", "A minimal Debian made from packages: a suite, or a mapping.", debian),
    field("rootfs", "A tar (plain, gzip, xz, zstd) or a directory, relative to the context.", text),
    field("oci", "PATH[:tag] of an OCI layout (directory or archive) or a docker-archive.", text),
    field("stage", "Another stage of this recipe.", text),
    field("scratch", "The empty image.", is_true),
    field(
        "engine",
        "NAME[:tag] or id of an image that a container engine (Docker, Podman) has.",
        text,
    ),
    field(
        "image",
        "An image by name: the store's, else a registry's; a name, or a mapping.",
        image,
    ),
];
pub(super) const IMAGE: &[Field] = &[
    field("name", "NAME[:TAG] or NAME@DIGEST, as in docker pull.", text),
    field("platform", "os/arch[/variant]; this machine's where absent.", text),
];
pub(super) const DEBIAN: &[Field] = &[
    field("suite", "Suite or code name: bookworm.", text),
    field("mirror", "Base URL of the mirror; the host's own where absent.", text),
    field("keyring", "Keyring file, relative to the context; the host's where absent.", text),
    field("components", "Components; main where absent.", one_or_more),
    field("include", "Packages beyond the minimum, each name or name=version.", one_or_more),
    field("arch", "Debian architecture (amd64); the host's where absent.", text),
];
pub(super) const STEP: &[Field] = &[
    field("name", "Name in progress output and for --no-cache=NAME.", text),
    field("when", "Condition over parameters; the step is left out where it is false.", condition),
    field("max_age", "A result older than this (7d, 1h30m) is made anew.", duration),
    field("run", "Runs a command: text for a shell, a list for argv, or a mapping.", run),
    field("copy", "Copies from the context or a stage: [SRC..., DEST] or a mapping.", copy),
    field(
        "add",
        "Copies as copy does, unpacks archives, and takes files of the web and of git: [SRC..., DEST] or a mapping.",
        add,
    ),
    field("write", "Writes a file.", write),
    field("mkdir", "Makes directories and their parents.", mkdir),
    field("symlink", "Makes a symbolic link.", symlink),
    field("remove", "Removes files and trees.", remove),
    field(
        "packages",
        "Installs packages with apt, each NAME or NAME=VERSION; leaves no lists, caches or logs.",
        one_or_more,
    ),
    field("user", "User of the steps that follow and of the image: name or number, :group.", owner),
    field("env", "Environment of the steps that follow and of the image.", pairs),
    field(
        "arg",
        "Variables of the run steps that follow in this stage, and not of the image.",
        pairs,
    ),
    field(
        "workdir",
        "Working directory of the steps that follow and of the image; made if missing.",
        workdir,
    ),
];
pub(super) const WORKDIR: &[Field] = &[
    field("path", "The directory; relative to the one before.", text),
    field("owner", "Whose it is if it is made: user[:group]; root where absent.", owner),
];
pub(super) const CONTEXT: &[Field] = &[
    field("path", "The directory, relative to the context.", text),
    field("ignore", "What of it is left out, by the rules of .dockerignore.", one_or_more),
    field("git", "A repository of which the files are taken.", text),
    field("ref", "Branch, tag or commit; the remote's HEAD where absent.", text),
    field("subdir", "The directory of the repository that is taken.", text),
    field("keep_git_dir", "Whether .git stays.", boolean),
    field("submodules", "Whether submodules are fetched; true where absent.", boolean),
    field("commit", "The commit that it must be, or its first digits.", text),
];
pub(super) const TEST: &[Field] = &[
    field("name", "Name in progress output.", text),
    field("when", "Condition over parameters; the test is left out where it is false.", condition),
    field("max_age", "A pass older than this (7d, 1h30m) is not believed.", duration),
    field("run", "The command, as in a step.", run),
];
pub(super) const RUN: &[Field] = &[
    field("script", "Text for /bin/sh -e -c, or for the shell that is said.", text),
    field("shell", "What this script is given to.", non_empty_command),
    field("argv", "Program and arguments, without a shell.", non_empty_command),
    field("env", "Environment of this command only.", pairs),
    field("workdir", "Working directory of this command only.", text),
    field("user", "User of this command only.", owner),
    field("network", "host (the default) or none.", || choice(&["host", "none"])),
    field(
        "security",
        "sandbox (the default), or insecure: all that root may, which the build must allow.",
        || choice(&["sandbox", "insecure"]),
    ),
    field("hosts", "Addresses by name, added to /etc/hosts.", hosts),
    field("hostname", "Host name that the command sees.", text),
    field("shm_size", "Size of /dev/shm: bytes, or with k, m, g; 64m where absent.", size),
    field("ulimits", "Limits by name: SOFT[:HARD], -1 for none.", ulimits),
    field("timeout", "The command is killed and fails after this time (90s).", duration),
    field("mounts", "What is mounted while the command runs.", mounts),
    field(
        "trace",
        "on (the default): what the command looks at decides whether it runs again; off: its whole root does.",
        || choice(&["on", "off"]),
    ),
];
pub(super) const MOUNT: &[Field] = &[
    field("bind", "Path in the context, or in the stage that `from` names.", text),
    field(
        "from",
        "Stage or context that a bind is taken from; the recipe's context where absent.",
        text,
    ),
    field("writable", "Whether a bind may be written to; what is written is thrown away.", boolean),
    field("cache", "Id of a directory that lasts from build to build.", text),
    field(
        "sharing",
        "How concurrent steps share a cache: shared (default), locked, private.",
        || choice(&["shared", "locked", "private"]),
    ),
    field(
        "initial",
        "Directory of the context, or of the stage that `from` names, that a cache holds when it is made.",
        text,
    ),
    field("readonly", "Whether a cache may only be read.", boolean),
    field("tmpfs", "An empty file system in memory.", is_true),
    field("size", "Limit of a tmpfs: bytes, or with k, m, g.", size),
    field("secret", "Id of a secret given to the build.", text),
    field("env", "Variable that holds the secret, instead of a file.", text),
    field("file", "Whether a file holds the secret too where a variable does.", boolean),
    field(
        "ssh",
        "Id of an ssh agent given to the build (default); SSH_AUTH_SOCK names its socket.",
        text,
    ),
    field("required", "Whether the secret or agent must be given; true where absent.", boolean),
    field(
        "target",
        "Where it is mounted; /run/secrets/ID for a secret, /run/buildkit/ssh_agent.N for an agent where absent.",
        text,
    ),
    field(
        "mode",
        "Mode of a cache's root (0755), a secret's file (0400) or an agent's socket (0600).",
        mode,
    ),
    field("uid", "Owner of a cache's root, a secret's file or an agent's socket.", integer),
    field("gid", "Group of a cache's root, a secret's file or an agent's socket.", integer),
];
pub(super) const COPY: &[Field] = &[
    field("src", "Paths or globs in the context, or in the stage that `from` names.", one_or_more),
    field("dest", "Where to; a directory if it ends with / or there are several sources.", text),
    field("from", "Stage or context to copy from; the recipe's context where absent.", text),
    field("files", "Text of files that are written as if copied, by name.", pairs),
    field("exclude", "What is left out, by the rules of .dockerignore.", one_or_more),
    field("exclude_from", EXCLUDE_FROM, || choice(&["root", "source"])),
    field("owner", "user[:group], by name or number.", owner),
    field(
        "mode",
        "Mode of files and directories: 0644, \"644\" or 0o644, or a change: u=rwX,go=rX.",
        modes,
    ),
    field("keep_mtime", "Whether modification times are kept (and enter the key).", boolean),
    field("parents", PARENTS, boolean),
    field("link", LINK, boolean),
    field("allow_empty", "Whether a glob may match nothing.", boolean),
];
const EXCLUDE_FROM: &str = "Where the paths of exclude begin: root (of the context or stage; the default), or source (each directory that is copied).";
const PARENTS: &str =
    "Whether the directories a source is in are made below dest, those before a /./ left out.";
const LINK: &str =
    "Whether the layer is made without a look at what is below it, so that it stands on any base.";
pub(super) const ADD: &[Field] = &[
    field("src", "Paths or globs in the context, or in the stage that `from` names.", one_or_more),
    field("from", "Stage or context to copy from; the recipe's context where absent.", text),
    field("url", "Files to download.", one_or_more),
    field(
        "checksum",
        "What the one file of url must be: sha256:DIGITS; no network is used where the store has it.",
        text,
    ),
    field("git", "A repository of which the files are taken.", text),
    field("ref", "Branch, tag or commit; the remote's HEAD where absent.", text),
    field("subdir", "The directory of the repository that is taken.", text),
    field("keep_git_dir", "Whether .git stays.", boolean),
    field("submodules", "Whether submodules are fetched; true where absent.", boolean),
    field("commit", "The commit that it must be, or its first digits.", text),
    field("files", "Text of files that are written as if copied, by name.", pairs),
    field(
        "unpack",
        "Whether tar archives are unpacked; true for src and false for url where absent.",
        boolean,
    ),
    field("dest", "Where to; a directory if it ends with / or there are several sources.", text),
    field("exclude", "What is left out, by the rules of .dockerignore.", one_or_more),
    field("exclude_from", EXCLUDE_FROM, || choice(&["root", "source"])),
    field("owner", "user[:group], by name or number.", owner),
    field(
        "mode",
        "Mode of files and directories: 0644, \"644\" or 0o644, or a change: u=rwX,go=rX.",
        modes,
    ),
    field("keep_mtime", "Whether modification times are kept (and enter the key).", boolean),
    field("parents", PARENTS, boolean),
    field("link", LINK, boolean),
    field("allow_empty", "Whether a glob may match nothing.", boolean),
];
pub(super) const WRITE: &[Field] = &[
    field("path", "The file.", text),
    field("content", "What is in it.", text),
    field("owner", "user[:group], by name or number; root where absent.", owner),
    field("mode", "Octal mode; 0644 where absent.", mode),
];
pub(super) const MKDIR: &[Field] = &[
    field("path", "The directories.", one_or_more),
    field("owner", "user[:group], by name or number; root where absent.", owner),
    field("mode", "Octal mode; 0755 where absent.", mode),
    field(
        "applies",
        "To which directories owner and mode apply: last (the default), or made: those that were missing.",
        || choice(&["last", "made"]),
    ),
];
pub(super) const SYMLINK: &[Field] =
    &[field("target", "What the link says.", text), field("path", "Where the link is.", text)];
pub(super) const REMOVE: &[Field] = &[
    field("paths", "Paths or globs.", one_or_more),
    field("required", "Whether it is an error if one matches nothing; true where absent.", boolean),
];
pub(super) const CONFIG: &[Field] = &[
    field(
        "entrypoint",
        "Program the container starts: text for a shell, a list for argv.",
        command,
    ),
    field("cmd", "Arguments or command: text for a shell, a list for argv.", command),
    field("env", "Environment variables.", pairs),
    field("labels", "Labels.", pairs),
    field("expose", "Ports: 80, 53/udp.", ports),
    field("volumes", "Mount points, absolute.", one_or_more),
    field("user", "User: name or number, :group.", owner),
    field("workdir", "Working directory.", text),
    field("stop_signal", "Signal that stops the container: SIGTERM or a number.", owner),
    field("healthcheck", "How to see that the container is well; false for none.", healthcheck),
    field("shell", "Shell of a Dockerfile that builds on the image.", texts),
    field("onbuild", "Instructions for a Dockerfile that builds on the image.", texts),
    field("author", "Who made the image.", text),
    field("platform", "What it is for, where its base does not say it: linux/arm64.", text),
];
pub(super) const HEALTHCHECK: &[Field] = &[
    field("test", "The command: text for a shell, a list for argv.", non_empty_command),
    field("interval", "Between two checks.", duration),
    field("timeout", "For one check.", duration),
    field("start_period", "Grace at the start.", duration),
    field("start_interval", "Between two checks in that time.", duration),
    field("retries", "Failures in a row that make it unhealthy.", integer),
];

/// The schema of a whole recipe.
pub(super) fn recipe() -> Value {
    let mut schema = object(TOP, &[]);
    let absent: Vec<Value> = STAGE_KEYS.iter().map(|key| json!({ "required": [key] })).collect();
    schema["oneOf"] = json!([
        { "required": ["stages"], "not": { "anyOf": absent } },
        { "required": ["from"], "not": { "required": ["stages"] } },
    ]);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Phoenix recipe");
    schema
}
