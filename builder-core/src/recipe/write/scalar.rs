//! Text as a scalar of YAML that a recipe reads as that very text.
//!
//! Plain where nobody could take it for something else, as a block where it has
//! lines, folded where it is long and has gaps to break it at, else in double
//! quotes. `${{` is escaped in values, and not in keys, as recipes have it.

use super::Param;
use super::yaml::WIDTH;
use crate::recipe::node::Resolved;

/// Words that some reader of YAML takes for a boolean.
const BOOLEANS: [&str; 8] = ["yes", "no", "on", "off", "y", "n", "true", "false"];

/// A key of a map.
pub(super) fn key(text: &str) -> String {
    if is_plain(text, true) && text != "<<" { text.to_owned() } else { quoted(text) }
}

/// A value within `[]` or `{}`; `None` where it has lines.
pub(super) fn flow(text: &str, params: &[&Param]) -> Option<String> {
    let text = escaped(text, params);
    let one_line = !text.trim_end_matches('\n').contains('\n');
    one_line.then(|| if is_plain(&text, true) { text } else { quoted(&text) })
}

/// A value behind a key, from `column` on, as lines: the first goes where the
/// key stands, the others are whole. What it holds is indented by `indent`.
pub(super) fn block(text: &str, params: &[&Param], indent: usize, column: usize) -> Vec<String> {
    let text = escaped(text, params);
    let long = column + text.len() > WIDTH;
    let wide = || if long { folded(&text, indent) } else { None };
    if let Some(lines) = literal(&text, indent).or_else(wide) {
        return lines;
    }
    vec![if is_plain(&text, false) { text } else { quoted(&text) }]
}

fn escaped(text: &str, params: &[&Param]) -> String {
    let text = text.replace("${{", "$${{");
    let put_in = |text: String, param: &&Param| match text.contains(&param.mark) {
        true => text.replace(&param.mark, &format!("${{{{ {} }}}}", param.name)),
        false => text,
    };
    params.iter().fold(text, put_in)
}

/// Whether a character can stand in YAML without an escape.
fn is_printable(c: char) -> bool {
    let odd = ['\u{2028}', '\u{2029}', '\u{feff}', '\u{fffe}', '\u{ffff}'];
    !c.is_control() && !odd.contains(&c)
}

fn is_plain(text: &str, in_flow: bool) -> bool {
    let Some(first) = text.chars().next() else { return false };
    let begins = match first {
        '-' => text[1..].starts_with(|c: char| !c.is_whitespace()) && !text.starts_with("---"),
        '.' => !text.starts_with("..."),
        first => !"?:,[]{}#&*!|>'\"%@`=".contains(first),
    };
    let like_a_number = |c: char| c.is_ascii_digit() || "_:.+-".contains(c);
    let number = text.contains(|c: char| c.is_ascii_digit()) && text.chars().all(like_a_number);
    let boolean = BOOLEANS.iter().any(|word| text.eq_ignore_ascii_case(word));
    let structure = text.contains(": ") || text.ends_with(':') || text.contains(" #");
    let flow = in_flow && text.contains(|c: char| ",[]{}".contains(c));
    begins
        && Resolved::of(text, true) == Resolved::Text
        && text.trim() == text
        && text.chars().all(is_printable)
        && !number
        && !boolean
        && !structure
        && !flow
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_printable(c) => out.push(c),
            c if u32::from(c) < 0x100 => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

fn indented(line: &str, indent: usize) -> String {
    match line {
        "" => String::new(),
        line => format!("{:indent$}{line}", ""),
    }
}

/// Lines as they are.
fn literal(text: &str, indent: usize) -> Option<Vec<String>> {
    let body = text.trim_end_matches('\n');
    let fits = |c: char| is_printable(c) || "\n\t".contains(c);
    if !text.contains('\n') || body.is_empty() || !text.chars().all(fits) {
        return None;
    }
    let first = body.lines().find(|line| !line.is_empty())?;
    // Where the first line begins with a space, how deep it all is must be said;
    // before it only empty lines may stand.
    let deep = if first.starts_with([' ', '\t']) { "2" } else { "" };
    let ends = match text.len() - body.len() {
        0 => "-",
        1 => "",
        // Empty lines that stand below for looks would be part of it.
        _ => return None,
    };
    let mut lines = vec![format!("|{deep}{ends}")];
    lines.extend(body.split('\n').map(|line| indented(line, indent)));
    Some(lines)
}

/// One long line, broken where it has several spaces, as where lines were joined.
fn folded(text: &str, indent: usize) -> Option<Vec<String>> {
    if text.trim() != text || !text.chars().all(is_printable) {
        return None;
    }
    let mut lines = vec![">-".to_owned()];
    let mut line = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let gap = c == ' ' && line.ends_with(' ') && chars.peek().is_some_and(|next| *next != ' ');
        // The end of the line stands for the last space.
        if gap {
            lines.push(indented(&std::mem::take(&mut line), indent));
        } else {
            line.push(c);
        }
    }
    lines.push(indented(&line, indent));
    (lines.len() > 2).then_some(lines)
}
