//! Users and groups as an image names them, by the rules of Docker's
//! `user[:group]`.
//!
//! In: a tree's `/etc/passwd` and `/etc/group`. Out: numbers, home directory,
//! supplementary groups. A malformed line is skipped, as libc does.

use super::{Tree, TreeError, lookup};
use crate::layer::LayerPath;

/// The largest file that is read, in bytes.
const LIMIT: u64 = 16 << 20;
/// No name is longer (`useradd` allows 32), so none is compared that is.
const LONGEST_NAME: usize = 64;

/// A user as a process needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// The other groups that it is a member of; empty where a group was named.
    pub groups: Vec<u32>,
    /// Its home directory; `/` where the image does not know it.
    pub home: String,
}

/// Why a name means nobody.
#[derive(Debug, thiserror::Error)]
pub enum PasswdError {
    /// The files could not be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A file could not be read.
    #[error("reading {path} of the image: {source}")]
    Read {
        /// Which.
        path: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A file is too large to be what it should be.
    #[error("{path} of the image has more than {LIMIT} bytes")]
    TooLarge {
        /// Which.
        path: &'static str,
    },
    /// No such user.
    #[error("the image has no user `{name}` in /etc/passwd{}", there_is(similar))]
    NoUser {
        /// As it was written.
        name: String,
        /// The one that was perhaps meant.
        similar: Option<String>,
    },
    /// No such group.
    #[error("the image has no group `{name}` in /etc/group{}", there_is(similar))]
    NoGroup {
        /// As it was written.
        name: String,
        /// The one that was perhaps meant.
        similar: Option<String>,
    },
}

fn there_is(similar: &Option<String>) -> String {
    similar.as_ref().map(|name| format!("; there is `{name}`")).unwrap_or_default()
}

/// The one of `names` that `wanted` is most likely a misspelling of.
fn similar<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let scored = names.map(|name| (strsim::damerau_levenshtein(wanted, name), name));
    let (distance, name) = scored.filter(|(_, name)| name.len() <= LONGEST_NAME).min()?;
    (distance <= (wanted.chars().count() / 3).max(1)).then(|| name.to_owned())
}

/// The text of a file, or nothing where it is not there.
fn read(tree: &dyn Tree, path: &'static str) -> Result<String, PasswdError> {
    let at = LayerPath::new(path).expect("a constant path is valid");
    let at = lookup::resolve(tree, &at)?;
    let Some(super::Node { kind: super::NodeKind::File { size }, .. }) = at.node else {
        return Ok(String::new());
    };
    if size > LIMIT {
        return Err(PasswdError::TooLarge { path });
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    let read = tree.open(&at.path)?.read_at(0, &mut bytes);
    let read = read.map_err(|source| PasswdError::Read { path, source })?;
    bytes.truncate(read);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

struct PasswdLine<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn passwd_lines(text: &str) -> impl Iterator<Item = PasswdLine<'_>> {
    text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, ..] = fields.as_slice() else { return None };
        Some(PasswdLine { name, uid: uid.parse().ok()?, gid: gid.parse().ok()?, home })
    })
}

fn group_lines(text: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, gid, members, ..] = fields.as_slice() else { return None };
        Some((*name, gid.parse().ok()?, *members))
    })
}

/// What `user[:group]` means; an empty text is root. A number needs no line.
///
/// # Errors
/// [`PasswdError`].
pub fn resolve(tree: &dyn Tree, text: &str) -> Result<User, PasswdError> {
    let (name, group) = text.split_once(':').map_or((text, None), |(u, g)| (u, Some(g)));
    let name = if name.is_empty() { "0" } else { name };
    let passwd = read(tree, "etc/passwd")?;
    let number = name.parse::<u32>().ok();
    let known = passwd_lines(&passwd)
        .find(|line| line.name == name)
        .or_else(|| passwd_lines(&passwd).find(|line| Some(line.uid) == number));
    let uid = known.as_ref().map(|line| line.uid).or(number);
    let uid = uid.ok_or_else(|| PasswdError::NoUser {
        name: name.to_owned(),
        similar: similar(name, passwd_lines(&passwd).map(|line| line.name)),
    })?;
    let home = known.as_ref().map_or("/", |line| line.home);
    let home = if home.is_empty() { "/" } else { home }.to_owned();
    if let Some(group) = group.filter(|group| !group.is_empty()) {
        let gid = self::group(tree, group)?;
        return Ok(User { uid, gid, groups: Vec::new(), home });
    }
    let gid = known.as_ref().map_or(0, |line| line.gid);
    let member = known.as_ref().map_or("", |line| line.name);
    let text = read(tree, "etc/group")?;
    let is_member = |members: &str| members.split(',').any(|m| !m.is_empty() && m == member);
    let groups = group_lines(&text).filter(|(_, _, members)| is_member(members));
    let groups = groups.map(|(_, gid, _)| gid).collect();
    Ok(User { uid, gid, groups, home })
}

/// The number of a group, by name or number.
///
/// # Errors
/// [`PasswdError`].
pub fn group(tree: &dyn Tree, name: &str) -> Result<u32, PasswdError> {
    let text = read(tree, "etc/group")?;
    let known = group_lines(&text).find(|(known, _, _)| *known == name).map(|(_, gid, _)| gid);
    known.or_else(|| name.parse().ok()).ok_or_else(|| PasswdError::NoGroup {
        name: name.to_owned(),
        similar: similar(name, group_lines(&text).map(|(known, _, _)| known)),
    })
}

/// The numbers of `user[:group]` as an owner of files: the group of a user that
/// is given alone is the user's own, or of the same number where the image does
/// not know it (as in the Dockerfile's `--chown`).
///
/// # Errors
/// [`PasswdError`].
pub fn owner(tree: &dyn Tree, text: &str) -> Result<(u32, u32), PasswdError> {
    let user = resolve(tree, text)?;
    let alone = !text.contains(':');
    let passwd = read(tree, "etc/passwd")?;
    let known = passwd_lines(&passwd).any(|line| line.uid == user.uid);
    Ok((user.uid, if alone && !known { user.uid } else { user.gid }))
}

#[cfg(test)]
mod tests {
    use super::super::memory::Memory;
    use super::*;

    fn tree() -> Memory {
        Memory::new()
            .file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nbroken\nwww:x:33:34:w:/var/www:/x\n7:x:70:70::/seven:\n")
            .file("etc/group", "root:x:0:\nwww:x:34:\nadm:x:4:root,www\naudio:x:29:www\n")
    }

    #[test]
    fn names_and_numbers_mean_what_docker_means() {
        let tree = tree();
        let user = |text: &str| resolve(&tree, text).map(|u| (u.uid, u.gid, u.groups, u.home));
        assert_eq!(user("").expect("root"), (0, 0, vec![4], "/root".into()));
        assert_eq!(user("www").expect("known"), (33, 34, vec![4, 29], "/var/www".into()));
        assert_eq!(user("33").expect("known"), (33, 34, vec![4, 29], "/var/www".into()));
        assert_eq!(user("www:adm").expect("known"), (33, 4, vec![], "/var/www".into()));
        assert_eq!(user("1000").expect("a number"), (1000, 0, vec![], "/".into()));
        assert_eq!(user("1000:1001").expect("numbers"), (1000, 1001, vec![], "/".into()));
        // A name that looks like a number is a name first.
        assert_eq!(user("7").expect("known").0, 70);
        assert!(matches!(user("nobody"), Err(PasswdError::NoUser { similar: None, .. })));
        let typo = user("wwww").expect_err("there is none").to_string();
        assert_eq!(typo, "the image has no user `wwww` in /etc/passwd; there is `www`");
        assert!(matches!(user("www:nope"), Err(PasswdError::NoGroup { .. })));
    }

    #[test]
    fn owners_of_files_follow_chown_rules() {
        let tree = tree();
        assert_eq!(owner(&tree, "www").expect("known"), (33, 34));
        assert_eq!(owner(&tree, "1000").expect("a number"), (1000, 1000));
        assert_eq!(owner(&tree, "0:29").expect("numbers"), (0, 29));
        assert_eq!(owner(&Memory::new(), "5:6").expect("numbers"), (5, 6));
    }
}
