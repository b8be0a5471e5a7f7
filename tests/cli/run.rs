//! `phoenix run`: streams, terminals, exit codes.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::build::with_busybox;
use crate::phoenix::{Home, Said, said};

/// How long something may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A home with a runnable image `t`; `None` where nothing can run.
fn home() -> Option<Home> {
    let home = Home::new();
    with_busybox(&home)?;
    home.write("root/etc/passwd", "root:x:0:0::/root:/bin/sh\nwww:x:33:33::/srv:/bin/sh\n");
    home.write("recipe.yaml", "from: {rootfs: root}\nconfig:\n  env: {GREETING: hi}\n");
    let built = home.run(&["build", "-t", "t", "-q"]);
    assert_eq!(built.code, Some(0), "{built:?}");
    Some(home)
}

#[test]
fn pipes_are_passed_as_they_are() {
    let Some(home) = home() else { return };
    let script = "cat; echo problem >&2; exit 3";
    let mut child = home
        .command(&["run", "-i", "--rm", "t", "sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("phoenix starts");
    let text = b"one\r\ntwo\x03\x04\n";
    child.stdin.take().expect("piped").write_all(text).expect("it reads");
    let said = said(child.wait_with_output().expect("phoenix ends"));
    assert_eq!(said.stdout.as_bytes(), text);
    assert_eq!((said.code, said.stderr.as_str()), (Some(3), "problem\n"));
}

#[test]
fn what_docker_users_give_is_taken() {
    let Some(home) = home() else { return };
    let run = |args: &[&str]| -> Said {
        let args = [&["run"], args].concat();
        said(home.command(&args).env("PASSED", "on").output().expect("phoenix starts"))
    };
    let script = "echo $GREETING $A $PASSED $UNSET $HOME; pwd";
    let args = ["-e", "A=b=c", "-e", "PASSED", "-e", "UNSET", "-w", "/old", "-u", "www"];
    let some = run(&[&args[..], &["t", "sh", "-c", script]].concat());
    assert_eq!((some.code, some.stdout.as_str()), (Some(0), "hi b=c on /srv\n/old\n"), "{some:?}");
    let entry = run(&["--entrypoint", "/bin/ls", "t", "-d", "/etc"]);
    assert_eq!(entry.stdout, "/etc\n", "{entry:?}");
    let alone = run(&["--network", "none", "t", "cat", "/proc/net/dev"]);
    assert_eq!(alone.stdout.lines().filter(|line| line.contains(": ")).count(), 1, "{alone:?}");
}

#[test]
fn exit_codes_are_dockers() {
    let Some(home) = home() else { return };
    for (code, command) in [
        (0, &["sh", "-c", "exit 0"][..]),
        (77, &["sh", "-c", "exit 77"]),
        (137, &["sh", "-c", "sh -c 'kill -9 $$'; exit $?"]),
        (127, &["nosuch"]),
        (126, &["/etc/passwd"]),
    ] {
        let said = home.run(&[&["run", "t"], command].concat());
        assert_eq!(said.code, Some(code), "{command:?}: {said:?}");
        assert_eq!(said.stderr.contains("error:"), matches!(code, 126 | 127), "{said:?}");
    }
    let lost = home.run(&["run", "-w", "/nowhere", "t", "ls"]);
    assert_eq!(lost.code, Some(125), "{lost:?}");
}

/// A terminal with `phoenix run` in it.
struct Screen {
    ours: File,
    theirs: OwnedFd,
    before: Termios,
    child: Child,
    shown: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Screen {
    /// Starts `phoenix run ARGS` in a session of its own on a new terminal.
    fn run(home: &Home, args: &[&str]) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = openpt(flags).expect("a terminal");
        unlockpt(&ours).expect("it is ours");
        let theirs = ioctl_tiocgptpeer(&ours, flags).expect("its other end");
        let phoenix = home.command(&[&["run"], args].concat());
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(phoenix.get_program()).args(phoenix.get_args());
        command.env_clear().current_dir(home.path("."));
        command.envs(phoenix.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let stream = || theirs.try_clone().expect("a descriptor can be copied");
        command.stdin(stream()).stdout(stream()).stderr(stream());
        let before = tcgetattr(&theirs).expect("a terminal has settings");
        let mut screen = Self {
            ours: ours.into(),
            before,
            child: command.spawn().expect("setsid starts"),
            theirs,
            shown: Arc::default(),
            reader: None,
        };
        screen.resize(24, 80);
        let (mut from, shown) = (screen.ours.try_clone().expect("a copy"), screen.shown.clone());
        screen.reader = Some(std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
                shown.lock().expect("unlocked").push_str(&text);
            }
        }));
        screen
    }

    fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(self.ours.as_fd(), size).expect("a terminal has a size");
    }

    fn press(&mut self, keys: &[u8]) {
        self.ours.write_all(keys).expect("keys can be pressed");
    }

    fn text(&self) -> String {
        self.shown.lock().expect("unlocked").clone()
    }

    fn wait_for(&self, what: &str) {
        let begun = Instant::now();
        while !self.text().contains(what) {
            assert!(begun.elapsed() < PATIENCE, "no `{what}` in: {}", self.text());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its exit code and all that it showed; the terminal must be as before.
    fn end(mut self) -> (Option<i32>, String) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                break status;
            }
            if begun.elapsed() > PATIENCE {
                let _ = self.child.kill();
                panic!("it does not end: {}", self.text());
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let after = tcgetattr(&self.theirs).expect("a terminal has settings");
        let modes = |t: &Termios| (t.local_modes, t.input_modes, t.output_modes, t.control_modes);
        assert_eq!(modes(&after), modes(&self.before));
        assert!(after.local_modes.contains(LocalModes::ICANON | LocalModes::ECHO));
        drop(self.theirs);
        self.reader.take().expect("it was started").join().expect("it ends with the terminal");
        let text = self.shown.lock().expect("unlocked").clone();
        (status.code(), text)
    }
}

#[test]
fn a_terminal_is_the_commands_own_and_has_the_size_of_ours() {
    let Some(home) = home() else { return };
    let script =
        "busybox tty; echo $TERM; test -t 2 && test -e /dev/console; echo size $(busybox stty size)
        while test \"$(busybox stty size)\" != '50 132'; do sleep 0.05; done; echo grown; exit 9";
    // No -it: there is a terminal at both ends.
    let screen = Screen::run(&home, &["t", "sh", "-e", "-c", script]);
    screen.wait_for("size 24 80");
    screen.resize(50, 132);
    let (code, text) = screen.end();
    assert_eq!(code, Some(9), "{text}");
    assert!(text.starts_with("/dev/pts/0\r\nxterm\r\nsize"), "{text}");
    assert!(text.ends_with("grown\r\n"), "{text}");
}

#[test]
fn keys_reach_the_command_and_not_phoenix() {
    let Some(home) = home() else { return };
    let mut shell = Screen::run(&home, &["-it", "t", "sh"]);
    shell.wait_for("# ");
    shell.press(b"echo $((40 + 2)); exit 5\r");
    let (code, text) = shell.end();
    assert!(code == Some(5) && text.contains("42\r\n"), "{code:?} {text}");
    let script = "trap 'echo caught; exit 6' INT; echo ready; while :; do sleep 0.05; done";
    let mut screen = Screen::run(&home, &["-it", "t", "sh", "-c", script]);
    screen.wait_for("ready\r\n");
    screen.press(b"\x03");
    let (code, text) = screen.end();
    assert_eq!(code, Some(6), "{text}");
    assert!(text.contains("caught\r\n") && !text.contains("stopping"), "{text}");
}

#[test]
fn a_command_that_heeds_nothing_is_stopped_by_insisting() {
    let Some(home) = home() else { return };
    let script = "trap '' INT; echo ready; sleep 1000.125";
    let mut screen = Screen::run(&home, &["-it", "t", "sh", "-c", script]);
    screen.wait_for("ready");
    screen.press(b"\x03\x03\x03");
    let (code, text) = screen.end();
    assert_eq!(code, Some(130), "{text}");
}

#[test]
fn the_terminal_is_as_before_also_after_an_error_and_a_signal() {
    let Some(home) = home() else { return };
    let (code, text) = Screen::run(&home, &["-it", "t", "nosuch"]).end();
    assert_eq!(code, Some(127), "{text}");
    assert!(text.contains("nosuch"), "{text}");
    let screen = Screen::run(&home, &["-it", "t", "sh", "-c", "echo ready; sleep 1000.125"]);
    screen.wait_for("ready");
    // setsid has nothing to fork for here: it became phoenix.
    let pid = rustix::process::Pid::from_child(&screen.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    let (code, text) = screen.end();
    assert_eq!(code, Some(143), "{text}");
}

#[test]
fn a_terminal_that_is_asked_for_without_one_ends_with_the_input() {
    let Some(home) = home() else { return };
    let said = home.run(&["run", "-t", "t", "cat"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let said = home.run(&["run", "-t", "t", "sh", "-c", "test -t 1 && busybox stty size"]);
    assert_eq!((said.code, said.stdout.contains("24 80")), (Some(0), true), "{said:?}");
}
