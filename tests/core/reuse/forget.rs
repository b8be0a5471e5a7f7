//! Would a wrong reuse be found? A recorder that forgets one kind of answer
//! makes one, for each kind in turn, and the random cases must meet it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use builder_core::view::observe::Blind;

use super::case::{Case, Tally, Verdict};
use super::edit::Edit;
use super::scene::Kit;
use super::tree::{Item, What};

/// Cases within which a kind must be missed.
const WITHIN: u64 = 1000;

/// The kinds, each with the first case that finds it now. It may be any: where
/// the grammar has changed, those after it are tried.
const KINDS: [(Blind, u64); 12] = [
    (Blind::Found, 8),
    (Blind::Absent, 68),
    (Blind::Listed, 12),
    (Blind::Link, 17),
    (Blind::Content, 13),
    (Blind::Mode, 51),
    (Blind::Owner, 229),
    (Blind::Size, 20),
    (Blind::Time, 8),
    (Blind::Device, 407),
    (Blind::Links, 174),
    (Blind::Xattrs, 66),
];

/// The first seed that was seen to find it, beginning with `first`.
fn finds(blind: Blind, first: u64, kit: &Kit) -> Option<u64> {
    let (next, done, found) = (AtomicU64::new(first), AtomicBool::new(false), Mutex::new(None));
    let work = || {
        while !done.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + WITHIN {
                return;
            }
            let case = Case { blind: Some(blind), ..Case::new(seed, false) };
            if !tells(blind, &case) {
                continue;
            }
            if let Verdict::Wrong(_) = case.play(kit, &mut Tally::default()) {
                done.store(true, Ordering::Relaxed);
                found.lock().expect("no thread panics here").get_or_insert(seed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(work);
        }
    });
    found.into_inner().expect("no thread panicked")
}

/// Whether an edit of the case alters what is forgotten: the others need not be
/// played.
fn tells(blind: Blind, case: &Case) -> bool {
    let mut world = case.world.clone();
    case.rounds.iter().flatten().any(|edit| {
        let (old, new) = match edit {
            Edit::Base { base, layer, path, item } => (world.bases[*base][*layer].get(path), item),
            Edit::Context { path, item } => (world.context.get(path), item),
            _ => (None, &None),
        };
        let tells = matches!(edit, Edit::Base { .. } | Edit::Context { .. })
            && alters(blind, old, new.as_ref());
        edit.apply(&mut world);
        tells
    })
}

fn alters(blind: Blind, old: Option<&Item>, new: Option<&Item>) -> bool {
    let (Some(old), Some(new)) = (old, new) else {
        return matches!(blind, Blind::Found | Blind::Absent | Blind::Listed);
    };
    match (blind, &old.what, &new.what) {
        (Blind::Found, ..) => true,
        (Blind::Absent | Blind::Listed, ..) => false,
        (Blind::Link, What::Symlink(old), What::Symlink(new)) => old != new,
        (Blind::Content, What::File(old), What::File(new)) => old != new && old.len() == new.len(),
        (Blind::Size, What::File(old), What::File(new)) => old.len() != new.len(),
        (Blind::Device, What::Device(old), What::Device(new)) => old != new,
        (Blind::Links, What::Hard(_), _) | (Blind::Links, _, What::Hard(_)) => true,
        (Blind::Mode, ..) => old.mode != new.mode,
        (Blind::Owner, ..) => (old.uid, old.gid) != (new.uid, new.gid),
        (Blind::Time, ..) => old.mtime.0 != new.mtime.0,
        (Blind::Xattrs, ..) => old.xattrs != new.xattrs,
        _ => false,
    }
}

#[test]
fn each_kind_of_answer_that_is_forgotten_is_found_out() {
    let Some(kit) = super::kit() else { return };
    let mut missed = Vec::new();
    for (blind, first) in KINDS {
        match finds(blind, first, &kit) {
            Some(seed) => eprintln!("{blind:?} is missed in case {seed}"),
            None => missed.push(blind),
        }
    }
    assert!(missed.is_empty(), "nobody misses {missed:?}");
}
