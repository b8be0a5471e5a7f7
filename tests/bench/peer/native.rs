//! No builder: a script in a chroot on overlayfs over unpacked directories.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind_recursive, unmount};

use super::remove;
use crate::error::{Error, Result, at};
use crate::process::{self, Measure};

pub(crate) struct Native {
    dir: PathBuf,
    base: PathBuf,
}

impl Native {
    /// Unpacks the base.
    pub(crate) fn unpack(dir: PathBuf, tar: &Path) -> Result<Self> {
        let base = dir.join("base");
        fs::create_dir_all(&base).map_err(at(&base))?;
        let mut unpack = Command::new("tar");
        unpack.arg("--extract").arg("--numeric-owner").arg("--xattrs").arg("--xattrs-include=*");
        unpack.arg("--file").arg(tar).arg("--directory").arg(&base);
        process::run(&mut unpack, &dir)?;
        Ok(Self { dir, base })
    }

    /// Runs `script`, with `src` at `/src` where the lower directories hold it.
    pub(crate) fn run(&self, script: &str, src: Option<&Path>) -> Result<Measure> {
        let (lower, root) = (self.dir.join("lower"), self.dir.join("root"));
        let (upper, work) = (self.dir.join("upper"), self.dir.join("work"));
        for fresh in [&lower, &root, &upper, &work] {
            remove(fresh)?;
            fs::create_dir_all(fresh).map_err(at(fresh))?;
        }
        if let Some(src) = src {
            let mut copy = Command::new("cp");
            process::run(copy.arg("-a").arg(src).arg(lower.join("src")), &self.dir)?;
        }
        let options = format!(
            "lowerdir={}:{},upperdir={},workdir={}",
            lower.display(),
            self.base.display(),
            upper.display(),
            work.display()
        );
        let options = std::ffi::CString::new(options).expect("paths hold no NUL");
        let failed = |source: rustix::io::Errno| at(&root)(source.into());
        mount("overlay", &root, "overlay", MountFlags::empty(), Some(options.as_c_str()))
            .map_err(failed)?;
        let ran = self.inside(&root, script);
        let _ = unmount(&root, UnmountFlags::DETACH);
        ran
    }

    fn inside(&self, root: &Path, script: &str) -> Result<Measure> {
        let bind = |what: &str| {
            let to = root.join(what.trim_start_matches('/'));
            mount_bind_recursive(what, &to).map_err(|source| at(&to)(source.into()))
        };
        ["/proc", "/dev"].into_iter().try_for_each(bind)?;
        process::settle();
        let mut command = Command::new("chroot");
        command.arg(root).args(["/bin/sh", "-e", "-c", script]);
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        let measure = process::run(&mut command, &self.dir)?;
        match process::told(&measure.output) {
            Some(time) => Ok(Measure { time, ..measure }),
            None => Err(Error::NoTime { peer: "native", output: measure.output }),
        }
    }
}
