//! Python packages as wheels, made here: nothing comes from the network.
//!
//! A wheel is a zip archive. Its files are stored as they are, which keeps the
//! writer short, and any unzip reads it.

use std::path::Path;

use flate2::Crc;

use super::file;
use crate::error::Result;

/// Writes package `name` of a version into the directory of wheels.
pub(super) fn wheel(dir: &Path, name: &str, version: &str, modules: usize) -> Result<()> {
    let info = format!("{name}-{version}.dist-info");
    let mut files: Vec<(String, String)> = (0..modules)
        .map(|at| (format!("{name}/part{at:02}.py"), module(name, version, at)))
        .collect();
    files.push((format!("{name}/__init__.py"), format!("VERSION = \"{version}\"\n")));
    files.push((
        format!("{info}/METADATA"),
        format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"),
    ));
    files.push((
        format!("{info}/WHEEL"),
        "Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n".into(),
    ));
    let record = format!("{info}/RECORD");
    let listed = files.iter().map(|(path, _)| format!("{path},,\n")).collect::<String>();
    files.push((record.clone(), format!("{listed}{record},,\n")));
    file(&dir.join(format!("{name}-{version}-py3-none-any.whl")), zip(&files))
}

fn module(name: &str, version: &str, at: usize) -> String {
    let function = |f: usize| {
        format!(
            "def step{f}(value):\n    \"\"\"{name} {version}, part {at}.\"\"\"\n    \
             return [value * {f} + n for n in range({at})]\n\n\n"
        )
    };
    (0..20).map(function).collect()
}

/// A zip archive of stored files.
fn zip(files: &[(String, String)]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (path, content) in files {
        let fields = fields(path, content);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&fields);
        // No comment, first disk, no attributes.
        directory.extend([0; 10]);
        directory.extend(small(archive.len()).to_le_bytes());
        directory.extend(path.as_bytes());
        archive.extend(b"PK\x03\x04");
        archive.extend(fields);
        archive.extend(path.as_bytes());
        archive.extend(content.as_bytes());
    }
    let count = u16::try_from(files.len()).expect("a few files").to_le_bytes();
    let (at, len) = (small(archive.len()), small(directory.len()));
    archive.extend(directory);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    archive.extend(count.into_iter().chain(count));
    archive.extend(len.to_le_bytes().into_iter().chain(at.to_le_bytes()));
    archive.extend([0; 2]);
    archive
}

/// What the entry of a file and its line in the directory have in common.
fn fields(path: &str, content: &str) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(content.as_bytes());
    let len = small(content.len()).to_le_bytes();
    // Version 2.0, no flags, stored, midnight, the first day of 1980.
    let mut fields = vec![0x14, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
    fields.extend(crc.sum().to_le_bytes());
    fields.extend(len.into_iter().chain(len));
    fields.extend(u16::try_from(path.len()).expect("a short path").to_le_bytes());
    fields.extend([0; 2]);
    fields
}

fn small(len: usize) -> u32 {
    u32::try_from(len).expect("a wheel is small")
}
