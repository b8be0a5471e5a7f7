//! Builds on images of a registry: resolved, locked, told.

use super::server::Server;
use super::{image, well};
use crate::phoenix::Home;

fn recipe(home: &Home, base: &str) {
    let text =
        format!("from: {{image: \"{base}\"}}\nsteps:\n  - write: {{path: /more, content: x}}\n");
    home.write("recipe.yaml", &text);
}

fn layers(asked: &[String]) -> usize {
    asked.iter().filter(|asked| asked.contains("/blobs/")).count()
}

#[test]
fn the_digest_of_a_base_is_locked_told_and_renewed() {
    let Some(server) = Server::open() else { return };
    let (maker, home) = (Home::new(), Home::new());
    let base = server.name("base:1");
    let first = image(&maker, &base, "first", &["--push"]);
    recipe(&home, &base);
    let said = home.run(&["build", "--locked"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("run `phoenix lock`"), "{said:?}");

    let made = well(&home, &["build", "-q", "-t", "app"]);
    let lock = || std::fs::read_to_string(home.path("recipe.lock")).expect("a lock");
    assert!(lock().contains(&format!("\"{base}\": {{\"linux/")) && lock().contains(&first));
    let told = well(&home, &["inspect", "app"]);
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["annotations"]["org.opencontainers.image.base.name"], base.as_str());
    assert_eq!(told["annotations"]["org.opencontainers.image.base.digest"], first.as_str());

    // What is locked and here needs nobody, whatever the name means by now.
    let second = image(&maker, &base, "second", &["--push"]);
    for args in [&["build", "-q"][..], &["build", "-q", "--locked"]] {
        let asked = server.asked_by(|| assert_eq!(well(&home, args), made));
        assert_eq!(asked, Vec::<String>::new());
    }
    let reason = format!("base {base} changed: {}… -> {}…", &first[..19], &second[..19]);
    let said = home.run(&["plan", "--pull"]);
    assert!(said.stdout.contains(&reason), "{said:?}");
    assert!(lock().contains(&first), "a plan changes no lock");
    let said = home.run(&["build", "--pull", "-t", "app"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stderr.contains(&reason), "{said:?}");
    assert!(lock().contains(&second) && !lock().contains(&first));
    assert_eq!(well(&home, &["cat", "app", "/file"]), "second");

    let third = image(&maker, &base, "third", &["--push"]);
    well(&home, &["lock"]);
    assert!(lock().contains(&third));
    well(&home, &["build", "-q", "--locked", "-t", "app"]);
    assert_eq!(well(&home, &["cat", "app", "/file"]), "third");
}

#[test]
fn a_name_in_the_store_needs_no_network_and_is_followed() {
    let Some(server) = Server::open() else { return };
    let (maker, home) = (Home::new(), Home::new());
    let base = server.name("base:1");
    image(&maker, &base, "first", &["--push"]);
    well(&home, &["pull", "-q", &base]);
    image(&maker, &base, "second", &["--push"]);
    recipe(&home, &base);
    let asked = server.asked_by(|| drop(well(&home, &["build", "-q", "-t", "app"])));
    assert_eq!(asked, Vec::<String>::new());
    assert_eq!(well(&home, &["cat", "app", "/file"]), "first");
    assert!(!home.path("recipe.lock").exists(), "no registry said anything");
    well(&home, &["build", "-q", "--pull", "-t", "app"]);
    assert_eq!(well(&home, &["cat", "app", "/file"]), "second");

    // One that was built here is at no registry, and locked only when that is asked for.
    let home = Home::new();
    image(&home, "own", "first", &[]);
    recipe(&home, "own");
    well(&home, &["build", "-q", "-t", "app"]);
    let second = image(&home, "own", "second", &[]);
    well(&home, &["build", "-q", "-t", "app"]);
    assert_eq!(well(&home, &["cat", "app", "/file"]), "second");
    well(&home, &["lock"]);
    let lock = std::fs::read_to_string(home.path("recipe.lock")).expect("a lock");
    assert!(lock.contains("docker.io/library/own:latest") && lock.contains(&second), "{lock}");
    well(&home, &["build", "-q", "--locked"]);
}

#[test]
fn a_plan_fetches_no_layer() {
    let Some(server) = Server::open() else { return };
    let (maker, home) = (Home::new(), Home::new());
    let base = server.name("base:1");
    let made = image(&maker, &base, "first", &["--push"]);
    recipe(&home, &base);
    let asked = server.asked_by(|| drop(well(&home, &["plan"])));
    assert_eq!(layers(&asked), 1, "the config: {asked:?}");
    // By digest not even that.
    let home = Home::new();
    recipe(&home, &format!("{}@{made}", server.name("base")));
    let asked = server.asked_by(|| drop(well(&home, &["plan"])));
    assert_eq!(asked, Vec::<String>::new());
    well(&home, &["build", "-q", "-t", "app", "--locked"]);
    assert_eq!(well(&home, &["cat", "app", "/file"]), "first");
}

#[test]
fn bases_that_nobody_has_are_named_by_the_step_that_wants_them() {
    let Some(server) = Server::open() else { return };
    let home = Home::new();
    for (base, why) in [
        (server.name("none:1"), "has no image"),
        ("localhost:1/none".to_owned(), "cannot be reached"),
        ("UPPER".to_owned(), "cannot name an image"),
    ] {
        recipe(&home, &base);
        let said = home.run(&["build"]);
        assert_eq!(said.code, Some(5), "{said:?}");
        assert!(said.stderr.contains(why) && said.stderr.contains("recipe.yaml:1"), "{said:?}");
    }
    let text = format!("from: {{image: {{name: \"{}\", platform: pdp11}}}}\n", server.name("a:1"));
    home.write("recipe.yaml", &text);
    let said = home.run(&["build"]);
    assert!(said.stderr.contains("`pdp11` is not a platform"), "{said:?}");
}

#[test]
fn bases_of_a_dockerfile_are_locked_where_that_is_asked_for() {
    let Some(server) = Server::open() else { return };
    let (maker, home) = (Home::new(), Home::new());
    let (base, tools) = (server.name("base:1"), server.name("tools:1"));
    let first = image(&maker, &base, "first", &["--push"]);
    let tool = image(&maker, &tools, "tool", &["--push"]);
    let text = format!(
        "FROM {tools} AS unneeded\nFROM {base}\nCOPY --from={tools} /file /tool\nLABEL a=b\n"
    );
    home.write("Dockerfile", &text);
    let lock = || std::fs::read_to_string(home.path("Dockerfile.lock")).expect("a lock");

    // It would lie in the context.
    well(&home, &["build", "-q", "-t", "app"]);
    assert!(!home.path("Dockerfile.lock").exists());
    let said = home.run(&["build", "--locked"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    let told = ["run `phoenix lock`", "Dockerfile:2:"];
    assert!(told.iter().all(|text| said.stderr.contains(text)), "{said:?}");

    let said = well(&home, &["lock"]);
    assert!(said.contains("wrote") && said.contains("Dockerfile.lock"), "{said}");
    assert!([&base, &tools, &first, &tool].iter().all(|text| lock().contains(text.as_str())));
    let second = image(&maker, &base, "second", &["--push"]);
    // In a store that has nothing, too.
    for store in [&[][..], &["--store", "other"]] {
        let args = [&["build", "-q", "-t", "app", "--locked"], store].concat();
        well(&home, &args);
        assert_eq!(well(&home, &[&["cat", "app", "/file"], store].concat()), "first");
        let told = well(&home, &[&["inspect", "app"], store].concat());
        assert!(told.contains(&first), "{told}");
    }
    let asked = server.asked_by(|| drop(well(&home, &["build", "-q", "--locked"])));
    assert_eq!(asked, Vec::<String>::new());

    // A lock that is there is kept up.
    let reason = format!("base {base} changed: {}… -> {}…", &first[..19], &second[..19]);
    let said = home.run(&["build", "--pull", "-t", "app"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stderr.contains(&reason), "{said:?}");
    assert!(lock().contains(&second) && !lock().contains(&first));
    assert_eq!(well(&home, &["cat", "app", "/file"]), "second");

    let said = home.run(&["lock", "-f", "-"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("no place for a lock"), "{said:?}");
}
