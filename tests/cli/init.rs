//! `phoenix init`.

use crate::phoenix::Home;

#[test]
fn first_recipe_is_right_and_is_never_overwritten_unasked() {
    let home = Home::new();
    let said = home.run(&["init", "app"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let said = home.run(&["validate", "app"]);
    assert_eq!(said.code, Some(0), "{said:?}");

    home.write("app/recipe.yaml", "mine");
    let said = home.run(&["init", "app"]);
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.stderr.contains("--force"), "{said:?}");
    let kept = std::fs::read_to_string(home.path("app/recipe.yaml")).expect("it is there");
    assert_eq!(kept, "mine");
    assert_eq!(home.run(&["init", "app", "--force"]).code, Some(0));
    assert_eq!(home.run(&["validate", "app"]).code, Some(0));
}
