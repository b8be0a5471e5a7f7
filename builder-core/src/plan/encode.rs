//! Canonical encoding of operations.
//!
//! Each value is written with its length or as a fixed number of bytes, each
//! enum with a tag, so that different values never encode alike. Fields are
//! taken apart exhaustively: a new field does not compile until somebody has
//! decided whether it is part of what an operation *is*.

use super::op::{
    Applies, CacheInitial, Command, ConfigPatch, Copy, CopySource, Debian, ExcludeFrom, Exec,
    ExecKind, FileOp, Git, Healthcheck, HistoryLine, Http, ImagePlatform, Mode, Mount, MountKind,
    Network, Op, Security, Sharing, Source, Trace, Ulimit, Unpack,
};

/// Raised whenever the same operation may encode or behave otherwise than
/// before, so that results of older versions are never taken for new ones.
pub(super) const VERSION: u32 = 3;

/// Collects the bytes of a canonical encoding.
#[derive(Default)]
pub(super) struct Encoder {
    hasher: blake3::Hasher,
}

impl Encoder {
    pub(super) fn finish(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }

    /// How many bytes were collected.
    pub(super) fn size(&self) -> u64 {
        self.hasher.count()
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64);
        self.hasher.update(bytes);
        self
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        self.hasher.update(&number.to_le_bytes());
        self
    }

    /// What is told of a vertex: two of which other things are told are two.
    pub(super) fn history(&mut self, history: &HistoryLine) {
        match history {
            HistoryLine::Name => self.tag("name"),
            HistoryLine::Nothing => self.tag("nothing"),
            HistoryLine::Says { created_by, comment } => {
                self.tag("says").text(created_by).option_text(comment.as_deref())
            }
        };
    }

    fn flag(&mut self, flag: bool) -> &mut Self {
        self.number(u64::from(flag))
    }

    fn tag(&mut self, tag: &'static str) -> &mut Self {
        self.text(tag)
    }

    fn texts(&mut self, texts: &[String]) -> &mut Self {
        self.number(texts.len() as u64);
        for text in texts {
            self.text(text);
        }
        self
    }

    fn pairs<'a>(
        &mut self,
        pairs: impl ExactSizeIterator<Item = (&'a String, &'a String)>,
    ) -> &mut Self {
        self.number(pairs.len() as u64);
        for (name, value) in pairs {
            self.text(name).text(value);
        }
        self
    }

    fn option<T: ?Sized>(
        &mut self,
        value: Option<&T>,
        encode: impl FnOnce(&mut Self, &T),
    ) -> &mut Self {
        self.flag(value.is_some());
        if let Some(value) = value {
            encode(self, value);
        }
        self
    }

    fn option_text(&mut self, text: Option<&str>) -> &mut Self {
        self.option(text, |e, text| {
            e.text(text);
        })
    }

    fn option_number(&mut self, number: Option<u64>) -> &mut Self {
        self.option(number.as_ref(), |e, number| {
            e.number(*number);
        })
    }

    pub(super) fn op(&mut self, op: &Op) {
        match op {
            Op::Source(source) => {
                self.tag("source");
                self.source(source);
            }
            Op::Exec(exec) => {
                self.tag("exec");
                self.exec(exec);
            }
            Op::File(file) => {
                self.tag("file");
                self.file(file);
            }
            Op::Config(patch) => {
                self.tag("config");
                self.config(patch);
            }
        }
    }

    fn source(&mut self, source: &Source) {
        match source {
            Source::Scratch => {
                self.tag("scratch");
            }
            Source::Rootfs { path } => {
                self.tag("rootfs").bytes(path.as_os_str().as_encoded_bytes());
            }
            Source::Oci { path, tag, platform } => {
                self.tag("oci")
                    .bytes(path.as_os_str().as_encoded_bytes())
                    .option_text(tag.as_deref())
                    .option_text(platform.as_deref());
            }
            Source::Engine { name } => {
                self.tag("engine").text(name);
            }
            Source::Debian(debian) => {
                self.tag("debian");
                self.debian(debian);
            }
            Source::Image { reference, digest, platform } => {
                self.tag("image").text(reference);
                self.option_text(digest.map(|digest| digest.to_string()).as_deref());
                self.option_text(platform.as_deref());
            }
            Source::Local { name, path, ignore } => {
                self.tag("local").text(name).bytes(path.as_os_str().as_encoded_bytes());
                self.texts(ignore);
            }
            Source::Http(Http { url, name, checksum }) => {
                self.tag("http").text(url).text(name);
                self.option_text(checksum.map(|digest| digest.to_string()).as_deref());
            }
            Source::Git(git) => {
                self.tag("git");
                let Git { remote, reference, subdir, keep_git_dir, submodules, commit } = git;
                self.text(remote).option_text(reference.as_deref()).text(subdir);
                self.flag(*keep_git_dir).flag(*submodules).option_text(commit.as_deref());
            }
        }
    }

    fn debian(&mut self, debian: &Debian) {
        let Debian { suite, mirror, keyring, components, include, arch } = debian;
        self.text(suite)
            .option_text(mirror.as_deref())
            .option(keyring.as_deref(), |e, path| {
                e.bytes(path.as_os_str().as_encoded_bytes());
            })
            .texts(components)
            .texts(include)
            .option_text(arch.as_deref());
    }

    fn exec(&mut self, exec: &Exec) {
        let Exec {
            command,
            env,
            workdir,
            user,
            network,
            security,
            hosts,
            hostname,
            shm_size,
            ulimits,
            timeout,
            mounts,
            kind,
            trace,
        } = exec;
        match command {
            Command::Shell(script) => self.tag("shell").text(script),
            Command::Argv(argv) => self.tag("argv").texts(argv),
        };
        self.pairs(env.iter().map(|(name, value)| (name, value)))
            .option_text(workdir.as_deref())
            .option_text(user.as_deref())
            .tag(match network {
                Network::Host => "host",
                Network::None => "none",
            })
            .tag(match security {
                Security::Sandbox => "sandbox",
                Security::Insecure => "insecure",
            })
            .pairs(hosts.iter().map(|(name, address)| (name, address)))
            .option_text(hostname.as_deref())
            .option_number(*shm_size)
            .tag(match kind {
                ExecKind::Step => "step",
                ExecKind::Packages => "packages",
                ExecKind::Test => "test",
            })
            // It is in no key, as it does not change what a success is. But steps
            // that may wait differently long are not one step.
            .option_text(timeout.map(|limit| limit.as_nanos().to_string()).as_deref())
            .flag(*trace == Trace::On)
            .number(ulimits.len() as u64);
        for Ulimit { name, soft, hard } in ulimits {
            self.text(name).option_number(*soft).option_number(*hard);
        }
        self.number(mounts.len() as u64);
        for mount in mounts {
            self.mount(mount);
        }
    }

    fn mount(&mut self, mount: &Mount) {
        let Mount { target, kind } = mount;
        self.text(target);
        match kind {
            MountKind::Bind { input, source, writable } => {
                self.tag("bind").number(*input as u64).text(source).flag(*writable);
            }
            MountKind::Cache { id, sharing, mode, uid, gid, initial, readonly } => {
                self.tag("cache").text(id);
                self.tag(match sharing {
                    Sharing::Shared => "shared",
                    Sharing::Locked => "locked",
                    Sharing::Private => "private",
                });
                self.number(u64::from(*mode)).number(u64::from(*uid)).number(u64::from(*gid));
                self.flag(*readonly).option(initial.as_ref(), |e, initial| {
                    let CacheInitial { input, source } = initial;
                    e.number(*input as u64).text(source);
                });
            }
            MountKind::Tmpfs { size } => {
                self.tag("tmpfs").option_number(*size);
            }
            MountKind::Secret { id, env, file, mode, uid, gid, required } => {
                self.tag("secret").text(id).option_text(env.as_deref()).flag(*file);
                self.number(u64::from(*mode)).number(u64::from(*uid)).number(u64::from(*gid));
                self.flag(*required);
            }
            MountKind::Ssh { id, mode, uid, gid, required } => {
                self.tag("ssh").text(id);
                self.number(u64::from(*mode)).number(u64::from(*uid)).number(u64::from(*gid));
                self.flag(*required);
            }
        }
    }

    fn file(&mut self, file: &FileOp) {
        match file {
            FileOp::Copy(copy) => {
                self.tag("copy");
                self.copy(copy);
            }
            FileOp::Write { path, content, owner, mode } => {
                self.tag("write").text(path).bytes(content);
                self.option_text(owner.as_deref()).option_number(mode.map(u64::from));
            }
            FileOp::Mkdir { path, owner, mode, applies } => {
                self.tag("mkdir").text(path);
                self.option_text(owner.as_deref()).option_number(mode.map(u64::from));
                self.tag(match applies {
                    Applies::Last => "last",
                    Applies::Made => "made",
                });
            }
            FileOp::Symlink { target, path } => {
                self.tag("symlink").text(target).text(path);
            }
            FileOp::Remove { paths, required } => {
                self.tag("remove").texts(paths).flag(*required);
            }
        }
    }

    fn copy(&mut self, copy: &Copy) {
        let Copy {
            sources,
            dest,
            exclude,
            exclude_from,
            owner,
            mode,
            keep_mtime,
            parents,
            link,
            allow_empty,
        } = copy;
        self.number(sources.len() as u64);
        for source in sources {
            match source {
                CopySource::Path { input, path, unpack } => {
                    self.tag("path").number(*input as u64).text(path).tag(match unpack {
                        Unpack::Never => "never",
                        Unpack::Archives => "archives",
                    });
                }
                CopySource::Inline { name, content } => {
                    self.tag("inline").text(name).bytes(content);
                }
            }
        }
        self.text(dest).texts(exclude).tag(match exclude_from {
            ExcludeFrom::Root => "root",
            ExcludeFrom::Source => "source",
        });
        self.option_text(owner.as_deref());
        self.option_text(mode.as_ref().map(Mode::to_string).as_deref());
        self.flag(*keep_mtime).flag(*parents).flag(*link).flag(*allow_empty);
    }

    fn config(&mut self, patch: &ConfigPatch) {
        let ConfigPatch {
            entrypoint,
            cmd,
            env,
            labels,
            expose,
            volumes,
            user,
            workdir,
            stop_signal,
            healthcheck,
            shell,
            onbuild,
            author,
            platform,
        } = patch;
        for argv in [entrypoint, cmd, shell, onbuild] {
            self.option(argv.as_ref(), |e, argv| {
                e.texts(argv);
            });
        }
        self.pairs(env.iter().map(|(name, value)| (name, value)));
        self.pairs(labels.iter()).texts(expose).texts(volumes);
        for text in [user, workdir, stop_signal, author] {
            self.option_text(text.as_deref());
        }
        self.option(platform.as_ref(), |e, platform| {
            let ImagePlatform { os, architecture, variant } = &**platform;
            e.text(os).text(architecture).option_text(variant.as_deref());
        });
        self.option(healthcheck.as_ref(), |e, healthcheck| {
            let Healthcheck { test, interval, timeout, start_period, start_interval, retries } =
                healthcheck;
            e.texts(test);
            let retries = retries.map(u64::from);
            for number in [*interval, *timeout, *start_period, *start_interval, retries] {
                e.option_number(number);
            }
        });
    }
}

#[cfg(test)]
mod tests;
