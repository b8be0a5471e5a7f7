//! `phoenix convert`: where the recipe goes and what is said. That it makes the
//! same layers and config is shown for all cases of `tests/conformance`.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::phoenix::{Home, Said, said};

const DOCKERFILE: &str = "# An app.\nFROM scratch AS build\nRUN make\nFROM scratch\n\
                          # What runs.\nCOPY --from=build /out /\nCMD [\"/out\"]\n";

const RECIPE: &str = r#"shell: [/bin/sh, -c]

stages:
  # An app.
  build:
    from: {scratch: true}
    steps:
      - env:
          PATH: /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
      - run: make
    config:
      workdir: /

  main:
    from: {scratch: true}
    steps:
      # What runs.
      - copy:
          src: out
          from: build
          dest: /
    config:
      cmd: [/out]
      env:
        PATH: /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
      workdir: /
"#;

fn good(said: &Said) -> &str {
    assert_eq!(said.code, Some(0), "{said:?}");
    &said.stdout
}

fn recipe(home: &Home, name: &str) -> String {
    fs::read_to_string(home.path(name)).expect("a recipe was written")
}

#[test]
fn the_recipe_stands_beside_the_dockerfile_or_where_it_is_asked_for() {
    let home = Home::new();
    home.write("app/Dockerfile", DOCKERFILE);
    let said = home.run(&["convert", "app"]);
    let wanted = "wrote app/recipe.yaml; build it with: phoenix build app -t NAME\n";
    assert_eq!(good(&said), wanted);
    assert_eq!(recipe(&home, "app/recipe.yaml"), RECIPE);
    good(&home.run(&["validate", "app"]));

    assert_eq!(good(&home.run(&["convert", "app", "-o", "-"])), RECIPE);
    assert_eq!(good(&home.run(&["convert", "app/Dockerfile", "-o", "-"])), RECIPE);
    let said = home.run(&["convert", "app", "-o", "other.yaml"]);
    let wanted = "wrote other.yaml; build it with: phoenix build app -f other.yaml -t NAME\n";
    assert_eq!(good(&said), wanted);
    assert_eq!(recipe(&home, "other.yaml"), RECIPE);
    home.write("docker/web.Dockerfile", DOCKERFILE);
    let said = home.run(&["convert", "app", "-f", "docker/web.Dockerfile"]);
    assert!(good(&said).contains("phoenix build app -f docker/recipe.yaml"), "{said:?}");
}

#[test]
fn standard_input_is_a_dockerfile_and_its_recipe_goes_to_standard_output() {
    let home = Home::new();
    let mut command = home.command(&["convert", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("phoenix starts");
    let text = "FROM scratch\nCOPY a /b\n";
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
    let said = said(child.wait_with_output().expect("it ends"));
    assert!(good(&said).contains("- copy: [a, /b]\n"), "{said:?}");
    assert!(!home.path("recipe.yaml").exists());
}

#[test]
fn a_recipe_that_is_there_stays_unless_it_is_to_go_and_wins_with_a_word() {
    let home = Home::new();
    home.write("app/Dockerfile", "FROM scratch\nLABEL a=1\n");
    home.write("app/recipe.yaml", "mine");
    let said = home.run(&["convert", "app"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("--force"), "{said:?}");
    assert_eq!(recipe(&home, "app/recipe.yaml"), "mine");
    good(&home.run(&["convert", "app", "--force"]));
    let said = home.run(&["build", "-q", "app"]);
    good(&said);
    assert!(said.stderr.contains("building app/recipe.yaml, not app/Dockerfile"), "{said:?}");
    let made = said.stdout;
    let said = home.run(&["build", "-q", "app", "-f", "app/Dockerfile"]);
    // Their histories differ.
    assert_ne!(good(&said), made);
}

#[test]
fn the_recipe_is_no_part_of_what_it_copies() {
    let home = Home::new();
    home.write("app/Dockerfile", "FROM scratch\nCOPY . /\n");
    home.write("app/Dockerfile.dockerignore", "*.md\n");
    home.write("app/f", "content");
    home.write("app/README.md", "text");
    good(&home.run(&["convert", "app"]));
    let wanted = "ignore: [\"*.md\", recipe.yaml, recipe.lock]\n";
    assert!(recipe(&home, "app/recipe.yaml").starts_with(wanted));
    good(&home.run(&["build", "-q", "app", "-t", "app:1"]));
    let listed = home.run(&["ls", "app:1"]);
    let names: Vec<_> = good(&listed).split_whitespace().collect();
    let has = |name: &str| names.iter().any(|known| known.trim_start_matches('/') == name);
    assert!(has("f") && has("Dockerfile"), "{names:?}");
    assert!(!has("recipe.yaml") && !has("README.md"), "{names:?}");
}

#[test]
fn options_of_a_build_become_part_of_the_recipe() {
    let home = Home::new();
    let text = "FROM scratch AS a\nARG V=1\nRUN make $V\nFROM scratch AS b\nCOPY --from=side f /\n";
    home.write("app/Dockerfile", text);
    home.write("side/f", "f");
    let run = |more: &[&str]| {
        let args = [&["convert", "app", "-o", "-"], more].concat();
        good(&home.run(&args)).to_owned()
    };
    let made = run(&["--target=a", "--build-arg=V=2", "--network=none", "--add-host=h:192.0.2.1"]);
    for part in ["V: \"2\"", "network: none", "h: \"192.0.2.1\"", "script: make $V"] {
        assert!(made.contains(part), "{part}: {made}");
    }
    assert!(!made.contains("  b:"), "{made}");
    let made = run(&["--build-context=side=side", "--label=x=y"]);
    for part in ["contexts:\n  side: ../side\n", "from: side", "      labels:\n        x: \"y\"\n"]
    {
        assert!(made.contains(part), "{part}: {made}");
    }
}

#[test]
fn what_cannot_be_converted_is_said_with_its_place() {
    let home = Home::new();
    let convert = |text: &str, more: &[&str]| {
        home.write("app/Dockerfile", text);
        home.run(&[&["convert", "app", "-o", "-"], more].concat())
    };
    let said = convert("FROM scratch\nCOPPY a b\n", &[]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.stderr.contains("app/Dockerfile:2:1"), "{said:?}");
    let said = convert("FROM scratch\nADD http://example.com/a b http://example.com/c /d/\n", &[]);
    assert_eq!(said.code, Some(3), "{said:?}");
    assert!(said.stderr.contains("the same layers"), "{said:?}");
    let said = convert("FROM scratch AS a\nFROM broken:\nFROM a\n", &[]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stderr.contains("warning: app/Dockerfile:2"), "{said:?}");
    assert!(said.stderr.contains("left out"), "{said:?}");
    let none = home.run(&["convert", "side"]);
    assert_eq!(none.code, Some(3), "{none:?}");
    let twice = home.run(&["convert", "app/Dockerfile", "-f", "x"]);
    assert_eq!(twice.code, Some(2), "{twice:?}");
}

#[test]
fn an_argument_is_a_param_and_either_way_of_saying_it_makes_the_same() {
    let home = Home::new();
    let text = "FROM scratch\nARG FILE=one\nCOPY $FILE /d/\nLABEL file=$FILE\n";
    home.write("app/Dockerfile", text);
    home.write("app/one", "1");
    home.write("app/two", "2");
    good(&home.run(&["convert", "app"]));
    let made = |args: &[&str]| {
        good(&home.run(&[&["build", "-q", "app", "-t", "app:1"], args].concat()));
        let said = home.run(&["inspect", "app:1"]);
        let image: Value = serde_json::from_str(good(&said)).expect("JSON");
        (image["layers"].clone(), image["config"].clone())
    };
    let one = made(&["-f", "app/Dockerfile"]);
    assert_eq!(made(&[]), one);
    let two = made(&["-f", "app/Dockerfile", "--build-arg=FILE=two"]);
    assert_ne!(one, two);
    assert_eq!(made(&["--set=FILE=two"]), two);
}

#[test]
fn the_dockerfiles_of_this_repository_have_recipes() {
    let home = Home::new();
    home.write("base/recipe.yaml", "from: {scratch: true}\nconfig: {env: {PATH: /bin}}\n");
    good(&home.run(&["build", "-q", "base", "-t", "debian:bookworm"]));
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes");
    let at = |name: &str| recipes.join(name).display().to_string();
    for (context, file) in [
        ("python", "dockerfiles/python.Dockerfile"),
        ("node", "dockerfiles/node.Dockerfile"),
        ("dockerfiles/rust", "dockerfiles/rust/Dockerfile"),
        ("dockerfiles/nginx", "dockerfiles/nginx/Dockerfile"),
        ("dockerfiles/stages", "dockerfiles/stages/Dockerfile"),
    ] {
        let (context, file) = (at(context), at(file));
        let said = home.run(&["convert", &context, "-f", &file, "-o", "one.yaml", "--force"]);
        good(&said);
        assert_eq!(said.stderr, "", "{file}");
        good(&home.run(&["validate", &context, "-f", "one.yaml"]));
    }
}

#[test]
fn what_a_dockerfile_pins_its_recipe_pins_too() {
    let home = Home::new();
    home.write("app/Dockerfile", "FROM scratch\nLABEL a=1\n");
    let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let lock = format!(
        "{{\"version\": 1, \"images\": {{\"registry.test/a:1\": {{\"linux/amd64\": \"sha256:{digest}\"}}}}}}"
    );
    home.write("app/Dockerfile.lock", &lock);
    let said = home.run(&["convert", "app"]);
    assert!(good(&said).starts_with("wrote app/recipe.yaml and app/recipe.lock; "), "{said:?}");
    assert_eq!(recipe(&home, "app/recipe.lock"), lock);
    home.write("app/recipe.lock", "mine");
    good(&home.run(&["convert", "app", "-o", "app/recipe.yml"]));
    assert_eq!(recipe(&home, "app/recipe.lock"), "mine");
}
