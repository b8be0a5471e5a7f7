//! What is said when a step fails: where it is written, why, what to do.

use crate::build::with_busybox;
use crate::phoenix::{Home, Said};

/// Builds a recipe with these steps on a base with a busybox.
fn build(home: &Home, steps: &str) -> Said {
    home.write("recipe.yaml", &format!("from: {{rootfs: root}}\nsteps:\n{steps}"));
    home.run(&["build", "--progress=plain"])
}

#[test]
fn every_kind_of_failure_shows_its_line_and_what_to_do() {
    let home = Home::new();
    if with_busybox(&home).is_none() {
        return;
    }
    home.write("root/etc/passwd", "root:x:0:0::/root:/bin/sh\nwww:x:33:33::/srv:/bin/sh\n");
    home.write("root/text", "no program");
    home.write("config.yml", "x");
    let table: [(&str, i32, &[&str]); 12] = [
        ("  - run: exit 3\n", 1, &["3 |   - run: exit 3", "exit code 3"]),
        (
            "  - run: |\n      gcc -v\n",
            1,
            &["exit code 127", "`gcc` is not in the image", "packages"],
        ),
        ("  - run: [gcc, -v]\n", 1, &["gcc: command not found", "`gcc` is not in the image"]),
        ("  - run: [/text]\n", 1, &["/text: cannot be executed", "mode: 0755"]),
        ("  - copy: [confg.yml, /etc/]\n", 1, &["there is `config.yml`", ":3:5"]),
        (
            "  - run: {script: id, user: wwww}\n",
            1,
            &["no user `wwww`", "there is `www`", "3 |   - run"],
        ),
        ("  - copy: {src: config.yml, dest: /etc/, owner: wwww}\n", 1, &["there is `www`"]),
        ("  - run: {script: sleep 60, timeout: 1s}\n", 1, &["longer than its timeout", "raise it"]),
        (
            "  - run: {script: busybox wget -O- http://a.invalid/, network: none}\n",
            1,
            &["bad address", "`network: none`"],
        ),
        ("  - run: {script: pwd, workdir: /text}\n", 1, &["/text", "Not a directory"]),
        ("  - write: {path: /etc, content: x}\n", 1, &["/etc is a directory", ":3:5"]),
        ("  - remove: /nosuch\n", 1, &["`/nosuch` matches nothing", ":3:5"]),
    ];
    for (steps, code, parts) in table {
        let said = build(&home, steps);
        assert_eq!(said.code, Some(code), "{steps}: {said:?}");
        for part in parts.iter().chain(&["recipe.yaml:3:5", "^^^"]) {
            assert!(said.stderr.contains(part), "{steps}: no `{part}` in\n{}", said.stderr);
        }
    }
}

#[test]
fn output_is_whole_and_stands_once_however_it_is_shown() {
    let home = Home::new();
    if with_busybox(&home).is_none() {
        return;
    }
    let steps = "  - run: busybox seq 1 3000; echo 'the end' >&2; exit 9\n";
    home.write("recipe.yaml", &format!("from: {{rootfs: root}}\nsteps:\n{steps}"));
    for how in ["--progress=plain", "--quiet"] {
        let said = home.run(&["build", how]);
        let ends = |what: &str| {
            said.stderr.lines().filter(|line| line.rsplit(' ').next() == Some(what)).count()
        };
        assert_eq!((ends("1"), ends("2999"), ends("end")), (1, 1, 1), "{how}: {}", said.stderr);
        assert!(said.stdout.is_empty() && said.code == Some(1), "{how}");
    }
}
