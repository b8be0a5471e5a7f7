//! The floor plan of `builder-core`: a module imports lower floors only,
//! siblings on one floor never import each other, and the wing of *what*
//! (plan, frontends) and the wing of *how* (store to exec) meet in the solver.
//!
//! Read from the text of the source: every `crate::` and `super::` path that is
//! not in a comment. Limitation: what a macro of another crate expands to is
//! not seen.

use std::path::{Path, PathBuf};

/// Each top-level module and its floor.
const FLOORS: [(&str, u32); 28] = [
    ("digest", 0),
    ("pattern", 1),
    ("rooted", 1),
    ("cancel", 2),
    ("event", 2),
    ("plan", 3),
    ("frontend", 4),
    ("recipe", 5),
    ("dockerfile", 5),
    ("store", 6),
    ("layer", 7),
    ("image", 8),
    ("registry", 9),
    ("daemon", 9),
    ("view", 10),
    ("root", 11),
    ("exec", 12),
    ("source", 12),
    ("fileop", 12),
    ("output", 12),
    ("cache", 13),
    ("chain", 13),
    ("solve", 14),
    ("explain", 14),
    ("convert", 14),
    ("error", 15),
    ("engine", 16),
    ("lib", 17),
];

/// The wing of *what*, of which the wing of *how* reads `plan::op` only.
const WHAT: std::ops::RangeInclusive<u32> = 3..=5;
const HOW: std::ops::RangeInclusive<u32> = 6..=12;

/// `(file, imported module, reason)`: what stands against the rule, and why.
const EXCEPTIONS: [(&str, &str, &str); 0] = [];

fn floor(module: &str) -> Option<u32> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

/// What is wrong with `from` importing `path`, if anything is.
fn offence(from: &str, path: &[String]) -> Option<String> {
    let to = path.first()?;
    if to == from || from == "lib" {
        return None;
    }
    // A name at the root that is no module is a re-export or a macro.
    let to_floor = floor(to)?;
    let from_floor = floor(from)?;
    if to_floor == from_floor {
        return Some(format!("sibling `{to}` on floor {to_floor}"));
    }
    if to_floor > from_floor {
        return Some(format!("upward: `{to}` is on floor {to_floor}, this is {from_floor}"));
    }
    let crosses = HOW.contains(&from_floor) && WHAT.contains(&to_floor);
    let operation = to == "plan" && path.get(1).is_some_and(|second| second == "op");
    (crosses && !operation).then(|| format!("`{}` is of the wing of what", path.join("::")))
}

/// Every path from the crate's root that `text`, of the module `module`, names.
fn imports(text: &str, module: &[String]) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    let mut inline: Vec<usize> = Vec::new();
    let code: Vec<&str> = text.lines().map(without_comment).collect();
    for (number, line) in code.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let trimmed = line.trim();
        if trimmed == "}" && inline.last() == Some(&indent) {
            inline.pop();
        }
        let words: Vec<&str> = trimmed.split_whitespace().collect();
        let opens = words.last() == Some(&"{")
            && words.iter().rev().nth(2).is_some_and(|word| *word == "mod");
        if opens {
            inline.push(indent);
        }
        let depth = module.len() + inline.len();
        let rest = code[number..].join("\n");
        let end = line.len();
        for (at, base) in roots(&rest[..end], depth, module.len()) {
            found.extend(names(&rest[at..], base, module).into_iter().map(|p| (number + 1, p)));
        }
    }
    found
}

/// Where in a line paths begin that are rooted in the crate: the offset after
/// the root, and how many modules of the own path the root stands below.
fn roots(line: &str, depth: usize, own: usize) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let boundary =
        |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
    for (at, word) in line.match_indices("crate::") {
        if boundary(at) {
            found.push((at + word.len(), 0));
        }
    }
    for (at, _) in line.match_indices("super::").filter(|(at, _)| boundary(*at)) {
        let mut end = at;
        let mut up = 0;
        while line[end..].starts_with("super::") {
            end += "super::".len();
            up += 1;
        }
        if let Some(base) = depth.checked_sub(up).filter(|base| *base <= own) {
            found.push((end, base));
        }
    }
    found
}

/// The one or (in braces) many paths that `text` goes on with, as far as their
/// second name, below the first `base` names of `module`.
fn names(text: &str, base: usize, module: &[String]) -> Vec<Vec<String>> {
    let prefix = &module[..base.min(module.len())];
    let branches: Vec<&str> = match text.strip_prefix('{') {
        None => vec![text],
        Some(group) => split_group(group),
    };
    let path = |branch: &str| {
        let mut path = prefix.to_vec();
        let mut rest = branch.trim_start();
        loop {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            if end == 0 {
                break;
            }
            path.push(rest[..end].to_owned());
            match rest[end..].strip_prefix("::") {
                Some(more) => rest = more.strip_prefix('{').unwrap_or(more),
                None => break,
            }
        }
        path
    };
    branches.into_iter().map(path).filter(|path| !path.is_empty()).collect()
}

/// The branches of a group, up to its closing brace.
fn split_group(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut branches) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                branches.push(&group[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                branches.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    branches.into_iter().filter(|branch| !branch.trim().is_empty()).collect()
}

fn without_comment(line: &str) -> &str {
    line.find("//").map_or(line, |at| &line[..at])
}

fn source_files(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("the source is there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            source_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// `a/b/mod.rs` and `a/b.rs` are both `[a, b]`.
fn module_of(file: &Path) -> Vec<String> {
    let names = file.with_extension("");
    let mut path: Vec<String> =
        names.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    if path.last().is_some_and(|last| last == "mod") {
        path.pop();
    }
    path
}

#[test]
fn no_module_imports_upwards_sideways_or_across_the_wings() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    source_files(&source, &mut files);
    assert!(files.len() > 10, "the source was not found");
    let mut offences = Vec::new();
    for file in &files {
        let name = file.strip_prefix(&source).expect("it was found there");
        let module = module_of(name);
        let shown = name.display().to_string();
        if floor(&module[0]).is_none() {
            offences.push(format!("{shown}: `{}` has no floor", module[0]));
            continue;
        }
        let text = std::fs::read_to_string(file).expect("it is text");
        // The crate's root is no part of a path in it.
        let own = if module == ["lib"] { &[][..] } else { &module[..] };
        for (line, path) in imports(&text, own) {
            let excepted = EXCEPTIONS.iter().any(|(f, to, _)| *f == shown && path[0] == *to);
            if let (false, Some(offence)) = (excepted, offence(&module[0], &path)) {
                offences.push(format!("{shown}:{line}: {offence}"));
            }
        }
    }
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

#[test]
fn reader_of_imports_sees_every_form() {
    let own = ["view", "merge"].map(str::to_owned);
    let table: [(&str, &[&str]); 10] = [
        ("use crate::layer::Layer;", &["layer::Layer"]),
        ("use crate::{layer, store::{Store, X}};", &["layer", "store::Store"]),
        ("use crate::{\n    layer::Layer,\n    root,\n};", &["layer::Layer", "root"]),
        ("let x = crate::engine::f();", &["engine::f"]),
        ("use super::lookup::f;", &["view::lookup::f"]),
        ("use super::super::engine::Engine;", &["engine::Engine"]),
        (
            "mod tests {\n    use super::*;\n    use super::super::engine::f;\n}",
            &["view::merge", "view::engine::f"],
        ),
        ("/// See [`crate::engine`].", &[]),
        ("use other::crate_::x; mycrate::y();", &[]),
        ("$crate::engine::x()", &["engine::x"]),
    ];
    for (text, expected) in table {
        let found: Vec<String> =
            imports(text, &own).into_iter().map(|(_, path)| path.join("::")).collect();
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn rule_is_the_floor_plan() {
    let path = |text: &str| text.split("::").map(str::to_owned).collect::<Vec<_>>();
    let table = [
        ("view", "layer::Layer", true),
        ("layer", "view::View", false),
        ("exec", "fileop::x", false),
        ("exec", "plan::op::Network", true),
        ("exec", "plan::Plan", false),
        ("source", "recipe::x", false),
        ("recipe", "store::Store", false),
        ("solve", "plan::Plan", true),
        ("solve", "exec::Job", true),
        ("engine", "error::Error", true),
        ("solve", "error::Error", false),
        ("layer", "SomeReexport", true),
        ("lib", "engine::Engine", true),
    ];
    for (from, to, allowed) in table {
        assert_eq!(offence(from, &path(to)).is_none(), allowed, "{from} -> {to}");
    }
}
