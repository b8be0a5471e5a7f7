//! `phoenix validate` and `phoenix schema`.

use serde_json::Value;

use crate::phoenix::Home;

#[test]
fn mistakes_as_json_have_their_places() {
    let home = Home::new();
    home.write("recipe.yaml", "from: {scratch: true}\nstepss: []\n");
    let said = home.run(&["validate", "--format", "json"]);
    assert_eq!(said.code, Some(3), "{said:?}");
    let value: Value = serde_json::from_str(&said.stdout).expect("it is JSON");
    assert_eq!(value["valid"], false);
    let first = &value["diagnostics"][0];
    assert_eq!((first["line"].as_u64(), first["column"].as_u64()), (Some(2), Some(1)));
    assert!(first["help"].as_str().is_some_and(|help| help.contains("steps")), "{first}");
}

#[test]
fn right_recipe_touches_no_store() {
    let home = Home::new();
    home.write("recipe.yaml", "from: {scratch: true}\nsteps:\n  - mkdir: /a\n");
    let said = home.run(&["validate"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(!home.path(".local").exists(), "validate made a store");
}

#[test]
fn schema_is_a_json_schema_that_knows_the_recipes_keys() {
    let said = Home::new().run(&["schema"]);
    let schema: Value = serde_json::from_str(&said.stdout).expect("it is JSON");
    assert!(schema["$schema"].is_string(), "{said:?}");
    for key in ["from", "steps", "stages", "config", "tests", "params"] {
        assert!(said.stdout.contains(&format!("\"{key}\"")), "the schema lacks {key}");
    }
}

#[test]
fn recipe_in_the_readme_is_right() {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("```yaml\n").expect("the README shows a recipe");
    let (recipe, _) = rest.split_once("```").expect("it ends");
    let home = Home::new();
    home.write("recipe.yaml", recipe);
    home.write("site/index.html", "hello");
    let said = home.run(&["validate"]);
    assert_eq!(said.code, Some(0), "{said:?}");
}
