//! A naive app: everything is copied first, then six commands run, each of
//! which looks at a part of it. Four edits tell how much runs again.
//!
//! All that the commands install is at hand, in the context or in the base.

use std::fmt::Write as _;
use std::path::Path;

use super::wheel::wheel;
use super::{Edit, How, Kind, Workload, directory, file};
use crate::base::Bump;
use crate::error::Result;
use crate::noise::Noise;
use crate::table::Phase;

pub(super) const DELTA: Workload = Workload {
    name: "delta",
    kind: Kind::Delta { cold: 1, edits: &EDITS, steps: &NAMES },
    base: true,
    zstd: false,
    step: None,
    dockerfile,
    recipe,
    make,
    change: source,
};

const COMMANDS: [(&str, &str); 6] = [
    (
        "packages",
        "apt-get install -qq -y --no-install-recommends \
         /opt/debs/libonig5_*.deb /opt/debs/libjq1_*.deb /opt/debs/jq_*.deb",
    ),
    (
        "dependencies",
        "python3 -m venv /opt/venv && /opt/venv/bin/pip install --quiet --no-index \
         --no-cache-dir --find-links vendor -r requirements.txt",
    ),
    ("native", "make -s -C native"),
    // Its modules are looked for in all of the installed packages.
    ("assets", "/opt/venv/bin/python tools/assets.py templates /var/lib/assets"),
    ("account", "useradd --system --no-create-home app"),
    ("settings", "jq -s add config/base.json config/production.json > /etc/app.json"),
];

const NAMES: [&str; 6] = ["packages", "dependencies", "native", "assets", "account", "settings"];

const EDITS: [Edit; 4] = [
    Edit { phase: Phase::Source, how: How::Context(source), times: 2, runs: &[] },
    Edit {
        phase: Phase::Dependency,
        how: How::Context(dependency),
        times: 2,
        runs: &["dependencies", "assets"],
    },
    // The package database knows of it, and apt reads that.
    Edit { phase: Phase::Unread, how: How::Base(Bump::Unread), times: 1, runs: &["packages"] },
    Edit { phase: Phase::Read, how: How::Base(Bump::Read), times: 1, runs: &NAMES },
];

fn dockerfile() -> String {
    let mut text = String::from("FROM bench-base\nWORKDIR /app\nCOPY . /app/\n");
    for (_, command) in COMMANDS {
        writeln!(text, "RUN {command}").expect("memory takes it");
    }
    text
}

fn recipe() -> String {
    let mut text = String::from("steps:\n  - workdir: /app\n  - copy: [., /app/]\n");
    for (name, command) in COMMANDS {
        writeln!(text, "  - name: {name}\n    run: |\n      {command}").expect("memory takes it");
    }
    text
}

const LIBRARIES: usize = 8;
const SOURCES: usize = 400;
const MAKEFILE: &str = "\
libapp.so: $(sort $(wildcard *.c))
\t$(CC) -shared -fPIC -O1 -o $@ $^
";
const ASSETS: &str = "\
import pathlib, sys
import lib0

templates, out = map(pathlib.Path, sys.argv[1:])
out.mkdir(parents=True)
for template in sorted(templates.iterdir()):
    text = template.read_text().replace('@VERSION@', lib0.VERSION)
    (out / template.name).write_text(text.upper())
";

fn make(context: &Path) -> Result<()> {
    for name in ["app", "vendor", "native", "tools", "templates", "config"] {
        directory(&context.join(name))?;
    }
    let mut noise = Noise(5);
    for at in 0..SOURCES {
        file(&context.join(format!("app/view{at:03}.py")), noise.text(4000))?;
    }
    let vendor = context.join("vendor");
    (0..LIBRARIES).try_for_each(|at| wheel(&vendor, &format!("lib{at}"), "1.0", 30))?;
    (0..2).try_for_each(|at| wheel(&vendor, "extra", &format!("1.{at}"), 30))?;
    file(&context.join("native/Makefile"), MAKEFILE)?;
    for at in 0..10 {
        let text =
            format!("#include <stdio.h>\nint f{at}(int n) {{ return puts(\"{at}\") + n; }}\n");
        file(&context.join(format!("native/part{at}.c")), text)?;
        file(&context.join(format!("templates/page{at}.txt")), format!("page {at} @VERSION@\n"))?;
    }
    file(&context.join("tools/assets.py"), ASSETS)?;
    file(&context.join("config/base.json"), "{\"port\": 80, \"debug\": true}\n")?;
    file(&context.join("config/production.json"), "{\"debug\": false}\n")?;
    dependency(context, 0)
}

/// Edits a file that no command looks at.
fn source(context: &Path, number: u64) -> Result<()> {
    file(&context.join("app/view200.py"), Noise(1000 + number).text(4000))
}

/// Edits what is to be installed.
fn dependency(context: &Path, number: u64) -> Result<()> {
    let mut text = format!("# edited {number} times\nextra==1.{}\n", number % 2);
    for at in 0..LIBRARIES {
        writeln!(text, "lib{at}==1.0").expect("memory takes it");
    }
    file(&context.join("requirements.txt"), text)
}
