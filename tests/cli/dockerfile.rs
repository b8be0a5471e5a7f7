//! `phoenix build` of Dockerfiles: what the command line adds to them. What the
//! language means is held to BuildKit's answers in `tests/conformance`.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use crate::build::with_busybox;
use crate::phoenix::{Home, Said, said};
use crate::support::tools;

/// A home whose store has the image `base`; `None` (said loudly) where steps
/// cannot run.
pub(crate) fn home() -> Option<Home> {
    let home = Home::new();
    with_busybox(&home)?;
    let recipe = "from: {rootfs: ../root}\nconfig: {env: {PATH: /bin}, cmd: [sh]}\n";
    home.write("base/recipe.yaml", recipe);
    good(&home.run(&["build", "-q", "base", "-t", "base"]));
    Some(home)
}

pub(crate) fn good(said: &Said) -> &str {
    assert_eq!(said.code, Some(0), "{said:?}");
    said.stdout.trim()
}

/// Builds `app`, whose Dockerfile this is, as `app:1`; gives the metadata.
pub(crate) fn build(home: &Home, dockerfile: &str, more: &[&str]) -> Value {
    home.write("app/Dockerfile", dockerfile);
    let args = [&["build", "app", "-t", "app:1", "--metadata-file", "meta.json"], more].concat();
    good(&home.run(&args));
    serde_json::from_slice(&fs::read(home.path("meta.json")).expect("metadata")).expect("JSON")
}

pub(crate) fn statuses(metadata: &Value) -> Vec<&str> {
    let steps = metadata["steps"].as_array().expect("steps");
    steps.iter().map(|step| step["status"].as_str().expect("a status")).collect()
}

fn config(home: &Home) -> Value {
    let said = home.run(&["inspect", "app:1"]);
    let inspected: Value = serde_json::from_str(good(&said)).expect("JSON");
    inspected["config"].clone()
}

/// `phoenix` with `args` that is given `input`.
fn fed(home: &Home, args: &[&str], input: &[u8]) -> Said {
    let mut command = home.command(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("phoenix starts");
    child.stdin.take().expect("piped").write_all(input).expect("it reads");
    said(child.wait_with_output().expect("it ends"))
}

#[test]
fn steps_are_reused_by_what_they_look_at() {
    let Some(home) = home() else { return };
    home.write("app/needs", "one");
    home.write("app/other", "two");
    let text =
        "FROM base\nCOPY . /app\nRUN cat /app/needs > /made\nRUN test -e /made\nCMD [\"sh\"]\n";
    assert_eq!(statuses(&build(&home, text, &[])), ["ran"; 4]);
    assert_eq!(statuses(&build(&home, text, &[])), ["cached"; 4]);
    home.write("app/other", "three");
    let text = format!("{text}# The Dockerfile itself is copied too.\n");
    assert_eq!(statuses(&build(&home, &text, &[])), ["cached", "ran", "reused", "reused"]);
    // As long as it was: `test` looks at no more than that it is there.
    home.write("app/needs", "six");
    assert_eq!(statuses(&build(&home, &text, &[])), ["cached", "ran", "ran", "reused"]);
    let all = build(&home, &text, &["--no-cache-filter=stage-0"]);
    assert_eq!(statuses(&all), ["ran"; 4]);
}

#[test]
fn the_file_is_found_by_its_names_and_a_recipe_wins_with_a_word() {
    let Some(home) = home() else { return };
    for name in ["dockerfile", "Containerfile", "Dockerfile"] {
        home.write(&format!("app/{name}"), &format!("FROM base\nLABEL from={name}\n"));
        good(&home.run(&["build", "-q", "app", "-t", "app:1"]));
        assert_eq!(config(&home)["Labels"]["from"], name);
    }
    home.write("app/recipe.yaml", "from: {scratch: true}\nconfig: {labels: {from: recipe}}\n");
    let said = home.run(&["build", "-q", "app", "-t", "app:1"]);
    good(&said);
    assert!(said.stderr.contains("app/recipe.yaml, not app/Dockerfile"), "{said:?}");
    assert_eq!(config(&home)["Labels"]["from"], "recipe");
    good(&home.run(&["build", "-q", "app", "-f", "app/Containerfile", "-t", "app:1"]));
    assert_eq!(config(&home)["Labels"]["from"], "Containerfile");
}

#[test]
fn standard_input_is_a_dockerfile_or_a_context() {
    let Some(home) = home() else { return };
    home.write("ctx/file", "content");
    let from_file = b"FROM base\nCOPY file /copied\n";
    good(&fed(&home, &["build", "-q", "-f", "-", "ctx", "-t", "app:1"], from_file));
    assert_eq!(good(&home.run(&["cat", "app:1", "/copied"])), "content");
    good(&fed(&home, &["build", "-q", "-", "-t", "app:1"], b"FROM base\nRUN touch /alone\n"));
    assert!(good(&home.run(&["ls", "app:1", "/"])).contains("alone"));
    home.write("ctx/Dockerfile", "FROM base\nCOPY . /all/\n");
    let tar = home.path("ctx.tar");
    let dir = home.path("ctx");
    tools::run(
        "tar",
        ["-czf".as_ref(), tar.as_os_str(), "-C".as_ref(), dir.as_os_str(), ".".as_ref()],
    );
    let archive = fs::read(tar).expect("an archive");
    good(&fed(&home, &["build", "-q", "-", "-t", "app:1"], &archive));
    assert_eq!(good(&home.run(&["cat", "app:1", "/all/file"])), "content");
    let twice = fed(&home, &["build", "-f", "-", "-"], b"FROM base\n");
    assert_eq!(twice.code, Some(2), "{twice:?}");
}

#[test]
fn options_reach_the_steps_and_the_image() {
    let Some(home) = home() else { return };
    home.write("secret", "hush");
    let text = "\
ARG TAG=base
FROM ${TAG} AS first
ARG GIVEN=default
ARG HERE
RUN echo $GIVEN $HERE > /args
FROM first AS second
RUN --mount=type=secret,id=s,env=S test $S = hush && cat /etc/hosts > /hosts
RUN ls /sys/class/net > /net; ulimit -n > /limit; cat /proc/mounts > /mounts
FROM second AS unneeded
RUN exit 1
";
    home.write("app/Dockerfile", text);
    let mut command = home.command(&[
        "build",
        "-q",
        "app",
        "-t",
        "app:1",
        "--target",
        "second",
        "--build-arg",
        "GIVEN=given",
        "--build-arg",
        "HERE",
        "--secret",
        "id=s,src=secret",
        "--add-host",
        "other:10.1.2.3",
        "--network",
        "none",
        "--ulimit",
        "nofile=100:200",
        "--shm-size",
        "8m",
        "--label",
        "a.b=c",
        "--annotation",
        "note=1",
        "--iidfile",
        "iid",
    ]);
    good(&said(command.env("HERE", "from-env").output().expect("phoenix starts")));
    let cat = |path: &str| good(&home.run(&["cat", "app:1", path])).to_owned();
    assert_eq!(cat("/args"), "given from-env");
    assert!(cat("/hosts").contains("10.1.2.3"), "{}", cat("/hosts"));
    assert_eq!((cat("/net").as_str(), cat("/limit").as_str()), ("lo", "100"));
    assert!(cat("/mounts").contains("size=8192k"), "{}", cat("/mounts"));
    assert_eq!(config(&home)["Labels"]["a.b"], "c");
    let inspected: Value =
        serde_json::from_str(good(&home.run(&["inspect", "app:1"]))).expect("JSON");
    assert_eq!(inspected["annotations"]["note"], "1", "{inspected}");
    let id = fs::read_to_string(home.path("iid")).expect("written");
    assert_eq!(inspected["config_digest"], id.as_str(), "{inspected}");
}

#[test]
fn outputs_are_said_in_short() {
    let home = Home::new();
    home.write("Dockerfile", "FROM scratch\nCOPY Dockerfile /dir/file\n");
    good(&home.run(&["build", "-q", "-o", "out"]));
    assert!(home.path("out/dir/file").is_file());
    for args in [&["build", "-o", "-"][..], &["build", "--output", "type=tar"]] {
        let piped = home.command(args).output().expect("phoenix starts");
        assert!(piped.status.success(), "{piped:?}");
        let mut archive = tar::Archive::new(&piped.stdout[..]);
        let entries = archive
            .entries()
            .expect("an archive")
            .map(|entry| entry.expect("whole").path().expect("text").display().to_string());
        assert_eq!(entries.collect::<Vec<_>>(), ["./", "dir/", "dir/file"]);
    }
}

#[test]
fn flags_of_scripts_for_docker_are_taken_and_what_they_miss_is_told() {
    let Some(home) = home() else { return };
    home.write("app/Dockerfile", "FROM base\nRUN touch /made\n");
    let plain = ["build", "app", "-t", "app:1", "--rm", "--force-rm=false", "--compress"];
    let off = ["--pull=false", "--load=false", "--push=false", "--check=false", "--no-cache=false"];
    let none = ["--provenance=false", "--sbom=false", "--builder", "default"];
    let said = home.run(&[&plain[..], &off, &none].concat());
    good(&said);
    assert!(!said.stderr.contains("does nothing"), "{said:?}");
    let asked =
        ["-m", "1g", "--cpu-shares=2", "--cache-from", "type=gha", "--sbom", "--no-cache=true"];
    let said = home.run(&[&plain[..], &asked].concat());
    good(&said);
    for name in ["--memory", "--cpu-shares", "--cache-from", "--sbom"] {
        assert!(said.stderr.contains(&format!("{name} does nothing")), "{name}: {said:?}");
    }
    assert!(said.stderr.contains("0 cached"), "--no-cache=true runs it again: {said:?}");
}

#[test]
fn contexts_have_names() {
    let Some(home) = home() else { return };
    home.write("other/file", "of another");
    good(&home.run(&["build", "-q", "base", "-t", "base", "-o", "type=oci,dest=layout"]));
    let text =
        "FROM there AS one\nCOPY --from=other file /one\nFROM base\nCOPY --from=one /one /two\n";
    home.write("app/Dockerfile", text);
    let args = ["build", "-q", "app", "-t", "app:1", "--build-context", "other=other"];
    good(&home.run(&[&args[..], &["--build-context", "there=oci-layout://layout"]].concat()));
    assert_eq!(good(&home.run(&["cat", "app:1", "/two"])), "of another");
}

#[test]
fn checks_and_calls_build_nothing() {
    let home = Home::new();
    home.write("Dockerfile", "FROM scratch AS Only\nARG A=1\nCMD run me\n");
    let checked = home.run(&["build", "--check"]);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(checked.stdout.contains("WARNING: JSONArgsRecommended - https://"), "{checked:?}");
    assert!(checked.stdout.contains("2 warnings have been found"), "{checked:?}");
    let listed = home.run(&["build", "--call", "targets,format=json"]);
    let listed: Value = serde_json::from_str(good(&listed)).expect("JSON");
    assert_eq!(listed["targets"][0]["name"], "only");
    let outlined = home.run(&["build", "--call=outline"]);
    assert!(good(&outlined).contains("BUILD ARG"), "{outlined:?}");
    home.write("Dockerfile", "# check=skip=all\nFROM scratch AS Only\nCMD run me\n");
    good(&home.run(&["build", "--check"]));
    home.write("Dockerfile", "# check=error=true\nFROM scratch\nCMD run me\n");
    let failed = home.run(&["build"]);
    assert_eq!(failed.code, Some(3), "{failed:?}");
    assert!(failed.stderr.contains("lint violation found"), "{failed:?}");
}

#[test]
fn mistakes_are_shown_where_they_stand() {
    let home = Home::new();
    let fails = |text: &str, code: i32, wanted: &[&str]| {
        home.write("Dockerfile", text);
        let said = home.run(&["build", "--progress=plain"]);
        assert_eq!(said.code, Some(code), "{said:?}");
        for wanted in wanted {
            assert!(said.stderr.contains(wanted), "{wanted:?} in {}", said.stderr);
        }
    };
    fails("FROM scratch\nCOPPY a b\n", 3, &["Dockerfile:2:1", "did you mean", "^^^^^"]);
    fails("FROM scratch\nCOPY --form=x a b\n", 3, &["Dockerfile:2:", "--form"]);
    fails(
        "FROM scratch AS one\nFROM scratch\nCOPY --from=localhost:1/two a b\n",
        5,
        &["Dockerfile:3:", "two"],
    );
    fails("FROM scratch\nCOPY nothing /\n", 1, &["Dockerfile:2:1", "nothing"]);
    fails(
        "FROM scratch AS a\nCOPY --from=b x y\nFROM scratch AS b\nCOPY --from=a x y\n",
        3,
        &["circular"],
    );
    fails("FROM scratch\nENV A=${B:?must be given}\n", 3, &["must be given"]);
    fails("", 3, &["empty"]);
    let said = home.run(&["build", "nowhere"]);
    assert_eq!(said.code, Some(3), "{said:?}");
}

#[test]
fn a_cache_that_begins_with_other_files_is_another_and_its_steps_run() {
    let Some(home) = home() else { return };
    let text = "FROM base AS seed\nCOPY seed /s/f\nFROM base\n\
                RUN --mount=type=cache,target=/c,from=seed,source=/s cat /c/f > /out\n";
    home.write("app/seed", "one");
    build(&home, text, &[]);
    assert_eq!(good(&home.run(&["cat", "app:1", "/out"])), "one");
    home.write("app/seed", "two");
    let statuses =
        statuses(&build(&home, text, &[])).iter().map(|s| s.to_string()).collect::<Vec<_>>();
    assert!(!statuses.contains(&"reused".to_owned()), "{statuses:?}");
    assert_eq!(good(&home.run(&["cat", "app:1", "/out"])), "two");
    // The first is there still.
    home.write("app/seed", "one");
    build(&home, text, &["--no-cache-filter=stage-1"]);
    assert_eq!(good(&home.run(&["cat", "app:1", "/out"])), "one");
}

#[test]
fn comments_may_be_in_another_encoding_and_nothing_else() {
    let Some(home) = home() else { return };
    fs::create_dir_all(home.path("app")).expect("made");
    let write = |bytes: &[u8]| fs::write(home.path("app/Dockerfile"), bytes).expect("written");
    write(b"# caf\xe9\nFROM base\n");
    good(&home.run(&["build", "-q", "app"]));
    write(b"FROM base\nLABEL a=caf\xe9\n");
    let said = home.run(&["build", "app"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.stderr.contains("app/Dockerfile:2:12: this is no UTF-8 text"), "{said:?}");
}

#[test]
fn what_can_be_no_context_is_told_apart() {
    let home = Home::new();
    home.write("file", "");
    let said = home.run(&["build", "file"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("the context file is no directory"), "{said:?}");
}
