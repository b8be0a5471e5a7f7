//! Which packages nobody looked at: where the image has a database of dpkg.
//!
//! In: the image's `/var/lib/dpkg/info/*.list`. Out: the packages of which no
//! file was read. A list that cannot be read tells nothing.

use std::collections::HashMap;
use std::io::Read as _;

use super::ExplainError;
use super::unused::{File, Size};
use crate::layer::LayerPath;
use crate::view::{Tree, TreeError, lookup};

/// Where dpkg keeps, for each package, which files are of it.
const INFO: &str = "var/lib/dpkg/info";
/// The largest list that is read, in bytes.
const LIMIT: u64 = 16 << 20;

/// A package of which no file was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageUnused {
    /// Its name.
    pub name: String,
    /// Its files that are in the image.
    pub unused: Size,
}

pub(super) fn unused(tree: &dyn Tree, files: &[File]) -> Result<Vec<PackageUnused>, ExplainError> {
    let info = LayerPath::new(INFO).expect("a plain path");
    if !tree.node(&info)?.is_some_and(|node| node.is_dir()) {
        return Ok(Vec::new());
    }
    let by_path: HashMap<&LayerPath, &File> = files.iter().map(|file| (&file.path, file)).collect();
    let mut real = Real { tree, known: HashMap::new() };
    let mut packages = Vec::new();
    for (name, _) in tree.list(&info)? {
        let Some(package) = name.strip_suffix(b".list") else { continue };
        let Ok(path) = info.join(&name) else { continue };
        let mut size = Size::default();
        let mut used = false;
        for line in read(tree, &path)?.split(|byte| *byte == b'\n') {
            let Some(path) = real.path(line)? else { continue };
            let Some(file) = by_path.get(&path) else { continue };
            used |= file.used;
            size.add(file);
        }
        if !used && size.files > 0 {
            let name = String::from_utf8_lossy(package).into_owned();
            packages.push(PackageUnused { name, unused: size });
        }
    }
    packages.sort_by_key(|package| std::cmp::Reverse(package.unused));
    Ok(packages)
}

fn read(tree: &dyn Tree, path: &LayerPath) -> Result<Vec<u8>, ExplainError> {
    let mut text = Vec::new();
    match tree.stream(path) {
        Ok(stream) => match stream.take(LIMIT).read_to_end(&mut text) {
            Ok(_) => Ok(text),
            Err(source) => Err(TreeError::Io { path: path.display(), source }.into()),
        },
        Err(TreeError::Type { .. }) => Ok(text),
        Err(error) => Err(error.into()),
    }
}

/// Where names of dpkg are: `/bin` may be a link to `/usr/bin`.
struct Real<'a> {
    tree: &'a dyn Tree,
    known: HashMap<LayerPath, LayerPath>,
}

impl Real<'_> {
    fn path(&mut self, name: &[u8]) -> Result<Option<LayerPath>, TreeError> {
        let Ok(path) = LayerPath::new(name) else { return Ok(None) };
        let Some((parent, name)) = path.split() else { return Ok(None) };
        let real = match self.known.get(&parent) {
            Some(real) => real.clone(),
            None => {
                let real = match lookup::resolve(self.tree, &parent) {
                    Ok(resolved) => resolved.path,
                    Err(TreeError::Type { .. }) => return Ok(None),
                    Err(error) => return Err(error),
                };
                self.known.entry(parent).or_insert(real).clone()
            }
        };
        Ok(real.join(name).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::memory::Memory;

    #[test]
    fn a_package_is_unused_if_none_of_its_files_was_read() {
        let tree = Memory::new()
            .file("usr/bin/a", "aaa")
            .file("usr/bin/b", "bb")
            .file("usr/share/b", "b")
            .link("bin", "usr/bin")
            .file("var/lib/dpkg/info/a.list", "/.\n/bin\n/bin/a\n/usr/share\n")
            .file("var/lib/dpkg/info/b:amd64.list", "/bin/b\n/usr/share/b\n/gone\n\n/a/../b\n")
            .file("var/lib/dpkg/info/empty.list", "")
            .file("var/lib/dpkg/info/a.md5sums", "x");
        let file = |path: &str, size, used| {
            let path = LayerPath::new(path).expect("a test's path is valid");
            File { path, size, layer: 0, used }
        };
        let files = [
            file("usr/bin/a", 3, true),
            file("usr/bin/b", 2, false),
            file("usr/share/b", 1, false),
        ];
        let told = unused(&tree, &files).expect("read");
        let size = Size { bytes: 3, files: 2 };
        assert_eq!(told, [PackageUnused { name: "b:amd64".to_owned(), unused: size }]);
        assert_eq!(unused(&Memory::new(), &files).expect("read"), []);
    }
}
