//! A full disk: every kind of work says so, nothing is left half done, and with
//! more room the build is right.

use std::process::{Child, Command, Stdio};

use crate::phoenix::{Said, said};
use crate::workload::{Place, noise, skip};

/// A small file system in memory, in a mount namespace of its own: it goes with
/// the process that holds the namespace, which ends with this value or with the
/// test.
struct SmallDisk {
    holder: Child,
    dir: String,
}

impl SmallDisk {
    fn new(place: &Place, options: &str) -> Option<Self> {
        use std::io::Read as _;
        if !rustix::process::geteuid().is_root() {
            skip("needs root, to mount a small disk");
            return None;
        }
        let dir = place.path("disk");
        std::fs::create_dir_all(&dir).expect("made");
        let dir = dir.to_str().expect("UTF-8").to_owned();
        let script = format!("mount -t tmpfs -o {options} tmpfs '{dir}' && echo ready && exec cat");
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &script])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare runs");
        let mut ready = [0; 6];
        let stdout = holder.stdout.as_mut().expect("piped");
        stdout.read_exact(&mut ready).expect("the disk is mounted");
        Some(Self { holder, dir })
    }

    /// A command that sees the disk.
    fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()));
        let cwd = command.get_current_dir().unwrap_or(std::path::Path::new("/"));
        inside.args(["sh", "-c", "cd \"$0\" && exec \"$@\""]).arg(cwd);
        inside.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
        inside.env_clear();
        for (name, value) in command.get_envs() {
            inside.env(name, value.unwrap_or_default());
        }
        inside
    }

    fn resize(&self, options: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{options}"), &self.dir]);
        assert!(self.inside(&mount).status().expect("mount runs").success());
    }

    fn build(&self, place: &Place, more: &[&str]) -> Said {
        said(self.inside(&place.build("disk/store", more)).output().expect("nsenter runs"))
    }

    /// What is left of temporary files, and whether an image has a name.
    fn leftovers(&self) -> String {
        let mut list = Command::new("sh");
        list.args([
            "-c",
            &format!("cd {}/store && ls phoenix/work; grep ref.name index.json", self.dir),
        ]);
        let output = self.inside(&list).output().expect("sh runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// Builds on a disk of that size, which must fail and say why; then on more.
fn full(place: &Place, right: &str, small: &str, large: &str, where_it_fails: &str) {
    let Some(disk) = SmallDisk::new(place, small) else { return };
    let failed = disk.build(place, &["--progress=plain"]);
    let text = &failed.stderr;
    assert!(matches!(failed.code, Some(1 | 5)), "{small}: {failed:?}");
    assert!(text.contains("No space left on device"), "{small}: {text}");
    assert!(
        text.contains("hint: a disk is full") && text.contains("disk/store"),
        "{small}: {text}"
    );
    assert!(text.contains(where_it_fails), "{small}, not {where_it_fails}: {text}");
    assert!(!text.contains("panicked"), "{text}");
    assert_eq!(disk.leftovers(), "", "{small}: {text}");
    disk.resize(large);
    let built = disk.build(place, &["-q"]);
    assert_eq!((built.code, built.stdout.trim()), (Some(0), right), "{built:?}");
}

#[test]
fn while_a_base_is_brought_in() {
    let Some(place) = Place::with_base() else { return };
    place.write("ctx/recipe.yaml", "from: {rootfs: base.tar}\nsteps:\n  - mkdir: /x\n");
    let right = place.digest("right");
    full(&place, &right, "size=1m", "size=100m", "base.tar");
    full(&place, &right, "size=2500k", "size=100m", "base.tar");
}

#[test]
fn while_files_are_copied() {
    let place = Place::new();
    noise(&place.path("ctx/noise"), 3 << 20);
    place.write("ctx/recipe.yaml", "from: {scratch: true}\nsteps:\n  - copy: [noise, /noise]\n");
    let right = place.digest("right");
    full(&place, &right, "size=2m", "size=100m", "copy noise");
}

#[test]
fn while_a_step_writes_and_while_its_layer_is_made() {
    let Some(place) = Place::with_base() else { return };
    noise(&place.path("ctx/app/big"), 4 << 20);
    let run = "cp /mnt/big /a; cp /mnt/big /b";
    place.write(
        "ctx/recipe.yaml",
        &format!(
            "from: {{rootfs: base.tar}}\nsteps:\n  - name: copies\n    run:\n      script: {run}\n      \
             mounts: [{{bind: app, target: /mnt}}]\n"
        ),
    );
    let right = place.digest("right");
    // The base, the captured file and half of what the step writes; then all of
    // that and half of the layer.
    full(&place, &right, "size=12m", "size=100m", "copies");
    full(&place, &right, "size=15500k", "size=100m", "writing the blob");
}

#[test]
fn while_tables_and_records_are_written() {
    let place = Place::new();
    place.write(
        "ctx/recipe.yaml",
        "from: {scratch: true}\nsteps:\n  - mkdir: /a\n  - write: {path: /b, content: x}\n",
    );
    let right = place.digest("right");
    let Some(disk) = SmallDisk::new(&place, "size=10m,nr_inodes=18") else { return };
    // One file more each time: each write of the build is the first to fail once.
    for (failures, inodes) in (19..200).enumerate() {
        let built = disk.build(&place, &["-q"]);
        if built.code == Some(0) {
            assert_eq!(built.stdout.trim(), right);
            assert!(failures > 8, "only {failures} moments were tried");
            return;
        }
        let text = &built.stderr;
        assert!(built.code == Some(5) || built.code == Some(1), "{inodes}: {built:?}");
        assert!(text.contains("hint: a disk is full"), "{inodes}: {text}");
        assert!(!text.contains("panicked") && !disk.leftovers().contains("dir-"), "{text}");
        disk.resize(&format!("size=10m,nr_inodes={inodes}"));
    }
    panic!("it never succeeds");
}
