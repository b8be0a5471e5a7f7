//! What Dockerfiles become.

use std::path::{Path, PathBuf};

use super::*;
use crate::dockerfile::{Context, parse};
use crate::frontend::{Base, Unresolved, Wanted};
use crate::mutate::{as_it_is, hammer};

/// An image with variables, a user and a trigger, whatever its name.
struct Images;

impl Resolver for Images {
    fn resolve(&mut self, wanted: &Wanted) -> Result<Base, Unresolved> {
        let Wanted::Image { reference, .. } = wanted else { return Ok(Base::default()) };
        let triggers = reference == "triggers";
        Ok(Base {
            name: reference.clone(),
            env: vec![("PATH".to_owned(), "/bin".to_owned())],
            workdir: Some("/srv".to_owned()),
            onbuild: if triggers { vec!["RUN trigger".to_owned()] } else { Vec::new() },
            ..Base::default()
        })
    }
}

fn converted(text: &str, place: Option<&str>) -> Result<Converted, Vec<Diagnostic>> {
    let source = SourceFile::new(Path::new("Dockerfile"), text);
    let file = parse(&source)?;
    let (path, ignore) = (PathBuf::from("/ctx"), vec!["*.o".to_owned()]);
    let options = Options {
        context: Some(Context::Local { path, ignore }),
        build_platform: "linux/amd64".to_owned(),
        ..Options::default()
    };
    let request = Request {
        source: &source,
        file: &file,
        options: &options,
        labels: &BTreeMap::new(),
        base: Path::new("/ctx"),
        place: place.map(Path::new),
    };
    convert(&request, &mut Images)
}

fn recipe(text: &str) -> String {
    converted(text, None).unwrap_or_else(|wrong| panic!("{wrong:?}")).text
}

#[test]
fn a_stage_alone_stands_at_the_top_with_comments_where_they_were() {
    let text = "# syntax=docker/dockerfile:1\n# The app.\n\nFROM base\n\n# Sources.\nCOPY . .\n\
                RUN make\n\n# Starts it.\nCMD app\n# Its port.\nEXPOSE 80\n";
    let wanted = r#"# The app.
ignore: ["*.o"]

shell: [/bin/sh, -c]

from: {image: base}

steps:
  # Sources.
  - copy: [., ./]
  - run: make

config:
  # Starts it.
  cmd: [/bin/sh, -c, app]
  # Its port.
  expose: 80/tcp
"#;
    assert_eq!(recipe(text), wanted);
}

#[test]
fn stages_keep_their_names_and_images_become_stages() {
    let text = "FROM base AS Build_\nRUN make\nFROM base\nCOPY --from=0 /a /\n\
                COPY --from=registry.test/x/Tools:1 /b /\nFROM build_ AS build-\nUSER app\n";
    let recipe = recipe(text);
    for part in [
        "  build:\n    from: {image: base}\n    steps:\n      - run: make\n",
        "  tools-1:\n    from: {image: registry.test/x/Tools:1}\n",
        "  stage-1:\n    from: {image: base}\n    steps:\n      - copy:\n          src: a\n          from: build\n",
        "          from: tools-1\n",
        "  build-2:\n    from: {stage: build}\n    config:\n      user: app\n",
    ] {
        assert!(recipe.contains(part), "{part}\n{recipe}");
    }
}

#[test]
fn triggers_of_a_base_are_steps() {
    let recipe = recipe("FROM triggers\nRUN own\nONBUILD RUN later\n");
    let wanted = "steps:\n  - run: trigger\n  - run: own\n\nconfig:\n  onbuild: [RUN later]\n";
    assert!(recipe.ends_with(wanted), "{recipe}");
    let recipe = self::recipe("FROM triggers\nRUN own\n");
    assert!(recipe.ends_with("config:\n  onbuild: []\n"), "{recipe}");
}

#[test]
fn arguments_are_parameters_where_that_is_exact() {
    let text = "# Which app.\nARG APP=web\nARG TAG=1 OWN=\"a b\" UNUSED=x\nFROM base:$TAG\nARG APP\n\
                ARG OWN\nARG OTHER=1\nARG PORT=80\nARG TOKEN\nARG OF=${APP}-x\n\
                COPY $APP/bin /srv/${APP}/\nENV OTHER=${OTHER:-none} OF=$OF\nEXPOSE $PORT\nRUN x\n\
                LABEL app=$APP own=$OWN ${APP}=key\n";
    let recipe = recipe(&text.replace(" ${APP}=key", ""));
    let wanted = r#"# ARG TAG=1 is no param: it decides what a stage starts from
# ARG OTHER=1 is no param: more than its value is looked at
# ARG TOKEN is no param: it has no value
# ARG OF is no param: its value is made of others
# ARG PORT=80 is no param: no param can stand where it is used
params:
  # Which app.
  APP: web
  OWN: a b

ignore: ["*.o"]

shell: [/bin/sh, -c]

from: {image: base:1}

steps:
  - copy: ["${{ APP }}/bin", "/srv/${{ APP }}/"]
  - env:
      OTHER: "1"
      OF: ${{ APP }}-x
  - arg:
      APP: ${{ APP }}
      OWN: ${{ OWN }}
      PORT: "80"
  - run: x

config:
  labels:
    app: ${{ APP }}
    own: ${{ OWN }}
  expose: 80/tcp
"#;
    assert_eq!(recipe, wanted);
    let recipe = self::recipe(text);
    assert!(recipe.contains("# ARG APP=web is no param: no param can stand"), "{recipe}");
    let two = "FROM base AS a\nARG V=1\nRUN x\nFROM base\nARG V=2\nRUN x\n";
    assert!(self::recipe(two).contains("V is no param: stages give it different values"));
    let late = "FROM base AS a\nARG V=1\nRUN x\nFROM base\nARG V\nRUN x\n";
    assert!(self::recipe(late).contains("# ARG V=1 is no param"));
}

#[test]
fn the_recipe_itself_is_ignored_where_it_would_be_taken() {
    let ignored = |text: &str, place: &str| {
        let recipe = converted(text, Some(place)).expect("it can be said").text;
        recipe.contains("recipe.lock")
    };
    for (copy, place, wanted) in [
        ("COPY . /", "recipe.yaml", true),
        ("COPY src /", "recipe.yaml", false),
        ("COPY src /", "src/recipe.yaml", true),
        ("COPY *.yaml /", "recipe.yaml", true),
        ("COPY *.json /", "recipe.yaml", false),
        ("COPY s*c /", "src/recipe.yaml", true),
        ("COPY recipe.yaml /", "recipe.yaml", false),
        ("RUN --mount=target=/c x", "recipe.yaml", true),
        ("RUN x", "recipe.yaml", false),
    ] {
        assert_eq!(ignored(&format!("FROM base\n{copy}\n"), place), wanted, "{copy} {place}");
    }
}

#[test]
fn mistakes_are_those_of_a_build_and_what_cannot_be_said_has_its_line() {
    let wrong = converted("FROM base\nCOPY --from=later a b\n", None);
    assert!(wrong.is_ok(), "an image may have that name: {wrong:?}");
    let wrong = converted("FROM base\nUSER a b\nRUN x\n", None).expect_err("no user of a recipe");
    assert_eq!(wrong[0].location.as_ref().map(|at| at.line), Some(2), "{wrong:?}");
    assert_eq!((wrong[0].class, wrong[0].source_line.as_str()), (Class::Unsupported, "USER a b"));
}

/// The Dockerfiles of all cases of `tests/conformance`.
fn samples() -> Vec<Vec<u8>> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/conformance/cases");
    let entries = |dir: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir).expect("cases are there").flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    };
    let files = entries(&cases).into_iter().flat_map(|group| entries(&group));
    let dockerfile = |file: PathBuf| {
        let text = std::fs::read_to_string(file).expect("a case is text");
        let (_, rest) = text.split_once("-- Dockerfile --\n")?;
        Some(rest.split("\n-- ").next().unwrap_or_default().as_bytes().to_vec())
    };
    files.filter_map(dockerfile).collect()
}

#[test]
fn no_mutation_of_a_dockerfile_makes_it_panic() {
    let samples = samples();
    assert!(samples.len() > 250, "{}", samples.len());
    hammer("convert", &samples, &as_it_is, &|bytes| {
        let _ = converted(&String::from_utf8_lossy(bytes), Some("recipe.yaml"));
    });
}
