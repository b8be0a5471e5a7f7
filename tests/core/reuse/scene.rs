//! Where a case is played: its files on disk, a store that lives through all
//! edits, and stores that hold nothing but the tools of the base.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use builder_core::digest::{BlobDigest, ContentDigest};
use builder_core::engine::{BuildRequest, Engine, EngineBuilder};
use builder_core::error::Error;
use builder_core::exec::{Cancel, RunnerPath};
use builder_core::image::{History, ImageConfig, NewImage, Platform, read_image, write_image};
use builder_core::layer::{
    self, Change, Compression, Difference, Entry, Kind, Layer, LayerDesc, LayerPath, LayerWriter,
    Meta,
};
use builder_core::recipe::{self, Params};
use builder_core::solve::{NoCache, StepReport};
use builder_core::source::Source as _;
use builder_core::source::rootfs::Rootfs;
use builder_core::store::Store;
use builder_core::view::observe::Blind;
use builder_core::view::{Tree as _, View};

use super::heavy;
use super::tree::{self, Tree};
use super::world::{Base, World};
use crate::exec_support::{busybox, runner};
use crate::oracle::place;

/// Larger files of a store are linked where a store is copied: none of them is
/// ever written again.
const LINKED: u64 = 64 << 10;
/// Most differing paths that are told.
const TOLD: usize = 30;
/// The content of smaller files is shown.
const SHOWN: usize = 2000;

/// What all cases start from.
pub(super) struct Kit {
    /// The lowest layers of every base, in a layout.
    tools: Vec<LayerDesc>,
    layout: PathBuf,
    /// A store that knows the tools and nothing else.
    store: PathBuf,
    _dir: tempfile::TempDir,
}

/// How a build ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    Image(BlobDigest),
    /// The step that failed.
    Failed(String),
}

/// A build and where it was made.
pub(super) struct Built {
    pub(super) ended: Ended,
    pub(super) steps: Vec<StepReport>,
    store: Store,
}

pub(super) struct Scene<'a> {
    kit: &'a Kit,
    dir: tempfile::TempDir,
    engine: Engine,
    jobs: usize,
    bases: Vec<(Store, Base)>,
    context: Tree,
}

impl Kit {
    /// Busybox and the probe. `None` where there is no busybox or compiler.
    pub(super) fn light() -> Option<Self> {
        let (busybox, probe) = (busybox()?, crate::contract_root::probe()?);
        let dir = place();
        let layout = dir.path().join("layout");
        let tools = {
            let store = Store::open(&layout).expect("a store can be made");
            vec![tools(&store, &busybox, probe)]
        };
        Some(Self::with(dir, layout, tools))
    }

    /// A Debian with compilers. `None` where there is none and none can be made.
    pub(super) fn heavy() -> Option<Self> {
        let (path, probe) = (heavy::base()?, crate::contract_root::probe()?);
        let dir = place();
        let layout = dir.path().join("layout");
        let store = Store::open(&layout).expect("a store can be made");
        let (compression, platform) = (Compression::None, Platform::host());
        let debian = Rootfs { store: store.clone(), path, compression, platform };
        let mut tools = debian.fetch().expect("the tar is good").layers;
        let entries = [
            ("out", 0o1777, Kind::Directory, &[][..]),
            ("usr/local/bin/probe", 0o755, file(probe), probe),
        ];
        tools.push(written(
            &store,
            entries.into_iter().map(|(path, mode, kind, bytes)| {
                (LayerPath::new(path).expect("a good path"), mode, kind, bytes)
            }),
        ));
        Some(Self::with(dir, layout, tools))
    }

    fn with(dir: tempfile::TempDir, layout: PathBuf, tools: Vec<LayerDesc>) -> Self {
        let store = dir.path().join("store");
        image(&Store::open(&layout).expect("it is one"), &tools);
        let engine = engine(&store, 1, None);
        let text = r#"{"from": {"oci": "layout"}}"#;
        let ended = build(&engine, text, dir.path(), NoCache::Never).ended;
        assert!(matches!(ended, Ended::Image(_)), "{ended:?}");
        drop(engine);
        Self { tools, layout, store, _dir: dir }
    }
}

/// Writes the layer that every base stands on.
fn tools(store: &Store, busybox: &[u8], probe: &[u8]) -> LayerDesc {
    let mut entries: BTreeMap<LayerPath, (u32, Kind, &[u8])> = BTreeMap::new();
    let mut add = |path: &str, mode, kind, bytes| {
        entries.insert(LayerPath::new(path).expect("a good path"), (mode, kind, bytes));
    };
    for (dir, mode) in [("bin", 0o755), ("etc", 0o755), ("out", 0o1777), ("tmp", 0o1777)] {
        add(dir, mode, Kind::Directory, &[]);
    }
    add("bin/busybox", 0o755, file(busybox), busybox);
    add("bin/probe", 0o755, file(probe), probe);
    let applets = "sh cat head tail wc md5sum grep readlink realpath ls echo find sort cmp uniq \
                   stat dd id od env cut cp mv ln rm mkdir rmdir chmod chown touch sed tar cpio \
                   truncate mktemp date du tr true sleep test [";
    for applet in applets.split_whitespace() {
        let target = b"busybox".to_vec();
        add(&format!("bin/{applet}"), 0o777, Kind::Symlink { target }, &[]);
    }
    written(store, entries.into_iter().map(|(path, (mode, kind, bytes))| (path, mode, kind, bytes)))
}

fn file(bytes: &[u8]) -> Kind {
    Kind::File { size: bytes.len() as u64, content: ContentDigest::of(bytes) }
}

/// Writes a layer of what root owns.
fn written<'a>(
    store: &Store,
    entries: impl Iterator<Item = (LayerPath, u32, Kind, &'a [u8])>,
) -> LayerDesc {
    let mut writer = LayerWriter::new(store, Compression::None).expect("a layer begins");
    for (path, mode, kind, mut bytes) in entries {
        let is_file = matches!(kind, Kind::File { .. });
        let change = Change::Present { meta: Meta::root_owned(mode), kind };
        let content = is_file.then_some(&mut bytes as &mut dyn std::io::Read);
        writer.append(&Entry { path, change }, content).expect("a good entry");
    }
    writer.finish().expect("a layer ends")
}

/// Makes layers the only image of a layout.
fn image(store: &Store, layers: &[LayerDesc]) {
    let mut config = ImageConfig::empty(&Platform::host());
    config.set_env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let line = || History { created_by: Some("base".into()), ..History::default() };
    let history: Vec<_> = layers.iter().map(|_| line()).collect();
    let annotations = &BTreeMap::new();
    let image = NewImage { config: &config, layers, history: &history, annotations, created: None };
    let written = write_image(store, &image).expect("the image is good");
    store.set_ref("localhost/base:latest", written.manifest).expect("it is named");
}

fn engine(store: &Path, jobs: usize, blind: Option<Blind>) -> Engine {
    let builder = Engine::builder(store).runner(RunnerPath::Path(runner())).jobs(jobs);
    let builder = blind.into_iter().fold(builder, EngineBuilder::blind_to);
    builder.build().expect("a store can be made")
}

/// Copies a store.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        let meta = entry.metadata().expect("it is there");
        if meta.is_dir() {
            copy(&path, &to);
        } else if meta.len() > LINKED {
            fs::hard_link(&path, &to).expect("linked");
        } else {
            fs::copy(&path, &to).expect("copied");
        }
    }
}

fn build(engine: &Engine, text: &str, context: &Path, no_cache: NoCache) -> Built {
    let file = context.join("recipe.yaml");
    let loaded = recipe::load(text, &file, context, &Params::default());
    let loaded = loaded.unwrap_or_else(|found| panic!("{text}\n{found:?}"));
    let compression = Compression::None;
    let recipe = loaded.recipe_id;
    let request = BuildRequest { recipe, compression, no_cache, ..BuildRequest::new(loaded.plan) };
    let (ended, steps) = match engine.build_blocking(&request, &Cancel::new()) {
        Ok(built) => (Ended::Image(built.digest), built.steps),
        Err(Error::Step { error, steps }) => {
            (Ended::Failed(format!("{}: {:?}", error.step, error.cause)), steps)
        }
        Err(error) => panic!("{error:?}"),
    };
    Built { ended, steps, store: engine.store().clone() }
}

impl<'a> Scene<'a> {
    pub(super) fn new(kit: &'a Kit, jobs: usize, blind: Option<Blind>) -> Self {
        let dir = place();
        let store = dir.path().join("store");
        copy(&kit.store, &store);
        fs::create_dir_all(dir.path().join("context/app")).expect("made");
        let engine = engine(&store, jobs, blind);
        Self { kit, dir, engine, jobs, bases: Vec::new(), context: Tree::new() }
    }

    /// Brings the world to disk, and touches nothing that has not changed.
    pub(super) fn write(&mut self, world: &World) {
        for (at, base) in world.bases.iter().enumerate() {
            if self.bases.len() == at {
                let layout = self.dir.path().join(format!("base{at}"));
                copy(&self.kit.layout, &layout);
                let store = Store::open(&layout).expect("it is one");
                self.bases.push((store, Base::new()));
            }
            let (store, written) = &mut self.bases[at];
            if written != base {
                let trees = base.iter().map(|tree| tree::layer(store, tree));
                let layers: Vec<_> = self.kit.tools.iter().cloned().chain(trees).collect();
                image(store, &layers);
                written.clone_from(base);
            }
        }
        tree::sync(&self.dir.path().join("context/app"), &self.context, &world.context);
        self.context.clone_from(&world.context);
    }

    /// Builds with all that was built before.
    pub(super) fn build(&self, world: &World) -> Built {
        self.build_with(world, NoCache::Never)
    }

    /// As [`Self::build`], with some reuse forbidden.
    pub(super) fn build_with(&self, world: &World, no_cache: NoCache) -> Built {
        build(&self.engine, &world.recipe(), &self.dir.path().join("context"), no_cache)
    }

    /// Builds where nothing was built before. The store goes with the value.
    pub(super) fn build_anew(&self, world: &World) -> (Built, tempfile::TempDir) {
        let dir = tempfile::tempdir_in(self.dir.path()).expect("a directory");
        let store = dir.path().join("store");
        copy(&self.kit.store, &store);
        let engine = engine(&store, self.jobs, None);
        (build(&engine, &world.recipe(), &self.dir.path().join("context"), NoCache::Never), dir)
    }

    /// Whether two builds gave the same. Of steps that fail at the same time,
    /// which is first is chance.
    pub(super) fn alike(&self, one: &Built, other: &Built) -> bool {
        let both_failed =
            matches!((&one.ended, &other.ended), (Ended::Failed(_), Ended::Failed(_)));
        one.ended == other.ended || self.jobs > 1 && both_failed
    }
}

/// Which paths differ, for people.
pub(super) fn differences(got: &Built, wanted: &Built) -> Vec<String> {
    let (Ended::Image(one), Ended::Image(other)) = (&got.ended, &wanted.ended) else {
        return vec![format!("{:?} instead of {:?}", got.ended, wanted.ended)];
    };
    let read = |store, digest| read_image(store, digest).expect("it was built");
    let (one, other) = (read(&got.store, one), read(&wanted.store, other));
    let mut told = Vec::new();
    if one.layers.len() != other.layers.len() {
        told.push(format!("{} layers instead of {}", one.layers.len(), other.layers.len()));
    }
    for (at, (x, y)) in one.layers.iter().zip(&other.layers).enumerate() {
        if x.diff_id != y.diff_id {
            let x = Layer::open(&got.store, x).expect("a layer");
            let y = Layer::open(&wanted.store, y).expect("a layer");
            for difference in layer::diff(&x, &y).expect("layers can be compared") {
                told.push(format!("layer {at}: {difference}"));
                if let Difference::Changed { path, .. } = &difference {
                    told.extend([&x, &y].iter().filter_map(|layer| content(layer, path)));
                }
            }
        }
    }
    told.truncate(TOLD);
    told
}

/// What a small file of a layer holds.
fn content(layer: &Layer, path: &LayerPath) -> Option<String> {
    let mut bytes = Vec::new();
    View::new(vec![layer.clone()]).stream(path).ok()?.read_to_end(&mut bytes).ok()?;
    (bytes.len() < SHOWN).then(|| format!("    {:?}", String::from_utf8_lossy(&bytes)))
}
