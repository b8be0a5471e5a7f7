//! What of an image no step and no test ever looked at: a hint, never an action.
//!
//! In: an image, and the build that made it. Out: the files of the image whose
//! content nobody read, by place, by layer and by package.
//!
//! What counts: the steps whose layers the image holds, and its tests. One that
//! read a file's content used it, if the file that it saw is the one that is in
//! the image: not if a later step wrote it anew. A file that was only found or
//! listed is unused, as is one that a step wrote and nobody read after that. The
//! names of a file with several are one file.
//!
//! Limitations: what the image's own command reads when it runs is not known
//! unless a test runs it. What steps that were not watched read is not known
//! either; they are named.

use std::collections::{BTreeMap, HashMap};

use super::ExplainError;
use super::packages::{self, PackageUnused};
use crate::cache::{Cache, PastBuild, PastStep, Work};
use crate::digest::{BlobDigest, ChainId, DiffId};
use crate::image::{Image, read_image};
use crate::layer::{Layer, LayerPath};
use crate::store::Store;
use crate::view::observe::Question;
use crate::view::walk::walk;
use crate::view::{Node, NodeKind, View};

/// Files, and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub struct Size {
    /// Together.
    pub bytes: u64,
    /// How many.
    pub files: usize,
}

/// A place in which files were not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceUnused {
    /// The directory, or the file.
    pub path: LayerPath,
    /// Whether this is about all that is below it, and nothing of that was
    /// read. Else it is about the files that lie in it directly.
    pub whole: bool,
    /// What nobody read.
    pub unused: Size,
    /// All that it is about.
    pub all: Size,
}

/// A layer of the image, and what of its files in the image was not looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerUnused {
    /// The layer.
    pub layer: DiffId,
    /// What made it.
    pub origin: String,
    /// What nobody read.
    pub unused: Size,
    /// All its files that the image shows.
    pub all: Size,
}

/// What of an image nobody looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unused {
    /// The image.
    pub image: BlobDigest,
    /// The build that made it.
    pub build: u32,
    /// The steps and tests whose looks are known.
    pub watched: Vec<String>,
    /// Those of which they are not: what they read may be told as unused.
    pub unwatched: Vec<String>,
    /// All files.
    pub all: Size,
    /// Those that nobody read.
    pub unused: Size,
    /// Where they are, the largest first. Their sum is `unused`.
    pub places: Vec<PlaceUnused>,
    /// The layers, lowest first.
    pub layers: Vec<LayerUnused>,
    /// Packages of which no file was read, the largest first.
    pub packages: Vec<PackageUnused>,
}

/// A file of the image.
pub(super) struct File {
    pub(super) path: LayerPath,
    pub(super) size: u64,
    pub(super) layer: usize,
    pub(super) used: bool,
}

/// Which paths were read by whom: by how many layers each reader stood on at
/// most.
#[derive(Default)]
struct Reads(HashMap<LayerPath, usize>);

/// Looks for what nobody looked at.
///
/// # Errors
/// [`ExplainError`].
pub fn unused(store: &Store, build: &PastBuild) -> Result<Unused, ExplainError> {
    let cache = Cache::new(store.clone());
    let image = read_image(store, &build.image.ok_or(ExplainError::NoImage)?)?;
    let (reads, watched, unwatched) = reads(&cache, &image, build)?;
    let layers: Result<Vec<Layer>, _> =
        image.layers.iter().map(|desc| Layer::open(store, desc)).collect();
    let view = View::new(layers?);
    let files = files(&view, &reads)?;
    Ok(Unused {
        image: image.digest,
        build: build.number,
        watched,
        unwatched,
        all: files.iter().collect(),
        unused: files.iter().filter(|file| !file.used).collect(),
        places: places(&files),
        layers: by_layer(&image, &files),
        packages: packages::unused(&view, &files)?,
    })
}

/// What the steps and tests of the image read, and who these were.
fn reads(
    cache: &Cache,
    image: &Image,
    build: &PastBuild,
) -> Result<(Reads, Vec<String>, Vec<String>), ExplainError> {
    let layers: Vec<DiffId> = image.layers.iter().map(|layer| layer.diff_id).collect();
    let prefix = |count: usize| ChainId::of(&layers[..count]).map(|chain| (chain, count));
    let below: HashMap<ChainId, usize> = (0..=layers.len()).filter_map(prefix).collect();
    let (mut reads, mut watched, mut unwatched) = (Reads::default(), Vec::new(), Vec::new());
    for step in &build.steps {
        let Some(count) = stands_in(step, &layers, &below) else { continue };
        let pathset = match &step.saw {
            Some(saw) => cache.pathset(saw.pathset)?,
            None => None,
        };
        let Some(pathset) = pathset else {
            unwatched.push(step.name.clone());
            continue;
        };
        watched.push(step.name.clone());
        for (tree, path, asked) in pathset.iter() {
            if tree == 0 && asked.has(Question::Content) {
                let most = reads.0.entry(path.clone()).or_default();
                *most = count.max(*most);
            }
        }
    }
    Ok((reads, watched, unwatched))
}

/// On how many of the image's layers a step stood, if it is one of the image's.
fn stands_in(step: &PastStep, layers: &[DiffId], below: &HashMap<ChainId, usize>) -> Option<usize> {
    let count = *below.get(step.on.as_ref()?)?;
    match (step.work, step.layer) {
        (Work::Test, _) => (count == layers.len()).then_some(count),
        // Of another stage on the same base.
        (_, Some(made)) if layers.get(count) != Some(&made) => None,
        _ => Some(count),
    }
}

fn files(view: &View, reads: &Reads) -> Result<Vec<File>, ExplainError> {
    let mut files: Vec<File> = Vec::new();
    // Of files with several names, where the first one stands in the list.
    let mut groups: HashMap<LayerPath, usize> = HashMap::new();
    walk(view, &LayerPath::root(), &mut |path, node| {
        let Node { kind: NodeKind::File { size }, links, .. } = node else { return Ok(true) };
        let Some(layer) = view.layer_of(path)? else { return Ok(true) };
        let used = reads.0.get(path).is_some_and(|count| layer < *count);
        let group = links.as_ref().map(|links| links.first.clone());
        match group.as_ref().and_then(|first| groups.get(first)) {
            Some(&first) => files[first].used |= used,
            None => {
                groups.extend(group.map(|first| (first, files.len())));
                files.push(File { path: path.clone(), size: *size, layer, used });
            }
        }
        Ok::<_, ExplainError>(true)
    })?;
    Ok(files)
}

/// Directories of which nothing was read as one place each; of those of which
/// something was, the files that lie in them.
fn places(files: &[File]) -> Vec<PlaceUnused> {
    let mut below: BTreeMap<LayerPath, (Size, Size)> = BTreeMap::new();
    for file in files {
        for directory in file.path.ancestors() {
            let (unused, all) = below.entry(directory).or_default();
            all.add(file);
            if !file.used {
                unused.add(file);
            }
        }
    }
    let is_whole = |path: &LayerPath| below.get(path).is_some_and(|(unused, all)| unused == all);
    let mut places: BTreeMap<LayerPath, PlaceUnused> = BTreeMap::new();
    for file in files {
        let whole = file.path.ancestors().find(is_whole);
        let parent = file.path.parent().unwrap_or_default();
        let (path, whole) = match whole {
            Some(path) => (path, true),
            None => (parent, false),
        };
        let new = || PlaceUnused {
            path: path.clone(),
            whole,
            unused: Size::default(),
            all: Size::default(),
        };
        let place = places.entry(path.clone()).or_insert_with(new);
        place.all.add(file);
        if !file.used {
            place.unused.add(file);
        }
    }
    let mut places: Vec<PlaceUnused> =
        places.into_values().filter(|place| place.unused.files > 0).collect();
    places.sort_by_key(|place| std::cmp::Reverse(place.unused));
    places
}

fn by_layer(image: &Image, files: &[File]) -> Vec<LayerUnused> {
    let lines = image.config.history.iter().filter(|line| !line.empty_layer);
    let mut origins = lines.map(|line| line.created_by.clone().unwrap_or_default());
    let mut layers: Vec<LayerUnused> = image
        .layers
        .iter()
        .map(|desc| LayerUnused {
            layer: desc.diff_id,
            origin: origins.next().unwrap_or_default(),
            unused: Size::default(),
            all: Size::default(),
        })
        .collect();
    for file in files {
        let layer = &mut layers[file.layer];
        layer.all.add(file);
        if !file.used {
            layer.unused.add(file);
        }
    }
    layers
}

impl Size {
    pub(super) fn add(&mut self, file: &File) {
        self.files += 1;
        self.bytes += file.size;
    }
}

impl<'a> FromIterator<&'a File> for Size {
    fn from_iter<I: IntoIterator<Item = &'a File>>(files: I) -> Self {
        let mut size = Self::default();
        files.into_iter().for_each(|file| size.add(file));
        size
    }
}

#[cfg(test)]
mod tests {
    use super::super::step::tests::step;
    use super::*;
    use crate::cache::Ended;

    fn file(path: &str, size: u64, used: bool) -> File {
        let path = LayerPath::new(path).expect("a test's path is valid");
        File { path, size, layer: 0, used }
    }

    #[test]
    fn a_directory_that_nobody_read_of_is_one_place_and_the_sum_is_right() {
        let files = [
            file("bin/sh", 10, true),
            file("bin/cat", 7, false),
            file("usr/share/doc/a/x", 100, false),
            file("usr/share/doc/b/x", 200, false),
            file("usr/share/used", 1, true),
            file("usr/share/un", 2, false),
            file("top", 5, false),
        ];
        let told: Vec<(String, bool, u64, u64)> = places(&files)
            .into_iter()
            .map(|place| (place.path.display(), place.whole, place.unused.bytes, place.all.bytes))
            .collect();
        let wanted = [
            ("/usr/share/doc", true, 300, 300),
            ("/bin", false, 7, 17),
            ("/", false, 5, 5),
            ("/usr/share", false, 2, 3),
        ];
        let wanted = wanted.map(|(path, whole, unused, all)| (path.to_owned(), whole, unused, all));
        assert_eq!(told, wanted);
        let nobody = [file("a/b", 1, false)];
        let all = places(&nobody);
        assert!(all.len() == 1 && all[0].whole && all[0].path.is_root());
    }

    #[test]
    fn only_steps_whose_layers_the_image_has_and_its_tests_count() {
        let layers = [1, 2, 3].map(|byte| DiffId::from_bytes([byte; 32]));
        let prefix = |count: usize| ChainId::of(&layers[..count]).map(|chain| (chain, count));
        let below: HashMap<ChainId, usize> = (0..=3).filter_map(prefix).collect();
        let of = |on: &[DiffId], made: Option<DiffId>, work: Work| {
            let ended = Ended::Cached;
            let (on, layer) = (ChainId::of(on), made);
            stands_in(&PastStep { on, layer, work, ended, ..step("main", "a") }, &layers, &below)
        };
        assert_eq!(of(&layers[..1], Some(layers[1]), Work::Process), Some(1));
        assert_eq!(of(&layers[..2], None, Work::Process), Some(2));
        let other = DiffId::from_bytes([9; 32]);
        assert_eq!(of(&layers[..1], Some(other), Work::Process), None, "of another stage");
        assert_eq!(of(&[other], None, Work::Process), None, "on another base");
        assert_eq!(of(&layers, None, Work::Test), Some(3));
        assert_eq!(of(&layers[..2], None, Work::Test), None, "of another image");
        assert_eq!(of(&[], None, Work::Files), None, "it is no process");
    }
}
