//! An app: 5,000 files in ten directories, 20 steps of copies, commands and
//! config. The changed file is in the sixth directory.

use std::fmt::Write as _;
use std::path::Path;

use super::{Kind, Workload, directory, file, run};
use crate::error::Result;
use crate::noise::Noise;

pub(super) const APP: Workload = Workload {
    name: "app",
    kind: Kind::Build { cold: 3, unchanged: 10, changed: 5 },
    base: true,
    zstd: false,
    step: None,
    dockerfile,
    recipe,
    make,
    change,
};

const DIRECTORIES: usize = 10;
const FILES: usize = 500;
/// Commands, and after which directory each runs.
const COMMANDS: [(usize, &str); 4] = [
    (2, "find /app -type f | wc -l > /app/count"),
    (5, "cat /app/part03/*.txt | sha256sum > /app/sum"),
    (8, "mkdir -p /var/lib/app && cp -r /app/part00 /var/lib/app/"),
    (9, "find /app -name '*5.txt' -exec chmod 0640 {} +"),
];

fn commands(after: usize) -> impl Iterator<Item = &'static str> {
    COMMANDS.into_iter().filter(move |(at, _)| *at == after).map(|(_, command)| command)
}

fn dockerfile() -> String {
    let mut text = String::from("FROM bench-base\nENV APP_ENV=production\nWORKDIR /app\n");
    for at in 0..DIRECTORIES {
        writeln!(text, "COPY part{at:02} /app/part{at:02}/").expect("memory takes it");
        for command in commands(at) {
            writeln!(text, "RUN {command}").expect("memory takes it");
        }
    }
    text + "LABEL org.opencontainers.image.title=app\nEXPOSE 8080\nCMD [\"/app/start\"]\n"
}

fn recipe() -> String {
    let mut text = String::from("steps:\n  - env: {APP_ENV: production}\n  - workdir: /app\n");
    for at in 0..DIRECTORIES {
        writeln!(text, "  - copy: [part{at:02}/, /app/part{at:02}/]").expect("memory takes it");
        text.extend(commands(at).map(run));
    }
    text + "config:\n  labels: {org.opencontainers.image.title: app}\n  expose: [8080/tcp]\n  \
            cmd: [/app/start]\n"
}

fn make(context: &Path) -> Result<()> {
    let mut noise = Noise(1);
    for at in 0..DIRECTORIES {
        let part = context.join(format!("part{at:02}"));
        directory(&part)?;
        for number in 0..FILES {
            let len = 200 + usize::try_from(noise.below(16_000)).unwrap_or(0);
            let text = noise.text(len);
            file(&part.join(format!("file{number:04}.txt")), text)?;
        }
    }
    Ok(())
}

fn change(context: &Path, number: u64) -> Result<()> {
    file(&context.join("part05/file0250.txt"), Noise(1000 + number).text(5000))
}
