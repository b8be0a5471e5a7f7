//! `RUN` of Dockerfiles where the command line or an earlier build plays a part.

use crate::dockerfile::{build, good, home, statuses};
use crate::phoenix::Home;

fn cat(home: &Home, path: &str) -> String {
    good(&home.run(&["cat", "app:1", path])).to_owned()
}

#[test]
fn a_build_tells_what_is_worth_a_warning_and_where() {
    let home = Home::new();
    home.write("app/Dockerfile", "FROM scratch\nMAINTAINER x\nLABEL a=$UNSET\nENV A b\n");
    let said = home.run(&["build", "app"]);
    good(&said);
    for (rule, line) in
        [("MaintainerDeprecated", 2), ("UndefinedVar", 3), ("LegacyKeyValueFormat", 4)]
    {
        let place = format!("Dockerfile:{line}");
        assert!(said.stderr.contains(rule) && said.stderr.contains(&place), "{rule}: {said:?}");
    }
    // What is written for programs is not mixed with it.
    let quiet = home.run(&["build", "app", "-q"]);
    assert_eq!(good(&quiet).lines().count(), 1, "{quiet:?}");
}

#[test]
fn a_step_has_all_rights_only_where_the_build_allows_it() {
    let Some(home) = home() else { return };
    if !rustix::process::geteuid().is_root() {
        crate::workload::skip("only root has rights to give");
        return;
    }
    let text = "FROM base\nRUN grep -E 'CapEff|Seccomp:' /proc/self/status > /usual\n\
                RUN --security=insecure grep -E 'CapEff|Seccomp:' /proc/self/status > /all\n";
    let allowed = ["--allow", "security.insecure"];
    home.write("app/Dockerfile", text);
    let refused = || {
        let said = home.run(&["build", "app"]);
        assert_eq!(said.code, Some(3), "{said:?}");
        for words in ["RUN --security=insecure is not allowed", "Dockerfile:3:", allowed[1]] {
            assert!(said.stderr.contains(words), "{said:?}");
        }
    };
    refused();
    build(&home, text, &allowed);
    let shown = |path: &str| {
        let text = cat(&home, path);
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.expect("it is there").trim().to_owned()
        };
        let rights = u64::from_str_radix(&value("CapEff:"), 16).expect("a number");
        (rights, value("Seccomp:"))
    };
    let ((usual, filter), (all, none)) = (shown("/usual"), shown("/all"));
    // CAP_SYS_ADMIN is one that no step has but this.
    assert_eq!((usual & 1 << 21, all & 1 << 21), (0, 1 << 21), "{usual:x} {all:x}");
    assert_eq!((usual & !all, filter.as_str(), none.as_str()), (0, "2", "0"));
    let again = build(&home, text, &allowed);
    assert_eq!(statuses(&again), ["cached"; 3]);
    // A result that is there allows nothing.
    refused();
}

#[test]
fn a_cache_begins_with_what_it_is_given_and_keeps_what_steps_make_of_it() {
    let Some(home) = home() else { return };
    let text = |seed: &str, word: &str| {
        format!(
            "FROM base AS seed\nRUN mkdir /s && echo {seed} > /s/f\nFROM base\n\
             RUN --mount=type=cache,target=/c,from=seed,source=/s \
             cat /c/f > /given && echo {word} >> /c/f\n\
             RUN --mount=type=cache,target=/c,from=seed,source=/s cat /c/f > /then\n"
        )
    };
    build(&home, &text("seeded", "one"), &[]);
    assert_eq!(
        (cat(&home, "/given"), cat(&home, "/then")),
        ("seeded".into(), "seeded\none".into())
    );
    // The next build finds the cache as it was left.
    build(&home, &text("seeded", "two"), &["--no-cache-filter=stage-1"]);
    assert_eq!(cat(&home, "/given"), "seeded\none");
    assert_eq!(cat(&home, "/then"), "seeded\none\ntwo");
}

#[test]
fn a_directory_as_a_base_gives_the_same_image_whenever_its_files_were_written() {
    let home = Home::new();
    home.write("dir/f", "f");
    home.write("app/Dockerfile", "FROM dir\nCOPY --from=dir f /g\n");
    let digest = |store: &str| {
        let args = ["--store", store, "build", "app", "-q", "--build-context=dir=dir"];
        good(&home.run(&args)).to_owned()
    };
    let first = digest("one");
    let file = std::fs::File::options().append(true).open(home.path("dir/f")).expect("there");
    file.set_modified(std::time::UNIX_EPOCH).expect("ours");
    assert_eq!(digest("two"), first);
}
