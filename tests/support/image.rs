//! A small image that runs: a static busybox and a file of every type.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use builder_core::digest::ContentDigest;
use builder_core::image::{History, ImageConfig, NewImage, Platform, WrittenImage, write_image};
use builder_core::layer::{
    Change, Compression, Entry, Kind, LayerDesc, LayerPath, LayerWriter, Meta,
};
use builder_core::output::{Export, Output};
use builder_core::store::Store;

use super::tools;

/// The name of the image where it is exported.
pub(crate) const NAME: &str = "localhost/phoenix-test:one";

/// A store with one image in it.
pub(crate) struct Sample {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) image: WrittenImage,
}

impl Sample {
    /// Makes the image; `None` where busybox is not to be had (said loudly).
    pub(crate) fn make(compression: Compression) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let busybox = busybox(dir.path())?;
        let store = Store::open(&dir.path().join("store")).expect("a new store opens");
        let mut writer = LayerWriter::new(&store, compression).expect("a layer begins");
        for (path, mode, kind) in entries(busybox.len()) {
            let change = Change::Present { meta: Meta::root_owned(mode), kind: kind.clone() };
            let path = LayerPath::new(path).expect("a good path");
            let mut content = &busybox[..];
            let file = matches!(kind, Kind::File { .. });
            let content = file.then_some(&mut content as &mut dyn std::io::Read);
            writer.append(&Entry { path, change }, content).expect("a good entry");
        }
        let layers = [writer.finish().expect("a layer ends")];
        Some(Self::with(dir, store, &layers))
    }

    /// Makes an image without layers.
    pub(crate) fn empty() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(&dir.path().join("store")).expect("a new store opens");
        Self::with(dir, store, &[])
    }

    fn with(dir: tempfile::TempDir, store: Store, layers: &[LayerDesc]) -> Self {
        let mut config = ImageConfig::empty(&Platform::host());
        config.set_env("PATH", "/bin");
        config.config.cmd = Some(vec!["/bin/sh".into(), "-c".into(), "echo it runs".into()]);
        let empty_layer = layers.is_empty();
        let created_by = Some("test".into());
        let history = [History { created_by, empty_layer, ..History::default() }];
        let (config, history, annotations) = (&config, &history[..], &BTreeMap::new());
        let image = NewImage { config, layers, history, annotations, created: None };
        let image = write_image(&store, &image).expect("the image is good");
        Self { dir, store, image }
    }

    /// Writes the image out under [`NAME`].
    pub(crate) fn export(&self, output: &dyn Output) {
        let (names, annotations) = (&[NAME.to_owned()][..], &BTreeMap::new());
        let export = Export { store: &self.store, image: &self.image, names, annotations };
        output.write(&export).expect("the image can be exported");
    }
}

fn entries(busybox: usize) -> Vec<(&'static str, u32, Kind)> {
    let content = ContentDigest::from_bytes([0; 32]);
    let busybox = Kind::File { size: busybox as u64, content };
    let link = |target: &str| Kind::Symlink { target: target.into() };
    vec![
        ("bin", 0o755, Kind::Directory),
        ("bin/busybox", 0o755, busybox),
        ("bin/cat", 0o777, link("busybox")),
        ("bin/sh", 0o777, link("busybox")),
        ("dev", 0o755, Kind::Directory),
        ("dev/zero", 0o666, Kind::CharDevice { major: 1, minor: 5 }),
        ("pipe", 0o600, Kind::Fifo),
        ("tmp", 0o1777, Kind::Directory),
    ]
}

fn busybox(dir: &Path) -> Option<Vec<u8>> {
    if !tools::have(&["apt-get", "dpkg-deb"]) {
        return None;
    }
    let download = Command::new("apt-get")
        .args(["download", "-q", "busybox-static"])
        .current_dir(dir)
        .output()
        .expect("apt-get starts");
    if !download.status.success() {
        tools::skip("busybox-static cannot be downloaded");
        return None;
    }
    let names = std::fs::read_dir(dir).expect("there").filter_map(Result::ok);
    let deb = names.map(|entry| entry.path()).find(|p| p.extension().is_some_and(|e| e == "deb"));
    let deb = deb.expect("apt-get has downloaded it");
    let to = dir.join("busybox");
    tools::run("dpkg-deb", [Path::new("-x"), &deb, &to]);
    let binary = ["bin/busybox", "usr/bin/busybox"].map(|name| to.join(name));
    let binary = binary.iter().find(|path| path.exists()).expect("the package has it");
    Some(std::fs::read(binary).expect("it can be read"))
}
