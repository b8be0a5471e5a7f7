//! dpkg's database, as it is after unpacking and before configuration.
//!
//! In: packages taken apart. Out: the files below `/var/lib/dpkg`: `status`
//! (each package `unpacked`, in the order in which they can be configured),
//! `info/*`, `triggers/*`, `arch`.
//!
//! dpkg would leave a conffile as `NAME.dpkg-new` and give it its name when it
//! configures. Here it has its name at once and its hash stands in `status`;
//! dpkg asks nothing about a conffile that has no `.dpkg-new`.

use std::collections::BTreeMap;

use md5::{Digest as _, Md5};

use super::deb::{Contents, ControlFile, Data};
use super::{control, order};

/// A file of the database: path below the root, mode, content.
pub(super) type DatabaseFile = (String, u32, Vec<u8>);

/// Reads the content of one of a package's data files.
pub(super) type ReadFile<'r> = &'r dyn Fn(u64, u64) -> std::io::Result<Vec<u8>>;

/// A package as the database names it.
pub(super) struct Named<'p> {
    pub(super) name: &'p str,
    pub(super) arch: &'p str,
    pub(super) contents: &'p Contents,
    pub(super) read: ReadFile<'p>,
}

impl Named<'_> {
    /// `name`, or `name:arch` where several architectures may be installed at once.
    fn info_name(&self) -> String {
        let control = control::paragraphs(&self.contents.control, "control").unwrap_or_default();
        let same = control.first().and_then(|c| c.get("Multi-Arch")) == Some("same");
        if same { format!("{}:{}", self.name, self.arch) } else { self.name.to_owned() }
    }

    fn file(&self, name: &str) -> Option<&ControlFile> {
        self.contents.files.iter().find(|f| f.name == name)
    }
}

/// All files of the database.
pub(super) fn files(packages: &[Named<'_>], arch: &str) -> Result<Vec<DatabaseFile>, String> {
    let dpkg = |name: &str| format!("var/lib/dpkg/{name}");
    let mut all: Vec<DatabaseFile> = Vec::new();
    let mut triggers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages {
        let info = package.info_name();
        let list = list(package.contents);
        all.push((dpkg(&format!("info/{info}.list")), 0o644, list));
        if package.file("md5sums").is_none() {
            all.push((dpkg(&format!("info/{info}.md5sums")), 0o644, md5sums(package)?));
        }
        for file in &package.contents.files {
            let mode = if file.executable { 0o755 } else { 0o644 };
            all.push((dpkg(&format!("info/{info}.{}", file.name)), mode, file.content.clone()));
        }
        if let Some(file) = package.file("triggers") {
            interests(&String::from_utf8_lossy(&file.content), &info, &mut triggers);
        }
    }
    let early = |p: &Named<'_>| p.file("preinst").is_some();
    let controls: Vec<_> = packages.iter().map(|p| (&*p.contents.control, early(p))).collect();
    let order = order::order(&order::read(&controls));
    let status: Result<String, String> =
        order.into_iter().map(|at| status_entry(&packages[at])).collect();
    let status = status?;
    all.push((dpkg("status"), 0o644, status.into_bytes()));
    all.push((dpkg("info/format"), 0o644, b"1\n".to_vec()));
    all.push((dpkg("arch"), 0o644, format!("{arch}\n").into_bytes()));
    all.push((dpkg("available"), 0o644, Vec::new()));
    all.push((dpkg("diversions"), 0o644, Vec::new()));
    all.push((dpkg("statoverride"), 0o644, Vec::new()));
    for (name, lines) in triggers {
        all.push((
            dpkg(&format!("triggers/{name}")),
            0o644,
            (lines.join("\n") + "\n").into_bytes(),
        ));
    }
    Ok(all)
}

/// The entry in `status`: the control file, the state, the conffiles' hashes.
fn status_entry(package: &Named<'_>) -> Result<String, String> {
    let control = package.contents.control.trim();
    let fields = control::paragraphs(control, "control").map_err(|e| e.to_string())?;
    let [fields] = &fields[..] else { return Err("control is not one paragraph".into()) };
    if fields.get("Package") != Some(package.name)
        || fields.get("Architecture") != Some(package.arch)
    {
        return Err("its control file names another package".into());
    }
    let mut entry = String::new();
    for line in control.lines().filter(|line| !line.trim().is_empty()) {
        entry += line;
        entry.push('\n');
        if line.to_ascii_lowercase().starts_with("package:") {
            entry += "Status: install ok unpacked\n";
        }
    }
    let conffiles = package.file("conffiles").map_or(&[][..], |f| &f.content);
    let mut hashes = String::new();
    for line in String::from_utf8_lossy(conffiles).lines() {
        if let Some(path) = line.trim().strip_prefix('/') {
            hashes += &format!(" /{path} {}\n", conffile_hash(package, path)?);
        }
    }
    if !hashes.is_empty() {
        entry += &format!("Conffiles:\n{hashes}");
    }
    entry.push('\n');
    Ok(entry)
}

fn conffile_hash(package: &Named<'_>, path: &str) -> Result<String, String> {
    let found = package.contents.entries.iter().find(|e| e.path.as_bytes() == path.as_bytes());
    match found.map(|entry| &entry.data) {
        Some(Data::File { offset, size }) => {
            let bytes = (package.read)(*offset, *size).map_err(|e| e.to_string())?;
            Ok(hex::encode(Md5::digest(&bytes)))
        }
        _ => Ok("newconffile".into()),
    }
}

/// `info/NAME.list`: the names as the package spells them.
fn list(contents: &Contents) -> Vec<u8> {
    let mut lines = b"/.\n".to_vec();
    for entry in contents.entries.iter().filter(|e| !e.path.is_root()) {
        lines.push(b'/');
        lines.extend_from_slice(entry.path.as_bytes());
        lines.push(b'\n');
    }
    lines
}

/// `info/NAME.md5sums`, for the few packages that bring none.
fn md5sums(package: &Named<'_>) -> Result<Vec<u8>, String> {
    let mut lines = Vec::new();
    for entry in &package.contents.entries {
        if let Data::File { offset, size } = entry.data {
            let bytes = (package.read)(offset, size).map_err(|e| e.to_string())?;
            lines.extend_from_slice(hex::encode(Md5::digest(&bytes)).as_bytes());
            lines.extend_from_slice(b"  ");
            lines.extend_from_slice(entry.path.as_bytes());
            lines.push(b'\n');
        }
    }
    Ok(lines)
}

/// Registers what a package wants to be told of (deb-triggers(5)).
fn interests(text: &str, name: &str, triggers: &mut BTreeMap<String, Vec<String>>) {
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or("").split_whitespace();
        let (Some(verb), Some(trigger)) = (words.next(), words.next()) else { continue };
        let suffix = match verb {
            "interest" | "interest-await" => "",
            "interest-noawait" => "/noawait",
            _ => continue,
        };
        let who = format!("{name}{suffix}");
        if trigger.starts_with('/') {
            triggers.entry("File".into()).or_default().push(format!("{trigger} {who}"));
        } else if super::relation::is_name(trigger) {
            triggers.entry(trigger.to_owned()).or_default().push(who);
        }
    }
}
