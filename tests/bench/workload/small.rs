//! 40,000 small files in 200 directories, copied and nothing else.

use std::path::Path;

use super::{Kind, Workload, directory, file};
use crate::error::Result;
use crate::noise::Noise;

pub(super) const SMALL: Workload = Workload {
    name: "small",
    kind: Kind::Build { cold: 2, unchanged: 3, changed: 1 },
    base: false,
    zstd: true,
    step: None,
    dockerfile: || "FROM scratch\nCOPY files /files/\n".to_owned(),
    recipe: || "steps:\n  - copy: [files/, /files/]\n".to_owned(),
    make,
    change,
};

fn make(context: &Path) -> Result<()> {
    let mut noise = Noise(2);
    for at in 0..200 {
        let part = context.join(format!("files/part{at:03}"));
        directory(&part)?;
        for number in 0..200 {
            let len = 50 + usize::try_from(noise.below(2000)).unwrap_or(0);
            let text = noise.text(len);
            file(&part.join(format!("file{number:03}.js")), text)?;
        }
    }
    Ok(())
}

fn change(context: &Path, number: u64) -> Result<()> {
    file(&context.join("files/part100/file100.js"), Noise(1000 + number).text(700))
}
