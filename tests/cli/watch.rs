//! `phoenix build --watch`: builds again after changes, and only then.

use std::fs;
use std::io::Read;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::phoenix::Home;
use crate::workload::eventually;

const RECIPE: &str = "from: {scratch: true}\nsteps:\n  - {name: sources, copy: [app/, /app/]}\n";
const WAITS: &str = "watching for changes";

/// A watching build, and what it says.
struct Watching {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

impl Watching {
    fn start(home: &Home) -> Self {
        // The store and the metadata lie in the context.
        let args = ["build", "--watch", "--progress=plain", "--metadata-file", "metadata.json"];
        let mut command = home.command(&args);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("phoenix starts");
        let stdout = collect(child.stdout.take().expect("it is piped"));
        let stderr = collect(child.stderr.take().expect("it is piped"));
        Self { child, stdout, stderr }
    }

    fn rounds(&self) -> usize {
        text(&self.stderr).matches(WAITS).count()
    }

    /// Waits until it waits for the `rounds`th time.
    fn waits(&self, rounds: usize) {
        eventually(WAITS, || self.rounds() >= rounds);
        assert_eq!(self.rounds(), rounds, "{}", text(&self.stderr));
    }

    /// Nothing is built for a while, and nothing is done.
    fn rests(&self, rounds: usize) {
        std::thread::sleep(Duration::from_millis(700));
        let before = ticks(&self.child);
        std::thread::sleep(Duration::from_millis(800));
        assert!(ticks(&self.child) - before <= 3, "it is busy");
        self.waits(rounds);
    }

    fn interrupt(mut self) -> (Option<i32>, String) {
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("it runs");
        let code = self.child.wait().expect("it was ours").code();
        (code, text(&self.stderr))
    }
}

fn collect(mut from: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let all = Arc::new(Mutex::new(String::new()));
    let into = Arc::clone(&all);
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            let said = String::from_utf8_lossy(&bytes[..read]).into_owned();
            into.lock().expect("nobody panics").push_str(&said);
        }
    });
    all
}

fn text(said: &Mutex<String>) -> String {
    said.lock().expect("nobody panics").clone()
}

/// Processor time of a process, in hundredths of a second.
fn ticks(child: &Child) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("it runs");
    let fields = stat.rsplit_once(") ").expect("a name in brackets").1.split(' ');
    fields.skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum()
}

#[test]
fn a_change_is_built_and_nothing_else_is_until_ctrl_c() {
    let home = Home::new();
    home.write("app/a", "one");
    home.write("recipe.yaml", RECIPE);
    let watching = Watching::start(&home);
    watching.waits(1);
    let plan = "main\n└─ run  sources  no earlier build of this recipe came to it\n";
    assert_eq!(text(&watching.stdout), plan);
    let metadata = || fs::read_to_string(home.path("metadata.json")).expect("written");
    let first = metadata();
    watching.rests(1);
    // What is written again as it was is no change.
    home.write("app/a", "one");
    watching.rests(1);
    home.write("app/a", "two");
    watching.waits(2);
    assert!(text(&watching.stdout).ends_with("main\n└─ run  sources  file /app/a changed\n"));
    assert_ne!(metadata(), first);
    // A build that fails does not end it.
    home.write("recipe.yaml", "steps: nonsense\n");
    watching.waits(3);
    assert!(text(&watching.stderr).contains("recipe.yaml:1"), "{}", text(&watching.stderr));
    home.write("recipe.yaml", &RECIPE.replace("/app/]", "/new/]"));
    watching.waits(4);
    assert!(metadata().contains("\"ran\""));
    watching.rests(4);
    let (code, said) = watching.interrupt();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("interrupted"), "{said}");
}

#[test]
fn an_image_cannot_go_to_standard_output_again_and_again() {
    let home = Home::new();
    home.write("recipe.yaml", "from: {scratch: true}\n");
    let said = home.run(&["build", "--watch", "-o", "type=oci,dest=-"]);
    assert_eq!(said.code, Some(2), "{said:?}");
}
