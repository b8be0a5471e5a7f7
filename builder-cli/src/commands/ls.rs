//! `phoenix ls`: files of an image, without unpacking it.

use builder_core::layer::LayerPath;
use builder_core::view::walk::walk;
use builder_core::view::{Node, NodeKind, Tree, lookup};
use serde_json::{Value, json};

use crate::args::{Format, LsArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::output;
use crate::settings::Settings;

/// Prints a file, what is in a directory, or (`-R`) all that is below it.
pub(crate) fn run(args: &LsArgs, settings: &Settings) -> Result<Exit, CliError> {
    let store = super::image::store(settings)?;
    let view = super::image::view(&store, &args.image.image)?;
    let found = files(&view, &super::image::path(&args.path)?, args)?;
    match args.format.format {
        Format::Json => {
            output::json(&found.iter().map(|(p, n)| as_json(p, n)).collect::<Vec<_>>())?;
        }
        Format::Text if found.is_empty() => {}
        Format::Text => {
            let rows: Vec<_> = found.iter().map(|(path, node)| row(path, node)).collect();
            output::line(&output::columns(&rows))?;
        }
    }
    Ok(Exit::Done)
}

fn files(
    tree: &dyn Tree,
    path: &LayerPath,
    args: &LsArgs,
) -> Result<Vec<(LayerPath, Node)>, CliError> {
    // A link to a directory is followed, as `ls LINK/` does; any other file is
    // shown as it is.
    let resolved = lookup::resolve(tree, path)?;
    let lead = match &resolved.node {
        Some(node) if node.is_dir() => resolved,
        _ => lookup::resolve_parent(tree, path)?,
    };
    let Some(node) = lead.node else {
        return Err(CliError::NoFile { path: args.path.clone() });
    };
    let mut found = Vec::new();
    if !node.is_dir() {
        found.push((lead.path, node));
        return Ok(found);
    }
    walk(tree, &lead.path, &mut |path, node| {
        let top = *path == lead.path;
        if !top {
            found.push((path.clone(), node.clone()));
        }
        Ok::<_, CliError>(top || args.recursive)
    })?;
    Ok(found)
}

fn row(path: &LayerPath, node: &Node) -> Vec<String> {
    let target = match &node.kind {
        NodeKind::Symlink { target } => format!(" -> {}", target.escape_ascii()),
        _ => String::new(),
    };
    let size = match node.kind {
        NodeKind::File { size } => size.to_string(),
        NodeKind::CharDevice { major, minor } | NodeKind::BlockDevice { major, minor } => {
            format!("{major},{minor}")
        }
        _ => "-".to_owned(),
    };
    let owner = format!("{}:{}", node.meta.uid, node.meta.gid);
    let name = format!("/{}{target}", shown(path.as_bytes()));
    vec![mode(node), owner, size, time(node.meta.mtime.secs), name]
}

fn as_json(path: &LayerPath, node: &Node) -> Value {
    let (kind, size, target) = match &node.kind {
        NodeKind::File { size } => ("file", Some(*size), None),
        NodeKind::Directory => ("directory", None, None),
        NodeKind::Symlink { target } => ("symlink", None, Some(shown(target))),
        NodeKind::CharDevice { .. } => ("char-device", None, None),
        NodeKind::BlockDevice { .. } => ("block-device", None, None),
        NodeKind::Fifo => ("fifo", None, None),
        NodeKind::Socket => ("socket", None, None),
    };
    json!({
        "path": format!("/{}", shown(path.as_bytes())),
        "type": kind,
        "mode": format!("{:04o}", node.meta.mode),
        "uid": node.meta.uid,
        "gid": node.meta.gid,
        "size": size,
        "mtime": node.meta.mtime.secs,
        "target": target,
    })
}

/// Names are bytes: control characters and what is not UTF-8 are escaped.
fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

/// As `ls -l` has it: `drwxr-xr-x`, with set-id and sticky bits.
fn mode(node: &Node) -> String {
    let kind = match node.kind {
        NodeKind::File { .. } => '-',
        NodeKind::Directory => 'd',
        NodeKind::Symlink { .. } => 'l',
        NodeKind::CharDevice { .. } => 'c',
        NodeKind::BlockDevice { .. } => 'b',
        NodeKind::Fifo => 'p',
        NodeKind::Socket => 's',
    };
    let bits = node.meta.mode;
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let three = bits >> shift;
        text.push(if three & 4 != 0 { 'r' } else { '-' });
        text.push(if three & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & special != 0, three & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
        });
    }
    text
}

fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |t| t.to_string())
}

#[cfg(test)]
mod tests {
    use builder_core::layer::Meta;

    use super::*;

    #[test]
    fn mode_is_written_as_ls_does() {
        let table = [
            (NodeKind::File { size: 0 }, 0o644, "-rw-r--r--"),
            (NodeKind::Directory, 0o1777, "drwxrwxrwt"),
            (NodeKind::File { size: 0 }, 0o4755, "-rwsr-xr-x"),
            (NodeKind::File { size: 0 }, 0o6644, "-rwSr-Sr--"),
            (NodeKind::Fifo, 0o1000, "p--------T"),
        ];
        for (kind, bits, text) in table {
            let node = Node { meta: Meta::root_owned(bits), kind, links: None };
            assert_eq!(mode(&node), text);
        }
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        assert_eq!(shown("é".as_bytes()), "é");
        assert_eq!(shown(b"a\x1b[2J\n"), r"a\x1b[2J\n");
        assert_eq!(shown(b"\xff"), r"\xff");
        assert_eq!(shown("\u{9b}2J".as_bytes()), r"\xc2\x9b2J");
    }

    #[test]
    fn times_out_of_range_are_numbers() {
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
        assert_eq!(time(i64::MAX), i64::MAX.to_string());
    }
}
