//! Ctrl-C and SIGTERM: the documented exit code, a word about it, nothing left,
//! and the next build is right.

use std::fs;
use std::io::{BufRead, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::workload::{Place, eventually, noise};

/// A run in a process group of its own, as a shell starts it.
struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("phoenix starts");
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        Self { child, stderr, said: String::new() }
    }

    fn until(&mut self, word: &str) {
        while !self.said.contains(word) {
            let read = self.stderr.read_line(&mut self.said).expect("UTF-8");
            assert!(read > 0, "it ended without `{word}`: {}", self.said);
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Its exit code and all it said on standard error.
    fn end(mut self) -> (Option<i32>, String) {
        let _ = self.stderr.read_to_string(&mut self.said);
        (self.child.wait().expect("it was ours").code(), self.said)
    }
}

/// Where the signal goes.
#[derive(Clone, Copy)]
enum To {
    Phoenix,
    /// As a terminal does.
    Group,
}

/// Interrupts a run, checks how it ends, and gives what it said.
fn interrupted(place: &Place, store: &str, run: Running, signal: Signal, to: To) -> String {
    match to {
        To::Phoenix => kill_process(run.pid(), signal),
        To::Group => kill_process_group(run.pid(), signal),
    }
    .expect("it runs");
    let begun = Instant::now();
    let (code, said) = run.end();
    let (expected, word) =
        if signal == Signal::TERM { (143, "terminated") } else { (130, "interrupted") };
    assert_eq!(code, Some(expected), "{said}");
    assert!(said.contains(word) && said.contains("stopping"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(30), "it took its time: {said}");
    place.nothing_left(store);
    let results = fs::read_dir(place.path(store).join("phoenix/records/results"));
    assert_eq!(results.map_or(0, Iterator::count), 0, "a record of what was stopped: {said}");
    said
}

/// Waits until a build has written that much of a blob or spool.
fn writing(place: &Place, store: &str, bytes: u64) {
    let work = place.path(store).join("phoenix/work");
    let largest = || {
        let dirs = fs::read_dir(&work).into_iter().flatten().flatten();
        let files = dirs.flat_map(|dir| fs::read_dir(dir.path()).into_iter().flatten().flatten());
        files.filter_map(|file| Some(file.metadata().ok()?.len())).max().unwrap_or(0)
    };
    eventually("something large is written", || largest() >= bytes);
}

#[test]
fn in_the_middle_of_a_step() {
    let Some(place) = Place::with_base() else { return };
    let recipe = |time: &str| {
        format!(
            "from: {{rootfs: base.tar}}\nsteps:\n  - run: 'echo x > /x; echo so-far; sleep {time}'\n"
        )
    };
    place.write("ctx/recipe.yaml", &recipe("0"));
    let right = place.digest("undisturbed");
    place.write("ctx/recipe.yaml", &recipe("1000"));
    for (at, signal, to) in [
        ("s1", Signal::INT, To::Phoenix),
        ("s2", Signal::INT, To::Group),
        ("s3", Signal::TERM, To::Phoenix),
    ] {
        let mut run = Running::start(place.build(at, &["--progress=plain"]));
        run.until("so-far\n");
        interrupted(&place, at, run, signal, to);
        assert!(!place.run(&["--store", at, "images"]).stdout.contains("t:1"));
    }
    place.write("ctx/recipe.yaml", &recipe("0"));
    assert_eq!(place.digest("s2"), right);
}

#[test]
fn in_the_middle_of_a_copy_of_a_big_file() {
    let place = Place::new();
    noise(&place.path("ctx/noise"), 48 << 20);
    place.write("ctx/recipe.yaml", "from: {scratch: true}\nsteps:\n  - copy: [noise, /noise]\n");
    let run = Running::start(place.build("s1", &["--progress=plain"]));
    writing(&place, "s1", 1 << 20);
    interrupted(&place, "s1", run, Signal::INT, To::Group);
    // While it is hashed: a file that takes much longer to read than to wait for.
    let sparse = fs::File::create(place.path("ctx/sparse")).expect("made");
    sparse.set_len(1 << 40).expect("a sparse file");
    place.write("ctx/sparse.yaml", "from: {scratch: true}\nsteps:\n  - copy: [sparse, /x]\n");
    for command in ["build", "plan"] {
        let args = ["--store", "s2", command, "ctx", "-f", "ctx/sparse.yaml"];
        let run = Running::start(place.command(&args));
        reading(&run, "sparse");
        interrupted(&place, "s2", run, Signal::INT, To::Phoenix);
    }
    assert_eq!(place.digest("s1"), place.digest("undisturbed"));
}

/// Waits until a process has a file of that name open.
fn reading(run: &Running, name: &str) {
    let fds = format!("/proc/{}/fd", run.child.id());
    eventually("the file is read", || {
        let fds = fs::read_dir(&fds).into_iter().flatten().flatten();
        fds.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|path| path.ends_with(name))
    });
}

#[test]
fn in_the_middle_of_bringing_a_base_in() {
    let Some(place) = Place::with_base() else { return };
    noise(&place.path("ctx/app/noise"), 48 << 20);
    let tar = Command::new("tar")
        .args(["-rf", "base.tar", "app/noise"])
        .current_dir(place.path("ctx"))
        .status();
    assert!(tar.expect("tar runs").success());
    place.write("ctx/recipe.yaml", "from: {rootfs: base.tar}\nsteps:\n  - mkdir: /x\n");
    for (store, bytes) in [("s1", 1 << 20), ("s2", 49 << 20)] {
        let run = Running::start(place.build(store, &["--progress=plain"]));
        writing(&place, store, bytes);
        interrupted(&place, store, run, Signal::INT, To::Group);
    }
    assert_eq!(place.digest("s1"), place.digest("s2"));
    place.store_is_whole("s1");
}

#[test]
fn while_a_plan_or_a_lock_takes_long() {
    let place = Place::new();
    let sparse = fs::create_dir_all(place.path("ctx"))
        .and_then(|()| fs::File::create(place.path("ctx/base.tar")))
        .expect("made");
    sparse.set_len(1 << 40).expect("a sparse file");
    place.write("ctx/recipe.yaml", "from: {rootfs: base.tar}\n");
    let run = Running::start(place.command(&["--store", "s", "plan", "ctx"]));
    reading(&run, "base.tar");
    interrupted(&place, "s", run, Signal::INT, To::Group);
    // A mirror that takes a connection and says nothing.
    let mirror = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = mirror.local_addr().expect("bound").port();
    place.write("ctx/key.asc", "");
    place.write(
        "ctx/recipe.yaml",
        &format!(
            "from:\n  debian: {{suite: bookworm, mirror: 'http://127.0.0.1:{port}/debian', keyring: key.asc}}\n"
        ),
    );
    for command in ["lock", "build"] {
        let run = Running::start(place.command(&["--store", "s", command, "ctx"]));
        let connection = mirror.accept().expect("it asks");
        interrupted(&place, "s", run, Signal::INT, To::Group);
        drop(connection);
    }
    assert!(!place.path("ctx/recipe.lock").exists());
}

#[test]
fn the_second_time_it_ends_at_once() {
    let place = Place::new();
    noise(&place.path("ctx/noise"), 4 << 20);
    place.write("ctx/recipe.yaml", "from: {scratch: true}\nsteps:\n  - copy: [noise, /noise]\n");
    place.digest("s");
    // Nobody reads the image, so it cannot go on and does not notice the first.
    let mut run = Running::start(place.build("s", &["--progress=plain", "-o", "type=tar,dest=-"]));
    let mut first = [0];
    run.child.stdout.as_mut().expect("piped").read_exact(&mut first).expect("the image begins");
    kill_process(run.pid(), Signal::INT).expect("it runs");
    run.until("again to stop at once");
    std::thread::sleep(Duration::from_millis(100));
    assert!(run.child.try_wait().expect("ours").is_none(), "the test shows nothing");
    kill_process(run.pid(), Signal::INT).expect("it runs");
    let (code, said) = run.end();
    assert_eq!(code, Some(130), "{said}");
    place.run(&["--store", "s", "images"]);
    place.nothing_left("s");
}
