//! The differences that are wanted or that a peer's age brings, each with its
//! reason. One without a case's name is applied to all that its peer gives, the
//! others where a case names them (`differs: WHO NAME`). None is applied
//! silently: a case that names one without need fails.

use std::collections::BTreeMap;

use crate::peer::Outcome;

/// A difference.
pub(crate) struct Difference {
    /// Whose: `docker` or `phoenix`.
    pub(crate) who: &'static str,
    /// What cases call it; empty where it holds for all.
    pub(crate) name: &'static str,
    /// Why it stands.
    #[expect(dead_code, reason = "it is there to be read")]
    pub(crate) why: &'static str,
    /// Takes it out of what is expected and of what was made.
    pub(crate) apply: fn(&mut Outcome, &mut Outcome),
}

/// All of them.
pub(crate) const ALL: &[Difference] = &[
    Difference {
        who: "docker",
        name: "",
        why: "builders differ in where they write ArgsEscaped, which says something on Windows only",
        apply: |expected, made| args_escaped(expected, made),
    },
    Difference {
        who: "docker",
        name: "",
        why: "that version wrote ports into the history as Go prints a map, and so in another order",
        apply: |expected, made| {
            rewrite(expected, "history", sorted_ports);
            rewrite(made, "history", sorted_ports);
        },
    },
    Difference {
        who: "docker",
        name: "",
        why: "that version wrote the fields of a health check into the history in another form",
        apply: |expected, made| {
            rewrite(expected, "history", without_fields);
            rewrite(made, "history", without_fields);
        },
    },
    Difference {
        who: "docker",
        name: "",
        why: "that version wrote an ARG that has a value from elsewhere without it into the history",
        apply: |expected, made| {
            rewrite(expected, "history", without_values);
            rewrite(made, "history", without_values);
        },
    },
    Difference {
        who: "docker",
        name: "",
        why: "that version did not write owners and modes of COPY and ADD into the history",
        apply: |expected, made| {
            rewrite(expected, "history", without_owner);
            rewrite(made, "history", without_owner);
        },
    },
    Difference {
        who: "docker",
        name: "mount-points",
        why: "that version left the directories in the image that it made to mount something there",
        apply: |expected, made| drop_new_dirs(expected, made),
    },
    Difference {
        who: "docker",
        name: "chmod",
        why: "that version gave the mode of --chmod to files only, and without its special bits",
        apply: |expected, made| same_if_both(expected, made, "tree"),
    },
    Difference {
        who: "phoenix",
        name: "",
        why: "configs have no ArgsEscaped: it says something on Windows only",
        apply: |expected, made| args_escaped(expected, made),
    },
    Difference {
        who: "docker",
        name: "words",
        why: "that version fails too, in other words",
        apply: |expected, made| same_if_both(expected, made, "error"),
    },
    Difference {
        who: "docker",
        name: "history",
        why: "that version wrote the instruction in another form into the history",
        apply: |expected, made| same_if_both(expected, made, "history"),
    },
    Difference {
        who: "docker",
        name: "tree",
        why: "that version made another tree; the case says in which way",
        apply: |expected, made| same_if_both(expected, made, "tree"),
    },
    Difference {
        who: "docker",
        name: "config",
        why: "that version made another config; the case says in which way",
        apply: |expected, made| same_if_both(expected, made, "config"),
    },
    Difference {
        who: "phoenix",
        name: "line",
        why: "the peer points to another line than the one that is wrong",
        apply: |expected, _| without_line(expected),
    },
    Difference {
        who: "phoenix",
        name: "empty-layer",
        why: "a step that changes nothing makes no layer, and its history says so",
        apply: |expected, made| no_empty_layers(expected, made),
    },
    Difference {
        who: "phoenix",
        name: "epoch",
        why: "commands see SOURCE_DATE_EPOCH, so that what they write has the same time always",
        apply: |_, made| {
            let pairs = [("SOURCE_DATE_EPOCH=946684800\\n", ""), ("946684800", "")];
            replace(made, "tree", &pairs);
        },
    },
    Difference {
        who: "phoenix",
        name: "attributes",
        why: "layers keep extended attributes of users, which the peer's do not",
        apply: |_, made| replace(made, "tree", &[(" user.note=\"kept\"", "")]),
    },
    Difference {
        who: "phoenix",
        name: "unknown-owner",
        why: "an owner that the image does not know is an error: the peer takes root, unsaid",
        apply: |expected, made| {
            if made.get("error").is_some_and(|error| error.contains("the image has no")) {
                made.clear();
                expected.clear();
            }
        },
    },
    Difference {
        who: "phoenix",
        name: "link-owner",
        why: "names of owners are looked up for --link as for all copies, and are no error",
        apply: |expected, made| {
            if expected.contains_key("error") && made.contains_key("tree") {
                made.clear();
                expected.clear();
            }
        },
    },
    Difference {
        who: "phoenix",
        name: "hostname",
        why: "the host of a command is called as the builder is",
        apply: |_, made| replace(made, "tree", &[("\"phoenix\\n", "\"buildkitsandbox\\n")]),
    },
    Difference {
        who: "phoenix",
        name: "mount-points",
        why: "what is mounted for a command leaves nothing behind; the peer leaves /dev, /proc, /sys",
        apply: |expected, made| drop_new_dirs(&made.clone(), expected),
    },
    Difference {
        who: "phoenix",
        name: "hard-link",
        why: "a hard link to a file of the base stays one",
        apply: |_, made| replace(made, "tree", &[(" = srv/a", "")]),
    },
    Difference {
        who: "phoenix",
        name: "clean-path",
        why: "paths in the config are clean of dots and doubled slashes",
        apply: |expected, _| replace(expected, "config", &[("/a//b/../c/", "/a/c")]),
    },
    Difference {
        who: "phoenix",
        name: "several-sources",
        why: "of several sources the destination is a directory, as the reference says that it must \
              be: the peer lets each file overwrite the one before where there is no slash",
        apply: |expected, made| {
            replace(expected, "tree", &[("file 0644 0:0 to ", "file 0644 0:0 to/g ")]);
            replace(made, "tree", &[("dir  0755 0:0 to\nfile 0644 0:0 to/f \"f\\n\"\n", "")]);
        },
    },
    Difference {
        who: "phoenix",
        name: "removal-names",
        why: "no layer can hold a file whose name begins with .wh. but as a removal, so the peer \
              lets a context or an archive remove files of the image: here that of a context is an \
              error, and what an archive has of the kind is left out",
        apply: |expected, made| {
            if made.get("error").is_some_and(|error| error.contains("mark removals in layers")) {
                made.clear();
                expected.clear();
            }
            replace(expected, "tree", &[("gone srv/a\n", "")]);
        },
    },
    Difference {
        who: "phoenix",
        name: "setgid",
        why: "a directory that is made has the owner and mode that the instruction says; the peer's \
              takes group and bit of the directory above, as its file system does",
        apply: |expected, made| same_if_both(expected, made, "tree"),
    },
];

/// Those of `who` that hold for all, or that have this name.
pub(crate) fn of<'a>(who: &'a str, name: &'a str) -> impl Iterator<Item = &'static Difference> {
    ALL.iter().filter(move |difference| difference.who == who && difference.name == name)
}

/// `layer X` is what was expected where it is `empty X` that was made.
fn no_empty_layers(expected: &mut Outcome, made: &Outcome) {
    let (Some(expected), Some(made)) = (expected.get_mut("history"), made.get("history")) else {
        return;
    };
    let mut made = made.split_inclusive('\n');
    *expected = expected
        .split_inclusive('\n')
        .map(|line| {
            let empty = line.replacen("layer ", "empty ", 1);
            if made.next() == Some(empty.as_str()) { empty } else { line.to_owned() }
        })
        .collect();
}

fn replace(outcome: &mut Outcome, section: &str, pairs: &[(&str, &str)]) {
    if let Some(text) = outcome.get_mut(section) {
        *text = pairs.iter().fold(text.clone(), |text, (from, to)| text.replace(from, to));
    }
}

fn without_line(expected: &mut Outcome) {
    if let Some(error) = expected.get_mut("error") {
        *error = error.trim_start_matches("line ").to_owned();
    }
}

fn args_escaped(expected: &mut Outcome, made: &mut Outcome) {
    drop_lines(expected, "config", "ArgsEscaped ");
    drop_lines(made, "config", "ArgsEscaped ");
}

/// Puts each line of a section in another form.
fn rewrite(outcome: &mut Outcome, section: &str, line: fn(&str) -> String) {
    if let Some(text) = outcome.get_mut(section) {
        *text = text.split_inclusive('\n').map(line).collect();
    }
}

/// `EXPOSE map[80/tcp:{} 443/tcp:{}]` and `EXPOSE [80/tcp 443/tcp]` as one.
fn sorted_ports(line: &str) -> String {
    let Some(ports) = line.strip_prefix("empty \"EXPOSE ") else { return line.to_owned() };
    let ports = ports.trim_start_matches("map").trim_matches(['[', ']', '"', '\n']);
    let mut ports: Vec<String> = ports.replace(":{}", "").split(' ').map(str::to_owned).collect();
    ports.sort();
    format!("empty \"EXPOSE [{}]\"\n", ports.join(" "))
}

/// `HEALTHCHECK {Test:[NONE] …}` as `HEALTHCHECK`.
fn without_fields(line: &str) -> String {
    let check = "empty \"HEALTHCHECK ";
    if line.starts_with(check) { format!("{}\"\n", check.trim_end()) } else { line.to_owned() }
}

/// `ARG A=1 B` as `ARG A B`.
fn without_values(line: &str) -> String {
    let Some(args) = line.strip_prefix("empty \"ARG ").and_then(|rest| rest.strip_suffix("\"\n"))
    else {
        return line.to_owned();
    };
    let name = |arg: &'_ str| arg.split('=').next().unwrap_or_default().to_owned();
    format!("empty \"ARG {}\"\n", args.split(' ').map(name).collect::<Vec<_>>().join(" "))
}

/// `COPY --chown=app --chmod=0600 f /f` as `COPY f /f`.
fn without_owner(line: &str) -> String {
    let kept = |word: &&str| !word.starts_with("--chown=") && !word.starts_with("--chmod=");
    line.split(' ').filter(kept).collect::<Vec<_>>().join(" ")
}

fn drop_new_dirs(expected: &Outcome, made: &mut Outcome) {
    let (Some(expected), Some(made)) = (expected.get("tree"), made.get_mut("tree")) else { return };
    let known: Vec<&str> = expected.lines().collect();
    let kept = |line: &&str| !line.starts_with("dir ") || known.contains(&line.trim_end());
    *made = made.split_inclusive('\n').filter(kept).collect();
}

fn drop_lines(outcome: &mut Outcome, section: &str, start: &str) {
    if let Some(text) = outcome.get_mut(section) {
        let kept = text.split_inclusive('\n').filter(|line| !line.starts_with(start));
        *text = kept.collect();
    }
}

/// What both have counts as the same.
fn same_if_both(
    expected: &mut BTreeMap<String, String>,
    made: &mut BTreeMap<String, String>,
    section: &str,
) {
    if made.contains_key(section) && expected.contains_key(section) {
        made.remove(section);
        expected.remove(section);
    }
}
