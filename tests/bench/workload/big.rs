//! 512 MB in eight files, half of them noise, copied and nothing else.

use std::path::Path;

use super::{Kind, Workload, directory};
use crate::error::Result;
use crate::noise::Noise;

pub(super) const BIG: Workload = Workload {
    name: "big",
    kind: Kind::Build { cold: 2, unchanged: 3, changed: 1 },
    base: false,
    zstd: true,
    step: None,
    dockerfile: || "FROM scratch\nCOPY files /files/\n".to_owned(),
    recipe: || "steps:\n  - copy: [files/, /files/]\n".to_owned(),
    make,
    change,
};

const LEN: usize = 64 << 20;

fn make(context: &Path) -> Result<()> {
    directory(&context.join("files"))?;
    (0..8).try_for_each(|at| write(context, at, at))
}

fn change(context: &Path, number: u64) -> Result<()> {
    write(context, 3, 100 + number)
}

fn write(context: &Path, at: u64, seed: u64) -> Result<()> {
    let path = context.join(format!("files/file{at}"));
    Noise(seed).file(&path, LEN, at.is_multiple_of(2))
}
